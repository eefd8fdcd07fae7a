ready() { await says 'job ran' cat /tmp/cron.log; }
work() { head -n 1 /tmp/cron.log; : >/tmp/cron.log; }
