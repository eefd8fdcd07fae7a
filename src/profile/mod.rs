//! The intent profile, version 1: a value that exists is valid.
//!
//! [`read`] turns text into a [`Profile`] or into one exact error, [`write`]
//! turns it back, [`schema`] describes the same format for other tools, and
//! [`embedded`] has the profiles that are compiled into the binaries.

#![forbid(unsafe_code)]

mod address;
mod cross;
pub mod embedded;
mod error;
mod index;
mod json;
mod located;
mod nearest;
mod programs;
mod read;
mod rules;
mod text;
mod values;
mod words;
mod write;

use std::path::PathBuf;
use std::time::Duration;

pub use caps::Capability;
pub use nearest::nearest;

pub use error::{LONGEST_PATH, PathFault, ReadError, TextError, UnfinishedEscape};
pub use index::ProfileIndex;
#[cfg(feature = "tool")]
pub use json::positions;
#[cfg(feature = "tool")]
pub(crate) use located::{Located, Object};
#[cfg(feature = "tool")]
pub(crate) use read::strictly;
pub use read::{MAX_BYTES, read};
pub use text::{duration, endpoint, path};
pub use words::{capabilities, capability_of, capability_word, in_order};
pub use write::{endpoint_text, write};

use bitflags::bitflags;
use ipnet::IpNet;

use crate::ids::{Gid, Uid};
use crate::syscalls::Condition;

/// The format's JSON Schema (draft 2020-12), for other tools. It agrees with [`read`] except about
/// what a schema cannot express: bytes, duplicate keys, the tables of calls and constants, and
/// rules between entries.
pub fn schema() -> &'static str {
    include_str!("schema.json")
}

/// A profile as it was read.
#[derive(Clone, Debug)]
pub struct Document {
    /// The profile, parsed and checked.
    pub profile: Profile,
    /// The text, unchanged.
    pub text: String,
    /// `sha256:` and the hex digest of its bytes.
    pub digest: String,
}

impl Document {
    /// The document as a value, see [`value`].
    pub fn value(&self) -> serde_json::Value {
        value(&self.text)
    }
}

/// A document's text as a value, which a hint's JSON Patch applies to. It was read
/// once, so it is JSON.
pub fn value(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// A list's entry: the thing itself and, where the author gave one, the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// The granted file, program, endpoint, capability or call.
    pub what: T,
    /// The author's reason; printed wherever the entry is.
    pub why: Option<String>,
}

/// The grants of a container; everything else is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// 1–64 of `[a-z0-9._-]`.
    pub name: String,
    /// How strictly the gate checks the profile.
    pub risk: Risk,
    /// What the shim does with the profile.
    pub mode: Mode,
    /// The ids to change to; `None`: they stay as they are.
    pub run_as: Option<RunAs>,
    /// The app's maximum capabilities; those that the container lacks are not granted.
    pub capabilities: Vec<Entry<Capability>>,
    /// The allow-list of programs; at least one is an entry.
    pub programs: Vec<Program>,
    /// The files and the groups of files.
    pub files: Vec<FileEntry>,
    /// The endpoints that the app listens on and connects to.
    pub network: Network,
    /// System calls beyond those that the other sections allow; all of them where it is exact.
    pub syscalls: Syscalls,
    /// `memory.write_execute`: memory may be writable and executable (JITs).
    pub write_execute: bool,
    /// `environment.drop`: names and `LD_*` patterns, beyond the default.
    pub environment_drop: Vec<Entry<String>>,
    /// `environment.keep`: names and patterns that are neither dropped nor refused.
    pub environment_keep: Vec<Entry<String>>,
    /// Resource limits (setrlimit(2)), and the maximum number of processes.
    pub limits: Limits,
    /// The condition that ends start-up.
    pub ready: Option<Ready>,
    /// The denied reads that are reported.
    pub watch: Watch,
    /// The consequence of a violation.
    pub on_violation: OnViolation,
    /// The consequence of a feature that the profile needs and the kernel lacks.
    pub fallback: Fallback,
}

/// How strictly the gate checks a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Risk {
    #[default]
    Minimal,
    Elevated,
    Regulated,
}

/// What the shim does with a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Deny accesses that are not granted.
    #[default]
    Enforce,
    /// Report accesses that would be denied, deny none.
    Audit,
    /// Record what the app does in a journal.
    Learn,
    /// Be the init only.
    Off,
}

/// The denied reads that are reported. To know of one, each open for reading has to be notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Watch {
    /// None: `"watch": []`.
    Nothing,
    /// Those of secrets, where there is one at the start that is not granted: without `watch`.
    #[default]
    SecretsThere,
    /// Those of secrets: `"watch": ["secrets"]`.
    Secrets,
    /// All: `"watch": ["reads"]`.
    Reads,
}

/// The ids to which the launch changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// Real, effective and saved uid.
    pub user: Uid,
    /// Real, effective and saved gid.
    pub group: Gid,
    /// Supplementary groups (setgroups(2)).
    pub groups: Vec<Gid>,
}

