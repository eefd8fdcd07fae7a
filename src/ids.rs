//! Kernel ids as types, so that a pid is not taken for a tid or a time.

#![forbid(unsafe_code)]

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

pub use nix::unistd::{Gid, Uid};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $raw:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($raw);

        impl $name {
            /// From the number as the kernel gives it.
            pub const fn from_raw(raw: $raw) -> Self {
                Self(raw)
            }

            /// The number as system calls take it.
            pub const fn as_raw(self) -> $raw {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, ParseIntError> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A process: the id of its thread group, as getpid(2) gives it (`Tgid` in
    /// `/proc/PID/status`).
    Pid, i32
}
id! {
    /// A thread, as gettid(2) gives it (`Pid` in `/proc/TID/status`).
    Tid, i32
}
id! {
    /// When a process started, in clock ticks since boot (proc_pid_stat(5), field 22). With its
    /// [`Pid`] it names a process for good: the kernel gives a pid to another process later.
    StartTime, u64
}

impl Tid {
    /// The calling thread.
    pub fn own() -> Tid {
        Tid(nix::unistd::gettid().as_raw())
    }
}

impl Pid {
    /// The calling process.
    pub fn own() -> Pid {
        Pid(std::process::id() as i32)
    }

    /// The first thread of the process, whose tid is the pid.
    pub const fn first_thread(self) -> Tid {
        Tid(self.0)
    }
}

/// Formats ids as a list: `[33, 44]`.
pub fn list(ids: &[impl fmt::Display]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    format!("[{}]", ids.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_shown_as_its_number() {
        assert_eq!(format!("{} {:>4}", Pid::from_raw(7), Tid::from_raw(8)), "7    8");
        assert_eq!(Pid::from_raw(7).first_thread(), Tid::from_raw(7));
        assert_eq!(list(&[33, 44].map(Gid::from_raw)), "[33, 44]");
        assert_eq!(list(&[] as &[Gid]), "[]");
    }
}
