//! The filter: every call that a section of the profile brings, and how those that
//! open, execute, connect or signal stay decided whoever brought them.

use std::collections::{BTreeMap, HashSet};

use super::conditions::{AF_UNIX, Alternatives, masked, one_of};
use super::filter_input::FilterInput;
use super::mediated::{Mediated, is_open_to_more};
use super::startup::{self, NotifyTransport, Startup};
use super::{PlanError, dumpable};
use crate::filter::{Access, Filter};
use crate::kernel::LandlockAbi;
use crate::profile::SyscallRule;
use crate::syscalls::{self, Condition, Handler, Test, groups};

impl FilterInput<'_> {
    /// The filter, what of it is for the start-up's sake, how PR_SET_DUMPABLE is allowed, and
    /// notes on what was left out.
    ///
    /// # Errors
    /// See [`Startup::find`].
    pub fn filter(
        &self,
        notes: &mut Vec<String>,
    ) -> Result<(Filter, Option<Startup>, Alternatives), PlanError> {
        let arch = self.kernel.arch;
        let mut brought = Brought { calls: BTreeMap::new(), supervisor: self.supervisor };
        self.bring_groups(&mut brought);
        self.bring_listed(&mut brought, notes);
        let mut calls = BTreeMap::new();
        for (call, alternatives) in brought.calls {
            // Its target hides behind a descriptor, so no register tells the supervisor.
            let by_descriptor = syscalls::handler(call) == Handler::SignalPidfd;
            let unheld = by_descriptor && self.kernel.landlock < LandlockAbi::SCOPE;
            if syscalls::number(arch, call).is_some() && !unheld {
                calls.insert(call, self.spare_supervisor(call, self.access(call, alternatives)));
            }
        }
        let startup = Startup::find(self.profile, self.notify_transport, &mut calls)?;
        let dumpable = if self.kernel.notify.is_ok() { dumpable::notify(&mut calls) } else { Vec::new() };
        Ok((Filter { arch, calls }, startup, dumpable))
    }

    fn bring_groups(&self, brought: &mut Brought) {
        brought.group(&groups::CORE);
        // An exec of COMMAND, and what a static libc asks before main: where it
        // is, and what its own descriptors are.
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
            // Resolvers bind the netlink socket that they ask for addresses.
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

    /// The profile's own lists. What is for the start-up alone is allowed until it is over.
    fn bring_listed(&self, brought: &mut Brought, notes: &mut Vec<String>) {
        let listed = &self.profile.syscalls;
        let allow = listed.allow.iter().enumerate().map(|(index, entry)| ("allow", index, entry));
        let early =
            listed.startup_only.iter().enumerate().map(|(index, entry)| ("startup_only", index, entry));
        for (list, index, entry) in allow.chain(early) {
            let pointer = || format!("/syscalls/{list}/{index}");
            let call = match &entry.what {
                SyscallRule::Group(name) => {
                    if let Some(group) = groups::named(name) {
                        brought.group(group);
                    }
                    continue;
                }
                SyscallRule::Call(call) | SyscallRule::When(call, _) => *call,
            };
            if syscalls::number(self.kernel.arch, call).is_none() {
                notes.push(format!("{}: {} has no `{call}`, so it is left out", pointer(), self.kernel.arch));
                continue;
            }
            // What the profile lists and the app holds no capability for is refused
            // by the kernel: notified, so that it is seen.
            let unprivileged =
                syscalls::privileged(call).is_some_and(|capability| !self.capabilities.contains(&capability));
            if unprivileged {
                brought.call(call).unprivileged = true;
            }
            match &entry.what {
                SyscallRule::When(_, condition) if is_open_to_more(call) || self.mediated(call).is_none() => {
                    brought.call(call).extra.push(vec![condition.clone()]);
                }
                SyscallRule::When(..) => {
                    notes.push(format!(
                        "{}: `{call}` is decided by another section, so its condition adds nothing",
                        pointer()
                    ));
                    brought.add(call, Vec::new());
                }
                _ => brought.add(call, Vec::new()),
            }
        }
    }

    fn access(&self, name: &str, call: Call) -> Access {
        let handler = syscalls::handler(name);
        let mut alternatives = match self.mediated(name) {
            Some(Mediated::Notify) => return Access::Notify,
            Some(Mediated::When(alternatives)) => alternatives,
            // A working directory that another process shares could be changed between a
            // look at a script and its interpreter's.
            Some(Mediated::AsGrouped) if handler == Handler::Fork && self.scripts => {
                let own = [masked(0, CLONE_FS, 0), masked(0, CLONE_THREAD, CLONE_THREAD)];
                let with = |one: &Vec<Condition>, more: &Condition| {
                    one.iter().chain([more]).cloned().collect::<Vec<_>>()
                };
                call.alternatives.iter().flat_map(|one| own.iter().map(|more| with(one, more))).collect()
            }
            Some(Mediated::AsGrouped) => call.alternatives,
            None if call.unprivileged => return Access::Notify,
            // To be looked into for the last time before the next exec.
            None if call.any && syscalls::changes_user(name) => return Access::Notify,
            // What a process is is told by its image and by where its stack began: neither
            // is for it to say, unless the profile asks for just that.
            None if call.any && handler == Handler::Prctl => {
                vec![vec![Condition { arg: 0, test: Test::NotIn(vec![PR_SET_MM]) }]]
            }
            // It would make code of all that is mapped to be read.
            None if call.any && handler == Handler::Personality && self.narrows_code() => {
                vec![vec![masked(0, READ_IMPLIES_EXEC, 0)], vec![one_of(0, &[PERSONALITY_ASKED])]]
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

/// Calls as they are brought together, by name.
struct Brought {
    calls: BTreeMap<&'static str, Call>,
    supervisor: u32,
}

#[derive(Default)]
struct Call {
    /// Some source does not look at arguments.
    any: bool,
    alternatives: Alternatives,
    /// From the profile's own objects.
    extra: Alternatives,
    unprivileged: bool,
}

impl Brought {
    fn call(&mut self, name: &'static str) -> &mut Call {
        self.calls.entry(name).or_default()
    }

    /// One source of a call; no alternatives: whatever its arguments.
    fn add(&mut self, name: &'static str, alternatives: Alternatives) {
        let call = self.call(name);
        call.any |= alternatives.is_empty() || alternatives.iter().any(Vec::is_empty);
        for alternative in alternatives {
            if !alternative.is_empty() && !call.alternatives.contains(&alternative) {
                call.alternatives.push(alternative);
            }
        }
    }

    /// The groups know the supervisor as 1, which it is in a container.
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
        for (name, alternatives) in group.clusters.iter().flat_map(groups::Cluster::grants) {
            let alternatives = alternatives.into_iter().map(|all| self.here(all)).collect();
            self.add(name, alternatives);
        }
    }
}

/// What a loader asks of paths; which it may open is decided all the same.
const LOADER: [&str; 10] = [
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
/// The child is a thread.
const CLONE_THREAD: u64 = 0x1_0000;
/// Rewrites what /proc tells of the caller (linux/prctl.h).
const PR_SET_MM: u64 = 35;
/// What may be read may be executed (linux/personality.h).
const READ_IMPLIES_EXEC: u64 = 0x40_0000;
/// Asks for it and changes nothing.
const PERSONALITY_ASKED: u64 = 0xffff_ffff;
/// "The descriptor itself": fstat, as libraries spell it now.
const AT_EMPTY_PATH: u64 = 0x1000;