/// One entry of the allow-list of programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The file or files.
    pub place: ProgramPlace,
    /// Of the files below the directory those that came with the image, and no others.
    pub from_image: bool,
    /// COMMAND may be this program.
    pub entry: bool,
    /// The interpreter that the script's `#!` line has to name.
    pub interpreter: Option<PathBuf>,
    /// The entries that it may execute.
    pub may_run: Vec<Entry<Transition>>,
    /// The alternatives for its arguments after argv\[0\]; `None`: any.
    pub args: Option<Vec<Vec<ArgPattern>>>,
    /// The name by which a multi-call binary is called.
    pub applet: Option<String>,
    /// Lower-case hex of its content's SHA-256.
    pub sha256: Option<String>,
    /// The uids as which it may run; `None`: any.
    pub user: Option<Vec<Uid>>,
    /// The maximum number of live processes.
    pub instances: Option<u32>,
    /// The paths from which code may be mapped; `None`: every readable file.
    pub libraries: Option<Vec<PathBuf>>,
    /// The author's reason.
    pub why: Option<String>,
}

/// The file or files of a program entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramPlace {
    /// The one file at this path.
    Path(PathBuf),
    /// Every file below a directory.
    Beneath(PathBuf),
}

impl ProgramPlace {
    /// The path, whichever it is.
    pub fn path(&self) -> &std::path::Path {
        match self {
            ProgramPlace::Path(path) | ProgramPlace::Beneath(path) => path,
        }
    }
}

/// A `may_run` item, a program that another may execute: an entry's path, perhaps one applet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The `path` or `beneath` of an entry.
    pub path: PathBuf,
    /// One applet; `None`: all of them.
    pub applet: Option<String>,
}

/// One position of an argument list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgPattern {
    /// The argument is this text.
    Exact(String),
    /// `*` is any run of characters, and `\` makes a character mean itself.
    Glob(String),
    /// `"..."`, last only: any rest.
    Rest,
}

impl ArgPattern {
    /// A pattern as it is written. One without a `*` of its own is an exact text.
    ///
    /// # Errors
    /// It ends with a `\` before no character.
    pub fn glob(written: &str) -> Result<ArgPattern, UnfinishedEscape> {
        let (mut text, mut is_pattern) = (String::with_capacity(written.len()), false);
        let mut rest = written.chars();
        while let Some(c) = rest.next() {
            is_pattern |= c == '*';
            match c {
                '\\' => text.push(rest.next().ok_or(UnfinishedEscape)?),
                c => text.push(c),
            }
        }
        Ok(if is_pattern { ArgPattern::Glob(written.to_owned()) } else { ArgPattern::Exact(text) })
    }

    /// An exact text as the pattern that means it alone, where the text by itself means more
    /// (`...`) or would be taken for more (`*`).
    pub fn escaped(text: &str) -> Option<String> {
        match text {
            "..." => Some("\\...".to_owned()),
            _ if text.contains('*') => Some(text.replace('\\', "\\\\").replace('*', "\\*")),
            _ => None,
        }
    }
}

/// An entry of `files`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEntry {
    /// A named set, printed by the plan.
    Group(Entry<FileGroup>),
    /// A path and the rights on it and, for a directory, below it.
    Path(FileRule),
}

/// The named sets of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileGroup {
    /// `@runtime`: what a dynamic program needs to start.
    Runtime,
    /// `@names`: hosts, users and services.
    Names,
    /// `@elsewhere`: every file at start except /proc, /sys, /dev, programs, and the files that the
    /// loader reads and maps by itself.
    Elsewhere,
    /// `@gpu`: the devices of graphics processors that are there, and what their libraries read.
    Gpu,
}

/// A path and the rights on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRule {
    /// The absolute path, as the app names it.
    pub path: PathBuf,
    /// The rights on it, and for a directory on all below it.
    pub allow: Rights,
    /// It may be missing at start.
    pub optional: bool,
    /// The author's reason.
    pub why: Option<String>,
}

bitflags! {
    /// A set of the rights of a file entry.
    #[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
    pub struct Rights: u8 {
        /// Open for reading, and [`LIST`](Rights::LIST).
        const READ = 1 | 32;
        /// Open a directory, and read the names in it.
        const LIST = 32;
        /// Open for writing, truncate, append.
        const WRITE = 2;
        /// Make new names in a directory.
        const CREATE = 4;
        /// Remove names from a directory.
        const REMOVE = 8;
        /// ioctl on device files.
        const IOCTL = 16;
    }
}

