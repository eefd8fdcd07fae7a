#!/bin/bash
# One static program, which runs no other.
. "$(dirname "$0")/workload.sh"

prepare() {
  rm -rf "$ROOT" && mkdir -p "$ROOT/www"
  echo page >"$ROOT/www/index.html"
  head -c 300000 /dev/zero >"$ROOT/www/large"
}

command() { printf "%s\n" /usr/local/bin/busybox httpd -f -p "127.0.0.1:$PORT" -h "$ROOT/www"; }
ready() { wait_for page /; }
do_get() { for n in $(seq "$(between 1 9)"); do page /; done; }
do_range() { page /large --range "$(between 0 1000)-$(between 2000 250000)"; }
do_errors() { refused "/nothing-$(between 1 9)"; }
workload "$@"
