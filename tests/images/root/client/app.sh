# The work of an application that has it behind /work, on port 8080.
ready() { await get -f http://127.0.0.1:8080/; }
work() {
    get http://127.0.0.1:8080/work
    echo
    for i in $(seq 40); do get -o /dev/null http://127.0.0.1:8080/ & done
    wait
}
