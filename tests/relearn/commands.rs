//! Many commands and servers: what one run of each showed lets another pass, elsewhere.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fresh::{can_run, differs, image, learn, under};

/// Files of the image, below /srv.
pub const SCRIPTS: &[(&str, &str)] = &[
    // As Debian's maintainer scripts and many entrypoints: a program without `#!`.
    ("plain", "echo plain $1\n"),
    // Its first call that is notified after its exec is its child's.
    // clone(2) with CLONE_VM and CLONE_VFORK: the parent is unreadable afterwards too.
    (
        "vfork.py",
        "import ctypes, os, socket\nlibc = ctypes.CDLL(None)\n@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)\ndef child(_):\n    libc.setresuid(33, 33, 33)\n    libc._exit(0)\nstack = ctypes.create_string_buffer(1 << 20)\ntop = (ctypes.addressof(stack) + len(stack)) & ~63\npid = libc.clone(child, ctypes.c_void_p(top), 0x100 | 0x4000 | 17, None)\nprint(os.waitpid(pid, 0)[1])\nopen('/data/after', 'w').write('x'); os.rename('/data/after', '/data/renamed')\ns = socket.socket(socket.AF_UNIX); s.bind('/data/after.sock'); print(sorted(os.listdir('/data')), os.system('exit 3'))\n",
    ),
    (
        "owned.py",
        "import os, socket\ns = socket.socket(socket.AF_UNIX); s.bind('/data/owned.sock')\nos.chmod('/data/owned.sock', 0o600); os.chown('/data/owned.sock', 33, 33); s.listen()\nc = socket.socket(socket.AF_UNIX); c.connect('/data/owned.sock'); print('connected')\n",
    ),
    ("hook.sh", "#!/bin/sh\nid -u; true\n"),
    (
        "entry.sh",
        "#!/bin/sh\nset -e\ncp /etc/app.conf /data/app.conf\nexport PYTHONPATH=/srv/site\nexec /srv/app \"$@\"\n",
    ),
    ("app", "#!/usr/bin/python3\nimport os, sys\nprint('app', os.environ['PYTHONPATH'], sys.argv[1:])\n"),
    (
        "bash.sh",
        "#!/bin/bash\ndeclare -A m=([a]=1 [b]=2)\nfor k in \"${!m[@]}\"; do echo $k ${m[$k]}; done | sort\ncat <(echo substituted) <<<here\nread x < /etc/app.conf; echo \"$x\"\n/srv/plain bash\n",
    ),
    (
        "redis.sh",
        "#!/bin/sh\nset -e\nsleep 0.01\ncd /data\nredis-server --port 7379 --dir /data --daemonize no --save '' >/data/redis.log &\nuntil redis-cli -p 7379 ping >/dev/null 2>&1; do sleep 0.05; done\nredis-cli -p 7379 set a 1\nredis-cli -p 7379 incr a\nredis-cli -p 7379 bgsave >/dev/null\nuntil [ -e /data/dump.rdb ]; do sleep 0.05; done\nredis-cli -p 7379 shutdown nosave || true\nwait $!\n",
    ),
    (
        "nginx.conf",
        "user www-data;\ndaemon off;\npid /data/nginx.pid;\nerror_log /data/error.log;\nworker_processes 2;\nevents { worker_connections 64; }\nhttp { access_log /data/access.log; client_body_temp_path /data/body; proxy_temp_path /data/proxy; fastcgi_temp_path /data/fastcgi; uwsgi_temp_path /data/uwsgi; scgi_temp_path /data/scgi; server { listen 127.0.0.1:8080; location / { root /srv/www; } } }\n",
    ),
    (
        "nginx.sh",
        "#!/bin/sh\nset -e\nsleep 0.01\nmkdir -p /data/www\nnginx -c /srv/nginx.conf &\nuntil curl -fs http://127.0.0.1:8080/index.html; do sleep 0.05; done\nkill -HUP $!\nsleep 0.3\ncurl -fs http://127.0.0.1:8080/index.html\ncurl -s -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:8080/none\nkill -QUIT $!\nwait $!\n",
    ),
    (
        "wsgi.py",
        "def app(environ, start):\n    start('200 OK', [('Content-Type', 'text/plain')])\n    with open('/tmp/wsgi', 'a') as f: f.write('x')\n    return [b'from gunicorn\\n']\n",
    ),
    (
        "gunicorn.sh",
        "#!/bin/sh\nset -e\nsleep 0.01\ncd /srv\ngunicorn -q -w 2 -u 33 -g 33 -b 127.0.0.1:8081 --pid /data/gunicorn.pid wsgi:app 2>/data/gunicorn.log &\nuntil curl -fs http://127.0.0.1:8081/; do sleep 0.1; done\nkill -HUP $!\nsleep 0.5\ncurl -fs http://127.0.0.1:8081/\nkill -TERM $!\nwait $!\n",
    ),
    (
        "php-fpm.conf",
        "[global]\nerror_log = /data/php.log\npid = /data/php.pid\ndaemonize = no\n[www]\nuser = www-data\ngroup = www-data\nlisten = /data/php.sock\nlisten.mode = 0666\npm = static\npm.max_children = 2\n",
    ),
    (
        "index.php",
        "<?php file_put_contents('/tmp/from-php', 'x'); echo 'from php ', shell_exec('cat /etc/app.conf');\n",
    ),
    (
        "fpm.py",
        "import socket, struct, sys, time\nfor _ in range(200):\n    try:\n        s = socket.socket(socket.AF_UNIX); s.connect('/data/php.sock'); break\n    except OSError: time.sleep(0.05)\ndef record(kind, body): return struct.pack('>BBHHBB', 1, kind, 1, len(body), 0, 0) + body\ndef pair(k, v): return bytes([len(k), len(v)]) + k + v\np = b''.join(pair(k, v) for k, v in [(b'SCRIPT_FILENAME', b'/srv/index.php'), (b'REQUEST_METHOD', b'GET'), (b'SCRIPT_NAME', b'/index.php')])\ns.sendall(record(1, struct.pack('>HB5x', 1, 0)) + record(4, p) + record(4, b'') + record(5, b''))\nout = b''\nwhile True:\n    b = s.recv(4096)\n    if not b: break\n    out += b\nprint(out[out.index(b'from'):out.index(b'an app')+8].decode())\n",
    ),
    (
        "fpm.sh",
        "#!/bin/sh\nset -e\nphp-fpm8.2 -F -n -y /srv/php-fpm.conf 2>/dev/null &\npython3 /srv/fpm.py\nkill -QUIT $!\nwait $!\n",
    ),
    (
        "http.py",
        "import http.server, threading, urllib.request\ns = http.server.ThreadingHTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\nthreading.Thread(target=s.serve_forever, daemon=True).start()\nprint(urllib.request.urlopen('http://127.0.0.1:%d/etc/app.conf' % s.server_address[1]).read())\ns.shutdown()\n",
    ),
    (
        "pool.py",
        "import concurrent.futures, os\nwith concurrent.futures.ProcessPoolExecutor(3) as p: print(sum(p.map(abs, range(30))))\n",
    ),
    (
        "workers.py",
        "import multiprocessing as m\ndef f(q): q.put(7)\nq = m.Queue(); p = m.Process(target=f, args=(q,)); p.start(); print(q.get()); p.join()\nwith m.Manager() as g: d = g.dict(); d['x'] = 1; print(dict(d))\n",
    ),
];

