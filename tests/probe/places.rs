//! Where acts may be made: containers and namespaces that a test threw up.

use std::io::ErrorKind;

/// `PROC_PID_INIT_INO` (linux/proc_ns.h): the pid namespace of the machine.
const MACHINE: &str = "pid:[4026531836]";

/// The variable by which the harness says that the place is a throw-away, and
/// which pid namespace it runs in itself: `throw-away:pid:[4026531836]`.
const WORD: &str = "REMIT_PROBE";

/// Refuses a place that is not both called a throw-away and a pid namespace
/// other than the machine's and the harness's.
pub fn throw_away() -> Result<(), String> {
    let word = std::env::var(WORD).unwrap_or_default();
    let outside = word.strip_prefix("throw-away:").ok_or_else(|| {
        format!("{WORD} is `{word}`; acts are made only where the test harness set it to `throw-away:…`")
    })?;
    match std::fs::read_link("/proc/self/ns/pid") {
        Ok(here) if here.as_os_str() == MACHINE || here.as_os_str() == outside => Err(format!(
            "the pid namespace is {}, the machine's; acts are made only in a container",
            here.display()
        )),
        Ok(_) => Ok(()),
        // Only a confinement refuses its own process this: this is inside of one.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(format!("cannot tell the pid namespace from /proc/self/ns/pid: {error}")),
    }
}
