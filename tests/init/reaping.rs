//! Orphans are reaped.

use crate::harness::run;
use crate::ways;

#[test]
fn orphans_are_reaped() {
    for way in ways() {
        let ended = run(&mut way.shim(&[], &["orphans", "50"]));
        assert_eq!(ended.stdout, "orphans 50 unreaped 0\n", "{way:?}");
        let said = run(&mut way.shim(&["-w"], &["orphans", "3"])).stderr;
        assert_eq!(said.matches("an orphan was reaped").count(), 3, "{way:?}: {said}");
    }
}