/// Each command has a name to print, the program that it needs, and its arguments.
const COMMANDS: &[(&str, &[&str])] = &[
    ("cat", &["cat", "/etc/app.conf"]),
    ("ls", &["ls", "/srv"]),
    ("ls", &["ls", "-lR", "/srv/www"]),
    ("ls", &["ls", "/", "/run"]),
    ("ls", &["sh", "-c", "ls /etc | grep app.conf"]),
    ("cp", &["cp", "/etc/app.conf", "/data/copy"]),
    ("cp", &["cp", "-a", "/srv/www", "/data/tree"]),
    ("mv", &["sh", "-c", "echo x > /data/a; mv /data/a /data/b; cat /data/b"]),
    ("rm", &["sh", "-c", "mkdir -p /data/d/e; touch /data/d/e/f; rm -r /data/d; ls /data"]),
    ("ln", &["sh", "-c", "cd /data; ln -s /etc/app.conf l; ln /srv/lines h 2>/dev/null; cat l; readlink l"]),
    ("mkfifo", &["sh", "-c", "mkfifo /data/p; echo through > /data/p & cat /data/p; wait"]),
    ("mktemp", &["sh", "-c", "f=$(mktemp); d=$(mktemp -d); echo x > $f; mv $f $d/y; cat $d/y; rm -r $d"]),
    ("chmod", &["sh", "-c", "touch /data/m; chmod 640 /data/m; stat -c %a /data/m"]),
    ("chown", &["sh", "-c", "touch /data/m; chown www-data:www-data /data/m; stat -c %U /data/m"]),
    ("install", &["sh", "-c", "install -D -m 755 -o 33 /etc/app.conf /data/i/j; stat -c '%a %u' /data/i/j"]),
    ("touch", &["sh", "-c", "touch -d 2001-01-01 /data/t; date -u -r /data/t +%F"]),
    ("truncate", &["sh", "-c", "truncate -s 100 /data/t; wc -c < /data/t"]),
    ("dd", &["sh", "-c", "dd if=/dev/zero of=/data/z bs=1k count=4 2>/dev/null; cksum /data/z"]),
    ("sort", &["sort", "-u", "/srv/lines"]),
    ("sort", &["sort", "-S", "1k", "-T", "/tmp", "-o", "/data/sorted", "/srv/lines"]),
    ("uniq", &["sh", "-c", "sort /srv/lines | uniq -c"]),
    ("head", &["head", "-n", "1", "/srv/lines"]),
    ("tail", &["tail", "-n", "1", "/srv/lines"]),
    ("wc", &["wc", "/srv/lines"]),
    ("cut", &["cut", "-c", "1-2", "/srv/lines"]),
    ("tr", &["sh", "-c", "tr a-z A-Z < /srv/lines"]),
    ("sed", &["sed", "s/apple/plum/", "/srv/lines"]),
    ("sed", &["sh", "-c", "cp /srv/lines /data/l; sed -i s/fig/fog/ /data/l; cat /data/l"]),
    ("awk", &["awk", "{ n[$1]++ } END { print n[\"apple\"] }", "/srv/lines"]),
    ("grep", &["grep", "-rn", "apple", "/srv/lines"]),
    ("grep", &["grep", "absent", "/srv/lines"]),
    ("find", &["find", "/srv/www", "-type", "f", "-exec", "cat", "{}", ";"]),
    ("find", &["sh", "-c", "find / -xdev -name app.conf | sort"]),
    ("find", &["sh", "-c", "find /etc /srv -type d -name www"]),
    ("xargs", &["sh", "-c", "printf 'a b c' | xargs -n 1 -P 3 echo | sort"]),
    ("tee", &["sh", "-c", "echo x | tee /data/one /data/two | cat; cat /data/two"]),
    ("diff", &["sh", "-c", "sort /srv/lines > /data/s; diff /srv/lines /data/s"]),
    ("cmp", &["cmp", "/srv/lines", "/etc/app.conf"]),
    ("comm", &["comm", "-12", "/srv/lines", "/srv/lines"]),
    ("join", &["join", "/etc/app.conf", "/etc/app.conf"]),
    ("split", &["sh", "-c", "cd /data; split -l 1 /srv/lines part-; cat part-ab; ls"]),
    ("tac", &["tac", "/srv/lines"]),
    ("nl", &["nl", "/srv/lines"]),
    ("od", &["od", "-c", "/etc/app.conf"]),
    ("base64", &["base64", "/etc/app.conf"]),
    ("sha256sum", &["sha256sum", "/etc/app.conf"]),
    ("md5sum", &["md5sum", "/srv/lines"]),
    (
        "tar",
        &[
            "sh",
            "-c",
            "tar -C /srv -cf /data/t.tar www; mkdir /data/x; tar -C /data/x -xf /data/t.tar; cat /data/x/www/index.html",
        ],
    ),
    ("tar", &["tar", "-C", "/etc", "-cf", "/dev/null", "app.conf"]),
    ("gzip", &["sh", "-c", "gzip -c /srv/lines > /data/l.gz; gzip -dc /data/l.gz"]),
    ("gzip", &["sh", "-c", "cp /srv/lines /data/l; gzip /data/l; ls /data"]),
    ("xz", &["sh", "-c", "xz -c /srv/lines | xz -dc"]),
    ("env", &["env", "-i", "A=1", "env"]),
    ("expr", &["expr", "6", "*", "7"]),
    ("seq", &["seq", "1", "5"]),
    ("printf", &["printf", "%s-%s\\n", "a", "b"]),
    ("date", &["date", "-u", "-d", "@0"]),
    ("id", &["id"]),
    ("uname", &["uname", "-s"]),
    ("cat", &["cat", "/sys/kernel/mm/transparent_hugepage/enabled"]),
    ("cat", &["cat", "/sys/class/net/lo/mtu"]),
    ("nproc", &["sh", "-c", "test $(nproc) -gt 0 && echo some"]),
    ("getent", &["getent", "passwd", "www-data"]),
    ("getent", &["getent", "hosts", "localhost"]),
    ("hostname", &["sh", "-c", "hostname > /data/$(hostname).name; ls /data | wc -l"]),
    ("df", &["sh", "-c", "df / | wc -l"]),
    ("du", &["sh", "-c", "du -s /srv/www > /dev/null && echo done"]),
    ("ps", &["sh", "-c", "ps ax | grep -c '[r]emit-init'"]),
    ("sleep", &["sleep", "0.05"]),
    ("timeout", &["timeout", "0.1", "sleep", "10"]),
    ("nice", &["nice", "-n", "5", "nice"]),
    ("nohup", &["sh", "-c", "cd /data; nohup echo x"]),
    ("setsid", &["setsid", "-w", "echo", "session"]),
    ("flock", &["flock", "/data/lock", "echo", "locked"]),
    ("stdbuf", &["stdbuf", "-oL", "echo", "lines"]),
    ("sync", &["sync", "/etc/app.conf"]),
    ("shuf", &["sh", "-c", "shuf /srv/lines | sort"]),
    ("sh", &["sh", "-c", "echo $$ > /data/sh-$$.pid; ls /data | wc -l; rm /data/sh-$$.pid"]),
    ("sh", &["sh", "-c", "(sleep 0.05; echo late) & wait; kill -0 $$ && echo alive"]),
    ("sh", &["sh", "-c", "trap 'echo caught' USR1; kill -USR1 $$; ulimit -n 100; ulimit -n"]),
    ("sh", &["sh", "-c", "exit 7"]),
    ("sh", &["sh", "-c", "kill -KILL $$"]),
    ("sh", &["sh", "-c", "/srv/plain sh"]),
    ("sh", &["/srv/entry.sh", "one"]),
    ("sh", &["sh", "-c", "/srv/hook.sh; true"]),
    ("python3", &["python3", "/srv/owned.py"]),
    (
        "python3",
        &[
            "python3",
            "-c",
            "import os\nfor f in (lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)), lambda: os.setpriority(0, 0, -5)):\n    try: print(f())\n    except OSError as e: print(e.errno)",
        ],
    ),
    ("python3", &["python3", "/srv/vfork.py"]),
    (
        "sh",
        &[
            "sh",
            "-c",
            "mkdir /data/a; echo 1 > /data/a/f; mv /data/a /data/c; mv /data/c /tmp/c; cat /tmp/c/f",
        ],
    ),
    ("busybox", &["sh", "-c", "busybox sh -c 'busybox ls /srv/www; busybox true'; true"]),
    (
        "python3",
        &[
            "python3",
            "-c",
            "import os; m, s = os.openpty(); os.write(s, b'x'); print(os.read(m, 1), os.ttyname(s)[:9])",
        ],
    ),
    (
        "python3",
        &["python3", "-c", "import socket; print([len(socket.socketpair(1, t)) for t in (1, 2, 5)])"],
    ),
    (
        "python3",
        &["python3", "-c", "import pwd, socket; print(pwd.getpwnam('root').pw_uid, socket.socket().type)"],
    ),
    ("bash", &["/srv/bash.sh"]),
    (
        "setpriv",
        &[
            "setpriv",
            "--reuid",
            "33",
            "--regid",
            "33",
            "--clear-groups",
            "sh",
            "-c",
            "id -u; echo x > /tmp/mine",
        ],
    ),
    ("gosu", &["gosu", "www-data", "sh", "-c", "id -un; touch /data/gosu; ls /data"]),
    (
        "git",
        &[
            "sh",
            "-c",
            "cd /data; export HOME=/data; git init -q r; cd r; echo x > f; git add f; git -c user.name=a -c user.email=b commit -qm m; git log --format=%s",
        ],
    ),
    (
        "sqlite3",
        &["sqlite3", "/data/db", "create table t(a); insert into t values(1),(2); select sum(a) from t"],
    ),
    (
        "perl",
        &[
            "perl",
            "-e",
            "open(my $f, '<', '/etc/app.conf'); print scalar <$f>; print `cat /srv/lines`; print -s '/srv/lines', \"\\n\"",
        ],
    ),
    (
        "perl",
        &[
            "perl",
            "-MFile::Temp=tempfile",
            "-e",
            "my ($h, $n) = tempfile(UNLINK => 1); print $h 'x'; close $h; print -s $n, \"\\n\"",
        ],
    ),
    ("php", &["php", "-n", "-r", "echo file_get_contents('/etc/app.conf'), shell_exec('echo sub');"]),
    ("python3", &["python3", "-c", "import json; print(json.dumps({'a': 1}))"]),
    (
        "python3",
        &[
            "python3",
            "-c",
            "import subprocess; print(subprocess.run(['cat', '/etc/app.conf'], capture_output=True).stdout)",
        ],
    ),
    (
        "python3",
        &[
            "python3",
            "-c",
            "import sqlite3; c = sqlite3.connect('/data/p.db'); c.execute('create table t(a)'); c.commit(); print('ok')",
        ],
    ),
    (
        "python3",
        &[
            "python3",
            "-c",
            "import tempfile, os\nwith tempfile.TemporaryDirectory() as d: open(d + '/x', 'w').close(); print(os.listdir(d))",
        ],
    ),
    (
        "python3",
        &[
            "python3",
            "-c",
            "import os, signal; signal.signal(15, lambda *a: print('term')); os.kill(os.getpid(), 15)",
        ],
    ),
    ("python3", &["python3", "-c", "import mmap; m = mmap.mmap(-1, 4096); m[0] = 65; print(m[0])"]),
    ("python3", &["python3", "/srv/http.py"]),
    ("python3", &["python3", "/srv/pool.py"]),
    ("python3", &["python3", "/srv/workers.py"]),
    ("redis-server", &["/srv/redis.sh"]),
    ("nginx", &["/srv/nginx.sh"]),
    ("gunicorn", &["/srv/gunicorn.sh"]),
    ("php-fpm8.2", &["/srv/fpm.sh"]),
];

#[test]
fn what_one_run_of_a_command_showed_lets_the_next_pass() {
    if !can_run() {
        return;
    }
    let programs = &image().1;
    let (next, faults) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let lacks: Vec<&str> = COMMANDS
        .iter()
        .map(|(needs, _)| *needs)
        .filter(|needs| *needs != "python3" && !programs.contains(needs))
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((needs, command)) = COMMANDS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if lacks.contains(needs) {
                        continue;
                    }
                    let learned = learn(command, &[]);
                    let wrong = differs(&learned, &under(&learned.profile, "enforce", command));
                    if !wrong.is_empty() || learned.report.contains("NOT LEARNED") {
                        faults.lock().expect("no panic").push(format!("{command:?}: {wrong}"));
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().expect("no panic");
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), COMMANDS.len(), faults.join("\n\n"));
    lacks.into_iter().for_each(crate::support::skip::skip);
}
