//! What people run, with nothing written: no profile, only the shim as ENTRYPOINT.
//! Each server does the whole work of its kind under `baseline` enforced, and there
//! is nothing to tell; docs/servers.md says the same in words.
//!
//! The programs are the machine's own, below a `/usr` that is mounted read-only: a
//! copy of a whole Python or JDK would say no more, and be slower.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::images;
use crate::support::{Image, Init, Place, Rootfs, Run, Running, can_run, folder, load, shim};

/// A server and its work.
struct Server {
    /// What has to be on the machine, beside python3 and setpriv.
    needs: &'static [&'static str],
    /// COMMAND.
    command: &'static [&'static str],
    /// The lines that say that it serves port 8080, by what is in them and how many.
    ready: (&'static str, usize),
    /// What it answers to `/work`.
    work: &'static str,
    /// A signal that it lives through, and the lines by then.
    reload: Option<(i32, (&'static str, usize))>,
    /// Its exit code after SIGTERM.
    ends: i32,
}

const PYTHON_WORK: &str = "threads 64\nprocesses 8\nsubprocesses ('CHILD', 3, 'popen', -15)\n\
    files ('hello', 499500)\ncallbacks [1, 2, 3]\nnames (0, 'renamed')";

const PYTHON: Server = Server {
    needs: &[],
    command: &["python3", "/srv/server.py"],
    ready: ("listening", 1),
    work: PYTHON_WORK,
    reload: None,
    ends: 0,
};

const NODE: Server = Server {
    needs: &["/usr/bin/node"],
    command: &["node", "/srv/server.js"],
    ready: ("listening", 1),
    work: "jit 12810\nwasm 42\nworkers 1\npool 8\nexec CHILD\nspawn through a pipe\nfork 42\n\
           watch seen\nfile hello\nfetch 200\ncpus true",
    reload: None,
    ends: 0,
};

const JAVA: Server = Server {
    needs: &["/usr/bin/javac"],
    command: &["java", "/srv/Server.java"],
    ready: ("listening", 1),
    work: "jit 79275\nthreads 1\nheap 2000\nchildren CHILD 3\nfiles hello\nsockets HTTP/1.1 200",
    reload: None,
    ends: 143,
};

const GO: Server = Server {
    needs: &["/usr/bin/go"],
    command: &["/app/server"],
    ready: ("listening", 1),
    work: "threads 64\nchildren 20\nfiles hello\nsockets 200\n",
    reload: None,
    ends: 0,
};

const GUNICORN: Server = Server {
    needs: &["/usr/bin/gunicorn"],
    // Its master logs from signal handlers. Two workers that end at once break its count of them, with
    // any PID 1, and it then waits thirty seconds for a worker that has gone.
    command: &["gunicorn", "-w1", "--threads=2", "--bind=:8080", "--chdir=/srv", "wsgi:app"],
    // A worker that is not so far yet would lose a signal.
    ready: ("loaded", 1),
    work: "child CHILD file 5 sent 0",
    reload: Some((libc::SIGHUP, ("loaded", 2))),
    ends: 0,
};

const PHP_FPM: Server = Server {
    needs: &["/etc/php", images::NGINX],
    command: &["sh", "/srv/fpm.sh", "nginx", "-c", "/srv/fpm-nginx.conf", "-g", "daemon off;"],
    ready: ("start worker process ", 1),
    work: "sum 315\njit on\nchild CHILD 3\nshell SHELL\nfile 5\nregex 1",
    reload: Some((libc::SIGHUP, ("start worker process ", 2))),
    ends: 0,
};

/// It becomes another user on the way, runs a hook, and ends in `exec "$@"`.
const ENTRYPOINT: Server = Server {
    needs: &[],
    command: &["/docker-entrypoint.sh", "python3", "/srv/server.py"],
    ready: ("listening", 1),
    work: PYTHON_WORK,
    reload: None,
    ends: 0,
};

/// One test of a server in each of Docker's places.
macro_rules! servers {
    ($($name:ident: $server:expr),+ $(,)?) => {$(
        mod $name {
            use crate::support::Place;

            #[test]
            fn docker() {
                super::works(&$server, Place::Docker);
            }

            #[test]
            fn restricted() {
                super::works(&$server, Place::Restricted);
            }
        }
    )+};
}

servers! {
    python: super::PYTHON,
    node: super::NODE,
    java: super::JAVA,
    go: super::GO,
    gunicorn: super::GUNICORN,
    php_fpm: super::PHP_FPM,
    entrypoint_script: super::ENTRYPOINT,
}

fn works(server: &Server, place: Place) {
    let needs = [&["/usr/bin/python3", "/usr/bin/setpriv"], server.needs].concat();
    if !can_run(place, &needs) {
        return;
    }
    let mut running = start(place, server.command);
    running.lines(server.ready.0, server.ready.1);
    assert_eq!(running.get(8080, "/").body, "ok", "{}", running.stderr());
    let answer = running.get(8080, "/work");
    assert_eq!((answer.status, answer.body.as_str()), (200, server.work), "{}", running.stderr());
    load(&running, 8080, 4, 50);
    if let Some((signal, (line, count))) = server.reload {
        let before = running.processes().len();
        running.signal(signal);
        running.lines(line, count);
        // What was there before has ended: what is asked now is answered by what is new.
        running.wait_until("the end of the old workers", |running| running.processes().len() <= before);
        assert_eq!(running.get(8080, "/work").body, server.work, "{}", running.stderr());
    }
    assert_eq!(running.stop().code, server.ends, "{}", running.stderr());
    let events = running.events();
    let start = events.of("start");
    assert_eq!(start[0]["policy"]["name"], "baseline", "{}", running.stderr());
    assert_eq!(start[0]["mode"]["value"], "enforce");
    assert!(events.violations().is_empty(), "{:#?}", events.violations());
}

fn start(place: Place, command: &[&str]) -> Running {
    let mut run = Run::new(image(), place, Init::remit(&[]), command).mount("/usr");
    for name in configured() {
        run = run.mount(&name);
    }
    run.start()
}

/// The folders of /etc without which a JVM and PHP's extensions do not start.
fn configured() -> Vec<String> {
    let names = std::fs::read_dir("/etc").expect("/etc").flatten().map(|entry| entry.path());
    let wanted = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name == "php" || name == "alternatives" || (name.starts_with("java-") && name.ends_with("-openjdk"))
    };
    names.filter(wanted).map(|path| path.display().to_string()).collect()
}

/// The servers' sources, and what a merged /usr needs beside it.
pub fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(shim(), "/remit-init");
        for name in ["bin", "sbin", "lib", "lib64"] {
            root.link(&format!("/{name}"), &format!("usr/{name}"));
        }
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/servers");
        for name in [
            "server.py",
            "server.js",
            "Server.java",
            "wsgi.py",
            "index.php",
            "fpm.sh",
            "fpm.conf",
            "fpm-nginx.conf",
        ] {
            root.copy(sources.join(name), &format!("/srv/{name}"));
        }
        let entrypoint = std::fs::read(sources.join("entrypoint.sh")).expect("the script");
        root.file("/docker-entrypoint.sh", entrypoint, 0o755);
        root.file("/postgres-entrypoint.sh", include_str!("servers/postgres-entrypoint.sh"), 0o755);
        let users = "root:x:0:0:root:/:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\n\
                     postgres:x:101:101::/var/lib/app:/bin/sh\n";
        root.file("/etc/passwd", users, 0o644);
        root.file("/etc/group", "root:x:0:\nwww-data:x:33:\npostgres:x:101:\n", 0o644);
        root.file("/docker-entrypoint.d/10-hook.sh", "#!/bin/sh\ntest -d /var/lib/app\n", 0o755);
        for folder in ["/run", "/var/lib/app", "/var/lib/nginx", "/var/log/nginx"] {
            root.folder(folder, 0o755, 0).writable(folder);
        }
        if Path::new("/usr/bin/go").exists() {
            root.copy(go_server(&sources.join("server.go")), "/app/server");
        }
        root.build("servers")
    })
}

