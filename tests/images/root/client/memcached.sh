talk() { exec 3<>/dev/tcp/127.0.0.1/11211; printf '%s\r\n' "$@" quit >&3; tr -d '\r' <&3; exec 3>&-; }
ready() { await accepts 11211; }
work() {
    talk 'set a 0 0 5' hello 'get a' 'incr n 1' 'set n 0 0 1' 1 'incr n 41' 'flush_all'
    talk 'stats' | grep -a 'STAT threads'
}
