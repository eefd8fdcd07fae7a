//! Opens of the app's standard streams at `/proc/1/fd`, and of the caller's own descriptors by
//! name. The supervisor is undumpable, so the kernel shows its streams to no process inside; they
//! are the app's, which would be PID 1 without it.

use landlock::{AccessFs, BitFlags};
use nix::errno::Errno;

use super::deferred_calls::leased;
use super::{Decision, Enforcer};
use crate::ids::Pid;
use crate::notify::caller::Caller;
use crate::notify::reopen;
use crate::notify::resolve::Found;
use crate::notify::stream::Stream;
use crate::notify::syscall_args::{Open, PathArg};
use crate::policy::file::Ruling;
use crate::profile::Rights;

impl Enforcer {
    /// An open of a stream of the app's at `/proc/1/fd`: with the access that the stream has, or as
    /// the profile grants its file.
    pub(super) fn open_stream(
        &self,
        caller: &Caller,
        found: Found,
        stream: Stream,
        open: &Open,
        (needs, kernel): (Rights, BitFlags<AccessFs>),
    ) -> Decision {
        if !reopen::is_plain(open) {
            return Decision::Continue;
        }
        let Some(target) = &found.target else { return Decision::Fail(Errno::ENOENT) };
        if self.rules.is_protected(target.id) || !reopen::is_stream(stream, target, open) {
            match self.ruling(&found, needs, kernel) {
                Ok(Ruling::Refuse(refusal)) | Err(refusal) => return Decision::Deny(refusal),
                Ok(Ruling::Kernel | Ruling::Perform) => {}
            }
        }
        // Before Linux 5.14 no descriptor can be the answer to a call.
        if !(self.audit || self.rules.policy().performs) {
            return Decision::Deny(self.rules.denied_without_hint(&open.at.path, needs));
        }
        if self.waits() != Ok(true) {
            return Decision::Fail(Errno::ESRCH);
        }
        let opened = reopen::open_stream(&self.identity, caller, self.current_app(), stream, open.flags);
        answer(opened, found, open)
    }

    /// Whether the caller holds what it opens by a magic link of its own, with no less access.
    pub(super) fn reopens(&self, caller: &Caller, found: &Found, open: &Open) -> bool {
        // Before Linux 5.14 no descriptor can be the answer to a call.
        if !(self.audit || self.rules.policy().performs) {
            return false;
        }
        let is_program = found.target.as_ref().is_none_or(|target| self.rules.is_protected(target.id));
        found.magic && !is_program && reopen::is_already_open(&self.identity, caller, found, open) == Ok(true)
    }

    /// Opens it. In audit the kernel does.
    pub(super) fn reopen(&self, caller: &Caller, found: Found, open: &Open) -> Decision {
        let Some(target) = found.target.as_ref().filter(|_| !self.audit) else { return Decision::Continue };
        if self.waits() != Ok(true) {
            return Decision::Fail(Errno::ESRCH);
        }
        let opened = reopen::reopen(&self.identity, caller, target, open.flags);
        answer(opened, found, open)
    }

    /// Whether a path names something of the supervisor's in `/proc`, where the kernel shows the caller
    /// nothing.
    pub(super) fn is_supervisors(&self, at: &PathArg) -> bool {
        at.path.starts_with(format!("/proc/{}", Pid::own()))
    }
}

/// The answer to an open that was made for the caller; one of a file with a lease waits for it.
fn answer(opened: Result<std::os::fd::OwnedFd, Errno>, found: Found, open: &Open) -> Decision {
    match opened {
        Ok(fd) => Decision::Opened(fd, open.flags & libc::O_CLOEXEC != 0),
        Err(Errno::EWOULDBLOCK) if open.flags & libc::O_NONBLOCK == 0 => leased(found.target, open.flags),
        Err(errno) => Decision::Fail(errno),
    }
}
