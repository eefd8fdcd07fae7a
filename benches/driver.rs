//! The program that `cargo bench` runs, bare and supervised. It has no start-up
//! of its own (`no_main`), so that what is measured is the launch and not this.
//!
//! ```text
//! driver true             exits 0
//! driver calls N          N times getppid; prints the nanoseconds that they took
//! driver reads N          N times pread of 4 KiB of this program's own file; likewise
//! driver opens N FILE     N times open for reading and close; likewise
//! driver filtered-calls N, filtered-reads N, filtered-opens N FILE
//!                         the same behind a filter of its own that allows everything
//! driver spawn N PROG     N times fork, exec of `PROG true` and wait; likewise
//! driver spawn-at N RATE PROG
//!                         the same, so many a second
//! driver notified-spawn N PROG
//!                         the same, each exec notified and let go on without a look
//! driver work N THREADS   N rounds of arithmetic in each of so many threads; likewise
//! driver flooded-work N THREADS
//!                         the same while 100 threads make a refused call without a pause
//! driver orphans N        N processes whose parent has ended, each of which ends; then
//!                         says `ready` once its parent has no other child
//! driver count-signals N  says `ready`, and N when so many realtime signals came
//! driver brood N          N children that sleep; says `ready`; TERM ends it, not them
//! driver sleep            until a signal ends it
//! driver any-confinement PROG ARG…
//!                         becomes this program, behind a filter and a Landlock domain
//!                         that allow everything
//! driver confined         exits 0 if a call that no profile here lists is refused
//! ```
#![no_main]

use std::ffi::{CStr, c_char, c_int};
use std::time::Instant;

use remit::sys::seccomp;

/// The C library's entry.
///
/// # Safety
/// `argv` holds `argc` strings: the C runtime calls this, once, and sees to it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: as this function asks for; they live as long as the process.
    let words = unsafe { std::slice::from_raw_parts(argv, argc.try_into().unwrap_or(0)) };
    let word = |at: usize| {
        words.get(at).map_or(c"", |&w| {
            // SAFETY: as above: each is a string that ends with NUL.
            unsafe { CStr::from_ptr(w) }
        })
    };
    let times = || word(2).to_str().ok().and_then(|n| n.parse::<u64>().ok());
    match (word(1).to_bytes(), times()) {
        (b"true", _) => 0,
        (b"calls", Some(times)) => timed(|| calls(times)),
        (b"reads", Some(times)) => timed(|| reads(times)),
        (b"opens", Some(times)) => timed(|| opens(times, word(3))),
        (b"filtered-opens", Some(times)) => timed_after(allow_all, || opens(times, word(3))),
        (b"filtered-calls", Some(times)) => timed_after(allow_all, || calls(times)),
        (b"filtered-reads", Some(times)) => timed_after(allow_all, || reads(times)),
        (b"spawn", Some(times)) => timed(|| spawn(times, word(3))),
        (b"spawn-at", Some(times)) => timed(|| spawn_at(times, word(3), word(4))),
        (b"notified-spawn", Some(times)) => timed_after(notify_exec, || spawn(times, word(3))),
        (b"work", Some(times)) => timed(|| work(times, word(3))),
        (b"flooded-work", Some(times)) => timed_after(flood, || work(times, word(3))),
        (b"orphans", Some(times)) => orphans(times),
        (b"count-signals", Some(times)) => count_signals(times),
        (b"brood", Some(times)) => brood(times),
        (b"sleep", _) => sleep(),
        (b"any-confinement", _) => any_confinement(words),
        (b"confined", _) => c_int::from(!confined()),
        _ => 2,
    }
}

fn timed(act: impl FnOnce() -> bool) -> c_int {
    let start = Instant::now();
    let well = act();
    println!("{}", start.elapsed().as_nanos());
    if well { 0 } else { 1 }
}

fn timed_after(prepare: impl FnOnce() -> bool, act: impl FnOnce() -> bool) -> c_int {
    if prepare() { timed(act) } else { 1 }
}

fn opens(times: u64, path: &CStr) -> bool {
    (0..times).all(|_| {
        // SAFETY: the path is a string, and the descriptor is this iteration's own.
        unsafe {
            let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            fd >= 0 && libc::close(fd) == 0
        }
    })
}

/// The cheapest filter there is: what the kernel itself takes for having one at all.
fn allow_all() -> bool {
    let allow = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
    let program = libc::sock_fprog { len: 1, filter: (&raw const allow).cast_mut() };
    // SAFETY: numbers, and a program of one instruction that the kernel only reads.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    }
}

/// What the kernel itself takes for being confined at all: its hooks are asked, and
/// find that everything is granted at the root.
fn any_confinement(words: &[*const c_char]) -> c_int {
    use landlock::{ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, path_beneath_rules};
    let all = AccessFs::from_all(ABI::V5);
    let domain = Ruleset::default().handle_access(all).and_then(Ruleset::create);
    let domain = domain.and_then(|domain| domain.add_rules(path_beneath_rules(["/"], all)));
    if domain.and_then(landlock::RulesetCreated::restrict_self).is_err() || !allow_all() {
        return 1;
    }
    let Some([program, ..]) = words.get(2..) else { return 2 };
    // SAFETY: what follows the first words of argv are strings too, and a null pointer
    // ends it.
    unsafe { libc::execv(*program, words[2..].as_ptr()) };
    127
}

