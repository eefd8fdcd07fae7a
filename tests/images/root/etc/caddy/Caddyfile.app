{
    storage file_system /var/lib/caddy
    skip_install_trust
}
:8080 {
    route /index.html {
        root * /srv/www
        file_server
    }
    respond "answered
"
}
https://localhost:8443 {
    tls internal
    respond "by tls
"
}
