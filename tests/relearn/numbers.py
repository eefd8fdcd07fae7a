# Names that have a number of the process, of the host, or that the kernel chose: KIND.
import os, socket, sys, subprocess
def listen(path):
    s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen(); return s
kind = sys.argv[1]
if kind == 'haproxy':
    tmp = '/data/admin.sock.%d.tmp' % os.getpid()
    s = listen(tmp); os.rename(tmp, '/data/admin.sock')
    c = socket.socket(socket.AF_UNIX); c.connect('/data/admin.sock'); print('ok')
elif kind == 'cgisock':
    pid = os.getpid(); s = listen('/data/cgisock.%d' % pid); os.chmod('/data/cgisock.%d' % pid, 0o666)
    if os.fork() == 0:
        os.setresgid(33,33,33); os.setresuid(33,33,33)
        c = socket.socket(socket.AF_UNIX); c.connect('/data/cgisock.%d' % pid); print('ok', flush=True); os._exit(0)
    os.wait()
elif kind == 'abstract':
    s = listen('\0app-%d' % os.getpid()); print('ok')
elif kind == 'lock':
    p = '/data/app-%d.lock' % os.getpid(); open(p, 'w').close(); os.unlink(p); print('ok')
elif kind == 'port':
    s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
    c = socket.create_connection(s.getsockname()); print('ok')
elif kind == 'host':
    h = socket.gethostname(); s = listen('/data/%s.sock' % h); open('/data/%s.err' % h, 'w').close(); print('ok')
elif kind == 'shell':
    print(subprocess.run(['/bin/sh', '-c', 'echo x > /data/t.$$; cat /data/t.$$'], capture_output=True, text=True).stdout.strip())
elif kind == 'temporary':
    import tempfile
    with tempfile.NamedTemporaryFile(dir='/data') as f: f.write(b'x')
    with tempfile.TemporaryDirectory() as d: s = listen(d + '/s'); c = socket.socket(socket.AF_UNIX); c.connect(d + '/s'); print('ok')
elif kind == 'run':
    open('/run/app-%d.pid' % os.getpid(), 'w').close(); print('ok')
