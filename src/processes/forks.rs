//! Forks that continued and may not have happened yet. A limit that counted only the processes
//! that exist would allow a hundred threads to fork that call at one moment.
//!
//! A fork counts as pending from the moment that its call continues. It no longer does once
//! its thread
//!
//! * is gone, or makes another notified call;
//! * sleeps where a signal wakes it, or is stopped: copy_process() in the kernel waits for
//!   locks and memory alone, where none does (D);
//! * has had a page fault since: nothing touches the caller's memory before the child is
//!   there, and afterwards the first write does, since a fork shares all pages;
//! * has a child of its own that was not there before (/proc/PID/task/TID/children, with
//!   CONFIG_PROC_CHILDREN): of vfork, whose caller waits for its child and shares no page.
//!
//! A fork stays pending for as long as its thread does not run.
//!
//! A child gets another parent when its own ends. So a child is evidence only while no other
//! fork can have made it: each child is noted when the fork that made it is over, and where
//! a thread ended before that, no child is evidence for the forks that were pending then.
//!
//! There is one fork for each thread. Of threads that are gone by now they are removed by
//! [`Forks::settle`], which is due when [`Forks::is_long`]; processes that are gone by
//! [`Forks::listed`].

use std::collections::HashSet;

use nix::errno::Errno;

use crate::ids::{Pid, StartTime, Tid};
use crate::notify::caller::Caller;
use crate::plan::ProgramIndex;
use crate::procfs::stat::Stat;

/// The pending forks, and the children of those that are over.
#[derive(Debug, Default)]
pub struct Forks {
    pending: Vec<Fork>,
    /// Children of forks that are over, zombies included.
    known: HashSet<Pid>,
    /// There may be a child of a fork that is over, and it is not known which it is.
    ambiguous: bool,
    /// How many of both there may be before those that are gone are removed.
    room: usize,
}

#[derive(Debug)]
struct Fork {
    tid: Tid,
    tgid: Pid,
    started: StartTime,
    faults: u64,
    /// The program entry that its child will be.
    entry: Option<ProgramIndex>,
    /// CLONE_PARENT: the child is its parent's.
    sibling: bool,
    /// A child of this thread may be another fork's.
    ambiguous: bool,
}

/// A thread that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// When it started, in clock ticks since boot.
    pub started: StartTime,
    /// Minor and major page faults.
    pub faults: u64,
    /// It runs, waits for a processor, or waits in the kernel where no signal wakes it.
    pub busy: bool,
}

/// What /proc shows of threads.
pub trait Threads {
    /// A thread of a process; none where it has ended.
    ///
    /// # Errors
    /// Descriptors or memory have run out.
    fn thread(&self, tgid: Pid, tid: Tid) -> Result<Option<Thread>, Errno>;
    /// The children that this thread has made, zombies included; none where they cannot be read
    /// (without CONFIG_PROC_CHILDREN).
    fn children(&self, tgid: Pid, tid: Tid) -> Option<Vec<Pid>>;
}

/// What became of a pending fork.
enum ForkOutcome {
    Pending,
    /// It has happened or failed, and these are the children of its thread.
    Over(Option<Vec<Pid>>),
    Gone,
}

impl Forks {
    /// This thread makes a call: its last fork is over.
    pub fn calls(&mut self, caller: &Caller, threads: &impl Threads) {
        let Some(at) = self.pending.iter().position(|fork| fork.tid == caller.tid) else { return };
        let fork = self.pending.swap_remove(at);
        let own = fork.tgid == caller.tgid && fork.is_there(threads);
        let children = own.then(|| threads.children(fork.tgid, fork.tid)).flatten();
        self.is_over(&fork, children);
    }

    /// A fork by this thread continues; its child will be of this entry.
    ///
    /// # Errors
    /// Descriptors or memory have run out, so that its end would not be known.
    pub fn begins(
        &mut self,
        caller: &Caller,
        entry: Option<ProgramIndex>,
        sibling: bool,
        threads: &impl Threads,
    ) -> Result<(), Errno> {
        let Caller { tid, tgid, .. } = *caller;
        // One that is gone waits for no answer.
        let Some(Thread { started, faults, .. }) = threads.thread(tgid, tid)? else { return Ok(()) };
        if sibling {
            self.mark_ambiguous();
        }
        let ambiguous = self.ambiguous || self.pending.iter().any(|fork| fork.sibling);
        self.pending.push(Fork { tid, tgid, started, faults, entry, sibling, ambiguous });
        Ok(())
    }

