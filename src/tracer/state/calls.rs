//! The notified calls that continue traced, from the call to the verdict.

use std::sync::Arc;

use nix::errno::Errno;

use super::{
    Attachment, CallPhase, DeniedCall, PendingCall, TraceTable, Tracee, TraceeState, TracerAction, process_of,
};
use crate::event::{self, ViolationKind, ViolationObject};
use crate::ids::{Pid, Tid};
use crate::policy::Denial;
use crate::policy::started::Verdict;
use crate::profile::OnViolation;
use crate::sys::seccomp::NotificationId;
use crate::tracer::call::{Operation, Report, TracedCall, caller_after_exec};

impl TraceTable {
    /// A call is begun at once, or once the one in flight in its process is over.
    pub(super) fn called(&mut self, call: Arc<TracedCall>) -> Vec<TracerAction> {
        let mut actions = Vec::new();
        let (pid, tid) = (call.pid(), call.tid());
        let process = self.processes.entry(pid).or_default();
        match &mut process.pending {
            // It calls again, so its call is over, and no stop came for it.
            Some(pending) if pending.tid == tid => {
                process.pending = None;
                process.queue.push_front(call);
            }
            pending => {
                // Below Linux 5.19 only a stop shows that an exec has failed.
                if let Some(PendingCall { tid, phase: CallPhase::Continued { interrupted }, .. }) = pending
                    && !*interrupted
                {
                    *interrupted = true;
                    actions.push(TracerAction::Interrupt(*tid));
                }
                process.queue.push_back(call);
            }
        }
        actions.extend(self.advance(pid));
        actions
    }

