#!/bin/bash
# postgres: initdb by an entrypoint that changes its user, load, vacuum, crash recovery.
. "$(dirname "$0")/workload.sh"
BIN=$(echo /usr/lib/postgresql/*/bin)
# Debian's own psql is a script of perl's.
PATH=$BIN:$PATH

prepare() {
  rm -rf "$ROOT" && mkdir -p "$ROOT/data" && chmod 755 "$ROOT"
  cat >"$ROOT/entrypoint.sh" <<END
#!/bin/sh
set -e
if [ "\$(id -u)" = 0 ]; then
  chown postgres "$ROOT/data"
  chmod 700 "$ROOT/data"
  exec gosu postgres "\$0" "\$@"
fi
if [ ! -s "$ROOT/data/PG_VERSION" ]; then
  "$BIN/initdb" --auth trust --no-sync -D "$ROOT/data" >/dev/null
fi
exec "$BIN/postgres" -D "$ROOT/data" -c listen_addresses=127.0.0.1 -p $PORT -c unix_socket_directories=''
END
  chmod 755 "$ROOT/entrypoint.sh"
}

command() { echo "$ROOT/entrypoint.sh"; }
sql() { psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 -h 127.0.0.1 -p "$PORT" -U postgres --tuples-only --command "$1"; }
ready() { wait_for sql 'select 1'; }

do_load() {
  pgbench -h 127.0.0.1 -p "$PORT" -U postgres --initialize --scale 1 --quiet postgres >/dev/null 2>&1
  pgbench -h 127.0.0.1 -p "$PORT" -U postgres --client "$(between 1 4)" --time 1 postgres >/dev/null 2>&1
}
do_tables() {
  sql "create table if not exists t (a int primary key, b text)"
  sql "insert into t select g, repeat('x', $(between 1 2000)) from generate_series(1, $(between 100 3000)) g on conflict do nothing"
  sql "create index concurrently if not exists t_b on t (md5(b))"
  sql "drop table t"
}
do_vacuum() { sql 'create temp table v as select generate_series(1, 1000)' && sql 'vacuum full' && sql 'checkpoint'; }
do_parallel() { sql "set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; select count(*) from pg_class a, pg_class b" >/dev/null; }
do_reload() { sql "alter system set work_mem = '$(between 4 64)MB'" && sql 'select pg_reload_conf()' >/dev/null; }
do_dump() { sql "copy (select generate_series(1, $(between 10 999))) to '$ROOT/data/dump-out'" && rm -f "$ROOT/data/dump-out"; }
# A backend dies hard: the postmaster ends the others and recovers.
do_crash() {
  psql --quiet -h 127.0.0.1 -p "$PORT" -U postgres --command "select pg_sleep(30)" >/dev/null 2>&1 &
  wait_for pid_of_sleeper
  kill -KILL "$(pid_of_sleeper)"
  wait %% 2>/dev/null || true
  ready
}
pid_of_sleeper() { sql "select pid from pg_stat_activity where query = 'select pg_sleep(30)'" | tr -dc 0-9 | grep .; }
workload "$@"
