#!/bin/sh
# As eclipse-mosquitto's: the data is given to mosquitto, which the server becomes by itself.
set -e
if [ "$(id -u)" = 0 ] && [ -d /mosquitto ]; then chown -R mosquitto:mosquitto /mosquitto || true; fi
exec "$@"
