//! Becoming another user and then another program, as `gosu` and `setpriv` do.

use std::ffi::CString;

use super::{Result, argument, execs, number};
use crate::syscall::{call, path};

/// `exec-as ID PROGRAM [ARG…]`
pub const ACTS: &[(&str, super::Act)] = &[("exec-as", exec_as)];

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
