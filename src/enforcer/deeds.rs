//! What takes its time and is not the deciding thread's: it is done by other threads, so
//! many at a time, and the rest waits for one of them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::plan::SOCKET_THREADS;
use crate::sys::threads;

/// Waiting for a thread at most; a connection that is never answered takes minutes.
const MOST_WAITING: usize = 256 - SOCKET_THREADS;

type Deed = Box<dyn FnOnce() + Send>;

/// What is under way.
pub(super) static DEEDS: Deeds = Deeds {
    state: Mutex::new(State { threads: 0, idle: 0, waiting: VecDeque::new() }),
    work: Condvar::new(),
};

pub(super) struct Deeds {
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    /// Threads that do nothing else.
    threads: usize,
    /// Those of them that wait for a deed.
    idle: usize,
    waiting: VecDeque<Deed>,
}

impl Deeds {
    /// Has it done as soon as a thread is free.
    ///
    /// # Errors
    /// EAGAIN where too many wait already, or there is no thread.
    pub(super) fn start(&'static self, deed: Deed) -> io::Result<()> {
        let mut state = self.lock();
        let is_one_free = state.idle > state.waiting.len();
        if is_one_free || state.threads == SOCKET_THREADS {
            if !is_one_free && state.waiting.len() >= MOST_WAITING {
                return Err(io::Error::from_raw_os_error(libc::EAGAIN));
            }
            state.waiting.push_back(deed);
            self.work.notify_one();
            return Ok(());
        }
        threads::run("deed", || self.serve(deed))?;
        state.threads += 1;
        Ok(())
    }

    fn serve(&self, first: Deed) {
        first();
        let mut state = self.lock();
        loop {
            if let Some(deed) = state.waiting.pop_front() {
                drop(state);
                deed();
                state = self.lock();
                continue;
            }
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
