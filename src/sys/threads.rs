//! The supervisor's threads, of which the app must reach none. A call that names a thread is
//! decided with the ids of all of them: those whose ids the app's filter has are made before
//! that is loaded, and the others at the latest before the first such call is decided
//! ([`all`]). A thread that got its id later might be the target of a call that was allowed
//! before.
//!
//! A thread that has done its work waits for other work and never ends, so that its number
//! stays the supervisor's.

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
    /// What a thread that was made later does before its first job.
    first: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct State {
    /// How many threads there may be; before [`prepare`] each job has one made for it.
    most: Option<usize>,
    made: usize,
    /// Threads that have no job.
    free: usize,
    /// Of these so many wait for [`run_kept`].
    kept: usize,
    jobs: VecDeque<(&'static str, Job)>,
    /// Of all threads but the process's first, once no more are made.
    numbers: Option<Vec<u32>>,
}

static POOL: Pool = Pool::new();

/// From now on [`run`] makes at most so many threads, each when there is work for it. `first`
/// is the first that each of these does: its maker's credentials may have been a caller's.
pub fn prepare(most: usize, first: impl Fn() + Send + Sync + 'static) {
    POOL.prepare(most, Box::new(first));
}

/// Why there are not all the threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMade {
    /// One cannot be started: EAGAIN at a limit of processes (pids.max, RLIMIT_NPROC).
    Started(Errno),
    /// Their numbers cannot be read in /proc/self/task.
    Listed(Errno),
}

/// How many jobs there may be for [`run_kept`].
pub const KEPT: usize = 2;

/// Makes so many threads at once, and answers as [`all`]. Of these [`KEPT`] are for
/// [`run_kept`].
///
/// # Errors
/// See [`NotMade`].
pub fn make(count: usize) -> Result<Vec<u32>, NotMade> {
    POOL.make(count)
}

/// Makes the threads that are not there yet, and answers with the numbers (gettid(2)) of all
/// that the process has besides its first. From then on none is made.
///
/// # Errors
/// See [`NotMade`].
pub fn all() -> Result<Vec<u32>, NotMade> {
    POOL.all()
}

/// Has a job done by a thread of its own, which takes no signals and is called `name` for so
/// long (at most 15 bytes).
///
/// # Errors
/// EAGAIN where every thread has a job already, or none can be made.
pub fn run(name: &'static str, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    POOL.run(name, Box::new(job), false)
}

/// The same of a job for which [`make`] has made a thread, so that it has one even where the
/// app has made as many as the container may have.
///
/// # Errors
/// As [`run`].
pub fn run_kept(name: &'static str, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    POOL.run(name, Box::new(job), true)
}

fn started(error: io::Error) -> NotMade {
    NotMade::Started(super::errno(&error))
}

fn listed(error: io::Error) -> NotMade {
    NotMade::Listed(super::errno(&error))
}

/// What pthread_create(3) starts.
type Serve = extern "C" fn(*mut c_void) -> *mut c_void;

extern "C" fn serve<const WAS_MADE_LATER: bool>(pool: *mut c_void) -> *mut c_void {
    // SAFETY: `Pool::spawn` gives it a pool that is static.
    unsafe { &*pool.cast::<Pool>() }.serve(WAS_MADE_LATER)
}

impl Pool {
    const fn new() -> Pool {
        let state = State { most: None, made: 0, free: 0, kept: 0, jobs: VecDeque::new(), numbers: None };
        Pool {
            state: Mutex::new(state),
            work: Semaphore::new(),
            processors: OnceLock::new(),
            first: OnceLock::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
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
        state.kept = count.min(KEPT);
        others().map_err(listed)
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

    /// So many threads, on the caller's processor until they have a job, where that can be:
    /// to wake another processor for each would take longer than the rest of its birth.
    fn spawn_beside(&'static self, state: &mut State, count: usize, serve: Serve) -> io::Result<()> {
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

    /// One more thread. The launch waits for them, so each is without what the standard
    /// library adds: a second stack for a message on the first one's overflow.
    fn spawn(&'static self, state: &mut State, serve: Serve) -> io::Result<()> {
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
            made?;
        }
        state.made += 1;
        state.free += 1;
        // With its first thread the C library unblocks the signals that it keeps for itself,
        // in this thread too.
        Ok(signal::block_all()?)
    }

    fn run(&'static self, name: &'static str, job: Job, kept: bool) -> io::Result<()> {
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
        if kept {
            state.kept = state.kept.saturating_sub(1);
        }
        if state.free <= if kept { 0 } else { state.kept } {
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

    /// The life of a thread.
    fn serve(&self, was_made_later: bool) -> ! {
        block_signals();
        self.work.wait();
        if let Some(Err(errno)) = self.processors.get().map(|all| sched_setaffinity(CALLER, all)) {
            tracing::debug!(%errno, "a thread stays on one processor");
        }
        if let Some(first) = self.first.get().filter(|_| was_made_later) {
            first();
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

    /// futex(2). To wait returns early at times, and the caller compares again.
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
    if let Err(errno) = prctl::set_name(&name) {
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
    fn threads_are_made_when_there_is_work_and_used_again_and_none_after_all_are_there() {
        static OWN: Pool = Pool::new();
        let (to, from) = channel();
        let tid = || nix::unistd::gettid().as_raw() as u32;
        let say = |to: &std::sync::mpsc::Sender<u32>| {
            let to = to.clone();
            move || to.send(tid()).expect("heard")
        };
        OWN.run("before", Box::new(say(&to)), false).expect("a thread of its own");
        let before = from.recv().expect("it ran");
        let (began, begins) = channel();
        OWN.prepare(2, Box::new(move || began.send(tid()).expect("heard")));
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
    fn a_thread_is_kept_for_what_must_have_one() {
        static OWN: Pool = Pool::new();
        OWN.prepare(KEPT + 1, Box::new(|| {}));
        OWN.make(KEPT).expect("threads");
        let (gate, wait) = channel::<()>();
        let wait = std::sync::Arc::new(Mutex::new(wait));
        let block = || -> Job {
            let wait = std::sync::Arc::clone(&wait);
            Box::new(move || drop(wait.lock().map(|wait| wait.recv())))
        };
        OWN.run("other", block(), false).expect("one is made");
        let error = OWN.run("other", block(), false).expect_err("the others are kept");
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
        (0..KEPT).for_each(|_| OWN.run("kept", block(), true).expect("one is kept"));
        assert!(OWN.run("kept", block(), true).is_err(), "all have a job");
        drop(gate);
    }
}
