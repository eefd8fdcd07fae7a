#!/bin/bash
# A static server of musl's, which runs no other program.
. "$(dirname "$0")/workload.sh"

prepare() {
  rm -rf "$ROOT" && mkdir -p "$ROOT"/{www,state}
  echo page >"$ROOT/www/index.html"
  head -c 300000 /dev/zero >"$ROOT/www/large"
}
command() { printf '%s\n' /usr/local/bin/serve "$PORT" "$ROOT/www" "$ROOT/state"; }
ready() { wait_for page /; }
do_get() { for n in $(seq "$(between 1 9)"); do page /; done; }
do_large() { page /large; }
do_errors() { refused "/nothing-$(between 1 9)"; }
do_count() { for n in $(seq "$(between 1 9)"); do page /count; done; }
do_list() { page /list; }
do_rotate() {
  mv "$ROOT/state/log" "$ROOT/state/log.1"
  kill -HUP "$(pgrep -xo serve)"
  wait_for test -e "$ROOT/state/log"
}
do_clients() { for n in $(seq "$(between 5 40)"); do page / & done; wait; }
workload "$@"
