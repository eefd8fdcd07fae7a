//! Acts of a process that cannot be read: it made itself undumpable, or changed its user
//! and executed nothing since, or such a one forked it.

use std::path::Path;

use super::users::become_user;
use super::{Act, Outcome, Result, argument};
use crate::syscall::{Refused, call, path};

/// `unread MODE ACT [ARG…]`
pub const ACTS: &[(&str, Act)] = &[("unread", unread)];

/// Another user, who may do with the attacker's folder what everybody may.
const ANOTHER: i64 = 33;

/// `MODE`: `undumpable`, in the process itself; `thread`, in a thread of it; `forked`, in a
/// child; `user`, in a child of one that changed its user; `relative`, in the process
/// itself, by the last name of ARG in its folder.
fn unread(arguments: &[String]) -> Result {
    let (mode, name) = (argument(arguments, 0, "undumpable"), argument(arguments, 1, "write"));
    let mut rest = arguments.get(2..).unwrap_or_default().to_vec();
    if mode == "user" {
        become_user(ANOTHER)?;
    } else {
        call("prctl", libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 0])?;
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
