ready() { await get -f http://127.0.0.1:8080/; }
work() {
    for i in 1 2 3 4; do get http://127.0.0.1:8080/; done
    get -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8080/denied
    get http://127.0.0.1:8404/metrics | grep -c '^haproxy_process_start_time'
}
reload() {
    sed -i 's/answered/reloaded/' "$CFG"
    kill -USR2 1
    await says reloaded get http://127.0.0.1:8080/
}
CFG=/usr/local/etc/haproxy/haproxy.cfg
