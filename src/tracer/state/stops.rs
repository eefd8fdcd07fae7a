//! The stops and ends of traced threads.

use std::sync::Arc;

use super::{
    CallPhase, Inspection, PendingCall, ProcessCalls, PtraceStop, TraceTable, Tracee, TraceeState,
    TracerAction, process_of,
};
use crate::ids::{Pid, Tid};
use crate::sys::seccomp::NotificationId;
use crate::tracer::call::{Operation, Report};

impl TraceTable {
    pub(super) fn stopped(&mut self, tid: Tid, stop: PtraceStop) -> Vec<TracerAction> {
        // First, since the thread may have another tid than the one that was attached to.
        if let PtraceStop::Exec { former } = stop {
            return self.executed(process_of(tid), former);
        }
        self.renumber(tid);
        // Under the leader's tid an exec may fail that was not verified: it is traced as before.
        let as_before = Tracee { pid: process_of(tid), state: TraceeState::UntilExec };
        let state = self.tracees.entry(tid).or_insert(as_before).state;
        let mut actions = Vec::new();
        if let (TraceeState::UntilExec, PtraceStop::Group(signal)) = (state, stop)
            && process_of(tid) == self.app
        {
            actions.push(TracerAction::Report(Report::Stopped { pid: self.app, signal }));
        }
        match (state, stop) {
            (TraceeState::AwaitingParent { .. } | TraceeState::AwaitingKill, _) => {}
            (_, PtraceStop::Fork { child, pid }) => {
                actions.push(TracerAction::Report(Report::Forked { child, parent: tid }));
                actions.extend(self.announced(child, pid));
                actions.push(TracerAction::Cont(tid, 0));
            }
            (_, PtraceStop::Trap | PtraceStop::Group(_)) => {
                actions.extend(self.stopped_as_requested(tid, stop))
            }
            (_, PtraceStop::Signal(signal)) => actions.push(TracerAction::Cont(tid, signal)),
            (_, PtraceStop::Exec { .. } | PtraceStop::Other) => actions.push(TracerAction::Cont(tid, 0)),
        }
        actions
    }

    /// The thread that made a child has stopped for that. Its stop and the child's first one
    /// come in either order.
    fn announced(&mut self, child: Tid, pid: Option<Pid>) -> Option<TracerAction> {
        match (self.state(child), pid) {
            (Some(TraceeState::AwaitingParent { stop, .. }), _) => {
                self.set_state(child, TraceeState::UntilExec);
                Some(resume(child, stop))
            }
            (None, Some(pid)) => {
                self.tracees.insert(child, Tracee { pid, state: TraceeState::UntilExec });
                None
            }
            (Some(_), _) | (None, None) => None,
        }
    }

    /// A new thread stopped before the one that made it, or an exec stopped under the leader's
    /// tid.
    pub(super) fn first_stop(
        &mut self,
        tid: Tid,
        pid: Pid,
        maker: Pid,
        stop: PtraceStop,
    ) -> Vec<TracerAction> {
        self.renumber(tid);
        if self.has(tid) {
            return self.stopped(tid, stop);
        }
        self.tracees.insert(tid, Tracee { pid, state: TraceeState::AwaitingParent { stop, maker } });
        Vec::new()
    }

    /// A new thread waits only while the one that made it may still stop for that. One that was
    /// killed before its stop announces no child, nor does a thread of a process that has
    /// executed. The child continues; where its entry is unknown, it may not exec.
    pub(super) fn release_orphans(&mut self) -> Vec<TracerAction> {
        self.release_new(|table, maker| {
            let mut tracees = table.tracees.values();
            !tracees.any(|tracee| tracee.pid == maker && tracee.state == TraceeState::UntilExec)
        })
    }

    fn release_new(&mut self, is_over: impl Fn(&TraceTable, Pid) -> bool) -> Vec<TracerAction> {
        let waiting = self.tracees.iter().filter_map(|(tid, tracee)| match tracee.state {
            TraceeState::AwaitingParent { stop, maker } if is_over(self, maker) => Some((*tid, stop)),
            _ => None,
        });
        let released: Vec<(Tid, PtraceStop)> = waiting.collect();
        released.iter().for_each(|(tid, _)| self.set_state(*tid, TraceeState::UntilExec));
        released.into_iter().map(|(tid, stop)| resume(tid, stop)).collect()
    }

    /// A stop that was requested, or a group stop: the call in flight of this thread is over. It
    /// has mapped code, or its exec has failed.
    fn stopped_as_requested(&mut self, tid: Tid, stop: PtraceStop) -> Vec<TracerAction> {
        let is_over = |pending: &PendingCall| {
            pending.tid == tid && matches!(pending.phase, CallPhase::Continued { interrupted: true })
        };
        let over = self.processes.iter_mut().find_map(|(pid, process)| {
            Some((*pid, process.pending.as_mut().filter(|pending| is_over(pending))?))
        });
        let Some((pid, pending)) = over else {
            return vec![self.release(tid, stop)];
        };
        if let Operation::MapCode { entry, .. } = pending.call.operation {
            pending.phase = CallPhase::Mapped { stop };
            return vec![TracerAction::ExamineMappings(Arc::clone(&pending.call), entry)];
        }
        let mut actions = vec![self.release(tid, stop)];
        actions.extend(self.next_call(pid));
        actions
    }

