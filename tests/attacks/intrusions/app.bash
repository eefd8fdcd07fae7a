#!/bin/bash
# An app's script that does what an intruder has it do: exits with 42 when it was
# possible, else with the errno of what was not.
web_shell() {
    /bin/sh -c 'exit 42'
}
# The shell's own connection, with a shell at its end.
reverse_shell() {
    exec 3<>/dev/tcp/127.0.0.1/8080 || return 13
    /bin/sh -c 'exit 42' <&3 >&3
}
# What the script interpreter would do for a process that calls it itself.
another_interpreter() {
    /bin/bash -c 'exit 42'
}
"$1" 2>/dev/null
