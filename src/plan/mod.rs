//! The plan: the steps and rules for one profile on one kernel and host. Pure, printable, and the
//! very list that `enforce` performs.

#![forbid(unsafe_code)]

#[cfg(feature = "tool")]
mod alone;
mod calls;
mod check;
mod conditions;
mod data;
mod devices;
mod dumpable;
mod elsewhere;
pub mod environment;
mod error;
mod exact;
mod exposed;
mod file_groups;
mod files;
mod filter_input;
pub mod first_process;
mod grants;
mod handled;
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
mod provenance;
mod routes;
mod second_names;
pub mod secrets;
mod sets;
mod startup;
mod step;
mod text;
mod unsupported;
mod words;

#[cfg(feature = "tool")]
pub use alone::filter_alone;
#[cfg(feature = "tool")]
pub(crate) use calls::LOADER;
pub use check::{Mechanism, RuleEnforcement};
pub use data::belongs_to_code;
pub use dumpable::PR_SET_DUMPABLE;
pub use error::{PlanError, PlanFault};
#[cfg(feature = "tool")]
pub(crate) use exact::LAUNCH;
#[cfg(feature = "tool")]
pub(crate) use file_groups::{
    DEVICES, ELSEWHERE_DEVICES, GPU, GPU_DEVICES, KERNELS, LIBRARIES, NAMES, OWN_PROCESS, RUNTIME,
};
pub use index::ProgramIndex;
pub use layers::{Layer, LayerState};
pub(crate) use mediated::WRITES;
pub use provenance::{Births, FileProvenance};
pub use routes::options as options_without_routes;
pub use startup::{NotifyTransport, Startup};
pub use step::Step;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use caps::CapsHashSet;
use landlock::{AccessFs, AccessNet, BitFlags};

use self::environment::value::ValueKind;
use crate::filter::Filter;
use crate::ids::{Gid, Uid};
use crate::image::FileId;
use crate::kernel::Kernel;
use crate::procfs::mountinfo::MountInfo;
use crate::profile::{ArgPattern, Endpoint, Fallback, Mode, OnViolation, ProfileIndex, Rights, RunAs, Watch};
use crate::syscalls::Condition;

