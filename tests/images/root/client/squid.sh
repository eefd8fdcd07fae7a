ready() { await get -f -x 127.0.0.1:3128 http://127.0.0.1:8081/hello; }
work() {
    get -x 127.0.0.1:3128 http://127.0.0.1:8081/hello
    get -x 127.0.0.1:3128 http://127.0.0.1:8081/big -o /dev/null -w '%{size_download}\n'
    get -x 127.0.0.1:3128 -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8082/
}
reload() {
    kill -HUP 1
    ready
    squid -f /etc/squid/app.conf -k rotate 2>/dev/null
    ready
}
