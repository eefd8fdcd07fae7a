//! What goes on under the first thread's eyes, and what came of it.

use std::path::PathBuf;

use super::{Conclusion, Judge, Request};
use crate::event::Action;
use crate::profile::OnViolation;
use crate::supervise::caller::Caller;
use crate::supervise::trace::desk::{Ask, Outcome, What, Word};
use crate::supervise::verdict::Refusal;

impl Judge {
    /// Asks the first thread to let the call go on and to look at what it starts.
    pub(super) fn ask(&self, what: What, caller: &Caller) -> Conclusion {
        let Some(desk) = &self.desk else {
            return Conclusion::Answer(crate::sys::seccomp::Answer::Continue);
        };
        desk.say(Word::Ask(Box::new(Ask { id: self.memory.waiting, caller: caller.clone(), what })));
        Conclusion::Nothing
    }

    /// Hears what came of calls before another one is decided: a process is what it was
    /// let become.
    pub(super) fn hear(&mut self) {
        let Some(desk) = self.desk.clone() else { return };
        for outcome in desk.outcomes() {
            match outcome {
                Outcome::Runs { caller, entry, started } => {
                    let shared = !self.rules.image_is_entry(started.id);
                    let shared = shared.then_some((started.id, started.stack));
                    self.memory.families.became(&caller, entry, shared, &self.identity);
                    let args = started.fresh.args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned());
                    let args = self.scribe.wants_all().then(|| args.collect());
                    self.report_exec(entry, &started.canonical, started.mode, args, &caller);
                }
                Outcome::Forked { child, parent } => self.memory.families.forked(child, parent),
                Outcome::Refused { caller, program, refusal, action } => {
                    self.refused(&refusal, &caller, program, action);
                }
            }
        }
    }

    /// Tells of it, and then it is killed, or its call fails.
    fn refused(&mut self, refusal: &Refusal, caller: &Caller, program: Option<PathBuf>, action: Action) {
        let stop = self.rules.policy().on_violation == OnViolation::Stop;
        self.report_by(refusal, caller, program, if stop { Action::Stopped } else { action });
        if let Some(desk) = &self.desk {
            desk.say(Word::Told(caller.tgid));
        }
        if stop {
            (self.requests)(Request::Stop);
        }
    }
}
