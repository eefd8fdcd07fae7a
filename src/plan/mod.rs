//! The plan: exactly what will be done, for one profile on one kernel in one
//! place. Pure, printable, and the very list that `enforce` performs.

#![forbid(unsafe_code)]

mod calls;
mod check;
mod conditions;
mod dumpable;
mod elsewhere;
pub mod environment;
mod error;
mod exposed;
mod file_groups;
mod files;
mod filter_input;
mod grants;
mod index;
mod json;
mod layers;
pub mod learn;
mod libraries;
mod links;
mod make;
mod mediated;
mod missing_features;
pub mod mounts;
mod network;
pub mod numbers;
mod programs;
mod protect;
mod routes;
mod second_names;
mod sets;
mod startup;
mod step;
mod text;
mod unsupported;
mod words;

pub use check::{Mechanism, RuleEnforcement};
pub use dumpable::PR_SET_DUMPABLE;
pub use error::PlanError;
#[cfg(feature = "tool")]
pub(crate) use file_groups::{DEVICES, NAMES, RUNTIME};
pub use index::ProgramIndex;
pub use layers::{Layer, LayerState};
pub use startup::{NotifyTransport, Startup};
pub use step::Step;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use caps::CapsHashSet;
use landlock::{AccessFs, AccessNet, BitFlags};

use crate::filter::Filter;
use crate::ids::Uid;
use crate::image::FileId;
use crate::kernel::Kernel;
use crate::procfs::mountinfo::Mount;
use crate::profile::{ArgPattern, Endpoint, Fallback, Mode, OnViolation, ProfileIndex, Rights, RunAs};
use crate::syscalls::Condition;

/// What is known of the place that a plan is made for, besides its files and kernel.
#[derive(Clone, Debug)]
pub struct Place {
    /// COMMAND, resolved by PATH; none when only the profile is planned.
    pub command: Option<PathBuf>,
    /// The supervisor's pid as the app sees it: 1 in a container.
    pub supervisor: u32,
    /// The supervisor's process group as the app sees it; 0 where its first process is in
    /// another pid namespace.
    pub group: u32,
    /// The supervisor's uid, gid and supplementary groups.
    pub ids: RunAs,
    /// Capabilities that are permitted here.
    pub permitted: CapsHashSet,
    /// The bounding set here.
    pub bounding: CapsHashSet,
    /// Hard limits here: open files, file size, core; none is unlimited.
    pub hard_limits: [Option<u64>; 3],
    /// What descriptors 0–2 are open on, where that has a path.
    pub standard_files: Vec<PathBuf>,
    /// Files that the app must not be able to write: the profile, the shim, the
    /// event file; each with the word that a message has for it.
    pub guarded: Vec<(&'static str, PathBuf)>,
    /// The socket that events go to, which is one of them.
    pub event_socket: Option<PathBuf>,
    /// Symbolic links that lead to those and to programs, where they lie, and names that
    /// nothing has yet: whoever replaces or makes one has another file read, or taken for
    /// a program, at the next start.
    pub links: Vec<(&'static str, PathBuf)>,
    /// What is mounted where: one file may have two names.
    pub mounts: Vec<Mount>,
    /// The profile is an embedded one, made for no image in particular: programs
    /// that are not there are left out, with a note.
    pub embedded: bool,
}

/// Exactly what will be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The profile's name.
    pub name: String,
    /// What is done with violations: enforce, audit or learn.
    pub mode: Mode,
    /// The kernel it is for.
    pub kernel: Kernel,
    /// The ids to take on; none when they stay.
    pub run_as: Option<RunAs>,
    /// Environment variables taken out: names and `LD_*` patterns; none in audit.
    pub environment_drop: Vec<String>,
    /// Resource limits to set; none in audit.
    pub limits: Vec<(Limit, u64)>,
    /// The capability sets of the app and of the supervisor.
    pub capabilities: Capabilities,
    /// Whether the launch sets PR_SET_MDWE (Linux 6.3).
    pub mdwe: bool,
    /// The Landlock domain; none in audit, and where the kernel has none.
    pub landlock: Option<Landlock>,
    /// The seccomp filter.
    pub filter: Filter,
    /// What the supervisor decides by.
    pub policy: Arc<Policy>,
    /// Loaders and interpreters found by reading the programs.
    pub derived: Vec<Derived>,
    /// The rules on programs, each with the mechanism that enforces it.
    pub program_rules: Vec<RuleEnforcement>,
    /// The entries of `network` that no rule of the kernel can express, each with the
    /// mechanism that enforces it.
    pub socket_rules: Vec<RuleEnforcement>,
    /// Execs are verified before the first instruction (post-exec verification).
    pub checks: bool,
    /// What the kernel cannot express as narrowly as the profile.
    pub widened: Vec<Widened>,
    /// Features that this kernel or environment does not have, and what each costs.
    pub missing_features: Vec<MissingFeature>,
    /// What was left out or is worth knowing: names that this architecture does
    /// not have, capabilities that the container lacks, optional paths not there.
    pub notes: Vec<String>,
    /// Of the notes those that say which link of a path the app may have made, so that
    /// nothing behind it is granted.
    pub not_followed: Vec<String>,
    /// Whether the app starts where a required feature is missing.
    pub fallback: Fallback,
    /// The authors' reasons, by JSON Pointer of the entry.
    pub whys: BTreeMap<String, String>,
}

/// Sockets that are connected at a time, each by a thread of its own, where the supervisor
/// makes them.
pub const SOCKET_THREADS: usize = 32;

/// Threads that wait in the deciding one's place: half of them for leases, half for callers
/// that run last. What waits beyond them waits in its order, and delays only its own kind.
/// Each is made at the launch, so they are few.
pub const LATER_THREADS: usize = 2;

impl Plan {
    /// How many threads the supervisor has at most besides its first: one that decides and those that
    /// wait in its place, two that write events and diagnostics, one that reads files, and
    /// those for sockets. An unconfined app can do to them what it likes.
    pub fn threads(&self) -> usize {
        const WRITERS: usize = 2;
        if self.mode == Mode::Learn {
            return 0;
        }
        let sockets = if self.policy.makes_sockets { SOCKET_THREADS } else { 0 };
        let deciding = if self.kernel.notify.is_ok() { 1 + LATER_THREADS } else { 0 };
        deciding + WRITERS + usize::from(self.checks) + sockets
    }

