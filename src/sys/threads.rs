//! The pool of the supervisor's threads. The app must reach none of them, so a call that names
//! a thread by its id is checked against the ids of all of them. Threads whose ids are in the
//! app's filter are made before the filter is loaded; the others at the latest before the first
//! such call is decided ([`all`]). A thread that was made later could get an id that a call was
//! already allowed to name.
//!
//! A thread that has finished a job waits for another and never ends, so its id is not reused.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Builder;
use std::{fs, io, ptr};

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use super::{memory, prctl, signal};

/// A job of a thread.
type PoolJob = Box<dyn FnOnce() + Send>;

/// The stack size of a thread, in bytes. Only the pages that it touches take memory.
const STACK: usize = 256 * 1024;

/// sched_setaffinity(2) of the calling thread.
const CALLER: Pid = Pid::from_raw(0);

struct Pool {
    state: Mutex<PoolState>,
    /// Jobs that no thread has taken yet.
    work: Semaphore,
    /// The processors that the process may run on (sched_getaffinity(2)).
    processors: OnceLock<CpuSet>,
    /// Runs in a thread that was made after the launch, before its first job.
    first: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct PoolState {
    /// The most threads that the pool makes; before [`prepare`] each job gets a new one.
    most: Option<usize>,
    made: usize,
    /// Threads that have no job.
    free: usize,
    /// How many of these are reserved for [`run_reserved`].
    reserved: usize,
    jobs: VecDeque<(&'static str, PoolJob)>,
    /// The tids of all threads but the first, once no more are made.
    numbers: Option<Vec<u32>>,
}

static POOL: Pool = Pool::new();

/// Limits the pool to `most` threads, which [`run`] makes on demand. Each of them calls `first`
/// before its first job: the thread that makes it may have a caller's credentials at that time.
pub fn prepare(most: usize, first: impl Fn() + Send + Sync + 'static) {
    POOL.prepare(most, Box::new(first));
}

/// Why threads are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMade {
    /// pthread_create(3) failed: EAGAIN at a limit of processes (pids.max, RLIMIT_NPROC).
    Started(Errno),
    /// Their tids cannot be read from /proc/self/task.
    Listed(Errno),
}

/// How many threads are reserved for [`run_reserved`].
pub const RESERVED: usize = 2;

/// Makes `count` threads at once, and returns what [`all`] does.
///
/// # Errors
/// See [`NotMade`].
pub fn make(count: usize) -> Result<Vec<u32>, NotMade> {
    POOL.make(count)
}

/// Makes those of the [`RESERVED`] threads that are still missing, and reserves them for
/// [`run_reserved`].
///
/// # Errors
/// See [`NotMade`].
pub fn reserve() -> Result<(), NotMade> {
    POOL.reserve(RESERVED)
}

/// Makes the threads that are still missing, and returns the tids (gettid(2)) of all threads of
/// the process but the first. After it no thread is made.
///
/// # Errors
/// See [`NotMade`].
pub fn all() -> Result<Vec<u32>, NotMade> {
    POOL.all()
}

/// Runs a job in a thread that blocks all signals and has this name meanwhile (at most 15
/// bytes).
///
/// # Errors
/// EAGAIN where every thread has a job, or none can be made.
pub fn run(name: &'static str, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    POOL.run(name, Box::new(job), false)
}

/// Runs a job in a thread that [`reserve`] has reserved for it, so that it runs even where the app
/// has used up the container's limit of processes.
///
/// # Errors
/// As [`run`].
pub fn run_reserved(name: &'static str, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    POOL.run(name, Box::new(job), true)
}

fn started(error: io::Error) -> NotMade {
    NotMade::Started(super::errno(&error))
}

fn listed(error: io::Error) -> NotMade {
    NotMade::Listed(super::errno(&error))
}

/// The start routine of pthread_create(3).
type Serve = extern "C" fn(*mut c_void) -> *mut c_void;

extern "C" fn serve<const MADE_LATER: bool>(pool: *mut c_void) -> *mut c_void {
    // SAFETY: `Pool::spawn` gives it a pool that is static.
    unsafe { &*pool.cast::<Pool>() }.serve(MADE_LATER)
}

impl Pool {
    const fn new() -> Pool {
        let state =
            PoolState { most: None, made: 0, free: 0, reserved: 0, jobs: VecDeque::new(), numbers: None };
        Pool {
            state: Mutex::new(state),
            work: Semaphore::new(),
            processors: OnceLock::new(),
            first: OnceLock::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepare(&self, most: usize, first: Box<dyn Fn() + Send + Sync>) {
        memory::share_one_heap();
        self.first.get_or_init(|| first);
        self.lock().most = Some(most);
    }

    fn make(&'static self, count: usize) -> Result<Vec<u32>, NotMade> {
        let mut state = self.lock();
        self.spawn_beside(&mut state, count, serve::<false>).map_err(started)?;
        others().map_err(listed)
    }

    fn reserve(&'static self, count: usize) -> Result<(), NotMade> {
        let mut state = self.lock();
        let count = count.min(state.most.unwrap_or_default());
        let missing = count.saturating_sub(state.made);
        self.spawn_beside(&mut state, missing, serve::<false>).map_err(started)?;
        state.reserved = count;
        Ok(())
    }

    fn all(&'static self) -> Result<Vec<u32>, NotMade> {
        let mut state = self.lock();
        if let Some(numbers) = &state.numbers {
            return Ok(numbers.clone());
        }
        let more = state.most.unwrap_or_default().saturating_sub(state.made);
        self.spawn_beside(&mut state, more, serve::<true>).map_err(started)?;
        Ok(state.numbers.insert(others().map_err(listed)?).clone())
    }

    /// Makes `count` threads on the caller's processor, where possible; each moves when it first
    /// runs. Waking another processor for each takes longer than making it.
    fn spawn_beside(&'static self, state: &mut PoolState, count: usize, serve: Serve) -> io::Result<()> {
        let mut spawn = || (0..count).try_for_each(|_| self.spawn(state, serve));
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

    /// Makes a thread by pthread_create(3). The launch waits for it, and the standard library
    /// would also map an alternate signal stack for it.
    fn spawn(&'static self, state: &mut PoolState, serve: Serve) -> io::Result<()> {
        let answer = |errno| if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) };
        let (mut attributes, mut thread) = (std::mem::MaybeUninit::uninit(), std::mem::MaybeUninit::uninit());
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the attributes are initialized first and destroyed last; the thread's handle
        // is written and not used.
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
            made?;
        }
        state.made += 1;
        state.free += 1;
        // With the first thread the C library unblocks the signals that it reserves, in this
        // thread too.
        Ok(signal::block_all()?)
    }

