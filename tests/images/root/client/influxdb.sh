influx() { get "http://127.0.0.1:8086/$1" "${@:2}"; }
ready() { await get -f http://127.0.0.1:8086/ping; }
work() {
    influx query -XPOST --data-urlencode 'q=CREATE DATABASE app'
    influx 'write?db=app' --data-binary 'cpu,host=a value=1 1700000000000000000'
    influx 'query?db=app' -G --data-urlencode 'q=SELECT * FROM cpu'
}