    /// Of how many of these threads the filter has the numbers, so that they are made before
    /// the app's first instruction: of all, or, as each takes its time, of the first two where
    /// the others are out of reach all the same (see [`numbers`]).
    pub fn threads_in_filter(&self) -> usize {
        let scoped = self.landlock.as_ref().is_some_and(|landlock| landlock.scope_signal);
        if scoped && self.kernel.notify.is_ok() { self.threads().min(2) } else { self.threads() }
    }
}

/// A limit that the kernel keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Limit {
    OpenFiles,
    FileSize,
    Core,
}

impl Policy {
    /// Whether this variable is one that no program gets.
    pub fn refuses_variable(&self, name: &[u8]) -> bool {
        matches(&self.environment, name) && !matches(&self.environment_keep, name)
    }

    /// Whether this variable, with this value, is one that a script gets from the
    /// container's start alone.
    pub fn is_for_interpreters(&self, name: &[u8], value: &[u8]) -> bool {
        environment::is_for_interpreters(name, value) && !matches(&self.environment_keep, name)
    }
}

/// Whether a name is one of these, or begins as a pattern of them does.
pub fn matches(patterns: &[impl AsRef<str>], name: &[u8]) -> bool {
    patterns.iter().any(|pattern| match pattern.as_ref().as_bytes() {
        [start @ .., b'*'] => name.starts_with(start),
        whole => name == whole,
    })
}

impl Limit {
    /// The profile's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Limit::OpenFiles => "open_files",
            Limit::FileSize => "file_size",
            Limit::Core => "core",
        }
    }
}

