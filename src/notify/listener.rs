//! The filter's listener (seccomp_unotify(2)): waits for a notified call, receives it, checks that
//! it is still valid, and answers it.

use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;

use crate::sys::CallError;
use crate::sys::seccomp::{Answer, NotificationId, Request};
use crate::sys::signal::{self, Mask};
use crate::sys::{process, seccomp};

/// The listener's descriptor. Clones share it.
#[derive(Clone, Debug)]
pub struct Listener(Arc<OwnedFd>);

/// What the loop waits for besides a notified call.
pub struct WaitSet<'a> {
    /// The eventfd by which other threads wake the handler.
    pub mailbox: Option<&'a EventFd>,
    /// Other descriptors to poll: those of NOTIFY_SOCKET and of finished threads.
    pub descriptors: Vec<BorrowedFd<'a>>,
    /// The longest wait; `None` is without limit.
    pub timeout: Option<Duration>,
    /// The signal mask during the wait.
    pub mask: Mask,
}

/// The result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitResult {
    /// A call can be received.
    pub call: bool,
    /// The mailbox was written to.
    pub mailbox: bool,
    /// No process uses the filter any more.
    pub hung_up: bool,
    /// A signal interrupted the wait.
    pub signal: bool,
}

impl Deref for Listener {
    type Target = OwnedFd;

    fn deref(&self) -> &OwnedFd {
        &self.0
    }
}

impl Listener {
    /// The listener of this descriptor.
    pub fn new(fd: Arc<OwnedFd>) -> Listener {
        Listener(fd)
    }

    /// Shortens the time that a caller waits: its thread is woken on this processor
    /// (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6), and the calling thread, which answers, gets
    /// a short scheduling slice (sched_setattr(2), Linux 6.12).
    pub fn prepare(&self) {
        if let Err(errno) = seccomp::set_sync_wakeup(self, true) {
            tracing::debug!(%errno, "an answer wakes the caller on any processor");
        }
        if let Err(errno) = process::set_sched_slice() {
            tracing::debug!(%errno, "the worker has an ordinary slice");
        }
    }

    /// Waits for a call or for what the set names. Nothing is ready after a timeout.
    ///
    /// # Errors
    /// ppoll(2) failed.
    pub fn wait(&self, set: WaitSet) -> Result<WaitResult, CallError> {
        let WaitSet { mailbox, descriptors, timeout, mask } = set;
        let calls = PollFd::new(self.as_fd(), PollFlags::POLLIN);
        let mailbox = mailbox.map(|mailbox| PollFd::new(mailbox.as_fd(), PollFlags::POLLIN));
        let mailboxes = usize::from(mailbox.is_some());
        let others = descriptors.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let mut fds: Vec<PollFd> = [Some(calls), mailbox].into_iter().flatten().chain(others).collect();
        let signal = match signal::poll(&mut fds, timeout, mask) {
            Ok(_) => false,
            Err(Errno::EINTR) => true,
            Err(errno) => return Err(CallError { call: "waiting for a notified call", errno }),
        };
        let events = fds[0].revents().unwrap_or(PollFlags::empty());
        Ok(WaitResult {
            call: events.contains(PollFlags::POLLIN),
            mailbox: fds[1..=mailboxes].iter().any(|fd| fd.any() == Some(true)),
            hung_up: events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL),
            signal,
        })
    }

    /// Whether a call waits to be received.
    ///
    /// # Errors
    /// poll(2) failed.
    pub fn has_call(&self) -> Result<bool, CallError> {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::ZERO) {
            Ok(_) | Err(Errno::EINTR) => {
                Ok(fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN)))
            }
            Err(errno) => Err(CallError { call: "looking for a notified call", errno }),
        }
    }

    /// Receives the next call. `None` where its caller has died or a signal interrupted the ioctl.
    ///
    /// # Errors
    /// SECCOMP_IOCTL_NOTIF_RECV failed.
    pub fn receive(&self) -> Result<Option<Request>, CallError> {
        match seccomp::receive(self) {
            Ok(request) => Ok(Some(request)),
            Err(Errno::ENOENT | Errno::EINTR | Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(CallError { call: "receiving a notified call", errno }),
        }
    }

    /// Whether a notification is still valid, so its caller still waits. Then what was read by the
    /// caller's thread id belongs to the caller, and not to a later thread with the same id.
    ///
    /// # Errors
    /// SECCOMP_IOCTL_NOTIF_ID_VALID failed with another errno than ENOENT.
    pub fn is_valid(&self, id: NotificationId) -> Result<bool, CallError> {
        seccomp::still_valid(self, id).map_err(CallError::of("asking whether a notified call still waits"))
    }

    /// Answers a call.
    ///
    /// # Errors
    /// SECCOMP_IOCTL_NOTIF_SEND failed. A caller that is gone is no error.
    pub fn answer(&self, id: NotificationId, answer: Answer) -> Result<(), CallError> {
        answered(seccomp::answer(self, id, answer))
    }
}

/// Maps the result of an answer: a caller that is gone (ENOENT) needs none.
///
/// # Errors
/// Every other errno.
pub fn answered(result: Result<(), Errno>) -> Result<(), CallError> {
    match result {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(CallError { call: "answering a notified call", errno }),
    }
}

/// Waits until this eventfd is written to, and drains it.
///
/// # Errors
/// ppoll(2) failed.
pub fn wait_for_wakeup(wakeup: &EventFd) -> Result<(), Errno> {
    match signal::poll(&mut [PollFd::new(wakeup.as_fd(), PollFlags::POLLIN)], None, Mask::ALL) {
        Ok(_) | Err(Errno::EINTR) => drain(wakeup),
        Err(errno) => Err(errno),
    }
}

/// Drains an eventfd. To be called before its queue is read: a message that is queued after that
/// read then wakes the thread again.
///
/// # Errors
/// read(2) failed.
pub fn drain(wakeup: &EventFd) -> Result<(), Errno> {
    match wakeup.read() {
        Ok(_) | Err(Errno::EAGAIN) => Ok(()),
        Err(errno) => Err(errno),
    }
}
