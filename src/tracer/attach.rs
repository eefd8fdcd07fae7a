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
use crate::sys::ptrace;

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
                let result = Tracer::attach_thread(tid, &call.caller, ptrace::EXECS | children);
                attached.extend(result.is_ok().then_some((call.pid(), tid)));
                result
            }
            Operation::BecomeUnreadable => {
                let result = self.attach_process(&call.caller, &mut attached);
                self.attach_vfork_parent(&call.caller, &mut attached);
                result
            }
            Operation::BecomeReadable if self.traces(tid) => Ok(()),
            Operation::BecomeReadable => Err(Errno::EPERM),
        };
        if let Err(errno) = result {
            tracing::debug!(%tid, %errno, "not traced");
        }
        Attachment::Tried { attached, result, valid: self.is_valid(call.id) }
    }

    fn attach_thread(tid: Tid, caller: &Caller, options: u64) -> Result<(), Errno> {
        let options = options | ptrace::EXIT_KILL | ptrace::CALLS;
        caller.with_real_ids(|| ptrace::attach(tid.as_raw(), options))
    }

    /// Attaches to every thread of a process and to all that they will make: until a pass over
    /// them finds only threads that are traced, or that had ended before it began and are not
    /// reaped. One that ended since may have made another.
    fn attach_process(&self, caller: &Caller, attached: &mut Vec<(Pid, Tid)>) -> Result<(), Errno> {
        const PASSES: u32 = 100;
        let mut ended = BTreeSet::new();
        for _ in 0..PASSES {
            let tids = processes::threads(caller.tgid)?;
            // By /proc: a thread that a traced one has just made is not in the table yet.
            let mut is_last = true;
            for tid in tids.into_iter().filter(|tid| thread_of_ours(*tid).is_none()) {
                match Tracer::attach_thread(tid, caller, ptrace::EXECS | ptrace::CHILDREN) {
                    Ok(()) => {
                        attached.push((caller.tgid, tid));
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

    /// Attaches to the process that waits for this one in vfork(2), and has its memory. Where it cannot be
    /// traced, its later calls that need what cannot be read are refused.
    fn attach_vfork_parent(&self, caller: &Caller, attached: &mut Vec<(Pid, Tid)>) {
        if let Some(parent) = caller.vfork_parent() {
            // Those of its threads that are not traced then are refused, with an event.
            let _ = self.attach_process(&parent, attached);
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
