//! The memory of processes that change their user ids, opened before the change: from then to
//! their next exec the kernel shows it only with CAP_SYS_PTRACE, and `gosu`, `su-exec` and
//! `setpriv` name the server that they execute in just that time.
//!
//! An open `/proc/PID/mem` is of one address space. After the next exec it would show the old one,
//! which another process may share. So it is closed when an exec continues, and none is opened
//! while another thread of the process may be in an exec.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::path::Path;

use crate::ids::{Pid, StartTime, Tid};
use crate::notify::caller::{Caller, Identity, Memory};
use crate::procfs::stat::started;

/// The part of RLIMIT_NOFILE that these files may take: one in this many. When it is used up by live
/// processes, the oldest file is closed for a new one.
const PART: u64 = 2;
/// The limit on descriptors that is assumed where getrlimit(2) fails.
const LEAST: u64 = 128;
/// More threads than are ever in an exec at once. Beyond it those that are gone are removed, and
/// again whenever the remaining number has doubled.
const MANY: usize = 4096;

/// Open `/proc/PID/mem` files of processes that cannot be opened any more, and execs in flight.
#[derive(Debug)]
pub struct MemoryCache {
    /// The most files open.
    most: usize,
    /// The process, its start time and its memory; the oldest first.
    memory: VecDeque<(Pid, StartTime, File)>,
    /// The processes and threads whose exec was continued.
    executing: HashSet<(Pid, Tid)>,
    /// The number of entries in `executing` before those that are gone are removed.
    room: usize,
}

impl Default for MemoryCache {
    fn default() -> MemoryCache {
        let limit = crate::sys::process::soft_limit(libc::RLIMIT_NOFILE).ok().flatten().unwrap_or(LEAST);
        let most = usize::try_from(limit / PART).unwrap_or(usize::MAX);
        MemoryCache { most, memory: VecDeque::new(), executing: HashSet::new(), room: 0 }
    }
}

impl MemoryCache {
    /// Opens the memory of a caller that is about to change its ids and still waits, if it can be
    /// opened and is not open yet.
    pub fn open(&mut self, caller: &Caller, identity: &Identity, waits: impl Fn() -> bool) {
        let Some(now) = started(caller.tgid) else { return };
        let known = self.memory.iter().any(|(pid, then, _)| (*pid, *then) == (caller.tgid, now));
        if known || self.is_executing(caller) {
            return;
        }
        if let Ok(file) = Memory::of(identity, caller).open()
            && waits()
        {
            // The entry of an earlier process with this id.
            self.forget(caller.tgid);
            if self.memory.len() >= self.most {
                self.memory.retain(|(pid, then, _)| started(*pid) == Some(*then));
            }
            if self.memory.len() >= self.most {
                self.memory.pop_front();
            }
            self.memory.push_back((caller.tgid, now, file));
        }
    }

    /// Whether another thread of the caller's process may be in an exec. The caller itself is not,
    /// since it makes a call; a thread that is gone is not either.
    pub fn is_executing(&mut self, caller: &Caller) -> bool {
        self.executing.remove(&(caller.tgid, caller.tid));
        self.executing.iter().any(|(pid, tid)| *pid == caller.tgid && is_there(*pid, *tid))
    }

    /// A caller's memory, if it is open.
    pub fn get(&self, caller: &Caller) -> Option<File> {
        let (_, then, file) = self.memory.iter().find(|(pid, ..)| *pid == caller.tgid)?;
        (started(caller.tgid) == Some(*then)).then(|| file.try_clone().ok()).flatten()
    }

    fn forget(&mut self, process: Pid) {
        self.memory.retain(|(pid, ..)| *pid != process);
    }

    /// Records that an exec of this caller continues.
    pub fn exec_continues(&mut self, caller: &Caller) {
        self.forget(caller.tgid);
        if self.executing.len() >= self.room.max(MANY) {
            self.executing.retain(|(pid, tid)| is_there(*pid, *tid));
            self.room = 2 * self.executing.len();
        }
        self.executing.insert((caller.tgid, caller.tid));
    }
}

