//! What a kernel can do, as a value: measured on this machine by
//! `enforce::probe`, or invented by a test and by `remit plan --kernel`.

#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use nix::errno::Errno;

/// A processor architecture with a table of system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// 64-bit x86; its i386 and x32 calls are never allowed.
    X86_64,
    /// 64-bit ARM; its 32-bit calls are never allowed.
    Aarch64,
}

impl Arch {
    /// Every architecture that a plan can be made for.
    pub const ALL: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

    /// The architecture that this binary was compiled for.
    pub const THIS: Arch = if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };

    /// The name that `uname -m` prints.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }

    /// `AUDIT_ARCH_*`, which seccomp data carries (linux/audit.h).
    pub const fn audit(self) -> u32 {
        match self {
            Arch::X86_64 => 0xc000_003e,
            Arch::Aarch64 => 0xc000_00b7,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Arch {
    type Err = ParseArchError;

    fn from_str(text: &str) -> Result<Arch, ParseArchError> {
        match text {
            "x86_64" | "amd64" => Ok(Arch::X86_64),
            "aarch64" | "arm64" => Ok(Arch::Aarch64),
            other => Err(ParseArchError(other.to_owned())),
        }
    }
}

/// A text that is the name of no [`Arch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseArchError(pub String);

impl fmt::Display for ParseArchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "architecture `{}` is not known; expected x86_64 or aarch64", self.0)
    }
}

impl std::error::Error for ParseArchError {}

/// A kernel release, as far as features depend on it: 6.12 of `6.12.41-1-amd64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
}

impl Release {
    /// The oldest kernel that a plan is made for.
    pub const OLDEST: Release = Release::new(5, 10);

    /// Release `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Release {
        Release { major, minor }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Release {
    type Err = ParseReleaseError;

    /// Reads `6.1`, and the longer forms that `uname -r` prints.
    fn from_str(text: &str) -> Result<Release, ParseReleaseError> {
        let bad = || ParseReleaseError(text.to_owned());
        let mut parts = text.splitn(3, '.');
        let major = parts.next().and_then(|part| part.parse().ok()).ok_or_else(bad)?;
        let minor = parts.next().ok_or_else(bad)?;
        let digits = minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(minor.len());
        Ok(Release { major, minor: minor[..digits].parse().map_err(|_| bad())? })
    }
}

/// A text that is no [`Release`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseReleaseError(pub String);

impl fmt::Display for ParseReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel `{}` is not a release; expected two numbers such as 6.1", self.0)
    }
}

impl std::error::Error for ParseReleaseError {}

/// The level of Landlock that a kernel offers; 0 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LandlockAbi(pub u8);

impl LandlockAbi {
    /// No Landlock: too old, not compiled in, or not in the boot's list of LSMs.
    pub const NONE: LandlockAbi = LandlockAbi(0);
    /// Rename and link across directories (REFER), Linux 5.19.
    pub const REFER: LandlockAbi = LandlockAbi(2);
    /// TRUNCATE, Linux 6.2.
    pub const TRUNCATE: LandlockAbi = LandlockAbi(3);
    /// TCP bind and connect by port, Linux 6.7.
    pub const TCP: LandlockAbi = LandlockAbi(4);
    /// IOCTL_DEV, Linux 6.10.
    pub const IOCTL: LandlockAbi = LandlockAbi(5);
    /// Scopes of signals and abstract unix sockets, Linux 6.12.
    pub const SCOPE: LandlockAbi = LandlockAbi(6);

    /// The level that a stock kernel of this release offers
    /// (Documentation/userspace-api/landlock.rst).
    pub const fn of(release: Release) -> LandlockAbi {
        const SINCE: [(u16, u16); 11] =
            [(5, 13), (5, 19), (6, 2), (6, 7), (6, 10), (6, 12), (6, 15), (7, 0), (7, 1), (7, 2), (7, 3)];
        let mut abi = 0;
        while abi < SINCE.len() {
            let (major, minor) = SINCE[abi];
            if release.major < major || (release.major == major && release.minor < minor) {
                break;
            }
            abi += 1;
        }
        LandlockAbi(abi as u8)
    }
}

