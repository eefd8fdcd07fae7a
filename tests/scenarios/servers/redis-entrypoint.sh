#!/bin/sh
# As the entrypoint of the official image: started as root, it gives the data to the
# user, becomes them, and begins anew.
set -e
cd /data
if [ "${1##*/}" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis '{}' +
    exec gosu redis "$0" "$@"
fi
exec "$@"
