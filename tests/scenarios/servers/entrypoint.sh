#!/bin/sh
# As the entrypoints of the official images are: as root settle the folders, run
# the hooks, become the server's user, and end in the server.
set -eu

if [ "$(id -u)" = 0 ]; then
    mkdir -p /var/lib/app/data
    chown -R 33:33 /var/lib/app
    find /var/lib/app -type d -exec chmod 0750 {} +
    exec setpriv --reuid=33 --regid=33 --clear-groups "$0" "$@"
fi

[ -e /var/lib/app/config ] || printf 'port=%s\n' "${APP_PORT:-80}" > /var/lib/app/config
sed -i 's/^port=.*/port=8080/' /var/lib/app/config
for hook in /docker-entrypoint.d/*.sh; do
    "$hook"
done

exec "$@"
