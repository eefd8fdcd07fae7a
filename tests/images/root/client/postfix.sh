ready() { await accepts 25; }
work() {
    before=$(cat /home/alice/Maildir/new/* 2>/dev/null | grep -c '^Subject')
    python3 /client/mail.py "$PHASE"
    more() { [ "$(cat /home/alice/Maildir/new/* 2>/dev/null | grep -c '^Subject')" -gt "$before" ]; }
    await more
    echo delivered
    cat /home/alice/Maildir/new/* | grep -a "^Subject: $PHASE"
}
reload() { postfix reload >/dev/null 2>&1; ready; }