/// The host or container for which a plan is made, besides its files and kernel.
#[derive(Clone, Debug)]
pub struct Host {
    /// COMMAND, resolved by PATH; `None` when only the profile is planned.
    pub command: Option<PathBuf>,
    /// The supervisor's pid as the app sees it: 1 in a container.
    pub supervisor: u32,
    /// The supervisor's process group as the app sees it; 0 where its first process is in
    /// another pid namespace.
    pub group: u32,
    /// The supervisor's uid, gid and supplementary groups.
    pub ids: RunAs,
    /// The supervisor's permitted capabilities.
    pub permitted: CapsHashSet,
    /// The supervisor's bounding set.
    pub bounding: CapsHashSet,
    /// Hard limits of open files, file size and core; `None` is unlimited.
    pub hard_limits: [Option<u64>; 3],
    /// The paths on which descriptors 0–2 are open, where they have one.
    pub standard_files: Vec<PathBuf>,
    /// Files that the app must not be able to write: the profile, the shim, the event file; each
    /// with its name in messages.
    pub guarded: Vec<(&'static str, PathBuf)>,
    /// The event socket, if any, which is one of the `guarded`.
    pub event_socket: Option<PathBuf>,
    /// Symbolic links to those and to programs, by their own paths, and paths that do not exist
    /// yet: if the app replaces or creates one, the next start reads another file, or takes it for
    /// a program.
    pub links: Vec<(&'static str, PathBuf)>,
    /// The mounts: one file may have two names.
    pub mounts: Vec<MountInfo>,
    /// When the container was made.
    pub births: Births,
    /// The directory that the app starts in.
    pub working_directory: Option<PathBuf>,
    /// The profile is an embedded one, for no particular image: programs that the image lacks are
    /// left out, with a note.
    pub embedded: bool,
}

impl Host {
    /// A container whose supervisor is PID 1 and root, with these capabilities permitted and in
    /// the bounding set. It has no limits, and no file is to be guarded.
    pub fn container(permitted: CapsHashSet) -> Host {
        Host {
            command: None,
            supervisor: 1,
            group: 1,
            ids: RunAs { user: Uid::from_raw(0), group: Gid::from_raw(0), groups: Vec::new() },
            bounding: permitted.clone(),
            permitted,
            hard_limits: [None; 3],
            standard_files: Vec::new(),
            guarded: Vec::new(),
            event_socket: None,
            links: Vec::new(),
            mounts: Vec::new(),
            births: Births::default(),
            working_directory: None,
            embedded: false,
        }
    }
}

/// The steps, rules and decisions for one profile.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The profile's name.
    pub name: String,
    /// The mode: enforce, audit or learn.
    pub mode: Mode,
    /// The kernel it is for.
    pub kernel: Kernel,
    /// The ids to change to; `None` when they stay.
    pub run_as: Option<RunAs>,
    /// Environment variables to remove: names and `LD_*` patterns; empty in audit.
    pub environment_drop: Vec<String>,
    /// Resource limits to set; empty in audit.
    pub limits: Vec<(ResourceLimit, u64)>,
    /// The capability sets of the app and of the supervisor.
    pub capabilities: Capabilities,
    /// Whether the launch sets PR_SET_MDWE (Linux 6.3).
    pub mdwe: bool,
    /// The Landlock domain; `None` in audit, and where the kernel has no Landlock.
    pub landlock: Option<Landlock>,
    /// The seccomp filter.
    pub filter: Filter,
    /// Calls that the filter has for the launch, where the profile is exact and does not list them.
    pub launch: Vec<&'static str>,
    /// The rules by which the supervisor decides.
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
    /// Rules of the kernel that are wider than the profile.
    pub widened: Vec<Widened>,
    /// Features that this kernel or environment does not have, and what each costs.
    pub missing_features: Vec<MissingFeature>,
    /// Parts of the profile without effect: names that this architecture does not have,
    /// capabilities that the container lacks, optional paths that do not exist.
    pub notes: Vec<String>,
    /// The notes about paths over a link that the app may have created, behind which nothing is
    /// granted.
    pub not_followed: Vec<String>,
    /// Whether the app starts where a required feature is missing.
    pub fallback: Fallback,
    /// The authors' reasons, by JSON Pointer of the entry.
    pub whys: BTreeMap<String, String>,
}

/// The number of sockets that are connected at a time, each by a thread, where the supervisor
/// creates them.
pub const SOCKET_THREADS: usize = 32;

/// Threads that wait for the deciding one: half of them for leases, half for callers that run
/// last. Further waits are queued, and delay only those of the same kind. Each thread is created
/// at the launch, so they are few.
pub const LATER_THREADS: usize = 2;

impl Plan {
    /// Whether the launch removes a variable of this name whatever its value is: the profile drops
    /// it by name. The loader's are checked by their values.
    pub fn drops(&self, name: &[u8]) -> bool {
        let all = |pattern: &String| pattern == "*";
        let by_name = self.policy.is_dropped_by_name(name) || self.environment_drop.iter().any(all);
        by_name && !matches(&self.policy.environment_keep, name)
    }

    /// The maximum number of the supervisor's threads besides its first: one that decides and those
    /// that wait for it, two that write events and diagnostics, one that reads files, and those for
    /// sockets. An unconfined app can signal them.
    pub fn threads(&self) -> usize {
        const WRITERS: usize = 2;
        if self.mode == Mode::Learn {
            return 0;
        }
        let sockets = if self.policy.makes_sockets { SOCKET_THREADS } else { 0 };
        let deciding = if self.kernel.notify.is_ok() { 1 + LATER_THREADS } else { 0 };
        deciding + WRITERS + usize::from(self.checks) + sockets
    }

    /// The number of these threads whose tids are in the filter, so that the filter is loaded after
    /// they are created: all, or, since the launch waits for each, only the one that decides where a
    /// Landlock domain protects the others (see [`numbers`]).
    pub fn threads_in_filter(&self) -> usize {
        let scoped = self.landlock.as_ref().is_some_and(|landlock| landlock.scope_signal);
        if scoped && self.kernel.notify.is_ok() { self.threads().min(1) } else { self.threads() }
    }
}

/// A resource limit that the kernel enforces (setrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ResourceLimit {
    OpenFiles,
    FileSize,
    Core,
    /// RLIMIT_CORE, the soft limit alone.
    SoftCore,
}

impl Policy {
    /// Whether the profile drops a variable by its name.
    pub fn is_dropped_by_name(&self, name: &[u8]) -> bool {
        matches(&self.environment, name)
    }

    /// What the value of a variable is that no program may get unless it is harmless; `None` for
    /// every other variable. The profile's own names are dropped with any value.
    pub fn variable(&self, name: &[u8]) -> Option<ValueKind> {
        let own = || self.is_dropped_by_name(name).then_some(ValueKind::Opaque);
        own().or_else(|| environment::of_loader(name)).filter(|_| !matches(&self.environment_keep, name))
    }

