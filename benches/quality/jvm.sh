#!/bin/bash
# A service of a JVM's: threads and the collector, files, a child.
. "$(dirname "$0")/workload.sh"

prepare() { rm -rf "$ROOT" && mkdir -p "$ROOT/data"; }
command() { printf '%s\n' "$(readlink -f /usr/bin/java)" -Xmx128m -cp /usr/local/share Service "$PORT" "$ROOT/data"; }
ready() { wait_for page /; }
do_get() { load /; }
do_threads() { page /threads; }
do_file() { for n in $(seq "$(between 1 4)"); do page /file; done; }
do_gzip() { for n in $(seq "$(between 1 9)"); do page /gzip; done; }
do_child() { page /child; }
do_clients() { for n in $(seq "$(between 5 40)"); do page / & done; wait; }
workload "$@"
