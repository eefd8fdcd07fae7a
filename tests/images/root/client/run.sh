#!/bin/bash
# run.sh CLIENT PHASE, by `docker exec`: `first`, `reload` or `again` is what the client of a
# server does then. What it prints is the same in each container.
# A script beside it says `ready`, `work` and `reload`.
CLIENT=$1 PHASE=$2

# Tries a command until it succeeds, for so long as a busy machine may take.
await() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 250 ] || { echo "in vain: $*"; exit 1; }
        sleep 0.1
    done
}

# Whether TCP PORT is accepted.
accepts() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1")
}

# Whether `$2…` prints something with $1 in it.
says() {
    said=$1
    shift
    "$@" 2>&1 | grep -q -e "$said"
}

get() {
    curl -s -S --max-time 20 "$@"
}

ready() { :; }
reload() { :; }

cd /client
. "/client/$CLIENT.sh"
case $PHASE in
first | again)
    ready
    work
    ;;
reload)
    reload
    work
    ;;
esac
