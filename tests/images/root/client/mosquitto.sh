ready() { await mosquitto_pub -p 1883 -t ready -m yes; }
work() {
    mosquitto_sub -p 1883 -t news/# -C 2 -W 20 >/tmp/received &
    sub=$!
    received() { mosquitto_pub -p 1883 -t news/a -m hello && ! kill -0 $sub; }
    await received
    cat /tmp/received
    [ "$PHASE" != first ] || mosquitto_pub -p 1883 -r -t kept -m kept
    mosquitto_sub -p 1883 -t kept -C 1 -W 20
}
reload() {
    kill -USR1 1
    await test -s /mosquitto/data/mosquitto.db
    echo 'max_queued_messages 77' >>/mosquitto/config/mosquitto.conf
    kill -HUP 1
    ready
}