/// The capability sets of the app and of the supervisor once it has been launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What the app's bounding set keeps, and its permitted and effective sets.
    pub app: CapsHashSet,
    /// Raised in the ambient set: only when the app is not root.
    pub ambient: CapsHashSet,
    /// Bounding capabilities can be dropped here (CAP_SETPCAP is there).
    pub drop_bounding: bool,
    /// What the supervisor keeps.
    pub supervisor: CapsHashSet,
}

/// The Landlock domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landlock {
    /// Rights that the domain takes away where no rule gives them.
    pub handled: BitFlags<AccessFs>,
    /// TCP rights that the domain takes away where no rule gives them.
    pub handled_net: BitFlags<AccessNet>,
    /// Signals to processes outside are refused.
    pub scope_signal: bool,
    /// Abstract unix sockets outside are refused.
    pub scope_abstract: bool,
    /// Rules on paths, sorted, one for each path.
    pub rules: Vec<PathRule>,
    /// Rules on ports.
    pub ports: BTreeMap<u16, BitFlags<AccessNet>>,
}

/// Rights on an inode and below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRule {
    /// The path, links resolved.
    pub path: PathBuf,
    /// It, as it was when planned.
    pub id: FileId,
    /// The rights of the rule, as Landlock has them.
    pub rights: BitFlags<AccessFs>,
    /// JSON Pointers of the profile's entries that it serves.
    pub because: Vec<String>,
    /// No entry names it: it was found by walking a directory, and may be gone by now.
    pub walked: bool,
}

/// A loader or an interpreter, executable for another's sake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// Its path, as the program names it.
    pub path: PathBuf,
    /// Whether it is a loader or an interpreter.
    pub role: Role,
    /// JSON Pointer of the program.
    pub because: String,
}

/// For what a derived file is executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Role {
    Loader,
    Interpreter,
}

impl Role {
    /// The format's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Loader => "loader",
            Role::Interpreter => "interpreter",
        }
    }
}

/// A right that is wider in the kernel than in the profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widened {
    /// The canonical path of the rule.
    pub path: PathBuf,
    /// The kernel's rights that go beyond the profile's.
    pub rights: BitFlags<AccessFs>,
    /// JSON Pointer of the entry that the rule serves.
    pub because: String,
    /// Whether the supervisor decides by the name what the kernel lets through; else nothing
    /// does.
    pub narrowed: bool,
}

/// A feature that the profile or a layer needs and this kernel or environment does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingFeature {
    /// The layer of the confinement, by its name in events.
    pub layer: &'static str,
    /// The kernel release, switch or right that would bring it.
    pub needs: String,
    /// What an attacker can do without it.
    pub cost: String,
    /// Whether the profile needs it, so that `fallback` decides about the start; else it is
    /// only listed.
    pub required: bool,
}

