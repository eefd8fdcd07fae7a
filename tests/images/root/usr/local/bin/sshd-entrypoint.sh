#!/bin/sh
# As linuxserver/openssh-server and panubo/sshd: keys, then the daemon in front.
set -e
mkdir -p /run/sshd
ssh-keygen -A >/dev/null
exec /usr/sbin/sshd -D -e -p 2222 "$@"
