#!/bin/bash
# memcached: started as root, serving as memcache.
. "$(dirname "$0")/workload.sh"

prepare() { rm -rf "$ROOT" && mkdir -p "$ROOT"; }
command() { printf '%s\n' /usr/bin/memcached -u memcache -m 16 -l 127.0.0.1 -p "$PORT"; }
talk() {
  exec 3<>"/dev/tcp/127.0.0.1/$PORT"
  printf '%s\r\n' "$@" quit >&3
  timeout 20 cat <&3
  exec 3>&-
}
ready() { wait_for talk version; }
do_values() { for n in $(seq "$(between 1 20)"); do talk "set key$n 0 0 5" hello "get key$n" "delete key$n" >/dev/null; done; }
do_counters() { talk 'set n 0 0 1' 1 "incr n $(between 1 99)" 'decr n 1' >/dev/null; }
do_stats() { talk stats 'stats items' 'stats slabs' >/dev/null; }
do_large() {
  local size
  size=$(between 10000 900000)
  { printf "set large 0 0 %s\r\n" "$size"; head -c "$size" /dev/zero; printf "\r\nget large\r\nquit\r\n"; } >"/tmp/large"
  timeout 20 bash -c "exec 3<>/dev/tcp/127.0.0.1/$PORT; cat /tmp/large >&3 & cat <&3; wait" | wc -c >/dev/null
}
do_flush() { talk flush_all 'lru_crawler crawl all' >/dev/null; }
do_clients() { for n in $(seq "$(between 5 40)"); do talk "get key$n" >/dev/null & done; wait; }
workload "$@"
