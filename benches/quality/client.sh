#!/bin/bash
# The work on an app whose container's processes and network this one shares: client.sh SCRIPT LABEL...
# The app's state is behind the same path as there.
set -euo pipefail
mkdir -p "$(dirname "$ROOT")"
ln -s "/proc/1/root$ROOT" "$ROOT"
exec "$1" work "${@:2}"
