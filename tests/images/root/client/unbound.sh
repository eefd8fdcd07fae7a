# One query by hand: no resolver of Debian's is small.
ask() { python3 /client/dns.py "$@"; }
ready() { await says 192.0.2.7 ask app.test; }
work() { ask app.test; ask nothing.test; ask -t app.test; }
reload() {
    sed -i 's/192.0.2.7/192.0.2.8/' $ZONE
    kill -HUP 1
    await says 192.0.2.8 ask app.test
    sed -i 's/192.0.2.8/192.0.2.7/' $ZONE
    kill -HUP 1
    await says 192.0.2.7 ask app.test
}
ZONE=/etc/unbound/app.conf
