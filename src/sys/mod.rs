//! The one room for `unsafe`: system calls that no library wraps safely, each
//! behind a function whose signature upholds what the kernel asks for.

pub mod credentials;
pub mod files;
pub mod landlock;
pub mod process;
pub mod seccomp;
pub mod signal;

use nix::errno::Errno;

/// Turns a raw answer into a result; -1 carries errno.
fn check(answer: libc::c_long) -> Result<libc::c_long, Errno> {
    if answer == -1 { Err(Errno::last()) } else { Ok(answer) }
}
