//! PID 1 from outside: the shim as an ordinary process and as the first of a pid
//! namespace, confining nobody and confining by the baseline.

mod harness;

use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Running, command, eventually, namespaces, probe, run, send};

/// How the shim is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    confined: bool,
    first: bool,
}

impl Way {
    /// The shim with options of its own, and the probe with its arguments.
    fn shim(self, options: &[&str], act: &[&str]) -> Command {
        let mut command = self.bare();
        if !self.confined {
            // As an ordinary process it inherits orphans only as a subreaper.
            command.args(["--mode", "off", "-s"]);
        }
        command.args(options).arg("--").arg(probe()).args(act);
        command
    }

    fn bare(self) -> Command {
        if !self.first {
            return command(harness::SHIM);
        }
        let mut unshare = command("unshare");
        unshare.args(["-Urpf", "--mount-proc", "--kill-child", harness::SHIM]);
        unshare
    }
}

/// Every way that can be gone here.
fn ways() -> Vec<Way> {
    let ways = [(false, false), (true, false), (false, true), (true, true)];
    let ways = ways.map(|(confined, first)| Way { confined, first });
    ways.into_iter().filter(|way| !way.first || namespaces()).collect()
}

#[test]
fn the_exit_code_is_the_apps() {
    for way in ways() {
        for (act, code) in [(["exit", "0"], 0), (["exit", "3"], 3), (["die", "9"], 137), (["die", "15"], 143)]
        {
            let ended = run(&mut way.shim(&[], &act));
            assert_eq!(ended.code, code, "{way:?} {act:?}: {ended:?}");
            assert_eq!(ended.stderr, "", "{way:?} {act:?}: as silent as tini");
        }
        assert_eq!(run(&mut way.shim(&["-e", "143", "-e", "4"], &["die", "15"])).code, 0, "{way:?}");
        assert_eq!(run(&mut way.shim(&["-e", "143", "-e", "4"], &["exit", "4"])).code, 0, "{way:?}");
        assert_eq!(run(&mut way.shim(&["-e", "143"], &["exit", "5"])).code, 5, "{way:?}");
    }
}

/// All that can be caught, but SIGCHLD, which tells PID 1 of its own children, and
/// the two by which a terminal stops who is in the background.
fn catchable() -> impl Iterator<Item = i32> {
    let kept = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD, libc::SIGTTIN, libc::SIGTTOU];
    (1..=64).filter(move |signal| !kept.contains(signal))
}

#[test]
fn every_signal_reaches_the_app() {
    for way in ways() {
        let mut running = Running::start(&mut way.shim(&[], &["signals", "15", "5"]));
        running.expect("ready");
        for signal in catchable().filter(|signal| *signal != libc::SIGTERM) {
            eprintln!("{way:?} {signal}");
            running.signal(signal);
            running.expect(&format!("signal {signal} 0"));
        }
        running.signal(libc::SIGTERM);
        running.expect("signal 15 0");
        assert_eq!(running.end().code, 5, "{way:?}");
    }
}

#[test]
fn a_queued_value_goes_along() {
    for way in ways() {
        let mut running = Running::start(&mut way.shim(&[], &["signals", "15", "0"]));
        running.expect("ready");
        for (signal, value) in [(34, 7), (64, 4_000_000_000), (libc::SIGUSR1, 1)] {
            queue(running.shim(), signal, value);
            running.expect(&format!("signal {signal} {value}"));
        }
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().code, 0, "{way:?}");
    }
}

