//! The closed lists of words in events, and the kernel's names for numbers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

pub use nix::errno::Errno;
use serde::{Serialize, Serializer};

use crate::sys::signal;

/// The layers of the confinement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LayerName {
    User,
    Capabilities,
    NoNewPrivs,
    Limits,
    Mdwe,
    Environment,
    LandlockFiles,
    LandlockTcp,
    LandlockScope,
    Seccomp,
    Notification,
    ExecCheck,
}

impl LayerName {
    /// Every layer, in the order of the start event.
    pub const ALL: [LayerName; 12] = [
        LayerName::User,
        LayerName::Capabilities,
        LayerName::NoNewPrivs,
        LayerName::Limits,
        LayerName::Mdwe,
        LayerName::Environment,
        LayerName::LandlockFiles,
        LayerName::LandlockTcp,
        LayerName::LandlockScope,
        LayerName::Seccomp,
        LayerName::Notification,
        LayerName::ExecCheck,
    ];

    /// The word that events and plans have for it.
    pub const fn word(self) -> &'static str {
        match self {
            LayerName::User => "user",
            LayerName::Capabilities => "capabilities",
            LayerName::NoNewPrivs => "no_new_privs",
            LayerName::Limits => "limits",
            LayerName::Mdwe => "mdwe",
            LayerName::Environment => "environment",
            LayerName::LandlockFiles => "landlock-files",
            LayerName::LandlockTcp => "landlock-tcp",
            LayerName::LandlockScope => "landlock-scope",
            LayerName::Seccomp => "seccomp",
            LayerName::Notification => "notification",
            LayerName::ExecCheck => "exec-check",
        }
    }

    /// The layer of that word.
    pub fn of(word: &str) -> Option<LayerName> {
        LayerName::ALL.into_iter().find(|layer| layer.word() == word)
    }
}

impl Serialize for LayerName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.word())
    }
}

/// Whether a layer is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerReportState {
    /// All that the profile requires is enforced.
    Active,
    /// Part of it is enforced.
    Degraded,
    /// None of it is enforced.
    Unavailable,
}

/// What set the mode. A flag beats the environment, which beats the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModeSource {
    /// The profile, or its default.
    Profile,
    /// `REMIT_MODE`.
    Environment,
    /// `--mode`.
    Flag,
    /// The name by which remit-init was called: tini, docker-init, dumb-init.
    Name,
}

/// What happened to a call or exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionTaken {
    /// It was allowed.
    Allowed,
    /// It failed with an errno.
    Denied,
    /// It was allowed in audit, and would be denied when enforcing.
    Observed,
    /// The process was killed.
    Killed,
    /// The container was stopped.
    Stopped,
}

/// The section of the profile that was violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ViolationKind {
    Program,
    File,
    Network,
    Syscall,
    Capability,
    Memory,
    Limit,
    Environment,
}

/// An errno, written by the kernel's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrnoName(pub Errno);

impl ErrnoName {
    /// Whether a text is the name of an errno of Linux (asm-generic/errno.h: 1 to 133).
    pub fn is_one(text: &str) -> bool {
        static NAMES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
            let known = (1..=133).map(Errno::from_raw).filter(|errno| *errno != Errno::UnknownErrno);
            known.map(|errno| ErrnoName(errno).to_string()).collect()
        });
        NAMES.contains(text)
    }
}

impl From<Errno> for ErrnoName {
    fn from(errno: Errno) -> ErrnoName {
        ErrnoName(errno)
    }
}

impl fmt::Display for ErrnoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // nix names its variants as the kernel does.
        write!(f, "{:?}", self.0)
    }
}

impl Serialize for ErrnoName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A signal by number, written by its name without SIG: `TERM`, `RTMIN+3`
/// ([`signal::name`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalName(pub i32);

impl SignalName {
    /// SIGSYS, the signal of SECCOMP_RET_KILL_PROCESS.
    pub const SYS: SignalName = SignalName(nix::libc::SIGSYS);
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&signal::name(self.0))
    }
}

impl Serialize for SignalName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_of_linux_has_its_name() {
        // asm-generic/errno.h: 41 and 58 are aliases' gaps.
        for number in (1..=133).filter(|number| ![41, 58].contains(number)) {
            let name = ErrnoName(Errno::from_raw(number)).to_string();
            assert!(name.starts_with('E') && name.len() >= 3, "{number} is {name}");
            assert_eq!(name, name.to_uppercase());
        }
        for (number, name) in [
            (1, "EPERM"),
            (2, "ENOENT"),
            (11, "EAGAIN"),
            (13, "EACCES"),
            (18, "EXDEV"),
            (35, "EDEADLK"),
            (38, "ENOSYS"),
            (95, "EOPNOTSUPP"),
            (97, "EAFNOSUPPORT"),
            (133, "EHWPOISON"),
        ] {
            assert_eq!(ErrnoName(Errno::from_raw(number)).to_string(), name);
        }
    }

    #[test]
    fn an_event_has_the_name_by_which_options_take_a_signal() {
        for (number, name) in [(1, "HUP"), (31, "SYS"), (32, "32"), (34, "RTMIN"), (37, "RTMIN+3")] {
            assert_eq!(SignalName(number).to_string(), name);
            assert_eq!(signal::parse(name), Some(number));
        }
    }

    #[test]
    fn layers_are_found_by_their_words() {
        for layer in LayerName::ALL {
            assert_eq!(LayerName::of(layer.word()), Some(layer));
        }
        assert_eq!(LayerName::of("landlock"), None);
    }
}
