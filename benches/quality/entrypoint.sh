#!/bin/bash
# A shell script that makes its configuration and then becomes the server, which runs CGI.
. "$(dirname "$0")/workload.sh"

prepare() {
  rm -rf "$ROOT" && mkdir -p "$ROOT"/{templates,hooks,www/cgi-bin,etc}
  echo 'H:@ROOT@/www' >"$ROOT/templates/httpd.conf"
  echo 'page' >"$ROOT/www/index.html"
  printf '#!/bin/sh\necho Content-Type: text/plain\necho\nsort /etc/services | wc -l\n' >"$ROOT/www/cgi-bin/count"
  printf '#!/bin/sh\ndate +%%s >"%s/etc/started"\n' "$ROOT" >"$ROOT/hooks/10-date.sh"
  cat >"$ROOT/entrypoint.sh" <<END
#!/bin/sh
set -e
for hook in "$ROOT"/hooks/*.sh; do "\$hook"; done
for template in "$ROOT"/templates/*; do
  sed "s,@ROOT@,$ROOT," "\$template" >"$ROOT/etc/\$(basename "\$template")"
done
exec /usr/local/bin/busybox httpd -f -p 127.0.0.1:$PORT -c "$ROOT/etc/httpd.conf" -h "$ROOT/www"
END
  chmod 755 "$ROOT"/entrypoint.sh "$ROOT"/hooks/* "$ROOT"/www/cgi-bin/*
}

command() { echo "$ROOT/entrypoint.sh"; }
ready() { wait_for page /; }
do_get() { for n in $(seq "$(between 1 9)"); do page /; done; }
do_errors() { refused "/nothing-$(between 1 9)"; }
do_cgi() { for n in $(seq "$(between 1 4)"); do page /cgi-bin/count; done; }
workload "$@"
