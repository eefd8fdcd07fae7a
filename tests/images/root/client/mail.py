"""mail.py SUBJECT: a mail to alice."""
import smtplib
import sys

with smtplib.SMTP("127.0.0.1", 25, timeout=20) as server:
    refused = server.sendmail("bob@app.test", ["alice@app.test"], f"Subject: {sys.argv[1]}\r\n\r\nhello\r\n")
    print("refused", refused)
