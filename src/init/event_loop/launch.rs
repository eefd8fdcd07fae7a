//! The loop during the launch: the child's messages, the filter's listener, which starts the
//! worker, and the start event.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};

use super::{EventLoop, EventSources, RunError, SETTLED};
use crate::enforce::launch::{Failure, LaunchMessage};
use crate::init::state::InitInput;
use crate::sys::memory;
use crate::sys::signal::{self, Mask};
use crate::sys::threads;

impl EventLoop {
    /// Waits during the launch, and handles all messages and signals that are pending. Returns
    /// whether there were any.
    pub(super) fn await_launch(&mut self) -> Result<bool, RunError> {
        let EventSources::Launch { signals } = &self.sources else { return Ok(false) };
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [readable(signals.as_fd()), readable(self.child.socket.as_fd())];
        match signal::poll(&mut fds, self.timeout(), Mask::ALL) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // The messages first: the child's end must not be handled before its reason.
        self.read_launch_messages()?;
        self.take_signals();
        Ok(true)
    }

    /// Reads all pending messages of the child. An error ends the loop: without the listener no
    /// call can be answered.
    pub(super) fn read_launch_messages(&mut self) -> Result<(), RunError> {
        loop {
            match self.child.read_message() {
                Ok(LaunchMessage::Listener(listener)) => self.start_worker(listener),
                Ok(LaunchMessage::Failed(failure)) => self.failed = Some(failure),
                Ok(LaunchMessage::Closed) => {
                    self.launched = true;
                    if matches!(self.sources, EventSources::Launch { .. }) {
                        self.settles = Some(Instant::now() + SETTLED);
                        self.take_signals();
                        self.sources = EventSources::Signals;
                    }
                    self.begin_without_listener();
                    if self.failed.is_none() {
                        self.lines.drain(..).for_each(|line| tracing::warn!("{line}"));
                    }
                    self.report_worker_failed();
                    return Ok(());
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Writes the start event, since the filter is in force, and starts the worker. Without a
    /// worker every notified call would wait for ever, so the container is stopped.
    fn start_worker(&mut self, listener: OwnedFd) {
        let Some(supervision) = self.supervision.take() else { return };
        self.begin(&supervision.writer, supervision.start);
        self.lines = supervision.lines;
        let (queue, me) = (Arc::clone(&self.requests), self.me);
        let requests = Box::new(move |request| {
            let mut pending = queue.lock().unwrap_or_else(PoisonError::into_inner);
            // A repeated request is handled once.
            if !pending.contains(&request) {
                pending.push(request);
            }
            drop(pending);
            if let Err(errno) = signal::send_thread(me.as_raw(), me.as_raw(), libc::SIGCHLD) {
                tracing::error!(%errno, "the first thread could not be woken");
            }
        });
        let listener = Arc::new(listener);
        self.tracees = supervision.tracees.as_ref().map(Arc::downgrade);
        let worker = supervision.worker;
        memory::share_one_heap();
        let started = threads::run_reserved("worker", move || worker.run(listener, requests));
        if let Err(error) = started {
            tracing::error!(%error, "the worker could not be started; the app is killed");
            self.step(&InitInput::Violation);
        }
    }

    /// Writes the start event once the app runs, where there is no listener.
    fn begin_without_listener(&mut self) {
        if self.failed.is_none()
            && let Some(supervision) = self.supervision.take()
        {
            self.begin(&supervision.writer, supervision.start);
            self.lines = supervision.lines;
        }
    }

    fn take_signals(&mut self) {
        loop {
            let EventSources::Launch { signals } = &self.sources else { return };
            match signal::next(signals) {
                Ok(Some(received)) => self.receive(received),
                Ok(None) => return,
                Err(errno) => {
                    tracing::error!(%errno, "signals cannot be read");
                    return;
                }
            }
        }
    }

    /// Logs that the worker has ended: from now on every notified call fails with ENOSYS. While
    /// the launch runs it is not logged, since it may be why the app's own exec fails.
    pub(super) fn report_worker_failed(&self) {
        if let Some(Failure { step, errno, .. }) = &self.worker_failed
            && self.launched
            && self.failed.is_none()
        {
            tracing::error!(%errno, "{step} failed: notified calls cannot be answered any more, and fail with ENOSYS");
        }
    }
}
