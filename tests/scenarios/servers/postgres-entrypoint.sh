#!/bin/sh
# As the entrypoint of the official image: as root settle the folders, become
# postgres; where there is no cluster yet make one and set it up by a server that only
# a local socket reaches; end in the server.
set -eu
PGDATA=/var/lib/app/pgdata
export PGDATA
for bin in /usr/lib/postgresql/*/bin; do PATH="$bin:$PATH"; done

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /run/postgresql
    find "$PGDATA" /run/postgresql ! -user postgres -exec chown postgres '{}' +
    chmod 0700 "$PGDATA"
    exec gosu postgres "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p /run/postgresql
    initdb --username=postgres --auth=trust
    echo "host all all all trust" >>"$PGDATA/pg_hba.conf"
    pg_ctl -o "-c listen_addresses= -k /run/postgresql" -w start
    psql --host /run/postgresql --username postgres --command "CREATE DATABASE app"
    pg_ctl -m fast -w stop
fi
exec "$@"