/// Static, as Go programs are in images.
fn go_server(source: &Path) -> PathBuf {
    let [server, cache] = ["go-server", "go-cache"].map(|name| folder().join(name));
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&server).arg(source);
    build.env("CGO_ENABLED", "0").env("GO111MODULE", "off").env("GOCACHE", &cache);
    let output = build.output().expect("go runs");
    assert!(output.status.success(), "go build: {}", String::from_utf8_lossy(&output.stderr));
    server
}

/// What baseline refuses, and how a person reads it: the program's own error, and
/// an event that names the thing.
const REFUSED: &str = r#"
import ctypes, os, shutil, subprocess

def tried(name, act):
    try:
        print(name, act())
    except OSError as error:
        print(name, error.strerror)

def call(number, *args):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

shutil.copy("/usr/bin/env", "/tmp/tool")
tried("tool", lambda: subprocess.call(["/tmp/tool"]))
tried("usr", lambda: open("/usr/local/data", "w"))
tried("loader", lambda: subprocess.call(["/lib64/ld-linux-x86-64.so.2", "/tmp/tool"]))
tried("trace", lambda: call(101, 0, 0, 0, 0))
tried("memory", lambda: open("/proc/self/mem", "wb"))
tried("kill", lambda: os.kill(1, 9))
"#;