fn queue(pid: i32, signal: i32, value: usize) {
    let value = libc::sigval { sival_ptr: value as *mut libc::c_void };
    // SAFETY: the value is never taken for a pointer.
    let done = unsafe { libc::sigqueue(pid, signal, value) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn orphans_are_reaped() {
    for way in ways() {
        let ended = run(&mut way.shim(&[], &["orphans", "50"]));
        assert_eq!(ended.stdout, "orphans 50 unreaped 0\n", "{way:?}");
        let said = run(&mut way.shim(&["-w"], &["orphans", "3"])).stderr;
        assert_eq!(said.matches("an orphan was reaped").count(), 3, "{way:?}: {said}");
    }
}

#[test]
fn whoever_is_left_is_told_and_waited_for() {
    for way in ways() {
        let ended = run(&mut way.shim(&[], &["leave", "polite", "6"]));
        assert_eq!((ended.code, ended.stdout.as_str()), (6, "told\ndone\n"), "{way:?}");
    }
}

#[test]
fn whoever_outlives_the_grace_is_killed() {
    for way in ways() {
        let begin = Instant::now();
        let ended = run(&mut way.shim(&["--grace", "300ms"], &["leave", "stubborn", "6"]));
        assert_eq!((ended.code, ended.stdout.as_str()), (6, "told\n"), "{way:?}");
        assert!(begin.elapsed() >= Duration::from_millis(300), "{way:?}: it had its grace");
    }
}

#[test]
fn with_nobody_left_it_returns_at_once() {
    for way in ways() {
        // The grace would be an hour; the harness waits for a minute.
        let ended = run(&mut way.shim(&["--grace", "60m"], &["exit", "0"]));
        assert_eq!(ended.code, 0, "{way:?}");
    }
}

#[test]
fn a_stopped_app_hears_term() {
    for way in ways() {
        let mut running = Running::start(&mut way.shim(&[], &["stopped", "9"]));
        running.expect("ready");
        let shim = running.shim();
        eventually("the app stops", || {
            harness::children(shim).first().is_some_and(|app| harness::state(*app) == Some('T'))
        });
        running.signal(libc::SIGTERM);
        running.expect("continued");
        assert_eq!(running.end().code, 9, "{way:?}");
    }
}

#[test]
fn mask_and_ignored_signals_come_through_as_they_were() {
    // USR1, 33 and 64 blocked; HUP and SIGCHLD ignored, and SIGPIPE too or not.
    let mask: u64 = 1 << (libc::SIGUSR1 - 1) | 1 << 32 | 1 << 63;
    for pipe in [libc::SIG_DFL, libc::SIG_IGN] {
        let set = move || {
            // SAFETY: async-signal-safe calls on a live mask of the kernel's size.
            unsafe {
                libc::signal(libc::SIGHUP, libc::SIG_IGN);
                libc::signal(libc::SIGCHLD, libc::SIG_IGN);
                libc::signal(libc::SIGPIPE, pipe);
                libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, 0, 8);
            }
            Ok(())
        };
        let status = |command: &mut Command| {
            // SAFETY: only such calls are made between fork and exec.
            unsafe { command.pre_exec(set) };
            let ended = run(command);
            let told = ended.told();
            (told["SigBlk"].to_owned(), told["SigIgn"].to_owned())
        };
        let without = status(command(probe()).arg("status"));
        assert_eq!(without.0, format!("{mask:016x}"));
        // `unshare` sets signals of its own, and is no subject of this.
        for way in ways().into_iter().filter(|way| !way.first) {
            assert_eq!(status(&mut way.shim(&[], &["status"])), without, "{way:?}");
        }
    }
}

#[test]
fn sigchld_inherited_as_ignored_does_not_hang_it() {
    for way in ways().into_iter().filter(|way| !way.first) {
        let mut shim = way.shim(&[], &["exit", "3"]);
        let ignore = || {
            // SAFETY: async-signal-safe, and no handler is set.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
            Ok(())
        };
        // SAFETY: only that call is made between fork and exec.
        unsafe { shim.pre_exec(ignore) };
        assert_eq!(run(&mut shim).code, 3, "{way:?}");
    }
}

/// A descriptor above 2 that the child of `command` is to have.
fn leak(command: &mut Command, fd: i32) {
    let move_there = move || {
        // SAFETY: async-signal-safe, integers only.
        match unsafe { libc::dup2(0, fd) } {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: only that call is made between fork and exec.
    unsafe { command.pre_exec(move_there) };
}

#[test]
fn descriptors_stay_with_an_unconfined_app_and_not_with_a_confined_one() {
    for way in ways() {
        let mut shim = way.shim(&[], &["status"]);
        leak(&mut shim, 77);
        let ended = run(&mut shim);
        let fds = ended.told()["fds"];
        assert_eq!(fds.contains("77"), !way.confined, "{way:?}: {fds}");
        if way.confined {
            assert_eq!(fds, "[0, 1, 2]", "{way:?}");
        }
    }
}

#[test]
fn descriptors_of_listen_fds_are_handed_over_to_the_app() {
    for way in ways().into_iter().filter(|way| !way.first) {
        let mut shim = command("/bin/sh");
        // LISTEN_PID names who becomes the shim, which only that process knows.
        shim.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""]);
        let inner = way.shim(&[], &["status"]);
        shim.arg(inner.get_program()).args(inner.get_args()).env("LISTEN_FDS", "2");
        for fd in [3, 4, 5] {
            leak(&mut shim, fd);
        }
        let ended = run(&mut shim);
        let told = ended.told();
        let app = told["pid"].split(' ').next().expect("a pid");
        assert!(ended.stdout.contains("LISTEN_FDS=2\n"), "{way:?}: {ended:?}");
        assert!(ended.stdout.contains(&format!("LISTEN_PID={app}\n")), "{way:?}: {ended:?}");
        let fds = told["fds"];
        assert!(fds.starts_with("[0, 1, 2, 3, 4"), "{way:?}: {fds}");
        assert_eq!(fds.contains(" 5"), !way.confined, "{way:?}: {fds}");

        // They are for another process: nothing is handed over.
        if way.confined {
            let mut shim = way.shim(&[], &["status"]);
            shim.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
            leak(&mut shim, 3);
            assert_eq!(run(&mut shim).told()["fds"], "[0, 1, 2]");
        }
    }
}

#[test]
fn the_app_keeps_its_directory_and_the_shim_holds_none() {
    for way in ways() {
        let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
        let ended = run(way.shim(&[], &["status"]).current_dir(folder.path()));
        assert_eq!(ended.told()["cwd"], folder.path().to_str().expect("UTF-8"), "{way:?}");

        let mut running = Running::start(way.shim(&[], &["signals", "15", "0"]).current_dir(folder.path()));
        running.expect("ready");
        let shim = running.shim();
        let cwd = || std::fs::read_link(format!("/proc/{shim}/cwd")).expect("cwd");
        eventually("the shim is at /", || cwd() == std::path::Path::new("/"));
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().code, 0);
    }
}

