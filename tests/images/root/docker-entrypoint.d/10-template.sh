#!/bin/sh
# As 20-envsubst-on-templates.sh: variables of the container into the configuration.
set -e
mkdir -p /etc/nginx/more
sed "s/@HOOK@/${HOOK:-hook}/" /srv/hook.conf.template >/etc/nginx/more/hook.conf