fn is_there(pid: Pid, tid: Tid) -> bool {
    Path::new(&format!("/proc/{pid}/task/{tid}")).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> (Identity, Caller) {
        let me = Caller::of(Pid::own().first_thread()).expect("own status");
        (Identity::own().expect("own ids"), me)
    }

    #[test]
    fn it_stays_open_for_the_process_until_its_exec() {
        let (identity, me) = me();
        let mut cache = MemoryCache::default();
        cache.open(&me, &identity, || false);
        assert!(cache.get(&me).is_none(), "who no longer waits may be another by now");
        cache.open(&me, &identity, || true);
        let text = b"/usr/bin/server\0rest";
        let memory = Memory::opened(&identity, &me, cache.get(&me).expect("it was kept"));
        assert_eq!(memory.path(text.as_ptr() as u64), Ok(b"/usr/bin/server".to_vec()));
        assert!(cache.get(&Caller { tgid: Pid::from_raw(1), ..me.clone() }).is_none());
        cache.exec_continues(&me);
        assert!(cache.get(&me).is_none());
    }

    #[test]
    fn it_is_not_opened_while_another_thread_may_be_in_an_exec() {
        let (identity, me) = me();
        let mut cache = MemoryCache::default();
        let sibling = Caller { tid: Tid::own(), ..me.clone() };
        assert_ne!(sibling.tid, me.tid, "a test runs in a thread of its own");
        cache.exec_continues(&sibling);
        cache.open(&me, &identity, || true);
        assert!(cache.get(&me).is_none());
        // The thread makes a call, so its exec has returned.
        cache.open(&sibling, &identity, || true);
        assert!(cache.get(&me).is_some());
    }

    #[test]
    fn execs_of_threads_that_are_gone_are_forgotten() {
        let mut cache = MemoryCache::default();
        let caller = |tid| Caller { tid, tgid: Pid::from_raw(i32::MAX), ..Caller::default() };
        (0..3 * MANY as i32)
            .for_each(|number| cache.exec_continues(&caller(Tid::from_raw(i32::MAX - number))));
        assert!(cache.executing.len() <= MANY);
    }

    /// A child that is killed and reaped when the test ends.
    struct Worker(std::process::Child);

    impl Drop for Worker {
        fn drop(&mut self) {
            self.0.kill().and_then(|()| self.0.wait()).expect("a child of ours");
        }
    }

    #[test]
    fn the_dead_leave_room_first_and_the_oldest_then() {
        const MOST: usize = 8;
        let (identity, me) = me();
        let start = || std::process::Command::new("sleep").arg("1000").spawn().expect("sleep runs");
        let mut workers: Vec<_> = (0..MOST).map(|_| Worker(start())).collect();
        let mut cache = MemoryCache { most: MOST, ..MemoryCache::default() };
        let callers: Vec<Caller> = workers
            .iter()
            .map(|worker| Caller::of(Tid::from_raw(worker.0.id() as i32)).expect("its status"))
            .collect();
        callers.iter().for_each(|caller| cache.open(caller, &identity, || true));
        drop(workers.remove(3));
        cache.open(&me, &identity, || true);
        let open: Vec<bool> = callers.iter().map(|caller| cache.get(caller).is_some()).collect();
        assert_eq!(open.iter().position(|open| !*open), Some(3), "only the dead one is forgotten");
        let another = Worker(start());
        let another = (Caller::of(Tid::from_raw(another.0.id() as i32)).expect("its status"), another);
        cache.open(&another.0, &identity, || true);
        assert!(cache.get(&me).is_some() && cache.get(&another.0).is_some());
        assert!(cache.get(&callers[0]).is_none(), "the oldest is forgotten");
        assert_eq!(cache.memory.len(), MOST);
    }
}
