ready() { await get -f http://127.0.0.1:8080/; }
work() {
    get -o /dev/null -w '%{http_code} %{size_download}\n' http://127.0.0.1:8080/
    get http://127.0.0.1:8080/hook
    get -w ' %{http_code}\n' -o /dev/null http://127.0.0.1:8080/nothing
    head -c 300000 /dev/zero | get -T - -o /dev/null -w 'put %{http_code}\n' http://127.0.0.1:8080/dav/body
    get -o /dev/null -w 'got %{size_download}\n' http://127.0.0.1:8080/dav/body
}
reload() {
    echo 'location = /after { return 200 "after the reload\n"; }' >/etc/nginx/more/after.conf
    kill -HUP 1
    await get -f http://127.0.0.1:8080/after
    mv /var/log/nginx/access.log /var/log/nginx/access.log.1
    kill -USR1 1
    await test -e /var/log/nginx/access.log
}
