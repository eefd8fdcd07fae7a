//! From a filter to the kernel's program.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::interpret::{
    EQUAL, JUMP, LOAD, NOT_LESS, RET_ALLOW, RET_ERRNO, RET_KILL_PROCESS, RET_USER_NOTIF, RETURN,
};
use super::{Access, ENOSYS, Filter, Insn, X32_BIT};
use crate::kernel::Arch;
use crate::syscalls::{self, Condition, Handler, Test, Width};

/// The longest program that the kernel loads (linux/bpf_common.h, BPF_MAXINSNS).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// Why a filter has no program.
#[derive(Debug, PartialEq, Eq)]
pub enum FilterError {
    /// More instructions than BPF_MAXINSNS: their number, or a lower bound of it.
    TooLong(usize),
    /// A condition on an argument above 5.
    Argument {
        /// The name of the call.
        call: &'static str,
        /// The index of the argument, from 0.
        arg: u8,
    },
    /// seccompiler's error.
    Compiler(BackendError),
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilterError::TooLong(instructions) => write!(
                f,
                "the seccomp filter has {instructions} instructions or more, the kernel loads \
                 {MAX_INSTRUCTIONS}; write fewer conditions, or shorter `in` and `not_in` lists"
            ),
            FilterError::Argument { call, arg } => {
                write!(f, "a condition on argument {arg} of `{call}`; expected 0 to 5, correct `arg`")
            }
            FilterError::Compiler(_) => f.write_str("the seccomp filter cannot be compiled"),
        }
    }
}

impl std::error::Error for FilterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FilterError::Compiler(error) => Some(error),
            _ => None,
        }
    }
}

/// Compiles the filter: first the checks that precede every list, then the calls.
///
/// # Errors
/// The program is too long, or a condition names an argument above 5.
pub fn compile(filter: &Filter) -> Result<Vec<Insn>, FilterError> {
    let mut program = prologue(filter.arch);
    let rest = decided(filter).map_err(|error| match error {
        FilterError::TooLong(instructions) => FilterError::TooLong(instructions + program.len()),
        other => other,
    })?;
    program.extend(rest);
    if program.len() > MAX_INSTRUCTIONS {
        return Err(FilterError::TooLong(program.len()));
    }
    Ok(program)
}

/// The marker for a notification, which seccompiler does not support. It is replaced by
/// SECCOMP_RET_USER_NOTIF in the finished program; seccompiler returns this value nowhere else.
const NOT_ALLOWED: SeccompAction = SeccompAction::Trace(0x7e57);

/// The checks that precede every list: foreign architectures, x32 and clone3.
fn prologue(arch: Arch) -> Vec<Insn> {
    let load = |offset| Insn { code: LOAD, jt: 0, jf: 0, k: offset };
    // Skips the answer that follows when it does not apply.
    let unless = |code, k| Insn { code, jt: 0, jf: 1, k };
    let answer = |k| Insn { code: RETURN, jt: 0, jf: 0, k };

    // i386 and 32-bit ARM: the same numbers mean other calls.
    let mut program =
        vec![load(4), Insn { code: EQUAL, jt: 1, jf: 0, k: arch.audit() }, answer(RET_KILL_PROCESS), load(0)];
    if arch == Arch::X86_64 {
        // x32 shares x86_64's architecture value and differs by a bit of the number.
        program.extend([unless(NOT_LESS, X32_BIT), answer(RET_KILL_PROCESS)]);
    }
    let absent = syscalls::all().filter(|syscall| syscall.handler == Handler::NotImplemented);
    for number in absent.filter_map(|syscall| syscall.number(arch)) {
        program.extend([unless(EQUAL, number), answer(RET_ERRNO | u32::from(ENOSYS))]);
    }
    program
}

/// The number of instructions before seccompiler's own.
pub(super) fn prologue_length(arch: Arch) -> usize {
    prologue(arch).len()
}