    /// The same of a variable that a script gets, with this value, from the container's environment
    /// alone unless it is harmless.
    pub fn variable_of_scripts(&self, name: &[u8], value: &[u8]) -> Option<ValueKind> {
        environment::of_interpreters(name, value).filter(|_| !matches(&self.environment_keep, name))
    }
}

/// Whether a name is one of these, or matches one of the patterns that end in `*`.
pub fn matches(patterns: &[impl AsRef<str>], name: &[u8]) -> bool {
    patterns.iter().any(|pattern| match pattern.as_ref().as_bytes() {
        [start @ .., b'*'] => name.starts_with(start),
        whole => name == whole,
    })
}

impl ResourceLimit {
    /// The limit's key in a profile, or what is set where the profile has none.
    pub const fn name(self) -> &'static str {
        match self {
            ResourceLimit::OpenFiles => "open_files",
            ResourceLimit::FileSize => "file_size",
            ResourceLimit::Core => "core",
            ResourceLimit::SoftCore => "core (soft)",
        }
    }
}

/// The capability sets of the app and of the supervisor once it has been launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The app's bounding, permitted and effective sets.
    pub app: CapsHashSet,
    /// The app's ambient set: empty when the app is root.
    pub ambient: CapsHashSet,
    /// The launch can drop capabilities from the bounding set (it has CAP_SETPCAP).
    pub drop_bounding: bool,
    /// The supervisor's permitted and effective sets.
    pub supervisor: CapsHashSet,
}

/// The Landlock domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landlock {
    /// The handled rights: denied where no rule grants them.
    pub handled: BitFlags<AccessFs>,
    /// The handled TCP rights: denied where no rule grants them.
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
    /// The inode at the path when the plan was made.
    pub id: FileId,
    /// The rights of the rule, in Landlock's terms.
    pub rights: BitFlags<AccessFs>,
    /// JSON Pointers of the profile's entries that need the rule.
    pub because: Vec<String>,
    /// No entry names the path: it was found by walking a directory, and may have been removed.
    pub walked: bool,
}

/// A loader or an interpreter, executable because a program needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// The path, as the program names it.
    pub path: PathBuf,
    /// Whether it is a loader or an interpreter.
    pub role: Role,
    /// JSON Pointer of the program.
    pub because: String,
}

/// The role for which a derived file is executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Role {
    Loader,
    Interpreter,
}

impl Role {
    /// The role's name in the format.
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
    /// JSON Pointer of the entry that needs the rule.
    pub because: String,
    /// Whether the supervisor decides by name about calls that the kernel allows; else nothing
    /// narrows them.
    pub narrowed: bool,
}

/// A feature that the profile or a layer needs and this kernel or environment does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingFeature {
    /// The layer of the confinement, by its name in events.
    pub layer: &'static str,
    /// The kernel release, setting or right that would add it.
    pub needs: String,
    /// What an attacker can do without it.
    pub cost: String,
    /// Whether the profile needs it, so that `fallback` decides about the start; else it is
    /// only listed.
    pub required: bool,
}

