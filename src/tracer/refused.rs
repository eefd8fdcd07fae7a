//! Who is refused or has to die: it is told first, and then done.

use nix::errno::Errno;

use super::{Ask, Hold, Outcome, Tracer, What};
use crate::event::{Action, Kind, Object};
use crate::ids::Pid;
use crate::policy::Denial;
use crate::profile::OnViolation;
use crate::sys::seccomp::Answer;
use crate::sys::{process, signal};

impl Tracer {
    /// Nobody can look at what it would start.
    pub(super) fn refuse(&mut self, ask: &Ask, errno: Errno) {
        tracing::debug!(tid = %ask.caller.tid, %errno, "cannot be seized");
        let on_violation = self.rules.policy().on_violation;
        let (errno, object) = match &ask.what {
            What::Exec { object, .. } | What::Map { object, .. } => (Errno::EACCES, object.clone()),
            What::User | What::Readable => (Errno::EPERM, Object::Name { name: "untraceable".into() }),
        };
        let action = if on_violation == OnViolation::Kill { Action::Killed } else { Action::Denied };
        // Who is to be stopped waits for an answer until then, all others until it has
        // been told: else the container might end before.
        if on_violation != OnViolation::Stop {
            self.refused.push((ask.clone(), errno, action));
        }
        let refusal = Denial { kind: Kind::Program, errno, object, rule: "/programs".into(), want: None };
        let (caller, refusal) = (ask.caller.clone(), Box::new(refusal));
        let program = self.program(ask);
        self.outcomes.push(Outcome::Refused { caller, program, refusal, action });
    }

    /// What was refused or has to die has been told of.
    pub fn told(&mut self, process: Pid) {
        let pid = process.as_raw();
        // Of an exec it is the process, of a mapping the thread that called.
        let flight = self.groups.get(&pid).and_then(|group| group.flight.as_ref());
        let tid = flight.map_or(pid, |flight| flight.tid);
        if self.seized.get(&tid) == Some(&Hold::Condemned) {
            self.kill(tid);
        }
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.refused).into_iter().partition(|(ask, ..)| ask.caller.tgid == process);
        self.refused = later;
        for (ask, errno, action) in now {
            if action == Action::Killed {
                self.kill_caller(&ask);
            }
            self.answer(ask.id, Answer::Fail(errno));
        }
    }

    /// Who still waits after its pidfd was made is whom the pidfd names. Where it cannot
    /// be killed its call fails all the same.
    pub(super) fn kill_caller(&self, ask: &Ask) {
        let killed = process::pidfd(ask.caller.tgid.as_raw()).and_then(|fd| {
            if self.still_waits(ask.id) {
                self.as_another(&ask.caller, || signal::send_pidfd(&fd, libc::SIGKILL))
            } else {
                Ok(())
            }
        });
        if let Err(errno) = killed {
            tracing::error!(pid = %ask.caller.tgid, %errno, "could not be killed");
        }
    }

    /// It has run no instruction since its exec, or since its thread mapped something, and
    /// runs none. PTRACE_KILL is no way: before
    /// Linux 5.18 it let whoever is stopped at an exec go on.
    pub(super) fn kill(&mut self, tid: i32) {
        if !self.seized.contains_key(&tid) {
            return;
        }
        self.seized.insert(tid, Hold::Condemned);
        let mut flights = self.groups.iter().filter_map(|(pid, group)| Some((*pid, group.flight.as_ref()?)));
        let (pid, killed) = match flights.find(|(_, flight)| flight.tid == tid) {
            Some((pid, flight)) => {
                (pid, self.as_another(&flight.ask.caller, || signal::send(pid, libc::SIGKILL)))
            }
            None => (tid, signal::send(tid, libc::SIGKILL)),
        };
        match killed {
            Ok(()) | Err(Errno::ESRCH) => {}
            // It stays stopped until we end, and then dies.
            Err(errno) => tracing::error!(pid, %errno, "could not be killed"),
        }
    }
}
