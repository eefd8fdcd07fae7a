query() { get "http://127.0.0.1:9090/api/v1/query?query=$1"; }
ready() { await get -f http://127.0.0.1:9090/-/ready; }
work() {
    await says '"1"' query 'up'
    query 'count(up)' | grep -o '"status":"success"'
    get -XPOST http://127.0.0.1:9090/api/v1/admin/tsdb/snapshot | grep -o '"status":"success"'
    get http://127.0.0.1:9090/api/v1/status/config | grep -o 'job_name: [a-z]*' | sort
}
reload() {
    printf -- '- job_name: second\n  static_configs: [{targets: ["127.0.0.1:9090"]}]\n' | sed 's/^/  /' >>/etc/prometheus/app.yml
    kill -HUP 1
    await says second get http://127.0.0.1:9090/api/v1/status/config
}
