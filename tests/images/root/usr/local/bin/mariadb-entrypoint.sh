#!/bin/bash
# As mariadb's: as root give the data away and become mysql; make the databases by a server
# that no port reaches; then the server.
set -eo pipefail
data=/var/lib/mysql socket=/run/mysqld/mysqld.sock
if [ "$1" = mariadbd ]; then
    mkdir -p "$data" "${socket%/*}"
    if [ "$(id -u)" = 0 ]; then
        find "$data" "${socket%/*}" \! -user mysql -exec chown mysql: '{}' +
        exec gosu mysql "${BASH_SOURCE[0]}" "$@"
    fi
    if [ ! -d "$data/mysql" ]; then
        mariadb-install-db --no-defaults --datadir="$data" --rpm --auth-root-authentication-method=normal \
            --skip-test-db "${@:2}" --default-time-zone=SYSTEM --skip-log-bin >/dev/null
        "$@" --skip-networking --default-time-zone=SYSTEM --socket="$socket" --wsrep_on=OFF \
            --expire-logs-days=0 --loose-innodb_buffer_pool_load_at_startup=0 &
        pid=$!
        for i in {300..0}; do
            if mariadb --no-defaults --socket="$socket" -u root -e 'SELECT 1' &>/dev/null; then break; fi
            sleep 0.1
        done
        mariadb --no-defaults --socket="$socket" -u root <<'SQL'
CREATE DATABASE app;
CREATE TABLE app.hook (n int);
CREATE USER 'root'@'%' IDENTIFIED BY 'secret';
GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;
ALTER USER 'root'@'localhost' IDENTIFIED BY 'secret';
SQL
        kill "$pid"
        wait "$pid"
    fi
fi
exec "$@"