/// The shortest answer that there is to an exec that has to be asked for: what the
/// kernel takes for the asking, and for two threads that take turns.
fn notify_exec() -> bool {
    let instruction = |code: u32, jt, k: u32| seccomp::Instruction { code: code as u16, jt, jf: 0, k };
    let program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, libc::SYS_execve as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_USER_NOTIF),
    ];
    // SAFETY: numbers only.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return false;
    }
    let Ok(listener) = seccomp::load(&program, false) else { return false };
    // As the shim does, where the kernel can.
    let _ = seccomp::set_sync_wakeup(&listener, true);
    std::thread::spawn(move || {
        while let Ok(request) = seccomp::receive(&listener) {
            let _ = seccomp::answer(&listener, request.id, seccomp::Answer::Continue);
        }
    });
    true
}

fn reads(times: u64) -> bool {
    let mut page = [0u8; 4096];
    // SAFETY: a string that ends with NUL; afterwards a buffer of the size that is said.
    unsafe {
        let file = libc::open(c"/proc/self/exe".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        (0..times).all(|_| libc::pread(file, page.as_mut_ptr().cast(), page.len(), 0) > 0)
    }
}

fn calls(times: u64) -> bool {
    for _ in 0..times {
        // SAFETY: takes no memory; by number, so that no library answers for the kernel.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
    true
}

fn spawn_at(times: u64, rate: &CStr, program: &CStr) -> bool {
    let Some(rate) = rate.to_str().ok().and_then(|n| n.parse::<u64>().ok()) else { return false };
    let begin = Instant::now();
    (0..times).all(|done| {
        let due = begin + std::time::Duration::from_nanos(1_000_000_000 * done / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        spawn(1, program)
    })
}

fn spawn(times: u64, program: &CStr) -> bool {
    let argv = [program.as_ptr(), c"true".as_ptr(), std::ptr::null()];
    (0..times).all(|_| {
        // SAFETY: one thread; the child only execs or exits.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: `argv` ends with a null pointer and its strings outlive the call.
            unsafe {
                libc::execv(program.as_ptr(), argv.as_ptr());
                libc::_exit(127)
            }
        }
        let mut status = -1;
        // SAFETY: `status` is ours to be written to.
        unsafe { libc::waitpid(child, &mut status, 0) == child && status == 0 }
    })
}

fn work(times: u64, threads: &CStr) -> bool {
    let Some(threads) = threads.to_str().ok().and_then(|n| n.parse::<u32>().ok()) else { return false };
    let work = move || {
        (0..times).fold(1u64, |x, round| std::hint::black_box(x ^ round).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    };
    let threads: Vec<_> = (0..threads).map(|_| std::thread::spawn(work)).collect();
    threads.into_iter().all(|thread| thread.join().is_ok())
}

/// Starts the threads, which end with the process.
fn flood() -> bool {
    const THREADS: usize = 100;
    if !confined() {
        return false;
    }
    let begun = std::sync::Arc::new(std::sync::Barrier::new(THREADS + 1));
    for _ in 0..THREADS {
        let begun = std::sync::Arc::clone(&begun);
        std::thread::spawn(move || {
            begun.wait();
            while confined() {}
        });
    }
    begun.wait();
    true
}

/// Forks, and ends the child with what it does.
fn child(act: impl FnOnce()) -> libc::pid_t {
    // SAFETY: one thread; the child does what it is given and ends.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        act();
        // SAFETY: ends this process.
        unsafe { libc::_exit(0) };
    }
    pid
}

fn orphans(times: u64) -> c_int {
    for _ in 0..times {
        let parent = child(|| {
            child(|| {});
        });
        let mut status = 0;
        // SAFETY: `status` is ours to be written to.
        if parent == -1 || unsafe { libc::waitpid(parent, &mut status, 0) } != parent {
            return 1;
        }
    }
    // SAFETY: takes no memory.
    let init = unsafe { libc::getppid() };
    let children = format!("/proc/{init}/task/{init}/children");
    let others = || std::fs::read_to_string(&children).map_or(0, |list| list.split_whitespace().count() - 1);
    let end = Instant::now() + std::time::Duration::from_secs(20);
    while others() > 0 && Instant::now() < end {
        std::thread::yield_now();
    }
    println!("ready");
    sleep()
}

fn count_signals(times: u64) -> c_int {
    const REALTIME: c_int = 40;
    // SAFETY: a set of ours, and a signal of it waited for.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut set, REALTIME);
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        println!("ready");
        let mut came = 0;
        // What has not come for so long is lost.
        let patience = libc::timespec { tv_sec: 5, tv_nsec: 0 };
        while came < times && libc::sigtimedwait(&set, std::ptr::null_mut(), &patience) == REALTIME {
            came += 1;
        }
        println!("{came}");
    }
    sleep()
}

fn brood(times: u64) -> c_int {
    for _ in 0..times {
        if child(|| {
            sleep();
        }) == -1
        {
            return 1;
        }
    }
    println!("ready");
    sleep()
}

fn sleep() -> c_int {
    loop {
        // SAFETY: takes no memory.
        unsafe { libc::pause() };
    }
}

/// Unsharing nothing succeeds for every process without a filter.
fn confined() -> bool {
    // SAFETY: takes no memory.
    unsafe { libc::unshare(0) == -1 }
}
