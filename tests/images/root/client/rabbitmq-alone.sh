# As rabbitmq.sh, by what needs no right in the container: HTTP and AMQP.
. /client/rabbitmq.sh
ready() { await api -f http://127.0.0.1:15672/api/overview; }
work() {
    by_http
    python3 /client/amqp.py
}
