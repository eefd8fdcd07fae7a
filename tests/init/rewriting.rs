//! Signals are forwarded as others, by number and by name, or not at all.

use crate::harness::Running;
use crate::ways;

#[test]
fn a_signal_becomes_another_one_or_none() {
    for way in ways() {
        let options = ["-r", "HUP:QUIT", "--rewrite", "10:SIGRTMIN+3", "--rewrite=USR2:0", "-rRTMAX:12"];
        let mut running = Running::start(&mut way.shim(&options, &["signals", "15", "0"]));
        running.expect("ready");
        for (sent, came) in [(1, 3), (10, 37), (64, 12), (2, 2)] {
            // Dropped, whenever it comes.
            running.signal(libc::SIGUSR2);
            running.signal(sent);
            running.expect(&format!("signal {came} 0"));
        }
        running.signal(libc::SIGTERM);
        running.expect("signal 15 0");
        assert_eq!(running.end().code, 0, "{way:?}");
    }
}

#[test]
fn a_rewritten_term_ends_the_container_all_the_same() {
    for way in ways() {
        let options = ["-r", "TERM:INT", "--grace", "200ms"];
        let mut running = Running::start(&mut way.shim(&options, &["signals", "64", "0"]));
        running.expect("ready");
        running.signal(libc::SIGTERM);
        running.expect("signal 2 0");
        assert_eq!(running.end().code, 137, "{way:?}");
    }
}
