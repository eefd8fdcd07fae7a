//! Maps each process to its `programs` entry: from its executable where that is unambiguous,
//! otherwise from its last exec that was allowed, inherited across fork.
//!
//! Where the post-exec verification is armed, every exec is known for what it was, and a fork
//! is identified by the [stack](ExecStack) of the exec that it descends from. COMMAND's exec is
//! not verified, since it is the supervisor's own; its stack is read once it can be.

use std::collections::{HashMap, HashSet};

use super::proc_fs::{ExecStack, Image, ProcFs, ProcessStart};
use super::table::{PendingExec, ProcessEntry, ProcessTable};
use crate::ids::{Pid, StartTime, Tid};
use crate::image::FileId;
use crate::notify::caller::Caller;
use crate::plan::ProgramIndex;
use crate::policy::PolicyEngine;

/// The first process of a pid namespace.
const INIT: Pid = Pid::from_raw(1);

/// The policy's rules about programs and their files.
pub trait ProgramRules {
    /// Whether the post-exec verification is armed, so that every exec is known.
    fn verifies_execs(&self) -> bool;

    /// Whether a file can identify an entry at all.
    fn images_identify(&self) -> bool;

    /// The entry that a file alone identifies, whatever executed it.
    fn entry_of_image(&self, image: FileId) -> Option<ProgramIndex>;

    /// Whether a process of this entry may run this file.
    fn runs_as(&self, entry: ProgramIndex, image: &Image) -> bool;

    /// The entries whose process may run this file.
    fn entries_running(&self, image: &Image) -> Vec<ProgramIndex>;

    /// Whether two entries make no difference to any later decision.
    fn are_alike(&self, one: ProgramIndex, other: ProgramIndex) -> bool;

    /// The supervisor, which is the parent of the launched process.
    fn supervisor(&self) -> Pid;
}

impl ProgramRules for PolicyEngine {
    fn verifies_execs(&self) -> bool {
        self.checks()
    }

    fn images_identify(&self) -> bool {
        self.image_determines_entry()
    }

    fn entry_of_image(&self, image: FileId) -> Option<ProgramIndex> {
        PolicyEngine::entry_of_image(self, image)
    }

    fn runs_as(&self, entry: ProgramIndex, image: &Image) -> bool {
        PolicyEngine::runs_as(self, entry, image.id, &image.path)
    }

    fn entries_running(&self, image: &Image) -> Vec<ProgramIndex> {
        self.running(image.id, &image.path)
    }

    fn are_alike(&self, one: ProgramIndex, other: ProgramIndex) -> bool {
        self.alike(one, other)
    }

    fn supervisor(&self) -> Pid {
        Pid::from_raw(self.policy().supervisor as i32)
    }
}

/// The entry of each process.
#[derive(Debug, Default)]
pub struct ProgramTable {
    table: ProcessTable<ProgramIndex>,
    command: Option<CommandExec>,
    /// What a process may become by an exec of one of its threads that is in flight.
    expected: HashMap<(Pid, Tid), ProgramIndex>,
}

/// COMMAND, whose exec is the supervisor's own.
#[derive(Clone, Copy, Debug)]
struct CommandExec {
    pid: Pid,
    started: Option<StartTime>,
    entry: ProgramIndex,
    stack: Option<ExecStack>,
    /// It has called an exec since, so that its stack now may be another's.
    has_called_exec: bool,
}

impl CommandExec {
    /// Reads the address of its stack, while that is still the launch's.
    fn locate(&mut self, proc_fs: &impl ProcFs) {
        let can_be_known = self.stack.is_none() && !self.has_called_exec;
        if can_be_known && proc_fs.started(self.pid) == self.started {
            let thread = proc_fs.living_thread(self.pid);
            self.stack = thread.and_then(|thread| Some(proc_fs.exec_stack(&thread, None)?.1));
        }
    }
}

/// How a lookup has identified a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identification {
    /// It is in the table.
    Table,
    /// By its pending exec, which has succeeded or failed.
    Exec,
    /// By the stack of the exec that it descends from.
    Stack,
    /// By its parent, or by its executable where no parent is known.
    Fork,
}

