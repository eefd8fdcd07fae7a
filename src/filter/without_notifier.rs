//! The filter without user notification: on an old kernel, gVisor, or where another filter has a
//! listener already. The kernel alone decides calls that would have been notified.

use super::interpret::{EQUAL, NOT_LESS, RET_ERRNO, RET_USER_NOTIF, RETURN};
use super::{Access, ENOSYS, Filter, FilterError, Insn, compile};
use crate::syscalls::{self, Handler};

/// The first number unknown to older kernels; libraries fall back when such a call fails with ENOSYS.
const FIRST_NEW: u32 = syscalls::FIRST_NEW as u32;

/// Compiles a filter without notifications: calls that the supervisor would decide proceed (exec
/// and open are then subject to Landlock alone); a call that is not listed fails with EPERM, or
/// with ENOSYS when it was added after Linux 4.18.
///
/// # Errors
/// As [`compile`].
pub fn compile_without_notifier(filter: &Filter) -> Result<Vec<Insn>, FilterError> {
    let mut calls = filter.calls.clone();
    for (call, access) in &mut calls {
        // The conditions of an open only select which opens are notified.
        if *access == Access::Notify || syscalls::handler(call) == Handler::Open {
            *access = Access::Allow;
        }
    }
    let new = calls.keys().filter_map(|call| syscalls::number(filter.arch, call));
    let new: Vec<u32> = new.filter(|number| *number >= FIRST_NEW).collect();
    let mut program = compile(&Filter { arch: filter.arch, calls })?;
    for instruction in &mut program {
        if instruction.code == RETURN && instruction.k == RET_USER_NOTIF {
            instruction.k = RET_ERRNO | libc::EPERM as u32;
        }
    }
    // Inserted between the first checks and seccompiler's program, which begins with a
    // load of its own: the call number is loaded by then.
    let at = super::prologue_length(filter.arch);
    program.splice(at..at, answer_new(&new));
    if program.len() > super::MAX_INSTRUCTIONS {
        return Err(FilterError::TooLong(program.len()));
    }
    Ok(program)
}

/// ENOSYS for every new number except these.
fn answer_new(listed: &[u32]) -> Vec<Insn> {
    let skip = listed.len() as u8 + 1;
    let mut program = vec![Insn { code: NOT_LESS, jt: 0, jf: skip, k: FIRST_NEW }];
    for (index, number) in listed.iter().enumerate() {
        program.push(Insn { code: EQUAL, jt: skip - 1 - index as u8, jf: 0, k: *number });
    }
    program.push(Insn { code: RETURN, jt: 0, jf: 0, k: RET_ERRNO | u32::from(ENOSYS) });
    program
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::filter::{Action, SeccompData, interpret};
    use crate::kernel::Arch;
    use crate::syscalls::{Condition, Test, names, number};

    #[test]
    fn no_call_is_notified() {
        let condition = |arg| vec![Condition { arg, test: Test::In(vec![7]) }];
        let calls = BTreeMap::from([
            ("read", Access::Allow),
            ("faccessat2", Access::Allow),
            ("execve", Access::Notify),
            ("openat2", Access::Notify),
            ("openat", Access::When(vec![condition(2)])),
            ("ioctl", Access::When(vec![condition(1)])),
        ]);
        for arch in Arch::ALL {
            let program = compile_without_notifier(&Filter { arch, calls: calls.clone() }).expect("compiled");
            let ask = |nr: u32, args| {
                interpret(&program, &SeccompData { nr, arch: arch.audit(), args, instruction_pointer: 0 })
            };
            for name in names() {
                let Some(nr) = number(arch, name) else { continue };
                let wanted = match name {
                    "read" | "faccessat2" | "execve" | "openat2" | "openat" => Action::Allow,
                    "ioctl" => Action::Errno(libc::EPERM as u16),
                    _ if nr >= FIRST_NEW => Action::Errno(ENOSYS),
                    _ => Action::Errno(libc::EPERM as u16),
                };
                assert_eq!(ask(nr, [0; 6]), wanted, "{arch} {name}");
            }
            let ioctl = number(arch, "ioctl").expect("it is old");
            assert_eq!(ask(ioctl, [0, 7, 0, 0, 0, 0]), Action::Allow);
        }
    }
}
