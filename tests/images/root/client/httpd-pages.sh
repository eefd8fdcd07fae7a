# As httpd.sh, without CGI.
. /client/httpd.sh
work() {
    get http://127.0.0.1:8080/
    get -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8080/nothing
    for i in $(seq 60); do get -o /dev/null http://127.0.0.1:8080/ & done
    wait
    get 'http://127.0.0.1:8080/server-status?auto' | grep -c '^BusyWorkers'
}
