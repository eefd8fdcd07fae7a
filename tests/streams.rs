//! The app's standard streams, and its own descriptors, opened once more by name: as without remit
//! where they are held, and refused where they are not.

#[path = "support/descriptors.rs"]
mod descriptors;
#[path = "support/skip.rs"]
mod skip;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const BUSYBOX: &str = "/bin/busybox";

/// What came of a script: its exit code, what its stdout and its stderr have, and the violations.
#[derive(Debug, PartialEq)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    violations: Vec<Value>,
}

impl Outcome {
    /// The same without what only a confined run has.
    fn seen(&self) -> (Option<i32>, &str, &str) {
        (self.code, &self.stdout, &self.stderr)
    }
}

/// What the standard streams are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Files that no profile here grants.
    Files,
    Pipes,
}

/// Runs a script by busybox's shell, the shim as the first process of a pid namespace.
fn run(folder: &Path, mode: &str, kind: Kind, script: &str) -> Outcome {
    let profile = json!({
        "remit": 1, "name": "streams",
        "programs": [{ "path": BUSYBOX, "entry": true, "may_run": [BUSYBOX] }],
        "files": [
            { "path": folder.join("mine"), "allow": ["read", "write", "create", "remove"] },
            { "path": folder.join("secret"), "allow": ["read"] },
        ],
        "syscalls": { "allow": ["@core"] },
    });
    let (path, events) = (folder.join("profile.json"), folder.join("events"));
    std::fs::write(&path, profile.to_string()).expect("a file");
    std::fs::write(folder.join("secret"), "secret").expect("a file");
    let mut shim = Command::new("unshare");
    descriptors::only_standard(&mut shim);
    shim.args(["-Urpf", "--mount-proc", "--kill-child", env!("CARGO_BIN_EXE_remit-init"), "--mode", mode]);
    if mode != "off" {
        shim.arg("--profile").arg(&path).arg("--events").arg(&events);
    }
    shim.args(["--", BUSYBOX, "sh", "-c", script]).current_dir(folder).stdin(Stdio::null());
    let output = match kind {
        Kind::Pipes => shim.output().expect("it runs"),
        Kind::Files => {
            let (out, err) = (folder.join("out"), folder.join("err"));
            let file = |path: &Path| File::create(path).expect("a file");
            let status = shim.stdout(file(&out)).stderr(file(&err)).status().expect("it runs");
            let read = |path: &Path| std::fs::read(path).expect("it is there");
            std::process::Output { status, stdout: read(&out), stderr: read(&err) }
        }
    };
    let text = std::fs::read_to_string(&events).unwrap_or_default();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    let violations = events.filter(|event| event["event"] == "violation").collect();
    std::fs::remove_file(folder.join("events"))
        .or_else(|error| if mode == "off" { Ok(()) } else { Err(error) })
        .expect("events");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Outcome {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
        violations,
    }
}

#[test]
fn what_the_app_holds_is_opened_once_more() {
    if !skip::has(BUSYBOX) || !skip::namespaces() {
        return;
    }
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    for kind in [Kind::Files, Kind::Pipes] {
        for script in [
            "echo hi > /dev/stdout",
            "echo a; echo b >> /dev/stdout; echo c >> /proc/self/fd/1; echo d >> /dev/fd/1",
            "echo a >&2; echo b >> /dev/stderr; echo c >> /proc/self/fd/2",
            "echo hi > /proc/1/fd/1",
            "echo a >> /proc/1/fd/1; echo b >> /proc/1/fd/1; echo c >> /proc/1/fd/2; echo d >> /proc/1/task/1/fd/1",
            "/bin/busybox sh -c 'echo hi >> /proc/1/fd/1'; echo $?",
            // A file that its name no longer grants.
            "exec 5>mine; /bin/busybox rm mine; echo x >> /proc/self/fd/5; echo $?",
        ] {
            let free = run(folder.path(), "off", kind, script);
            assert_eq!(
                (free.code, free.stderr.contains("ermission")),
                (Some(0), false),
                "{script}: {free:?}"
            );
            for mode in ["enforce", "audit"] {
                let confined = run(folder.path(), mode, kind, script);
                assert_eq!(confined.seen(), free.seen(), "{kind:?} {mode} {script}: {confined:?}");
                assert!(confined.violations.is_empty(), "{kind:?} {mode} {script}: {confined:?}");
            }
        }
    }
}

