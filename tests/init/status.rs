//! The status report, which a signal requests.

use std::time::{Duration, Instant};

use crate::harness::{self, Running};
use crate::{Way, ways};

#[test]
fn a_zombie_is_reported_with_the_living_parent_that_has_not_reaped_it() {
    for way in ways() {
        let mut running = Running::start(&mut way.shim(&["--status", "USR1"], &["zombie"]));
        let zombie = running.line().strip_prefix("zombie ").expect("its pid").to_owned();
        running.signal(libc::SIGUSR1);
        let said = [running.error_line(), running.error_line()];
        assert_eq!(said[0], "remit-init: living: 1, in trouble: 1", "{way:?}");
        let rest =
            said[1].strip_prefix(&format!("remit-init: {zombie} (init-probe) is a zombie: its parent "));
        let rest = rest.unwrap_or_else(|| panic!("{way:?}: {said:?}"));
        assert!(rest.ends_with(" (init-probe) has not reaped it"), "{way:?}: {rest}");
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().code, 0, "{way:?}: the app did not get it");
    }
}

#[test]
fn a_process_in_uninterruptible_sleep_is_logged() {
    let way = Way { confined: false, first: false };
    let mut running = Running::start(&mut way.shim(&["--status", "USR1"], &["stuck"]));
    let line = running.line();
    let (stuck, child) = line.strip_prefix("stuck ").and_then(|l| l.split_once(" child ")).expect("two pids");
    let (stuck, child): (i32, i32) = (stuck.parse().expect("a pid"), child.parse().expect("a pid"));
    harness::eventually("it is in uninterruptible sleep", || harness::state(stuck) == Some('D'));
    running.signal(libc::SIGUSR1);
    running.error_line();
    let said = running.error_line();
    assert!(
        said.starts_with(&format!("remit-init: {stuck} (init-probe) is in uninterruptible sleep (D) in ")),
        "{said}"
    );
    let begin = Instant::now();
    harness::send(child, libc::SIGKILL);
    assert_eq!(running.end().code, 0);
    assert!(begin.elapsed() < Duration::from_secs(30));
}
