#!/bin/bash
# apache httpd, threads and CGI: pages, errors, uploads, a graceful restart.
. "$(dirname "$0")/workload.sh"

prepare() {
  rm -rf "$ROOT" && mkdir -p "$ROOT"/{www,cgi-bin,logs,run}
  echo page >"$ROOT/www/index.html"
  head -c 300000 /dev/zero >"$ROOT/www/large"
  printf '#!/bin/sh\necho Content-Type: text/plain\necho\nwc -c\n' >"$ROOT/cgi-bin/count"
  chmod 755 "$ROOT/cgi-bin/count"
  cat >"$ROOT/httpd.conf" <<END
ServerRoot /etc/apache2
ServerName localhost
DefaultRuntimeDir $ROOT/run
PidFile $ROOT/run/pid
ErrorLog $ROOT/logs/error.log
Listen 127.0.0.1:$PORT
User www-data
Group www-data
$(for module in mpm_event authz_core dir mime alias cgid log_config status autoindex filter deflate; do
  [ ! -e "/usr/lib/apache2/modules/mod_$module.so" ] || echo "LoadModule ${module}_module /usr/lib/apache2/modules/mod_$module.so"
done)
TypesConfig /etc/mime.types
LogFormat "%h %t %r %>s" plain
CustomLog $ROOT/logs/access.log plain
StartServers 2
ThreadsPerChild 16
ScriptSock $ROOT/run/cgid
DocumentRoot $ROOT/www
<Directory "$ROOT/www">
  Require all granted
  Options +Indexes
</Directory>
ScriptAlias /cgi-bin/ $ROOT/cgi-bin/
<Directory "$ROOT/cgi-bin">
  Require all granted
</Directory>
<Location /status>
  SetHandler server-status
  Require all granted
</Location>
AddOutputFilterByType DEFLATE text/html
END
  [ -e /etc/mime.types ] || sed -i '/TypesConfig/d' "$ROOT/httpd.conf"
}
command() { printf '%s\n' /usr/sbin/apache2 -DFOREGROUND -f "$ROOT/httpd.conf"; }
ready() { wait_for page /; }
master() { cat "$ROOT/run/pid"; }
workers() { pgrep -P "$(master)" | sort; }
other_workers() { ! workers | grep -qxF "$1"; }
do_get() {
  load /
  page /large --range "$(between 0 1000)-$(between 2000 250000)"
}
do_errors() { refused "/nothing-$(between 1 9)"; }
do_cgi() { head -c "$(between 10 200000)" /dev/zero | page /cgi-bin/count --request POST --data-binary @-; }
do_status() { page '/status?auto' && page /index.html --compressed; }
do_graceful() {
  local before
  before=$(workers | tail -1)
  kill -USR1 "$(master)"
  wait_for other_workers "$before"
  ready
}
do_clients() { for n in $(seq "$(between 5 40)"); do page / & done; wait; }
workload "$@"
