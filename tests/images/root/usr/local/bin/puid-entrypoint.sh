#!/bin/bash
# As linuxserver's and many more: the app's user takes the numbers of the environment.
set -e
PUID=${PUID:-911} PGID=${PGID:-911}
if ! getent group app >/dev/null; then groupadd -g "$PGID" app; fi
if ! getent passwd app >/dev/null; then useradd -u 911 -g app -d /config -s /bin/sh app; fi
groupmod -o -g "$PGID" app
usermod -o -u "$PUID" app
mkdir -p /config
chown app:app /config
exec setpriv --reuid="$PUID" --regid="$PGID" --init-groups "$@"
