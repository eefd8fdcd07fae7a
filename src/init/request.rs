//! What the worker asks of the first thread.

use crate::sys::CallError;

/// What the first thread is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A violation ends the container.
    Stop,
    /// The app, which is seized, was stopped by this signal, with its group.
    Stopped(i32, i32),
    /// Its own children may have changed: this thread was given the signal for it.
    Children,
    /// It can answer no more: what failed, and how. The kernel answers ENOSYS instead,
    /// to who waits and to every notified call from now on.
    Failed(CallError),
}

/// How the worker asks the first thread.
pub type Bell = Box<dyn Fn(Request) + Send>;
