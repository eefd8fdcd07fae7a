//! The process table: what each process is, by its pid and start time, and which exec each
//! stack belongs to. For the enforcer a process is a program entry, for the recorder a name.
//!
//! A process is its pid and its start time, so that a process which the kernel gave the pid of
//! another is not taken for that one. An exec that continues may fail, so the table has what
//! the process is and what it may become, until the process is looked up again.
//!
//! A fork has its parent's memory, and so the stack of the exec that it descends from, at an
//! address that no other exec was given: by that it is identified, whatever became of its
//! parent.
//!
//! The table is bounded: processes that have ended are removed once there are [`MANY`], and
//! again once what is left has doubled, so that on average a process costs one read of another's stat.

use std::collections::HashMap;

use super::proc_fs::{ExecStack, ProcFs};
use crate::ids::{Pid, StartTime};
use crate::image::FileId;

/// More processes than a container usually has.
pub const MANY: usize = 4096;

/// What is known of the processes of a container. `T` is what a process is.
#[derive(Debug)]
pub struct ProcessTable<T> {
    processes: HashMap<Pid, ProcessEntry<T>>,
    stacks: HashMap<ExecStack, Vec<T>>,
    /// Processes that have ended are removed once there are so many.
    room: usize,
    /// Stacks of processes that have ended are removed once there are so many.
    stack_room: usize,
    has_dropped_stacks: bool,
}

/// A process of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessEntry<T> {
    /// When it started.
    pub started: StartTime,
    /// What it is.
    pub program: T,
    /// An exec of it continued, and may have succeeded.
    pub pending: Option<PendingExec<T>>,
}

/// An exec that continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingExec<T> {
    /// What the process becomes if it succeeds.
    pub program: T,
    /// The file that it then runs, where that is known beforehand.
    pub image: Option<FileId>,
}

impl<T> Default for ProcessTable<T> {
    fn default() -> ProcessTable<T> {
        ProcessTable {
            processes: HashMap::new(),
            stacks: HashMap::new(),
            room: 0,
            stack_room: 0,
            has_dropped_stacks: false,
        }
    }
}

impl<T: PartialEq> ProcessTable<T> {
    /// The process with this pid that started then.
    pub fn get(&self, pid: Pid, started: StartTime) -> Option<&ProcessEntry<T>> {
        self.processes.get(&pid).filter(|process| process.started == started)
    }

    /// What the last known process with this pid is or was.
    pub fn last_with(&self, pid: Pid) -> Option<&T> {
        self.processes.get(&pid).map(|process| &process.program)
    }

    /// A process is this, and no exec of it is pending.
    pub fn set(&mut self, pid: Pid, started: StartTime, program: T, proc_fs: &impl ProcFs) {
        self.insert(pid, ProcessEntry { started, program, pending: None }, proc_fs);
    }

    /// An exec of a process continues. Where the process is not known it is `program` until the
    /// exec succeeds.
    pub fn exec_continues(
        &mut self,
        pid: Pid,
        started: StartTime,
        program: T,
        pending: PendingExec<T>,
        proc_fs: &impl ProcFs,
    ) {
        match self.processes.get_mut(&pid).filter(|process| process.started == started) {
            Some(process) => process.pending = Some(pending),
            None => self.insert(pid, ProcessEntry { started, program, pending: Some(pending) }, proc_fs),
        }
    }

    fn insert(&mut self, pid: Pid, process: ProcessEntry<T>, proc_fs: &impl ProcFs) {
        if self.processes.len() >= self.room.max(MANY) {
            self.processes.retain(|pid, process| proc_fs.started(*pid) == Some(process.started));
            self.room = 2 * self.processes.len();
        }
        self.processes.insert(pid, process);
    }

    /// The programs that were executed with this stack. More than one may have been where no
    /// address is random.
    pub fn with_stack(&self, stack: &ExecStack) -> &[T] {
        self.stacks.get(stack).map(Vec::as_slice).unwrap_or_default()
    }

    /// This program was executed with this stack.
    pub fn add_stack(&mut self, stack: ExecStack, program: T, proc_fs: &impl ProcFs) {
        if self.stacks.len() >= self.stack_room.max(MANY) {
            let living = proc_fs.stacks();
            let before = self.stacks.len();
            self.stacks.retain(|stack, _| living.contains(&stack.start));
            // The stack of a process that cannot be read (undumpable) is removed too.
            self.has_dropped_stacks |= self.stacks.len() < before;
            self.stack_room = 2 * self.stacks.len();
        }
        let programs = self.stacks.entry(stack).or_default();
        if !programs.contains(&program) {
            programs.push(program);
        }
    }

    /// Whether stacks were removed, perhaps of processes that live and cannot be read.
    pub fn has_dropped_stacks(&self) -> bool {
        self.has_dropped_stacks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::invented::{Invented, inode};

    const PID: Pid = Pid::from_raw(7);
    const STARTED: StartTime = StartTime::from_raw(100);

    #[test]
    fn a_pid_that_another_process_was_given_is_another_process() {
        let proc_fs = Invented::default();
        let mut table = ProcessTable::default();
        table.set(PID, StartTime::from_raw(99), "old", &proc_fs);
        assert_eq!(table.get(PID, STARTED), None);
        let pending = |program| PendingExec { program, image: None };
        table.exec_continues(PID, STARTED, "sh", pending("ls"), &proc_fs);
        let process = ProcessEntry { started: STARTED, program: "sh", pending: Some(pending("ls")) };
        assert_eq!(table.get(PID, STARTED), Some(&process));
        table.exec_continues(PID, STARTED, "other", pending("cat"), &proc_fs);
        let process = ProcessEntry { pending: Some(pending("cat")), ..process };
        assert_eq!(table.get(PID, STARTED), Some(&process), "what is known of it stays");
        table.set(PID, STARTED, "cat", &proc_fs);
        assert_eq!(table.get(PID, STARTED).and_then(|process| process.pending.clone()), None);
        assert_eq!(table.last_with(PID), Some(&"cat"));
    }

    #[test]
    fn processes_that_have_ended_are_removed() {
        let proc_fs = Invented(vec![(7, 1, 100, 1, 16)]);
        let mut table = ProcessTable::default();
        table.set(PID, STARTED, (), &proc_fs);
        for number in 0..3 * MANY as i32 {
            table.set(Pid::from_raw(i32::MAX - number), STARTED, (), &proc_fs);
        }
        assert!(table.processes.len() <= MANY, "{}", table.processes.len());
        assert!(table.get(PID, STARTED).is_some());
    }

    #[test]
    fn stacks_of_living_processes_stay_and_what_was_removed_is_remembered() {
        let proc_fs = Invented(vec![(7, 1, 100, 1, 16)]);
        let mut table = ProcessTable::default();
        let stack = |start| ExecStack { image: inode(1), start };
        table.add_stack(stack(16), "sh", &proc_fs);
        table.add_stack(stack(16), "sh", &proc_fs);
        table.add_stack(stack(16), "ls", &proc_fs);
        assert_eq!(table.with_stack(&stack(16)), ["sh", "ls"]);
        assert!(!table.has_dropped_stacks());
        (1..=MANY as u64).for_each(|number| table.add_stack(stack(16 + number), "ls", &proc_fs));
        assert!(table.has_dropped_stacks() && table.stacks.len() <= MANY);
        assert_eq!(table.with_stack(&stack(16)), ["sh", "ls"]);
        assert_eq!(table.with_stack(&stack(17)), [""; 0]);
    }
}
