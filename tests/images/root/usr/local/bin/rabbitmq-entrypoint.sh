#!/bin/bash
# As rabbitmq's: as root give the data to rabbitmq and become it.
set -eo pipefail
if [[ "$1" == *rabbitmq* ]] && [ "$(id -u)" = 0 ]; then
    if [[ "$1" == *rabbitmq-server ]]; then find /var/lib/rabbitmq \! -user rabbitmq -exec chown rabbitmq '{}' +; fi
    exec gosu rabbitmq "${BASH_SOURCE[0]}" "$@"
fi
exec "$@"
