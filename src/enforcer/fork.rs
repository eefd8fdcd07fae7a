//! fork, vfork, and clone without CLONE_THREAD: is there room for one more process?

use nix::errno::Errno;

use super::{Decision, Enforcer};
use crate::ids::Pid;
use crate::notify::caller::Caller;
use crate::plan::ProgramIndex;
use crate::policy::Denial;
use crate::policy::call::Call;
use crate::processes::forks::Proc;
use crate::processes::proc_fs::LiveProcFs;
use crate::procfs::processes::{self, ListedProcess};

impl Enforcer {
    pub(super) fn fork(&mut self, call: &Call, caller: &Caller) -> Decision {
        let name = call.name.unwrap_or_default();
        if self.rules.access(name).is_none() {
            return Decision::Deny(self.rules.unlisted(call));
        }
        // Where processes are not counted, only calls that the registers forbid are notified.
        if !self.rules.counts() || self.rules.is_forbidden_clone(call) {
            return Decision::Deny(self.rules.argument(call));
        }
        if self.rules.makes_thread(call) {
            return Decision::Continue;
        }
        // An exact profile may list threads alone.
        if name == "clone" && !self.rules.policy().forks {
            return Decision::Deny(self.rules.unlisted(call));
        }
        self.memory.forks.calls(caller, &Proc);
        let entry = self.program_entry(caller);
        let decision = match self.too_many_by_fork(entry) {
            Ok(None) => Decision::Continue,
            Ok(Some(refusal)) => Decision::Deny(refusal),
            Err(errno) => {
                tracing::error!(%errno, "processes cannot be counted");
                Decision::Fail(Errno::EAGAIN)
            }
        };
        if !self.audit && !matches!(decision, Decision::Continue) {
            return decision;
        }
        let sibling = name == "clone" && call.args[0] & libc::CLONE_PARENT as u64 != 0;
        if let Err(errno) = self.memory.forks.begins(caller, entry, sibling, &Proc) {
            tracing::error!(%errno, "a fork cannot be followed");
            return Decision::Fail(Errno::EAGAIN);
        }
        self.memory.processes = self.memory.processes.saturating_add(1);
        decision
    }

    /// The denial of one more process of this entry, where its limit is reached.
    ///
    /// # Errors
    /// As [`processes::all`].
    fn too_many_by_fork(&mut self, entry: Option<ProgramIndex>) -> Result<Option<Box<Denial>>, Errno> {
        if let Some((entry, most)) = entry.and_then(|entry| Some((entry, self.rules.instances(entry)?))) {
            let now = self.live(entry, None, most)?;
            if let Some(refusal) = self.rules.too_many(entry, now) {
                return Ok(Some(refusal));
            }
        }
        if let Some(most) = self.rules.policy().processes {
            // Counted up at each fork, and counted anew before one is denied: the end of a process
            // is not notified.
            if self.memory.processes >= most {
                let count = |enforcer: &mut Enforcer, all: &[ListedProcess]| {
                    let live = all.iter().filter(|seen| seen.lives()).count() as u32;
                    live + enforcer.memory.forks.pending()
                };
                self.memory.processes = self.count(most, count)?;
            }
            return Ok(self.rules.processes(self.memory.processes));
        }
        if self.memory.forks.is_long() {
            self.count(0, |_, _| 0)?;
        }
        Ok(None)
    }

    /// How many processes of an entry live or are being forked, without the process `but`, where
    /// `most` may.
    ///
    /// # Errors
    /// As [`processes::all`].
    pub(super) fn live(&mut self, entry: ProgramIndex, but: Option<Pid>, most: u32) -> Result<u32, Errno> {
        self.count(most, |enforcer, all| {
            let live: Vec<Pid> = all.iter().filter(|seen| seen.lives()).map(|seen| seen.pid).collect();
            let proc_fs = LiveProcFs(&enforcer.identity);
            let live = enforcer.memory.programs.live(&live, entry, but, &proc_fs, &*enforcer.rules);
            live + enforcer.memory.forks.pending_of(entry)
        })
    }

    /// Counts the descendants by `tally`, which adds the pending forks. A fork that happens
    /// meanwhile counts twice rather than never: before the limit is taken for reached all
    /// is counted once more, for as long as forks turn out to have happened.
    ///
    /// # Errors
    /// As [`processes::all`].
    fn count(
        &mut self,
        most: u32,
        tally: impl Fn(&mut Enforcer, &[ListedProcess]) -> u32,
    ) -> Result<u32, Errno> {
        self.memory.forks.settle(&Proc);
        loop {
            let all = processes::all(Pid::own())?;
            let pids: Vec<Pid> = all.iter().map(|seen| seen.pid).collect();
            self.memory.forks.listed(&pids);
            let now = tally(self, &all);
            if now < most || !self.memory.forks.settle(&Proc) {
                return Ok(now);
            }
        }
    }
}
