#!/bin/bash
# mariadb: InnoDB and Aria, sorts, files, users, a kill and a flush.
. "$(dirname "$0")/workload.sh"

prepare() {
  rm -rf "$ROOT" && mkdir -p "$ROOT"/{data,out}
  chown mysql "$ROOT/data" "$ROOT/out"
  mariadb-install-db --no-defaults --user=mysql --datadir="$ROOT/data" --skip-test-db --auth-root-authentication-method=normal \
    --innodb-log-file-size=4M --innodb-buffer-pool-size=8M >/dev/null
}
command() {
  printf '%s\n' /usr/sbin/mariadbd --no-defaults --user=mysql --datadir="$ROOT/data" --socket="$ROOT/data/socket" \
    --port="$PORT" --bind-address=127.0.0.1 --innodb-log-file-size=4M --innodb-buffer-pool-size=8M --aria-pagecache-buffer-size=8M \
    --key-buffer-size=1M --pid-file="$ROOT/data/pid"
}
sql() { mariadb --no-defaults -h 127.0.0.1 -P "$PORT" -u root --skip-ssl -N "$@"; }
ready() { wait_for sql -e 'SELECT 1'; }
do_innodb() {
  sql -e "CREATE DATABASE IF NOT EXISTS app; CREATE TABLE IF NOT EXISTS app.t (a int primary key, b text) ENGINE=InnoDB;
    REPLACE INTO app.t SELECT seq, repeat('x', $(between 1 900)) FROM mysql.seq_1_to_$(between 50 900);
    ALTER TABLE app.t ADD COLUMN IF NOT EXISTS c int; SELECT count(*) FROM app.t; DROP DATABASE app" >/dev/null
}
do_aria() {
  sql -e "CREATE DATABASE IF NOT EXISTS app; CREATE TEMPORARY TABLE app.big ENGINE=Aria AS SELECT seq AS g, md5(seq) AS h FROM mysql.seq_1_to_$(between 9000 40000);
    SET sort_buffer_size = 32768; SELECT count(*) FROM (SELECT DISTINCT h FROM app.big ORDER BY h) x" >/dev/null
}
do_outfile() {
  sql -e "SELECT 1 INTO OUTFILE '$ROOT/out/rows'" >/dev/null
  rm -f "$ROOT/out/rows"
}
do_settings() { sql -e "SET GLOBAL max_connections = $(between 50 99); FLUSH LOGS; FLUSH TABLES" >/dev/null; }
do_users() { sql -e "CREATE OR REPLACE USER u@localhost IDENTIFIED BY 'p'; GRANT SELECT ON *.* TO u@localhost; DROP USER u@localhost" >/dev/null; }
do_hangup() { kill -HUP "$(pgrep -xo mariadbd)" && ready; }
do_clients() { for n in $(seq "$(between 3 20)"); do sql -e 'SELECT sleep(0.01)' >/dev/null & done; wait; }
workload "$@"