/// A learning run opens them too, and its profile, which lets nothing be written, allows them.
#[test]
fn what_was_opened_once_more_is_learned() {
    if !skip::has(BUSYBOX) || !skip::namespaces() {
        return;
    }
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let script = "echo a >> /proc/1/fd/1; echo b >> /dev/stdout; echo c >> /dev/stderr";
    let (out, runs, learned) =
        (folder.path().join("out"), folder.path().join("runs"), folder.path().join("learned.json"));
    let shim = |options: &[&Path]| {
        let mut shim = Command::new("unshare");
        descriptors::only_standard(&mut shim);
        shim.args(["-Urpf", "--mount-proc", "--kill-child", env!("CARGO_BIN_EXE_remit-init")]);
        shim.args(options).args(["--", BUSYBOX, "sh", "-c", script]).stdin(Stdio::null());
        let output = shim.stdout(File::create(&out).expect("a file")).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        (std::fs::read_to_string(&out).expect("it is there"), text)
    };
    let path = Path::new;
    let (stdout, _) = shim(&[path("--mode"), path("learn"), path("--learn-dir"), &runs]);
    assert_eq!(stdout, "a\nb\n");
    let mut build = Command::new(env!("CARGO_BIN_EXE_remit"));
    let built = build.arg("build").arg(&runs).arg("-o").arg(&learned).output().expect("it runs");
    assert!(built.status.success(), "{built:?}");
    let profile = std::fs::read_to_string(&learned).expect("a profile");
    assert!(!profile.contains("write"), "{profile}");
    let (stdout, stderr) = shim(&[path("--profile"), &learned]);
    assert_eq!((&*stdout, &*stderr), ("a\nb\n", "c\n"));
}

#[test]
fn what_it_does_not_hold_is_refused_by_these_names_too() {
    if !skip::has(BUSYBOX) || !skip::namespaces() {
        return;
    }
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let secret = folder.path().join("secret");
    for (script, object) in [
        // Held for reading alone.
        ("exec 5<secret; echo x > /proc/self/fd/5", &*secret),
        ("exec 5<secret; echo x >> /dev/fd/5", &secret),
        ("exec 5<secret; echo x 1<> /proc/self/fd/5", &secret),
        // The stream by the name of its file.
        ("echo x >> out", &folder.path().join("out")),
    ] {
        let free = run(folder.path(), "off", Kind::Files, script);
        assert_eq!(free.code, Some(0), "{script}: {free:?}");
        let confined = run(folder.path(), "enforce", Kind::Files, script);
        assert_ne!(confined.code, Some(0), "{script}: {confined:?}");
        assert_eq!(confined.violations.len(), 1, "{script}: {confined:?}");
        assert_eq!(confined.violations[0]["object"]["path"], object.to_str().expect("UTF-8"), "{confined:?}");
        assert_eq!(std::fs::read(&secret).expect("it is there"), b"secret");
    }
    // What else the supervisor has open, where another process has nothing.
    for path in ["/proc/1/fd/3", "/proc/1/fd/5", "/proc/1/root/tmp/x", "/proc/1/cwd/tmp/x", "/proc/1/exe"] {
        let confined = run(folder.path(), "enforce", Kind::Files, &format!("echo x > {path}"));
        assert_ne!(confined.code, Some(0), "{path}: {confined:?}");
        let said = confined.violations.iter().any(|event| event["object"]["path"] == path);
        assert!(said || path.contains("/fd/"), "{path}: {confined:?}");
    }
}
