//! Socket operations that may block, such as a connect: threads of their own perform them, at
//! most [`SOCKET_THREADS`] at a time, and the others wait in a queue.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::plan::SOCKET_THREADS;
use crate::sys::threads;

/// The most operations that wait for a thread; a connect that is not answered takes minutes.
const MOST_WAITING: usize = 256 - SOCKET_THREADS;

type SocketJob = Box<dyn FnOnce() + Send>;

/// The queue of the supervisor.
pub(super) static DEFERRED: DeferredQueue = DeferredQueue {
    state: Mutex::new(SocketJobs { threads: 0, idle: 0, waiting: VecDeque::new() }),
    work: Condvar::new(),
};

pub(super) struct DeferredQueue {
    state: Mutex<SocketJobs>,
    work: Condvar,
}

struct SocketJobs {
    /// Threads that do nothing else.
    threads: usize,
    /// Those of them that wait for a job.
    idle: usize,
    waiting: VecDeque<SocketJob>,
}

impl DeferredQueue {
    /// Performs a job as soon as a thread is free.
    ///
    /// # Errors
    /// EAGAIN where too many wait already, or there is no thread.
    pub(super) fn start(&'static self, job: SocketJob) -> io::Result<()> {
        let mut state = self.lock();
        let is_one_free = state.idle > state.waiting.len();
        if is_one_free || state.threads == SOCKET_THREADS {
            if !is_one_free && state.waiting.len() >= MOST_WAITING {
                return Err(io::Error::from_raw_os_error(libc::EAGAIN));
            }
            state.waiting.push_back(job);
            self.work.notify_one();
            return Ok(());
        }
        threads::run("socket", || self.serve(job))?;
        state.threads += 1;
        Ok(())
    }

    fn serve(&self, first: SocketJob) {
        first();
        let mut state = self.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                drop(state);
                job();
                state = self.lock();
                continue;
            }
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, SocketJobs> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
