//! The worker, as the first thread knows it, and its requests.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::sys::CallError;
use crate::sys::signal::Received;

/// A request to the first thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitRequest {
    /// Stop the container after a violation (`on_violation: stop`).
    Stop,
    /// The app, a tracee, was stopped with its group: its pid and the signal.
    Stopped(i32, i32),
    /// A process inside sent the supervisor a signal that is for the app. One that is
    /// requested already, and not handled yet, is the same, as a pending signal is.
    Signal(Received),
    /// Reap: the kernel sent the SIGCHLD of a child to the worker.
    Children,
    /// The worker ends: the call that failed, and its errno. Waiting and future notified calls
    /// fail with ENOSYS.
    Failed(CallError),
}

/// Sends a request to the first thread.
pub type RequestSender = Box<dyn Fn(InitRequest) + Send>;

/// What answers the notified calls. It is made before the launch is over, and runs in the thread
/// `worker` once the filter is in force.
pub trait Worker: Send {
    /// Answers the calls that `listener` notifies, until no process has the filter.
    fn run(self: Box<Self>, listener: Arc<OwnedFd>, requests: RequestSender);
}
