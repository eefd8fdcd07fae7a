# A client of AMQP 0-9-1: declares a durable queue, publishes a persistent message, and gets it.
import socket, struct

s = socket.create_connection(("127.0.0.1", 5672), 20)


def read(count):
    data = b""
    while len(data) < count:
        more = s.recv(count - len(data))
        if not more:
            raise EOFError("the server closed the connection")
        data += more
    return data


def frame():
    while True:
        kind, _, size = struct.unpack(">BHI", read(7))
        body = read(size + 1)[:-1]
        if kind != 8:  # a heartbeat
            return body


def send(kind, channel, body):
    s.sendall(struct.pack(">BHI", kind, channel, len(body)) + body + b"\xce")


def short(text):
    return bytes([len(text)]) + text


def long(text):
    return struct.pack(">I", len(text)) + text


def call(channel, method, body, answer):
    send(1, channel, struct.pack(">HH", *method) + body)
    got = frame()
    assert struct.unpack(">HH", got[:4]) == answer, got
    return got[4:]


s.sendall(b"AMQP\x00\x00\x09\x01")
assert frame()[:4] == struct.pack(">HH", 10, 10)
tune = call(0, (10, 11), long(b"") + short(b"PLAIN") + long(b"\0guest\0guest") + short(b"en_US"), (10, 30))
send(1, 0, struct.pack(">HH", 10, 31) + tune)
call(0, (10, 40), short(b"/") + short(b"") + b"\0", (10, 41))
call(1, (20, 10), short(b""), (20, 11))
call(1, (50, 10), struct.pack(">H", 0) + short(b"amqp") + b"\x02" + long(b""), (50, 11))
send(1, 1, struct.pack(">HHH", 60, 40, 0) + short(b"") + short(b"amqp") + b"\0")
# Property delivery_mode, bit 12: on disk.
send(2, 1, struct.pack(">HHQHB", 60, 0, 5, 1 << 12, 2))
send(3, 1, b"hello")
got = call(1, (60, 70), struct.pack(">H", 0) + short(b"amqp") + b"\0", (60, 71))
header, body = frame(), frame()
send(1, 1, struct.pack(">HH", 60, 80) + got[:8] + b"\0")
call(1, (20, 40), struct.pack(">H", 200) + short(b"") + struct.pack(">HH", 0, 0), (20, 41))
call(0, (10, 50), struct.pack(">H", 200) + short(b"") + struct.pack(">HH", 0, 0), (10, 51))
print("got", body.decode())
