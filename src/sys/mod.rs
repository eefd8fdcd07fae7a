//! The one room for `unsafe`: system calls that no library wraps safely, each
//! behind a function whose signature upholds what the kernel asks for.

pub mod credentials;
pub mod descriptors;
pub mod entry;
pub mod files;
pub mod landlock;
pub mod memory;
pub mod prctl;
pub mod process;
pub mod ptrace;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod syscall_probe;
pub mod terminal;
pub mod threads;
pub mod unused;

use std::fmt;

use nix::errno::Errno;

/// The errno of an I/O error; EIO where it has none.
pub fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// The C library's description of an errno (strerror(3)).
pub fn strerror(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
}

/// A call that failed, by the name that a message has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallError {
    /// The call, or which use of it: `fork`, `PR_SET_DUMPABLE`.
    pub call: &'static str,
    /// The errno that it failed with.
    pub errno: Errno,
}

impl CallError {
    /// For `map_err` behind the call of this name.
    pub fn of(call: &'static str) -> impl FnOnce(Errno) -> CallError {
        move |errno| CallError { call, errno }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.errno)
    }
}

impl std::error::Error for CallError {}

/// Turns a raw answer into a result; -1 carries errno.
fn check(answer: libc::c_long) -> Result<libc::c_long, Errno> {
    if answer == -1 { Err(Errno::last()) } else { Ok(answer) }
}
