//! Acts of a process that cannot be read: it made itself undumpable, or changed its user
//! and executed nothing since, or such a one forked it.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use super::users::become_user;
use super::{Act, Outcome, Result, argument};
use crate::syscall::{self, Forked, Refused, call, path};

/// `unread MODE ACT [ARG…]`, `interrupted caught|last|stopped ACT [ARG…]`
pub const ACTS: &[(&str, Act)] = &[("unread", unread), ("interrupted", interrupted)];

/// Another user, who may do with the attacker's folder what everybody may.
const ANOTHER: i64 = 33;

/// `MODE`: `undumpable`, in the process itself; `thread`, in a thread of it; `forked`, in a
/// child; `user`, in a child of one that changed its user; `vfork`, in the process itself, whose child
/// by vfork(2) changed its user, and has the same memory; `relative`, in the process itself, by the last
/// name of ARG in its folder.
fn unread(arguments: &[String]) -> Result {
    let (mode, name) = (argument(arguments, 0, "undumpable"), argument(arguments, 1, "write"));
    let mut rest = arguments.get(2..).unwrap_or_default().to_vec();
    match mode {
        "user" => become_user(ANOTHER)?,
        "vfork" => vfork_another()?,
        _ => call("prctl", libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 0]).map(drop)?,
    }
    match mode {
        "forked" | "user" => in_child(name, &rest),
        "thread" => {
            let act = super::find(name)?;
            std::thread::spawn(move || act(&rest)).join().unwrap_or(Err(Refused { step: "join", errno: 0 }))
        }
        "relative" => {
            if let Some(first) = rest.first_mut() {
                let whole = Path::new(first.as_str());
                let folder = whole.parent().and_then(Path::to_str).unwrap_or("/");
                call("chdir", libc::SYS_chdir, &[path(folder).as_ptr() as usize])?;
                *first = whole.file_name().and_then(|name| name.to_str()).unwrap_or(".").to_owned();
            }
            super::find(name)?(&rest)
        }
        _ => super::find(name)?(&rest),
    }
}

/// A child by vfork(2) that changes its user and ends, as one does that then executes a program.
fn vfork_another() -> Result<()> {
    extern "C" fn change(_: *mut libc::c_void) -> i32 {
        // SAFETY: integers alone, by the kernel's own call: a library's would signal the other threads.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, ANOTHER, ANOTHER, ANOTHER) };
        i32::from(changed != 0)
    }
    let mut stack = vec![0u128; 4096];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let mut status = 0;
    // SAFETY: the child has the end of a live stack, and this thread waits until it has ended.
    let ended = unsafe {
        let pid = libc::clone(change, stack.as_mut_ptr_range().end.cast(), flags, std::ptr::null_mut());
        pid > 0 && libc::waitpid(pid, &raw mut status, 0) == pid
    };
    if ended && status == 0 { Ok(()) } else { Err(Refused { step: "vfork", errno: libc::EPERM }) }
}

fn in_child(name: &str, arguments: &[String]) -> Result {
    match super::in_child(name, arguments) {
        Ok(Outcome::Done(detail)) => Ok(detail),
        Ok(Outcome::Refused(refused)) => Err(refused),
        Ok(Outcome::Killed(signal)) => {
            // SAFETY: kill takes no memory.
            unsafe { libc::kill(libc::getpid(), signal) };
            Ok(format!("signal {signal}"))
        }
        Err(_) => Err(Refused { step: "fork", errno: libc::ECHILD }),
    }
}

/// An act, often, while signals come: they break the wait for the answers to its calls
/// (below Linux 5.19), are caught, and the calls are made again; or they stop the process and
/// continue it; or they are caught by one that the scheduler runs last. It comes to the same each time, and no descriptor is left behind.
fn interrupted(arguments: &[String]) -> Result {
    const OFTEN: u32 = 100;
    let (how, name) = (argument(arguments, 0, "caught"), argument(arguments, 1, "write"));
    let (act, rest) = (super::find(name)?, arguments.get(2..).unwrap_or_default());
    let word = |result: &Result| result.as_ref().map_or_else(|refused| refused.errno, |_| 0);
    let before = descriptors();
    match how {
        "stopped" => keep_stopping()?,
        "last" => run_last().and_then(|()| keep_catching())?,
        _ => keep_catching()?,
    }
    let first = act(rest);
    for _ in 1..OFTEN {
        let other = act(rest);
        if word(&other) != word(&first) {
            return Err(Refused { step: "it is not always the same", errno: libc::EINVAL });
        }
    }
    if descriptors() != before {
        return Err(Refused { step: "descriptors are left behind", errno: libc::EMFILE });
    }
    first
}

/// How many of the first descriptors are open.
fn descriptors() -> usize {
    // SAFETY: F_GETFD takes no memory.
    (0..256).filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0).count()
}

/// So many signals come in all, and so far apart: on a slow machine every one of them may
/// come before a call is decided.
const SIGNALS: u32 = 1000;
const MILLISECONDS: u32 = 10;

fn keep_catching() -> Result<()> {
    static CAUGHT: AtomicU32 = AtomicU32::new(0);
    extern "C" fn caught(_: i32) {
        if CAUGHT.fetch_add(1, Relaxed) >= SIGNALS {
            timer(0);
        }
    }
    // SAFETY: a structure of integers, of which zero is a valid one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = caught as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the structure is live, and the handler takes no lock.
    if unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(Refused { step: "sigaction", errno: libc::EINVAL });
    }
    timer(MILLISECONDS);
    Ok(())
}

fn run_last() -> Result<()> {
    const SCHED_IDLE: usize = 5;
    let none = [0u32];
    call("sched_setscheduler", libc::SYS_sched_setscheduler, &[0, SCHED_IDLE, none.as_ptr() as usize])
        .map(drop)
}

/// SIGALRM, so far apart; 0 is never.
fn timer(milliseconds: u32) {
    let every = libc::timeval { tv_sec: 0, tv_usec: (milliseconds * 1000).into() };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: the structure is live.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

fn keep_stopping() -> Result<()> {
    // SAFETY: getpid takes no memory.
    let parent = unsafe { libc::getpid() };
    if let Forked::Child = syscall::fork("fork")? {
        for _ in 0..SIGNALS {
            for signal in [libc::SIGSTOP, libc::SIGCONT] {
                // SAFETY: kill takes no memory.
                if unsafe { libc::kill(parent, signal) } != 0 {
                    syscall::leave(0);
                }
            }
            std::thread::sleep(Duration::from_millis(MILLISECONDS.into()));
        }
        syscall::leave(0)
    }
    Ok(())
}
