ready() { await get -f http://127.0.0.1:8080/ok.php; }
work() {
    get http://127.0.0.1:8080/work.php
    supervisorctl -c /etc/supervisor/app.conf status | awk '{ print $1, $2 }'
}
reload() {
    supervisorctl -c /etc/supervisor/app.conf restart nginx
    supervisorctl -c /etc/supervisor/app.conf signal USR2 php-fpm
    ready
    kill -HUP 1
    ready
    await says RUNNING supervisorctl -c /etc/supervisor/app.conf status nginx
    await says RUNNING supervisorctl -c /etc/supervisor/app.conf status php-fpm
    ready
}