    /// A thread continues after a stop as it would untraced. One that was attached for its call
    /// is detached.
    pub(super) fn release(&mut self, tid: Tid, stop: PtraceStop) -> TracerAction {
        if self.state(tid) == Some(TraceeState::AttachedForCall) {
            return self.detach(tid);
        }
        resume(tid, stop)
    }

    pub(super) fn detach(&mut self, tid: Tid) -> TracerAction {
        self.tracees.remove(&tid);
        TracerAction::Detach(tid)
    }

    /// A thread that is not the leader takes the leader's tid in an exec, and may stop with it
    /// before its program is in place: for a signal that ends the exec.
    fn renumber(&mut self, tid: Tid) {
        if self.tracees.contains_key(&tid) {
            return;
        }
        let pending = self.processes.get_mut(&process_of(tid)).and_then(|process| process.pending.as_mut());
        let Some(pending) = pending.filter(|pending| is_exec(pending)) else { return };
        if let Some(tracee) = self.tracees.remove(&pending.tid) {
            pending.tid = tid;
            self.tracees.insert(tid, tracee);
        }
    }

    /// A new program is in place and has not run. Every other thread of the process has ended.
    fn executed(&mut self, pid: Pid, former: Tid) -> Vec<TracerAction> {
        let tid = pid.first_thread();
        self.tracees.remove(&former);
        self.tracees.insert(tid, Tracee { pid, state: TraceeState::UntilExec });
        let mut actions = self.release_new(|_, maker| maker == pid);
        if !self.config.verifies {
            actions.push(TracerAction::Probe(pid));
            return actions;
        }
        let pending = self.processes.get_mut(&pid).and_then(|process| process.pending.as_mut());
        let Some(pending) = pending.filter(|pending| is_exec(pending)) else {
            // No exec continues without a notification.
            tracing::error!(%pid, "an exec that was not notified");
            actions.extend(self.kill(tid));
            return actions;
        };
        pending.tid = tid;
        pending.phase = CallPhase::Executed { started: None };
        actions.push(TracerAction::Inspect(pid, Arc::clone(&pending.call)));
        actions
    }

    /// Where execs are not verified: the process is detached if its memory can be read.
    pub(super) fn probed(&mut self, pid: Pid, readable: bool) -> Vec<TracerAction> {
        let tid = pid.first_thread();
        if !readable {
            return vec![TracerAction::Cont(tid, 0)];
        }
        vec![self.detach(tid)]
    }

    pub(super) fn inspected(
        &mut self,
        pid: Pid,
        id: NotificationId,
        inspection: Inspection,
    ) -> Vec<TracerAction> {
        let Some(PendingCall { call, phase: CallPhase::Executed { started: known }, .. }) =
            self.pending(pid, id)
        else {
            return Vec::new();
        };
        match inspection {
            Inspection::Decided { started, verdict } => {
                *known = started;
                self.decided(pid, id, verdict)
            }
            Inspection::NotYet { started, cut } => {
                *known = Some(Arc::clone(&started));
                vec![TracerAction::ExamineExec { pid, call: Arc::clone(call), started, cut }]
            }
            // Its end is reported.
            Inspection::Gone => Vec::new(),
        }
    }

    pub(super) fn ended(&mut self, tid: Tid) -> Vec<TracerAction> {
        let pid = process_of(tid);
        let mut actions = Vec::new();
        if let Some(tracee) = self.tracees.remove(&tid) {
            actions.extend(self.release_new(|_, maker| maker == tracee.pid));
        }
        // A thread that is not the leader has the leader's tid once its exec is past the point
        // of no return: this end is its own.
        let pending = self.processes.get(&pid).and_then(|process| process.pending.as_ref());
        if let Some(tid) = pending.map(|pending| pending.tid) {
            self.tracees.remove(&tid);
        }
        self.processes.remove(&pid);
        let is_its =
            |process: &ProcessCalls| process.pending.as_ref().is_some_and(|pending| pending.tid == tid);
        let over = self.processes.iter().find(|(_, process)| is_its(process)).map(|(pid, _)| *pid);
        actions.extend(over.map(|pid| self.next_call(pid)).unwrap_or_default());
        actions
    }
}

fn is_exec(pending: &PendingCall) -> bool {
    matches!(pending.call.operation, Operation::Exec { .. })
}

/// A group stop lasts until SIGCONT ends it; every other stop is over.
fn resume(tid: Tid, stop: PtraceStop) -> TracerAction {
    match stop {
        PtraceStop::Group(_) => TracerAction::Listen(tid),
        _ => TracerAction::Cont(tid, 0),
    }
}
