//! `remit check` and `remit approve` from outside: every rule of the gate shows, is mended by its
//! patch, and has its place in every format; and what could not be looked at never ends with 0.
#![cfg(feature = "tool")]

mod bad_input;
mod ci;
mod docs;
mod forbidden;
mod formats;
mod gate;
#[path = "../harness/place.rs"]
mod place;
mod rules;
#[path = "../harness/seat.rs"]
mod seat;

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use place::{Place, REMIT};

const SERVER: &str = "/usr/sbin/server";
const NONCE: &str = "0123456789abcdef0123456789abcdef";

/// What a check said.
struct Checked {
    code: i32,
    report: Value,
}

impl Place {
    /// Checks p.json.
    fn check(&self, arguments: &[&str]) -> Checked {
        let all = [&["check", "p.json", "--output", "json=-"], arguments].concat();
        let said = self.remit(&all);
        let code = said.status.code().expect("it ended");
        assert_ne!(code, 2, "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
        let report: Value = serde_json::from_slice(&said.stdout).expect("JSON");
        assert_eq!(report["exit"], code);
        Checked { code, report }
    }

    /// Writes p.json, and the evidence of a few runs beside it.
    fn learned(&self, runs: usize) -> Value {
        for number in 0..runs {
            let label = if number % 2 == 0 { "get" } else { "reload" };
            self.put(&format!("runs/{number}.jsonl"), journal(number, label, &ordinary()));
        }
        self.done(&["build", "runs", "-o", "p.json", "--expect", "label:get"]);
        serde_json::from_str(&self.text("p.json")).expect("JSON")
    }

    /// Changes p.json.
    fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut profile: Value = serde_json::from_str(&self.text("p.json")).expect("JSON");
        change(&mut profile);
        if let Err(error) = remit::profile::read(profile.to_string().as_bytes()) {
            panic!("p.json:{error}");
        }
        self.put("p.json", format!("{profile:#}\n"));
    }

    fn digest(&self) -> String {
        remit::profile::read(self.text("p.json").as_bytes()).expect("valid").digest
    }

    /// An unpacked image with the server and its loader.
    fn image(&self) -> &Place {
        self.put("image/usr/sbin/server", elf(1)).put("image/lib64/ld-linux-x86-64.so.2", loader());
        self.put("image/lib/libc.so.6", "library").put("image/etc/server.conf", "");
        self.put("image/var/lib/dpkg/status", LEARNED_STATUS);
        for name in ["usr/sbin/server", "lib64/ld-linux-x86-64.so.2"] {
            executable(&self.path(&format!("image/{name}")));
        }
        fs::create_dir_all(self.path("image/data")).expect("made");
        self
    }
}

impl Checked {
    fn findings(&self) -> &[Value] {
        self.report["findings"].as_array().expect("a list")
    }

    fn ids(&self) -> Vec<&str> {
        self.findings().iter().map(|one| one["id"].as_str().expect("an id")).collect()
    }

    fn of(&self, id: &str) -> Vec<&Value> {
        self.findings().iter().filter(|one| one["id"] == id).collect()
    }
}

/// The database of the packages that the runs of [`journal`] had.
const LEARNED_STATUS: &str = "Package: server\nStatus: install ok installed\nVersion: 1.2-1\n\nPackage: libc6\nStatus: install ok installed\nVersion: 2.36-9\n";

fn executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

/// A static ELF program of this machine, with a content of its own.
fn elf(content: u8) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // ET_EXEC, EM_X86_64, version, entry, phoff 64, shoff, flags, ehsize, phentsize, no program header.
    bytes.extend(2u16.to_le_bytes());
    bytes.extend(62u16.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(0x40_0000u64.to_le_bytes());
    bytes.extend(64u64.to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    // One PT_LOAD of nothing.
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(5u32.to_le_bytes());
    bytes.extend([0; 48]);
    bytes.push(content);
    bytes
}

fn loader() -> Vec<u8> {
    elf(0xff)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A journal: its first line, observations, its end.
fn journal(number: usize, label: &str, lines: &[Value]) -> String {
    journal_with(number, label, lines, &json!({ "clean": true, "dropped": 0 }))
}

fn journal_with(number: usize, label: &str, lines: &[Value], end: &Value) -> String {
    let first = json!({ "run": format!("server-20261122T10000{number}Z-{number:04x}"), "label": label,
        "command": ["server"], "fingerprint": { "arch": "x86_64", "kernel": "6.18" }, "outer": {} });
    let mut text = format!("{{\"journal\":1,{}\n", &first.to_string()[1..]);
    for line in lines {
        text += &format!("{line}\n");
    }
    let mut end = end.clone();
    end["exit"] = json!({ "code": 0 });
    end["lines"] = lines.len().into();
    end["packages"] = json!({ "dpkg": { "server": "1.2-1", "libc6": "2.36-9" } });
    text + &format!("{}\n", json!({ "t": 9, "end": end }))
}

fn line(phase: &str, kind: &str, more: Value) -> Value {
    let mut line = json!({ "t": 1, "phase": phase, "kind": kind, "program": SERVER, "result": "ok" });
    if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
        line.extend(more.clone());
    }
    line
}

fn open(path: &str, access: &str) -> Value {
    line("serving", "open", json!({ "path": path, "access": [access], "mount": "image" }))
}

/// What every run of the server does.
fn ordinary() -> Vec<Value> {
    let exec = json!({ "parent": "", "args": ["server"], "sha256": format!("sha256:{}", sha256(&elf(1))),
        "loader": "/lib64/ld-linux-x86-64.so.2" });
    vec![
        line("startup", "exec", exec),
        open("/etc/server.conf", "read"),
        open("/lib/libc.so.6", "read"),
        line("startup", "listen", json!({ "address": "tcp/0.0.0.0:8080" })),
        line("startup", "ready", json!({ "by": "listening" })),
        line(
            "serving",
            "open",
            json!({ "path": "/data/state", "access": ["write", "create"], "mount": "volume",
            "mount_point": "/data" }),
        ),
        line("serving", "syscall", json!({ "call": "mlockall" })),
        line("serving", "capability", json!({ "capability": "chown", "call": "fchown" })),
    ]
}

/// Events of an audited run under p.json: the start, these, and the stop.
fn events(digest: &str, events: &[Value]) -> String {
    events_in("audit", digest, events)
}

fn events_in(mode: &str, digest: &str, events: &[Value]) -> String {
    let start = json!({ "event": "start", "mode": { "value": mode, "source": "environment" },
        "layers": [{ "layer": "seccomp", "state": "active" }, { "layer": "landlock-files", "state": "degraded", "detail": "ABI 1" }] });
    let all = [&[start], events, &[json!({ "event": "stop", "exit": { "code": 0 } })]].concat();
    (1..)
        .zip(all)
        .map(|(seq, event): (u32, Value)| {
            let mut keys: BTreeMap<String, Value> =
                event.as_object().expect("an object").clone().into_iter().collect();
            keys.insert("policy".to_owned(), json!({ "name": "server", "digest": digest }));
            let rest = serde_json::to_string(&keys).expect("JSON");
            format!("{{\"remit\":1,\"seq\":{seq},\"nonce\":\"{NONCE}\",{}\n", &rest[1..])
        })
        .collect()
}

fn violation(kind: &str, rule: &str, object: Value, hint: Value) -> Value {
    json!({ "event": "violation", "kind": kind, "action": "observed", "errno": "EACCES", "object": object,
        "rule": rule, "process": { "pid": 7, "executable": { "path": SERVER } }, "hint": hint })
}
