//! How a decided call is answered.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::ids::Pid;
use crate::notify::caller::Caller;
use crate::sys::seccomp::Answer;

/// What the supervisor does about a call that has been decided.
pub(super) enum Conclusion {
    /// It is answered.
    Answer(Answer),
    /// It is answered with a descriptor.
    InstallDescriptor(NewDescriptor),
    /// It fails with EFBIG, and the caller gets SIGXFSZ.
    ExceedsFileSize(Caller),
    /// It is answered later, or never.
    Unanswered,
}

/// A descriptor that a caller gets as the answer to its call.
pub(super) struct NewDescriptor {
    /// The supervisor's own, which is duplicated into the caller's table.
    pub fd: Arc<OwnedFd>,
    /// The caller's has the close-on-exec flag.
    pub close: bool,
    /// The process whose table it is.
    pub process: Pid,
    /// The inode of a socket of which the supervisor has a copy.
    pub socket: Option<u64>,
}
