//! One row of the table, and the types of its columns.

use caps::Capability;
use nix::errno::Errno;

pub use super::class::Class;
pub use super::groups::Purpose;
use super::numbers::NONE;
use crate::kernel::{Arch, Release};

/// The properties of one system call. All code that treats calls individually reads them here:
/// the filter, the plan, the enforcer, the recorder, learning and verification.
#[derive(Clone, Copy, Debug)]
pub struct Syscall {
    /// Its name, as in `__NR_*`.
    pub name: &'static str,
    x86_64: u16,
    aarch64: u16,
    /// The release that added it; 4.18 for every older one.
    pub since: Release,
    /// The kinds of its arguments; [`Arg::Unknown`] from the first undescribed one on.
    pub args: [Arg; 6],
    /// How a notification of it is decided, and how it is learned.
    pub handler: Handler,
    /// Why a group contains it, whatever its arguments.
    pub group: Option<Purpose>,
    /// The class of calls that give the same power.
    pub class: Option<Class>,
    /// The capability that the kernel checks for.
    pub privilege: Privilege,
    /// No learning run notifies it: a call without arguments that the kernel makes a process repeat,
    /// or make where a function of it is watched; the exit of its caller; and `sendmsg`, by which the
    /// launch passes the listener before any notification can be answered.
    pub unnotified: bool,
    /// The kernel never refuses it for want of a capability, and programs make it very often, so
    /// `remit verify` does not trace it.
    pub untraced: bool,
}

/// The kind of an argument, which determines how much of the register the kernel reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// The table does not describe this argument.
    Unknown,
    /// An `int`, `unsigned int` or 32-bit id that remit does not interpret.
    Int,
    /// A `umode_t`, 16 bits.
    Mode,
    /// A `long`, a size, an offset or an address as a number.
    Long,
    /// An address in the caller's memory.
    Pointer,
    /// Its type depends on another argument of the call.
    Varies,
    /// The address of a path.
    Path,
    /// The descriptor of the directory from which the next argument's path is resolved.
    Dirfd,
    /// Any other descriptor.
    Fd,
    /// Flags in an `int`.
    Flags,
    /// Flags in a `long`.
    LongFlags,
    /// PROT_* flags, in a `long`.
    Prot,
    /// A pointer to a `struct sockaddr` that the kernel reads.
    Sockaddr,
    /// A user id or group id.
    Id,
    /// A signal number.
    Signal,
    /// The pid or tid of the process or thread that the call acts on, where the kernel also checks
    /// permission to signal or ptrace(2) it: a Landlock domain that scopes signals covers the call.
    /// An argument of a call that only reads a property of it is an [`Arg::Int`].
    Pid,
    /// Like `Pid`, where the kernel only requires the same user: no Landlock domain covers it.
    Task,
    /// Like `Pid` when argument 0 is PRIO_PROCESS (setpriority(2)); otherwise a group or a user.
    PriorityTarget,
    /// Like `Pid` when argument 0 is IOPRIO_WHO_PROCESS (ioprio_set(2)); otherwise a group or a user.
    IopriorityTarget,
    /// The process (tgid) of the thread in the next argument.
    Tgid,
    /// A thread (tid) of the process in the argument before it.
    Tid,
    /// The process group into which another process, or the caller, moves.
    Pgid,
    /// With F_SETOWN a process or, negative, a process group; with other commands another type
    /// (fcntl(2)).
    Owner,
}

/// How much of an argument's register the kernel reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// An `int` or `unsigned int`: the kernel ignores the upper half, so a comparison with the whole
    /// register could be evaded.
    Bits32,
    /// A `umode_t`: the lower 16 bits.
    Bits16,
    /// A `long`, a size or an offset.
    Bits64,
}

