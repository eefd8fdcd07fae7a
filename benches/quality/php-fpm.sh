#!/bin/bash
# php-fpm: a pool of www-data's that grows; files, children, a reload, a child that is killed.
. "$(dirname "$0")/workload.sh"

prepare() {
  rm -rf "$ROOT" && mkdir -p "$ROOT"/{www,data,sessions}
  chown www-data "$ROOT/data" "$ROOT/sessions"
  cat >"$ROOT/fpm.conf" <<END
[global]
daemonize = no
pid = $ROOT/fpm.pid
error_log = $ROOT/fpm.log
[www]
user = www-data
group = www-data
listen = 127.0.0.1:$PORT
pm = dynamic
pm.max_children = 6
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
catch_workers_output = yes
php_admin_value[session.save_path] = $ROOT/sessions
END
  echo '<?php echo "ok ", getmypid(), "\n";' >"$ROOT/www/ok.php"
  echo '<?php session_start(); $_SESSION["n"] = ($_SESSION["n"] ?? 0) + 1; echo $_SESSION["n"];' >"$ROOT/www/session.php"
  cat >"$ROOT/www/file.php" <<END
<?php
\$name = tempnam("$ROOT/data", "new");
file_put_contents(\$name, str_repeat("x", 9999));
rename(\$name, "$ROOT/data/file");
echo filesize("$ROOT/data/file");
END
  echo '<?php echo exec("/usr/bin/uname -s"), shell_exec("date +%Y");' >"$ROOT/www/child.php"
  echo '<?php for ($i = 0; $i < 200000; $i++) $a[] = md5((string) $i); sort($a); echo count($a); usleep(100000);' >"$ROOT/www/work.php"
}
command() { printf '%s\n' /usr/sbin/php-fpm8.2 -F -y "$ROOT/fpm.conf"; }
options() { printf '%s\n' --stop-signal QUIT; }
fcgi() {
  local text
  text=$(SCRIPT_FILENAME=$ROOT/www/$1.php REQUEST_METHOD=GET QUERY_STRING='' cgi-fcgi -bind -connect "127.0.0.1:$PORT" | tr -d '\r' | sed 1,/^$/d)
  [ -n "$text" ] && echo "$text"
}
ready() { wait_for fcgi ok; }
master() { cat "$ROOT/fpm.pid"; }
workers() { pgrep -P "$(master)" | sort; }
other_workers() { [ -n "$(workers)" ] && ! workers | grep -qxF "$1"; }
do_get() { for n in $(seq "$(between 1 20)"); do fcgi ok >/dev/null; done; }
do_session() { fcgi session >/dev/null; }
do_file() { for n in $(seq "$(between 1 4)"); do fcgi file >/dev/null; done; }
do_child() { fcgi child >/dev/null; }
do_grow() { for n in $(seq "$(between 4 8)"); do fcgi work >/dev/null & done; wait; }
do_reload() {
  local before
  before=$(workers | head -1)
  kill -USR2 "$(master)"
  wait_for other_workers "$before"
  ready
}
do_crash() {
  local before
  before=$(workers | head -1)
  kill -KILL "$before"
  wait_for other_workers "$before"
  ready
}
workload "$@"
