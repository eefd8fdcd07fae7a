//! The action that a filter has for a call, independent of how it is compiled.

use super::{Access, Action, ENOSYS, Filter, X32_BIT};
use crate::kernel::Arch;
use crate::syscalls::{self, Condition, Handler, Test, Width};

impl Filter {
    /// The action for call `nr` of the filter's own architecture with these arguments.
    pub fn verdict(&self, nr: u32, args: &[u64; 6]) -> Action {
        if self.arch == Arch::X86_64 && nr >= X32_BIT {
            return Action::KillProcess;
        }
        let name = syscalls::name(self.arch, nr);
        if name.is_some_and(|name| syscalls::handler(name) == Handler::NotImplemented) {
            return Action::Errno(ENOSYS);
        }
        match name.and_then(|name| Some((name, self.calls.get(name)?))) {
            Some((_, Access::Allow)) => Action::Allow,
            Some((name, Access::When(alternatives)))
                if alternatives.iter().any(|all| all.iter().all(|one| holds(name, one, args))) =>
            {
                Action::Allow
            }
            _ => Action::Notify,
        }
    }
}

/// Whether the kernel may take the argument for a value that the condition matches, when a match
/// denies the call. Where the width that the kernel reads is unknown, bits that it ignores do not
/// prevent the denial.
pub fn may_hold(call: &str, condition: &Condition, args: &[u64; 6]) -> bool {
    let Some(register) = args.get(usize::from(condition.arg)).copied() else { return false };
    if syscalls::width(call, condition.arg).is_some() && !matches!(condition.test, Test::NotIn(_)) {
        return holds(call, condition, args);
    }
    let low = register & 0xffff_ffff;
    match &condition.test {
        Test::In(values) => values.iter().any(|value| *value == register || value & 0xffff_ffff == low),
        Test::NotIn(values) => !values.contains(&register),
        Test::Masked { mask, equals } => register & mask == *equals || low & mask == equals & 0xffff_ffff,
    }
}

/// Whether the argument satisfies the condition. An argument with an index above 5 never does.
fn holds(call: &str, condition: &Condition, args: &[u64; 6]) -> bool {
    let Some(register) = args.get(usize::from(condition.arg)).copied() else { return false };
    let width = syscalls::width(call, condition.arg);
    // The bits that the kernel reads; all of them where the width is unknown.
    let seen = match width {
        Some(Width::Bits16) => register & 0xffff,
        Some(Width::Bits32) => register & 0xffff_ffff,
        Some(Width::Bits64) | None => register,
    };
    let low = |value: u64| value & 0xffff_ffff;
    match (&condition.test, width) {
        (Test::In(values), _) => values.contains(&seen),
        (Test::Masked { mask, equals }, _) => seen & mask == *equals,
        (Test::NotIn(values), Some(Width::Bits64)) => !values.contains(&register),
        // A value with bits that a mode does not have is an attempt to evade the test.
        (Test::NotIn(values), Some(Width::Bits16)) => {
            low(register) <= 0xffff && !values.iter().any(|value| low(*value) == seen)
        }
        (Test::NotIn(values), _) => !values.iter().any(|value| low(*value) == low(register)),
    }
}
