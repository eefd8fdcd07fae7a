//! One row of the table, and the words that it is written in.

use caps::Capability;
use nix::errno::Errno;

pub use super::class::Class;
pub use super::groups::Purpose;
use super::numbers::NONE;
use crate::kernel::{Arch, Release};

/// What is known of one system call. Everything that treats calls one by one reads it here:
/// the filter, the plan, the enforcer, the recorder, learning and verification.
#[derive(Clone, Copy, Debug)]
pub struct Syscall {
    /// Its name, as `__NR_*` has it.
    pub name: &'static str,
    x86_64: u16,
    aarch64: u16,
    /// The release that brought it; 4.18 for all that are as old or older.
    pub since: Release,
    /// Its arguments; [`Arg::Unknown`] from the first on that is not described.
    pub args: [Arg; 6],
    /// What decides it when it is notified, and how it is learned.
    pub handler: Handler,
    /// Why a group has it, whatever its arguments.
    pub group: Option<Purpose>,
    /// The calls that give the same power.
    pub class: Option<Class>,
    /// The capability that it asks for.
    pub privilege: Privilege,
    /// No learning run notifies it: the kernel's own business, without arguments to speak
    /// of; the end of its caller; and `sendmsg`, by which the launch hands the listener
    /// over, before any call can be answered.
    pub unnotified: bool,
    /// The kernel refuses it to no process for want of a capability, and programs make it
    /// without end, so `remit verify` does not trace it.
    pub untraced: bool,
}

/// The kind of an argument, and with it how much of the register the kernel looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// Not described.
    Unknown,
    /// An `int`, `unsigned int` or 32-bit id without a meaning of its own here.
    Int,
    /// A `umode_t`, 16 bits.
    Mode,
    /// A `long`, a size, an offset or an address as a number.
    Long,
    /// An address in the caller's memory.
    Pointer,
    /// Of another type for another use of the call.
    Varies,
    /// The address of a path.
    Path,
    /// The directory from which the path after it is resolved.
    Dirfd,
    /// Any other descriptor.
    Fd,
    /// Flags in an `int`.
    Flags,
    /// Flags in a `long`.
    LongFlags,
    /// PROT_* of memory, in a `long`.
    Prot,
    /// The address of a socket's address that the kernel reads.
    Sockaddr,
    /// A user's or group's id.
    Id,
    /// The number of a signal.
    Signal,
    /// The process or thread that the call acts on, by number, where a signal or an access
    /// by ptrace(2) would be checked too: a Landlock domain that scopes signals covers it.
    /// One of which the call only reads something is an [`Arg::Int`].
    Pid,
    /// The same where the kernel asks for the same user alone: no Landlock domain covers it.
    Task,
    /// The same where argument 0 is PRIO_PROCESS (setpriority(2)); else a group or a user.
    PrioWho,
    /// The same where argument 0 is IOPRIO_WHO_PROCESS (ioprio_set(2)); else a group or a
    /// user.
    IoprioWho,
    /// The process of the thread that the argument after it names.
    Tgid,
    /// A thread of the process that the argument before it names.
    Tid,
    /// The process group that another process, or the caller, is put into.
    Pgid,
    /// A process or, negative, a process group with F_SETOWN; of another type with others
    /// (fcntl(2)).
    Owner,
}

/// How much of an argument's register the kernel looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// An `int` or `unsigned int`: the upper half is ignored, and a comparison
    /// that looked at it could be dodged.
    Bits32,
    /// A `umode_t`: the lower 16 bits.
    Bits16,
    /// A `long`, a size or an offset.
    Bits64,
}

