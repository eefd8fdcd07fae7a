. /client/app.sh
reload() {
    # The pid of a worker is behind /pid.
    before=$(get http://127.0.0.1:8080/pid)
    kill -HUP 1
    changed() { after=$(get -f http://127.0.0.1:8080/pid) && [ "$after" != "$before" ]; }
    await changed
}
