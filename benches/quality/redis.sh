#!/bin/bash
# redis: a benchmark, and each way of persistence.
. "$(dirname "$0")/workload.sh"

prepare() {
  rm -rf "$ROOT" && mkdir -p "$ROOT/data"
  cat >"$ROOT/redis.conf" <<END
bind 127.0.0.1
port $PORT
dir $ROOT/data
appendonly yes
save ""
logfile $ROOT/data/redis.log
END
}

command() { printf '%s\n' /usr/bin/redis-server "$ROOT/redis.conf"; }
redis() { redis-cli -p "$PORT" "$@"; }
ready() { wait_for redis ping; }
idle() { redis info persistence | tr -d '\r' | grep -qx "$1:0"; }

do_benchmark() { redis-benchmark -p "$PORT" -q -n "$(between 500 4000)" -t get,set,lpush,sadd,hset -d "$(between 1 3000)" >/dev/null; }
do_pubsub() { for n in $(seq "$(between 1 20)"); do redis publish channel "$n" >/dev/null; done; }
do_save() { redis set "key$(between 1 99)" value >/dev/null && [ "$(redis save)" = OK ]; }
do_bgsave() {
  wait_for idle aof_rewrite_in_progress
  redis bgsave >/dev/null
  wait_for idle rdb_bgsave_in_progress
}
do_aofrewrite() {
  wait_for idle rdb_bgsave_in_progress
  redis bgrewriteaof >/dev/null
  wait_for idle aof_rewrite_in_progress
}
do_configrewrite() { redis config set maxmemory "$(between 10 99)mb" >/dev/null && [ "$(redis config rewrite)" = OK ]; }
do_script() { redis eval 'return redis.call("incr", KEYS[1])' 1 counter >/dev/null; }
workload "$@"