/// What seccomp's user notification can do (linux/seccomp.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify {
    /// `SECCOMP_ADDFD_FLAG_SEND`: a descriptor as the answer, Linux 5.14.
    pub addfd_send: bool,
    /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`: signals do not restart a call
    /// that is being decided, Linux 5.19.
    pub wait_killable: bool,
    /// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`: a round trip of 5 µs, Linux 6.6.
    pub sync_wake_up: bool,
}

/// What one kernel can enforce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its release.
    pub release: Release,
    /// Its architecture.
    pub arch: Arch,
    /// The level of Landlock.
    pub landlock: LandlockAbi,
    /// User notification, or why there is no listener.
    pub notify: Result<Notify, NoListener>,
    /// `PR_SET_MDWE`, Linux 6.3.
    pub mdwe: bool,
    /// The supervisor may trace its descendants, or why it may not.
    pub trace: Result<(), NoTrace>,
    /// `MFD_NOEXEC_SEAL`: a memfd that cannot be executed, Linux 6.3.
    pub noexec_seal: bool,
    /// `SECBIT_EXEC_RESTRICT_FILE` and `SECBIT_EXEC_DENY_INTERACTIVE`, Linux 6.14.
    pub exec_bits: bool,
}

/// Why there is no listener for notified calls. A filter without one can be loaded, except after
/// [`Filter`](NoListener::Filter). Displayed in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoListener {
    /// SECCOMP_GET_NOTIF_SIZES failed.
    Unavailable(Errno),
    /// PR_SET_NO_NEW_PRIVS failed.
    NoNewPrivileges(Errno),
    /// Another process has the one listener of this chain of filters.
    Busy,
    /// A filter with a listener could not be loaded.
    Refused(Errno),
    /// The thread that tried to load a filter ended early.
    Killed,
    /// The filter is for a process without a supervisor.
    NoSupervisor,
    /// No filter can be loaded, with or without a listener.
    Filter(Errno),
}

impl fmt::Display for NoListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoListener::Unavailable(errno) => {
                write!(f, "seccomp answers {errno:?} when asked for user notification")
            }
            NoListener::NoNewPrivileges(errno) => write!(f, "no_new_privs is answered {errno:?}"),
            NoListener::Busy => f.write_str("EBUSY: something outside listens already"),
            NoListener::Refused(errno) => write!(f, "loading one is answered {errno:?}"),
            NoListener::Killed => f.write_str("the thread that tried to load one ended early"),
            NoListener::NoSupervisor => f.write_str("there is no supervisor"),
            NoListener::Filter(errno) => write!(f, "loading a filter is answered {errno:?}"),
        }
    }
}

/// Why no process can be traced. Displayed in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTrace {
    /// The runtime's filter refuses ptrace(2).
    Filter,
    /// Yama's scope, which forbids it to an ancestor without CAP_SYS_PTRACE.
    Yama(u8),
}

impl fmt::Display for NoTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoTrace::Filter => f.write_str("a filter outside refuses it"),
            NoTrace::Yama(scope) => write!(f, "Yama's ptrace_scope is {scope}"),
        }
    }
}

impl Kernel {
    /// A stock kernel of this release, with every security module that it has.
    pub fn stock(release: Release, arch: Arch) -> Kernel {
        let from = |major, minor| release.major > major || (release.major == major && release.minor >= minor);
        Kernel {
            release,
            arch,
            landlock: LandlockAbi::of(release),
            notify: Ok(Notify {
                addfd_send: from(5, 14),
                wait_killable: from(5, 19),
                sync_wake_up: from(6, 6),
            }),
            mdwe: from(6, 3),
            trace: Ok(()),
            noexec_seal: from(6, 3),
            exec_bits: from(6, 14),
        }
    }
}
