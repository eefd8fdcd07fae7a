# The work of an application that runs no other program.
. /client/app.sh
work() {
    for i in 1 2 3; do get http://127.0.0.1:8080/alone; done
    for i in $(seq 40); do get -o /dev/null http://127.0.0.1:8080/ & done
    wait
}