/// The rules by which the supervisor decides: the profile, resolved in the image at start.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Resolved program entries; `index` is the entry's index in the profile.
    pub programs: Vec<PolicyProgram>,
    /// Loaders and interpreters that are not programs, and so may get no new name: inode → role.
    pub derived: BTreeMap<FileId, Role>,
    /// File grants by canonical path.
    pub files: Vec<FileGrant>,
    /// Inodes that no process inside may write, whatever a grant says: programs,
    /// loaders, interpreters, the profile, the shim, the event file.
    pub protected: Vec<(FileId, PathBuf)>,
    /// Directories below which nothing runs, though they lie below one of programs: what the
    /// engine mounted there for data.
    pub never_run: Vec<PathBuf>,
    /// A directory below one of programs, in which the image has none, is data (`@elsewhere`): it is
    /// looked at when something is to be changed in it.
    pub looks_for_data: bool,
    /// Paths that `@elsewhere` excludes, but for directories of programs and the kernel's trees.
    pub reserved: Vec<PathBuf>,
    /// Which files came with the image.
    pub provenance: FileProvenance,
    /// TCP ports that may be bound.
    pub listen_tcp: Vec<(u16, u16)>,
    /// TCP ports that may be connected to.
    pub connect_tcp: Vec<(u16, u16)>,
    /// UDP sockets may be made.
    pub udp: bool,
    /// Ping sockets may be made.
    pub icmp: bool,
    /// Netlink sockets for the kernel's lists and messages may be made.
    pub netlink: bool,
    /// AF_UNIX sockets of every kind may be made.
    pub unix: bool,
    /// AF_UNIX streams may be made; their names are checked when they are bound or connected.
    pub unix_named: bool,
    /// The supervisor creates every socket, and binds and connects it itself.
    pub makes_sockets: bool,
    /// The event socket, to which the app may not connect, whatever `network` grants.
    pub event_socket: Option<PathBuf>,
    /// Endpoints that may be bound (`network.listen`), unix paths resolved.
    pub listen: Vec<Endpoint>,
    /// Endpoints that may be connected to (`network.connect`), unix paths resolved.
    pub connect: Vec<Endpoint>,
    /// `@names`: socket(AF_UNIX) without `unix:*` fails with EAFNOSUPPORT and no event, so that
    /// getpwnam continues without nscd.
    pub names: bool,
    /// The maximum number of live processes.
    pub processes: Option<u32>,
    /// The supervisor's pid as the app sees it.
    pub supervisor: u32,
    /// The capabilities that the profile lists. A call that needs one which the container lacks is
    /// no violation.
    pub capabilities: CapsHashSet,
    /// The consequence of a violation.
    pub on_violation: OnViolation,
    /// Memory may be writable and executable.
    pub write_execute: bool,
    /// The kernel enforces file rights itself (a Landlock domain is in force).
    pub landlock: bool,
    /// The supervisor itself creates files at names for which Landlock has no rule: in enforce,
    /// where it can install descriptors in the app (Linux 5.14).
    pub performs: bool,
    /// It performs what truncates a file that is not opened for writing, too, and answers each
    /// openat2(2): no rule of the kernel's decides on TRUNCATE.
    pub truncates: bool,
    /// The denied reads that are reported; where there are some, opens for reading are notified too.
    pub watch: Watch,
    /// Variables that no program may get, besides the loader's: names and `LD_*` patterns.
    pub environment: Vec<String>,
    /// Exceptions from `environment`: variables that stay and may be set.
    pub environment_keep: Vec<String>,
    /// Some program is a script, so that its interpreter's arguments are checked.
    pub scripts: bool,
    /// The supervisor creates every memfd, sealed with MFD_NOEXEC_SEAL.
    pub seals_memfd: bool,
    /// The end of start-up and the calls denied after it; `None` where the profile has no `ready`.
    pub startup: Option<Startup>,
    /// The alternatives by which prctl(PR_SET_DUMPABLE) is allowed.
    pub dumpable: Vec<Vec<Condition>>,
    /// clone(2) may make processes, and not threads alone.
    pub forks: bool,
}

/// A program entry, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyProgram {
    /// The index of its entry in the profile's `programs`.
    pub index: ProfileIndex,
    /// The path by which the profile names it.
    pub path: PathBuf,
    /// The inode, or the directory below which all are programs.
    pub target: ProgramTarget,
    /// Of the files below a directory those that came with the image, and no others.
    pub from_image: bool,
    /// COMMAND may be this program.
    pub entry: bool,
    /// The inode of a script's interpreter; none for an ELF program.
    pub interpreter: Option<FileId>,
    /// The entries that it may run, by their indices in the profile.
    pub may_run: Vec<ProfileIndex>,
    /// The alternatives for its arguments; `None`: any.
    pub args: Option<Vec<Vec<ArgPattern>>>,
    /// The applet of a multi-call binary, where the entry has one.
    pub applet: Option<String>,
    /// The base name of its file: with this name as argv\[0\], a multi-call binary takes its applet
    /// from the next argument.
    pub own_name: String,
    /// Lower-case hex of its content's SHA-256.
    pub sha256: Option<String>,
    /// The uids as which it may run; `None`: any.
    pub user: Option<Vec<Uid>>,
    /// The maximum number of live processes.
    pub instances: Option<u32>,
    /// The files from which its code may be mapped; `None`: every readable one.
    pub libraries: Option<Libraries>,
}

/// The files from which the code of a program may be mapped.
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
    /// The inode at the path when the plan was made; `None` where it did not exist.
    pub id: Option<FileId>,
    /// It covers this one path; else all below it too.
    pub exact: bool,
    /// The rights, in the profile's terms.
    pub rights: Rights,
    /// Canonical paths below it that it does not cover (`@elsewhere`).
    pub except: Vec<PathBuf>,
}
