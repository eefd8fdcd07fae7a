//! How the ids of the supervisor's threads get into the filter that the app's process loads:
//! through the launch's socket, once that process and the threads exist.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use crate::filter::{Access, Filter, FilterError, Insn, Template};
use crate::plan::{Plan, numbers};
use crate::syscalls;

/// A filter with room for the supervisor's threads.
pub(super) fn template(
    plan: &Plan,
    filter: &Filter,
    compile: fn(&Filter) -> Result<Vec<Insn>, FilterError>,
) -> Result<Template, FilterError> {
    let mut filter = filter.clone();
    if plan.kernel.notify.is_ok() {
        // A change of user is notified whatever its arguments are: the supervisor decides which
        // user a program may become, and reads the process before it becomes unreadable.
        let changes = filter.calls.iter_mut().filter(|(call, _)| syscalls::changes_user(call));
        changes.for_each(|(_, access)| *access = Access::Notify);
    }
    let count = plan.threads_in_filter();
    if count < plan.threads() {
        for (call, access) in &mut filter.calls {
            let all = std::mem::replace(access, Access::Notify);
            *access = numbers::of_the_caller_alone(call, all);
        }
    }
    Template::new(filter, compile, numbers::names_thread, plan.policy.supervisor, count)
}

/// The filter with the ids of the supervisor's threads, read from the launch's socket.
pub(super) fn complete(filter: &Template, socket: &OwnedFd) -> Result<Vec<Insn>, Errno> {
    let mut word = vec![0; filter.count() * size_of::<u32>()];
    if !word.is_empty() && recv(socket.as_raw_fd(), &mut word, MsgFlags::empty())? != word.len() {
        // The supervisor has ended.
        return Err(Errno::ESRCH);
    }
    let numbers = word.as_chunks().0.iter().copied().map(u32::from_le_bytes);
    filter.with(&numbers.collect::<Vec<_>>()).ok_or(Errno::EINVAL)
}
