//! The filter: every call that a section of the profile allows. Calls that open, execute, connect
//! or signal are still decided, whatever section allows them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::conditions::{AF_UNIX, Alternatives, masked, one_of};
use super::filter_input::FilterInput;
use super::mediated::{Mediated, is_open_to_more};
use super::startup::{self, NotifyTransport, Startup};
use super::{PlanError, dumpable, exact};
use crate::filter::{Access, Filter};
use crate::kernel::{Arch, LandlockAbi};
use crate::profile::SyscallRule;
use crate::syscalls::{self, Condition, Handler, Syscall, Test, clone_flags, groups};

impl FilterInput<'_> {
    /// The filter and what belongs to it. It adds notes on what was left out.
    ///
    /// # Errors
    /// See [`Startup::find`]; and an exact profile by which no program could start.
    pub fn filter(&self, notes: &mut Vec<String>) -> Result<FilterParts, PlanError> {
        let arch = self.kernel.arch;
        let mut brought = self.sections(notes);
        let mut launch = Vec::new();
        if self.exact() {
            let listed = brought.names();
            exact::starts(arch, self.dynamic, &listed)?;
            self.note_children(&listed, notes);
            self.bring_launch(&mut brought);
            let names = brought.names().into_iter().filter(|call| !listed.contains(call));
            launch.extend(names.filter(|call| syscalls::number(arch, call).is_some()));
        }
        let forks = brought
            .call_of("clone")
            .is_some_and(|clone| exact::makes_processes(clone.alternatives.iter().chain(&clone.extra)));
        let brought = brought.by_syscall();
        // The target of a signal by pidfd is behind a descriptor: no register identifies the supervisor.
        let scoped = self.kernel.landlock >= LandlockAbi::SCOPE;
        let allowed = brought.filter(|(syscall, _)| {
            syscall.number(arch).is_some() && (scoped || syscall.handler != Handler::SignalPidfd)
        });
        let mut calls: BTreeMap<_, _> = allowed
            .map(|(syscall, call)| {
                (syscall.name, self.spare_supervisor(syscall.name, self.access(syscall.name, call)))
            })
            .collect();
        let startup = Startup::find(self.profile, self.notify_transport, &mut calls)?;
        let dumpable = if self.kernel.notify.is_ok() { dumpable::notify(&mut calls) } else { Vec::new() };
        Ok(FilterParts { filter: Filter { arch, calls }, startup, dumpable, forks, launch })
    }

    /// Whether the other sections bring no calls.
    fn exact(&self) -> bool {
        self.profile.syscalls.exact
    }

    /// What an exact profile has beside its lists: the calls of the launch, and of an app that sends
    /// READY=1.
    fn bring_launch(&self, brought: &mut SectionCalls) {
        for call in exact::LAUNCH {
            brought.add(call, Vec::new());
        }
        if self.notify_transport.is_some() {
            for (call, alternatives) in startup::brings() {
                brought.add(call, alternatives);
            }
        }
    }

    /// A note where a program may run others and cannot start them in a process of their own.
    fn note_children(&self, listed: &BTreeSet<&str>, notes: &mut Vec<String>) {
        let runs = self.profile.programs.iter().position(|program| !program.may_run.is_empty());
        let Some(index) = runs else { return };
        let lists = |calls: &[&str]| calls.iter().any(|call| listed.contains(call));
        let clones = self.profile.syscalls.allow.iter().any(|entry| match entry.what {
            SyscallRule::Call(call) | SyscallRule::When(call, _) => call == "clone",
            SyscallRule::Group(group) => group == "@core",
        });
        if !clones && !lists(&["fork", "vfork"]) {
            notes.push(format!(
                "/programs/{index}/may_run: syscalls is exact and has none of clone, fork and vfork, so a program can \
                 only put another in its own place"
            ));
        } else if !lists(&["wait4", "waitid"]) {
            notes.push(format!(
                "/programs/{index}/may_run: syscalls is exact and has neither wait4 nor waitid, so no program can wait \
                 for another"
            ));
        }
    }

    /// The calls that the sections of the profile allow, each with its row.
    #[cfg(feature = "tool")]
    pub(super) fn brought(
        &self,
        notes: &mut Vec<String>,
    ) -> impl Iterator<Item = (&'static Syscall, SectionCall)> + use<> {
        self.sections(notes).by_syscall()
    }

    fn sections(&self, notes: &mut Vec<String>) -> SectionCalls {
        let mut brought = SectionCalls::new(self.supervisor, self.kernel.arch);
        if !self.exact() {
            self.bring_groups(&mut brought);
        }
        self.bring_listed(&mut brought, notes);
        brought
    }

    fn bring_groups(&self, brought: &mut SectionCalls) {
        brought.group(&groups::CORE);
        // An exec of COMMAND, and the calls of a static libc before main: the path of
        // its file, and the type of its own descriptors.
        for call in ["execve", "execveat", "readlink", "readlinkat"] {
            brought.add(call, Vec::new());
        }
        brought.add("newfstatat", vec![vec![masked(3, AT_EMPTY_PATH, AT_EMPTY_PATH)]]);
        brought.add("statx", vec![vec![masked(2, AT_EMPTY_PATH, AT_EMPTY_PATH)]]);
        if !self.profile.files.is_empty() {
            brought.group(&groups::FILES);
        } else if self.dynamic {
            for call in LOADER {
                brought.add(call, Vec::new());
            }
        }
        if self.sockets.any {
            brought.group(&groups::NETWORK);
            // Resolvers bind the netlink socket on which they query addresses.
            brought.add("bind", Vec::new());
        }
        if self.sockets.listens {
            brought.group(&groups::NETWORK_LISTEN);
        }
        if self.notify_transport.is_some() {
            for (call, alternatives) in startup::brings() {
                brought.add(call, alternatives);
            }
        }
        if self.sockets.unix {
            brought.add("socketpair", vec![vec![one_of(0, &[AF_UNIX])]]);
        }
    }

    /// The profile's own lists. A call for the start-up alone is allowed until start-up is over.
    fn bring_listed(&self, brought: &mut SectionCalls, notes: &mut Vec<String>) {
        let listed = &self.profile.syscalls;
        let allow = listed.allow.iter().enumerate().map(|(index, entry)| ("allow", index, entry));
        let early =
            listed.startup_only.iter().enumerate().map(|(index, entry)| ("startup_only", index, entry));
        for (list, index, entry) in allow.chain(early) {
            let pointer = || format!("/syscalls/{list}/{index}");
            let call = match &entry.what {
                SyscallRule::Group(name) => {
                    groups::listed(name, self.profile.changes_files()).for_each(|group| brought.group(group));
                    continue;
                }
                SyscallRule::Call(call) | SyscallRule::When(call, _) => *call,
            };
            if syscalls::number(self.kernel.arch, call).is_none() {
                notes.push(format!("{}: {} has no `{call}`, so it is left out", pointer(), self.kernel.arch));
                continue;
            }
            // The kernel refuses a call for which the app has no capability: it is notified, so
            // that it is reported.
            let unprivileged =
                syscalls::privileged(call).is_some_and(|capability| !self.capabilities.contains(&capability));
            if let Some(call) = brought.call(call).filter(|_| unprivileged) {
                call.unprivileged = true;
            }
            let by_arguments = is_open_to_more(call) || self.mediated(call).is_none();
            match &entry.what {
                // The process that a signal may reach is decided all the same.
                SyscallRule::When(_, condition)
                    if self.exact()
                        && matches!(
                            syscalls::handler(call),
                            Handler::Signal | Handler::SignalThread | Handler::SocketOption
                        ) =>
                {
                    brought.add(call, vec![vec![condition.clone()]]);
                }
                SyscallRule::When(_, condition) if by_arguments => {
                    let extra = brought.call(call).map(|call| &mut call.extra);
                    extra.into_iter().for_each(|extra| extra.push(vec![condition.clone()]));
                }
                SyscallRule::When(..) => {
                    notes.push(format!(
                        "{}: `{call}` is decided by another section, so its condition adds nothing",
                        pointer()
                    ));
                    brought.add(call, Vec::new());
                }
                _ => {
                    brought.add(call, Vec::new());
                    if self.exact() {
                        brought.add(call, exact::as_grouped(call));
                    }
                }
            }
        }
    }

    /// The access of a call that sections allow, before the supervisor is spared.
    pub(super) fn access(&self, name: &str, call: SectionCall) -> Access {
        let handler = syscalls::handler(name);
        let mut alternatives = match self.mediated(name) {
            Some(Mediated::Notify) => return Access::Notify,
            Some(Mediated::When(alternatives)) if !call.any && self.exact() => {
                both(alternatives, &call.alternatives)
            }
            Some(Mediated::When(alternatives)) => alternatives,
            // Another process that shares the working directory could change it between the
            // check of a script and that of its interpreter.
            Some(Mediated::AsGrouped) if handler == Handler::Fork && self.scripts => {
                let own = [masked(0, CLONE_FS, 0), masked(0, clone_flags::THREAD, clone_flags::THREAD)];
                let with = |one: &Vec<Condition>, more: &Condition| {
                    one.iter().chain([more]).cloned().collect::<Vec<_>>()
                };
                call.alternatives.iter().flat_map(|one| own.iter().map(|more| with(one, more))).collect()
            }
            Some(Mediated::AsGrouped) => call.alternatives,
            None if call.unprivileged => return Access::Notify,
            // Its environment is read a last time before the next exec.
            None if call.any && syscalls::changes_user(name) => return Access::Notify,
            // A process is identified by its image and by the start of its stack: it may change
            // neither, unless the profile lists just that.
            None if call.any && handler == Handler::Prctl => {
                vec![vec![Condition { arg: 0, test: Test::NotIn(vec![PR_SET_MM]) }]]
            }
            // It would make all readable mappings executable.
            None if call.any && handler == Handler::Personality && self.narrows_code() => {
                vec![vec![masked(0, READ_IMPLIES_EXEC, 0)], vec![one_of(0, &[PERSONALITY_QUERY])]]
            }
            None if call.any => return Access::Allow,
            None => call.alternatives,
        };
        let mut known: HashSet<Vec<Condition>> = HashSet::new();
        if !call.extra.is_empty() {
            known.extend(alternatives.iter().cloned());
        }
        let paired = handler == Handler::Socket && self.notify_transport == Some(NotifyTransport::SocketPair);
        for alternative in call.extra {
            let besides = if paired { startup::besides_the_pair(&alternative) } else { vec![alternative] };
            for alternative in besides {
                if known.insert(alternative.clone()) {
                    alternatives.push(alternative);
                }
            }
        }
        if alternatives.is_empty() { Access::Notify } else { Access::When(alternatives) }
    }
}

