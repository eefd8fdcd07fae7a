ready() { await accepts 143; }
work() { python3 /client/imap.py; }
reload() { kill -HUP 1; ready; }