/// What decides a call and what a learning run notes of it. The plan, the filter of
/// a learning run, the enforcer and the recorder each match every variant, so a new one does
/// not compile before all of them know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// No section but `syscalls` and `capabilities` speaks of it: the filter decides it, and
    /// what the filter notifies is decided by the registers.
    Plain,
    /// The filter answers ENOSYS whatever the profile says: its flags lie in memory, where no
    /// filter sees them, and libraries fall back to an older call.
    NotImplemented,
    /// Executes: `programs`.
    Exec,
    /// Opens a path: `files`. With [`Arg::Flags`] the filter tells by them whether it only
    /// reads; without, every one is notified.
    Open,
    /// Changes the tree: `files`.
    Change(Change),
    /// Changes what an inode says of itself: capabilities.
    Attribute(Attribute),
    /// Gives a socket its address: `network.listen`.
    Bind,
    /// Connects a socket: `network.connect`.
    Connect,
    /// Sends, which may connect (MSG_FASTOPEN); with [`Arg::Sockaddr`] a learning run notes
    /// where to.
    Send,
    /// Makes a socket: `network`.
    Socket,
    /// Makes two sockets that are connected to each other.
    Socketpair,
    /// Waits for connections: `network.listen`.
    Listen,
    /// Sets an option of a socket.
    SocketOption,
    /// Signals a process by its number: never the supervisor.
    Signal,
    /// Signals a thread by its number.
    SignalThread,
    /// Signals a process by its descriptor.
    SignalPidfd,
    /// Opens a descriptor of a process, by which it may be signalled.
    PidfdOpen,
    /// Maps memory: `memory`, `libraries`.
    Map,
    /// Changes what mapped memory is for: `memory`, `libraries`.
    Protect,
    /// Attaches shared memory: `memory`.
    Attach,
    /// Makes a process: `limits`, `instances`. With [`Arg::LongFlags`] it may make a thread.
    Fork,
    /// prctl(2), of which one option hides the process.
    Prctl,
    /// Makes a file in memory, which has no path.
    Memfd,
    /// Takes on another user: what was known of the caller cannot be read any more.
    SetUid,
    /// Takes on another group.
    SetGid,
    /// Takes on other supplementary groups.
    SetGroups,
    /// Sets capabilities.
    Capset,
    /// Changes scheduling, of others too.
    Schedule,
    /// Sets or uses up a limit (getrlimit(2)).
    Limit(Limit),
    /// ioctl(2), which may drive a device.
    Ioctl,
    /// Changes where the caller's paths lead to: its root, its mounts, its namespaces.
    Root,
    /// personality(2), of which one flag makes all that is readable executable.
    Personality,
}

/// A change of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A directory is made.
    MakeDirectory,
    /// A file, pipe, socket or device is made.
    MakeNode,
    /// A symbolic link is made; argument 0 is its text.
    MakeLink,
    /// A name is removed; a directory's with AT_REMOVEDIR.
    Remove,
    /// A directory is removed.
    RemoveDirectory,
    /// A name becomes another.
    Rename,
    /// A file gets one more name.
    Link,
    /// A file is set to a length.
    Truncate,
}

/// What an inode says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Owner and group.
    Owner,
    /// Permission bits.
    Mode,
    /// Times of access and modification.
    Times,
}

/// What a call does with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Sets one: of the caller, or of an [`Arg::Task`].
    Set,
    /// Locks memory, up to RLIMIT_MEMLOCK: so many bytes, or with [`Arg::Flags`] alone all.
    Lock,
}

/// The capability that a call asks for (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// None, or one that hangs on more than the table says.
    None,
    /// Without it the call can do nothing, or next to nothing: a setuid to one's own saved
    /// id, a chown to one's own group.
    Needed(Capability),
    /// A group brings the call, and it needs the capability for some arguments, files or
    /// processes. A learning run notifies it where the app can hold it.
    Sometimes(Capability),
}

impl Arg {
    /// How much of the register the kernel looks at; none where that is not known, or where
    /// a comparison would be with an address.
    pub const fn width(self) -> Option<Width> {
        match self {
            Arg::Mode => Some(Width::Bits16),
            Arg::Long | Arg::LongFlags | Arg::Prot => Some(Width::Bits64),
            Arg::Int | Arg::Dirfd | Arg::Fd | Arg::Flags | Arg::Id | Arg::Signal => Some(Width::Bits32),
            Arg::Pid | Arg::Task | Arg::PrioWho | Arg::IoprioWho | Arg::Tgid | Arg::Tid | Arg::Pgid => {
                Some(Width::Bits32)
            }
            Arg::Unknown | Arg::Pointer | Arg::Varies | Arg::Path | Arg::Sockaddr | Arg::Owner => None,
        }
    }
}

impl Handler {
    /// The errno with which its section refuses; [`Syscall::unlisted`] is that of a call
    /// which the profile does not list at all.
    ///
    /// EACCES is what the kernel answers where permission bits deny a path, a program, a
    /// port or executable memory: programs print it with the name and try the next place.
    /// EAGAIN is what fork(2) answers at RLIMIT_NPROC: programs wait and try again. All others
    /// are refused as for want of a capability, with EPERM: programs go on without.
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
    /// Its number on an architecture that has it.
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

    /// The capability without which it can do nothing.
    pub const fn needs(&self) -> Option<Capability> {
        match self.privilege {
            Privilege::Needed(capability) => Some(capability),
            Privilege::None | Privilege::Sometimes(_) => None,
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
