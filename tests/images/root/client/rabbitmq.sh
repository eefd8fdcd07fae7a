export HOME=/var/lib/rabbitmq
ctl() { gosu rabbitmq rabbitmqctl -q "$@"; }
api() { get -u guest:guest -H 'content-type: application/json' "$@"; }
ready() { await ctl await_startup; await api -f http://127.0.0.1:15672/api/overview; }
by_http() {
    base=http://127.0.0.1:15672/api
    api -XPUT -d '{"durable":true}' $base/queues/%2f/q -o /dev/null
    api -XPOST -d '{"properties":{"delivery_mode":2},"routing_key":"q","payload":"hello","payload_encoding":"string"}' $base/exchanges/%2f/amq.default/publish
    echo
    api -XPOST -d '{"count":1,"ackmode":"ack_requeue_false","encoding":"auto"}' $base/queues/%2f/q/get | grep -o '"payload":"[a-z]*"'
}
work() {
    by_http
    ctl list_queues name durable
}
reload() {
    ctl eval '1 + 1.'
    ctl stop_app
    ctl start_app
    ready
}
