//! The controlling terminal: sessions, process groups, the foreground group (credentials(7)).

use nix::errno::Errno;

use super::check;

/// Where the terminal is, if there is one: standard input.
const STDIN: i32 = 0;

/// Makes this process the leader of a group of its own (setpgid(2)).
///
/// # Errors
/// EPERM for a session leader.
pub fn own_group() -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::setpgid(0, 0) }.into()).map(drop)
}

/// Makes this process the leader of a session of its own, without a terminal
/// (setsid(2)).
///
/// # Errors
/// EPERM for the leader of a group.
pub fn own_session() -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::setsid() }.into()).map(drop)
}

/// This process's own group; 0 where its leader is of another pid namespace.
pub fn group() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getpgrp() }
}

/// Whether this process leads its session: then no shell would continue it.
pub fn leads_session() -> bool {
    // SAFETY: integers only.
    unsafe { libc::getsid(0) == libc::getpid() }
}

/// The foreground group of the terminal on standard input, 0 for one of another pid namespace;
/// none where it is no terminal of ours.
pub fn foreground() -> Option<i32> {
    // SAFETY: integers only; a descriptor that is not open is answered EBADF.
    let group = unsafe { libc::tcgetpgrp(STDIN) };
    (group >= 0).then_some(group)
}

/// Puts a group of this session into the foreground of the terminal on standard
/// input. The caller has SIGTTOU blocked, which would stop it in the background.
///
/// # Errors
/// ENOTTY where it is no terminal, ENXIO, EBADF or EIO where there is none, EPERM for
/// another session's.
pub fn set_foreground(group: i32) -> Result<(), Errno> {
    // SAFETY: integers only; a descriptor that is not open is answered EBADF.
    check(unsafe { libc::tcsetpgrp(STDIN, group) }.into()).map(drop)
}

/// Gives up the terminal on standard input. A session leader takes it from the whole session,
/// and the foreground group is sent HUP and CONT (ioctl_tty(2), TIOCNOTTY).
///
/// # Errors
/// ENOTTY where it is not the controlling one, or none.
pub fn give_up() -> Result<(), Errno> {
    // SAFETY: a request that takes no argument.
    check(unsafe { libc::ioctl(STDIN, libc::TIOCNOTTY as _) }.into()).map(drop)
}

/// Makes the terminal on standard input the controlling one of this session's leader.
///
/// # Errors
/// ENOTTY where it is none, EPERM where it is another session's.
pub fn acquire() -> Result<(), Errno> {
    // SAFETY: the argument is the number 0: not by force.
    check(unsafe { libc::ioctl(STDIN, libc::TIOCSCTTY as _, 0) }.into()).map(drop)
}
