#!/bin/bash
# An image with Debian's programs that the workloads need, out of the packages of this
# machine: in a container no other files are there than these.
# Prints nothing; the name of the image is $1.
set -euo pipefail

wanted=(base-files bash busybox-static coreutils curl dash debianutils findutils gosu grep gunicorn libc-bin mawk
  nginx nodejs postgresql procps python3 redis-server redis-tools sed util-linux wrk)
installed=$(dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' | awk '$2 == "installed" { print $1 }' | sort -u)
for package in "${wanted[@]}"; do
  grep -qxF "$package" <<<"$installed" || { echo "$package is not installed" >&2 && exit 1; }
done
closure=$(apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks \
  --no-replaces --no-enhances "${wanted[@]}" | sed -n 's/^\([a-z0-9][^:]*\).*/\1/p' | sort -u)

list=$(mktemp)
trap 'rm -f "$list"' EXIT
for package in $(comm -12 <(echo "$closure") <(echo "$installed")); do dpkg-query --listfiles "$package"; done |
  grep -v '^/usr/share/\(doc\|man\|locale\|info\|lintian\)/' | sort -u |
  # /bin is a link to /usr/bin, and so on.
  sed 's,^/\(bin\|sbin\|lib\|lib64\)/,/usr/\1/,' | grep -vxF -e /. -e /bin -e /sbin -e /lib -e /lib64 | sort -u |
  while read -r file; do [ ! -e "$file" ] || echo "$file"; done >"$list"
for more in /bin /sbin /lib /lib64 /etc/passwd /etc/group /etc/nsswitch.conf /etc/hosts /etc/ld.so.cache /etc/services; do
  echo "$more" >>"$list"
done
sort -u -o "$list" "$list"
tar --create --no-recursion --absolute-names --hard-dereference --files-from "$list" | docker import - "$1" >/dev/null
