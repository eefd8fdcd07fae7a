//! The supervisor as a target: PID 1, by every way to it that is no ordinary signal.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::{Result, argument, done, number};
use crate::syscall::{self, Forked, Refused, call, open, own, path};

/// `signal-queue PID SIGNAL`, `init-limits`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("signal-queue", |arguments| queue(arguments, false)),
    ("signal-queue-thread", |arguments| queue(arguments, true)),
    ("signal-thread", |arguments| {
        let (pid, signal) = target(arguments);
        call("tkill", libc::SYS_tkill, &[pid, signal]).and_then(|_| done())
    }),
    ("signal-pidfd", signal_pidfd),
    ("signal-owner", signal_owner),
    ("signal-high", |arguments| {
        let (pid, signal) = target(arguments);
        call("kill", libc::SYS_kill, &[HIGH | pid, signal]).and_then(|_| done())
    }),
    ("open", |arguments| {
        let access = if argument(arguments, 1, "read") == "read" { libc::O_RDONLY } else { libc::O_WRONLY };
        open("openat", argument(arguments, 0, "/proc/1/exe"), access, 0).and_then(|_| done())
    }),
    ("init-limits", init_limits),
    ("init-priority", |_| call("setpriority", libc::SYS_setpriority, &[0, 1, 19]).and_then(|_| done())),
    ("init-scheduler", init_scheduler),
    ("filter-own", filter_own),
    ("listener-own", listener_own),
    ("descriptors", descriptors),
    ("fork-bomb", fork_bomb),
];

/// What a register holds above the 32 bits of an int, which the kernel does not read.
pub(super) const HIGH: usize = 1 << 32;

/// WINCH, which the first process ignores where it takes no notice of it.
fn target(arguments: &[String]) -> (usize, usize) {
    (number(arguments, 0, 1) as usize, number(arguments, 1, libc::SIGWINCH.into()) as usize)
}

