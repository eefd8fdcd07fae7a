#!/usr/bin/env bash
# As postgres's: as root make the folders and become postgres; as another user, take the name
# from nss_wrapper; make a cluster and run the hooks of /docker-entrypoint-initdb.d beside a
# server of their own; then the server.
set -Eeo pipefail
export PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=${PGDATA:-/var/lib/postgresql/data}

create_folders() {
    local user; user="$(id -u)"
    mkdir -p "$PGDATA"
    chmod 00700 "$PGDATA" || :
    mkdir -p /var/run/postgresql || :
    chmod 03775 /var/run/postgresql || :
    if [ "$user" = 0 ]; then
        find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
        find /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
    fi
}

make_cluster() {
    local uid; uid="$(id -u)"
    if ! getent passwd "$uid" &>/dev/null; then
        local wrapper
        for wrapper in {/usr,}/lib{/*,}/libnss_wrapper.so; do
            if [ -s "$wrapper" ]; then
                NSS_WRAPPER_PASSWD="$(mktemp)"
                NSS_WRAPPER_GROUP="$(mktemp)"
                export LD_PRELOAD="$wrapper" NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
                local gid; gid="$(id -g)"
                printf 'postgres:x:%s:%s:PostgreSQL:%s:/bin/false\n' "$uid" "$gid" "$PGDATA" >"$NSS_WRAPPER_PASSWD"
                printf 'postgres:x:%s:\n' "$gid" >"$NSS_WRAPPER_GROUP"
                break
            fi
        done
    fi
    eval 'initdb --username=postgres --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") --auth-host=trust --auth-local=trust'
    if [[ "${LD_PRELOAD:-}" == */libnss_wrapper.so ]]; then
        rm -f "$NSS_WRAPPER_PASSWD" "$NSS_WRAPPER_GROUP"
        unset LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
    fi
}

if [ "$1" = postgres ]; then
    create_folders
    if [ "$(id -u)" = 0 ]; then exec gosu postgres "$BASH_SOURCE" "$@"; fi
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        make_cluster
        echo "host all all all trust" >>"$PGDATA/pg_hba.conf"
        pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -p 5432" -w start
        psql -v ON_ERROR_STOP=1 --username postgres --no-psqlrc --dbname postgres -c 'CREATE DATABASE app'
        for hook in /docker-entrypoint-initdb.d/*; do
            case $hook in
            *.sh) if [ -x "$hook" ]; then "$hook"; else . "$hook"; fi ;;
            *.sql) psql -v ON_ERROR_STOP=1 --username postgres --no-psqlrc -d app -f "$hook" ;;
            *.sql.gz) gunzip -c "$hook" | psql --username postgres --no-psqlrc -d app ;;
            esac
        done
        pg_ctl -D "$PGDATA" -m fast -w stop
    fi
fi
exec "$@"