    /// Removes what is no longer pending; whether anything was.
    pub fn settle(&mut self, threads: &impl Threads) -> bool {
        let is_there = |fork: &Fork| fork.is_there(threads);
        let fates: Vec<ForkOutcome> = self.pending.iter().map(|fork| fork.fate(threads)).collect();
        let before = self.pending.len();
        let mut rest = Vec::new();
        for (fork, fate) in std::mem::take(&mut self.pending).into_iter().zip(fates) {
            match fate {
                ForkOutcome::Pending => rest.push(fork),
                // One that is there now was there when its children were read.
                ForkOutcome::Over(children) if is_there(&fork) => self.is_over(&fork, children),
                ForkOutcome::Over(_) | ForkOutcome::Gone => self.ambiguous = true,
            }
        }
        // The children of all that are over are known by now.
        let mut made = Vec::new();
        for fork in rest.iter().filter(|fork| !fork.ambiguous && !fork.sibling) {
            let children = threads.children(fork.tgid, fork.tid).unwrap_or_default();
            if children.iter().any(|child| !self.known.contains(child)) {
                made.push((fork.tid, children));
            }
        }
        // One that has ended meanwhile may have left its child to another.
        self.ambiguous |= !rest.iter().all(is_there);
        self.pending = rest;
        if self.ambiguous {
            self.mark_ambiguous();
        } else {
            self.pending.retain(|fork| !made.iter().any(|(tid, _)| *tid == fork.tid));
            self.known.extend(made.into_iter().flat_map(|(_, children)| children));
        }
        self.pending.len() < before
    }

    /// These are all the descendants, zombies included, after [`Forks::settle`].
    pub fn listed(&mut self, all: &[Pid]) {
        if std::mem::take(&mut self.ambiguous) {
            self.known = all.iter().copied().collect();
        } else {
            let all: HashSet<Pid> = all.iter().copied().collect();
            self.known.retain(|pid| all.contains(pid));
        }
        // What is removed next has at least doubled: on average that costs nothing.
        self.room = 2 * (self.known.len() + self.pending.len());
    }

    /// Threads and processes that are gone take room: it is time to settle and to list.
    pub fn is_long(&self) -> bool {
        const FEW: usize = 256;
        self.known.len() + self.pending.len() > self.room.max(FEW)
    }

    /// How many are pending.
    pub fn pending(&self) -> u32 {
        self.pending.len() as u32
    }

    /// How many of this entry are pending.
    pub fn pending_of(&self, entry: ProgramIndex) -> u32 {
        self.pending.iter().filter(|fork| fork.entry == Some(entry)).count() as u32
    }

    /// A fork is over. Its child is among these, or has ended.
    fn is_over(&mut self, fork: &Fork, children: Option<Vec<Pid>>) {
        match children.filter(|_| !fork.sibling) {
            Some(children) => self.known.extend(children),
            None => self.mark_ambiguous(),
        }
    }

    fn mark_ambiguous(&mut self) {
        self.ambiguous = true;
        self.pending.iter_mut().for_each(|fork| fork.ambiguous = true);
    }
}

impl Fork {
    /// Its thread, which is taken for busy where it cannot be read.
    fn thread(&self, threads: &impl Threads) -> Option<Thread> {
        match threads.thread(self.tgid, self.tid) {
            Ok(thread) => thread.filter(|thread| thread.started == self.started),
            Err(_) => Some(Thread { started: self.started, faults: self.faults, busy: true }),
        }
    }

    /// Whether its thread has surely not ended.
    fn is_there(&self, threads: &impl Threads) -> bool {
        let thread = threads.thread(self.tgid, self.tid);
        thread.is_ok_and(|thread| thread.is_some_and(|thread| thread.started == self.started))
    }

    fn fate(&self, threads: &impl Threads) -> ForkOutcome {
        match self.thread(threads) {
            None => ForkOutcome::Gone,
            Some(thread) if !thread.busy || thread.faults > self.faults => {
                ForkOutcome::Over(threads.children(self.tgid, self.tid))
            }
            Some(_) => ForkOutcome::Pending,
        }
    }
}

