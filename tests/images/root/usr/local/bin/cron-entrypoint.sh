#!/bin/sh
# What the job may not outlive: that it ran once since the machine was booted.
set -e
rm -f /run/crond.reboot /tmp/cron.log
exec cron -f