/// The calls as runs of numbers with the same action, and a binary tree of comparisons that
/// leads to each run. seccompiler compiles the conditions, one call at a time: its single chain
/// through all calls would take 2 ms to load, since the kernel then runs the chain for every
/// number (seccomp_cache_prepare).
fn decided(filter: &Filter) -> Result<Vec<Insn>, FilterError> {
    let arch = match filter.arch {
        Arch::X86_64 => TargetArch::x86_64,
        Arch::Aarch64 => TargetArch::aarch64,
    };
    const ALLOWED: &[Insn] = &[Insn { code: RETURN, jt: 0, jf: 0, k: RET_ALLOW }];
    const NOTIFIED: &[Insn] = &[Insn { code: RETURN, jt: 0, jf: 0, k: RET_USER_NOTIF }];
    let mut calls = BTreeMap::new();
    for (call, access) in &filter.calls {
        let Some(number) = syscalls::number(filter.arch, call) else { continue };
        match rules(call, access)? {
            None => {}
            Some(rules) if rules.is_empty() => drop(calls.insert(number, Cow::Borrowed(ALLOWED))),
            Some(rules) => drop(calls.insert(number, conditional(number, rules, arch, filter.arch)?.into())),
        }
    }
    let mut runs = vec![(0, Cow::Borrowed(NOTIFIED))];
    for (number, program) in calls {
        // The gap before it may be empty.
        runs.pop_if(|(first, _)| *first == number);
        if runs.last().is_none_or(|(_, last)| *last != program) {
            runs.push((number, program));
        }
        runs.push((number + 1, Cow::Borrowed(NOTIFIED)));
    }
    runs.dedup_by(|later, earlier| later.1 == earlier.1);
    let mut backwards = Vec::new();
    tree(&runs, &mut backwards);
    backwards.reverse();
    Ok(backwards)
}

/// The conditions of one call; a notification is seccompiler's marker.
fn conditional(
    number: u32,
    rules: Vec<SeccompRule>,
    target: TargetArch,
    arch: Arch,
) -> Result<Vec<Insn>, FilterError> {
    let calls = BTreeMap::from([(i64::from(number), rules)]);
    let compiled =
        SeccompFilter::new(calls, NOT_ALLOWED, SeccompAction::Allow, target).and_then(BpfProgram::try_from);
    let program = compiled.map_err(|error| match error {
        BackendError::FilterTooLarge(instructions) => FilterError::TooLong(instructions),
        other => FilterError::Compiler(other),
    })?;
    let ours = |seccompiler::sock_filter { code, jt, jf, k }: &_| {
        let marked = *code == RETURN && *k == u32::from(NOT_ALLOWED);
        Insn { code: *code, jt: *jt, jf: *jf, k: if marked { RET_USER_NOTIF } else { *k } }
    };
    let program: Vec<Insn> = program.iter().map(ours).collect();
    Ok(match &*program {
        // seccompiler's checks of the architecture and of the number, which are known here.
        [
            Insn { code: LOAD, k: 4, .. },
            Insn { code: EQUAL, jt: 1, jf: 0, k: architecture },
            Insn { code: RETURN, .. },
            Insn { code: LOAD, k: 0, .. },
            Insn { code: EQUAL, jt: 0, jf: 1, k: call },
            Insn { code: JUMP, k: 1, .. },
            Insn { code: JUMP, .. },
            conditions @ ..,
        ] if *architecture == arch.audit() && *call == number => conditions.to_vec(),
        _ => program,
    })
}

/// Jumps from the number in the accumulator to the run that contains it; each run comes with
/// its first number. Instructions are emitted last first: the offset of a jump is known once
/// its target is emitted.
fn tree(runs: &[(u32, Cow<[Insn]>)], backwards: &mut Vec<Insn>) {
    if let [(_, only)] = runs {
        return backwards.extend(only.iter().rev());
    }
    let (lower, upper) = runs.split_at(runs.len() / 2);
    tree(upper, backwards);
    let above = backwards.len();
    tree(lower, backwards);
    let below = backwards.len() - above;
    let first = upper[0].0;
    match u8::try_from(below) {
        Ok(length) => backwards.push(Insn { code: NOT_LESS, jt: length, jf: 0, k: first }),
        // Conditional jumps reach 255 instructions, this one any.
        Err(_) => backwards.extend([
            Insn { code: JUMP, jt: 0, jf: 0, k: below as u32 },
            Insn { code: NOT_LESS, jt: 0, jf: 1, k: first },
        ]),
    }
}

