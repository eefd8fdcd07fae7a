ready() { await get -f http://127.0.0.1:8080/; }
work() {
    get http://127.0.0.1:8080/
    get http://127.0.0.1:8080/cgi-bin/hello
    get -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8080/nothing
    for i in $(seq 60); do get -o /dev/null http://127.0.0.1:8080/ & done
    wait
    get 'http://127.0.0.1:8080/server-status?auto' | grep -c '^BusyWorkers'
}
reload() {
    echo 'Alias /after /srv/www/index.html' >/srv/more/after.conf
    kill -USR1 1
    await get -f http://127.0.0.1:8080/after
}
