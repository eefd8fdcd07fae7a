//! What the supervisor opens for the app is as without it: its locks end with the app's descriptor,
//! and a symbolic link is the errno that the kernel has for it.

#[path = "support/descriptors.rs"]
mod descriptors;
#[path = "support/skip.rs"]
mod skip;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

const PYTHON: &str = "/usr/bin/python3";

/// Locks a file, closes it and locks it once more by another descriptor; how often that failed.
const LOCKS: &str = "
import fcntl, os, sys
failed = 0
for _ in range(500):
    one = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(one)
    other = os.open(sys.argv[1], os.O_RDONLY)
    try: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError: failed += 1
    os.close(other)
print(failed)
";

/// What comes of opening a link to nothing without following it.
const LINK: &str = "
import errno, os, sys
link = sys.argv[1]
os.symlink('nothing', link)
for flags in (os.O_NOFOLLOW, os.O_NOFOLLOW | os.O_CREAT, os.O_NOFOLLOW | os.O_TRUNC, os.O_CREAT | os.O_EXCL):
    try: os.close(os.open(link, os.O_WRONLY | flags))
    except OSError as error: print(errno.errorcode[error.errno])
";

fn run(folder: &Path, mode: &str, script: &str) -> Output {
    let file = folder.join("file");
    // A name alone is granted, for which the kernel has no rule.
    let profile = json!({
        "remit": 1, "name": "opened",
        "programs": [{ "path": PYTHON, "entry": true }],
        "files": ["@runtime", { "path": "/usr", "allow": ["read"] },
                  { "path": file, "allow": ["read", "write", "create"] }],
    });
    let path = folder.join("profile.json");
    std::fs::write(&path, profile.to_string()).expect("a file");
    let mut shim = Command::new(env!("CARGO_BIN_EXE_remit-init"));
    descriptors::only_standard(&mut shim);
    shim.env_clear().args(["--mode", mode, "--profile"]).arg(path).args(["--", PYTHON, "-S", "-c", script]);
    shim.arg(file).output().expect("it runs")
}

#[test]
fn a_lock_ends_with_the_apps_own_descriptor() {
    if !skip::has(PYTHON) {
        return;
    }
    // Before it a signal could leave the descriptor in the app and break the call.
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("it is there");
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    if (numbers.next(), numbers.next()) < (Some(5), Some(19)) {
        return skip::skip("Linux 5.19");
    }
    for mode in ["off", "enforce"] {
        let folder = tempfile::tempdir().expect("a directory");
        let output = run(folder.path(), mode, LOCKS);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0", "{mode}: {output:?}");
        assert!(output.status.success(), "{mode}: {output:?}");
    }
}

#[test]
fn a_link_that_is_not_followed_is_the_kernels_errno() {
    if !skip::has(PYTHON) {
        return;
    }
    for mode in ["off", "enforce"] {
        let folder = tempfile::tempdir().expect("a directory");
        let output = run(folder.path(), mode, LINK);
        let printed = String::from_utf8_lossy(&output.stdout);
        let printed: Vec<&str> = printed.lines().collect();
        assert_eq!(printed, ["ELOOP", "ELOOP", "ELOOP", "EEXIST"], "{mode}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("\"violation\""), "{mode}: {said}");
    }
}
