//! The supervisor's threads. All of them are made at one time, before the app's filter is
//! loaded, and none later: so the filter has the number of each, and what it refuses for
//! the process it refuses for every thread. A number that a thread got later might be one
//! that a signal of the app's was on its way to.
//!
//! A thread that has done its work waits for other work and never ends, so that its number
//! stays the supervisor's.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Builder;
use std::{fs, io, ptr};

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use super::{memory, process, signal};

/// What a thread does.
type Job = Box<dyn FnOnce() + Send>;

/// Deep enough for every job; of it only what is used takes memory.
const STACK: usize = 256 * 1024;

/// sched_setaffinity(2) of the calling thread.
const CALLER: Pid = Pid::from_raw(0);

struct Pool {
    state: Mutex<State>,
    /// Jobs that no thread has taken yet.
    work: Semaphore,
    /// The processors that the process may run on (sched_getaffinity(2)).
    processors: OnceLock<CpuSet>,
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

/// Makes the threads, and answers with the numbers (gettid(2)) of all that the process has
/// besides its first. To be called once, by the first thread; from then on [`run`] makes none.
///
/// # Errors
/// A thread cannot be made: EAGAIN at a limit of processes (pids.max, RLIMIT_NPROC). Or
/// /proc/self/task cannot be read.
pub fn make(count: usize) -> io::Result<Vec<u32>> {
    POOL.make(count)
}

/// The numbers that [`make`] has answered with.
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
        Pool { state: Mutex::new(state), work: Semaphore::new(), processors: OnceLock::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&'static self, count: usize) -> io::Result<Vec<u32>> {
        memory::share_one_heap();
        self.spawn_beside(count)?;
        // With its first thread the C library unblocks the signals that it keeps for itself,
        // in this thread too.
        block_signals();
        let numbers = others()?;
        let mut state = self.lock();
        state.closed = true;
        state.free = count;
        state.numbers.clone_from(&numbers);
        Ok(numbers)
    }

    /// So many threads, on the caller's processor until they have a job, where that can be:
    /// to wake another processor for each would take longer than the rest of its birth.
    fn spawn_beside(&'static self, count: usize) -> io::Result<()> {
        let spawn = || (0..count).try_for_each(|_| self.spawn());
        let Ok(all) = sched_getaffinity(CALLER) else { return spawn() };
        let mut here = CpuSet::new();
        if sched_getcpu().and_then(|processor| here.set(processor)).is_err()
            || sched_setaffinity(CALLER, &here).is_err()
        {
            return spawn();
        }
        self.processors.get_or_init(|| all);
        let spawned = spawn();
        sched_setaffinity(CALLER, &all)?;
        spawned
    }

    /// One more thread. The launch waits for them, so each is without what the standard
    /// library adds: a second stack for a message on the first one's overflow.
    fn spawn(&'static self) -> io::Result<()> {
        extern "C" fn serve(pool: *mut c_void) -> *mut c_void {
            // SAFETY: pthread_create(3) hands on what it is given below: a pool that is static.
            unsafe { &*pool.cast::<Pool>() }.serve()
        }
        let answer = |errno| if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) };
        let (mut attributes, mut thread) = (std::mem::MaybeUninit::uninit(), std::mem::MaybeUninit::uninit());
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the attributes are initialized first, and destroyed last; the thread's id
        // is written to, and not used.
        unsafe {
            answer(libc::pthread_attr_init(attributes))?;
            let made = answer(libc::pthread_attr_setstacksize(attributes, STACK))
                .and_then(|()| {
                    answer(libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED))
                })
                .and_then(|()| {
                    let pool = ptr::from_ref(self).cast_mut().cast();
                    answer(libc::pthread_create(thread.as_mut_ptr(), attributes, serve, pool))
                });
            libc::pthread_attr_destroy(attributes);
            made
        }
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
        self.work.post();
        Ok(())
    }

    /// The life of a thread.
    fn serve(&self) -> ! {
        block_signals();
        self.work.wait();
        if let Some(Err(errno)) = self.processors.get().map(|all| sched_setaffinity(CALLER, all)) {
            tracing::debug!(%errno, "a thread stays on one processor");
        }
        loop {
            let Some((name, job)) = self.lock().jobs.pop_front() else { continue };
            call_itself(name);
            job();
            call_itself("spare");
            self.lock().free += 1;
            self.work.wait();
        }
    }
}

/// A counting semaphore (sem_overview(7)): those that wait touch nothing that another thread
/// locks.
struct Semaphore(AtomicU32);

impl Semaphore {
    const fn new() -> Semaphore {
        Semaphore(AtomicU32::new(0))
    }

    fn post(&self) {
        self.0.fetch_add(1, Ordering::Release);
        self.futex(libc::FUTEX_WAKE, 1);
    }

    fn wait(&self) {
        let less = |count: u32| count.checked_sub(1);
        while self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, less).is_err() {
            self.futex(libc::FUTEX_WAIT, 0);
        }
    }

    /// futex(2). To wait returns early at times, and whoever waits looks again.
    fn futex(&self, operation: i32, value: u32) {
        let no_timeout = ptr::null::<libc::timespec>();
        // SAFETY: the kernel reads the one word, which outlives the call.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.0.as_ptr(),
                operation | libc::FUTEX_PRIVATE_FLAG,
                value,
                no_timeout,
            )
        };
    }
}

/// The process's threads but the first (proc(5), /proc/PID/task).
fn others() -> io::Result<Vec<u32>> {
    let first = std::process::id();
    let numbers = fs::read_dir("/proc/self/task")?.map(|entry| {
        let name = entry?.file_name();
        name.to_str()
            .and_then(|name| name.parse().ok())
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
    });
    numbers.filter(|number| !matches!(number, Ok(number) if *number == first)).collect()
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
        // Other tests have threads too.
        let made = OWN.make(2).expect("two threads");
        assert!(made.len() >= 2 && made == OWN.lock().numbers && !made.contains(&std::process::id()));
        let (gate, wait) = channel::<()>();
        let begin = say(&to);
        let block = move || {
            begin();
            wait.recv().expect_err("nothing is sent");
        };
        OWN.run("blocked", Box::new(block)).expect("one is free");
        let blocked = from.recv().expect("it ran");
        assert!(made.contains(&blocked) && blocked != first);
        // The other one does all that comes meanwhile.
        let mut second = None;
        let mut done = 0;
        while done < 50 {
            match OWN.run("again", Box::new(say(&to))) {
                Ok(()) => {
                    let number = from.recv().expect("it ran");
                    assert_eq!(*second.get_or_insert(number), number);
                    assert!(made.contains(&number) && number != blocked);
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
