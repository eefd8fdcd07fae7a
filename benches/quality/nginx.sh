#!/bin/bash
# nginx: serve, errors, uploads, reload, log reopen, upgrade and back.
. "$(dirname "$0")/workload.sh"

prepare() {
  rm -rf "$ROOT" && mkdir -p "$ROOT"/{logs,html,temp} && chmod 755 "$ROOT"
  head -c 612 /dev/zero >"$ROOT/html/index.html"
  head -c 300000 /dev/zero >"$ROOT/html/large"
  cat >"$ROOT/nginx.conf" <<END
user www-data;
worker_processes 2;
pid $ROOT/nginx.pid;
error_log $ROOT/logs/error.log notice;
events { worker_connections 256; }
http {
  access_log $ROOT/logs/access.log;
  client_body_temp_path $ROOT/temp/body;
  proxy_temp_path $ROOT/temp/proxy;
  fastcgi_temp_path $ROOT/temp/fastcgi;
  uwsgi_temp_path $ROOT/temp/uwsgi;
  scgi_temp_path $ROOT/temp/scgi;
  server {
    listen 127.0.0.1:$PORT reuseport;
    root $ROOT/html;
    autoindex on;
    client_max_body_size 8m;
    location /upload {
      client_body_in_file_only clean;
      proxy_pass http://127.0.0.1:$PORT/;
      proxy_method GET;
    }
  }
}
END
  cat >"$ROOT/start.sh" <<END
#!/bin/sh
# A master in the foreground takes no upgrade: its parent is the one that it began with.
/usr/sbin/nginx -c "$ROOT/nginx.conf" || exit
trap 'kill -TERM "\$(cat "$ROOT/nginx.pid")" \$!; exit 0' TERM
while :; do
  sleep 1000 &
  wait \$!
done
END
  chmod 755 "$ROOT/start.sh"
}

command() { echo "$ROOT/start.sh"; }
ready() { wait_for page /; }
master() { cat "$ROOT/nginx.pid"; }
workers() { pgrep -P "$(master)" | sort; }
other_workers() { ! workers | grep -qxF "$1"; }

do_get() {
  load /
  local n
  for n in $(seq "$(between 1 8)"); do
    page /large --range "$(between 0 1000)-$(between 2000 250000)"
    page / --head
  done
}
do_errors() {
  refused "/nothing-$(between 1 9)"
  refused / --request BREW
  exec 3<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'nonsense\r\n\r\n' >&3
  timeout 2 cat <&3 >/dev/null
  exec 3>&-
}
do_upload() { head -c "$(between 20000 4000000)" /dev/urandom | page /upload --request POST --data-binary @-; }
do_reload() {
  local before
  before=$(workers)
  kill -HUP "$(master)"
  wait_for other_workers "$before"
  page /
}
do_reopen() {
  mv "$ROOT/logs/access.log" "$ROOT/logs/access.log.1"
  kill -USR1 "$(master)"
  wait_for test -e "$ROOT/logs/access.log"
  page /
}
# A new master beside the old one; one of them stays.
do_upgrade() {
  local old new
  old=$(master)
  kill -USR2 "$old"
  wait_for test -s "$ROOT/nginx.pid.oldbin" -a -s "$ROOT/nginx.pid"
  new=$(master)
  page /
  if [ "$(between 0 1)" = 0 ]; then kill -QUIT "$old"; else kill -QUIT "$new"; fi
  wait_for test ! -e "$ROOT/nginx.pid.oldbin"
  page /
}
workload "$@"
