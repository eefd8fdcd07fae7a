//! Profiles, journals and events that the tests make.

use serde_json::{Value, json};

use crate::Place;

/// The nonce of made events.
pub const NONCE: &str = "0123456789abcdef0123456789abcdef";

/// A profile with 1,000 entries, of which 60 are programs.
pub fn large() -> Value {
    let mut programs = Vec::new();
    let tools: Vec<String> = (0..20).map(|n| format!("/usr/bin/tool-{n}")).collect();
    let server = |n: usize| format!("/opt/app/releases/2026-11/bin/server-{n}");
    programs.push(json!({ "path": "/usr/local/bin/docker-entrypoint.sh", "entry": true, "interpreter": "/bin/bash", "may_run": ["/bin/bash", server(0)], "why": "the image's script" }));
    programs.push(json!({ "path": "/bin/bash", "may_run": tools, "why": "the script's shell" }));
    programs.extend(tools.iter().map(|tool| json!({ "path": tool })));
    programs.push(json!({ "beneath": "/opt/plugins", "may_run": ["/usr/bin/tool-1"], "why": "plugins" }));
    for n in 0..37 {
        let mut runs: Vec<String> = (3 * n + 1..=3 * n + 3).filter(|next| *next < 37).map(server).collect();
        if n % 5 == 0 {
            runs.push("/opt/plugins".into());
        }
        if n % 9 == 4 {
            runs.push(server(n / 3));
        }
        programs.push(json!({ "path": server(n), "may_run": runs, "args": [["--port", { "glob": "80*" }, "..."]], "instances": 8 }));
    }
    assert_eq!(programs.len(), 60);
    let rights: [&[&str]; 4] =
        [&["read"], &["read", "write"], &["read", "write", "create", "remove"], &["write", "create"]];
    let roots = ["/srv/www", "/var/lib/app", "/etc/app", "/usr/share/app"];
    let mut files = vec![json!("@runtime"), json!("@names")];
    files.extend((0..920).map(|n| {
        json!({ "path": format!("{}/part-{}/file-{n}.dat", roots[n % 4], n % 23), "allow": rights[n % 7 % 4], "why": format!("the module {n} needs it"), "optional": n % 7 == 0 })
    }));
    json!({
        "remit": 1, "name": "large", "risk": "elevated",
        "capabilities": ["chown", { "capability": "setuid", "why": "it becomes its user" }],
        "programs": programs, "files": files,
        "network": { "listen": ["tcp/8080", { "endpoint": "tcp/127.0.0.1:9000", "why": "administration" }], "connect": ["tcp/10.0.0.0/8:5432", "udp/53", "unix:*"] },
        "syscalls": { "allow": ["setuid", { "call": "bpf", "why": "a probe" }], "startup_only": ["execve", "bind", "listen"] },
        "ready": { "when": "listening" }, "limits": { "processes": 256 },
    })
}

/// A journal of one run, which reads these files.
pub fn journal(run: usize, label: &str, files: &[String]) -> String {
    let mut lines = vec![
        json!({ "t": 1, "phase": "startup", "kind": "exec", "program": "/bin/app", "parent": "", "args": ["app"], "result": "ok" }),
        json!({ "t": 2, "phase": "startup", "kind": "listen", "program": "/bin/app", "address": "tcp/0.0.0.0:8080", "result": "ok" }),
        json!({ "t": 3, "phase": "serving", "kind": "ready", "by": "listening" }),
    ];
    lines.extend(files.iter().map(|path| {
        json!({ "t": 9, "phase": "serving", "kind": "open", "program": "/bin/app", "path": path, "access": ["read"], "mount": "image", "result": "ok" })
    }));
    let count = lines.len();
    lines.insert(0, json!({ "journal": 1, "run": format!("app-20261122T{run:06}Z"), "command": ["app"], "label": label, "exact": false, "fingerprint": { "arch": "x86_64", "kernel": "6.18", "programs": "sha256:0" }, "outer": { "seccomp": true } }));
    lines.push(
        json!({ "t": 99, "end": { "exit": { "code": 0 }, "clean": true, "lines": count, "dropped": 0 } }),
    );
    text(&lines)
}

/// Builds `app.json` and its evidence from 24 runs, of which later ones show less and less that is new.
pub fn built(place: &Place) {
    std::fs::create_dir(place.path("runs")).expect("a directory");
    for run in 0..24 {
        let files: Vec<String> = (0..40)
            .filter(|n| (run * 7 + n * 3) % (n + 1) == 0)
            .map(|n| format!("/srv/part-{n}/index-of-{n}.html"))
            .collect();
        let label = ["get", "reload", "backup"][run % 3];
        place.put(&format!("runs/{run}.jsonl"), journal(run, label, &files));
    }
    place.done(&["build", "runs", "-o", "app.json", "--expect", "label:backup"]);
}

/// Events of three days, beginning with a start event.
pub fn events(digest: &str) -> String {
    let mut lines = vec![
        json!({ "remit": 1, "seq": 1, "nonce": NONCE, "time": "2026-11-22T10:00:00Z", "event": "start" }),
    ];
    let objects = [
        ("file", json!({ "path": "/etc/shadow", "access": ["read"] })),
        ("program", json!({ "path": "/bin/sh" })),
        ("network", json!({ "address": "tcp/203.0.113.7:4444", "access": "connect" })),
        ("syscall", json!({ "syscall": "ptrace", "args": ["0x10", "0x1"] })),
    ];
    for n in 0..200usize {
        let (kind, object) = &objects[n * n % 7 % 4];
        let time = format!("2026-11-{:02}T{:02}:{:02}:00.000001Z", 22 + n * n % 3, n * 5 % 24, n % 60);
        lines.push(violation(n + 2, &time, digest, kind, object));
    }
    text(&lines)
}

pub fn violation(seq: usize, time: &str, digest: &str, kind: &str, object: &Value) -> Value {
    json!({
        "remit": 1, "seq": seq, "nonce": NONCE, "time": time, "event": "violation",
        "policy": { "name": "app", "digest": digest }, "kind": kind, "action": "denied", "errno": "EACCES",
        "object": object, "rule": format!("/{kind}s"),
        "process": { "pid": 7, "executable": { "path": "/bin/app" } },
    })
}

/// Lines of JSON, `remit` first, as events begin.
pub fn text(lines: &[Value]) -> String {
    let line = |line: &Value| {
        let text = line.to_string();
        match line.get("remit") {
            Some(_) => format!("{{\"remit\":1,{}\n", &text[1..].replace("\"remit\":1,", "")),
            None => text + "\n",
        }
    };
    lines.iter().map(line).collect()
}
