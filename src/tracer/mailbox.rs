//! Messages to the thread that traces, from the first thread and the examiner. A sender adds
//! to a list and wakes the thread by an eventfd; it never waits.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::ids::{Pid, Tid};
use crate::init::tracees::Tracees;
use crate::policy::started::Verdict;
use crate::sys::seccomp::NotificationId;

/// A message to the tracer.
#[derive(Debug)]
pub enum TracerMessage {
    /// The examiner has read the files of a stopped process.
    Examined {
        /// The stopped process.
        pid: Pid,
        /// The notification of the call that is verified.
        id: NotificationId,
        /// What becomes of the process.
        verdict: Verdict,
    },
    /// A child of PID 1 that is traced has stopped, and the first thread took the report.
    Stopped {
        /// The child's tid.
        tid: Tid,
        /// The signal of the stop.
        signal: i32,
        /// The PTRACE_EVENT, or 0.
        event: i32,
    },
    /// A child of PID 1 has ended. It is not reaped yet, so no other process has its pid.
    Ended(Pid),
}

/// The list of messages, and the eventfd that wakes the tracer.
#[derive(Debug)]
pub struct TracerMailbox {
    messages: Mutex<Vec<TracerMessage>>,
    wake: EventFd,
}

impl TracerMailbox {
    /// An empty mailbox.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM as in eventfd(2).
    pub fn new() -> Result<TracerMailbox, Errno> {
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(TracerMailbox { messages: Mutex::default(), wake })
    }

    /// Adds a message and wakes the tracer.
    pub fn send(&self, message: TracerMessage) {
        self.messages().push(message);
        self.wake();
    }

    /// Wakes the tracer: a traced thread may have stopped or ended.
    pub fn wake(&self) {
        if let Err(errno) = self.wake.write(1) {
            tracing::error!(%errno, "the tracer could not be woken");
        }
    }

    /// Takes all messages, oldest first.
    pub fn take(&self) -> Vec<TracerMessage> {
        std::mem::take(&mut self.messages())
    }

    /// The eventfd that becomes readable with a message or a wake-up.
    pub fn wake_fd(&self) -> &EventFd {
        &self.wake
    }

    fn messages(&self) -> MutexGuard<'_, Vec<TracerMessage>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tracees for TracerMailbox {
    fn ended(&self, pid: i32) {
        self.send(TracerMessage::Ended(Pid::from_raw(pid)));
    }

    fn stopped(&self, pid: i32, signal: i32, event: i32) {
        self.send(TracerMessage::Stopped { tid: Tid::from_raw(pid), signal, event });
    }

    fn changed(&self) {
        self.wake();
    }
}
