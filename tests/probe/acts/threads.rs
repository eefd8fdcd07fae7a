//! A thread of the first process that is not its first, by its number: the kernel takes it
//! where it takes a process's, and asks for no more than the same user. Where the first
//! process has one thread alone, that one.

use std::os::fd::AsRawFd;

use super::first::HIGH;
use super::{Result, done};
use crate::syscall::{self, call, own, path};

/// `thread-kill`, `thread-scheduler`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("thread-kill", |arguments| act("kill", libc::SYS_kill, &[thread(arguments), WINCH])),
    ("thread-kill-high", |arguments| act("kill", libc::SYS_kill, &[HIGH | thread(arguments), WINCH])),
    ("thread-tkill", |arguments| act("tkill", libc::SYS_tkill, &[thread(arguments), WINCH])),
    ("thread-queue", |arguments| {
        // siginfo_t: the signal, errno 0, SI_QUEUE.
        let mut information = [0i32; 32];
        information[0] = libc::SIGWINCH;
        information[2] = libc::SI_QUEUE;
        let at = information.as_ptr() as usize;
        act("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo, &[thread(arguments), WINCH, at])
    }),
    ("thread-owner", |arguments| {
        let (from, _to) = syscall::pipe()?;
        let words = [from.as_raw_fd() as usize, libc::F_SETOWN as usize, thread(arguments)];
        act("fcntl", libc::SYS_fcntl, &words)
    }),
    ("thread-owner-memory", |arguments| {
        // F_SETOWN_EX; struct f_owner_ex: F_OWNER_TID, and the number.
        let owner = [0i32, thread(arguments) as i32];
        let (from, _to) = syscall::pipe()?;
        let words = [from.as_raw_fd() as usize, 15, owner.as_ptr() as usize];
        act("fcntl", libc::SYS_fcntl, &words)
    }),
    ("signal-directory", |_| {
        // A descriptor of a process without pidfd_open(2).
        let (name, flags) = (path("/proc/1"), libc::O_DIRECTORY | libc::O_CLOEXEC);
        let here = libc::AT_FDCWD as usize;
        let words = [here, name.as_ptr() as usize, flags as usize, 0];
        let process = own(call("openat", libc::SYS_openat, &words)?);
        let words = [process.as_raw_fd() as usize, WINCH, 0, 0];
        act("pidfd_send_signal", libc::SYS_pidfd_send_signal, &words)
    }),
    ("thread-scheduler", |arguments| {
        let priority = 0i32;
        let words = [thread(arguments), libc::SCHED_IDLE as usize, &raw const priority as usize];
        act("sched_setscheduler", libc::SYS_sched_setscheduler, &words)
    }),
    ("thread-attributes", |arguments| {
        // struct sched_attr: its size, SCHED_IDLE.
        let mut attributes = [0u32; 12];
        attributes[0] = 48;
        attributes[1] = libc::SCHED_IDLE as u32;
        let words = [thread(arguments), attributes.as_ptr() as usize, 0];
        act("sched_setattr", libc::SYS_sched_setattr, &words)
    }),
    ("thread-processors", |arguments| {
        let first = [1u64; 1];
        let words = [thread(arguments), size_of_val(&first), first.as_ptr() as usize];
        act("sched_setaffinity", libc::SYS_sched_setaffinity, &words)
    }),
    ("thread-priority", |arguments| act("setpriority", libc::SYS_setpriority, &[0, thread(arguments), 19])),
    ("thread-disk", |arguments| {
        // IOPRIO_WHO_PROCESS, IOPRIO_CLASS_IDLE.
        act("ioprio_set", libc::SYS_ioprio_set, &[1, thread(arguments), 3 << 13])
    }),
    ("user-priority", |_| {
        // PRIO_USER: all of one's own.
        act("setpriority", libc::SYS_setpriority, &[2, 0, 19])
    }),
    ("thread-limits", |arguments| {
        // Far more than it has open, so that an unconfined first process goes on.
        let limit: [u64; 2] = [512, 512];
        let words = [thread(arguments), libc::RLIMIT_NOFILE as usize, limit.as_ptr() as usize, 0];
        act("prlimit64", libc::SYS_prlimit64, &words)
    }),
];

/// The first process ignores it where it takes no notice of it.
const WINCH: usize = libc::SIGWINCH as usize;

fn act(step: &'static str, number: libc::c_long, words: &[usize]) -> Result {
    call(step, number, words).and_then(|_| done())
}

/// The number of a thread of the first process: its second, which exists before the app's first
/// instruction, or the `last`. No right to read /proc is needed to see whether a name is there.
fn thread(arguments: &[String]) -> usize {
    const MOST: usize = 4096;
    let is_there = |tid: &usize| {
        let name = path(&format!("/proc/1/task/{tid}"));
        let words = [libc::AT_FDCWD as usize, name.as_ptr() as usize, libc::F_OK as usize];
        call("faccessat", libc::SYS_faccessat, &words).is_ok()
    };
    let last = arguments.first().is_some_and(|which| which == "last");
    let found = if last { (2..MOST).rev().find(is_there) } else { (2..MOST).find(is_there) };
    found.unwrap_or(1)
}
