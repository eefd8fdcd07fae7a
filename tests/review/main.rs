//! `remit diff`, `remit explain` and `remit exposure` from outside: what they print, their exit codes,
//! bad input, hostile text, and the transcripts of docs/review.md.

mod colours;
#[path = "../harness/seat.rs"]
mod seat;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const REMIT: &str = env!("CARGO_BIN_EXE_remit");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/review.md");

fn remit(arguments: &[&str]) -> Output {
    Command::new(REMIT).args(arguments).current_dir(ROOT).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// What a verb prints, and its exit code.
fn printed(arguments: &[&str]) -> (String, Option<i32>) {
    let output = remit(arguments);
    assert!(output.stderr.is_empty(), "{arguments:?}: {}", text(&output.stderr));
    (text(&output.stdout), output.status.code())
}

fn json_of(arguments: &[&str]) -> Value {
    let (text, _) = printed(&[arguments, &["--format", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A folder with a profile of this text.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("a file can be written");
        path.to_str().expect("UTF-8").to_owned()
    }

    fn profile(&self, name: &str, value: &Value) -> String {
        self.file(name, &value.to_string())
    }
}

fn profile(more: &Value) -> Value {
    let mut value = json!({ "remit": 1, "name": "x", "programs": [{ "path": "/app", "entry": true }] });
    for (key, item) in more.as_object().expect("an object") {
        value[key] = item.clone();
    }
    value
}

/// Each `$ remit …` of the page prints what stands below it. `UPDATE_GOLDEN=1` writes it anew.
#[test]
fn the_transcripts_of_the_page_are_what_happens() {
    let page = fs::read_to_string(PAGE).expect("docs/review.md");
    let mut made = String::new();
    let mut count = 0;
    for (number, part) in page.split("```").enumerate() {
        if number > 0 {
            made.push_str("```");
        }
        let command = part.strip_prefix("console\n").and_then(|block| block.lines().next());
        let Some(command) = command.filter(|_| number % 2 == 1) else {
            made.push_str(part);
            continue;
        };
        let words: Vec<&str> = command.strip_prefix("$ remit ").expect("a use of remit").split(' ').collect();
        let output = remit(&words);
        made.push_str(&format!("console\n{command}\n{}{}", text(&output.stdout), text(&output.stderr)));
        count += 1;
    }
    assert!(count >= 3, "{count} transcripts");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(PAGE, &made).expect("docs/review.md can be written");
    }
    let page = fs::read_to_string(PAGE).expect("docs/review.md");
    let differs = page.lines().zip(made.lines()).find(|(is, should)| is != should);
    assert!(page == made, "docs/review.md differs at {differs:?}; UPDATE_GOLDEN=1 writes it");
}

#[test]
fn a_profile_that_grants_more_is_exit_code_1() {
    for (before, after, code) in [
        ("strict", "strict", 0),
        ("strict", "baseline", 1),
        ("profiles/servers/postgres.json", "postgres", 0),
        ("nginx", "redis", 1),
    ] {
        let (text, exit) = printed(&["diff", before, after]);
        assert_eq!(exit, Some(code), "{before} {after}: {text}");
        let json = json_of(&["diff", before, after]);
        assert_eq!(json["grants_more"], json!(code == 1));
        let back = json_of(&["diff", after, before]);
        let count = |json: &Value, side: &str| json[side].as_array().expect("a list").len();
        assert_eq!(count(&json, "added"), count(&back, "removed"), "{before} {after}");
    }
}

#[test]
fn what_was_added_stands_with_its_line_its_risk_and_its_reason() {
    let folder = Folder::new();
    let before =
        folder.profile("a.json", &profile(&json!({ "files": [{ "path": "/data", "allow": ["read"] }] })));
    let after = folder.file(
        "b.json",
        &serde_json::to_string_pretty(&profile(&json!({
            "programs": [{ "path": "/app", "entry": true, "may_run": ["/bin/sh"] }, { "path": "/bin/sh", "why": "hooks" }],
            "files": [{ "path": "/data/x", "allow": ["read"] }],
            "capabilities": [{ "capability": "sys_admin", "why": "a reason" }],
        })))
        .expect("JSON"),
    );
    let json = json_of(&["diff", &before, &after]);
    let added = json["added"].as_array().expect("a list");
    let risks: Vec<&str> = added.iter().map(|one| one["risk"].as_str().expect("a word")).collect();
    assert_eq!(risks[0], "critical", "the highest first: {risks:?}");
    assert_eq!((&added[0]["capability"], &added[0]["why"]), (&json!("sys_admin"), &json!("a reason")));
    let line = added[0]["line"].as_u64().expect("a number") as usize;
    let text = fs::read_to_string(&after).expect("a file");
    // The entry begins there: an object of which the name is one of the next lines.
    assert!(
        text.lines().skip(line - 1).take(3).any(|line| line.contains("sys_admin")),
        "line {line}\n{text}"
    );
    let shell = added.iter().find(|one| one["kind"] == "transition").expect("a transition");
    assert_eq!((&shell["to"]["path"], &shell["risk"]), (&json!("/bin/sh"), &json!("high")));
    let (text, _) = printed(&["diff", &before, &after]);
    assert!(text.contains("- low       The app may read /data and all below it."), "{text}");
}

#[test]
fn an_evidence_file_beside_the_profile_is_the_reason() {
    let folder = Folder::new();
    let built = profile(&json!({ "files": [{ "path": "/data", "allow": ["read"] }] }));
    let path = folder.profile("p.json", &built);
    let digest = remit_digest(&path);
    let run = |name: &str, label: &str| {
        json!({ "clean": true, "command": "app", "dropped": 0, "exact": false, "fingerprint": { "arch": "x86_64" },
            "journal": format!("sha256:{name}"), "label": label, "outer_seccomp": false, "run": name })
    };
    let evidence = json!({
        "evidence": 1,
        "profile_digest": digest,
        "runs": [run("x-1", "idle"), run("x-2", "backup")],
        "rules": { "/files/0": { "because": "files of it were read", "examples": ["/data/1"], "phase": ["serving"], "runs": [1] } },
        "facts": [{ "fact": "file", "path": "/data/1", "did": "read", "mount": "image", "serving": "1" }],
    });
    // The version comes first, as `remit build` writes it.
    let text = evidence.to_string().replacen('{', "{ ", 1);
    folder.file("p.evidence.json", &text);
    let (text, _) = printed(&["explain", &path, "/data"]);
    assert!(
        text.contains(
            "evidence: 1 of 2 runs, at serving, with backup (x-2); files of it were read, such as /data/1"
        ),
        "{text}"
    );
    // Another text of the profile: found again by what the runs did.
    let changed = profile(&json!({ "files": ["@names", { "path": "/data/1", "allow": ["read"] }] }));
    folder.profile("p.json", &changed);
    let (text, _) = printed(&["explain", &path, "/data/1"]);
    assert!(text.contains("evidence: 1 of 2 runs, at serving, with backup (x-2)"), "{text}");
    let (text, _) = printed(&["explain", &path]);
    assert!(
        text.contains("note: ") && text.contains("was written with another text of the profile"),
        "{text}"
    );
    // What is no evidence is said.
    folder.file("p.evidence.json", "{\"evidence\": 9}");
    let output = remit(&["explain", &path]);
    assert_eq!(output.status.code(), Some(2));
    let error = self::text(&output.stderr);
    assert!(
        error.contains("p.evidence.json: version 9 of the evidence is newer") && error.lines().count() == 1,
        "{error}"
    );
}

/// The digest that the tool prints of a profile.
fn remit_digest(path: &str) -> String {
    json_of(&["explain", path])["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn items_of_every_kind_are_explained() {
    for (item, says) in [
        ("/files/2", "The app may read /etc/nginx and all below it."),
        ("/programs/0", "COMMAND may be /usr/sbin/nginx."),
        ("/etc/nginx/nginx.conf", "The app may read /etc/nginx and all below it."),
        ("/bin/sh", "It is a shell: it runs whatever commands it is given."),
        ("tcp/80", "The app may listen on TCP port 80 of any address."),
        ("tcp/81", "+ "),
        ("setuid", "the system call setuid"),
        ("fchown", "Others give the same power"),
        ("openat2", "`files` decides on what"),
        ("@names", "/etc/resolv.conf"),
        ("@core", "calls: "),
        ("CAP_CHOWN", "The app may have the capability chown."),
        ("sys_admin", "It is not granted"),
        ("LD_PRELOAD", "It is not kept"),
    ] {
        let (text, code) = printed(&["explain", "nginx", item]);
        assert_eq!(code, Some(0), "{item}");
        assert!(text.contains(says), "{item}: {text}");
        let json = json_of(&["explain", "nginx", item]);
        assert_eq!(json["item"], json!(item));
    }
    let denied = json_of(&["explain", "nginx", "ptrace"]);
    assert_eq!(
        (&denied["granted"], &denied["allowing"]["patch"][0]["value"]),
        (&json!(false), &json!("ptrace"))
    );
}

#[test]
fn the_attacks_that_are_stopped_are_those_that_the_profile_stops() {
    let stops = |more: Value, id: &str| {
        let folder = Folder::new();
        let path = folder.profile("p.json", &profile(&more));
        let json = json_of(&["explain", &path]);
        let attacks = json["attacks"].as_array().expect("a list");
        attacks.iter().find(|one| one["id"] == json!(id)).map(|one| one["stops"] == json!(true))
    };
    for (id, more) in [
        ("shell", json!({ "programs": [{ "path": "/app", "entry": true }, { "path": "/bin/dash" }] })),
        ("shell", json!({ "programs": [{ "beneath": "/usr", "entry": true }] })),
        ("tools", json!({ "programs": [{ "path": "/app", "entry": true }, { "path": "/usr/bin/curl" }] })),
        (
            "dropped_script",
            json!({ "programs": [{ "path": "/app", "entry": true }, { "path": "/usr/bin/python3.11" }] }),
        ),
        ("dropped_library", json!({ "files": [{ "path": "/data", "allow": ["read", "write"] }] })),
        (
            "dropped_library",
            json!({ "files": [{ "path": "/data", "allow": ["write", "create"] }, { "path": "/", "allow": ["read"] }] }),
        ),
        ("memory", json!({ "memory": { "write_execute": true } })),
        ("loader", json!({ "environment": { "keep": ["LD_PRELOAD"] } })),
        ("other_ids", json!({ "capabilities": ["setuid"] })),
        ("ptrace", json!({ "syscalls": { "allow": ["pidfd_getfd"] } })),
        ("kernel", json!({ "syscalls": { "allow": ["keyctl"] } })),
        ("namespaces", json!({ "syscalls": { "allow": ["unshare"] } })),
        (
            "namespaces",
            json!({ "syscalls": { "allow": [{ "call": "clone", "arg": 0, "mask": 0, "equals": 0 }] } }),
        ),
        ("mounts", json!({ "syscalls": { "allow": ["mount"] }, "capabilities": ["sys_admin"] })),
        (
            "raw_sockets",
            json!({ "syscalls": { "allow": [{ "call": "socket", "arg": 0, "in": ["AF_PACKET"] }] }, "capabilities": ["net_raw"] }),
        ),
        ("connect_out", json!({ "network": { "connect": ["tcp/443"] } })),
        ("connect_out", json!({ "network": { "listen": ["udp/*"] } })),
        ("backdoor", json!({ "network": { "listen": ["tcp/1000-60000"] } })),
        ("engine", json!({ "network": { "connect": ["unix:/var/run/docker.sock"] } })),
        ("configuration", json!({ "files": [{ "path": "/etc/app", "allow": ["write"] }] })),
        ("secrets", json!({ "files": [{ "path": "/run", "allow": ["read"] }] })),
        ("devices", json!({ "files": [{ "path": "/dev/sda", "allow": ["ioctl"] }] })),
    ] {
        assert_eq!(stops(more.clone(), id), Some(false), "{id} {more}");
        assert_eq!(stops(json!({}), id), Some(true), "{id}");
    }
    assert_eq!(stops(json!({ "limits": { "processes": 9 } }), "fork_bomb"), Some(true));
    assert_eq!(stops(json!({}), "fork_bomb"), Some(false));
    assert_eq!(
        stops(json!({ "network": { "connect": ["tcp/10.0.0.1:443"] } }), "connect_out"),
        Some(true),
        "listed hosts alone"
    );
    // Nothing is stopped where nothing is refused.
    assert_eq!(stops(json!({ "mode": "audit" }), "shell"), None);
    assert_eq!(stops(json!({ "mode": "audit" }), "mode"), Some(false));
}

#[test]
fn exposure_has_a_row_for_every_number() {
    let json = json_of(&["exposure", "nginx", "--against", "redis"]);
    let compared = json["compared"].as_array().expect("a list");
    assert_eq!(compared.len(), 3, "Docker's default, baseline, the one before");
    for one in compared.iter().chain([&json["own"]]) {
        let rows = one["rows"].as_array().expect("rows");
        let (mut sum, mut weights) = (0.0, 0.0);
        for row in rows {
            sum += row["badness"].as_f64().expect("a number") * row["weight"].as_f64().expect("a number");
            weights += row["weight"].as_f64().expect("a number");
        }
        let value = one["value"].as_f64().expect("a number");
        assert!((value - 10.0 * sum / weights).abs() <= 0.1, "{value} of {sum} / {weights}");
    }
    let (_, code) = printed(&["exposure", "nginx", "--against", "redis"]);
    assert_eq!(code, Some(1), "a row is worse");
    let (_, code) = printed(&["exposure", "redis", "--against", "redis"]);
    assert_eq!(code, Some(0));
}

/// A log with one violation of the profile at `path`.
fn log(path: &str, event: &Value, unlike: &[&str]) -> String {
    let nonce = "00112233445566778899aabbccddeeff";
    let mut event = event.clone();
    let policy = json!({ "name": "x", "digest": remit_digest(path) });
    event["policy"] = policy.clone();
    event["nonce"] = json!(nonce);
    event["event"] = json!("violation");
    let start = json!({ "seq": 1, "nonce": nonce, "event": "start", "policy": policy, "unlike": unlike });
    // serde_json sorts keys, and an event begins with `remit`.
    [start, event].map(|value| format!("{{\"remit\":1,{}\n", &value.to_string()[1..])).concat()
}

#[test]
fn violations_look_like_what_they_are() {
    let folder = Folder::new();
    let path = folder.profile(
        "p.json",
        &profile(&json!({
            "programs": [{ "path": "/opt/app/bin/app", "entry": true }, { "path": "/bin/sh", "entry": true }],
            "network": { "listen": ["tcp/80"], "connect": ["tcp/10.0.0.5:5432"] },
            "files": [{ "path": "/var/lib/app/data", "allow": ["read", "write"] }],
            "syscalls": { "allow": ["fchown", { "call": "prctl", "arg": 0, "in": [22] }] },
            "ready": { "when": "listening" },
        })),
    );
    let app = json!({ "pid": 9, "executable": { "path": "/opt/app/bin/app" }, "args": ["app"] });
    let sh = json!({ "pid": 9, "executable": { "path": "/bin/sh" }, "args": ["sh", "/entrypoint.sh"] });
    let event = |kind: &str, object: Value, process: &Value| json!({ "seq": 5, "kind": kind, "action": "denied", "errno": "EACCES", "object": object, "process": process });
    let cases = [
        (event("program", json!({ "path": "/usr/bin/wget" }), &app), "intrusion", "tool_spawned"),
        (event("program", json!({ "path": "/tmp/.x" }), &app), "intrusion", "program_where_the_app_writes"),
        (
            event("program", json!({ "path": "/opt/app/bin/helper" }), &app),
            "new feature",
            "program_beside_others",
        ),
        (event("program", json!({ "path": "/usr/bin/perl" }), &sh), "unclear", "tool_of_a_script"),
        (
            event("file", json!({ "path": "/etc/shadow", "access": ["read"] }), &app),
            "intrusion",
            "sensitive_file",
        ),
        (
            event("file", json!({ "path": "/etc/cron.d/x", "access": ["write", "create"] }), &app),
            "intrusion",
            "persistence",
        ),
        (
            event("file", json!({ "path": "/usr/lib/libx.so", "access": ["create"] }), &app),
            "intrusion",
            "dropped_file",
        ),
        (
            event("file", json!({ "path": "/var/lib/app/other", "access": ["read"] }), &app),
            "new feature",
            "path_beside_others",
        ),
        (
            event("file", json!({ "path": "/var/lib/app/data", "access": ["remove"] }), &app),
            "new feature",
            "more_rights",
        ),
        (
            event("syscall", json!({ "syscall": "ptrace", "args": ["0x10", "0x1"] }), &app),
            "intrusion",
            "controls_processes",
        ),
        (
            event("syscall", json!({ "syscall": "fchownat", "args": ["0x3"] }), &app),
            "new feature",
            "class_mate",
        ),
        (
            event("syscall", json!({ "syscall": "io_uring_enter", "args": [] }), &app),
            "intrusion",
            "dangerous_call",
        ),
        (
            event("syscall", json!({ "syscall": "prctl", "args": ["0x18"] }), &app),
            "new feature",
            "other_arguments",
        ),
        (
            event("network", json!({ "address": "tcp/169.254.169.254:80", "access": "connect" }), &app),
            "intrusion",
            "metadata_service",
        ),
        (
            event("network", json!({ "address": "tcp/10.0.0.6:5432", "access": "connect" }), &app),
            "new feature",
            "known_port",
        ),
        (
            event("network", json!({ "address": "tcp/127.0.0.1:6379", "access": "connect" }), &app),
            "new feature",
            "own_network",
        ),
        (event("network", json!({ "address": "tcp/4444", "access": "listen" }), &app), "unclear", "new_port"),
        (
            event("memory", json!({ "syscall": "mprotect", "args": ["0x0"] }), &app),
            "intrusion",
            "code_in_memory",
        ),
        (event("limit", json!({ "name": "processes" }), &app), "new feature", "limit"),
    ];
    for (event, looks, signal) in &cases {
        let events = folder.file("e.jsonl", &log(&path, event, &[]));
        let json = json_of(&["explain", &path, &format!("{events}:2")]);
        // Start-up is not over in this log, which is a point for a feature.
        let signals: Vec<&str> = json["signals"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["id"].as_str().expect("a word"))
            .collect();
        assert_eq!(json["looks_like"], json!(looks), "{event}: {signals:?}");
        assert!(signals.contains(signal) && signals.contains(&"before_ready"), "{event}: {signals:?}");
    }
    let updated = log(&path, &cases[0].0, &["learned with libc6 2.36, here is 2.41 (newer)"]);
    let events = folder.file("e.jsonl", &updated);
    let (text, _) = printed(&["explain", &path, "--event", &events, "--seq", "5"]);
    assert!(text.contains("after_update") && text.contains("2.41 (newer)"), "{text}");
}

#[test]
fn a_hint_is_shown_where_remit_gives_it_and_nowhere_else() {
    let folder = Folder::new();
    let path = folder.profile("p.json", &profile(&json!({})));
    let hint = |value: Value| {
        json!({ "seq": 2, "kind": "syscall", "action": "denied", "errno": "EPERM", "rule": "/syscalls",
            "object": { "syscall": "keyctl", "args": [] }, "hint": value })
    };
    let of = |event: &Value| {
        let events = folder.file("e.jsonl", &log(&path, event, &[]));
        json_of(&["explain", &path, &format!("{events}:2")])
    };
    let good = of(&hint(json!([{ "op": "add", "path": "/syscalls", "value": { "allow": ["keyctl"] } }])));
    assert_eq!(good["allowing"]["lines"], json!(["\"syscalls\": { \"allow\": [\"keyctl\"] }"]), "{good}");
    assert_eq!(good["missing"].as_str().map(|text| text.contains("keyrings")), Some(true), "{good}");
    let wider = of(&hint(json!([{ "op": "add", "path": "/mode", "value": "off" }])));
    assert_eq!(wider["allowing"], Value::Null);
    assert!(wider["notes"].to_string().contains("none that remit gives"), "{wider}");
    // A true hint of something else.
    let other = of(&hint(json!([{ "op": "add", "path": "/syscalls", "value": { "allow": ["mount"] } }])));
    assert_eq!(other["allowing"], Value::Null);
    assert!(other["notes"].to_string().contains("something else than what was refused"), "{other}");
    let none = of(&hint(json!([])));
    assert!(none["notes"].to_string().contains("no profile can allow just this"), "{none}");
    // Of another profile nothing is shown.
    let events = folder.file("e.jsonl", &log(&path, &hint(json!([])), &[]));
    let other = folder.profile("q.json", &profile(&json!({ "name": "y" })));
    let (text, _) = printed(&["explain", &other, &format!("{events}:2")]);
    assert!(text.contains("note: The event is of the profile x"), "{text}");
}

/// The sections of an exact profile bring no calls.
#[test]
fn an_exact_profile_needs_the_calls_of_a_section_too() {
    let folder = Folder::new();
    let exact = |more: Value| {
        let mut value = profile(&json!({ "syscalls": { "exact": true, "allow": ["brk"] } }));
        value.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        folder.profile("p.json", &value)
    };
    let patch = |path: &str, item: &str| {
        let json = json_of(&["explain", path, item]);
        (json["allowing"]["patch"].to_string(), json["notes"].to_string())
    };
    let none = exact(json!({}));
    let (added, notes) = patch(&none, "tcp/80");
    assert!(added.contains("tcp/80") && added.contains("socket") && added.contains("connect"), "{added}");
    assert!(notes.contains("has no socket and no connect"), "{notes}");
    let granted = exact(
        json!({ "network": { "connect": ["tcp/80"] }, "files": [{ "path": "/d", "allow": ["read"] }] }),
    );
    let (added, notes) = patch(&granted, "tcp/80");
    assert!(
        !added.contains("tcp/80") && added.contains("connect") && notes.contains("is exact"),
        "{added} {notes}"
    );
    assert!(patch(&granted, "/d").1.contains("has none that opens files"));
    let (added, notes) = patch(&folder.profile("q.json", &profile(&json!({}))), "tcp/80");
    assert!(!added.contains("socket") && !notes.contains("exact"), "{added}");
}

/// With UDP by port remit-init does not start.
#[test]
fn what_is_refused_at_the_start_is_not_offered() {
    let folder = Folder::new();
    let path = folder.profile("p.json", &profile(&json!({})));
    for endpoint in ["udp/53", "udp/10.0.0.1:*"] {
        let json = json_of(&["explain", &path, endpoint]);
        assert_eq!(json["allowing"], Value::Null, "{json}");
        assert!(json["notes"].to_string().contains("does not start"), "{json}");
    }
    assert!(json_of(&["explain", &path, "udp/*"])["allowing"].is_object());
}

/// unshare(CLONE_NEWUSER) needs no capability, and the other two none by the settings of some kernels.
#[test]
fn calls_that_work_without_a_capability_are_no_empty_grants() {
    let folder = Folder::new();
    let calls = ["bpf", "perf_event_open", "unshare"];
    let path = folder.profile("p.json", &profile(&json!({ "syscalls": { "allow": calls } })));
    for call in calls {
        let (text, _) = printed(&["explain", &path, call]);
        assert!(text.contains("high") && !text.contains("refuses it without"), "{text}");
        assert!(!text.contains("can do nothing without"), "{text}");
    }
    let mounts = folder.profile("m.json", &profile(&json!({ "syscalls": { "allow": ["mount"] } })));
    assert!(printed(&["explain", &mounts, "mount"]).0.contains("the kernel refuses it without sys_admin"));
}

#[test]
fn an_event_is_read_from_stdin_and_by_its_nonce() {
    let folder = Folder::new();
    let path = folder.profile("p.json", &profile(&json!({})));
    let event = json!({ "seq": 3, "kind": "program", "action": "denied", "errno": "EACCES", "object": { "path": "/bin/sh" } });
    let log = format!("the app's own line\n{}", log(&path, &event, &[]));
    let mut child = Command::new(REMIT)
        .args(["explain", &path, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    child.stdin.take().expect("a pipe").write_all(log.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("wanted to execute /bin/sh"));
    let events = folder.file("e.jsonl", &log.replace("00112233445566778899aabbccddeeff", &"f".repeat(32)));
    let other = remit(&["explain", &path, "--event", &events, "--seq", "3", "--nonce", &"e".repeat(32)]);
    assert_eq!(other.status.code(), Some(2));
    let mine = remit(&["explain", &path, "--event", &events, "--seq", "3", "--nonce", &"f".repeat(32)]);
    assert_eq!(mine.status.code(), Some(0), "{}", text(&mine.stderr));
    let unproven = folder.file("f.jsonl", log.lines().last().expect("a line"));
    let (text, _) = printed(&["explain", &path, &format!("{unproven}:1")]);
    assert!(text.contains("note: The log does not begin with remit's start event"), "{text}");
}

#[test]
fn hostile_text_reaches_no_terminal() {
    let folder = Folder::new();
    let evil = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\n+ low fake";
    let path = folder.profile(
        "p.json",
        &profile(&json!({
            "programs": [{ "path": "/app", "entry": true, "why": evil, "args": [[evil]] }],
            "files": [{ "path": format!("/d/{evil}"), "allow": ["read", "write"], "why": evil }],
            "network": { "connect": [format!("unix:/r/{evil}")] },
        })),
    );
    let event = json!({ "seq": 4, "kind": evil, "action": evil, "errno": evil, "rule": evil, "object": { "path": evil, "access": [evil] },
        "process": { "uid": 1, "executable": { "path": evil }, "args": [evil] }, "ancestors": [evil], "hint": [] });
    let events = folder.file("e.jsonl", &log(&path, &event, &[evil]));
    let line = format!("{events}:2");
    let uses: [&[&str]; 8] = [
        &["explain", &path],
        &["explain", &path, "/files/0"],
        &["explain", &path, &line],
        &["diff", "strict", &path],
        &["diff", &path, "strict"],
        &["exposure", &path],
        &["explain", &path, evil],
        &["explain", &path, "--event", &events, "--seq", "4"],
    ];
    for arguments in uses {
        for format in [&[][..], &["--format", "json"]] {
            let output = remit(&[arguments, format].concat());
            let all = [output.stdout, output.stderr].concat();
            let text = text(&all);
            let is_hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(is_hidden), "{arguments:?}: {text:?}");
            assert!(
                !text.lines().any(|line| line.starts_with("+ low fake")),
                "{arguments:?}: a line of its own"
            );
        }
    }
}

#[test]
fn bad_input_is_one_line_and_exit_code_2() {
    let folder = Folder::new();
    let bad = folder.file("bad.json", "{\"remit\": 1, \"name\": \"x\", \"programs\": [], \"filez\": []}");
    let empty = folder.file("empty.jsonl", "");
    let other =
        folder.file("other.jsonl", "{\"remit\":1,\"seq\":1,\"event\":\"exec\"}\n{\"remit\":1,\"seq\":\n");
    let newer = folder.file("newer.jsonl", "{\"remit\":2,\"seq\":1,\"event\":\"violation\"}\n");
    let cases: [(&[&str], &str); 18] = [
        (&["explain", "nginx", &format!("{newer}:1")], "is an event of version 2, and this remit reads 1"),
        (&["explain", "nginx", "--event", &newer, "--seq", "1"], "is an event of version 2"),
        (&["diff", "nginx", "gone.json"], "profile gone.json: not found"),
        (&["diff", "nginx", "nothing"], "no profile is called `nothing`"),
        (&["diff", &bad, "nginx"], "/filez: unknown key"),
        (&["diff", "nginx"], "required arguments were not provided"),
        (&["exposure", "tests"], "tests: is a directory"),
        (&["exposure", "nginx", "--against", "gone.json"], "gone.json: not found"),
        (&["explain", "nginx", "ptrac"], "did you mean \"ptrace\"?"),
        (&["explain", "nginx", "/files/99"], "\"/files/99\" is no item of a profile"),
        (&["explain", "nginx", "gone.jsonl:3"], "gone.jsonl: "),
        (&["explain", "nginx", &format!("{empty}:1")], "has no event there"),
        (&["explain", "nginx", &format!("{other}:1")], "is an event of the kind \"exec\""),
        (&["explain", "nginx", &format!("{other}:2")], "is no event of remit"),
        (&["explain", "nginx", &format!("{other}:0")], "has no event there"),
        (&["explain", "nginx", "--event", &other, "--seq", "9"], "has no event 9"),
        (&["explain", "nginx", "--event", &other], "--seq"),
        (&["explain", "nginx", "--event", "gone.jsonl", "--seq", "9"], "gone.jsonl: "),
    ];
    for (arguments, says) in cases {
        let output = remit(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(error.contains(says), "{arguments:?}: {error}");
        // clap's own messages have a usage below them.
        assert!(error.lines().count() == 1 || error.starts_with("error: "), "{error}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for arguments in [&["diff", "redis", "baseline"][..], &["explain", "postgres"], &["exposure", "postgres"]]
    {
        for format in ["text", "json"] {
            let run = || remit(&[arguments, &["--format", format]].concat()).stdout;
            assert_eq!(run(), run(), "{arguments:?}");
        }
    }
}

#[test]
fn every_profile_of_the_repository_is_explained() {
    let mut folders: Vec<PathBuf> = vec![Path::new(ROOT).join("profiles")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.to_str().expect("UTF-8");
            for verb in ["explain", "exposure"] {
                let (text, code) = printed(&[verb, name]);
                assert_eq!(code, Some(0), "{name}");
                assert!(text.lines().count() > 10, "{name}: {text}");
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}
