//! The seccomp filter: what is allowed without asking, what the kernel decides by
//! registers, and that everything else is notified to the supervisor.
//!
//! [`compile`] turns a [`Filter`] into the kernel's program, [`interpret`] runs
//! such a program as the kernel would, and [`Filter::verdict`] says what it has to
//! answer: three texts that tests hold against each other.

#![forbid(unsafe_code)]

mod compile;
mod interpret;
mod threads;
mod verdict;
mod without_notifier;

use compile::prologue_length;
pub use compile::{Error, MAX_INSTRUCTIONS, compile};
pub use interpret::{Action, SeccompData, interpret};
pub use libc::sock_filter as Insn;
pub use threads::Template;
pub use verdict::may_hold;
pub use without_notifier::compile_without_notifier;

use std::collections::BTreeMap;

use crate::kernel::Arch;
use crate::syscalls::Condition;

/// How the kernel treats one call.
///
/// A condition looks at as much of its argument as the kernel itself does, where
/// [`width`](crate::syscalls::width) knows that. Where it does not, `In` and
/// `Masked` look at the whole register and `NotIn` at its lower half: whichever it
/// is, no bits that the kernel ignores get a call past a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Allowed without a look at its arguments: the constant-action fast path.
    Allow,
    /// Allowed when one alternative holds, all of its conditions together;
    /// otherwise notified. No alternative: always notified.
    When(Vec<Vec<Condition>>),
    /// Always notified, though it may then be allowed.
    Notify,
}

impl Access {
    /// The access that these alternatives give: an empty one always holds.
    pub fn when(alternatives: Vec<Vec<Condition>>) -> Access {
        if alternatives.iter().any(Vec::is_empty) { Access::Allow } else { Access::When(alternatives) }
    }
}

/// A whole filter, before it is compiled. A call that is not in `calls` is
/// notified, and the supervisor refuses it. A foreign architecture (i386, x32,
/// 32-bit ARM) is killed, `clone3` is answered ENOSYS by the filter itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The architecture that it is for.
    pub arch: Arch,
    /// Every call that can succeed, by name; a name that the architecture does not
    /// have is skipped.
    pub calls: BTreeMap<&'static str, Access>,
}

/// What x32's calls have set in their number (asm/unistd.h).
const X32_BIT: u32 = 0x4000_0000;

/// ENOSYS, the same on both architectures.
const ENOSYS: u16 = 38;

#[cfg(test)]
mod tests;
