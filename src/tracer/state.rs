//! Which threads are traced and which calls continue so, pure: what happened becomes what is to
//! be done.
//!
//! The [`Tracer`](super::Tracer) waits, passes each [`TracerEvent`] to the table, performs the
//! [`TracerAction`]s in their order, and passes on at once what came of each. So every order in which
//! the kernel can report stops and ends is a row of a test.
//!
//! **One call in flight in a process.** To attach takes the process's exec lock
//! (cred_guard_mutex). An exec in flight has it locked while it waits for the other threads to end,
//! and a traced one ends only when its tracer reaps it: a tracer that attaches meanwhile waits
//! for ever. So [`TraceTable::next_call`] alone attaches, where nothing is in flight.

mod calls;
mod stops;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use nix::errno::Errno;

use super::call::{Report, TracedCall};
use crate::event;
use crate::ids::{Pid, Tid};
use crate::notify::caller::Caller;
use crate::plan::ProgramIndex;
use crate::policy::Denial;
use crate::policy::started::{StartedProgram, Verdict};
use crate::profile::OnViolation;
use crate::sys::seccomp::NotificationId;

/// Why threads are traced, and the calls that continue so.
#[derive(Debug)]
pub struct TraceTable {
    config: Config,
    app: Pid,
    tracees: BTreeMap<Tid, Tracee>,
    processes: BTreeMap<Pid, ProcessCalls>,
    /// Calls that are answered once their events are queued.
    denied: Vec<DeniedCall>,
    /// Notified calls are answered.
    listening: bool,
}

/// A traced thread.
#[derive(Clone, Copy, Debug)]
struct Tracee {
    /// Its process.
    pid: Pid,
    state: TraceeState,
}

/// The calls of a process.
#[derive(Debug, Default)]
struct ProcessCalls {
    pending: Option<PendingCall>,
    queue: VecDeque<Arc<TracedCall>>,
}

#[derive(Debug)]
struct DeniedCall {
    call: Arc<TracedCall>,
    errno: Errno,
    action: event::ActionTaken,
}

impl TraceTable {
    /// A table in which nothing is traced.
    pub fn new(config: Config) -> TraceTable {
        TraceTable {
            config,
            app: Pid::default(),
            tracees: BTreeMap::new(),
            processes: BTreeMap::new(),
            denied: Vec::new(),
            listening: true,
        }
    }

    /// The app was launched: its group stops are reported.
    pub fn launched(&mut self, app: Pid) {
        self.app = app;
    }

    /// Whether the table has a thread. Its end may have been reaped by the first thread: after the
    /// final KILL that announces none.
    pub fn has(&self, tid: Tid) -> bool {
        self.tracees.contains_key(&tid)
    }

    /// Every thread of the table.
    pub fn tids(&self) -> Vec<Tid> {
        self.tracees.keys().copied().collect()
    }

    fn state(&self, tid: Tid) -> Option<TraceeState> {
        self.tracees.get(&tid).map(|tracee| tracee.state)
    }

    fn set_state(&mut self, tid: Tid, state: TraceeState) {
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.state = state;
        }
    }

    /// What follows from what happened. The actions are performed in this order, and what comes
    /// of one is passed on before the next is performed.
    pub fn step(&mut self, event: TracerEvent) -> Vec<TracerAction> {
        let mut actions = self.follow(event);
        actions.extend(self.release_orphans());
        actions
    }

    fn follow(&mut self, event: TracerEvent) -> Vec<TracerAction> {
        match event {
            TracerEvent::Called { call, valid: true } => self.called(Arc::new(call)),
            // Its thread was ended by an exec of its process, whose new program may have its
            // tid: the exec is still in flight.
            TracerEvent::Called { valid: false, .. } => Vec::new(),
            TracerEvent::Attached { pid, id, attachment } => self.attached(pid, id, attachment),
            TracerEvent::Stopped { tid, stop } => self.stopped(tid, stop),
            TracerEvent::FirstStop { tid, pid, maker, stop } => self.first_stop(tid, pid, maker, stop),
            TracerEvent::Ended(tid) => self.ended(tid),
            TracerEvent::Probed { pid, readable } => self.probed(pid, readable),
            TracerEvent::Inspected { pid, id, inspection } => self.inspected(pid, id, inspection),
            TracerEvent::Examined { pid, id, verdict } => self.decided(pid, id, verdict),
            TracerEvent::ExaminerFailed { pid, id } => self.kill_pending(pid, id),
            TracerEvent::Reported(id) => self.reported(id),
            TracerEvent::ListenerClosed => self.listener_closed(),
        }
    }

    fn pending(&mut self, pid: Pid, id: NotificationId) -> Option<&mut PendingCall> {
        self.processes.get_mut(&pid)?.pending.as_mut().filter(|pending| pending.call.id == id)
    }
}

