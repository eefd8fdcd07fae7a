//! Becoming another user and then another program, as `gosu` and `setpriv` do.

use std::ffi::CString;

use super::{Result, argument, execs, number};
use crate::syscall::{call, path};

/// `exec-as ID PROGRAM [ARG…]`
pub const ACTS: &[(&str, super::Act)] = &[
    ("exec-as", exec_as),
    ("user-files", user_of_files),
    ("user-effective", |_| take([SAME, OTHER, SAME])),
    ("user-saved", |_| take([SAME, SAME, OTHER])),
];

/// An id that is left as it is.
const SAME: usize = u32::MAX as usize;
const OTHER: usize = 33;

fn take(ids: [usize; 3]) -> Result {
    call("setresuid", libc::SYS_setresuid, &ids).and_then(|_| super::done())
}

/// The user by which files are opened; by a thread of its own, or undumpable.
fn user_of_files(arguments: &[String]) -> Result {
    let take = || {
        call("setfsuid", libc::SYS_setfsuid, &[OTHER])?;
        // It answers the id as it was before, whatever becomes of it.
        match call("setfsuid", libc::SYS_setfsuid, &[SAME])? {
            OTHER => super::done(),
            _ => Err(crate::syscall::Refused { step: "setfsuid", errno: libc::EPERM }),
        }
    };
    match argument(arguments, 0, "") {
        "thread" => std::thread::scope(|scope| scope.spawn(take).join()).unwrap_or_else(|_| super::done()),
        "undumpable" => {
            call("prctl", libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 0])?;
            take()
        }
        _ => take(),
    }
}

pub(super) fn become_user(id: i64) -> Result<()> {
    let id = id as usize;
    call("setresgid", libc::SYS_setresgid, &[id, id, id])?;
    call("setresuid", libc::SYS_setresuid, &[id, id, id])?;
    Ok(())
}

fn exec_as(arguments: &[String]) -> Result {
    let program = path(argument(arguments, 1, "/bin/sh"));
    let words: Vec<CString> = arguments[arguments.len().min(1)..].iter().map(|text| path(text)).collect();
    let environment = execs::environment();
    let (argv, envp) = (execs::pointers(&words), execs::pointers(&environment));
    execs::in_grandchild("execve", || {
        become_user(number(arguments, 0, 33))?;
        let words = [program.as_ptr() as usize, argv.as_ptr() as usize, envp.as_ptr() as usize];
        call("execve", libc::SYS_execve, &words)
    })
}
