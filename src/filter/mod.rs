//! The seccomp filter: what is allowed without asking, what the kernel decides by
//! registers, and that everything else is notified to the supervisor.

use std::collections::BTreeMap;

use crate::kernel::Arch;
use crate::syscalls::Condition;

/// How the kernel treats one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Allowed without a look at its arguments: the constant-action fast path.
    Allow,
    /// Allowed when one alternative holds, all of its conditions together;
    /// otherwise notified.
    When(Vec<Vec<Condition>>),
    /// Always notified, though it may then be allowed.
    Notify,
}

/// A whole filter, before it is compiled. A call that is not in `calls` is
/// notified, and the supervisor refuses it. A foreign architecture (i386, x32,
/// 32-bit ARM) is killed, `clone3` is answered ENOSYS by the filter itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The architecture that it is for.
    pub arch: Arch,
    /// Every call that can succeed, by name.
    pub calls: BTreeMap<&'static str, Access>,
}
/// tmp
pub fn compile(_: &Filter) -> Result<Vec<libc::sock_filter>, String> {
    Ok(Vec::new())
}
