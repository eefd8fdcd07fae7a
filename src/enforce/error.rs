//! What can fail before the app runs: a variant for each call or step, with its arguments.

use std::fmt;

use nix::errno::Errno;

use super::ruleset::RulesetError;
use crate::filter;
use crate::kernel::ParseReleaseError;
use crate::sys::CallError;

/// Why this environment or this kernel cannot be examined, or why the confinement cannot be
/// prepared. Displayed as one sentence.
#[derive(Debug)]
pub enum Error {
    /// A system call failed.
    Call(CallError),
    /// A file could not be read.
    Read {
        /// The path of the file.
        path: &'static str,
        /// What open(2) or read(2) returned.
        errno: Errno,
    },
    /// The release that uname(2) returns cannot be parsed.
    Release(ParseReleaseError),
    /// The thread that tries a filter could not be started.
    Thread(Errno),
    /// /proc is not mounted.
    NoProc,
    /// /proc shows the processes of another pid namespace.
    ForeignProc,
    /// `/proc/self` could not be read.
    Proc(Errno),
    /// The bounding set could not be read.
    Bounding(caps::errors::CapsError),
    /// The filter could not be compiled.
    Filter(filter::FilterError),
    /// The Landlock ruleset could not be built.
    Ruleset(RulesetError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Call(error) => error.fmt(f),
            Error::Read { path, errno } => write!(f, "{path}: {errno}"),
            Error::Release(error) => error.fmt(f),
            Error::Thread(errno) => write!(f, "a thread cannot be started: {errno}"),
            Error::NoProc => f.write_str(
                "/proc is not mounted, and no process can be supervised without it; mount it, or use the \
                 init alone with --mode off",
            ),
            Error::ForeignProc => f.write_str("/proc is another pid namespace's; mount this one's own there"),
            Error::Proc(errno) => write!(
                f,
                "/proc/self: {errno}; no process can be supervised without it: mount /proc, or use the init \
                 alone with --mode off"
            ),
            Error::Bounding(error) => write!(f, "bounding capabilities: {error}"),
            Error::Filter(error) => write!(f, "filter: {error}"),
            Error::Ruleset(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<CallError> for Error {
    fn from(error: CallError) -> Error {
        Error::Call(error)
    }
}

impl From<ParseReleaseError> for Error {
    fn from(error: ParseReleaseError) -> Error {
        Error::Release(error)
    }
}

impl From<filter::FilterError> for Error {
    fn from(error: filter::FilterError) -> Error {
        Error::Filter(error)
    }
}

impl From<RulesetError> for Error {
    fn from(error: RulesetError) -> Error {
        Error::Ruleset(error)
    }
}
