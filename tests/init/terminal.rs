//! The terminal: Ctrl-C, Ctrl-Z and `fg`, for the user in front of it.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::Command;

use crate::harness::{self, Running, command, probe};
use crate::seat::{Seat, in_own_session, interruptible, pty};
use crate::{Way, ways};

/// The shim at the head of a session whose terminal is its stdin, as in `docker run -it`.
fn seated(way: Way, slave: OwnedFd, arguments: &[&str]) -> Command {
    if !way.first {
        let mut shim = command(harness::SHIM);
        shim.args(arguments);
        in_own_session(&mut shim, slave);
        return shim;
    }
    let mut unshare = command("unshare");
    unshare.args(["-Urpf", "--mount-proc", "--kill-child", "setsid", "-c", harness::SHIM]);
    unshare.args(arguments).stdin(slave);
    interruptible(&mut unshare);
    unshare
}

#[test]
fn control_c_reaches_the_app_and_not_the_shim() {
    for way in ways() {
        let (mut master, slave) = pty();
        let mode: &[&str] = if way.confined { &[] } else { &["--mode", "off"] };
        let probe = probe();
        let act = ["--", probe.to_str().expect("UTF-8"), "signals", "2", "7"];
        let mut shim = seated(way, slave, &[mode, &act].concat());
        let mut running = Running::start(&mut shim);
        running.expect("ready");
        master.write_all(b"\x03").expect("typing");
        running.expect("signal 2 0");
        assert_eq!(running.end().code, 7, "{way:?}");
    }
}

/// In front of the shim.
fn seat(way: Way, arguments: &[&str]) -> Seat {
    Seat::new(|slave| seated(way, slave, arguments))
}

/// In front of a shell with job control.
fn at_a_shell() -> Seat {
    Seat::new(|slave| {
        let mut shell = command("/bin/bash");
        shell.args(["--norc", "--noprofile", "-i"]);
        in_own_session(&mut shell, slave);
        shell
    })
}

/// The two ways in which an app can have the terminal.
const STYLES: [&[&str]; 2] = [&[], &["--setsid"]];

/// A cat that says when it is there: what is typed before is a shell's.
const CAT: &str = "/bin/sh -c 'echo here; exec /bin/cat'";

/// Where no shell could continue it, as in `docker run -it`: a process that stops would be
/// stopped for ever.
#[test]
fn control_z_is_harmless_where_no_shell_could_continue_the_app() {
    for way in ways().into_iter().filter(|way| !way.confined) {
        for style in STYLES {
            let mode = ["--mode", "off"];
            let cat = ["--", "/bin/sh", "-c", "echo here; exec /bin/cat"];
            let mut seat = seat(way, &[&mode, style, &cat].concat());
            seat.sees("here\r\n");
            seat.types("one\n");
            seat.sees("one\r\none\r\n");
            seat.types("\x1a");
            seat.sees("^Z");
            seat.types("two\n");
            seat.sees("two\r\ntwo\r\n");
            seat.types("\x04");
            assert_eq!(seat.ends(), 0, "{way:?} {style:?}");
        }
    }
}

#[test]
fn job_control_works_inside() {
    for way in ways().into_iter().filter(|way| !way.confined) {
        for style in STYLES {
            let shell = ["--", "/bin/bash", "--norc", "--noprofile", "-i"];
            let mut seat = seat(way, &[&["--mode", "off"], style, &shell].concat());
            seat.sees("$ ");
            a_job_stops_and_goes_on(&mut seat, CAT);
            seat.types("exit 6\n");
            assert_eq!(seat.ends(), 6, "{way:?} {style:?}");
        }
    }
}

/// The shim as a job of a shell: it stops with its app, and goes on with it.
#[test]
fn as_a_job_of_a_shell_it_stops_and_goes_on_with_its_app() {
    for style in ["", "-c"] {
        let mut seat = at_a_shell();
        seat.sees("$ ");
        a_job_stops_and_goes_on(&mut seat, &format!("{} --mode off {style} -- {CAT}", harness::SHIM));
        seat.types("exit 6\n");
        assert_eq!(seat.ends(), 6, "{style:?}");
    }
}

/// At a shell's prompt, which is there again afterwards.
fn a_job_stops_and_goes_on(seat: &mut Seat, job: &str) {
    seat.types(&format!("{job}\n"));
    seat.sees("here\r\n");
    seat.types("one\n");
    seat.sees("one\r\none\r\n");
    seat.types("\x1a");
    seat.sees("Stopped");
    seat.sees("$ ");
    seat.types("echo the shell $((40+2))\n");
    seat.sees("the shell 42");
    seat.sees("$ ");
    seat.types("fg\n");
    seat.sees("exec /bin/cat'\r\n");
    seat.types("two\n");
    seat.sees("two\r\ntwo\r\n");
    seat.types("\x03");
    seat.sees("$ ");
    seat.types("echo it was $?\n");
    seat.sees("it was 130");
    seat.sees("$ ");
}

/// A job in the background does not take the terminal from the shell: it is stopped when
/// it wants to read, and then has it from `fg`.
#[test]
fn in_the_background_it_leaves_the_terminal_to_its_owner() {
    let mut seat = at_a_shell();
    seat.sees("$ ");
    seat.types(&format!("{} --mode off -- {CAT} &\n", harness::SHIM));
    seat.sees("here\r\n");
    seat.types("while ! jobs | grep -q Stopped; do :; done; echo it $((6*7))\n");
    seat.sees("it 42");
    seat.sees("$ ");
    seat.types("fg\n");
    seat.sees("exec /bin/cat'\r\n");
    seat.types("one\n");
    seat.sees("one\r\none\r\n");
    seat.types("\x04");
    seat.sees("$ ");
    seat.types("exit 6\n");
    assert_eq!(seat.ends(), 6);
}

#[test]
fn a_terminal_that_goes_away_is_a_hangup() {
    for way in ways() {
        for style in STYLES {
            let (master, slave) = pty();
            let mode: &[&str] = if way.confined { &[] } else { &["--mode", "off"] };
            let probe = probe();
            let act = ["--", probe.to_str().expect("UTF-8"), "signals", "1", "8"];
            let mut shim = seated(way, slave, &[mode, style, &act].concat());
            let mut running = Running::start(&mut shim);
            drop(shim);
            running.expect("ready");
            drop(master);
            running.expect("signal 1 0");
            assert_eq!(running.end().code, 8, "{way:?} {style:?}");
        }
    }
}
