key=/tmp/key
in_() { ssh -q -i $key -p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes alice@127.0.0.1 "$@"; }
ready() { await accepts 2222; cp /etc/ssh/client_key $key; chmod 600 $key; }
work() {
    in_ id -un
    in_ 'echo out; echo err >&2; exit 3' 2>&1
    echo "code $?"
    echo through | in_ cat
}
reload() { kill -HUP 1; await in_ true; }
