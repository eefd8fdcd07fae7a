//! What goes on and is looked at, and what came of it.

use std::path::PathBuf;

use super::conclusion::Conclusion;
use super::{Enforcer, Request};
use crate::event::Action;
use crate::notify::caller::Caller;
use crate::notify::listener;
use crate::policy::Denial;
use crate::processes::proc_fs::{ExecStack, LiveProcFs};
use crate::profile::OnViolation;
use crate::sys::process;
use crate::sys::seccomp::Answer;
use crate::tracer::{Ask, Outcome, Tracer, What};

impl Enforcer {
    /// Lets the call go on, and looks at what it starts.
    pub(super) fn watch(&mut self, what: What, caller: &Caller) -> Conclusion {
        let Some(tracer) = &mut self.tracer else { return Conclusion::Answer(Answer::Continue) };
        // One waits for each thread of the app. The groups, up to 65536 of them, decide about
        // nothing that follows.
        let caller = Caller { groups: Vec::new(), ..caller.clone() };
        tracer.ask(Ask { id: self.memory.waiting, caller, what });
        Conclusion::Unanswered
    }

    /// Sees to whoever is seized. `interrupted` by SIGCHLD, which may have been for the first
    /// thread.
    pub(super) fn follow(&mut self, interrupted: bool) {
        let Some(tracer) = &mut self.tracer else { return };
        if let Err(errno) = listener::quiet(tracer.bell()) {
            tracing::error!(%errno, "the bell of the check");
        }
        let buried = tracer.follow();
        self.hear();
        if buried || (interrupted && process::anybody_changed()) {
            (self.requests)(Request::Children);
        }
    }

    /// Hears what came of calls before another one is decided: a process is what it was
    /// let become.
    pub(super) fn hear(&mut self) {
        self.tracer.iter_mut().for_each(Tracer::serve);
        // To tell of one may let another go on.
        loop {
            let outcomes = self.tracer.as_mut().map(Tracer::outcomes).unwrap_or_default();
            if outcomes.is_empty() {
                return;
            }
            outcomes.into_iter().for_each(|outcome| self.hear_of(outcome));
        }
    }

    fn hear_of(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Runs { caller, entry, started } => {
                let shared = !self.rules.image_is_entry(started.id);
                let stack = ExecStack { image: started.id, start: started.stack };
                let shared = shared.then_some(stack);
                self.memory.programs.became(&caller, entry, shared, &LiveProcFs(&self.identity));
                let args = self.scribe.wants_all().then(|| started.fresh.args.shown());
                self.report_exec(entry, &started.canonical, started.mode, args, &caller);
            }
            Outcome::Forked { child, parent } => {
                self.memory.programs.forked(child, parent, &LiveProcFs(&self.identity));
            }
            Outcome::Refused { caller, program, refusal, action } => {
                self.refused(&refusal, &caller, program, action);
            }
            Outcome::Stopped { pid, signal } => (self.requests)(Request::Stopped(pid, signal)),
        }
    }

    /// Tells of it, and then it is killed, or its call fails.
    fn refused(&mut self, refusal: &Denial, caller: &Caller, program: Option<PathBuf>, action: Action) {
        let stop = self.rules.policy().on_violation == OnViolation::Stop;
        self.report_by(refusal, caller, program, if stop { Action::Stopped } else { action });
        if let Some(tracer) = &mut self.tracer {
            tracer.told(caller.tgid);
        }
        if stop {
            (self.requests)(Request::Stop);
        }
    }
}
