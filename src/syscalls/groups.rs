//! The groups of calls that a profile names: `@core`, `@files`, `@network`, and of exact profiles
//! `@base` and `@failure`.
//!
//! One table, versioned with the profile's format: a golden file in the tests
//! shows every change. Each cluster says what needs it.

mod base;
mod core;

pub use self::base::{BASE, FAILURE, FAILURE_FILES, NOT_OF_GLIBC, differing, is_superseded};
pub use self::core::CORE;

use std::collections::BTreeMap;

use super::{Condition, Test, all};

/// A named set of calls.
#[derive(Debug)]
pub struct Group {
    /// The name, `@` and all.
    pub name: &'static str,
    /// What it is for, in one line.
    pub about: &'static str,
    /// Its calls, by what needs them.
    pub clusters: &'static [Cluster],
}

/// Calls that are there for one reason.
#[derive(Debug)]
pub struct Cluster {
    /// What the table says of those whose arguments do not matter; `None` where the cluster lists all
    /// its calls itself.
    pub purpose: Option<Purpose>,
    /// What needs them.
    pub why: &'static str,
    /// Calls with conditions: alternatives, each a conjunction.
    when: &'static [(&'static str, &'static [&'static [Check]])],
}

/// Why a group has a call: the cluster that brings it whatever its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Memory: malloc, stacks of threads, the mappings of a loader.
    Memory,
    /// Threads and locks.
    Threads,
    /// Start and end of a process.
    StartAndEnd,
    /// Children: fork, wait.
    Children,
    /// Signals: handlers, masks, sending.
    Signals,
    /// Clocks, sleeping, timers.
    Time,
    /// Waiting for descriptors.
    Waiting,
    /// Pipes.
    Pipes,
    /// Use of open descriptors.
    Descriptors,
    /// Ids, sessions, the machine.
    Identity,
    /// The caller's own scheduling and limits.
    Scheduling,
    /// Opening files and listing directories.
    Opening,
    /// Attributes of paths, to read.
    Looking,
    /// The working directory.
    WorkingDirectory,
    /// Extended attributes, to read.
    ReadingXattrs,
    /// Making, renaming and removing names.
    Names,
    /// Length, mode and times.
    Attributes,
    /// Watching files for changes.
    Watching,
    /// Writing back to the disk.
    Disk,
    /// Making a socket and connecting it.
    Connecting,
    /// Use of sockets that are open: of a pair, inherited, accepted.
    OpenSockets,
    /// Calls that the kernel has a process make where the host watches one of its functions.
    Probes,
    /// Options of sockets.
    SocketOptions,
    /// Several messages at once.
    Messages,
    /// Taking a port.
    Listening,
}

/// A [`Condition`] as a constant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Check {
    In(u8, &'static [u64]),
    NotIn(u8, &'static [u64]),
    Masked(u8, u64, u64),
}

/// The names that a profile may write.
pub const NAMES: [&str; 5] = ["@core", "@files", "@network", "@base", "@failure"];

/// The group of this name; `@network` is its connecting side,
/// [`NETWORK_LISTEN`] the other.
pub fn named(name: &str) -> Option<&'static Group> {
    match name {
        "@core" => Some(&CORE),
        "@files" => Some(&FILES),
        "@network" => Some(&NETWORK),
        "@base" => Some(&BASE),
        "@failure" => Some(&FAILURE),
        _ => None,
    }
}

/// What the name of a group brings in a profile: `@failure` has calls on files only where `files` lets the
/// app change one.
pub fn listed(name: &str, changes_files: bool) -> impl Iterator<Item = &'static Group> + use<> {
    let files = (changes_files && name == FAILURE.name).then_some(&FAILURE_FILES);
    named(name).into_iter().chain(files)
}

/// What several groups bring together: a call that is in two of them may be made
/// as either wants.
pub fn union<'a>(groups: impl IntoIterator<Item = &'a Group>) -> BTreeMap<&'static str, Vec<Vec<Condition>>> {
    let mut all: BTreeMap<_, Vec<Vec<Condition>>> = BTreeMap::new();
    for (call, alternatives) in groups.into_iter().flat_map(Group::calls) {
        all.entry(call).or_default().extend(alternatives);
    }
    for alternatives in all.values_mut().filter(|one| one.iter().any(Vec::is_empty)) {
        *alternatives = vec![Vec::new()];
    }
    all
}

impl Group {
    /// Every call by name with its alternatives, each a conjunction of conditions;
    /// one empty conjunction: allowed whatever the arguments.
    pub fn calls(&self) -> BTreeMap<&'static str, Vec<Vec<Condition>>> {
        let mut calls = BTreeMap::new();
        calls.extend(self.clusters.iter().flat_map(Cluster::grants));
        calls
    }

    /// Whether the group has calls of this purpose.
    pub fn has(&self, purpose: Purpose) -> bool {
        self.clusters.iter().any(|cluster| cluster.purpose == Some(purpose))
    }

    /// Calls with conditions, each with its alternatives.
    pub fn conditional(&self) -> impl Iterator<Item = (&'static str, Vec<Vec<Condition>>)> {
        self.clusters.iter().flat_map(Cluster::conditional)
    }
}

