//! An app whose sockets the supervisor makes, binds and connects: it works as it does
//! without, and the other end sees no difference but the pid.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::servers;
use crate::support::{Init, Place, Run, can_run, folder, in_each_place, unique};

in_each_place!(an_app_works_as_it_does_without);

const PYTHON: &str = "/usr/bin/python3";

/// A server and clients of its own, by all the ways that libraries take.
const APP: &str = r#"
import asyncio, errno, gc, os, select, socket, struct, subprocess, sys, threading, time

def report(name, act):
    try:
        print(name, act(), flush=True)
    except OSError as error:
        print(name, errno.errorcode.get(error.errno, error), flush=True)

def serve(server):
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        def answer(connection):
            data = b""
            while not data.endswith(b"."):
                more = connection.recv(100)
                if not more:
                    break
                data += more
            connection.sendall(b"echo " + data)
            connection.close()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()

def listens(family, address):
    server = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(address)
    server.listen(8)
    server.listen(16)
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    return server

def asks(family, address, timeout=None):
    client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(timeout)
    client.connect(address)
    client.sendall(b"this.")
    data = b""
    while True:
        more = client.recv(100)
        if not more:
            break
        data += more
    client.close()
    return data.decode()

LOCAL = ("127.0.0.1", 7070)
PATH, HIDDEN = "/run/own.sock", "\0own"
os.umask(0o027)
tcp = listens(socket.AF_INET, LOCAL)
unix = listens(socket.AF_UNIX, PATH)
hidden = listens(socket.AF_UNIX, HIDDEN)
report("mode", lambda: oct(os.stat(PATH).st_mode))
report("names", lambda: [server.getsockname() for server in (tcp, unix, hidden)])
report("tcp", lambda: asks(socket.AF_INET, LOCAL))
report("timeout", lambda: asks(socket.AF_INET, LOCAL, 5))
report("unix", lambda: asks(socket.AF_UNIX, PATH))
report("abstract", lambda: asks(socket.AF_UNIX, HIDDEN))
os.chdir("/run")
report("relative", lambda: asks(socket.AF_UNIX, "own.sock"))
os.symlink(PATH, "/run/link.sock")
report("link", lambda: asks(socket.AF_UNIX, "link.sock"))
report("missing", lambda: asks(socket.AF_UNIX, "/run/missing.sock"))

def credentials():
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(PATH)
    pid, uid, gid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return (uid, gid) == (os.getuid(), os.getgid())
report("server is", credentials)

async def asynchronous():
    reader, writer = await asyncio.open_connection(*LOCAL)
    writer.write(b"that.")
    data = await reader.read()
    writer.close()
    path_reader, path_writer = await asyncio.open_unix_connection(PATH)
    path_writer.write(b"those.")
    data += await path_reader.read()
    path_writer.close()
    return data.decode()
report("asyncio", lambda: asyncio.run(asynchronous()))

def closes():
    # The other end is notified at once, though the supervisor had a copy.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 7071))
    listener.listen()
    client = socket.create_connection(("127.0.0.1", 7071))
    other, _ = listener.accept()
    client.close()
    other.settimeout(5)
    received = other.recv(10)
    listener.close()
    other.close()
    # Bound, and closed before it listens: the port is free again, twice.
    for _ in range(3):
        again = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        again.bind(("127.0.0.2", 7071))
        again.close()
    return received
report("closed", closes)

def many():
    for _ in range(1200):
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    return asks(socket.AF_INET, LOCAL)
report("many", many)

def retries():
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        client.connect(("127.0.0.1", 7072))
    except ConnectionRefusedError:
        pass
    client.connect(LOCAL)
    client.sendall(b"again.")
    return client.recv(100)
report("retries", retries)

def nonblocking():
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.setblocking(False)
    answer = client.connect_ex(LOCAL)
    _, writable, _ = select.select([], [client], [], 5)
    return answer in (0, errno.EINPROGRESS), bool(writable), client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
report("nonblocking", nonblocking)

def crowd():
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(asks(socket.AF_INET, LOCAL))) for _ in range(40)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return len(answers), set(answers)
report("crowd", crowd)

def passed_on():
    # Made here, connected by a child.
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    child = os.fork()
    if child == 0:
        client.connect(LOCAL)
        os._exit(0)
    os.waitpid(child, 0)
    client.sendall(b"child's.")
    return client.recv(100)
report("passed on", passed_on)

report("resolved", lambda: [info[4] for info in socket.getaddrinfo("127.0.0.1", 80, proto=socket.IPPROTO_TCP)])
report("stranger", lambda: asks(socket.AF_INET6, ("::1", 7070)))
report("wrong", lambda: os.fdopen(os.dup(0)).fileno() and socket.socket(fileno=os.dup(0)).connect(LOCAL))
"#;

fn an_app_works_as_it_does_without(place: Place) {
    if !can_run(place, &[PYTHON]) {
        return;
    }
    let python = std::fs::canonicalize(PYTHON).expect("python3");
    let profile = json!({
        "remit": 1,
        "name": "sockets",
        "programs": [{ "path": python, "entry": true }],
        "files": [
            "@runtime",
            "@names",
            { "path": "/usr", "allow": ["read"] },
            { "path": "/etc", "allow": ["read"] },
            { "path": "/run", "allow": ["read", "create"] }
        ],
        "network": {
            "listen": ["tcp/127.0.0.0/8:7070-7071", "unix:/run/own.sock", "unix:@own"],
            "connect": ["tcp/127.0.0.1:7070-7072", "tcp/[::1]:7070", "unix:/run/own.sock",
                "unix:/run/missing.sock", "unix:@own"]
        }
    });
    let run = |mode: &str| {
        let data = folder().join(unique("run"));
        std::fs::create_dir(&data).expect("a temporary folder");
        std::fs::set_permissions(&data, PermissionsExt::from_mode(0o777)).expect("ours");
        // As another user than the supervisor, where there is one: a peer gets the app's.
        let user = if place == Place::Docker { &["--run-as", "33:33"][..] } else { &[] };
        let options = [&["--mode", mode], user].concat();
        let mut running = Run::new(servers::image(), place, Init::remit(&options), &["python3", "-c", APP])
            .mount("/usr")
            .folder(&data, "/run")
            .file("/etc/remit/profile.json", profile.to_string())
            .start();
        running.wait();
        running
    };
    let free = run("off").stdout();
    assert_eq!(free.lines().count(), 20, "{free}");
    assert!(free.contains("closed b''") && free.contains("server is True"), "{free}");
    for mode in ["audit", "enforce"] {
        let confined = run(mode);
        assert_eq!(confined.stdout(), free, "{mode}\n{}", confined.stderr());
        let events = confined.events();
        // Python lists its working directory, which audit sees.
        let reported: Vec<_> =
            events.violations().into_iter().filter(|event| event["kind"] != "file").collect();
        assert!(reported.is_empty(), "{mode}\n{reported:#?}");
    }
}