/// The filter, and what belongs to it.
pub(super) struct FilterParts {
    pub filter: Filter,
    /// The part of it that exists for the start-up.
    pub startup: Option<Startup>,
    /// The alternatives of PR_SET_DUMPABLE.
    pub dumpable: Alternatives,
    /// clone(2) may make processes.
    pub forks: bool,
    /// The calls of the launch, where the profile is exact and does not list them.
    pub launch: Vec<&'static str>,
}

/// Every alternative of one with every one of the other; all of the first where the other has none.
fn both(one: Alternatives, other: &Alternatives) -> Alternatives {
    if other.is_empty() {
        return one;
    }
    let with = |all: &Vec<Condition>, more: &Vec<Condition>| {
        let mut all = all.clone();
        all.extend(more.iter().filter(|condition| !all.contains(condition)).cloned().collect::<Vec<_>>());
        all
    };
    one.iter().flat_map(|all| other.iter().map(move |more| with(all, more))).collect()
}

/// The calls that sections allow.
struct SectionCalls {
    /// By the position of the call's row in the table.
    calls: Vec<Option<SectionCall>>,
    supervisor: u32,
    arch: Arch,
}

/// A call as sections allow it.
#[derive(Default)]
pub(super) struct SectionCall {
    /// Some section allows the call whatever its arguments.
    any: bool,
    alternatives: Alternatives,
    /// The alternatives of the profile's own objects.
    extra: Alternatives,
    unprivileged: bool,
}

