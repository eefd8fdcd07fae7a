. /client/gunicorn.sh
# As alone.sh, which would take the reload's place.
work() {
    for i in 1 2 3; do get http://127.0.0.1:8080/alone; done
}
