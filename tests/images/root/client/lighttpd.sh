ready() { await get -f http://127.0.0.1:8080/index.html; }
work() {
    get http://127.0.0.1:8080/index.html
    get http://127.0.0.1:8080/cgi-bin/hello
    get -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8080/nothing
}
reload() {
    kill -USR1 1
    ready
}
