//! Attaching: to one thread for one call, or to all of a process that becomes unreadable.

use std::collections::BTreeSet;

use nix::errno::Errno;

use super::Tracer;
use super::call::{Operation, TracedCall};
use super::state::Attachment;
use crate::ids::{Pid, Tid};
use crate::notify::caller::Caller;
use crate::procfs::processes;
use crate::procfs::status::ThreadStatus;
use crate::sys::{credentials, ptrace};

impl Tracer {
    /// Attaches to the thread or the process of a call. A tid is not a thread: the notification
    /// is valid before and after, or another thread may have the tid.
    pub(super) fn attach(&self, call: &TracedCall) -> Attachment {
        if !self.is_valid(call.id) {
            return Attachment::Stale;
        }
        let mut attached = Vec::new();
        let tid = call.tid();
        let result = match call.operation {
            Operation::Exec { .. } | Operation::MapCode { .. } if self.traces(tid) => Ok(()),
            Operation::Exec { .. } | Operation::MapCode { .. } => {
                // Below Linux 5.19 it is traced until its next exec, with what it makes.
                let children = if self.wait_killable { 0 } else { ptrace::CHILDREN };
                let result = self.attach_thread(tid, &call.caller, ptrace::EXECS | children);
                attached.extend(result.is_ok().then_some(tid));
                result
            }
            Operation::BecomeUnreadable => self.attach_process(&call.caller, &mut attached),
            Operation::BecomeReadable if self.traces(tid) => Ok(()),
            Operation::BecomeReadable => Err(Errno::EPERM),
        };
        if let Err(errno) = result {
            tracing::debug!(%tid, %errno, "not traced");
        }
        Attachment::Tried { attached, result, valid: self.is_valid(call.id) }
    }

    fn attach_thread(&self, tid: Tid, caller: &Caller, options: u64) -> Result<(), Errno> {
        let options = options | ptrace::EXIT_KILL | ptrace::CALLS;
        self.as_caller(caller, || ptrace::attach(tid.as_raw(), options))
    }

    /// Attaches to every thread of a process and to all that they will make: until a pass over
    /// them finds only threads that are traced, or that had ended before it began and are not
    /// reaped. One that ended since may have made another.
    fn attach_process(&self, caller: &Caller, attached: &mut Vec<Tid>) -> Result<(), Errno> {
        const PASSES: u32 = 100;
        let mut ended = BTreeSet::new();
        for _ in 0..PASSES {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", caller.tgid));
            let tasks = tasks.map_err(|error| crate::sys::errno(&error)).map_err(|errno| match errno {
                Errno::ENOENT => Errno::ESRCH,
                errno => errno,
            })?;
            let tids = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse::<i32>().ok());
            let tids = tids.map(Tid::from_raw);
            // By /proc: a thread that a traced one has just made is not in the table yet.
            let mut is_last = true;
            for tid in tids.filter(|tid| thread_of_ours(*tid).is_none()) {
                match self.attach_thread(tid, caller, ptrace::EXECS | ptrace::CHILDREN) {
                    Ok(()) => {
                        attached.push(tid);
                        is_last = false;
                    }
                    // It ended; the caller's own end is found when it is answered.
                    Err(Errno::ESRCH) => is_last = false,
                    // A thread that has ended and is not reaped cannot be traced.
                    Err(Errno::EPERM) if processes::is_dead(caller.tgid, tid) => {
                        is_last &= !ended.insert(tid);
                    }
                    Err(errno) => return Err(errno),
                }
            }
            if is_last {
                return Ok(());
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Performs `act`, which may need the ids of another user, with its real ids taken on for the
    /// moment. In that moment this user may signal the supervisor: every signal is blocked here,
    /// and the kernel protects an init from the two that cannot be.
    pub(super) fn as_caller(
        &self,
        caller: &Caller,
        act: impl Fn() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let theirs = (caller.uids[0], caller.gids[0]);
        let own = || (nix::unistd::getuid(), nix::unistd::getgid());
        match act() {
            Err(Errno::EPERM) if theirs != own() => {
                let (uid, gid) = own();
                // A runtime's filter refuses getuid or getgid: what is not known cannot be
                // restored.
                if uid.as_raw() == u32::MAX || gid.as_raw() == u32::MAX {
                    return Err(Errno::EPERM);
                }
                let answer = credentials::set_real_ids(theirs.0, theirs.1).and_then(|()| act());
                if let Err(errno) = credentials::set_real_ids(uid, gid) {
                    // The kernel would check all its calls as another user's.
                    tracing::error!(%errno, "the worker could not restore its own ids");
                    std::process::abort();
                }
                answer.map_err(|errno| if errno == Errno::ESRCH { errno } else { Errno::EPERM })
            }
            answer => answer,
        }
    }

    /// Whether a thread is traced, and not another one that had its tid before.
    pub(super) fn traces(&self, tid: Tid) -> bool {
        self.table.has(tid) && thread_of_ours(tid).is_some()
    }
}

/// A thread, by `/proc/TID/status`.
pub(super) struct TracedThread {
    /// Its process (Tgid).
    pub pid: Pid,
    /// The process that made it: its own, or of a leader the parent.
    pub maker: Pid,
}

/// A thread that the calling thread traces, by TracerPid in /proc; none for any other.
pub(super) fn thread_of_ours(tid: Tid) -> Option<TracedThread> {
    let status = ThreadStatus::of(tid).ok()?;
    let pid = status.tgid;
    let maker = if pid.first_thread() == tid { status.parent } else { pid };
    (status.tracer == Some(Tid::own())).then_some(TracedThread { pid, maker })
}
