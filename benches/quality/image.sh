#!/bin/bash
# An image with the programs that the workloads need: the root of Debian's packages that .ci/servers
# makes, and beside them a load generator, and two servers made here: one of musl's, one of a JVM's.
# Prints nothing; the name of the image is $1.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=${CARGO_TARGET_DIR:-$here/../../target}/servers/root.tar
for wanted in "$root" /usr/bin/wrk /bin/busybox /usr/bin/javac /usr/bin/x86_64-linux-musl-gcc; do
  [ -e "$wanted" ] || { echo "$wanted is missing: REMIT_IMAGES=1 scripts/test --set-up" >&2 && exit 1; }
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"; docker rmi "$1-servers" >/dev/null 2>&1 || true' EXIT
mkdir -p "$folder"/files/usr/local/{bin,lib,share}
cp /usr/bin/wrk /bin/busybox "$folder/files/usr/local/bin"
ldd /usr/bin/wrk | sed -n 's/.*=> \(.*luajit[^ ]*\).*/\1/p' | xargs -I{} cp -L {} "$folder/files/usr/local/lib"
javac -d "$folder/files/usr/local/share" "$here/Service.java"
x86_64-linux-musl-gcc -static -O1 -pthread -o "$folder/files/usr/local/bin/serve" "$here/serve.c"
# Without the packages' database: it is of all these servers, and each run would read it at its end.
printf 'FROM %s\nCOPY files /\nRUN ldconfig && rm -rf /var/lib/dpkg\n' "$1-servers" >"$folder/Dockerfile"
docker import "$root" "$1-servers" >/dev/null
docker build --quiet --tag "$1" "$folder" >/dev/null
