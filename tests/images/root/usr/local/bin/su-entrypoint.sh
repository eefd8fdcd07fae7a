#!/bin/sh
# As older images do: su instead of gosu.
set -e
chown www-data /var/www
exec su -s /bin/sh www-data -c 'exec "$0" "$@"' -- "$@"