/// How a call is decided and what a learning run records of it. The plan, the filter of a learning
/// run, the enforcer and the recorder each match every variant, so that a new one does not compile
/// before all of them handle it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Only `syscalls` and `capabilities` apply: the filter decides it, and a notification of it is
    /// decided by the registers.
    Plain,
    /// The filter returns ENOSYS whatever the profile grants: the call's flags are in memory, which a
    /// filter cannot read, and libraries fall back to an older call.
    NotImplemented,
    /// Executes a program: `programs`.
    Exec,
    /// Opens a path: `files`. By [`Arg::Flags`] the filter recognizes an open for reading only;
    /// a call without such an argument is always notified.
    Open,
    /// Creates, removes, renames, links or truncates a file: `files`.
    Change(Change),
    /// Changes an attribute of an inode: `capabilities`.
    Attribute(Attribute),
    /// Binds a socket to an address: `network.listen`.
    Bind,
    /// Connects a socket: `network.connect`.
    Connect,
    /// Sends, which may connect (MSG_FASTOPEN); of a call with [`Arg::Sockaddr`] a learning run
    /// records the destination.
    Send,
    /// Creates a socket: `network`.
    Socket,
    /// Creates a pair of connected sockets.
    Socketpair,
    /// Waits for connections: `network.listen`.
    Listen,
    /// Sets an option of a socket.
    SocketOption,
    /// Signals a process by pid; denied for the supervisor.
    Signal,
    /// Signals a thread by tid.
    SignalThread,
    /// Signals a process by pidfd.
    SignalPidfd,
    /// Opens a pidfd, by which the process may be signalled.
    PidfdOpen,
    /// Maps memory: `memory`, `libraries`.
    Map,
    /// Changes the protection of mapped memory: `memory`, `libraries`.
    Protect,
    /// Attaches shared memory: `memory`.
    Attach,
    /// Creates a process: `limits`, `instances`. With [`Arg::LongFlags`] it may create a thread.
    Fork,
    /// prctl(2), whose PR_SET_DUMPABLE makes the process's memory unreadable.
    Prctl,
    /// Creates a file in memory, which has no path.
    Memfd,
    /// Changes user ids: the caller's memory cannot be read afterwards.
    SetUid,
    /// Changes group ids.
    SetGid,
    /// Changes the supplementary groups.
    SetGroups,
    /// Sets the thread's capabilities (capset(2)).
    Capset,
    /// Changes scheduling attributes, also of another process.
    Schedule,
    /// Sets or consumes a resource limit (getrlimit(2)).
    Limit(Limit),
    /// ioctl(2), which may control a device.
    Ioctl,
    /// Changes how the caller's paths resolve: its root, its mounts, its namespaces.
    Root,
    /// personality(2), whose READ_IMPLIES_EXEC makes all readable memory executable.
    Personality,
}

/// A change of a directory tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Creates a directory.
    MakeDirectory,
    /// Creates a file, pipe, socket or device.
    MakeNode,
    /// Creates a symbolic link; argument 0 is its target.
    MakeLink,
    /// Removes a name; a directory's with AT_REMOVEDIR.
    Remove,
    /// Removes a directory.
    RemoveDirectory,
    /// Renames a file or directory.
    Rename,
    /// Creates a hard link.
    Link,
    /// Truncates a file.
    Truncate,
}

/// An attribute of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Owner and group.
    Owner,
    /// Permission bits (chmod(2)).
    Mode,
    /// Times of access and modification.
    Times,
}

/// The effect of a call on a resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Sets a limit: of the caller, or of an [`Arg::Task`].
    Set,
    /// Locks memory, up to RLIMIT_MEMLOCK: so many bytes, or with [`Arg::Flags`] all of it.
    Lock,
}

/// The capability that the kernel checks for in a call (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// None, or one that depends on more than the table has.
    None,
    /// Without it the call can do nothing, or next to nothing: a setuid to the caller's own saved id,
    /// a chown to the caller's own group.
    Needed(Capability),
    /// Whether it needs it depends on flags (a user namespace), on whose the object is, or on a setting
    /// of the kernel (kernel.perf_event_paranoid, kernel.unprivileged_bpf_disabled, kernel.dmesg_restrict).
    Mostly(Capability),
    /// A group contains the call, and it needs the capability for some arguments, files or processes.
    /// A learning run notifies it where the app can have the capability.
    Sometimes(Capability),
}

impl Arg {
    /// How much of the register the kernel reads; `None` where that is unknown, or where the argument
    /// is an address.
    pub const fn width(self) -> Option<Width> {
        match self {
            Arg::Mode => Some(Width::Bits16),
            Arg::Long | Arg::LongFlags | Arg::Prot => Some(Width::Bits64),
            Arg::Int | Arg::Dirfd | Arg::Fd | Arg::Flags | Arg::Id | Arg::Signal => Some(Width::Bits32),
            Arg::Pid
            | Arg::Task
            | Arg::PriorityTarget
            | Arg::IopriorityTarget
            | Arg::Tgid
            | Arg::Tid
            | Arg::Pgid => Some(Width::Bits32),
            Arg::Unknown | Arg::Pointer | Arg::Varies | Arg::Path | Arg::Sockaddr | Arg::Owner => None,
        }
    }
}

impl Handler {
    /// The errno with which the call's section denies; [`Syscall::unlisted`] is the errno of a call
    /// that the profile does not list.
    ///
    /// EACCES is the kernel's errno where permission bits deny a path, a program, a port or executable
    /// memory: programs print it with the name and try the next path. EAGAIN is that of fork(2) at
    /// RLIMIT_NPROC: programs wait and retry. All others are denied as for want of a capability, with
    /// EPERM: programs continue without.
    pub const fn denied(self) -> Errno {
        match self {
            Handler::Exec | Handler::Open | Handler::Change(_) => Errno::EACCES,
            Handler::Bind | Handler::Connect | Handler::Socket | Handler::Listen => Errno::EACCES,
            Handler::Map | Handler::Protect | Handler::Attach => Errno::EACCES,
            Handler::Fork => Errno::EAGAIN,
            Handler::NotImplemented => Errno::ENOSYS,
            _ => Errno::EPERM,
        }
    }
}