#[test]
fn what_is_refused_is_said_by_the_program_and_by_an_event() {
    if !can_run(Place::Docker, &["/usr/bin/python3"]) {
        return;
    }
    let mut running = start(Place::Docker, &["python3", "-c", REFUSED]);
    assert_eq!(running.wait(), 0, "{}", running.stderr());
    let denied = "Permission denied";
    let not_permitted = "Operation not permitted";
    let expected = [
        ("tool", denied, "program", "/tmp/tool", true),
        ("usr", denied, "file", "/usr/local/data", false),
        ("loader", denied, "program", "ld-linux", false),
        ("trace", not_permitted, "syscall", "ptrace", true),
        ("memory", denied, "file", "/mem", false),
        ("kill", not_permitted, "syscall", "kill", false),
    ];
    let events = running.events();
    let violations = events.violations();
    assert_eq!(violations.len(), expected.len(), "{violations:#?}");
    for ((name, error, kind, object, hint), event) in expected.into_iter().zip(violations) {
        assert!(running.stdout().contains(&format!("{name} {error}")), "{}", running.stdout());
        assert_eq!(event["kind"], kind, "{event}");
        assert!(event["object"].to_string().contains(object), "{event}");
        assert_eq!(event.get("hint").is_some_and(Value::is_array), hint, "{event}");
    }
}

/// A program that changed its user may become another program, and no more: what is
/// refused to anybody is refused to it, and what is not there is not there.
#[test]
fn another_user_gains_nothing() {
    if !can_run(Place::Docker, &["/usr/bin/setpriv", "/usr/sbin/gosu"]) {
        return;
    }
    let setpriv = &["setpriv", "--reuid=33", "--regid=33", "--clear-groups"][..];
    // gosu is a Go program, and has threads by then.
    let gosu = &["gosu", "www-data"][..];
    let is_www_data = &["sh", "-c", "test $(id -u) = 33"][..];
    for (become_user, command, code, denied) in [
        (setpriv, is_www_data, 0, 0),
        (gosu, is_www_data, 0, 0),
        (setpriv, &["nothing"][..], 127, 0),
        (setpriv, &["/lib64/ld-linux-x86-64.so.2", "/usr/bin/true"][..], 126, 1),
        (setpriv, &["/srv/fpm.conf"][..], 126, 0),
    ] {
        let mut running = start(Place::Docker, &[become_user, command].concat());
        assert_eq!(running.wait(), code, "{command:?} {}", running.stderr());
        // setpriv writes its words in pieces, and an event may stand between them.
        let violations = running.stderr().matches(r#""event":"violation""#).count();
        assert_eq!(violations, denied, "{command:?} {}", running.stderr());
    }
}