impl Cluster {
    /// Its calls by name, as [`Group::calls`] has them.
    pub fn grants(&self) -> impl Iterator<Item = (&'static str, Vec<Vec<Condition>>)> + use<> {
        self.calls().map(|call| (call, vec![Vec::new()])).chain(self.conditional())
    }

    /// Calls with conditions, with their alternatives.
    fn conditional(&self) -> impl Iterator<Item = (&'static str, Vec<Vec<Condition>>)> + use<> {
        self.when.iter().map(|(call, alternatives)| {
            let conditions = |checks: &&[Check]| checks.iter().map(|check| check.condition()).collect();
            (*call, alternatives.iter().map(conditions).collect())
        })
    }

    /// Calls whose arguments do not matter, sorted.
    pub fn calls(&self) -> impl Iterator<Item = &'static str> + use<> {
        let purpose = self.purpose;
        all()
            .filter(move |syscall| syscall.group.is_some() && syscall.group == purpose)
            .map(|syscall| syscall.name)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.calls().count() + self.when.len()
    }
}

impl Check {
    pub(super) fn condition(self) -> Condition {
        match self {
            Check::In(arg, values) => Condition { arg, test: Test::In(values.to_vec()) },
            Check::NotIn(arg, values) => Condition { arg, test: Test::NotIn(values.to_vec()) },
            Check::Masked(arg, mask, equals) => Condition { arg, test: Test::Masked { mask, equals } },
        }
    }
}

/// Fast open makes a send a connect, and no Landlock rule sees it.
const MSG_FASTOPEN: u64 = 0x2000_0000;
/// Type bits of a file mode.
const S_IFMT: u64 = 0o170_000;

/// `@files`.
#[rustfmt::skip]
pub static FILES: Group = Group {
    name: "@files",
    about: "paths: open, look at, list, make, rename and remove; which ones is decided by `files`",
    clusters: &[
        Cluster { purpose: Some(Purpose::Opening), why: "opening files and listing directories", when: &[] },
        Cluster { purpose: Some(Purpose::Looking), why: "looking at paths", when: &[] },
        Cluster { purpose: Some(Purpose::WorkingDirectory), why: "the working directory", when: &[] },
        Cluster {
            purpose: Some(Purpose::ReadingXattrs),
            why: "extended attributes, to read: ls, cp, capabilities of files",
            when: &[],
        },
        Cluster {
            purpose: Some(Purpose::Names),
            why: "making, renaming and removing names; nodes of devices need more",
            when: &[("mknod", MKNOD), ("mknodat", MKNODAT)],
        },
        Cluster {
            purpose: Some(Purpose::Attributes),
            why: "length, mode and times of what is there; owners need a capability and are not in it",
            when: &[],
        },
        Cluster {
            purpose: Some(Purpose::Watching),
            why: "watching for changes: reload on a new configuration, tail -f",
            when: &[],
        },
        Cluster { purpose: Some(Purpose::Disk), why: "writing back to the disk", when: &[] },
    ],
};

/// A regular file (the type 0 is one too), a pipe, a socket.
const MKNOD: &[&[Check]] = &[
    &[Check::Masked(1, S_IFMT, 0)],
    &[Check::Masked(1, S_IFMT, 0o010_000)],
    &[Check::Masked(1, S_IFMT, 0o100_000)],
    &[Check::Masked(1, S_IFMT, 0o140_000)],
];
/// The same where a directory's descriptor comes first.
const MKNODAT: &[&[Check]] = &[
    &[Check::Masked(2, S_IFMT, 0)],
    &[Check::Masked(2, S_IFMT, 0o010_000)],
    &[Check::Masked(2, S_IFMT, 0o100_000)],
    &[Check::Masked(2, S_IFMT, 0o140_000)],
];

/// `@network`: what every user of sockets needs, and connecting.
pub static NETWORK: Group = Group {
    name: "@network",
    about: "sockets: make, connect, set options; which kinds and ports is decided by `network`",
    clusters: &[
        Cluster { purpose: Some(Purpose::Connecting), why: "making a socket and connecting it", when: &[] },
        Cluster { purpose: Some(Purpose::SocketOptions), why: "every option of a socket", when: &[] },
        Cluster {
            purpose: Some(Purpose::Messages),
            why: "several messages at once: resolvers, QUIC; never a fast open, which connects",
            when: &[("sendmmsg", &[&[Check::Masked(3, MSG_FASTOPEN, 0)]])],
        },
    ],
};

/// The listening side of `@network`, which comes with `network.listen` only.
pub static NETWORK_LISTEN: Group = Group {
    name: "@network (listen)",
    about: "sockets that wait for others; which ports is decided by `network.listen`",
    clusters: &[Cluster { purpose: Some(Purpose::Listening), why: "taking a port", when: &[] }],
};
