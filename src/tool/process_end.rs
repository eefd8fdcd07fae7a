//! How a process ended, for messages and exit codes.

use crate::event::SignalName;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProcessEnd {
    /// It called _exit(2) with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

impl ProcessEnd {
    /// The exit code that a shell reports: 128+n for a signal.
    pub fn code(self) -> i32 {
        match self {
            ProcessEnd::Code(code) => code,
            ProcessEnd::Signal(signal) => 128 + signal,
        }
    }
}

impl std::fmt::Display for ProcessEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ProcessEnd::Code(code) => write!(f, "with exit code {code}"),
            ProcessEnd::Signal(signal) => write!(f, "by signal {}", SignalName(*signal)),
        }
    }
}
