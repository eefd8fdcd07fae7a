"""A message published and received."""
import socket

with socket.create_connection(("127.0.0.1", 4222), 20) as server:
    lines = server.makefile("rwb")
    lines.readline()
    lines.write(b'CONNECT {"verbose":false}\r\nSUB news 1\r\nPUB news 5\r\nhello\r\nPING\r\n')
    lines.flush()
    while (line := lines.readline().strip()) != b"PONG":
        print(line.decode())
