# What all workloads share; read by each with `.`. A workload is a script with
#
#   prepare          makes its state below $ROOT, once, in the image that all runs start with
#   command          prints COMMAND, one argument a line
#   options          prints options of `docker run`, one word a line
#   labels           prints what it can do, one label a line
#   work LABEL...    waits for an answer and does this, at random by $SEED, from a container beside
#
# $ROOT and $PORT are the same in all runs of one workload, so that what was learned in one
# holds in another; $SEED is not. Work that fails ends with another exit code than 0.
set -euo pipefail
: "${ROOT:?}" "${PORT:?}"
RANDOM=${SEED:-1}

# A number from $1 to $2.
between() { echo $(($1 + (RANDOM * 32768 + RANDOM) % ($2 - $1 + 1))); }

# Until it succeeds; it is not tried again after two minutes.
wait_for() {
  local end=$((SECONDS + 120))
  while [ $SECONDS -lt $end ]; do
    "$@" >/dev/null 2>&1 && return
    sleep 0.05
  done
  echo "waited in vain for: $*" >&2
  return 1
}

# A page of the app; more arguments are curl's.
page() { curl --silent --show-error --fail --max-time 30 --output /dev/null "${@:2}" "http://127.0.0.1:$PORT$1"; }

# The same where an error is the answer.
refused() { curl --silent --max-time 30 --output /dev/null "${@:2}" "http://127.0.0.1:$PORT$1"; }

# So many requests, from some clients at once.
load() { wrk --threads 1 --connections "$(between 2 16)" --duration 1s "http://127.0.0.1:$PORT$1" >/dev/null; }

options() { :; }

# Does what the arguments of the script ask for; the function do_LABEL is the work of a label.
workload() {
  case $1 in
    work)
      ready
      # Until it counts as ready: nothing was bound for a second.
      sleep 1.5
      shift
      for label in "$@"; do "do_$label"; done
      ;;
    labels) declare -F | sed -n 's/^declare -f do_//p' ;;
    *) "$1" ;;
  esac
}
