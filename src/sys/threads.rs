//! The supervisor's threads. All of them are made at one time, before the app's filter is
//! loaded, and none later: so the filter has the number of each, and what it refuses for
//! the process it refuses for every thread. A number that a thread got later might be one
//! that a signal of the app's was on its way to.
//!
//! A thread that has done its work waits for other work and never ends, so that its number
//! stays the supervisor's.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

use super::{memory, process, signal};

/// What a thread does.
type Job = Box<dyn FnOnce() + Send>;

/// Deep enough for every job; of it only what is used takes memory.
const STACK: usize = 256 * 1024;

struct Pool {
    state: Mutex<State>,
    /// There is a job.
    work: Condvar,
    /// One more thread has said its number.
    born: Condvar,
}

struct State {
    /// No thread is made any more.
    closed: bool,
    /// Threads that have no job.
    free: usize,
    jobs: VecDeque<(&'static str, Job)>,
    numbers: Vec<u32>,
}

static POOL: Pool = Pool::new();

/// Makes the threads, and answers with their numbers (gettid(2)). To be called once, by the
/// first thread; from then on [`run`] makes none.
///
/// # Errors
/// A thread cannot be made: EAGAIN at a limit of processes (pids.max, RLIMIT_NPROC).
pub fn make(count: usize) -> io::Result<Vec<u32>> {
    POOL.make(count)
}

/// The numbers of the threads that [`make`] has made.
pub fn numbers() -> Vec<u32> {
    POOL.lock().numbers.clone()
}

/// Has a job done by a thread of its own, which takes no signals and is called `name` for so
/// long (at most 15 bytes). Where [`make`] was not called a thread is made for it.
///
/// # Errors
/// EAGAIN where every thread has a job already, or none can be made.
pub fn run(name: &'static str, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    POOL.run(name, Box::new(job))
}

impl Pool {
    const fn new() -> Pool {
        let state = State { closed: false, free: 0, jobs: VecDeque::new(), numbers: Vec::new() };
        Pool { state: Mutex::new(state), work: Condvar::new(), born: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&'static self, count: usize) -> io::Result<Vec<u32>> {
        memory::share_one_heap();
        for _ in 0..count {
            Builder::new().name("spare".into()).stack_size(STACK).spawn(|| self.serve())?;
        }
        // With its first thread the C library unblocks the signals that it keeps for itself,
        // in this thread too.
        block_signals();
        let mut state = self.lock();
        while state.numbers.len() < count {
            state = self.born.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.closed = true;
        state.free = count;
        Ok(state.numbers.clone())
    }

    fn run(&'static self, name: &'static str, job: Job) -> io::Result<()> {
        let mut state = self.lock();
        if !state.closed {
            drop(state);
            Builder::new().name(name.into()).stack_size(STACK).spawn(move || {
                block_signals();
                job();
            })?;
            block_signals();
            return Ok(());
        }
        let none_is_free = || io::Error::from_raw_os_error(libc::EAGAIN);
        state.free = state.free.checked_sub(1).ok_or_else(none_is_free)?;
        state.jobs.push_back((name, job));
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// The life of a thread.
    fn serve(&self) {
        block_signals();
        let mut state = self.lock();
        state.numbers.push(nix::unistd::gettid().as_raw() as u32);
        self.born.notify_one();
        loop {
            let Some((name, job)) = state.jobs.pop_front() else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            call_itself(name);
            job();
            call_itself("spare");
            state = self.lock();
            state.free += 1;
        }
    }
}

/// For whoever lists the threads.
fn call_itself(name: &str) {
    let Ok(name) = std::ffi::CString::new(name) else { return };
    if let Err(errno) = process::prctl(libc::PR_SET_NAME, name.as_ptr() as u64, 0) {
        tracing::debug!(%errno, "a thread has another's name");
    }
}

fn block_signals() {
    if let Err(errno) = signal::block_all() {
        tracing::warn!(%errno, "a thread takes signals that are the app's");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn no_thread_is_made_later_and_each_is_used_again() {
        static OWN: Pool = Pool::new();
        let (to, from) = channel();
        let tid = || nix::unistd::gettid().as_raw() as u32;
        let say = |to: &std::sync::mpsc::Sender<u32>| {
            let to = to.clone();
            move || to.send(tid()).expect("heard")
        };
        OWN.run("before", Box::new(say(&to))).expect("a thread of its own");
        let first = from.recv().expect("it ran");
        let made = OWN.make(2).expect("two threads");
        assert_eq!((made.len(), OWN.lock().numbers.clone()), (2, made.clone()));
        assert!(!made.contains(&first) && !made.contains(&tid()));
        let (gate, wait) = channel::<()>();
        let begin = say(&to);
        let block = move || {
            begin();
            wait.recv().expect_err("nothing is sent");
        };
        OWN.run("blocked", Box::new(block)).expect("one is free");
        let first = from.recv().expect("it ran");
        // The other one does all that comes meanwhile.
        let mut done = 0;
        while done < 50 {
            match OWN.run("again", Box::new(say(&to))) {
                Ok(()) => {
                    let second = from.recv().expect("it ran");
                    assert!(made.contains(&second) && second != first);
                    done += 1;
                }
                // It has answered, and is on its way back.
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
                    std::thread::yield_now();
                }
            }
        }
        drop(gate);
    }
}
