//! `remit build` and `remit amend` from outside: journals in, a profile and its evidence
//! out; what cannot be used is one clear line.
#![cfg(feature = "tool")]

mod amend;
mod bad_input;
mod build;
mod exact;
#[path = "../harness/place.rs"]
mod place;
mod progress;
#[path = "../harness/seat.rs"]
mod seat;

use serde_json::{Value, json};

use place::{Place, REMIT};

impl Place {
    fn built(&self, arguments: &[&str]) -> Value {
        self.done(&[&["build", "-o", "p.json"], arguments].concat());
        let profile = self.text("p.json");
        if let Err(error) = remit::profile::read(profile.as_bytes()) {
            panic!("{error}\n{profile}");
        }
        serde_json::from_str(&profile).expect("JSON")
    }
}

/// A journal: its first line, observations, its end.
fn journal(run: &str, label: &str, lines: &[Value]) -> String {
    let first = json!({ "journal": 1, "run": run, "label": label, "command": ["redis-server"], "exact": false,
        "fingerprint": { "arch": "x86_64", "kernel": "6.18.44" }, "outer": { "seccomp": true }, "new": 1 });
    // serde_json sorts keys; a journal begins with its version.
    let mut text = format!("{{\"journal\":1,{}\n", &first.to_string()[1..].replace("\"journal\":1,", ""));
    for line in lines {
        text += &format!("{line}\n");
    }
    let end = json!({ "t": 9, "end": { "exit": { "code": 0 }, "clean": true, "lines": lines.len(), "dropped": 0 } });
    text + &format!("{end}\n")
}

const SERVER: &str = "/usr/bin/redis-server";

fn line(phase: &str, kind: &str, more: Value) -> Value {
    let mut line = json!({ "t": 1, "phase": phase, "kind": kind, "program": SERVER, "result": "ok" });
    if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
        line.extend(more.clone());
    }
    line
}

/// What every run of the server does.
fn ordinary() -> Vec<Value> {
    let exec = json!({ "parent": "", "args": ["redis-server"], "sha256": "sha256:".to_owned() + &"0".repeat(64),
        "loader": "/lib64/ld-linux-x86-64.so.2" });
    let volume = |path: &str, more: Value| {
        let mut use_ = json!({ "path": path, "mount": "volume", "mount_point": "/data" });
        if let (Some(use_), Some(more)) = (use_.as_object_mut(), more.as_object()) {
            use_.extend(more.clone());
        }
        use_
    };
    vec![
        line("startup", "exec", exec),
        line(
            "startup",
            "open",
            json!({ "path": "/etc/redis/redis.conf", "access": ["read"], "mount": "image" }),
        ),
        line("startup", "open", json!({ "path": "/usr/lib/x86_64-linux-gnu/libc.so.6", "access": ["read"] })),
        line("startup", "open", json!({ "path": "/etc/passwd", "access": ["read"] })),
        line("startup", "change", json!({ "op": "create", "path": "/run/redis.pid" })),
        line("startup", "open", json!({ "path": "/run/redis.pid", "access": ["write"] })),
        line("startup", "listen", json!({ "address": "tcp/0.0.0.0:6379" })),
        line("startup", "syscall", json!({ "call": "ioctl", "arg": 1, "value": "FIONBIO" })),
        line("startup", "syscall", json!({ "call": "mlockall" })),
        line("startup", "syscall", json!({ "call": "keyctl", "result": "EPERM" })),
        line("startup", "capability", json!({ "capability": "sys_resource", "call": "setrlimit" })),
        line("startup", "ready", json!({ "by": "listening" })),
        line("serving", "open", volume("/data/temp-4711.rdb", json!({ "access": ["write", "create"] }))),
        line(
            "serving",
            "change",
            volume("/data/temp-4711.rdb", json!({ "op": "rename", "to": "/data/dump.rdb" })),
        ),
        line("serving", "syscall", json!({ "call": "fchown" })),
        line("serving", "limit", json!({ "limit": "processes", "value": 3 })),
        line("serving", "a-kind-of-the-future", json!({})),
    ]
}

fn run(number: usize) -> String {
    format!("redis-20261122T10000{number}Z-{number:04x}")
}

/// Runs the tool, which is to print one line on stderr with these words, and end with 2.
#[track_caller]
fn is_one_line(place: &Place, arguments: &[&str], says: &[&str]) {
    let said = place.remit(arguments);
    let error = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(2), "{arguments:?}: {error}");
    assert!(said.stdout.is_empty(), "{arguments:?}");
    assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
    for says in says {
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
}
