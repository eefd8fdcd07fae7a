#!/bin/sh
# As memcached's, haproxy's, node's and php's: options alone get the program before them.
set -e
if [ "${1#-}" != "$1" ]; then set -- "$PROGRAM" "$@"; fi
exec "$@"