/// What the supervisor decides by: the profile against the image as it was at start.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Resolved program entries; `index` is the place in the profile.
    pub programs: Vec<PolicyProgram>,
    /// Loaders and interpreters that are not programs, and the rest that no name
    /// may be given to: inode → what it is.
    pub derived: BTreeMap<FileId, Role>,
    /// File grants by canonical path.
    pub files: Vec<FileGrant>,
    /// Inodes that no process inside may write, whatever a grant says: programs,
    /// loaders, interpreters, the profile, the shim, the event file.
    pub protected: Vec<(FileId, PathBuf)>,
    /// TCP ports that may be bound.
    pub listen_tcp: Vec<(u16, u16)>,
    /// TCP ports that may be connected to.
    pub connect_tcp: Vec<(u16, u16)>,
    /// UDP sockets may be made.
    pub udp: bool,
    /// AF_UNIX sockets of every kind may be made.
    pub unix: bool,
    /// AF_UNIX streams may be made; their names are checked when they are bound or connected.
    pub unix_named: bool,
    /// The supervisor makes every socket, and binds and connects it itself.
    pub makes_sockets: bool,
    /// The socket that events go to, to which the app may not connect, whatever `network` says.
    pub event_socket: Option<PathBuf>,
    /// Endpoints that may be bound (`network.listen`), unix paths resolved.
    pub listen: Vec<Endpoint>,
    /// Endpoints that may be connected to (`network.connect`), unix paths resolved.
    pub connect: Vec<Endpoint>,
    /// `@names`: socket(AF_UNIX) without `unix:*` is answered EAFNOSUPPORT
    /// unseen, so that getpwnam goes on without nscd.
    pub names: bool,
    /// Live processes at most.
    pub processes: Option<u32>,
    /// The supervisor's pid as the app sees it.
    pub supervisor: u32,
    /// The capabilities that the profile lists. What the container lacks of them is
    /// the container's refusal, and no violation.
    pub capabilities: CapsHashSet,
    /// The consequence of a violation.
    pub on_violation: OnViolation,
    /// Memory may be writable and executable.
    pub write_execute: bool,
    /// The kernel holds file rights itself (a Landlock domain is in force).
    pub landlock: bool,
    /// The supervisor itself makes what comes to be at a name that only it can hold:
    /// in enforce, where it can hand over what it has opened (Linux 5.14).
    pub performs: bool,
    /// Opens for reading are notified too.
    pub watch_reads: bool,
    /// Variables that no program gets: names and `LD_*` patterns.
    pub environment: Vec<String>,
    /// Variables that stay and may be set all the same.
    pub environment_keep: Vec<String>,
    /// Some program is a script, so that its interpreter's arguments are checked.
    pub scripts: bool,
    /// Every memfd is made by the supervisor, and sealed against being executed.
    pub seals_memfd: bool,
    /// When start-up ends and which calls are refused from then on; none where the profile
    /// has no `ready`.
    pub startup: Option<Startup>,
    /// The alternatives by which prctl(PR_SET_DUMPABLE) is allowed.
    pub dumpable: Vec<Vec<Condition>>,
}

/// A program entry, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyProgram {
    /// Its place in the profile's `programs`.
    pub index: ProfileIndex,
    /// The path by which the profile names it.
    pub path: PathBuf,
    /// The inode, or the directory below which all are programs.
    pub target: ProgramTarget,
    /// COMMAND may be this program.
    pub entry: bool,
    /// The inode of a script's interpreter; none for an ELF program.
    pub interpreter: Option<FileId>,
    /// The entries that it may run, by their places in the profile.
    pub may_run: Vec<ProfileIndex>,
    /// The alternatives for its arguments; none: any.
    pub args: Option<Vec<Vec<ArgPattern>>>,
    /// The applet of a multi-call binary that it is.
    pub applet: Option<String>,
    /// By what name a multi-call binary takes its applet from the next argument: the
    /// base name of its file.
    pub own_name: String,
    /// Lower-case hex of its content's SHA-256.
    pub sha256: Option<String>,
    /// The uids as which it may run; none: any.
    pub user: Option<Vec<Uid>>,
    /// Live processes at most.
    pub instances: Option<u32>,
    /// Where its code may be mapped from; none: from whatever may be read.
    pub libraries: Option<Libraries>,
}

/// Where the code of a program may be mapped from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Libraries {
    /// Directories, and all below them, by canonical path.
    pub directories: Vec<PathBuf>,
    /// Single files, as they were at start, by canonical path.
    pub files: Vec<(FileId, PathBuf)>,
    /// The program itself, its loader and its interpreter, which the list need not name.
    pub own: Vec<(FileId, PathBuf)>,
}

/// The files of this image that a program entry covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramTarget {
    /// The one file of this inode.
    File(FileId),
    /// All files below, by canonical path.
    Beneath(PathBuf),
}

/// A file entry, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileGrant {
    /// JSON Pointer of the entry.
    pub rule: String,
    /// The canonical path that the grant is for.
    pub path: PathBuf,
    /// The inode at the path when it was planned; none where there was none.
    pub id: Option<FileId>,
    /// It names this one path; else all below it too.
    pub exact: bool,
    /// The rights, as the profile has them.
    pub rights: Rights,
    /// Canonical paths below it that it does not cover (`@elsewhere`).
    pub except: Vec<PathBuf>,
}
