//! Calls that continue traced, and the tracer's reports of them.

use std::path::PathBuf;

use super::conclusion::Conclusion;
use super::{Enforcer, InitRequest};
use crate::event::ActionTaken;
use crate::ids::Pid;
use crate::notify::caller::Caller;
use crate::policy::Denial;
use crate::processes::proc_fs::{ExecStack, LiveProcFs};
use crate::profile::OnViolation;
use crate::sys::process;
use crate::sys::seccomp::{Answer, NotificationId};
use crate::tracer::{Operation, Report, TracedCall, Tracer};

impl Enforcer {
    /// Lets the call continue traced, and verifies what it starts.
    pub(super) fn watch(&mut self, operation: Operation, caller: &Caller) -> Conclusion {
        let Some(tracer) = &mut self.tracer else { return Conclusion::Answer(Answer::Continue) };
        // One is stored for each thread of the app. The groups, up to 65536 of them, are not used
        // by what follows.
        let caller = Caller { groups: Vec::new(), ..caller.clone() };
        let id = self.memory.waiting;
        tracer.continue_traced(TracedCall { id, caller, operation });
        Conclusion::Unanswered
    }

    /// Takes what the kernel reports of traced threads. `interrupted` by SIGCHLD, which may have
    /// been for the first thread.
    pub(super) fn follow(&mut self, interrupted: bool) {
        let Some(tracer) = &mut self.tracer else { return };
        let reaped = tracer.wait_for_tracees();
        self.apply_reports();
        if reaped || (interrupted && process::has_waitable()) {
            (self.requests)(InitRequest::Children);
        }
    }

    /// Takes the tracer's reports before another call is decided: a process is the entry that
    /// its exec made it.
    pub(super) fn apply_reports(&mut self) {
        self.tracer.iter_mut().for_each(Tracer::handle_messages);
        // One that is handled may let another call continue.
        loop {
            let reports = self.tracer.as_mut().map(Tracer::take_reports).unwrap_or_default();
            if reports.is_empty() {
                return;
            }
            reports.into_iter().for_each(|report| self.apply_report(report));
        }
    }

    fn apply_report(&mut self, report: Report) {
        match report {
            Report::Executed { caller, entry, started } => {
                let shared = !self.rules.image_is_entry(started.id);
                let stack = ExecStack { image: started.id, start: started.stack };
                let shared = shared.then_some(stack);
                self.memory.programs.became(&caller, entry, shared, &LiveProcFs(&self.identity));
                let args = self.writer.wants_all().then(|| started.initial_stack.args.shown());
                self.report_exec(entry, &started.canonical, started.mode, args, &caller);
            }
            Report::Forked { child, parent } => {
                self.memory.programs.forked(
                    Pid::from_raw(child.as_raw()),
                    parent,
                    &LiveProcFs(&self.identity),
                );
            }
            Report::Denied { id, caller, program, refusal, action } => {
                self.refused(id, &refusal, &caller, program, action);
            }
            Report::Stopped { pid, signal } => (self.requests)(InitRequest::Stopped(pid.as_raw(), signal)),
        }
    }

    /// Queues the event, and then the process is killed, or the call fails.
    fn refused(
        &mut self,
        id: NotificationId,
        denial: &Denial,
        caller: &Caller,
        program: Option<PathBuf>,
        action: ActionTaken,
    ) {
        let stop = self.rules.policy().on_violation == OnViolation::Stop;
        self.report_by(denial, caller, program, if stop { ActionTaken::Stopped } else { action });
        if let Some(tracer) = &mut self.tracer {
            tracer.reported(id);
        }
        if stop {
            (self.requests)(InitRequest::Stop);
        }
    }
}
