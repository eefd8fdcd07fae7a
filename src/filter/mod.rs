//! The seccomp filter: it allows a call, decides it by its arguments in registers, or notifies
//! the supervisor of it.
//!
//! [`compile`] turns a [`Filter`] into the kernel's program, [`interpret`] runs such a program
//! as the kernel does, and [`Filter::verdict`] states the expected action. Tests compare the
//! three.

#![forbid(unsafe_code)]

mod compile;
mod interpret;
mod threads;
mod verdict;
mod without_notifier;

use compile::prologue_length;
pub use compile::{FilterError, MAX_INSTRUCTIONS, compile};
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
/// A condition compares as much of its argument as the kernel reads, where
/// [`width`](crate::syscalls::width) has that. Where the width is unknown, `In` and `Masked`
/// compare the whole register and `NotIn` its lower half: in both cases, bits that the kernel
/// ignores do not let a call pass a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Allowed whatever its arguments: the kernel caches this action (SECCOMP_ARCH_NATIVE bitmap).
    Allow,
    /// Allowed when all conditions of one alternative are true; otherwise notified. Without an
    /// alternative: always notified.
    When(Vec<Vec<Condition>>),
    /// Always notified; the supervisor may allow it.
    Notify,
}

impl Access {
    /// The access for these alternatives: an empty alternative is always true.
    pub fn when(alternatives: Vec<Vec<Condition>>) -> Access {
        if alternatives.iter().any(Vec::is_empty) { Access::Allow } else { Access::When(alternatives) }
    }
}

/// A filter before it is compiled. A call that is not in `calls` is notified, and the supervisor
/// denies it. A call of a foreign architecture (i386, x32, 32-bit ARM) kills the process; `clone3`
/// fails with ENOSYS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The architecture of its call numbers.
    pub arch: Arch,
    /// Every call that can succeed, by name; a name that the architecture does not
    /// have is skipped.
    pub calls: BTreeMap<&'static str, Access>,
}

/// The bit that the numbers of x32's calls have set (asm/unistd.h, __X32_SYSCALL_BIT).
const X32_BIT: u32 = 0x4000_0000;

/// ENOSYS, the same on both architectures.
const ENOSYS: u16 = 38;

#[cfg(test)]
mod tests;
