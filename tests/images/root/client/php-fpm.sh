fcgi() {
    SCRIPT_FILENAME=$1 REQUEST_METHOD=GET QUERY_STRING= cgi-fcgi -bind -connect 127.0.0.1:9000
}
ready() { await says ok fcgi /srv/php/ok.php; }
work() { fcgi /srv/php/work.php | tr -d '\r' | sed 1,/^$/d; }
reload() {
    before=$(fcgi /srv/php/pid.php | tail -n 1)
    kill -USR2 1
    changed() { after=$(fcgi /srv/php/pid.php | tail -n 1) && [ -n "$after" ] && [ "$after" != "$before" ]; }
    await changed
    ready
}
