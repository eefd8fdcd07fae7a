//! `/proc/PID/limits` (proc_pid_limits(5)), which every user can read, while prlimit(2)
//! needs the same user.

use nix::errno::Errno;

use super::read;
use crate::ids::Tid;

/// No limit (RLIM_INFINITY).
pub const UNLIMITED: u64 = u64::MAX;

/// A limit of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcLimit {
    /// The limit in force, or [`UNLIMITED`].
    pub soft: u64,
    /// The ceiling of the soft limit, or [`UNLIMITED`].
    pub hard: u64,
}

/// The limits of a process.
#[derive(Clone, Debug)]
pub struct ProcLimits(Vec<Option<ProcLimit>>);

impl ProcLimits {
    /// Reads the limits of a thread's process.
    ///
    /// # Errors
    /// ENOENT or ESRCH for a thread that is gone.
    pub fn of(tid: Tid) -> Result<ProcLimits, Errno> {
        Ok(ProcLimits::parse(&read(tid, "limits")?))
    }

    /// Reads the text: a line for each resource by its number, after that of titles. Names
    /// have blanks in them, values none.
    pub fn parse(text: &str) -> ProcLimits {
        let number = |word: &str| match word {
            "unlimited" => Some(UNLIMITED),
            word => word.parse().ok(),
        };
        let limit = |line: &str| {
            let mut numbers = line.split_ascii_whitespace().filter_map(number);
            Some(ProcLimit { soft: numbers.next()?, hard: numbers.next()? })
        };
        ProcLimits(text.lines().skip(1).map(limit).collect())
    }

    /// The limit of a resource by its number, such as `RLIMIT_NOFILE`; none where it is not listed.
    pub fn get(&self, resource: usize) -> Option<ProcLimit> {
        *self.0.get(resource)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
        Max cpu time              unlimited            unlimited            seconds   \n\
        Max file size             1                    2                    bytes     \n\
        Max nice priority         0                    0                    \n";

    #[test]
    fn limits_are_read_by_their_number() {
        let limits = ProcLimits::parse(TEXT);
        assert_eq!(limits.get(0), Some(ProcLimit { soft: UNLIMITED, hard: UNLIMITED }));
        assert_eq!(limits.get(1), Some(ProcLimit { soft: 1, hard: 2 }));
        assert_eq!(limits.get(2), Some(ProcLimit { soft: 0, hard: 0 }));
        assert_eq!((limits.get(3), limits.get(usize::MAX)), (None, None));
        assert_eq!(ProcLimits::parse("\nMax cpu time 1").get(0), None);
    }

    #[test]
    fn this_process_has_them() {
        let own = ProcLimits::of(Tid::own()).expect("own limits");
        let hard = crate::sys::process::hard_limit(libc::RLIMIT_NOFILE).expect("a limit");
        let found = own.get(libc::RLIMIT_NOFILE as usize).expect("it is listed");
        assert_eq!(found.hard, hard.unwrap_or(UNLIMITED));
    }

    #[test]
    fn any_limits_are_read_or_left_out() {
        let mut read = 0;
        crate::mutation::each(&[TEXT.as_bytes()], |bytes| {
            read += u32::from(ProcLimits::parse(&String::from_utf8_lossy(bytes)).get(1).is_some());
        });
        assert!(read > 100, "a change elsewhere leaves the limits");
    }
}