/// A process that a lookup has identified, for the table.
type Identified = (Pid, StartTime, ProgramIndex);

impl ProgramTable {
    /// The launch: this process is about to execute COMMAND, which is this entry.
    pub fn launches(&mut self, pid: Pid, entry: ProgramIndex, proc_fs: &impl ProcFs) {
        let started = proc_fs.started(pid);
        self.command = Some(CommandExec { pid, started, entry, stack: None, has_called_exec: false });
        self.exec_continues(pid, entry, entry, proc_fs);
    }

    /// A process calls an exec: where it is COMMAND, this is the last moment to read where
    /// its stack began.
    pub fn calls_exec(&mut self, caller: &Caller, proc_fs: &impl ProcFs) {
        // Its own last exec has failed. One of a thread that is gone has failed as well, or
        // this is what came of it: no other thread calls while one is past the point of no
        // return.
        let is_over =
            |pid: Pid, tid: Tid| pid == caller.tgid && (tid == caller.tid || proc_fs.is_dead(pid, tid));
        self.expected.retain(|(pid, tid), _| !is_over(*pid, *tid));
        if let Some(command) = self.command.as_mut().filter(|command| command.pid == caller.tgid) {
            command.locate(proc_fs);
            command.has_called_exec = true;
        }
    }

    /// An exec by this process, which is `entry` until it succeeds, continues unverified.
    pub fn exec_continues(
        &mut self,
        pid: Pid,
        entry: ProgramIndex,
        next: ProgramIndex,
        proc_fs: &impl ProcFs,
    ) {
        let Some(started) = proc_fs.started(pid) else { return };
        let pending = PendingExec { program: next, image: None };
        self.table.exec_continues(pid, started, entry, pending, proc_fs);
    }

    /// An exec continues that may lead to this entry. There is one for each thread, and
    /// what has ended is removed whenever processes are counted, which comes before.
    pub fn expects(&mut self, caller: &Caller, entry: ProgramIndex) {
        self.expected.insert((caller.tgid, caller.tid), entry);
    }

    /// A verified exec has made the caller's process this entry. `shared` is the stack of that
    /// exec where its image does not identify the entry.
    pub fn became(
        &mut self,
        caller: &Caller,
        entry: ProgramIndex,
        shared: Option<ExecStack>,
        proc_fs: &impl ProcFs,
    ) {
        self.expected.retain(|(pid, _), _| *pid != caller.tgid);
        // The process may have ended, and what it forked lives on.
        if let Some(stack) = shared {
            self.table.add_stack(stack, entry, proc_fs);
        }
        self.set(caller.tgid, entry, proc_fs);
    }

    /// A process is this entry, which cannot be read of it later.
    pub fn set(&mut self, pid: Pid, entry: ProgramIndex, proc_fs: &impl ProcFs) {
        if let Some(started) = proc_fs.started(pid) {
            self.table.set(pid, started, entry, proc_fs);
        }
    }

    /// A thread of another process has forked this one, which cannot be read.
    pub fn forked(&mut self, child: Pid, parent: Tid, proc_fs: &impl ProcFs) {
        let parent = proc_fs.thread(parent).map_or(Pid::from_raw(parent.as_raw()), |parent| parent.tgid);
        if let Some(entry) = self.table.last_with(parent).copied() {
            self.set(child, entry, proc_fs);
        }
    }

    /// The entry that a process is; `None` where it cannot be identified.
    pub fn entry(
        &mut self,
        caller: &Caller,
        proc_fs: &impl ProcFs,
        rules: &impl ProgramRules,
    ) -> Option<ProgramIndex> {
        if let Some(command) = self.command.as_mut().filter(|_| rules.verifies_execs()) {
            command.locate(proc_fs);
        }
        let mut identified = Vec::new();
        let lookup = Lookup { table: self, proc_fs, rules };
        let entry = lookup.find(caller.tgid, Some(caller), 0, &mut identified);
        for (pid, started, entry) in identified {
            self.table.set(pid, started, entry, proc_fs);
        }
        entry
    }

