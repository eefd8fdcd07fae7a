ready() { await test -S /dev/log; }
# A message that comes while /dev/log is made again is lost.
logged() { logger "$1" && sleep 0.1 && grep -q "$1" /var/log/app.log; }
word() { await logged "$1" && echo "logged $1"; }
work() { word "one-$PHASE"; }
reload() { mv /var/log/app.log /var/log/app.log.1; kill -HUP 1; await test -e /var/log/app.log -o -S /dev/log; }
