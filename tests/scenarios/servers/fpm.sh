#!/bin/sh
# php-fpm in the background, and nginx before it.
set -eu
for fpm in /usr/sbin/php-fpm*; do
    "$fpm" --fpm-config /srv/fpm.conf -d opcache.jit=tracing -d opcache.jit_buffer_size=16M
done
exec "$@"
