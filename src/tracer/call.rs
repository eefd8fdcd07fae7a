//! The calls that continue traced, and what the tracer reports of them.

use std::path::PathBuf;
use std::sync::Arc;

use crate::event::{ActionTaken, ViolationObject};
use crate::ids::{Pid, Tid};
use crate::notify::caller::Caller;
use crate::plan::ProgramIndex;
use crate::policy::Denial;
use crate::policy::started::StartedProgram;
use crate::sys::seccomp::NotificationId;

/// A notified call that continues traced.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedCall {
    /// The notification of the call.
    pub id: NotificationId,
    /// The thread that calls, by `/proc/TID/status`.
    pub caller: Caller,
    /// What the call does.
    pub operation: Operation,
}

impl TracedCall {
    /// The thread that calls.
    pub fn tid(&self) -> Tid {
        self.caller.tid
    }

    /// The process of that thread.
    pub fn pid(&self) -> Pid {
        self.caller.tgid
    }

    /// The entry that the caller is.
    pub fn entry(&self) -> Option<ProgramIndex> {
        match self.operation {
            Operation::Exec { entry, .. } => entry,
            Operation::MapCode { entry, .. } => Some(entry),
            Operation::BecomeUnreadable | Operation::BecomeReadable => None,
        }
    }
}

/// What a traced call does.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// execve(2) or execveat(2).
    Exec {
        /// The entry that the caller is.
        entry: Option<ProgramIndex>,
        /// The entry that it would become, by the path and arguments in its memory.
        expected: Option<ProgramIndex>,
        /// The program that the call names, for the event.
        object: ViolationObject,
        /// The caller's program for the event, where its entry does not name one file.
        program: Option<PathBuf>,
    },
    /// mmap(2) or mprotect(2) with PROT_EXEC.
    MapCode {
        /// The entry that the caller is.
        entry: ProgramIndex,
        /// The file that the call maps, for the event.
        object: ViolationObject,
    },
    /// A change of its user or group, or PR_SET_DUMPABLE 0: afterwards the kernel shows the
    /// process to no other one.
    BecomeUnreadable,
    /// PR_SET_DUMPABLE 1: afterwards the kernel shows the process again.
    BecomeReadable,
}

/// What came of traced calls and threads.
#[derive(Debug, PartialEq)]
pub enum Report {
    /// A process runs another program.
    Executed {
        /// The process, with its ids after the exec.
        caller: Caller,
        /// The entry that it is now.
        entry: ProgramIndex,
        /// The program and its arguments, as the kernel started them.
        started: Arc<StartedProgram>,
    },
    /// A traced thread made a process or a thread.
    Forked {
        /// The new process or thread.
        child: Tid,
        /// The thread that made it.
        parent: Tid,
    },
    /// A call was refused, or what it started is to be killed: once
    /// [`reported`](super::Tracer::reported) is called with its notification.
    Denied {
        /// The notification of the call.
        id: NotificationId,
        /// The caller; after an exec with its ids since then.
        caller: Caller,
        /// The program that called.
        program: Option<PathBuf>,
        /// The denial: its errno and the rule that denies.
        refusal: Box<Denial>,
        /// How the call is answered.
        action: ActionTaken,
    },
    /// The app, which is traced, entered a group stop.
    Stopped {
        /// The app's pid.
        pid: Pid,
        /// The signal of the group stop.
        signal: i32,
    },
}

/// A caller after its exec. With no_new_privs an exec gives no ids; saved and file-system ids
/// become the effective one (security/commoncap.c, cap_bprm_creds_from_file).
pub fn caller_after_exec(pid: Pid, caller: &Caller) -> Caller {
    let [real, effective, ..] = caller.uids;
    let [real_group, effective_group, ..] = caller.gids;
    Caller {
        tid: pid.first_thread(),
        tgid: pid,
        uids: [real, effective, effective, effective],
        gids: [real_group, effective_group, effective_group, effective_group],
        ..caller.clone()
    }
}
