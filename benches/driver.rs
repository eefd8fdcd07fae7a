//! The program that `cargo bench` runs, bare and supervised. It has no start-up
//! of its own (`no_main`), so that what is measured is the launch and not this.
//!
//! ```text
//! driver true             exits 0
//! driver calls N          N times getppid; prints the nanoseconds that they took
//! driver reads N          N times pread of 4 KiB of this program's own file; likewise
//! driver filtered-calls N, filtered-reads N
//!                         the same behind a filter of its own that allows everything
//! driver spawn N PROG     N times fork, exec of `PROG true` and wait; likewise
//! driver notified-spawn N PROG
//!                         the same, each exec notified and let go on without a look
//! driver sleep            until a signal ends it
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
        (b"filtered-calls", Some(times)) => timed_after(allow_all, || calls(times)),
        (b"filtered-reads", Some(times)) => timed_after(allow_all, || reads(times)),
        (b"spawn", Some(times)) => timed(|| spawn(times, word(3))),
        (b"notified-spawn", Some(times)) => timed_after(notify_exec, || spawn(times, word(3))),
        (b"sleep", _) => sleep(),
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
    let _ = seccomp::wake_up_synchronously(&listener);
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

fn sleep() -> c_int {
    loop {
        // SAFETY: takes no memory.
        unsafe { libc::pause() };
    }
}

/// Unsharing nothing succeeds for anyone whom no filter stops.
fn confined() -> bool {
    // SAFETY: takes no memory.
    unsafe { libc::unshare(0) == -1 }
}
