//! What a thread has mapped as code, looked at before it goes on.
//!
//! Which file a descriptor stands for, another thread can change between a look at it and
//! the call. So the thread stops once the call is over, as it does after an exec that has
//! failed, and `/proc/PID/maps` tells what is there: all of it, since a sibling may have
//! moved what this one has mapped. The look takes the lock of the process's memory, which
//! its threads may hold, and reads files; it is the examiner's.
//!
//! The siblings go on meanwhile. One that knows the address can run what lies there, move
//! it to and fro while the list is read, or fork, and the child has it as well: an attacker
//! whose code runs there already is not held by this.

use super::examine::{Mapped, Work};
use super::{Hold, Outcome, Tracer, What, gone_or};
use crate::event::Action;
use crate::policy::started::Verdict;
use crate::sys::ptrace;

impl Tracer {
    /// Whether it is a mapping that a process is stopped for, and not yet looked at.
    pub(super) fn maps(&self, tgid: i32) -> bool {
        let flight = self.groups.get(&tgid).and_then(|group| group.flight.as_ref());
        flight.is_some_and(|flight| matches!(flight.ask.what, What::Map { .. }) && flight.stopped.is_none())
    }

    /// The call is over, and its thread has not gone on.
    pub(super) fn mapped(&mut self, tgid: i32, signal: i32) {
        let Some(flight) = self.groups.get_mut(&tgid).and_then(|group| group.flight.as_mut()) else { return };
        flight.stopped = Some(signal);
        let What::Map { entry, .. } = flight.ask.what else { return };
        let (tid, id, caller) = (flight.tid, flight.ask.id, flight.ask.caller.clone());
        self.examine(tid, Work::Mapped(Box::new(Mapped { id, caller, entry })));
    }

    /// Its thread goes on as it would have, or all of it is killed once that has been told.
    pub(super) fn conclude_mapped(&mut self, tgid: i32, verdict: Verdict) {
        let Some(flight) = self.groups.get(&tgid).and_then(|group| group.flight.as_ref()) else { return };
        let (tid, stopped, caller) = (flight.tid, flight.stopped, flight.ask.caller.clone());
        let program = self.program(&flight.ask);
        match verdict {
            Verdict::Runs(_) => {
                let done = match self.seized.get(&tid) {
                    Some(Hold::Exec) => {
                        self.seized.remove(&tid);
                        ptrace::detach(tid)
                    }
                    _ if stopped == Some(libc::SIGTRAP) => ptrace::cont(tid, 0),
                    _ => ptrace::listen(tid),
                };
                gone_or(done, "let go on");
                self.over(tgid);
            }
            Verdict::Dies(_) if self.listener.is_none() => self.kill(tid),
            Verdict::Dies(refusal) => {
                self.seized.insert(tid, Hold::Condemned);
                self.outcomes.push(Outcome::Refused { caller, program, refusal, action: Action::Killed });
            }
        }
    }
}
