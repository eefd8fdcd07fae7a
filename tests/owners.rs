//! A change of owner that needs no capability is no violation: sqlite and others give a
//! file, as root, to the user that owns it already.

#[path = "support/skip.rs"]
mod skip;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const BUSYBOX: &str = "/bin/busybox";

/// `chown OWNER FILE` under a profile that grants the call and no capability.
fn chown(folder: &Path, owner: &str, file: &Path) -> (Output, Vec<Value>) {
    let profile = json!({
        "remit": 1, "name": "owner", "capabilities": [],
        "programs": [{ "path": BUSYBOX, "entry": true }],
        "files": ["@runtime", { "path": folder.join("data"), "allow": ["read", "write"] }],
        "syscalls": { "allow": ["chown", "fchown", "fchownat", "lchown"] },
    });
    let (path, events) = (folder.join("profile.json"), folder.join("events"));
    std::fs::write(&path, profile.to_string()).expect("a file");
    let mut shim = Command::new(env!("CARGO_BIN_EXE_remit-init"));
    shim.args(["--mode", "enforce", "--profile"]).arg(&path).arg("--events").arg(&events);
    let output = shim.args(["--", BUSYBOX, "chown", owner]).arg(file).output().expect("it runs");
    let text = std::fs::read_to_string(&events).expect("it tells at least of its start");
    std::fs::remove_file(&events).expect("its events");
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    (output, events.filter(|event| event["event"] == "violation").collect())
}

#[test]
fn what_is_ones_own_may_be_given_to_oneself() {
    if !skip::has(BUSYBOX) {
        return;
    }
    let folder = tempfile::tempdir().expect("a directory");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a directory");
    let file = data.join("base");
    std::fs::write(&file, "").expect("a file");
    let (user, group) = std::fs::metadata(&file).map(|seen| (seen.uid(), seen.gid())).expect("it is there");

    let (output, violations) = chown(folder.path(), &format!("{user}:{group}"), &file);
    assert!(output.status.success(), "{output:?}");
    assert!(violations.is_empty(), "{violations:?}");

    let (output, violations) = chown(folder.path(), &format!("{}:{group}", user + 1), &file);
    assert!(!output.status.success(), "{output:?}");
    assert_eq!(violations[0]["object"], json!({ "name": "chown" }), "{violations:?}");
    assert_eq!(violations[0]["hint"][0]["value"], "chown", "{violations:?}");

    // What is not there fails by itself.
    let (output, violations) = chown(folder.path(), &format!("{}:{group}", user + 1), &data.join("other"));
    assert!(!output.status.success() && violations.is_empty(), "{output:?} {violations:?}");
}