impl Rights {
    /// The empty set.
    pub const NONE: Rights = Rights::empty();
    /// Those on a file itself, whatever its name; the others are on names in a directory.
    pub const ON_FILE: Rights = Rights::READ.union(Rights::WRITE).union(Rights::IOCTL);
    /// Each right with its name in the format; one that has another within it comes before that one.
    pub const NAMES: [(Rights, &'static str); 6] = [
        (Rights::READ, "read"),
        (Rights::LIST, "list"),
        (Rights::WRITE, "write"),
        (Rights::CREATE, "create"),
        (Rights::REMOVE, "remove"),
        (Rights::IOCTL, "ioctl"),
    ];

    /// The names of the rights, in the format's order: not `list` where it is within `read`.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let of = |right| Rights::NAMES.into_iter().find(|(named, _)| *named == right).map(|(_, word)| word);
        self.iter().filter_map(of)
    }

    /// The rights that another set lacks, each whole: what lacks `read` lacks it, though it may have `list`.
    pub fn beyond(self, other: Rights) -> Rights {
        self.iter().filter(|right| !other.contains(*right)).collect()
    }
}

impl std::fmt::Debug for Rights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.words()).finish()
    }
}

/// The endpoints that the app listens on and connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Ports and sockets bound.
    pub listen: Vec<Entry<Endpoint>>,
    /// Ports and sockets connected to.
    pub connect: Vec<Entry<Endpoint>>,
}

/// `tcp/6379`, `udp/*`, `unix:/run/app.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `tcp/PORTS` or `tcp/ADDRESS:PORTS`.
    Tcp(AddressRule),
    /// `udp/PORTS` or `udp/ADDRESS:PORTS`.
    Udp(AddressRule),
    /// `icmp`: ping sockets of IPv4 and IPv6, by which a process asks whether a host answers (icmp(7)).
    Icmp,
    /// `netlink`: the kernel's list of sockets (sock_diag(7)) and its messages about devices (uevent).
    Netlink,
    /// `unix:*`: every unix socket, with whatever name.
    UnixAny,
    /// `unix:/path`: the socket file of this path.
    UnixPath(PathBuf),
    /// `unix:@name`, in the abstract namespace.
    UnixAbstract(String),
}

impl Endpoint {
    /// Whether it is UDP by port or address, with which this version refuses to start.
    pub fn is_refused_at_start(&self) -> bool {
        matches!(self, Endpoint::Udp(rule) if rule.network.is_some() || rule.ports != (0, u16::MAX))
    }
}

/// An address, or any, and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRule {
    /// An address or a network; `None`: any. The address has no bits beyond the prefix.
    pub network: Option<IpNet>,
    /// First and last port; `*` is 0–65535.
    pub ports: (u16, u16),
}

impl Profile {
    /// Whether `files` lets the app change, make or remove some file.
    pub fn changes_files(&self) -> bool {
        changes_files(&self.files)
    }
}

/// Whether one of these entries lets the app change, make or remove some file.
pub fn changes_files(files: &[FileEntry]) -> bool {
    let changes = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);
    files.iter().any(|entry| match entry {
        FileEntry::Path(rule) => rule.allow.intersects(changes),
        FileEntry::Group(group) => group.what == FileGroup::Elsewhere,
    })
}

/// The calls beyond those that the other sections allow, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syscalls {
    /// The other sections bring no calls: what is listed is allowed, and what the launch needs.
    pub exact: bool,
    /// Calls that are allowed for the app's whole life.
    pub allow: Vec<Entry<SyscallRule>>,
    /// Calls denied after `ready`, whatever section allows them.
    pub startup_only: Vec<Entry<SyscallRule>>,
}

/// A call, a group of calls, or a call with a condition on one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyscallRule {
    /// Every call of a group: `@core`, `@files`, `@network`, `@base`, `@failure`.
    Group(&'static str),
    /// A call with any arguments.
    Call(&'static str),
    /// A call whose argument meets a condition.
    When(&'static str, Condition),
}

/// Resource limits: soft and hard alike. Absent: inherited, but `core` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Live processes, counted by the supervisor.
    pub processes: Option<u32>,
    /// RLIMIT_NOFILE: one more than the highest descriptor number.
    pub open_files: Option<u64>,
    /// RLIMIT_FSIZE: the greatest size of a file that is written, in bytes.
    pub file_size: Option<u64>,
    /// RLIMIT_CORE: the greatest size of a core dump, in bytes. Where it is absent, the app starts
    /// with a soft limit of 0 and the hard limit that was inherited.
    pub core: Option<u64>,
}

/// The condition that ends start-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Every `network.listen` entry has its socket and none came for 1 s.
    Listening,
    /// The app has sent `READY=1` on NOTIFY_SOCKET (sd_notify(3)).
    Notify,
    /// This time has passed since the launch.
    Delay(Duration),
}

/// The consequence of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnViolation {
    /// The call fails with an errno, and an event is logged.
    #[default]
    Deny,
    /// The calling process is sent SIGKILL.
    Kill,
    /// The container ends with 137.
    Stop,
}

/// The consequence of a feature that the profile needs and the kernel lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fallback {
    /// The shim does not start the app, and exits with 125.
    #[default]
    Refuse,
    /// The app starts; the start event lists each missing feature.
    Degrade,
}