/// A call's rules for seccompiler, where an empty list means always; `None` when the call is
/// never allowed without a notification.
fn rules(call: &'static str, access: &Access) -> Result<Option<Vec<SeccompRule>>, FilterError> {
    let alternatives = match access {
        Access::Notify => return Ok(None),
        Access::Allow => return Ok(Some(Vec::new())),
        Access::When(alternatives) => alternatives,
    };
    let mut rules = Vec::new();
    for alternative in alternatives {
        for conditions in conjunctions(call, alternative)? {
            if conditions.is_empty() {
                return Ok(Some(Vec::new()));
            }
            // Each alternative takes an instruction at least: a longer list is not compiled.
            if rules.len() > MAX_INSTRUCTIONS {
                return Err(FilterError::TooLong(alternatives.len()));
            }
            rules.push(SeccompRule::new(conditions).map_err(FilterError::Compiler)?);
        }
    }
    Ok((!rules.is_empty()).then_some(rules))
}

/// An alternative as conjunctions of comparisons: one for every combination of the values of
/// its `In` lists. `None` when it is never true.
fn conjunctions(
    call: &'static str,
    alternative: &[Condition],
) -> Result<Vec<Vec<SeccompCondition>>, FilterError> {
    let mut all: Vec<Vec<SeccompCondition>> = vec![Vec::new()];
    for condition in alternative {
        let choices = choices(call, condition)?;
        // A comparison is two instructions at least: this could not be loaded.
        let size = all.len().saturating_mul(choices.len());
        if size > MAX_INSTRUCTIONS {
            return Err(FilterError::TooLong(size));
        }
        all = all
            .iter()
            .flat_map(|before| choices.iter().map(|choice| [before.as_slice(), choice.as_slice()].concat()))
            .collect();
    }
    Ok(all)
}

/// Sorted, without duplicates. Filled one by one: `collect` would instantiate another sort.
fn distinct(values: impl Iterator<Item = u64>) -> BTreeSet<u64> {
    let mut distinct = BTreeSet::new();
    distinct.extend(values);
    distinct
}

/// A condition as alternatives, each a conjunction of comparisons.
fn choices(call: &'static str, condition: &Condition) -> Result<Vec<Vec<SeccompCondition>>, FilterError> {
    use SeccompCmpArgLen::{Dword, Qword};
    let arg = condition.arg;
    let width = syscalls::width(call, arg);
    if arg > 5 {
        return Err(FilterError::Argument { call, arg });
    }
    let compare = |len: &SeccompCmpArgLen, operator, value| {
        SeccompCondition::new(arg, len.clone(), operator, value).map_err(FilterError::Compiler)
    };
    // A value wider than what the kernel reads never occurs: the comparison would
    // drop its upper bits and allow another value.
    let (len, most) = match width {
        Some(Width::Bits16) => (Dword, 0xffff),
        Some(Width::Bits32) => (Dword, 0xffff_ffff),
        Some(Width::Bits64) | None => (Qword, u64::MAX),
    };
    Ok(match &condition.test {
        Test::In(values) => {
            let values = distinct(values.iter().copied().filter(|value| *value <= most));
            let operator = || match width {
                Some(Width::Bits16) => SeccompCmpOp::MaskedEq(most),
                _ => SeccompCmpOp::Eq,
            };
            values
                .iter()
                .map(|value| Ok(vec![compare(&len, operator(), *value)?]))
                .collect::<Result<_, _>>()?
        }
        // seccompiler clears the value's bits outside of the mask, too.
        Test::Masked { mask, equals } if equals & !(mask & most) != 0 => Vec::new(),
        Test::Masked { mask, equals } => {
            vec![vec![compare(&len, SeccompCmpOp::MaskedEq(mask & most), *equals)?]]
        }
        Test::NotIn(values) if values.len() > MAX_INSTRUCTIONS => {
            return Err(FilterError::TooLong(values.len()));
        }
        Test::NotIn(values) => {
            let (len, most) = match width {
                Some(Width::Bits64) => (Qword, u64::MAX),
                _ => (Dword, 0xffff_ffff),
            };
            let values = distinct(values.iter().map(|value| value & most));
            let mut all = values
                .iter()
                .map(|value| compare(&len, SeccompCmpOp::Ne, *value))
                .collect::<Result<Vec<_>, _>>()?;
            if width == Some(Width::Bits16) {
                all.push(compare(&Dword, SeccompCmpOp::MaskedEq(0xffff_0000), 0)?);
            }
            vec![all]
        }
    })
}
