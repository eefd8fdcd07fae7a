//! `/proc/PID/fdinfo/FD` (proc_pid_fdinfo(5)).

use crate::ids::Pid;

/// The process that a pidfd refers to; none where it has been reaped, or for any other
/// descriptor.
pub fn pid(text: &str) -> Option<Pid> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    // -1 is one that is reaped, 0 one of another pid namespace.
    line.trim().parse().ok().filter(|pid| *pid > 0).map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfd_has_a_process() {
        let text = "pos:\t0\nflags:\t02000002\nPid:\t4711\nNSpid:\t4711\n";
        assert_eq!(pid(text), Some(Pid::from_raw(4711)));
        assert_eq!(pid("pos:\t0\nPid:\t-1\n"), None);
        assert_eq!(pid("pos:\t0\nNSpid:\t7\n"), None);
        crate::mutation::each(&[text.as_bytes()], |bytes| {
            let found = pid(&String::from_utf8_lossy(bytes));
            assert!(found.is_none_or(|pid| pid > Pid::default()));
        });
    }
}
