//! What should not be done to an init, done.

use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use crate::harness::{self, Running, command, probe, run, skip};
use crate::ways;

#[test]
fn a_hundred_thousand_arguments_and_a_megabyte_of_environment() {
    for way in ways() {
        let mut shim = way.shim(&[], &["count"]);
        shim.args((0..100_000).map(|_| "x"));
        let ended = run(&mut shim);
        assert!(ended.stdout.starts_with("arguments 100001 "), "{way:?}: {} {}", ended.code, ended.stderr);

        let mut shim = way.shim(&[], &["count"]);
        for number in 0..16 {
            shim.env(format!("BIG{number:02}"), "x".repeat(65536 - 5));
        }
        let ended = run(&mut shim);
        let size = ended.stdout.trim_end().rsplit(' ').next().and_then(|size| size.parse::<usize>().ok());
        assert!(size.is_some_and(|size| size >= 16 * 65536), "{way:?}: {ended:?}");
    }
}

#[test]
fn every_child_killed_at_once() {
    for way in ways() {
        let mut running = Running::start(&mut way.shim(&[], &["brood", "300"]));
        running.expect("ready");
        let app = harness::children(running.shim())[0];
        for pid in harness::children(app).into_iter().chain([app]) {
            harness::send(pid, libc::SIGKILL);
        }
        assert_eq!(running.end().code, 137, "{way:?}");
    }
}

#[test]
fn a_fork_bomb_ends_with_the_grace() {
    for way in ways() {
        // Baseline has no limit on processes; these are never more than they were.
        let mut running = Running::start(&mut way.shim(&["--grace", "300ms"], &["bomb", "5"]));
        running.expect("ready");
        let begin = Instant::now();
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().code, 137, "{way:?}");
        assert!(begin.elapsed() < Duration::from_secs(30), "{way:?}");
    }
}

/// A pipe that is not read and that takes nothing more.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // SAFETY: integers only.
    unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    // SAFETY: integers only.
    unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, 0) };
    (reader, writer)
}

#[test]
fn a_reader_that_reads_nothing_delays_no_process() {
    for way in ways() {
        for dialect in ["remit-init", "tini", "dumb-init"] {
            let (_reader, writer) = full_pipe();
            let mut shim = way.bare();
            let mode: &[&str] = if way.confined { &["--profile", "baseline"] } else { &["--mode", "off"] };
            let verbose: &[&str] = if dialect == "dumb-init" { &["-v"] } else { &["-vvv"] };
            shim.args(["--as", dialect]).args(mode).args(verbose).arg("--");
            shim.arg(probe()).args(["exit", "3"]);
            shim.stdout(writer.try_clone().expect("a descriptor")).stderr(writer);
            let mut child = shim.spawn().expect("it starts");
            drop(shim);
            let end = Instant::now() + Duration::from_secs(30);
            let status = loop {
                match child.try_wait().expect("a child of ours") {
                    Some(status) => break status,
                    None if Instant::now() < end => std::thread::yield_now(),
                    None => {
                        child.kill().and_then(|()| child.wait()).expect("a child of ours");
                        panic!("{way:?} {dialect}: it hangs");
                    }
                }
            };
            assert_eq!(status.code(), Some(3), "{way:?} {dialect}");
        }
    }
}

/// It was there when it was looked for, and is gone when it is executed: the call is
/// made to fail so.
#[test]
fn a_command_that_vanishes_is_not_found() {
    if !skip::is_root() {
        return;
    }
    for (dialect, code, says) in [
        ("remit-init", 127, "remit-init: /bin/true: cannot be executed: ENOENT"),
        ("tini", 127, "exec /bin/true failed: No such file or directory"),
        ("dumb-init", 2, "[dumb-init] /bin/true: No such file or directory"),
    ] {
        let mut shim = command(probe());
        let (call, errno) = (libc::SYS_execve.to_string(), libc::ENOENT.to_string());
        shim.args(["refuse", &call, "-", "-", &errno, harness::SHIM, "--as", dialect, "--mode", "off"]);
        // tini would warn that orphans go elsewhere.
        shim.args(if dialect == "tini" { &["-s", "--"][..] } else { &["--"] });
        let ended = run(shim.arg("/bin/true"));
        assert!(ended.line(code).contains(says), "{dialect}: {ended:?}");
    }
}

/// The supervisor itself is out of descriptors from the first one on.
#[test]
fn without_descriptors_it_is_refused_or_runs_and_never_hangs() {
    for way in ways().into_iter().filter(|way| !way.first) {
        let mut shim = way.shim(&[], &["exit", "3"]);
        let none_left = || {
            let limit = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
            // SAFETY: async-signal-safe, on a live structure.
            match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: only that call is made between fork and exec.
        unsafe { shim.pre_exec(none_left) };
        let ended = run(&mut shim);
        assert_eq!(ended.line(125).split(':').next(), Some("remit-init"), "{way:?}: {ended:?}");
    }
}