impl SectionCalls {
    fn new(supervisor: u32, arch: Arch) -> SectionCalls {
        SectionCalls { calls: (0..syscalls::COUNT).map(|_| None).collect(), supervisor, arch }
    }

    /// Those that are allowed, each with its row.
    fn by_syscall(self) -> impl Iterator<Item = (&'static Syscall, SectionCall)> {
        syscalls::all().zip(self.calls).filter_map(|(syscall, call)| Some((syscall, call?)))
    }

    /// The call of this name, allowed from now on.
    fn call(&mut self, name: &str) -> Option<&mut SectionCall> {
        let position = syscalls::position(name)?;
        Some(self.calls[position].get_or_insert_default())
    }

    /// The call of this name, where a section allows it.
    fn call_of(&self, name: &str) -> Option<&SectionCall> {
        self.calls[syscalls::position(name)?].as_ref()
    }

    /// The names of all calls that a section allows.
    fn names(&self) -> BTreeSet<&'static str> {
        syscalls::all()
            .zip(&self.calls)
            .filter_map(|(syscall, call)| call.as_ref().map(|_| syscall.name))
            .collect()
    }

    /// Adds a section's alternatives for a call; none: whatever its arguments.
    fn add(&mut self, name: &str, alternatives: Alternatives) {
        let Some(call) = self.call(name) else { return };
        call.any |= alternatives.is_empty() || alternatives.iter().any(Vec::is_empty);
        for alternative in alternatives {
            if !alternative.is_empty() && !call.alternatives.contains(&alternative) {
                call.alternatives.push(alternative);
            }
        }
    }

    /// The groups assume that the supervisor's pid is 1, which is true in a container.
    fn here(&self, conditions: Vec<Condition>) -> Vec<Condition> {
        let here = |condition: Condition| match condition.test {
            Test::NotIn(pids) if pids == [1] => {
                Condition { test: Test::NotIn(vec![u64::from(self.supervisor)]), ..condition }
            }
            _ => condition,
        };
        conditions.into_iter().map(here).collect()
    }

    fn group(&mut self, group: &groups::Group) {
        for (syscall, call) in syscalls::all().zip(&mut self.calls) {
            if syscall.group.is_some_and(|purpose| group.has(purpose)) {
                call.get_or_insert_default().any = true;
            }
        }
        for (name, alternatives) in group.conditional() {
            if groups::is_superseded(name, self.arch) {
                continue;
            }
            let alternatives = alternatives.into_iter().map(|all| self.here(all)).collect();
            self.add(name, alternatives);
        }
    }
}

/// A loader's calls on paths; the files that it may open are decided all the same.
pub(crate) const LOADER: [&str; 10] = [
    "access",
    "faccessat",
    "faccessat2",
    "getdents64",
    "lstat",
    "newfstatat",
    "open",
    "openat",
    "stat",
    "statx",
];

/// The child has the caller's root, working directory and umask.
const CLONE_FS: u64 = 0x200;
/// PR_SET_MM: changes what /proc reports about the caller (linux/prctl.h).
const PR_SET_MM: u64 = 35;
/// READ_IMPLIES_EXEC: all readable memory is executable (linux/personality.h).
const READ_IMPLIES_EXEC: u64 = 0x40_0000;
/// The argument of personality(2) that queries it without a change.
const PERSONALITY_QUERY: u64 = 0xffff_ffff;
/// AT_EMPTY_PATH, the descriptor itself: fstat, as libraries call it now.
const AT_EMPTY_PATH: u64 = 0x1000;