fn queue(arguments: &[String], to_a_thread: bool) -> Result {
    let (pid, signal) = target(arguments);
    // siginfo_t: the signal, errno 0, SI_QUEUE; the sender is not looked at.
    let mut information = [0i32; 32];
    information[0] = signal as i32;
    information[2] = libc::SI_QUEUE;
    let at = information.as_ptr() as usize;
    if to_a_thread {
        call("rt_tgsigqueueinfo", libc::SYS_rt_tgsigqueueinfo, &[pid, pid, signal, at])?;
    } else {
        call("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo, &[pid, signal, at])?;
    }
    done()
}

fn signal_pidfd(arguments: &[String]) -> Result {
    let (pid, signal) = target(arguments);
    let process = own(call("pidfd_open", libc::SYS_pidfd_open, &[pid, 0])?);
    let words = [process.as_raw_fd() as usize, signal, 0, 0];
    call("pidfd_send_signal", libc::SYS_pidfd_send_signal, &words)?;
    done()
}

/// `F_SETSIG` (asm-generic/fcntl.h).
const F_SETSIG: i32 = 10;

/// A signal that the kernel sends by itself when there is something to read.
fn signal_owner(arguments: &[String]) -> Result {
    let (pid, _) = target(arguments);
    let signal = libc::SIGUSR2;
    let before = crate::serve::signals();
    let (from, to) = syscall::pipe()?;
    let fd = from.as_raw_fd() as usize;
    for (command, value) in [
        (libc::F_SETOWN, pid),
        (F_SETSIG, signal as usize),
        (libc::F_SETFL, (libc::O_ASYNC | libc::O_NONBLOCK) as usize),
    ] {
        call("fcntl", libc::SYS_fcntl, &[fd, command as usize, value])?;
    }
    let byte = [b'x'];
    call("write", libc::SYS_write, &[to.as_raw_fd() as usize, byte.as_ptr() as usize, 1])?;
    // The first process forwards what it gets to the app, which counts it.
    let deadline = Instant::now() + Duration::from_millis(500);
    while Instant::now() < deadline {
        if crate::serve::signals() > before {
            return done();
        }
        std::thread::yield_now();
    }
    Err(Refused { step: "nothing came", errno: libc::EPERM })
}

/// Leaves the supervisor no descriptor to work with.
fn init_limits(_: &[String]) -> Result {
    // Far more than it has open, so that an unconfined first process goes on.
    let limit: [u64; 2] = [512, 512];
    let words = [1, libc::RLIMIT_NOFILE as usize, limit.as_ptr() as usize, 0];
    call("prlimit64", libc::SYS_prlimit64, &words)?;
    done()
}

fn init_scheduler(_: &[String]) -> Result {
    let priority = 0i32;
    let words = [1, libc::SCHED_IDLE as usize, &raw const priority as usize];
    call("sched_setscheduler", libc::SYS_sched_setscheduler, &words)?;
    done()
}

const ALLOW: u32 = 0x7fff_0000;

/// Loads a filter of one instruction: the answer to every call.
fn filter(answer: u32, flags: usize) -> Result<usize> {
    // BPF_RET | BPF_K.
    let program = [libc::sock_filter { code: 6, jt: 0, jf: 0, k: answer }];
    let program = libc::sock_fprog { len: 1, filter: program.as_ptr().cast_mut() };
    call("prctl", libc::SYS_prctl, &[libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0])?;
    let at = &raw const program as usize;
    call("seccomp", libc::SYS_seccomp, &[libc::SECCOMP_SET_MODE_FILTER as usize, flags, at])
}

/// A filter of one's own that allows all, and then what is not allowed.
fn filter_own(arguments: &[String]) -> Result {
    filter(ALLOW, 0)?;
    super::execs::run("execve", argument(arguments, 0, "/app/evil"), &[])
}

/// One's own supervisor above one's own calls.
fn listener_own(_: &[String]) -> Result {
    own(filter(ALLOW, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as usize)?);
    done()
}

/// The descriptors of this process that are none of its own: beyond the three that
/// everybody has, by what they are.
fn descriptors(_: &[String]) -> Result {
    let mut found = Vec::new();
    for fd in 3..1024 {
        let link = path(&format!("/proc/self/fd/{fd}"));
        let mut text = [0u8; 256];
        let here = libc::AT_FDCWD as usize;
        let words = [here, link.as_ptr() as usize, text.as_mut_ptr() as usize, text.len()];
        if let Ok(length) = call("readlinkat", libc::SYS_readlinkat, &words) {
            found.push(String::from_utf8_lossy(&text[..length]).into_owned());
        }
    }
    // The server's sockets, and the pipe to the process that requested this act.
    found.retain(|name| !name.starts_with("socket:") && !name.starts_with("pipe:"));
    Ok(found.join(" "))
}

/// Processes that make processes, ten generations of them: a thousand, where none
/// is refused.
fn fork_bomb(_: &[String]) -> Result {
    const GENERATIONS: u32 = 10;
    let (from, to) = syscall::pipe()?;
    let first = match syscall::fork("fork")? {
        Forked::Child => {
            call("setpgid", libc::SYS_setpgid, &[0, 0])?;
            multiply(GENERATIONS, &to)
        }
        Forked::Parent(first) => first,
    };
    drop(to);
    let (mut from, mut made) = (File::from(from), 0);
    let mut byte = [0u8];
    let mut result = done();
    while made < 2usize.pow(GENERATIONS) - 2 {
        match from.read(&mut byte) {
            Ok(1) if byte == *b"+" => made += 1,
            _ => {
                result = Err(Refused { step: "fork", errno: libc::EAGAIN });
                break;
            }
        }
    }
    // All of them are of the first one's group; it is not reaped yet.
    // SAFETY: kill takes no memory.
    unsafe { libc::kill(-first, libc::SIGKILL) };
    syscall::wait(first);
    result
}

/// Makes two children that do the same, each of which says that it is there, and waits
/// to be killed; the one that could not be made is said as well.
fn multiply(generations: u32, to: &OwnedFd) -> ! {
    let say = |byte: &[u8; 1]| {
        let words = [to.as_raw_fd() as usize, byte.as_ptr() as usize, 1];
        // The reader has enough when this fails.
        let _ = call("write", libc::SYS_write, &words);
    };
    for _ in 0..if generations > 1 { 2 } else { 0 } {
        match syscall::fork("fork") {
            Ok(Forked::Child) => {
                say(b"+");
                multiply(generations - 1, to)
            }
            Ok(Forked::Parent(_)) => {}
            Err(_) => say(b"-"),
        }
    }
    loop {
        // SAFETY: pause takes nothing.
        unsafe { libc::pause() };
    }
}
