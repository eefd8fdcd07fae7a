//! Waiting for more of a log: for input, a change of a file, a signal, or a time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitEnd {
    /// There is something to read, or its end.
    Ready,
    /// The time has come, or a signal interrupted the wait.
    Due,
    /// SIGINT or SIGTERM: what was read so far is all.
    Interrupted,
    /// The reader of the output has closed it.
    OutputClosed,
}

/// Waits. While there is one, SIGINT and SIGTERM end the reading and not the process.
pub(super) struct Waiter {
    signals: SignalFd,
}

impl Waiter {
    /// Blocks the two signals.
    ///
    /// # Errors
    /// sigprocmask(2) or signalfd(2) failed.
    pub fn new() -> io::Result<Waiter> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGINT);
        mask.add(Signal::SIGTERM);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Waiter { signals })
    }

    /// Waits until `input` can be read, or until this time.
    ///
    /// # Errors
    /// poll(2) failed.
    pub fn wait(&self, input: BorrowedFd<'_>, until: Option<Instant>) -> io::Result<WaitEnd> {
        let stdout = io::stdout();
        // Without events POLLERR alone is reported: the other end of a pipe was closed.
        let mut waits = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
            PollFd::new(input, PollFlags::POLLIN),
        ];
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        // A millisecond more, since poll(2) rounds down and would spin in the last one.
        let left = left.map(|left| PollTimeout::try_from(left + Duration::from_millis(1)));
        let timeout = left.map_or(PollTimeout::NONE, |left| left.unwrap_or(PollTimeout::MAX));
        match poll(&mut waits, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [signals, stdout, input] = waits.map(|wait| wait.revents().unwrap_or(PollFlags::empty()));
        Ok(if !signals.is_empty() {
            WaitEnd::Interrupted
        } else if stdout.intersects(PollFlags::POLLERR) {
            WaitEnd::OutputClosed
        } else if input.is_empty() {
            WaitEnd::Due
        } else {
            WaitEnd::Ready
        })
    }
}