/// The threads that /proc shows.
#[derive(Debug)]
pub struct Proc;

impl Threads for Proc {
    fn thread(&self, tgid: Pid, tid: Tid) -> Result<Option<Thread>, Errno> {
        match Stat::of_thread(tgid, tid) {
            Ok(stat) => Ok(alive(&stat)),
            Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn children(&self, tgid: Pid, tid: Tid) -> Option<Vec<Pid>> {
        use std::io::Read;
        /// More children than this are not read through: a process may have any number.
        const MOST: u64 = 64 << 10;
        let file = std::fs::File::open(format!("/proc/{tgid}/task/{tid}/children")).ok()?;
        let mut text = String::new();
        let read = file.take(MOST).read_to_string(&mut text).ok()?;
        ((read as u64) < MOST).then(|| text.split_ascii_whitespace().flat_map(str::parse).collect())
    }
}

/// A thread, unless it has ended.
fn alive(stat: &Stat) -> Option<Thread> {
    let thread = Thread {
        started: stat.started,
        faults: stat.minor_faults.saturating_add(stat.major_faults),
        // R and D, and any state that is not known to be over.
        busy: !matches!(stat.state, 'S' | 'T' | 't' | 'I'),
    };
    (!matches!(stat.state, 'Z' | 'X' | 'x')).then_some(thread)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    use super::*;

    const QUIET: Thread = Thread { started: StartTime::from_raw(5), faults: 0, busy: false };
    const BUSY: Thread = Thread { busy: true, ..QUIET };

    /// Threads by number, with their children, all of process 1; and whether none can be
    /// read.
    #[derive(Default)]
    struct Seen(RefCell<BTreeMap<Tid, (Thread, Vec<Pid>)>>, Cell<bool>);

    impl Seen {
        fn set(&self, tid: i32, thread: Thread, children: &[i32]) {
            let children = children.iter().copied().map(Pid::from_raw).collect();
            self.0.borrow_mut().insert(Tid::from_raw(tid), (thread, children));
        }

        fn end(&self, tid: i32) {
            self.0.borrow_mut().remove(&Tid::from_raw(tid));
        }
    }

    impl Threads for Seen {
        fn thread(&self, _: Pid, tid: Tid) -> Result<Option<Thread>, Errno> {
            if self.1.get() {
                Err(Errno::EMFILE)
            } else {
                Ok(self.0.borrow().get(&tid).map(|(thread, _)| *thread))
            }
        }

        fn children(&self, _: Pid, tid: Tid) -> Option<Vec<Pid>> {
            Some(self.0.borrow().get(&tid)?.1.clone())
        }
    }

    fn caller(tid: i32) -> Caller {
        Caller { tid: Tid::from_raw(tid), tgid: Pid::from_raw(1), ..Caller::default() }
    }

    /// Forks by these threads, which run and have no children, continue.
    fn begun(tids: &[i32]) -> (Forks, Seen) {
        let (mut forks, seen) = (Forks::default(), Seen::default());
        for tid in tids {
            seen.set(*tid, BUSY, &[]);
            forks.begins(&caller(*tid), Some(ProgramIndex::new(*tid as usize)), false, &seen).expect("seen");
        }
        (forks, seen)
    }

    #[test]
    fn a_fork_is_pending_for_as_long_as_its_thread_does_not_get_on() {
        let (mut forks, seen) = begun(&[2, 3, 4, 5, 6]);
        assert!(!forks.settle(&seen));
        assert_eq!((forks.pending(), forks.pending_of(ProgramIndex::new(3))), (5, 1));
        seen.set(2, QUIET, &[]);
        seen.set(3, Thread { faults: 1, ..BUSY }, &[]);
        seen.set(4, BUSY, &[20]);
        assert!(forks.settle(&seen));
        assert_eq!(forks.pending(), 2);
        forks.calls(&caller(5), &seen);
        seen.set(6, Thread { started: StartTime::from_raw(6), ..BUSY }, &[]);
        assert!(forks.settle(&seen), "another thread has the number");
        assert_eq!(forks.pending(), 0);
    }

    #[test]
    fn a_thread_that_cannot_be_read_stays_pending_and_begins_no_fork() {
        let (mut forks, seen) = begun(&[2]);
        seen.set(2, QUIET, &[20]);
        seen.1.set(true);
        assert!(!forks.settle(&seen));
        assert_eq!(forks.begins(&caller(3), None, false, &seen), Err(Errno::EMFILE));
        seen.1.set(false);
        assert!(forks.settle(&seen));
    }

    #[test]
    fn a_child_is_evidence_for_one_fork() {
        let (mut forks, seen) = begun(&[2]);
        seen.set(2, BUSY, &[20]);
        forks.settle(&seen);
        forks.begins(&caller(2), None, false, &seen).expect("seen");
        assert!(!forks.settle(&seen), "that child is the last fork's");
        // The same where the last fork was over by the next call.
        seen.set(2, BUSY, &[20, 21]);
        forks.calls(&caller(2), &seen);
        forks.begins(&caller(2), None, false, &seen).expect("seen");
        assert!(!forks.settle(&seen));
        seen.set(2, BUSY, &[20, 21, 22]);
        assert!(forks.settle(&seen));
    }

    #[test]
    fn what_a_thread_leaves_behind_is_evidence_for_no_other() {
        let (mut forks, seen) = begun(&[2, 3]);
        seen.end(3);
        seen.set(2, BUSY, &[30]);
        forks.settle(&seen);
        assert_eq!(forks.pending(), 1, "the child may be 3's");
        forks.listed(&[Pid::from_raw(1), Pid::from_raw(30)]);
        assert!(!forks.settle(&seen));
        // A fork that begins after that ends with its own child again.
        seen.set(4, BUSY, &[]);
        forks.begins(&caller(4), None, false, &seen).expect("seen");
        seen.set(4, BUSY, &[40]);
        assert!(forks.settle(&seen));
        seen.set(2, QUIET, &[30]);
        assert!(forks.settle(&seen));
    }

    #[test]
    fn a_sibling_is_no_ones_child_here() {
        let (mut forks, seen) = begun(&[2]);
        seen.set(3, BUSY, &[]);
        forks.begins(&caller(3), None, true, &seen).expect("seen");
        seen.set(2, BUSY, &[30]);
        assert!(!forks.settle(&seen), "it may be the other's");
        seen.set(3, QUIET, &[]);
        assert!(forks.settle(&seen));
        assert_eq!(forks.pending(), 1);
        forks.listed(&[Pid::from_raw(1), Pid::from_raw(30)]);
        forks.begins(&caller(3), None, false, &seen).expect("seen");
        seen.set(3, BUSY, &[31]);
        assert!(forks.settle(&seen));
    }

    #[test]
    fn what_is_gone_takes_no_room() {
        let mut forks = Forks::default();
        let seen = Seen::default();
        let mut most = 0;
        for round in 0..100_000 {
            seen.set(2, QUIET, &[round]);
            forks.calls(&caller(2), &seen);
            forks.begins(&caller(2), None, false, &seen).expect("seen");
            if forks.is_long() {
                forks.settle(&seen);
                forks.listed(&[Pid::from_raw(1), Pid::from_raw(round)]);
            }
            most = most.max(forks.known.len());
        }
        assert!(most < 1000, "{most}");
    }

    #[test]
    fn a_thread_is_busy_that_no_signal_wakes() {
        let own = Stat::of(Tid::own()).expect("own stat");
        let in_state = |state| alive(&Stat { state, minor_faults: 7, major_faults: 8, ..own.clone() });
        let thread = Thread { started: own.started, faults: 15, busy: true };
        assert_eq!((in_state('R'), in_state('D')), (Some(thread), Some(thread)));
        assert_eq!(in_state('t'), Some(Thread { busy: false, ..thread }));
        assert_eq!((in_state('Z'), in_state('X')), (None, None));
    }

    #[test]
    fn a_real_fork_is_over_once_its_child_is_there() {
        let (tgid, tid) = (Pid::own(), Tid::own());
        let me = Caller { tid, tgid, ..Caller::default() };
        let mut forks = Forks::default();
        forks.begins(&me, None, false, &Proc).expect("seen");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep runs");
        let children = Proc.children(tgid, tid);
        let settled = forks.settle(&Proc);
        child.kill().and_then(|()| child.wait()).expect("it ends");
        assert!(
            children.is_none_or(|children| children.contains(&Pid::from_raw(child.id() as i32)) && settled)
        );
    }
}
