ready() { await get -f http://127.0.0.1:8080/; }
work() {
    get http://127.0.0.1:8080/
    get -k https://localhost:8443/
    get http://127.0.0.1:8080/index.html
}
reload() {
    sed -i 's/answered/reloaded/' /etc/caddy/Caddyfile.app
    caddy reload --config /etc/caddy/Caddyfile.app --adapter caddyfile >/dev/null 2>&1
    await says reloaded get http://127.0.0.1:8080/
}
