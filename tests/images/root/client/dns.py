"""dns.py [-t] NAME: its addresses of the server on 127.0.0.1:53, over UDP or TCP."""
import socket
import struct
import sys

tcp = sys.argv[1] == "-t"
name = sys.argv[-1]
question = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0)
question += b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0\0\1\0\1"
if tcp:
    with socket.create_connection(("127.0.0.1", 53), 3) as server:
        server.sendall(struct.pack("!H", len(question)) + question)
        answer = server.recv(4096)[2:]
else:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.settimeout(3)
        server.sendto(question, ("127.0.0.1", 53))
        answer = server.recv(4096)
count = struct.unpack("!H", answer[6:8])[0]
addresses = [socket.inet_ntoa(answer[-4:])] if count else []
print(name, "code", answer[3] & 15, *addresses)