#[test]
fn standard_descriptors_may_be_closed() {
    for way in ways() {
        for fd in [0, 1, 2] {
            let mut shim = way.shim(&[], &["exit", "3"]);
            let close = move || {
                // SAFETY: async-signal-safe, and std opened nothing on that number.
                unsafe { libc::close(fd) };
                Ok(())
            };
            // SAFETY: only that call is made between fork and exec.
            unsafe { shim.pre_exec(close) };
            assert_eq!(run(&mut shim).code, 3, "{way:?} without {fd}");
        }
    }
}

#[test]
fn g_signals_the_whole_group() {
    for way in ways() {
        let mut running = Running::start(&mut way.shim(&["-g"], &["group"]));
        running.expect("ready");
        running.signal(libc::SIGUSR1);
        let mut said = [running.line(), running.line()];
        said.sort();
        assert_eq!(said, ["app 10", "child 10"], "{way:?}");
        assert_eq!(running.end().code, 0);

        let mut running = Running::start(&mut way.shim(&[], &["group"]));
        running.expect("ready");
        running.signal(libc::SIGUSR1);
        running.expect("app 10");
    }
}

#[test]
fn the_app_dies_with_the_shim() {
    for way in ways().into_iter().filter(|way| !way.first) {
        // Confined it always does; -p names the signal.
        let mut running = Running::start(&mut way.shim(&["-p", "USR2"], &["signals", "12", "0"]));
        running.expect("ready");
        send(running.shim(), libc::SIGKILL);
        running.expect("signal 12 0");
    }
    let mut running =
        Running::start(&mut Way { confined: true, first: false }.shim(&[], &["signals", "64", "0"]));
    running.expect("ready");
    let app = harness::children(running.shim())[0];
    send(running.shim(), libc::SIGKILL);
    eventually("the app dies", || matches!(harness::state(app), None | Some('Z')));
}

#[test]
fn tini_is_replaced_by_a_link() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["tini", "docker-init"] {
        let link = folder.path().join(name);
        std::os::unix::fs::symlink(harness::SHIM, &link).expect("a link");
        let said = run(command(&link).arg("--version"));
        // What Docker asks of `docker-init`, and what it reads of the answer.
        assert!(said.stdout.starts_with("tini version 0."), "{said:?}");
        assert_eq!((said.code, said.stdout.lines().count()), (0, 1));
        let ended = run(command(&link).arg("--").arg(probe()).arg("status"));
        assert_eq!(ended.told()["NoNewPrivs"], "0", "a drop-in confines nobody: {ended:?}");
        let ended = run(command(&link).env("REMIT_PROFILE", "baseline").arg(probe()).arg("status"));
        assert_eq!(ended.told()["NoNewPrivs"], "1", "but where a profile is named: {ended:?}");
    }
    let said = run(&mut harness::shim(["--version"]));
    assert_eq!(said.stdout, concat!("remit-init ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// Both ends of a new terminal.
fn pty() -> (OwnedFd, OwnedFd) {
    let (mut master, mut slave) = (0, 0);
    let (name, settings, size) = (std::ptr::null_mut(), std::ptr::null(), std::ptr::null());
    // SAFETY: two pointers to live integers, and no name or settings are asked for.
    let done = unsafe { libc::openpty(&mut master, &mut slave, name, settings, size) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the call has just made them, for nobody else.
    unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}

#[test]
fn control_c_reaches_the_app_and_not_the_shim() {
    for way in ways() {
        let (master, slave) = pty();
        let mut shim = way.shim(&[], &["signals", "2", "7"]);
        shim.stdin(slave);
        let own_session = || {
            // SAFETY: async-signal-safe, integers only.
            unsafe {
                libc::setsid();
                match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                    -1 => Err(std::io::Error::last_os_error()),
                    _ => Ok(()),
                }
            }
        };
        // SAFETY: only such calls are made between fork and exec.
        unsafe { shim.pre_exec(own_session) };
        let mut running = Running::start(&mut shim);
        running.expect("ready");
        nix::unistd::write(&master, b"\x03").expect("typing");
        running.expect("signal 2 0");
        assert_eq!(running.end().code, 7, "{way:?}");
    }
}

#[test]
fn the_shim_keeps_no_descriptor_that_it_was_given() {
    for way in ways().into_iter().filter(|way| !way.first) {
        let mut shim = way.shim(&[], &["signals", "15", "0"]);
        leak(&mut shim, 88);
        let mut running = Running::start(&mut shim);
        running.expect("ready");
        let there = format!("/proc/{}/fd/88", running.shim());
        eventually("the shim closes it", || std::fs::read_link(&there).is_err());
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().code, 0, "{way:?}");
    }
}