/// What the kernel and the profile give.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Only a kill interrupts the wait for an answer (WAIT_KILLABLE_RECV, Linux 5.19), so that a
    /// stop can be requested in advance.
    pub wait_killable: bool,
    /// Every exec is verified before the first instruction of its program.
    pub verifies: bool,
    /// What a violation leads to.
    pub on_violation: OnViolation,
}

/// An input of the table: a notified call, a report of the kernel's, or what came of an action.
#[derive(Debug)]
pub enum TracerEvent {
    /// A notified call is to continue traced.
    Called {
        /// The call.
        call: TracedCall,
        /// Its notification is still valid: the thread waits for the answer.
        valid: bool,
    },
    /// What came of [`TracerAction::Attach`].
    Attached {
        /// The process.
        pid: Pid,
        /// The notification of the call.
        id: NotificationId,
        /// What the kernel answered.
        attachment: Attachment,
    },
    /// A traced thread stopped.
    Stopped {
        /// The thread.
        tid: Tid,
        /// The stop.
        stop: PtraceStop,
    },
    /// A thread that is not in the table stopped by PTRACE_EVENT_STOP, as the kernel stops a new
    /// thread that it has attached.
    FirstStop {
        /// The thread.
        tid: Tid,
        /// Its process.
        pid: Pid,
        /// The process that made it: of a thread its own, of a process its parent, which is an
        /// ancestor where that has ended.
        maker: Pid,
        /// The stop.
        stop: PtraceStop,
    },
    /// A traced thread, or a process of which the first thread reaps the end, has ended.
    Ended(Tid),
    /// What came of [`TracerAction::Probe`].
    Probed {
        /// The process.
        pid: Pid,
        /// The supervisor can read its memory.
        readable: bool,
    },
    /// What came of [`TracerAction::Inspect`].
    Inspected {
        /// The process.
        pid: Pid,
        /// The notification of its exec.
        id: NotificationId,
        /// What was found.
        inspection: Inspection,
    },
    /// The examiner's answer to [`TracerAction::ExamineExec`] or [`TracerAction::ExamineMappings`].
    Examined {
        /// The process.
        pid: Pid,
        /// The notification of the call that is verified.
        id: NotificationId,
        /// What becomes of the process.
        verdict: Verdict,
    },
    /// No thread could be made that examines.
    ExaminerFailed {
        /// The process.
        pid: Pid,
        /// The notification of the call that is verified.
        id: NotificationId,
    },
    /// The event of [`Report::Denied`] is queued.
    Reported(NotificationId),
    /// Notified calls are answered no more: the kernel answers those that wait with ENOSYS.
    ListenerClosed,
}

/// What the kernel answered to an attempt to attach.
#[derive(Debug, PartialEq, Eq)]
pub enum Attachment {
    /// The notification was invalid before; nothing was attempted.
    Stale,
    /// It was attempted.
    Tried {
        /// The threads that are traced from now on and were not before.
        attached: Vec<(Pid, Tid)>,
        /// Whether all are traced that have to be. ESRCH: the caller is gone.
        result: Result<(), Errno>,
        /// The notification was valid afterwards too, so the thread is the caller.
        valid: bool,
    },
}

/// Why a traced thread is stopped (ptrace(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PtraceStop {
    /// PTRACE_EVENT_EXEC: a new program is in place and has not run.
    Exec {
        /// The tid that the thread had when it called execve.
        former: Tid,
    },
    /// PTRACE_EVENT_FORK, VFORK or CLONE.
    Fork {
        /// The new process or thread.
        child: Tid,
        /// Its process, where it is new in the table and the kernel says that the supervisor
        /// traces it. Otherwise it was killed at once, and its id may be another thread's by now.
        pid: Option<Pid>,
    },
    /// PTRACE_EVENT_STOP with SIGTRAP: requested, or the first stop of a new thread.
    Trap,
    /// PTRACE_EVENT_STOP with the signal of a group stop.
    Group(i32),
    /// Signal-delivery-stop, with the signal.
    Signal(i32),
    /// Any other stop, such as a syscall-stop.
    Other,
}

