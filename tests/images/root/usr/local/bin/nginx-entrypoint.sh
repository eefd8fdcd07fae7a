#!/bin/sh
# As nginx's: the scripts of /docker-entrypoint.d, then the server.
set -e
if [ "$1" = nginx ] && find /docker-entrypoint.d/ -mindepth 1 -maxdepth 1 -type f -print -quit 2>/dev/null | read -r _; then
    find /docker-entrypoint.d/ -follow -type f -print | sort -V | while read -r script; do
        case $script in
        *.envsh) . "$script" ;;
        *.sh) [ ! -x "$script" ] || "$script" ;;
        esac
    done
fi
exec "$@"
