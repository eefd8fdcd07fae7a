#!/bin/bash -e
# As Rails makes it: jemalloc for the app, where the image has it.
if [ -z "${LD_PRELOAD+x}" ]; then
    LD_PRELOAD=$(find /usr/lib -name libjemalloc.so.2 -print -quit)
    export LD_PRELOAD
fi
exec "${@}"