impl Syscall {
    /// Its number on an architecture; `None` where that does not have the call.
    pub const fn number(&self, arch: Arch) -> Option<u32> {
        let number = match arch {
            Arch::X86_64 => self.x86_64,
            Arch::Aarch64 => self.aarch64,
        };
        if number == NONE { None } else { Some(number as u32) }
    }

    /// The errno of a call that the profile does not list: EPERM, which programs take for a
    /// policy's answer; but ENOSYS for one that came after Linux 4.18, the oldest kernel that
    /// libraries still run on: there they try it, and fall back where it is not implemented.
    pub const fn unlisted(&self) -> Errno {
        if self.is_new() { Errno::ENOSYS } else { Errno::EPERM }
    }

    /// Whether it came after Linux 4.18.
    pub const fn is_new(&self) -> bool {
        self.since.major != OLDEST.major || self.since.minor != OLDEST.minor
    }

    /// The first argument of this kind.
    pub fn position(&self, arg: Arg) -> Option<u8> {
        self.positions(arg).next()
    }

    /// Every argument of this kind.
    pub fn positions(&self, arg: Arg) -> impl Iterator<Item = u8> {
        (0..).zip(self.args).filter(move |(_, one)| *one == arg).map(|(at, _)| at)
    }

    /// Every path: the argument with its directory, where it has one, and that with its
    /// address.
    pub fn paths(&self) -> impl Iterator<Item = (Option<usize>, usize)> {
        let args = self.args;
        let dirfd = move |at: usize| at.checked_sub(1).filter(|before| args[*before] == Arg::Dirfd);
        self.positions(Arg::Path).map(usize::from).map(move |at| (dirfd(at), at))
    }

    /// The capability that it needs, but perhaps for a part of it.
    pub const fn needs(&self) -> Option<Capability> {
        match self.privilege {
            Privilege::Needed(capability) | Privilege::Mostly(capability) => Some(capability),
            Privilege::None | Privilege::Sometimes(_) => None,
        }
    }

    /// The capability without which the kernel refuses it.
    pub const fn refused_without(&self) -> Option<Capability> {
        match self.privilege {
            Privilege::Needed(capability) => Some(capability),
            Privilege::None | Privilege::Mostly(_) | Privilege::Sometimes(_) => None,
        }
    }
}

/// What `since` says of everything that is as old or older.
pub(super) const OLDEST: Release = Release::new(4, 18);

/// A row; the methods add to it.
pub(super) const fn call(name: &'static str, args: &[Arg]) -> Syscall {
    let mut all = [Arg::Unknown; 6];
    let mut at = 0;
    while at < args.len() {
        all[at] = args[at];
        at += 1;
    }
    Syscall {
        name,
        x86_64: NONE,
        aarch64: NONE,
        since: OLDEST,
        args: all,
        handler: Handler::Plain,
        group: None,
        class: None,
        privilege: Privilege::None,
        unnotified: false,
        untraced: false,
    }
}

impl Syscall {
    pub(super) const fn numbered(self, x86_64: u16, aarch64: u16) -> Syscall {
        Syscall { x86_64, aarch64, ..self }
    }

    pub(super) const fn since(self, major: u16, minor: u16) -> Syscall {
        Syscall { since: Release::new(major, minor), ..self }
    }

    pub(super) const fn handler(self, handler: Handler) -> Syscall {
        Syscall { handler, ..self }
    }

    pub(super) const fn group(self, purpose: Purpose) -> Syscall {
        Syscall { group: Some(purpose), ..self }
    }

    pub(super) const fn class(self, class: Class) -> Syscall {
        Syscall { class: Some(class), ..self }
    }

    pub(super) const fn needs_always(self, capability: Capability) -> Syscall {
        Syscall { privilege: Privilege::Needed(capability), ..self }
    }

    pub(super) const fn needs_mostly(self, capability: Capability) -> Syscall {
        Syscall { privilege: Privilege::Mostly(capability), ..self }
    }

    pub(super) const fn may_need(self, capability: Capability) -> Syscall {
        Syscall { privilege: Privilege::Sometimes(capability), ..self }
    }

    pub(super) const fn unnotified(self) -> Syscall {
        Syscall { unnotified: true, ..self }
    }

    pub(super) const fn untraced(self) -> Syscall {
        Syscall { untraced: true, ..self }
    }
}