/// What the stopped process of an exec showed.
#[derive(Debug, PartialEq)]
pub enum Inspection {
    /// There is a verdict on what was started; `started` is none where it cannot be read.
    Decided {
        /// The program, its arguments and environment.
        started: Option<Arc<StartedProgram>>,
        /// What becomes of the process.
        verdict: Verdict,
    },
    /// A file has to be read first.
    NotYet {
        /// The program, its arguments and environment.
        started: Arc<StartedProgram>,
        /// Its arguments were cut, and have to be read again.
        cut: bool,
    },
    /// The process was killed meanwhile.
    Gone,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum TracerAction {
    /// Attach to the calling thread or, before its process becomes unreadable, to all of the
    /// process: see [`TracerEvent::Attached`].
    Attach(Arc<TracedCall>),
    /// Request a stop.
    Interrupt(Tid),
    /// Continue a stopped thread and deliver this signal, 0 for none.
    Cont(Tid, i32),
    /// Leave a thread in its group stop.
    Listen(Tid),
    /// End the tracing of a stopped thread, which continues.
    Detach(Tid),
    /// Answer a call: it continues.
    Continue(NotificationId),
    /// Answer a call: it fails.
    Fail(NotificationId, Errno),
    /// Kill the caller of a call that still waits.
    KillCaller(Arc<TracedCall>),
    /// Kill a stopped process, with the rights of this caller where it is known.
    Kill(Pid, Option<Caller>),
    /// Find out whether a process can be read: see [`TracerEvent::Probed`].
    Probe(Pid),
    /// Read and check what an exec has started: see [`TracerEvent::Inspected`].
    Inspect(Pid, Arc<TracedCall>),
    /// Have the examiner check what an exec has started: see [`TracerEvent::Examined`].
    ExamineExec {
        /// The process.
        pid: Pid,
        /// Its exec.
        call: Arc<TracedCall>,
        /// What was read of the new program.
        started: Arc<StartedProgram>,
        /// Its arguments were cut, and have to be read again.
        cut: bool,
    },
    /// Have the examiner check all that the process of this call, which is this program entry,
    /// has mapped as code: see [`TracerEvent::Examined`].
    ExamineMappings(Arc<TracedCall>, ProgramIndex),
    /// Pass on what came of a call.
    Report(Report),
    /// Pass on that a call is refused or its process is to be killed.
    ReportDenied {
        /// The call.
        call: Arc<TracedCall>,
        /// The caller, after an exec with its ids since then.
        caller: Caller,
        /// The denial: its errno and the rule that denies.
        refusal: Box<Denial>,
        /// How the call is answered.
        action: event::ActionTaken,
    },
}

/// Why a thread is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceeState {
    /// For one call: it is detached at the stop that follows.
    AttachedForCall,
    /// Until its next exec that succeeds, as are all threads and processes that it makes.
    UntilExec,
    /// The kernel attached it when it was made. It is in its first stop, until the stop of the
    /// thread that made it reports its parent.
    AwaitingParent {
        /// Its first stop.
        stop: PtraceStop,
        /// The process that made it.
        maker: Pid,
    },
    /// It is stopped, and is killed once its event is queued. It is not continued from any stop.
    AwaitingKill,
}

/// A call that was attached to.
#[derive(Debug)]
struct PendingCall {
    /// The thread; after an exec by a thread that is not the leader it has the leader's tid.
    tid: Tid,
    call: Arc<TracedCall>,
    phase: CallPhase,
}

/// How far a call is.
#[derive(Debug)]
enum CallPhase {
    /// The attempt to attach is under way.
    Attaching,
    /// The call continues. `interrupted`: a stop was requested, and comes where an exec fails
    /// or code is mapped.
    Continued { interrupted: bool },
    /// Its new program is in place, and is verified.
    Executed { started: Option<Arc<StartedProgram>> },
    /// It has mapped code and stopped, and the mappings are checked.
    Mapped { stop: PtraceStop },
}

/// The process whose pid is this tid, which is its leader's.
fn process_of(tid: Tid) -> Pid {
    Pid::from_raw(tid.as_raw())
}
