//! Seizing threads: one for one exec, or all of a process that changes its user.

use nix::errno::Errno;

use super::{Hold, Tracer};
use crate::ids::Tid;
use crate::notify::caller::Caller;
use crate::procfs::processes;
use crate::sys::{credentials, ptrace};

impl Tracer {
    /// Seizes one thread for one exec.
    pub(super) fn seize(&mut self, tid: i32, caller: &Caller) -> Result<(), Errno> {
        let (options, hold) = if self.killable {
            (ptrace::EXECS, Hold::Exec)
        } else {
            (ptrace::EXECS | ptrace::CHILDREN, Hold::Kept)
        };
        self.seize_as(tid, caller, options)?;
        self.seized.insert(tid, hold);
        Ok(())
    }

    /// Seizes a thread.
    pub(super) fn seize_as(&self, tid: i32, caller: &Caller, options: u64) -> Result<(), Errno> {
        let options = options | ptrace::DIE_WITH_US | ptrace::CALLS;
        self.as_another(caller, || ptrace::seize(tid, options))
    }

    /// Does what needs the ids of another user with its real ids taken on for the moment.
    /// In that moment this user may signal us: every signal is blocked here, and the
    /// kernel spares an init the two that cannot be.
    pub(super) fn as_another(
        &self,
        caller: &Caller,
        act: impl Fn() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let theirs = (caller.uids[0], caller.gids[0]);
        let own = || (nix::unistd::getuid(), nix::unistd::getgid());
        match act() {
            Err(Errno::EPERM) if theirs != own() => {
                let (uid, gid) = own();
                // A runtime's filter refuses getuid or getgid: what is not known cannot be
                // taken back.
                if uid.as_raw() == u32::MAX || gid.as_raw() == u32::MAX {
                    return Err(Errno::EPERM);
                }
                let answer = credentials::set_real_ids(theirs.0, theirs.1).and_then(|()| act());
                if let Err(errno) = credentials::set_real_ids(uid, gid) {
                    // It would judge, and be judged, as somebody else.
                    tracing::error!(%errno, "the worker could not take its own ids back");
                    std::process::abort();
                }
                answer.map_err(|errno| if errno == Errno::ESRCH { errno } else { Errno::EPERM })
            }
            answer => answer,
        }
    }

    /// Seizes every thread of a process that is about to change its user, with all that
    /// they will fork: until a pass over them finds nobody new.
    pub(super) fn seize_all(&mut self, caller: &Caller) -> Result<(), Errno> {
        const PASSES: u32 = 100;
        for _ in 0..PASSES {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", caller.tgid));
            let tasks = tasks.map_err(|error| crate::sys::errno(&error)).map_err(|errno| match errno {
                Errno::ENOENT => Errno::ESRCH,
                errno => errno,
            })?;
            let numbers = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse::<i32>().ok());
            let new: Vec<i32> = numbers.filter(|tid| !self.is_seized(*tid)).collect();
            if new.is_empty() {
                return Ok(());
            }
            for tid in new {
                match self.seize_as(tid, caller, ptrace::EXECS | ptrace::CHILDREN) {
                    Ok(()) => drop(self.seized.insert(tid, Hold::Kept)),
                    // It ended; the caller's own end is found when it is answered.
                    Err(Errno::ESRCH) => {}
                    // A thread that has ended and is not buried cannot be seized.
                    Err(Errno::EPERM) if processes::is_dead(caller.tgid, Tid::from_raw(tid)) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
        Err(Errno::EAGAIN)
    }
}