    /// How many of these processes are, or may be about to become, `entry`, without one.
    pub fn live(
        &mut self,
        processes: &[Pid],
        entry: ProgramIndex,
        but: Option<Pid>,
        proc_fs: &impl ProcFs,
        rules: &impl ProgramRules,
    ) -> u32 {
        self.expected.retain(|(pid, _), _| processes.contains(pid));
        let expected: HashSet<Pid> =
            self.expected.iter().filter(|(_, next)| **next == entry).map(|((pid, _), _)| *pid).collect();
        let others = processes.iter().filter(|pid| Some(**pid) != but);
        let is_one = |pid: &&Pid| {
            expected.contains(*pid)
                || proc_fs
                    .living_thread(**pid)
                    .is_some_and(|thread| self.entry(&thread, proc_fs, rules) == Some(entry))
        };
        others.filter(is_one).count() as u32
    }

    /// The ancestors of a process below the supervisor, nearest first, each with its entry.
    pub fn ancestors(
        &mut self,
        caller: &Caller,
        proc_fs: &impl ProcFs,
        rules: &impl ProgramRules,
    ) -> Vec<(Caller, Option<ProgramIndex>)> {
        const FURTHEST: usize = 16;
        let mut ancestors = Vec::new();
        let mut pid = caller.ppid;
        while pid > INIT && pid != rules.supervisor() && ancestors.len() < FURTHEST {
            let Some(parent) = proc_fs.thread(pid.first_thread()) else { break };
            let entry = self.entry(&parent, proc_fs, rules);
            pid = parent.ppid;
            ancestors.push((parent, entry));
        }
        ancestors
    }
}

/// A lookup in a table, which it does not change.
struct Lookup<'a, P, R> {
    table: &'a ProgramTable,
    proc_fs: &'a P,
    rules: &'a R,
}

