//! Every signal reaches the app, or its group, with the value that was queued.

use crate::harness::Running;
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
