#!/bin/bash
# gunicorn: workers that come, go, are reloaded and crash.
. "$(dirname "$0")/workload.sh"

prepare() {
  rm -rf "$ROOT" && mkdir -p "$ROOT/data"
  cat >"$ROOT/app.py" <<'END'
import os, tempfile

def application(environ, start_response):
    size = int(environ.get("CONTENT_LENGTH") or 0)
    with tempfile.TemporaryFile() as file:
        file.write(environ["wsgi.input"].read(size))
        length = file.tell()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {length}\n".encode()]
END
}

command() {
  printf '%s\n' /usr/bin/gunicorn --chdir "$ROOT" --workers 2 --bind "127.0.0.1:$PORT" --pid "$ROOT/data/pid" \
    --graceful-timeout 2 app:application
}
ready() { wait_for page /; }
master() { cat "$ROOT/data/pid"; }
workers() { pgrep -P "$(master)" | sort; }
count_is() { [ "$(workers | wc -l)" = "$1" ]; }
other_workers() { count_is 2 && ! workers | grep -qxF "$1"; }

do_get() { load /; }
do_post() { head -c "$(between 10 200000)" /dev/zero | page / --request POST --data-binary @-; }
do_reload() {
  local before
  before=$(workers)
  kill -HUP "$(master)"
  wait_for other_workers "$before"
  ready
}
do_scale() {
  kill -TTIN "$(master)" && wait_for count_is 3
  kill -TTOU "$(master)" && wait_for count_is 2
}
do_crash() {
  local before
  before=$(workers)
  # shellcheck disable=SC2086
  kill -KILL $before
  wait_for other_workers "$before"
  ready
}
workload "$@"
