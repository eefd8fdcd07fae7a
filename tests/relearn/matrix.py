# What a process does that is root, changed its user, or was forked before or after: SHAPE FOLDER.
# Each act prints a line.
import ctypes, errno, os, socket, sys, threading
shape, base = sys.argv[1], sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)
UID = 33

def word(f):
    try:
        return str(f())
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))

def files():
    d = base
    with open(d + '/made', 'w') as f: f.write('x')
    os.chdir(d)
    with open('relative', 'w') as f: f.write('y')
    os.rename('relative', 'renamed')
    os.mkdir('folder'); os.rmdir('folder')
    os.symlink('made', 'link'); os.unlink('link')
    os.truncate('made', 0)
    dirfd = os.open(d, os.O_RDONLY)
    os.unlink('renamed', dir_fd=dirfd)
    os.close(dirfd)
    os.chdir('/')
    return 'ok'

def program():
    pid = os.fork()
    if pid == 0:
        try: os.execv('/bin/cat', ['cat', '/etc/app.conf'])
        finally: os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

listeners = {}
def bind():
    t = socket.socket(); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); t.bind(('127.0.0.1', 7001)); t.listen()
    u = socket.socket(socket.AF_UNIX); u.bind(base + '/listeners.sock'); u.listen()
    a = socket.socket(socket.AF_UNIX); a.bind('\0ears'); a.listen()
    listeners.update(t=t, u=u, a=a)
    return 'ok'

def connect():
    socket.create_connection(('127.0.0.1', 7001)).close()
    s = socket.socket(socket.AF_UNIX); s.connect(base + '/listeners.sock'); s.close()
    s = socket.socket(socket.AF_UNIX); s.connect('\0ears'); s.close()
    return 'ok'

def call():
    return libc.personality(0xffffffff) >= 0 and libc.mlockall(0x10) in (0, -1)

def capability():
    with open(base + '/mine', 'w'): pass
    a = word(lambda: os.chown(base + '/mine', 12, -1))
    s = socket.socket()
    b = word(lambda: s.bind(('127.0.0.1', 99)))
    return a + ' ' + b

def acts():
    for act in (files, program, bind, connect, call, capability):
        print(shape, act.__name__, word(act), flush=True)

def drop():
    os.setgroups([]); os.setresgid(UID, UID, UID); os.setresuid(UID, UID, UID)

def forked(f):
    pid = os.fork()
    if pid == 0:
        try: f()
        except BaseException as e: print(repr(e), flush=True); os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code: print('child', code); sys.exit(1)

def chain(*steps):
    if steps: steps[0](lambda: chain(*steps[1:]))

fork = forked
def dropped(f): drop(); f()
def threads(f):
    gate = threading.Event()
    t = threading.Thread(target=lambda: (gate.wait(), f()))
    t.start(); gate.set(); t.join()
def inner(f): acts()
def hidden(f):
    libc.prctl(4, 0, 0, 0, 0)
    f()
shapes = {
    'root': [inner],
    'dropped': [dropped, inner],
    'dropped-forked': [dropped, fork, inner],
    'forked-dropped': [fork, dropped, inner],
    'forked-dropped-forked': [fork, dropped, fork, inner],
    'threads': [dropped, threads, inner],
    'thread-drops': [threads, dropped, fork, inner],
    'undumpable': [hidden, fork, inner],
}
chain(*shapes[shape])
