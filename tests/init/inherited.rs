//! What the shim was started with comes to the app as it was, and stays with no other
//! process: mask, ignored signals, descriptors, directory.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::harness::{self, Running, command, eventually, probe, run};
use crate::{seat, ways};

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
            let values = ended.values();
            (values["SigBlk"].to_owned(), values["SigIgn"].to_owned())
        };
        // As the shim is started: a suite in the background has INT and QUIT ignored.
        let mut bare = command(probe());
        seat::interruptible(&mut bare);
        let without = status(bare.arg("status"));
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
        let fds = ended.values()["fds"];
        assert_eq!(fds.contains("77"), !way.confined, "{way:?}: {fds}");
        if way.confined {
            assert_eq!(fds, "[0, 1, 2]", "{way:?}");
        }
    }
}

#[test]
fn descriptors_of_keep_fd_stay_open_and_the_others_are_named() {
    for way in ways() {
        let mut shim = way.shim(&["--keep-fd", "7", "--keep-fd", "5"], &["status"]);
        shim.stdin(std::fs::File::open("/etc/passwd").expect("a file"));
        for fd in [5, 6, 7] {
            leak(&mut shim, fd);
        }
        let ended = run(&mut shim);
        let fds = ended.values()["fds"];
        assert!(fds.contains("5, ") && fds.contains('7'), "{way:?}: {fds}");
        assert_eq!(fds.contains('6'), !way.confined, "{way:?}: {fds}");
        if way.confined {
            assert_eq!(fds, "[0, 1, 2, 5, 7]", "{way:?}");
            assert!(
                ended.stderr.contains("descriptor 6 (\"/etc/passwd\") is closed for the app"),
                "{ended:?}"
            );
            assert!(ended.stderr.contains("--keep-fd 6"), "{ended:?}");
        }
        assert_eq!(ended.stderr.lines().count(), usize::from(way.confined), "{way:?}: {ended:?}");
        // The supervisor keeps none: where the app has closed a pipe, its reader sees the end.
        let script = "exec cat <(exec \"$@\" 8>&1 >/dev/null)";
        let mut bash = command("/bin/bash");
        let inner = way.shim(&["--keep-fd", "8"], &["status"]);
        bash.args(["-c", script, "bash"]).arg(inner.get_program()).args(inner.get_args());
        assert_eq!(run(&mut bash).code, 0, "{way:?}");
    }
    for (options, says) in [
        (&["--keep-fd", "9"][..], "--keep-fd 9: remit-init was started without this descriptor"),
        (&["--keep-fd", "5", "--events", "fd:5"], "--keep-fd 5: events go there"),
    ] {
        let way = ways()[1];
        let mut shim = way.shim(options, &["status"]);
        leak(&mut shim, 5);
        let ended = run(&mut shim);
        assert!(ended.line(125).contains(says), "{ended:?}");
    }
}

#[test]
fn descriptors_of_listen_fds_are_handed_over_to_the_app() {
    for way in ways().into_iter().filter(|way| !way.first) {
        let mut shim = command("/bin/sh");
        // LISTEN_PID names the process that becomes the shim, which only that process knows.
        shim.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""]);
        let inner = way.shim(&[], &["status"]);
        shim.arg(inner.get_program()).args(inner.get_args()).env("LISTEN_FDS", "2");
        for fd in [3, 4, 5] {
            leak(&mut shim, fd);
        }
        let ended = run(&mut shim);
        let values = ended.values();
        let app = values["pid"].split(' ').next().expect("a pid");
        assert!(ended.stdout.contains("LISTEN_FDS=2\n"), "{way:?}: {ended:?}");
        assert!(ended.stdout.contains(&format!("LISTEN_PID={app}\n")), "{way:?}: {ended:?}");
        let fds = values["fds"];
        assert!(fds.starts_with("[0, 1, 2, 3, 4"), "{way:?}: {fds}");
        assert_eq!(fds.contains(" 5"), !way.confined, "{way:?}: {fds}");

        // They are for another process: nothing is handed over.
        if way.confined {
            let mut shim = way.shim(&[], &["status"]);
            shim.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
            leak(&mut shim, 3);
            assert_eq!(run(&mut shim).values()["fds"], "[0, 1, 2]");
        }
    }
}

#[test]
fn the_app_keeps_its_directory() {
    for way in ways() {
        let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
        let ended = run(way.shim(&[], &["status"]).current_dir(folder.path()));
        assert_eq!(ended.values()["cwd"], folder.path().to_str().expect("UTF-8"), "{way:?}");
    }
}

#[test]
fn the_shim_holds_no_directory() {
    if !harness::skip::sees_the_shim() {
        return;
    }
    for way in ways() {
        let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
        let mut running = Running::start(way.shim(&[], &["signals", "15", "0"]).current_dir(folder.path()));
        running.expect("ready");
        let shim = running.shim();
        let cwd = std::fs::read_link(format!("/proc/{shim}/cwd")).expect("cwd");
        assert_eq!(cwd, std::path::Path::new("/"), "{way:?}: before there is an app");
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
fn the_shim_keeps_no_descriptor_that_it_was_given() {
    if !harness::skip::sees_the_shim() {
        return;
    }
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

/// A file that is opened later takes the lowest free number: it must not become the app's stdin.
#[test]
fn a_closed_stdin_is_dev_null() {
    let stdin = |program: &[&str]| {
        let mut shell = command("/bin/sh");
        shell.args(["-c", "exec \"$@\" <&-", "sh"]).args(program).args(["/bin/readlink", "/proc/self/fd/0"]);
        run(&mut shell)
    };
    let free = stdin(&["/usr/bin/env"]);
    assert_eq!((free.code, &*free.stdout), (1, ""), "control: {free:?}");
    let ended = stdin(&[harness::SHIM, "--mode", "off", "--"]);
    assert_eq!((ended.code, &*ended.stdout), (0, "/dev/null\n"), "{ended:?}");
}

#[test]
fn without_dev_null_a_closed_stdin_is_refused_in_one_line() {
    let script = "mount -t tmpfs none /dev && exec \"$0\" --mode off -- /bin/true <&-";
    let mut unshare = command("unshare");
    unshare.args(["-Urm", "/bin/sh", "-c", script, harness::SHIM]);
    let ended = run(&mut unshare);
    assert!(ended.line(125).contains("descriptor 0 is closed, and /dev/null does not open"), "{ended:?}");
}