impl<P: ProcFs, R: ProgramRules> Lookup<'_, P, R> {
    /// Looks a process up, and those of its ancestors that it is identified by. What the table
    /// does not have yet is `identified`.
    fn find(
        &self,
        pid: Pid,
        known: Option<&Caller>,
        depth: u32,
        identified: &mut Vec<Identified>,
    ) -> Option<ProgramIndex> {
        let Lookup { table, proc_fs, rules } = self;
        let caller = || known.cloned().or_else(|| proc_fs.thread(pid.first_thread()));
        if rules.images_identify()
            && let Some(entry) = proc_fs.image_id(&caller()?).and_then(|image| rules.entry_of_image(image))
        {
            return Some(entry);
        }
        let reader = known.filter(|caller| caller.tid == pid.first_thread() && rules.verifies_execs());
        let ProcessStart { time: started, stack } = proc_fs.start(pid, reader)?;
        let (entry, provenance) = match table.table.get(pid, started) {
            Some(ProcessEntry { program, pending: None, .. }) => (*program, Identification::Table),
            Some(ProcessEntry { program, pending: Some(pending), .. }) => {
                // One that cannot be read has become what it was allowed to become.
                let image = proc_fs.image(&caller()?);
                let succeeded = image.is_none_or(|image| rules.runs_as(pending.program, &image));
                (if succeeded { pending.program } else { *program }, Identification::Exec)
            }
            None if rules.verifies_execs() => {
                (self.by_stack(&caller()?, reader.and(stack))?, Identification::Stack)
            }
            None => (self.by_fork(&caller()?, depth, identified)?, Identification::Fork),
        };
        if provenance != Identification::Table {
            identified.push((pid, started, entry));
        }
        Some(entry)
    }

    /// The entry of the exec that a process descends from: one alone, or some that make
    /// no difference. Every exec that a living process descends from is known, where the
    /// image does not identify the entry, but that of COMMAND.
    fn by_stack(&self, caller: &Caller, start: Option<u64>) -> Option<ProgramIndex> {
        let ProgramTable { table, command, .. } = self.table;
        let (image, stack) = self.proc_fs.exec_stack(caller, start)?;
        let executed = table.with_stack(&stack);
        let is_command = |command: &CommandExec| match command.stack {
            Some(own) => own == stack,
            // No other process can be one whose exec is not known.
            None => !table.has_dropped_stacks() && executed.is_empty(),
        };
        let command = command.filter(|command| self.rules.runs_as(command.entry, &image));
        let command = command.filter(is_command).map(|command| command.entry);
        let mut entries = executed.iter().copied().chain(command);
        let first = entries.next()?;
        entries.all(|other| self.rules.are_alike(first, other)).then_some(first)
    }

    /// The entry of the parent, where the process runs what that may run; else the one that its
    /// executable leaves.
    fn by_fork(&self, caller: &Caller, depth: u32, identified: &mut Vec<Identified>) -> Option<ProgramIndex> {
        const DEEPEST: u32 = 64;
        let has_parent = caller.ppid > INIT && caller.ppid != self.rules.supervisor() && depth < DEEPEST;
        let parent = if has_parent { self.find(caller.ppid, None, depth + 1, identified) } else { None };
        let Some(image) = self.proc_fs.image(caller) else { return parent };
        // A fork runs what its parent does; an orphan is identified by its image.
        if let Some(parent) = parent.filter(|entry| self.rules.runs_as(*entry, &image)) {
            return Some(parent);
        }
        // More than one may be the same to everything that follows: /bin is /usr/bin on most
        // systems, and baseline names both.
        match self.rules.entries_running(&image)[..] {
            [first, ref rest @ ..] if rest.iter().all(|other| self.rules.are_alike(first, *other)) => {
                Some(first)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::invented::{Invented, inode};

    /// Entry N runs the inode N, entry 9 runs every inode, and inode 5 is entry 5's alone.
    #[derive(Default)]
    struct Rules {
        verifies: bool,
    }

    impl ProgramRules for Rules {
        fn verifies_execs(&self) -> bool {
            self.verifies
        }

        fn images_identify(&self) -> bool {
            true
        }

        fn entry_of_image(&self, image: FileId) -> Option<ProgramIndex> {
            (image == inode(5)).then(|| entry(5))
        }

        fn runs_as(&self, of: ProgramIndex, image: &Image) -> bool {
            of == entry(9) || entry(image.id.inode as usize) == of
        }

        fn entries_running(&self, image: &Image) -> Vec<ProgramIndex> {
            vec![entry(image.id.inode as usize)]
        }

        fn are_alike(&self, one: ProgramIndex, other: ProgramIndex) -> bool {
            one == other
        }

        fn supervisor(&self) -> Pid {
            Pid::from_raw(2)
        }
    }

    fn entry(index: usize) -> ProgramIndex {
        ProgramIndex::new(index)
    }

    fn caller(pid: i32, proc_fs: &Invented) -> Caller {
        proc_fs.living_thread(Pid::from_raw(pid)).expect("it lives")
    }

    #[test]
    fn a_fork_is_what_its_parent_is_and_an_orphan_what_it_runs() {
        // pid, parent, start, inode, stack
        let proc_fs =
            Invented(vec![(10, 2, 1, 3, 0), (11, 10, 2, 3, 0), (12, 11, 3, 3, 0), (13, 1, 4, 3, 0)]);
        let mut table = ProgramTable::default();
        let rules = Rules::default();
        table.set(Pid::from_raw(10), entry(9), &proc_fs);
        assert_eq!(table.entry(&caller(12, &proc_fs), &proc_fs, &rules), Some(entry(9)));
        assert_eq!(table.entry(&caller(13, &proc_fs), &proc_fs, &rules), Some(entry(3)));
        // The parent in between was identified too, and is in the table by now.
        let orphaned = Invented(vec![(11, 1, 2, 3, 0)]);
        assert_eq!(table.entry(&caller(11, &orphaned), &orphaned, &rules), Some(entry(9)));
        let another = Invented(vec![(11, 1, 7, 3, 0)]);
        assert_eq!(table.entry(&caller(11, &another), &another, &rules), Some(entry(3)));
        let ancestors = table.ancestors(&caller(12, &proc_fs), &proc_fs, &rules);
        let ancestors: Vec<_> =
            ancestors.iter().map(|(caller, entry)| (caller.tgid.as_raw(), *entry)).collect();
        assert_eq!(ancestors, [(11, Some(entry(9))), (10, Some(entry(9)))]);
    }

    #[test]
    fn a_lookup_finds_whether_a_pending_exec_has_succeeded() {
        let before = Invented(vec![(10, 2, 1, 3, 0)]);
        let after = Invented(vec![(10, 2, 1, 4, 0)]);
        for (proc_fs, is) in [(&before, entry(3)), (&after, entry(4))] {
            let mut table = ProgramTable::default();
            table.exec_continues(Pid::from_raw(10), entry(3), entry(4), &before);
            let rules = Rules::default();
            assert_eq!(table.entry(&caller(10, proc_fs), proc_fs, &rules), Some(is));
        }
    }

    /// What was dropped is not COMMAND for that.
    #[test]
    fn a_stack_that_is_not_known_is_commands_only_where_no_other_can_be() {
        let rules = Rules { verifies: true };
        let mut table = ProgramTable::default();
        let command = Invented(vec![(10, 2, 1, 3, 32)]);
        let shared = |start| ExecStack { image: inode(3), start };
        // COMMAND is gone before its stack was read.
        table.launches(Pid::from_raw(10), entry(3), &command);
        let proc_fs = Invented(vec![(11, 1, 2, 3, 16), (12, 1, 3, 3, 32), (13, 1, 4, 4, 32)]);
        table.became(&caller(11, &proc_fs), entry(9), Some(shared(16)), &proc_fs);
        let is = |table: &ProgramTable, pid| {
            let lookup = Lookup { table, proc_fs: &proc_fs, rules: &rules };
            lookup.by_stack(&caller(pid, &proc_fs), None)
        };
        assert_eq!((is(&table, 11), is(&table, 12)), (Some(entry(9)), Some(entry(3))));
        assert_eq!(is(&table, 13), None, "another image");
        table.command = Some(CommandExec { stack: Some(shared(48)), ..table.command.expect("launched") });
        assert_eq!(is(&table, 12), None, "COMMAND is known to be elsewhere");
        table.command = Some(CommandExec { stack: Some(shared(32)), ..table.command.expect("launched") });
        assert_eq!(is(&table, 12), Some(entry(3)));
        // Where no address is random two may be at the same place.
        table.became(&caller(11, &proc_fs), entry(9), Some(shared(32)), &proc_fs);
        assert_eq!(is(&table, 12), None);
    }

    #[test]
    fn command_is_located_while_it_has_called_no_exec() {
        let rules = Rules { verifies: true };
        let command = Invented(vec![(10, 2, 1, 3, 32)]);
        let mut table = ProgramTable::default();
        table.launches(Pid::from_raw(10), entry(3), &command);
        table.calls_exec(&caller(10, &command), &command);
        // Its child has its stack, and another process of the same file has not.
        let later = Invented(vec![(10, 2, 1, 4, 64), (11, 10, 2, 3, 32), (12, 1, 3, 3, 48)]);
        assert_eq!(table.entry(&caller(11, &later), &later, &rules), Some(entry(3)));
        assert_eq!(table.entry(&caller(12, &later), &later, &rules), None);
    }

    #[test]
    fn an_exec_in_flight_counts_for_each_thread_until_it_calls_again() {
        let proc_fs = Invented(vec![(10, 2, 1, 3, 0), (11, 10, 2, 3, 0)]);
        let first = caller(10, &proc_fs);
        // A thread is invented as a process of its own is.
        let second = Caller { tid: Tid::from_raw(11), ..first.clone() };
        let gone = Caller { tid: Tid::from_raw(99), ..first.clone() };
        let mut table = ProgramTable::default();
        for (thread, next) in [(&first, 1), (&second, 2), (&gone, 3)] {
            table.expects(thread, entry(next));
        }
        table.calls_exec(&second, &proc_fs);
        assert_eq!(table.expected, HashMap::from([((first.tgid, first.tid), entry(1))]));
        let live = table.live(&[first.tgid], entry(1), None, &proc_fs, &Rules::default());
        assert_eq!(live, 1, "what it may become counts");
        table.became(&second, entry(2), None, &proc_fs);
        assert!(table.expected.is_empty());
    }
}
