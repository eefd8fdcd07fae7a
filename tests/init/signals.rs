//! Every signal reaches the app, or its group, with the value that was queued.

use crate::harness::{Running, run};
use crate::ways;

/// All that can be caught, but SIGCHLD, which reports PID 1's own children, and
/// the two by which a terminal stops a process in the background.
fn catchable() -> impl Iterator<Item = i32> {
    let excluded = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD, libc::SIGTTIN, libc::SIGTTOU];
    (1..=64).filter(move |signal| !excluded.contains(signal))
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
fn a_queued_value_goes_to_the_whole_group() {
    for way in ways() {
        let mut running = Running::start(&mut way.shim(&["-g"], &["group"]));
        running.expect("ready");
        queue(running.shim(), 40, 9);
        let mut said = [running.line(), running.line()];
        said.sort();
        assert_eq!(said, ["app 40", "child 40"], "{way:?}");
        assert_eq!(running.end().code, 0);
    }
}

/// Realtime signals queue up, and none of them is lost; a burst is more than a thousand
/// a second.
#[test]
fn a_thousand_realtime_signals_arrive_in_order() {
    for way in ways() {
        let mut running = Running::start(&mut way.shim(&[], &["signals", "15", "0"]));
        running.expect("ready");
        for value in 0..1000 {
            queue(running.shim(), 50, value);
        }
        for value in 0..1000 {
            running.expect(&format!("signal 50 {value}"));
        }
        running.signal(libc::SIGTERM);
        running.expect("signal 15 0");
        assert_eq!(running.end().code, 0, "{way:?}");
    }
}

/// A shell that sends its parent, which is the shim, each of these signals, and says what came back.
fn sends(signals: &str, send: &str) -> String {
    format!(
        "for s in {signals}; do trap \"got=$s\" $s; {send} || exit 9; until [ \"$got\" = $s ]; do :; done; \
         echo $s; done; kill -0 $PPID && echo there; trap 'echo TERM; exit 5' TERM; kill -TERM $PPID; \
         while :; do :; done"
    )
}

#[test]
fn from_inside_the_signals_of_an_init_reach_the_app() {
    const ALL: &str = "HUP USR1 USR2 INT QUIT WINCH";
    let lines = format!("{}\nthere\nTERM\n", ALL.replace(' ', "\n"));
    for way in ways() {
        // By the app itself, and by a child.
        for send in ["kill -$s $PPID", "(kill -$s $PPID)"] {
            let mut shim = way.command(&[], "/bin/sh");
            let ended = run(shim.args(["-c", &sends(ALL, send)]));
            assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (5, &*lines, ""), "{way:?} {send}");
        }
        // Audit foretells no refusal.
        if way.confined {
            let mut shim = way.command(&["--mode", "audit", "--events", "fd:1"], "/bin/sh");
            let ended = run(shim.args(["-c", &sends("HUP", "kill -$s $PPID")]));
            assert_eq!((ended.code, ended.stdout.contains("violation")), (5, false), "{way:?} {ended:?}");
        }
        // As those from outside: rewritten, and to the group.
        let mut shim = way.command(&["-r", "HUP:USR1", "-g"], "/bin/sh");
        let script = "trap 'echo rewritten; exit 3' USR1; kill -HUP $PPID; while :; do :; done";
        let ended = run(shim.args(["-c", script]));
        assert_eq!((ended.code, &*ended.stdout), (3, "rewritten\n"), "{way:?} {ended:?}");
    }
}

#[test]
fn from_inside_no_other_signal_reaches_a_supervisor() {
    for way in ways().into_iter().filter(|way| way.confined) {
        for signal in ["KILL", "STOP", "ALRM", "CHLD", "CONT", "TSTP", "34"] {
            let mut shim = way.command(&[], "/bin/sh");
            let ended = run(shim.args(["-c", &format!("kill -{signal} $PPID; echo $?")]));
            assert_eq!((ended.code, &*ended.stdout), (0, "1\n"), "{way:?} {signal}: {ended:?}");
            assert!(ended.stderr.contains(r#""syscall":"kill""#), "{way:?} {signal}: {ended:?}");
        }
    }
    // Control: one that does reach what confines nothing.
    let way = ways()[0];
    let script = "trap 'echo ALRM; exit 4' ALRM; kill -ALRM $PPID; while :; do :; done";
    assert_eq!(run(way.command(&[], "/bin/sh").args(["-c", script])).stdout, "ALRM\n");
}

/// A process that may not signal the app may not do so by its init.
#[test]
fn from_inside_another_user_signals_the_app_no_more_than_without_an_init() {
    if !nix::unistd::geteuid().is_root() || !crate::skip::has("/usr/bin/setpriv") {
        return;
    }
    let way = ways().into_iter().find(|way| way.confined && !way.first).expect("it can always be gone");
    let script = "trap 'echo HUP' HUP; for pid in $$ $PPID; do \
                  setpriv --reuid 65534 --regid 65534 --clear-groups sh -c \"kill -HUP $pid; kill -0 $pid\"; \
                  echo $?; done";
    let ended = run(way.command(&[], "/bin/sh").args(["-c", script]));
    assert_eq!((ended.code, &*ended.stdout), (0, "1\n1\n"), "{ended:?}");
    assert!(!ended.stderr.contains("violation"), "{ended:?}");
}
