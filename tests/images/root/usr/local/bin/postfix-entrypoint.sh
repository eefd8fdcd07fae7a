#!/bin/sh
# As boky/postfix's: settings of the environment by postconf, then the master in front.
set -e
postconf -e maillog_file=/dev/stdout "myhostname=$MYHOST" inet_interfaces=loopback-only inet_protocols=ipv4 \
    'mydestination=app.test localhost' home_mailbox=Maildir/ smtputf8_enable=no alias_maps= alias_database=
exec postfix start-fg
