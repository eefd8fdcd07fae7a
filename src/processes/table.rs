//! Which program entry each process is: by its image where that leaves one, else
//! kept from the execs that were allowed and inherited by forks.
//!
//! A process is its pid and its start time, so that a number taken over by another
//! is not mistaken.
//!
//! Where what is executed is looked at, every exec is known for what it was. A fork has
//! its parent's memory, and so the stack of the exec that it descends from, at an address
//! that no other exec was given: by that it is told, whatever became of its parent.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use nix::errno::Errno;

use crate::ids::{Pid, StartTime, Tid};
use crate::image::FileId;
use crate::notify::caller::{Caller, Identity};
use crate::notify::image::{image, image_and_stack, image_id};
use crate::plan::ProgramIndex;
use crate::policy::Rulebook;
use crate::procfs::processes::{Stat, started, stat};

/// More processes than a container has: past it the dead are forgotten, and again once what
/// is left has doubled, so that on average a process costs one look at another.
const MANY: usize = 4096;

/// The first process of a pid namespace.
const INIT: Pid = Pid::from_raw(1);

/// What is remembered of the processes.
#[derive(Debug, Default)]
pub struct Families {
    members: HashMap<Pid, Member>,
    /// Entries by image and by where its stack begins.
    stacks: HashMap<(FileId, u64), Vec<ProgramIndex>>,
    /// What COMMAND is.
    command: Option<Command>,
    /// As many members and stacks as there may be before the dead are forgotten.
    room: Room,
    /// Stacks of processes that cannot be looked into now were forgotten.
    forgot: bool,
    /// What a process may become by an exec of one of its threads, of which it is not known
    /// yet whether it succeeded.
    expected: HashMap<(Pid, Tid), ProgramIndex>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Room {
    members: usize,
    stacks: usize,
}

/// COMMAND, whose exec nobody looked at: it was ours.
#[derive(Clone, Copy, Debug)]
struct Command {
    pid: Pid,
    started: Option<StartTime>,
    entry: ProgramIndex,
    /// Its image, and where its stack begins.
    stack: Option<(FileId, u64)>,
    /// It has called an exec since, so that what is there now says nothing.
    over: bool,
}

impl Command {
    /// Looks where its stack begins, while that can be known.
    fn look(&mut self, identity: &Identity) {
        if self.stack.is_none() && !self.over && started(self.pid) == self.started {
            let look = |caller: Caller| {
                let look = || image_and_stack(&caller, None).map(|(image, _, stack)| (image, stack));
                identity.look_as_caller(&caller, look)
            };
            self.stack = living_thread(self.pid).ok_or(Errno::ESRCH).and_then(look).ok();
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Member {
    started: StartTime,
    entry: ProgramIndex,
    /// An exec was let go on; whether it succeeded, the image tells.
    next: Option<ProgramIndex>,
}

impl Families {
    /// An exec by this process, which is `entry` until it succeeds, was let go on.
    pub fn executes(&mut self, pid: Pid, entry: ProgramIndex, next: ProgramIndex) {
        let Some(started) = started(pid) else { return };
        match self.members.get_mut(&pid).filter(|member| member.started == started) {
            Some(member) => member.next = Some(next),
            None => self.remember(pid, Member { started, entry, next: Some(next) }),
        }
    }

    /// A process that was looked at has become `entry`. `shared` where its image does not
    /// tell: that, and where its stack begins.
    pub fn became(
        &mut self,
        caller: &Caller,
        entry: ProgramIndex,
        shared: Option<(FileId, u64)>,
        identity: &Identity,
    ) {
        self.expected.retain(|(pid, _), _| *pid != caller.tgid);
        // It may have ended, and what it forked lives on.
        if let Some((image, stack)) = shared {
            self.remember_stack(image, stack, entry, identity);
        }
        self.is(caller.tgid, entry);
    }

    /// An exec was let go on that may lead to this entry. There is one for each thread, and
    /// what has ended is removed whenever processes are counted, which comes before.
    pub fn expects(&mut self, caller: &Caller, entry: ProgramIndex) {
        self.expected.insert((caller.tgid, caller.tid), entry);
    }

    /// A process is `entry`, and will soon not be to be looked into.
    pub fn is(&mut self, pid: Pid, entry: ProgramIndex) {
        if let Some(started) = started(pid) {
            self.remember(pid, Member { started, entry, next: None });
        }
    }

    /// A process that cannot be looked into was made by a thread of another.
    pub fn forked(&mut self, child: Pid, parent: Tid) {
        let parent = Caller::of(parent).map_or(Pid::from_raw(parent.as_raw()), |parent| parent.tgid);
        if let Some(entry) = self.members.get(&parent).map(|member| member.entry) {
            self.is(child, entry);
        }
    }

    /// How many of these processes are, or may be about to become, `entry`, without one.
    pub fn live(
        &mut self,
        processes: &[Pid],
        entry: ProgramIndex,
        but: Option<Pid>,
        identity: &Identity,
        rules: &Rulebook,
    ) -> u32 {
        self.expected.retain(|(pid, _), _| processes.contains(pid));
        let expected: HashSet<Pid> =
            self.expected.iter().filter(|(_, next)| **next == entry).map(|((pid, _), _)| *pid).collect();
        let others = processes.iter().filter(|pid| Some(**pid) != but);
        let is_one = |pid: &&Pid| {
            expected.contains(*pid)
                || living_thread(**pid).is_some_and(|thread| {
                    self.lookup(**pid, Some(&thread), identity, rules, 0) == Some(entry)
                })
        };
        others.filter(is_one).count() as u32
    }

    fn remember_stack(&mut self, image: FileId, stack: u64, entry: ProgramIndex, identity: &Identity) {
        if self.stacks.len() >= self.room.stacks.max(MANY) {
            let live = living_stacks(identity);
            let before = self.stacks.len();
            self.stacks.retain(|(_, stack), _| live.contains(stack));
            // Of one that made itself undumpable for the moment, too.
            self.forgot |= self.stacks.len() < before;
            self.room.stacks = 2 * self.stacks.len();
        }
        let entries = self.stacks.entry((image, stack)).or_default();
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }

    fn remember(&mut self, pid: Pid, member: Member) {
        if self.members.len() >= self.room.members.max(MANY) {
            self.members.retain(|pid, member| started(*pid) == Some(member.started));
            self.room.members = 2 * self.members.len();
        }
        self.members.insert(pid, member);
    }

    /// The entry that a process is; `None` when it cannot be told.
    pub fn entry(&mut self, caller: &Caller, identity: &Identity, rules: &Rulebook) -> Option<ProgramIndex> {
        self.lookup(caller.tgid, Some(caller), identity, rules, 0)
    }

    fn lookup(
        &mut self,
        pid: Pid,
        known: Option<&Caller>,
        identity: &Identity,
        rules: &Rulebook,
        depth: u32,
    ) -> Option<ProgramIndex> {
        const DEEPEST: u32 = 64;
        let caller = || known.cloned().or_else(|| Caller::of(pid.first_thread()).ok());
        if rules.images_tell()
            && let Some(entry) = image_id(&caller()?, identity).and_then(|id| rules.entry_of_image(id))
        {
            return Some(entry);
        }
        let Stat { started, stack } =
            match known.filter(|caller| caller.tid == pid.first_thread() && rules.checks()) {
                // Who cannot be looked at so is known for what it was, where it is.
                Some(caller) => {
                    let look = || stat(pid).ok_or(Errno::ESRCH);
                    identity.look_as_caller(caller, look).or_else(|_| look()).ok()?
                }
                None => Stat { stack: None, ..stat(pid)? },
            };
        if let Some(member) = self.members.get_mut(&pid).filter(|member| member.started == started) {
            let Some(next) = member.next else { return Some(member.entry) };
            // One that cannot be looked at is taken at what it was allowed.
            let caller = caller()?;
            if image(&caller, identity).is_none_or(|(id, path)| rules.runs_as(next, id, &path)) {
                member.entry = next;
            }
            member.next = None;
            return Some(member.entry);
        }
        let caller = caller()?;
        if rules.checks() {
            let entry = self.by_stack(&caller, stack, identity, rules)?;
            self.remember(pid, Member { started, entry, next: None });
            return Some(entry);
        }
        let supervisor = Pid::from_raw(rules.policy().supervisor as i32);
        let parent = (caller.ppid > INIT && caller.ppid != supervisor && depth < DEEPEST)
            .then(|| self.lookup(caller.ppid, None, identity, rules, depth + 1))
            .flatten();
        let entry = match image(&caller, identity) {
            None => parent?,
            // A fork runs what its parent does; an orphan is known by its image.
            Some((id, path)) => match parent.filter(|entry| rules.runs_as(*entry, id, &path)) {
                Some(entry) => entry,
                // More than one may be the same to everything that follows: /bin is
                // /usr/bin on most systems, and baseline names both.
                None => match rules.running(id, &path)[..] {
                    [first, ref rest @ ..] if rest.iter().all(|other| rules.alike(first, *other)) => first,
                    _ => return None,
                },
            },
        };
        self.remember(pid, Member { started, entry, next: None });
        Some(entry)
    }

    /// The entry of the exec that a process descends from: one alone, or some that make
    /// no difference. Every exec that a living process descends from is known, where the
    /// image does not tell, but that of COMMAND, which was ours.
    fn by_stack(
        &mut self,
        caller: &Caller,
        stack: Option<u64>,
        identity: &Identity,
        rules: &Rulebook,
    ) -> Option<ProgramIndex> {
        let (image, path, stack) = identity.look_as_caller(caller, || image_and_stack(caller, stack)).ok()?;
        if let Some(command) = &mut self.command {
            command.look(identity);
        }
        let alike = |one, other| rules.alike(one, other);
        self.told((image, stack), |entry| rules.runs_as(entry, image, &path), alike)
    }

    /// The entry that this image and stack tell; `runs` says what COMMAND may look like.
    fn told(
        &self,
        key: (FileId, u64),
        runs: impl Fn(ProgramIndex) -> bool,
        alike: impl Fn(ProgramIndex, ProgramIndex) -> bool,
    ) -> Option<ProgramIndex> {
        let command = self.command.filter(|command| runs(command.entry));
        let command = match command.map(|command| (command.entry, command.stack)) {
            Some((entry, Some(stack))) if stack == key => Some(entry),
            // Nobody else can be one whose exec is not known.
            Some((entry, None)) if !self.forgot && !self.stacks.contains_key(&key) => Some(entry),
            _ => None,
        };
        let mut entries = self.stacks.get(&key).into_iter().flatten().copied().chain(command);
        let first = entries.next()?;
        entries.all(|other| alike(first, other)).then_some(first)
    }

    /// The launch itself: COMMAND is this entry.
    pub fn launches(&mut self, pid: Pid, entry: ProgramIndex) {
        self.command = Some(Command { pid, started: started(pid), entry, stack: None, over: false });
        self.executes(pid, entry, entry);
    }

    /// A process calls an exec: where it is COMMAND, this is the last moment to see where
    /// its stack began.
    pub fn calls_exec(&mut self, caller: &Caller, identity: &Identity) {
        // Its own last exec has failed. One of a thread that is gone has failed as well, or
        // this is what came of it: no other thread calls while one is past the point of no
        // return.
        let is_over = |pid: Pid, tid: Tid| {
            pid == caller.tgid && (tid == caller.tid || crate::procfs::processes::is_dead(pid, tid))
        };
        self.expected.retain(|(pid, tid), _| !is_over(*pid, *tid));
        if let Some(command) = self.command.as_mut().filter(|command| command.pid == caller.tgid) {
            command.look(identity);
            command.over = true;
        }
    }

    /// The programs of the processes above this one and below the supervisor,
    /// nearest first.
    pub fn ancestors(&mut self, caller: &Caller, identity: &Identity, rules: &Rulebook) -> Vec<PathBuf> {
        const FURTHEST: usize = 16;
        let supervisor = Pid::from_raw(rules.policy().supervisor as i32);
        let mut programs = Vec::new();
        let mut pid = caller.ppid;
        while pid > INIT && pid != supervisor && programs.len() < FURTHEST {
            let Ok(parent) = Caller::of(pid.first_thread()) else { break };
            let entry = self.lookup(pid, Some(&parent), identity, rules, 0);
            programs.extend(program(entry, &parent, identity, rules));
            pid = parent.ppid;
        }
        programs
    }
}

/// What a process is called in events: the path of its entry, or its image where
/// the entry is a whole directory or not known.
pub fn program(
    entry: Option<ProgramIndex>,
    caller: &Caller,
    identity: &Identity,
    rules: &Rulebook,
) -> Option<PathBuf> {
    match entry.filter(|entry| rules.is_file(*entry)) {
        Some(entry) => Some(rules.program_path(entry).to_owned()),
        None => image(caller, identity).map(|(_, path)| path),
    }
}

/// A thread of a process that has not ended: the first, of which nothing is to be seen
/// once it has, where that lives.
fn living_thread(pid: Pid) -> Option<Caller> {
    if !crate::procfs::processes::is_dead(pid, pid.first_thread()) {
        return Caller::of(pid.first_thread()).ok();
    }
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut tids = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok());
    tids.find(|tid| !crate::procfs::processes::is_dead(pid, *tid)).and_then(|tid| Caller::of(tid).ok())
}

/// Of every living process that may be looked into.
fn living_stacks(identity: &Identity) -> HashSet<u64> {
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let stack = |pid| {
        let caller = Caller::of(Pid::first_thread(pid)).ok()?;
        identity.look_as_caller(&caller, || stat(pid).and_then(|stat| stat.stack).ok_or(Errno::ESRCH)).ok()
    };
    pids.filter_map(stack).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(place: usize) -> ProgramIndex {
        ProgramIndex::new(place)
    }

    /// What was forgotten is not COMMAND for that.
    #[test]
    fn a_stack_that_nobody_knows_is_commands_only_where_no_other_can_be() {
        let image = FileId { device: 1, inode: 2 };
        let other = |one: ProgramIndex, other: ProgramIndex| one == other;
        let command =
            Command { pid: Pid::from_raw(1), started: None, entry: program(0), stack: None, over: true };
        let mut families = Families { command: Some(command), ..Families::default() };
        families.stacks.insert((image, 16), vec![program(1)]);
        let told = |families: &Families, stack| families.told((image, stack), |_| true, other);
        assert_eq!((told(&families, 16), told(&families, 32)), (Some(program(1)), Some(program(0))));
        assert_eq!(families.told((image, 32), |_| false, other), None, "another image");
        families.forgot = true;
        assert_eq!((told(&families, 16), told(&families, 32)), (Some(program(1)), None));
        families.command = Some(Command { stack: Some((image, 32)), ..command });
        assert_eq!((told(&families, 32), told(&families, 48)), (Some(program(0)), None));
        // Where no address is random two may be at the same place.
        families.stacks.insert((image, 32), vec![program(1)]);
        assert_eq!(told(&families, 32), None);
    }

    #[test]
    fn the_dead_are_forgotten() {
        let mut families = Families::default();
        let started = started(Pid::own()).expect("own start time");
        let member = Member { started, entry: program(0), next: None };
        families.remember(Pid::own(), member);
        (0..3 * MANY as i32).for_each(|number| families.remember(Pid::from_raw(i32::MAX - number), member));
        assert!(families.members.len() <= MANY, "{}", families.members.len());
        assert!(families.members.contains_key(&Pid::own()));
    }

    #[test]
    fn an_exec_in_flight_counts_for_each_thread_until_it_calls_again() {
        let identity = Identity::own().expect("own ids");
        let tgid = Pid::own();
        let first = Caller { tid: tgid.first_thread(), tgid, ..Caller::default() };
        let second = Caller { tid: Tid::own(), ..first.clone() };
        let gone = Caller { tid: Tid::from_raw(i32::MAX), ..first.clone() };
        let mut families = Families::default();
        families.expects(&first, program(1));
        families.expects(&second, program(2));
        families.expects(&gone, program(3));
        families.calls_exec(&second, &identity);
        assert_eq!(families.expected, HashMap::from([((tgid, tgid.first_thread()), program(1))]));
        families.became(&second, program(2), None, &identity);
        assert!(families.expected.is_empty());
    }

    #[test]
    fn a_number_taken_over_by_another_process_is_another_member() {
        let me = Pid::own();
        let now = started(me).expect("own start time");
        let mut families = Families::default();
        families.remember(
            me,
            Member { started: StartTime::from_raw(now.as_raw() - 1), entry: program(3), next: None },
        );

        families.executes(me, program(0), program(1));
        let member = families.members[&me];
        assert_eq!((member.started, member.entry, member.next), (now, program(0), Some(program(1))));
        families.executes(me, program(2), program(3));
        let member = families.members[&me];
        assert_eq!((member.entry, member.next), (program(0), Some(program(3))), "what is known of it stays");
    }
}
