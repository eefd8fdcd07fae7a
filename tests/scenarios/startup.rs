//! Start-up and what is taken away after it: by listening, by the app's own word, by a
//! delay; enforced and in audit, where nothing is taken.

use std::io::{BufRead, BufReader, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::images;
use crate::servers;
use crate::support::{Init, Place, Run, Running, can_run, folder, in_each_place, unique};

in_each_place!(
    redis_is_ready_when_it_listens,
    an_app_says_that_it_is_ready,
    a_delay_passes,
    its_word_leads_to_no_other_socket,
);

const CLI: &str = "/usr/bin/redis-cli";
const PYTHON: &str = "/usr/bin/python3";

fn ready(running: &Running, by: &str) -> Value {
    let reported = running.event(|events| events.of("ready").first().map(|event| (*event).clone()));
    let event = reported.unwrap_or_else(|| panic!("never ready\n{}\n{}", running.stdout(), running.stderr()));
    assert_eq!(event["by"], by, "{event}");
    let after = event["after"].as_str().and_then(|text| text.strip_suffix('s')?.parse::<f64>().ok());
    assert!(after.is_some_and(|seconds| seconds > 0.0), "{event}");
    event
}

/// The violation of this call after the start-up.
fn taken_away(running: &Running, call: &str, action: &str) -> Value {
    let reported = running.event(|events| {
        let is_it =
            |event: &&&Value| event["rule"] == "/syscalls/startup_only" && event["object"]["syscall"] == call;
        events.violations().iter().find(is_it).map(|event| (*event).clone())
    });
    let event =
        reported.unwrap_or_else(|| panic!("{call}: no event\n{}\n{}", running.stdout(), running.stderr()));
    assert_eq!(
        (&event["kind"], &event["action"], &event["errno"]),
        (&json!("syscall"), &json!(action), &json!("EPERM"))
    );
    assert_eq!(event["hint"][0]["path"], "/syscalls/startup_only", "{event}");
    let left = event["hint"][0]["value"].as_array().expect("what is left of the list");
    assert!(!left.contains(&json!(call)), "{event}");
    event
}

fn redis_profile() -> Value {
    let mut profile: Value =
        serde_json::from_str(include_str!("../../profiles/redis.json")).expect("the profile is JSON");
    profile["programs"] = json!([{ "path": images::REDIS, "entry": true, "may_run": [images::REDIS] }]);
    profile["ready"] = json!({ "when": "listening" });
    profile["syscalls"] = json!({ "startup_only": ["execve", "execveat", "bind", "listen"] });
    profile
}

/// It binds and listens twice, serves with all that it does, and can listen, bind and
/// execute no more: not even what its profile lists.
fn redis_is_ready_when_it_listens(place: Place) {
    if !can_run(
        place,
        &[images::REDIS, images::TINI, CLI, "/usr/bin/find", "/usr/bin/chown", "/usr/sbin/gosu"],
    ) {
        return;
    }
    for (mode, action) in [("enforce", "denied"), ("audit", "observed")] {
        let data = folder().join(unique("redis-data"));
        std::fs::create_dir(&data).expect("a temporary folder");
        let command = [images::REDIS, "--dir", "/data", "--enable-debug-command", "yes"];
        let mut running = Run::new(images::redis(), place, Init::remit(&["--mode", mode]), &command)
            .file("/etc/remit/profile.json", redis_profile().to_string())
            .folder(&data, "/data")
            .start();
        running.line("Ready to accept connections");
        let ask = |words: &[&str]| {
            let output =
                running.in_network(|| Command::new(CLI).args(words).output()).expect("redis-cli runs");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        assert_eq!(ask(&["SET", "key", "value"]), "OK", "it serves before it is ready");
        ready(&running, "listening");
        assert_eq!(ask(&["GET", "key"]), "value");
        assert_eq!(ask(&["SAVE"]), "OK");
        assert_eq!(ask(&["BGSAVE"]), "Background saving started");
        running.line("Background saving terminated with success");
        assert_eq!(running.events().violations().len(), 0, "{}", running.stderr());
        // It gives its port up for another, and has neither then; clients that were there are served.
        let mut client = BufReader::new(running.connect(6379).expect("it listens"));
        let mut say = |command: &str| {
            client.get_mut().write_all(command.as_bytes()).expect("it reads");
            let mut answer = String::new();
            // It may execute itself instead.
            client.read_line(&mut answer).map(|_| answer.trim().to_owned()).unwrap_or_default()
        };
        let moved = say("CONFIG SET port 6380\r\n");
        assert_eq!(moved == "+OK", mode == "audit", "{moved}");
        taken_away(&running, "bind", action);
        assert_eq!(say("PING\r\n"), "+PONG");
        if mode == "enforce" {
            say("DEBUG RESTART\r\n");
            taken_away(&running, "execve", action);
            running.wait();
        } else {
            assert_eq!(running.stop().code, 0, "{}", running.stderr());
        }
        assert_eq!(running.events().of("ready").len(), 1);
    }
}

/// An app that opens, forks and executes, says that it is ready by this way, and tries
/// again.
fn app(says: &str) -> String {
    format!(
        r#"
import os, socket, subprocess, sys, time

def tried(name, act):
    try:
        print(name, act(), flush=True)
    except OSError as error:
        print(name, error.strerror, flush=True)

def run():
    return subprocess.call(["/usr/bin/true"])

tried("before", run)
path = os.environ.get("NOTIFY_SOCKET", "")
address = "\0" + path[1:] if path.startswith("@") else path
def say(*lines):
    {says}
tried("status", lambda: say("STATUS=starting"))
tried("still", run)
tried("said", lambda: say("STATUS=up", "READY=1"))
tried("after", run)
tried("again", lambda: say("WATCHDOG=1"))
"#
    )
}

const BY_SENDTO: &str = r#"s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto("\n".join(lines).encode(), address); s.close()"#;
/// As libsystemd does.
const BY_SENDMSG: &str = r#"s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8388608); s.sendmsg(["\n".join(lines).encode()], [], socket.MSG_NOSIGNAL, address); s.close()"#;
/// As Go's and most others' do.
const BY_CONNECT: &str = r#"s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.connect(address); s.getpeername(); s.getsockname(); s.sendall("\n".join(lines).encode()); s.close()"#;

/// What python needs, and no network at all.
fn python_profile(network: &Value) -> Value {
    let python = std::fs::canonicalize(PYTHON).expect("python3");
    json!({
        "remit": 1,
        "name": "says",
        "programs": [
            { "path": python, "entry": true, "may_run": ["/usr/bin/true"] },
            { "path": "/usr/bin/true" }
        ],
        "files": [
            "@runtime",
            "@names",
            { "path": "/usr", "allow": ["read"] },
            { "path": "/etc", "allow": ["read"] }
        ],
        "network": network,
        "syscalls": { "allow": ["@files"], "startup_only": ["execve"] },
        "ready": { "when": "notify" }
    })
}

fn python(place: Place, mode: &str, profile: &Value, code: &str) -> Run<'static> {
    Run::new(servers::image(), place, Init::remit(&["--mode", mode]), &["python3", "-c", code])
        .mount("/usr")
        .file("/etc/remit/profile.json", profile.to_string())
}

fn an_app_says_that_it_is_ready(place: Place) {
    if !can_run(place, &[PYTHON]) {
        return;
    }
    let nothing = json!({});
    let any = json!({ "connect": ["unix:*"] });
    for (mode, network, says) in [
        ("enforce", &nothing, BY_SENDTO),
        ("enforce", &nothing, BY_SENDMSG),
        ("enforce", &nothing, BY_CONNECT),
        ("enforce", &any, BY_SENDMSG),
        ("audit", &nothing, BY_CONNECT),
    ] {
        // What it says is read before what it does next.
        let code = app(says);
        let mut running = python(place, mode, &python_profile(network), &code).start();
        running.line("again");
        let event = ready(&running, "notify");
        running.wait();
        let out = running.stdout();
        let after = if mode == "enforce" { "after Operation not permitted" } else { "after 0" };
        for line in ["before 0", "status None", "still 0", "said None", after, "again None"] {
            assert!(out.lines().any(|one| one == line), "{mode} {says}: {line}\n{out}\n{}", running.stderr());
        }
        let action = if mode == "enforce" { "denied" } else { "observed" };
        let refused = taken_away(&running, "execve", action);
        assert!(refused["seq"].as_u64() > event["seq"].as_u64(), "{refused}");
        let events = running.events();
        let others: Vec<_> = events
            .violations()
            .into_iter()
            .filter(|event| event["rule"] != "/syscalls/startup_only")
            .collect();
        // In audit the app's own socket is a unix socket that no entry names.
        assert!(mode == "audit" || others.is_empty(), "{others:#?}");
    }
}

/// An app without unix sockets gets none for saying that it is ready: no other name than
/// the one that it was given is reached.
fn its_word_leads_to_no_other_socket(place: Place) {
    if !can_run(place, &[PYTHON]) {
        return;
    }
    let code = r#"
import os, socket, time
def tried(name, act):
    try:
        print(name, act(), flush=True)
    except OSError as error:
        print(name, error.strerror, flush=True)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
tried("abstract", lambda: s.sendto(b"stolen", "\0remit-outside"))
tried("path", lambda: s.sendto(b"stolen", "/run/outside.sock"))
tried("connect", lambda: s.connect("\0remit-outside"))
tried("bind", lambda: s.bind("\0mine"))
tried("pair", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
tried("stream", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
print("do" + "ne", flush=True)
time.sleep(60)
"#;
    for (mode, reached) in [("enforce", false), ("off", true)] {
        let outside = folder().join(unique("outside"));
        std::fs::create_dir(&outside).expect("a temporary folder");
        let path = outside.join("outside.sock");
        let by_path = UnixDatagram::bind(&path).expect("bound");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("ours");
        let code = format!("import os, time\nwhile not os.path.exists('/run/go'): time.sleep(0.01)\n{code}");
        let profile = python_profile(&json!({}));
        let mut running = python(place, mode, &profile, &code).folder(&outside, "/run").start();
        let hidden = SocketAddr::from_abstract_name("remit-outside").expect("a name");
        let by_name = running.in_network(|| UnixDatagram::bind_addr(&hidden)).expect("bound");
        std::fs::write(outside.join("go"), "").expect("a folder of ours");
        running.line("done");
        for socket in [&by_path, &by_name] {
            socket.set_nonblocking(true).expect("a socket");
            assert_eq!(socket.recv(&mut [0; 64]).is_ok(), reached, "{mode}\n{}", running.stdout());
        }
        if mode == "enforce" {
            // And getpwnam goes on without nscd.
            for line in [
                "connect Permission denied",
                "bind Permission denied",
                "pair Operation not permitted",
                "stream Address family not supported by protocol",
            ] {
                assert!(running.stdout().lines().any(|one| one == line), "{line}\n{}", running.stdout());
            }
            let refused = |event: &&Value| event["object"]["address"] == "unix:*";
            let seen = running.event(|events| events.violations().into_iter().find(refused).map(drop));
            assert!(seen.is_some(), "{}", running.stderr());
        }
        running.signal(libc::SIGKILL);
        running.wait();
    }
}

fn a_delay_passes(place: Place) {
    if !can_run(place, &[images::BUSYBOX]) {
        return;
    }
    let profile = json!({
        "remit": 1, "name": "waits",
        "programs": [{ "path": "/bin/busybox", "applet": "sh", "entry": true,
                       "may_run": [{ "path": "/bin/busybox", "applet": "true" }] },
                     { "path": "/bin/busybox", "applet": "true" }],
        "files": [{ "path": "/bin", "allow": ["read"] }],
        // The launch itself sends its listener away by a sendmsg, while nothing could answer.
        "syscalls": { "startup_only": ["execve", "sendmsg"] },
        "ready": { "when": "delay", "delay": "300ms" }
    });
    // It goes on trying until the answer changes, and then once more.
    let code = "while /bin/true; do :; done; /bin/true || echo over";
    let mut running = Run::new(images::tools(), place, Init::remit(&[]), &["/bin/sh", "-c", code])
        .file("/etc/remit/profile.json", profile.to_string())
        .start();
    running.line("over");
    let after = ready(&running, "delay")["after"].as_str().map(str::to_owned).expect("a time");
    let seconds: f64 = after.trim_end_matches('s').parse().expect("seconds");
    assert!(seconds >= 0.3, "{after}");
    taken_away(&running, "execve", "denied");
    running.wait();
}

/// What the app says of its state is forwarded to the container's NOTIFY_SOCKET.
#[test]
fn what_the_app_says_is_passed_on() {
    if !can_run(Place::Docker, &[PYTHON]) {
        return;
    }
    let outside = folder().join(unique("notify"));
    std::fs::create_dir(&outside).expect("a temporary folder");
    let path = outside.join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("bound");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("ours");
    let code = app(BY_SENDMSG);
    let profile = python_profile(&json!({}));
    let mut running = python(Place::Docker, "enforce", &profile, &code)
        .folder(Path::new(&outside), "/notify")
        .variable("NOTIFY_SOCKET", "/notify/notify.sock")
        .start();
    assert_eq!(running.wait(), 0, "{}", running.stderr());
    let mut received = Vec::new();
    socket.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 256];
    while let Ok(length) = socket.recv(&mut buffer) {
        received.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    assert_eq!(received, ["STATUS=starting", "STATUS=up\nREADY=1", "WATCHDOG=1"], "{}", running.stdout());
}
