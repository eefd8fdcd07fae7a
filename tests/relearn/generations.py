# Sockets that go on over an exec, a fork, the end of their maker, or a message: KIND [GENERATION FD...].
import os, socket, sys, time
kind, gen = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
def again(*fds):
    for fd in fds: os.set_inheritable(fd, True)
    os.execv('/usr/bin/python3', ['python3', '/generations.py', kind, str(gen + 1), *map(str, fds)])
if kind in ('unix', 'tcp'):
    def c():
        s = socket.socket(socket.AF_UNIX if kind == 'unix' else socket.AF_INET); s.connect('/data/s' if kind == 'unix' else ('127.0.0.1', 7002)); return s
    if gen == 0:
        s = socket.socket(socket.AF_UNIX if kind == 'unix' else socket.AF_INET)
        s.bind('/data/s' if kind == 'unix' else ('127.0.0.1', 7002)); s.listen(5)
        n = socket.socket(socket.AF_UNIX); n.bind('/data/late')      # bound, listens in the next generation
        u = socket.socket(socket.AF_UNIX)   # unbound and unconnected
        c().close(); again(s.fileno(), n.fileno(), u.fileno())
    s, n, u = (socket.socket(fileno=int(fd)) for fd in sys.argv[3:])
    s.listen(9); n.listen(3); c().close(); u.connect('/data/late')
    pid = os.fork()
    if pid == 0:
        s.listen(7); n.listen(2); print('child', flush=True)
        os.execv('/usr/bin/python3', ['python3', '-c', 'print("x")'])
    os.wait()
    if gen < 3:
        u2 = socket.socket(socket.AF_UNIX)
        again(s.fileno(), n.fileno(), u2.fileno())
    # parent gone
    print('end', flush=True)
elif kind == 'spawn':
    # the parent of the new generation ends; the child takes over
    if gen == 0:
        s = socket.socket(socket.AF_UNIX); s.bind('/data/s'); 
        if os.fork() == 0: os.setsid(); again(s.fileno())
        os.wait()
        sys.exit(0)
    s = socket.socket(fileno=int(sys.argv[3])); s.listen(5)
    if os.fork() == 0:
        time.sleep(0.1)
        s.listen(9); c = socket.socket(socket.AF_UNIX); c.connect('/data/s'); print('end', flush=True); sys.exit(0)
    if gen == 1: os.wait()
elif kind == 'pass':
    a, b = socket.socketpair()
    if os.fork() == 0:
        m, f, _, _ = socket.recv_fds(b, 10, 2); s = socket.socket(fileno=f[0]); s.listen(4)
        u = socket.socket(fileno=f[1]); u.connect('/data/s'); print('end', flush=True); os._exit(0)
    s = socket.socket(socket.AF_UNIX); s.bind('/data/s'); u = socket.socket(socket.AF_UNIX)
    socket.send_fds(a, [b'x'], [s.fileno(), u.fileno()]); s.close(); u.close(); os.wait()
