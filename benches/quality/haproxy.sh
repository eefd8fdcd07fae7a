#!/bin/bash
# haproxy: a master with a worker, which changes its user and its root; reloads, checks, a socket for its statistics.
. "$(dirname "$0")/workload.sh"

prepare() {
  rm -rf "$ROOT" && mkdir -p "$ROOT/empty"
  cat >"$ROOT/haproxy.cfg" <<END
global
    chroot $ROOT/empty
    user haproxy
    group haproxy
    stats socket $ROOT/admin.sock mode 600 level admin
    log stdout format raw local0
    maxconn 200
defaults
    mode http
    log global
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend web
    bind 127.0.0.1:$PORT
    http-request deny if { path /denied }
    http-request use-service prometheus-exporter if { path /metrics }
    default_backend app
backend app
    compression algo gzip
    server one 127.0.0.1:8081 check inter 500ms
frontend origin
    bind 127.0.0.1:8081
    http-request return status 200 content-type text/plain string "answered"
END
}
command() { printf '%s\n' /usr/sbin/haproxy -W -db -f "$ROOT/haproxy.cfg"; }
options() { printf '%s\n' --stop-signal USR1; }
ready() { wait_for page /; }
workers() { pgrep -xP "$(pgrep -xo haproxy)" haproxy | sort; }
other_workers() { ! workers | grep -qxF "$1"; }
do_get() { load /; }
do_errors() {
  refused /denied
  refused / --request BREW
}
do_metrics() { page /metrics; }
do_reload() {
  local before
  before=$(workers | tail -1)
  kill -USR2 "$(pgrep -xo haproxy)"
  wait_for other_workers "$before"
  ready
}
do_admin() { python3 -c "
import socket
s = socket.socket(socket.AF_UNIX)
s.connect('$ROOT/admin.sock')
s.send(b'show info; show stat\n')
while s.recv(9999): pass"; }
do_clients() { for n in $(seq "$(between 5 40)"); do page / & done; wait; }
workload "$@"
