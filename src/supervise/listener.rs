//! What every worker does with the filter's listener: wait for a notified call.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// A call waits to be received.
    pub call: bool,
    /// The bell has rung.
    pub bell: bool,
    /// Nobody is left who could make a call.
    pub over: bool,
}

/// Waits for a call, for the bell or for one of the others, at most so long; nothing where
/// the time was over.
///
/// # Errors
/// poll(2) failed.
pub fn wait<'a>(
    listener: &OwnedFd,
    bell: Option<&EventFd>,
    others: impl Iterator<Item = BorrowedFd<'a>>,
    timeout: PollTimeout,
) -> Result<Heard, Errno> {
    let calls = PollFd::new(listener.as_fd(), PollFlags::POLLIN);
    let bell = bell.map(|bell| PollFd::new(bell.as_fd(), PollFlags::POLLIN));
    let bells = usize::from(bell.is_some());
    let others = others.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let mut fds: Vec<PollFd> = [Some(calls), bell].into_iter().flatten().chain(others).collect();
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    let events = fds[0].revents().unwrap_or(PollFlags::empty());
    Ok(Heard {
        call: events.contains(PollFlags::POLLIN),
        bell: fds[1..=bells].iter().any(|bell| bell.any() == Some(true)),
        over: events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL),
    })
}
