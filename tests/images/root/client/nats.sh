ready() { await get -f http://127.0.0.1:8222/healthz; }
work() { python3 /client/nats.py; }
reload() {
    sed -i 's/max_connections: 100/max_connections: 77/' /etc/app-nats.conf
    kill -HUP 1
    await says '"max_connections": 77' get http://127.0.0.1:8222/varz
}
