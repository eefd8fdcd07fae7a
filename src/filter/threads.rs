//! A compiled program with placeholders for the ids of the supervisor's threads, which are known
//! only later: the threads are created after the app's process, since fork(2) copies one thread
//! alone, and before that process loads its filter.

use super::interpret::EQUAL;
use super::{Access, Filter, FilterError, Insn};
use crate::syscalls::{Condition, Test};

/// A compiled filter, complete but for thread ids.
#[derive(Clone, Debug)]
pub struct Template {
    program: Vec<Insn>,
    first: u32,
    count: usize,
}

impl Template {
    /// A program without placeholders.
    pub const fn complete(program: Vec<Insn>) -> Template {
        Template { program, first: 0, count: 0 }
    }

    /// Compiles a filter with `compile` in which `count` threads are protected like the process
    /// `supervisor`: an argument for which `names` is true and which must not be the supervisor's
    /// pid must not be any of their tids either.
    ///
    /// # Errors
    /// As [`compile`](super::compile).
    pub fn new(
        mut filter: Filter,
        compile: impl Fn(&Filter) -> Result<Vec<Insn>, FilterError>,
        names: impl Fn(&str, u8) -> bool,
        supervisor: u32,
        count: usize,
    ) -> Result<Template, FilterError> {
        let first = unused(&filter, count as u32);
        for (call, access) in &mut filter.calls {
            let Access::When(alternatives) = access else { continue };
            for Condition { arg, test } in alternatives.iter_mut().flatten() {
                if let Test::NotIn(numbers) = test
                    && names(call, *arg)
                    && numbers.contains(&u64::from(supervisor))
                {
                    numbers.extend((first..).take(count).map(u64::from));
                }
            }
        }
        Ok(Template { program: compile(&filter)?, first, count })
    }

    /// The number of placeholders.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The program with these ids; `None` where their number is not that of the placeholders.
    pub fn with(&self, numbers: &[u32]) -> Option<Vec<Insn>> {
        let fill = |insn: &Insn| {
            let at = (insn.code == EQUAL).then(|| insn.k.checked_sub(self.first)).flatten();
            let number = at.and_then(|at| numbers.get(at as usize));
            Insn { k: number.copied().unwrap_or(insn.k), ..*insn }
        };
        (numbers.len() == self.count).then(|| self.program.iter().map(fill).collect())
    }
}

/// The first of `count` numbers that no pid can have (PID_MAX_LIMIT is 2²²) and that occur in no
/// condition.
fn unused(filter: &Filter, count: u32) -> u32 {
    const ABOVE_PIDS: u32 = 0x4000_0000;
    let stands = |first: u32| {
        let within = |value: u64| {
            [value as u32, (value >> 32) as u32].iter().any(|half| half.wrapping_sub(first) < count)
        };
        let conditions = filter.calls.values().filter_map(|access| match access {
            Access::When(alternatives) => Some(alternatives.iter().flatten()),
            _ => None,
        });
        conditions.flatten().any(|condition| match &condition.test {
            Test::In(values) | Test::NotIn(values) => values.iter().copied().any(within),
            Test::Masked { mask, equals } => within(*mask) || within(*equals),
        })
    };
    let mut first = ABOVE_PIDS;
    while count > 0 && stands(first) {
        first += count;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Action, SeccompData, compile, compile_without_notifier, interpret};
    use crate::kernel::Arch;
    use crate::syscalls;

    fn verdict(program: &[Insn], arch: Arch, call: &str, args: [u64; 6]) -> Action {
        let nr = syscalls::number(arch, call).expect("it is there");
        interpret(program, &SeccompData { nr, arch: arch.audit(), args, instruction_pointer: 0 })
    }

    fn not(arg: u8, numbers: &[u64]) -> Condition {
        Condition { arg, test: Test::NotIn(numbers.to_vec()) }
    }

    #[test]
    fn every_number_is_refused_and_no_other() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            // One condition contains the very value that would be taken first.
            let calls = [
                ("kill", Access::When(vec![vec![not(0, &[7, 0xffff_fff9])]])),
                ("dup", Access::When(vec![vec![not(0, &[7, 0x4000_0001])]])),
            ];
            let filter = Filter { arch, calls: calls.into() };
            let numbers: Vec<u32> = (100..160).collect();
            for (compile, refused) in [
                (compile as fn(&Filter) -> Result<Vec<Insn>, FilterError>, Action::Notify),
                (compile_without_notifier, Action::Errno(1)),
            ] {
                let names = |call: &str, arg| call == "kill" && arg == 0;
                let template =
                    Template::new(filter.clone(), compile, names, 7, numbers.len()).expect("compiled");
                assert_eq!(template.count(), 60);
                assert!(template.with(&numbers[1..]).is_none(), "one is missing");
                let program = template.with(&numbers).expect("all of them");
                let ask = |pid: u64| verdict(&program, arch, "kill", [pid, 9, 0, 0, 0, 0]);
                for pid in numbers.iter().map(|number| u64::from(*number)).chain([7, 0xffff_fff9]) {
                    assert_eq!(ask(pid), refused, "{pid}");
                    assert_eq!(ask(pid | 1 << 32), refused, "{pid}, with bits that the kernel ignores");
                }
                for pid in [0, 1, 6, 8, 99, 160, 0x4000_0000, u64::from(u32::MAX)] {
                    assert_eq!(ask(pid), Action::Allow, "{pid}");
                }
                let dup = |fd| verdict(&program, arch, "dup", [fd, 0, 0, 0, 0, 0]);
                assert_eq!((dup(100), dup(0x4000_0001)), (Action::Allow, refused));
            }
        }
    }

    #[test]
    fn a_complete_program_is_left_as_it_is() {
        let filter = Filter { arch: Arch::THIS, calls: [("kill", Access::Allow)].into() };
        let program = compile(&filter).expect("compiled");
        let as_it_is = Template::complete(program.clone()).with(&[]).expect("no number is needed");
        let text = |program: &[Insn]| program.iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect::<Vec<_>>();
        assert_eq!(text(&as_it_is), text(&program));
    }
}
