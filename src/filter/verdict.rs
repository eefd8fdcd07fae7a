//! What a filter has to answer, said without a thought for how it is compiled.

use super::{Access, Action, ENOSYS, Filter, X32_BIT};
use crate::kernel::Arch;
use crate::syscalls::{self, Condition, Handler, Test, Width};

impl Filter {
    /// The answer to call `nr` of the filter's own architecture with these arguments.
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

/// Whether the kernel may take the argument for what the condition wants: to refuse it by.
/// Where it is not known how much of the register the kernel looks at, no bits that it
/// ignores keep a call from being refused.
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

/// Whether the argument is what the condition wants. An argument that is not there
/// (6 and above) is never that.
fn holds(call: &str, condition: &Condition, args: &[u64; 6]) -> bool {
    let Some(register) = args.get(usize::from(condition.arg)).copied() else { return false };
    let width = syscalls::width(call, condition.arg);
    // What the kernel looks at; all of it where we do not know.
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
        // Bits that a mode does not have would only be there to dodge the test.
        (Test::NotIn(values), Some(Width::Bits16)) => {
            low(register) <= 0xffff && !values.iter().any(|value| low(*value) == seen)
        }
        (Test::NotIn(values), _) => !values.iter().any(|value| low(*value) == low(register)),
    }
}
