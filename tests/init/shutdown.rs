//! The end: SIGTERM to all processes, the grace period, SIGKILL.

use std::time::{Duration, Instant};

use crate::harness::{self, Running, eventually, run};
use crate::{Way, ways};

#[test]
fn remaining_processes_get_term_and_the_grace() {
    for way in ways() {
        let ended = run(&mut way.shim(&[], &["leave", "polite", "6"]));
        assert_eq!((ended.code, ended.stdout.as_str()), (6, "terminated\ndone\n"), "{way:?}");
    }
}

#[test]
fn a_process_that_outlives_the_grace_is_killed() {
    for way in ways() {
        let begin = Instant::now();
        let ended = run(&mut way.shim(&["--grace", "300ms"], &["leave", "stubborn", "6"]));
        assert_eq!((ended.code, ended.stdout.as_str()), (6, "terminated\n"), "{way:?}");
        assert!(begin.elapsed() >= Duration::from_millis(300), "{way:?}: it had its grace");
    }
}

#[test]
fn with_no_process_left_it_returns_at_once() {
    for way in ways() {
        // The grace would be an hour; the harness waits for a minute.
        let ended = run(&mut way.shim(&["--grace", "60m"], &["exit", "0"]));
        assert_eq!(ended.code, 0, "{way:?}");
    }
}

#[test]
fn a_stopped_app_gets_term() {
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
fn a_grace_that_is_named_is_over_for_the_app_too() {
    for way in ways() {
        let mut running = Running::start(&mut way.shim(&["--grace", "300ms"], &["signals", "64", "0"]));
        running.expect("ready");
        let begin = Instant::now();
        running.signal(libc::SIGTERM);
        running.expect("signal 15 0");
        assert_eq!(running.end().code, 137, "{way:?}");
        assert!(begin.elapsed() >= Duration::from_millis(300), "{way:?}: it had its grace");
    }
}

#[test]
fn without_one_the_app_has_as_long_as_it_takes_and_the_detached_are_terminated() {
    // As an ordinary process, so that no process ends with the first of a namespace. The
    // usual grace is waited for.
    let way = Way { confined: false, first: false };
    let mut running = Running::start(&mut way.shim(&[], &["detached"]));
    running.expect("ready");
    let begin = Instant::now();
    running.signal(libc::SIGTERM);
    running.expect("app 15");
    running.expect("detached 15");
    assert!(begin.elapsed() >= Duration::from_secs(7), "only when the usual grace was over");
    running.expect("app 1");
    assert_eq!(running.end().code, 4);
}

#[test]
fn a_drain_keeps_the_term_back() {
    for way in ways() {
        let mut running = Running::start(&mut way.shim(&["--drain", "400ms"], &["signals", "15", "5"]));
        running.expect("ready");
        let begin = Instant::now();
        running.signal(libc::SIGTERM);
        running.signal(libc::SIGUSR1);
        running.expect("signal 10 0");
        running.expect("signal 15 0");
        assert!(begin.elapsed() >= Duration::from_millis(400), "{way:?}");
        assert_eq!(running.end().code, 5, "{way:?}");

        // A second TERM ends the drain, and so does the end of the app.
        let mut running = Running::start(&mut way.shim(&["--drain", "60m"], &["signals", "15", "5"]));
        running.expect("ready");
        running.signal(libc::SIGTERM);
        // Two that wait at once are one.
        let status = format!("/proc/{}/status", running.shim());
        eventually("it is read", || {
            let status = std::fs::read_to_string(&status).expect("it lives");
            status.lines().any(|line| line == "ShdPnd:\t0000000000000000")
        });
        running.signal(libc::SIGUSR1);
        running.expect("signal 10 0");
        running.signal(libc::SIGTERM);
        running.expect("signal 15 0");
        assert_eq!(running.end().code, 5, "{way:?}");
        let mut running = Running::start(&mut way.shim(&["--drain", "60m"], &["signals", "10", "6"]));
        running.expect("ready");
        running.signal(libc::SIGTERM);
        running.signal(libc::SIGUSR1);
        running.expect("signal 10 0");
        assert_eq!(running.end().code, 6, "{way:?}");
    }
}

#[test]
fn as_a_subreaper_it_leaves_no_process_behind() {
    for way in ways().into_iter().filter(|way| !way.first) {
        let mut running = Running::start(&mut way.shim(&["--grace", "500ms"], &["brood", "200"]));
        running.expect("ready");
        let app = harness::children(running.shim())[0];
        let brood = harness::children(app);
        assert_eq!(brood.len(), 200);
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().code, 0, "{way:?}");
        assert!(brood.iter().all(|pid| harness::state(*pid).is_none()), "{way:?}");
    }
}

#[test]
fn remaining_and_killed_processes_are_logged_with_verbose() {
    for way in ways() {
        let ended = run(&mut way.shim(&["-v", "--grace", "100ms"], &["leave", "stubborn", "0"]));
        assert_eq!(ended.code, 0, "{way:?}");
        for said in ["gets SIGTERM", "is killed after the grace", "init-probe"] {
            assert!(ended.stderr.contains(said), "{way:?}: {ended:?}");
        }
        let quiet = run(&mut way.shim(&["--grace", "100ms"], &["leave", "stubborn", "0"])).stderr;
        assert!(!quiet.contains("is killed after"), "{way:?}: {quiet}");
    }
}
