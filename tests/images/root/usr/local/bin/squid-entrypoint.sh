#!/bin/sh
# As squid images do: make the cache's folders, then the server in the foreground; an origin
# beside it.
set -e
mkdir -p /var/spool/squid /var/log/squid
chown -R proxy:proxy /var/spool/squid /var/log/squid
[ -d /var/spool/squid/00 ] || squid -f /etc/squid/app.conf -Nz 2>/dev/null
nginx -c /etc/nginx/origin.conf
exec squid -f /etc/squid/app.conf -NYC "$@"
