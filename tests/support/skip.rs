//! What a test lacks: said aloud, counted for the last line of `cargo test`, and a failure
//! where everything has to be there (`REMIT_REQUIRE_DOCKER=1`, as in CI).
//!
//! All programs of one `cargo test` are children of that cargo, so a skip is noted in a
//! folder that is named after the parent: `target/tmp/skipped/PID-START/PROGRAM-PID`. The
//! last program, `zz_skipped`, reads it and removes it.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Says that the test that calls this does nothing, for want of something, such as
/// `a Docker engine`.
///
/// # Panics
/// Where nothing may be skipped.
pub fn skip(what: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").to_owned();
    let required = std::env::var_os("REMIT_REQUIRE_DOCKER").is_some_and(|value| value == "1");
    assert!(!required, "REMIT_REQUIRE_DOCKER=1, and {test} needs {what}; install it or unset the variable");
    // Past what cargo captures of a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test} needs {what}");
    // Where there is no folder to write to, nothing is counted.
    let _ = note(&test, what);
}

/// Whether this program is there; else the test that calls this is skipped.
pub fn has(program: &str) -> bool {
    let there = Path::new(program).exists();
    if !there {
        skip(program);
    }
    there
}

/// Whether tests may take on another uid here; else the test that calls this is skipped.
pub fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip("root, for other users");
    }
    root
}

/// Whether tests may look into the shim here, which is no one else's to look into
/// (PR_SET_DUMPABLE(2const)); else the test that calls this is skipped.
pub fn sees_the_shim() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip("root, to look into the shim");
    }
    root
}

/// What a test lacks where no namespaces can be made.
pub const NAMESPACES: &str = "user, pid and mount namespaces";

/// Whether user, pid and mount namespaces can be made here; else the test that calls this
/// is skipped.
pub fn namespaces() -> bool {
    let there = can_unshare();
    if !there {
        skip(NAMESPACES);
    }
    there
}

/// Whether user, pid and mount namespaces can be made here: a container's runtime and a
/// chroot refuse them.
pub fn can_unshare() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        let mut unshare = Command::new("unshare");
        unshare.args(["-Urpfm", "--mount-proc", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        unshare.status().is_ok_and(|status| status.success())
    })
}

fn note(test: &str, what: &str) -> std::io::Result<()> {
    let folder = run(parent_id()).ok_or(std::io::ErrorKind::NotFound)?;
    fs::create_dir_all(&folder)?;
    let program = std::env::current_exe()?;
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = folder.join(format!("{name}-{}", std::process::id()));
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(format!("{test}\t{what}\n").as_bytes())
}

/// Where all runs note what they skip.
pub fn runs() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped")
}

/// Where the tests that this process started note it; none where it is not there.
pub fn run(process: u32) -> Option<PathBuf> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Field 22 of proc_pid_stat(5), the start; the second may hold spaces and brackets.
    let start = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.to_owned();
    Some(runs().join(format!("{process}-{start}")))
}
