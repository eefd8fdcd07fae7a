"""A mail stored, found and read."""
import imaplib

with imaplib.IMAP4("127.0.0.1", 143, timeout=20) as server:
    print(server.login("alice", "secret")[0])
    print(server.append("INBOX", "", None, b"Subject: stored\r\n\r\nhello\r\n")[0])
    print(server.select("INBOX")[0])
    kind, found = server.search(None, "SUBJECT", "stored")
    print(kind, len(found[0].split()) > 0)
    print(server.fetch(found[0].split()[-1], "BODY[TEXT]")[1][0][1])