    fn run(&'static self, name: &'static str, job: PoolJob, reserved: bool) -> io::Result<()> {
        let mut state = self.lock();
        let Some(most) = state.most else {
            drop(state);
            Builder::new().name(name.into()).stack_size(STACK).spawn(move || {
                block_signals();
                job();
            })?;
            block_signals();
            return Ok(());
        };
        if reserved {
            state.reserved = state.reserved.saturating_sub(1);
        }
        if state.free <= if reserved { 0 } else { state.reserved } {
            if state.made == most {
                return Err(io::Error::from_raw_os_error(libc::EAGAIN));
            }
            self.spawn(&mut state, serve::<true>)?;
        }
        state.free -= 1;
        state.jobs.push_back((name, job));
        drop(state);
        self.work.post();
        Ok(())
    }

    /// The body of a thread: it runs jobs, and never returns.
    fn serve(&self, made_later: bool) -> ! {
        block_signals();
        if let Some(Err(errno)) = self.processors.get().map(|all| sched_setaffinity(CALLER, all)) {
            tracing::debug!(%errno, "a thread stays on one processor");
        }
        self.work.wait();
        if let Some(first) = self.first.get().filter(|_| made_later) {
            first();
        }
        loop {
            let Some((name, job)) = self.lock().jobs.pop_front() else { continue };
            set_thread_name(name);
            job();
            set_thread_name("spare");
            self.lock().free += 1;
            self.work.wait();
        }
    }
}

/// A counting semaphore (sem_overview(7)). A waiting thread holds no lock.
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

    /// futex(2). FUTEX_WAIT may return early, so the caller checks the count again.
    fn futex(&self, operation: i32, value: u32) {
        let no_timeout = ptr::null::<libc::timespec>();
        // SAFETY: the kernel reads one word, which outlives the call.
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

/// The tids of the process's threads but the first (/proc/self/task, proc(5)).
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

/// Sets the name that `ps` shows for this thread (PR_SET_NAME(2const)).
fn set_thread_name(name: &str) {
    let Ok(name) = std::ffi::CString::new(name) else { return };
    if let Err(errno) = prctl::set_name(&name) {
        tracing::debug!(%errno, "a thread has another's name");
    }
}

fn block_signals() {
    if let Err(errno) = signal::block_all() {
        tracing::warn!(%errno, "could not block signals in a thread; signals for the app may be lost");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn threads_are_made_when_there_is_work_and_used_again_and_none_after_all_are_there() {
        static OWN: Pool = Pool::new();
        let (to, from) = channel();
        let tid = || nix::unistd::gettid().as_raw() as u32;
        let say = |to: &std::sync::mpsc::Sender<u32>| {
            let to = to.clone();
            move || to.send(tid()).expect("the receiver exists")
        };
        OWN.run("before", Box::new(say(&to)), false).expect("a thread of its own");
        let before = from.recv().expect("it ran");
        let (began, begins) = channel();
        OWN.prepare(2, Box::new(move || began.send(tid()).expect("the receiver exists")));
        let (gate, wait) = channel::<()>();
        let begin = say(&to);
        let block = move || {
            begin();
            wait.recv().expect_err("nothing is sent");
        };
        OWN.run("blocked", Box::new(block), false).expect("one is free");
        let blocked = from.recv().expect("it ran");
        assert!(blocked != before && begins.recv() == Ok(blocked) && begins.try_recv().is_err());
        // Other tests have threads too.
        let made = OWN.all().expect("the second thread");
        assert!(made.len() >= 2 && made.contains(&blocked) && !made.contains(&std::process::id()));
        assert_eq!(OWN.all().expect("no more"), made);
        // The other one does all that comes meanwhile.
        let mut second = None;
        let mut done = 0;
        while done < 50 {
            match OWN.run("again", Box::new(say(&to)), false) {
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

    #[test]
    fn a_thread_is_reserved_for_what_must_have_one() {
        static OWN: Pool = Pool::new();
        OWN.prepare(RESERVED + 1, Box::new(|| {}));
        OWN.make(1).expect("a thread");
        OWN.reserve(RESERVED).expect("the other one");
        let (gate, wait) = channel::<()>();
        let wait = std::sync::Arc::new(Mutex::new(wait));
        let block = || -> PoolJob {
            let wait = std::sync::Arc::clone(&wait);
            Box::new(move || drop(wait.lock().map(|wait| wait.recv())))
        };
        OWN.run("other", block(), false).expect("one is made");
        let error = OWN.run("other", block(), false).expect_err("the others are reserved");
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
        (0..RESERVED).for_each(|_| OWN.run("reserved", block(), true).expect("one is reserved"));
        assert!(OWN.run("reserved", block(), true).is_err(), "all have a job");
        drop(gate);
    }
}