    /// The call in flight in a process is over: the next one.
    pub(super) fn next_call(&mut self, pid: Pid) -> Vec<TracerAction> {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.pending = None;
        }
        self.advance(pid)
    }

    fn advance(&mut self, pid: Pid) -> Vec<TracerAction> {
        let mut actions = Vec::new();
        let Some(process) = self.processes.get_mut(&pid).filter(|process| process.pending.is_none()) else {
            return actions;
        };
        while let Some(call) = process.queue.pop_front() {
            if matches!(call.operation, Operation::MapCode { .. }) && !self.config.wait_killable {
                // No stop can be requested in advance: the file was checked before the call.
                actions.push(TracerAction::Continue(call.id));
                continue;
            }
            let (tid, phase) = (call.tid(), CallPhase::Attaching);
            process.pending = Some(PendingCall { tid, call: Arc::clone(&call), phase });
            actions.push(TracerAction::Attach(call));
            return actions;
        }
        self.processes.remove(&pid);
        actions
    }

    /// The thread is traced: the stop is requested, and only then the call is answered. A stop
    /// requested after the answer could interrupt another call, and show there as EINTR.
    pub(super) fn attached(
        &mut self,
        pid: Pid,
        id: NotificationId,
        attachment: Attachment,
    ) -> Vec<TracerAction> {
        let Some(PendingCall { tid, call, phase: CallPhase::Attaching }) = self.pending(pid, id) else {
            return Vec::new();
        };
        let (tid, call) = (*tid, Arc::clone(call));
        let Attachment::Tried { attached, result, valid } = attachment else {
            return self.next_call(pid);
        };
        let is_for_call = !matches!(call.operation, Operation::BecomeUnreadable) && self.config.wait_killable;
        let state = if is_for_call { TraceeState::AttachedForCall } else { TraceeState::UntilExec };
        self.tracees.extend(attached.into_iter().map(|(pid, tid)| (tid, Tracee { pid, state })));
        let mut actions = Vec::new();
        match (result, &call.operation) {
            // The thread that has the tid now waits for no answer.
            (Err(Errno::ESRCH), _) => return self.next_call(pid),
            (Ok(()), _) | (Err(_), Operation::BecomeReadable) => {}
            // Later calls of it that need what cannot be read are refused.
            (Err(_), Operation::BecomeUnreadable) if !self.config.verifies => {}
            (Err(_), operation) => {
                if !matches!(operation, Operation::BecomeUnreadable) {
                    self.tracees.remove(&tid);
                }
                actions.extend(self.refuse(&call));
                actions.extend(self.next_call(pid));
                return actions;
            }
        }
        // Another thread may have got the tid between the answer of the kernel and the attaching.
        if !valid {
            if self.state(tid) == Some(TraceeState::AttachedForCall) {
                actions.push(TracerAction::Interrupt(tid));
            }
            actions.extend(self.next_call(pid));
            return actions;
        }
        match call.operation {
            Operation::Exec { .. } | Operation::MapCode { .. } => {
                let interrupted = self.config.wait_killable;
                if interrupted {
                    actions.push(TracerAction::Interrupt(tid));
                }
                if let Some(pending) = self.pending(pid, id) {
                    pending.phase = CallPhase::Continued { interrupted };
                }
                actions.push(TracerAction::Continue(id));
            }
            Operation::BecomeReadable | Operation::BecomeUnreadable => {
                if result.is_ok() && self.is_detached_after(&call) {
                    self.set_state(tid, TraceeState::AttachedForCall);
                    actions.push(TracerAction::Interrupt(tid));
                }
                actions.push(TracerAction::Continue(id));
                actions.extend(self.next_call(pid));
            }
        }
        actions
    }

    /// Whether a thread can be detached after this call, which makes its process readable: not
    /// where execs are verified, since its next one finds it traced, and not where its ids still
    /// hide it.
    fn is_detached_after(&self, call: &TracedCall) -> bool {
        let (uids, gids) = (call.caller.uids, call.caller.gids);
        call.operation == Operation::BecomeReadable
            && self.config.wait_killable
            && !self.config.verifies
            && uids.iter().all(|uid| *uid == uids[0])
            && gids.iter().all(|gid| *gid == gids[0])
            && self.state(call.tid()) == Some(TraceeState::UntilExec)
    }

    /// The process continues, or is killed once its event is queued: until then it stays
    /// stopped, and can be read for the event.
    pub(super) fn decided(&mut self, pid: Pid, id: NotificationId, verdict: Verdict) -> Vec<TracerAction> {
        let listening = self.listening;
        let Some(pending) = self.pending(pid, id) else { return Vec::new() };
        let (tid, call) = (pending.tid, Arc::clone(&pending.call));
        let (caller, executed, stop) = match &mut pending.phase {
            CallPhase::Attaching | CallPhase::Continued { .. } => return Vec::new(),
            CallPhase::Executed { started } => {
                let (caller, started) = (caller_after_exec(pid, &call.caller), started.take());
                (caller, started, None)
            }
            CallPhase::Mapped { stop } => (call.caller.clone(), None, Some(*stop)),
        };
        match verdict {
            Verdict::Runs(entry) => {
                let mut actions = Vec::new();
                if let Some(started) = executed {
                    actions.push(TracerAction::Report(Report::Executed { caller, entry, started }));
                }
                actions.push(match stop {
                    Some(stop) => self.release(tid, stop),
                    None => self.detach(tid),
                });
                actions.extend(self.next_call(pid));
                actions
            }
            Verdict::Dies(_) if !listening => self.kill(tid).into_iter().collect(),
            Verdict::Dies(refusal) => {
                self.set_state(tid, TraceeState::AwaitingKill);
                vec![TracerAction::ReportDenied { call, caller, refusal, action: event::ActionTaken::Killed }]
            }
        }
    }

    /// A caller that cannot be traced does not execute.
    fn refuse(&mut self, call: &Arc<TracedCall>) -> Option<TracerAction> {
        let on_violation = self.config.on_violation;
        let (errno, object) = match &call.operation {
            Operation::Exec { object, .. } | Operation::MapCode { object, .. } => {
                (Errno::EACCES, object.clone())
            }
            Operation::BecomeUnreadable | Operation::BecomeReadable => {
                (Errno::EPERM, ViolationObject::Name { name: "untraceable".into() })
            }
        };
        let action = if on_violation == OnViolation::Kill {
            event::ActionTaken::Killed
        } else {
            event::ActionTaken::Denied
        };
        // The call is answered once its event is queued: else the container might end before.
        // Where a violation ends the container, it waits for its answer until then.
        if on_violation != OnViolation::Stop {
            self.denied.push(DeniedCall { call: Arc::clone(call), errno, action });
        }
        let refusal = Box::new(Denial {
            kind: ViolationKind::Program,
            errno,
            object,
            rule: "/programs".into(),
            want: None,
        });
        Some(TracerAction::ReportDenied {
            call: Arc::clone(call),
            caller: call.caller.clone(),
            refusal,
            action,
        })
    }

    /// The event of a denial is queued: the call fails, or the process is killed.
    pub(super) fn reported(&mut self, id: NotificationId) -> Vec<TracerAction> {
        let awaiting_kill = self.processes.values().find_map(|process| {
            let pending = process.pending.as_ref().filter(|pending| pending.call.id == id)?;
            (self.state(pending.tid) == Some(TraceeState::AwaitingKill)).then_some(pending.tid)
        });
        let mut actions: Vec<TracerAction> =
            awaiting_kill.and_then(|tid| self.kill(tid)).into_iter().collect();
        for DeniedCall { call, errno, action } in self.denied.extract_if(.., |denied| denied.call.id == id) {
            if action == event::ActionTaken::Killed {
                actions.push(TracerAction::KillCaller(Arc::clone(&call)));
            }
            actions.push(TracerAction::Fail(call.id, errno));
        }
        actions
    }

    pub(super) fn kill_pending(&mut self, pid: Pid, id: NotificationId) -> Vec<TracerAction> {
        let tid = self.pending(pid, id).map(|pending| pending.tid);
        tid.and_then(|tid| self.kill(tid)).into_iter().collect()
    }

    /// The process of a stopped thread is killed. It has run no instruction since its exec, or
    /// since its thread mapped code, and runs none.
    pub(super) fn kill(&mut self, tid: Tid) -> Option<TracerAction> {
        self.tracees.get_mut(&tid)?.state = TraceeState::AwaitingKill;
        let killed = self.processes.iter().find_map(|(pid, process)| {
            let pending = process.pending.as_ref().filter(|pending| pending.tid == tid)?;
            Some(TracerAction::Kill(*pid, Some(pending.call.caller.clone())))
        });
        Some(killed.unwrap_or(TracerAction::Kill(process_of(tid), None)))
    }

    /// No call is answered any more; what has executed is still verified.
    pub(super) fn listener_closed(&mut self) -> Vec<TracerAction> {
        self.listening = false;
        self.denied.clear();
        self.processes.values_mut().for_each(|process| process.queue.clear());
        Vec::new()
    }
}
