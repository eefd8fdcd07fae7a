//! What every worker does with the filter's listener: wait for a notified call.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::eventfd::EventFd;

use crate::sys::signal::{self, Mask};
use crate::sys::{process, seccomp};

/// Makes a decision as short as it can be for the thread that waits for it: the answer wakes
/// that thread on this processor (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6), and this
/// thread has a short slice (sched_setattr(2), Linux 6.12). The calling thread is the one that
/// answers.
pub fn prepare(listener: &OwnedFd) {
    if let Err(errno) = seccomp::wake_up_here(listener, true) {
        tracing::debug!(%errno, "an answer wakes the caller on any processor");
    }
    if let Err(errno) = process::take_short_turns() {
        tracing::debug!(%errno, "the worker has an ordinary slice");
    }
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// A call waits to be received.
    pub call: bool,
    /// The bell has rung.
    pub bell: bool,
    /// Nobody is left who could make a call.
    pub over: bool,
    /// A signal has broken the wait.
    pub signal: bool,
}

/// Waits for a call, for the bell, for one of the others or for a signal that the mask
/// leaves out, at most so long; nothing where the time was over.
///
/// # Errors
/// ppoll(2) failed.
pub fn wait<'a>(
    listener: &OwnedFd,
    bell: Option<&EventFd>,
    others: impl Iterator<Item = BorrowedFd<'a>>,
    timeout: Option<Duration>,
    mask: Mask,
) -> Result<Heard, Errno> {
    let calls = PollFd::new(listener.as_fd(), PollFlags::POLLIN);
    let bell = bell.map(|bell| PollFd::new(bell.as_fd(), PollFlags::POLLIN));
    let bells = usize::from(bell.is_some());
    let others = others.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let mut fds: Vec<PollFd> = [Some(calls), bell].into_iter().flatten().chain(others).collect();
    let signal = match signal::poll(&mut fds, timeout, mask) {
        Ok(_) => false,
        Err(Errno::EINTR) => true,
        Err(errno) => return Err(errno),
    };
    let events = fds[0].revents().unwrap_or(PollFlags::empty());
    Ok(Heard {
        call: events.contains(PollFlags::POLLIN),
        bell: fds[1..=bells].iter().any(|bell| bell.any() == Some(true)),
        over: events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL),
        signal,
    })
}

/// Waits for the bell alone.
///
/// # Errors
/// ppoll(2) failed.
pub fn wait_for_bell(bell: &EventFd) -> Result<(), Errno> {
    match signal::poll(&mut [PollFd::new(bell.as_fd(), PollFlags::POLLIN)], None, Mask::ALL) {
        Ok(_) | Err(Errno::EINTR) => quiet(bell),
        Err(errno) => Err(errno),
    }
}

/// Quiets a bell, before what it is for is looked at: else what is said after it, and was
/// heard already, would ring for ever.
///
/// # Errors
/// read(2) failed.
pub fn quiet(bell: &EventFd) -> Result<(), Errno> {
    match bell.read() {
        Ok(_) | Err(Errno::EAGAIN) => Ok(()),
        Err(errno) => Err(errno),
    }
}
