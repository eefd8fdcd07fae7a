//! Conditions on arguments, in the terms of libseccomp: one comparison of each argument in a rule.
//!
//! libseccomp compares all 64 bits of a register, of which the kernel reads 32 for an `int`; so a
//! comparison of an `int` is one of its lower half (`SCMP_CMP_MASKED_EQ`), whatever a caller has in
//! the upper one. runc makes rules of their own of several comparisons of one argument, so that any
//! of them would allow the call; what a profile excludes is therefore written as sets of bits that
//! do not overlap, and no rule has an argument twice.

use crate::exchange::oci::{Comparison, Operator};
use crate::syscalls::{self, Condition, Test, Width};

/// The values whose bits of `mask` are equal to `equals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bits {
    pub mask: u64,
    pub equals: u64,
}

/// All values.
const ALL: Bits = Bits { mask: 0, equals: 0 };
const LOW: u64 = 0xffff_ffff;

impl Bits {
    /// What is in both sets.
    fn and(self, other: Bits) -> Option<Bits> {
        let differ = self.mask & other.mask & (self.equals ^ other.equals) != 0;
        (!differ).then_some(Bits { mask: self.mask | other.mask, equals: self.equals | other.equals })
    }

    /// The set without the value that these bits have, as sets that do not overlap: one for each bit
    /// that the set leaves open.
    fn without(self, value: u64, read: u64) -> Vec<Bits> {
        if (self.equals ^ value) & self.mask & read != 0 {
            return vec![self];
        }
        let mut parts = Vec::new();
        let mut same = self;
        for bit in (0..u64::BITS).rev().map(|shift| 1 << shift).filter(|bit| read & !self.mask & bit != 0) {
            parts.push(Bits { mask: same.mask | bit, equals: same.equals | (!value & bit) });
            same = Bits { mask: same.mask | bit, equals: same.equals | (value & bit) };
        }
        parts
    }

    fn comparison(self, index: u8) -> Option<Comparison> {
        let Bits { mask, equals } = self;
        match mask {
            0 => None,
            u64::MAX => Some(Comparison { index, value: equals, value_two: None, op: Operator::Eq }),
            _ => Some(Comparison { index, value: mask, value_two: Some(equals), op: Operator::MaskedEq }),
        }
    }
}

/// The values of one argument that satisfy all these conditions, in the width that the kernel reads:
/// as [`crate::filter`] compiles them.
fn values(call: &str, conditions: &[&Condition]) -> Vec<Bits> {
    let mut sets = vec![ALL];
    for condition in conditions {
        let width = syscalls::width(call, condition.arg);
        let read = match width {
            Some(Width::Bits16) => 0xffff,
            Some(Width::Bits32) => LOW,
            Some(Width::Bits64) | None => u64::MAX,
        };
        let with = |sets: &[Bits], other: Bits| sets.iter().filter_map(|set| set.and(other)).collect();
        sets = match &condition.test {
            Test::In(some) => {
                let some = some.iter().filter(|value| *value & !read == 0);
                let exact = some.map(|value| Bits { mask: read, equals: *value });
                let mut all: Vec<Bits> = exact.flat_map(|one| with(&sets, one)).collect::<Vec<_>>();
                all.dedup();
                all
            }
            Test::Masked { mask, equals } if equals & !(mask & read) != 0 => Vec::new(),
            Test::Masked { mask, equals } => with(&sets, Bits { mask: mask & read, equals: *equals }),
            Test::NotIn(some) => {
                let compared = if width == Some(Width::Bits64) { u64::MAX } else { LOW };
                // A value with bits that a mode does not have is an attempt to evade the test.
                if width == Some(Width::Bits16) {
                    sets = with(&sets, Bits { mask: 0xffff_0000, equals: 0 });
                }
                some.iter().fold(sets, |sets, value| {
                    sets.iter().flat_map(|set| set.without(value & compared, compared)).collect()
                })
            }
        };
    }
    sets
}

/// A conjunction of conditions as lists of comparisons, of which one has to be true; an empty list is
/// always true.
pub(super) fn comparisons(call: &str, conditions: &[Condition]) -> Vec<Vec<Comparison>> {
    let mut all = vec![Vec::new()];
    for index in 0..6 {
        let own: Vec<&Condition> = conditions.iter().filter(|condition| condition.arg == index).collect();
        if own.is_empty() {
            continue;
        }
        let choices = values(call, &own);
        let join = |before: &Vec<Comparison>, choice: &Bits| {
            before.iter().copied().chain(choice.comparison(index)).collect()
        };
        all = all.iter().flat_map(|before| choices.iter().map(|choice| join(before, choice))).collect();
    }
    all
}

/// The values that one of several comparisons of one argument lets through, for a profile: tests of
/// which one has to be true. `None` where these are too many to be written.
pub(super) fn tests(call: &str, arg: u8, comparisons: &[Comparison]) -> Option<Vec<Test>> {
    let read = match syscalls::width(call, arg) {
        Some(Width::Bits16) => 0xffff,
        Some(Width::Bits32) => LOW,
        Some(Width::Bits64) | None => u64::MAX,
    };
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut tests = Vec::new();
    for comparison in comparisons {
        let value = comparison.value;
        let below = value.checked_sub(1).map(|most| (0, most));
        let above = value.checked_add(1).map(|least| (least, u64::MAX));
        match comparison.op {
            Operator::Eq => ranges.push((value, value)),
            Operator::Ne => ranges.extend(below.into_iter().chain(above)),
            Operator::Lt => ranges.extend(below),
            Operator::Le => ranges.push((0, value)),
            Operator::Gt => ranges.extend(above),
            Operator::Ge => ranges.push((value, u64::MAX)),
            Operator::MaskedEq => {
                let (mask, equals) = (value, comparison.value_two.unwrap_or(0));
                if equals & !mask != 0 {
                    continue;
                }
                if mask & read == read && equals & !read == 0 {
                    ranges.push((equals & read, equals & read));
                } else if equals & !read == 0 {
                    tests.push(Test::Masked { mask: mask & read, equals });
                }
            }
        }
    }
    tests.extend(of_ranges(ranges, read)?);
    Some(tests)
}

/// Whether no registers satisfy both of these rules; `false` too where that is not certain.
pub(super) fn are_disjoint(one: &[Comparison], other: &[Comparison]) -> bool {
    one.iter()
        .any(|first| other.iter().any(|second| first.index == second.index && !may_both_hold(first, second)))
}

fn may_both_hold(one: &Comparison, other: &Comparison) -> bool {
    // A range begins at 0, at the value or after it.
    let begins = |comparison: &Comparison| [0, comparison.value, comparison.value.saturating_add(1)];
    match (bits(one), bits(other)) {
        (Some(one), Some(other)) => one.and(other).is_some(),
        (Some(Bits { mask: u64::MAX, equals }), None) => holds(other, equals),
        (None, Some(Bits { mask: u64::MAX, equals })) => holds(one, equals),
        (None, None) => {
            begins(one).into_iter().chain(begins(other)).any(|value| holds(one, value) && holds(other, value))
        }
        _ => true,
    }
}

/// The values of a comparison for equality.
fn bits(comparison: &Comparison) -> Option<Bits> {
    match comparison.op {
        Operator::Eq => Some(Bits { mask: u64::MAX, equals: comparison.value }),
        Operator::MaskedEq => {
            Some(Bits { mask: comparison.value, equals: comparison.value_two.unwrap_or(0) })
        }
        _ => None,
    }
}

/// Whether a value satisfies a comparison.
pub(super) fn holds(comparison: &Comparison, register: u64) -> bool {
    let value = comparison.value;
    match comparison.op {
        Operator::Eq => register == value,
        Operator::Ne => register != value,
        Operator::Lt => register < value,
        Operator::Le => register <= value,
        Operator::Gt => register > value,
        Operator::Ge => register >= value,
        Operator::MaskedEq => register & value == comparison.value_two.unwrap_or(0),
    }
}

/// The most values that are written one by one, and the most sets of bits.
const MOST: usize = 256;

/// Ranges of values, up to the greatest that the kernel reads, as a list of what is in them, or else
/// of what is not.
fn of_ranges(mut ranges: Vec<(u64, u64)>, most: u64) -> Option<Vec<Test>> {
    ranges.retain(|(first, _)| *first <= most);
    if ranges.is_empty() {
        return Some(Vec::new());
    }
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (first, last) in ranges {
        let last = last.min(most);
        match joined.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => joined.push((first, last)),
        }
    }
    if let Some(values) = listed(&joined) {
        return Some(vec![Test::In(values)]);
    }
    let mut gaps = Vec::new();
    let mut next = Some(0);
    for (first, last) in joined {
        gaps.extend(next.filter(|next| *next < first).map(|next| (next, first - 1)));
        next = last.checked_add(1).filter(|next| *next <= most);
    }
    gaps.extend(next.map(|next| (next, most)));
    listed(&gaps).map(|values| vec![Test::NotIn(values)])
}

/// All values of ranges, where they are few.
fn listed(ranges: &[(u64, u64)]) -> Option<Vec<u64>> {
    let mut count: usize = 0;
    for (first, last) in ranges {
        count = count.saturating_add(usize::try_from(last - first).ok()?).saturating_add(1);
    }
    (count <= MOST).then(|| ranges.iter().flat_map(|(first, last)| *first..=*last).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(arg: u8, test: Test) -> Condition {
        Condition { arg, test }
    }

    #[test]
    fn rules_allow_what_the_conditions_do_and_have_no_argument_twice() {
        use crate::filter::{Access, Action, Filter};
        use crate::kernel::Arch;
        let alternatives = [
            vec![is(0, Test::NotIn(vec![35]))],
            vec![is(0, Test::NotIn(vec![4, 35])), is(1, Test::In(vec![1, 7]))],
            vec![is(0, Test::In(vec![15, 35, 16])), is(0, Test::NotIn(vec![35]))],
            vec![is(0, Test::Masked { mask: 0xff, equals: 3 }), is(0, Test::NotIn(vec![3]))],
            vec![is(0, Test::Masked { mask: 2, equals: 1 })],
        ];
        for conditions in alternatives {
            let rules = comparisons("prctl", &conditions);
            for rule in &rules {
                let mut indices: Vec<_> = rule.iter().map(|one| one.index).collect();
                indices.dedup();
                assert_eq!(indices.len(), rule.len(), "{rule:?}");
            }
            let calls = [("prctl", Access::When(vec![conditions.clone()]))].into();
            let filter = Filter { arch: Arch::X86_64, calls };
            let number = syscalls::number(Arch::X86_64, "prctl").expect("it has a number");
            for first in [0, 3, 4, 5, 15, 16, 34, 35, 36, 259, LOW, 1 << 32 | 35, 1 << 32 | 15, u64::MAX] {
                for second in [0, 1, 7, 1 << 32 | 7] {
                    let args = [first, second, 0, 0, 0, 0];
                    let allowed = rules
                        .iter()
                        .any(|rule| rule.iter().all(|one| holds(one, args[usize::from(one.index)])));
                    let expected = filter.verdict(number, &args) == Action::Allow;
                    assert_eq!(allowed, expected, "{conditions:?} {args:?}");
                }
            }
        }
    }

    fn one(op: Operator, value: u64) -> Comparison {
        Comparison { index: 0, value, value_two: None, op }
    }

    #[test]
    fn rules_are_disjoint_by_one_argument() {
        let is = |index, op, value| Comparison { index, ..one(op, value) };
        let masked = |value, equals| Comparison { value_two: Some(equals), ..one(Operator::MaskedEq, value) };
        let refused = [is(0, Operator::Eq, 16), is(2, Operator::Eq, 9)];
        for (rule, disjoint) in [
            (vec![is(2, Operator::Ne, 9)], true),
            (vec![is(0, Operator::Ne, 16)], true),
            (vec![is(0, Operator::Lt, 16)], true),
            (vec![is(0, Operator::Le, 16)], false),
            (vec![is(1, Operator::Eq, 16)], false),
            (vec![masked(0x10, 0)], true),
            (vec![masked(0x10, 0x10)], false),
        ] {
            assert_eq!(are_disjoint(&rule, &refused), disjoint, "{rule:?}");
            assert_eq!(are_disjoint(&refused, &rule), disjoint, "{rule:?}");
        }
        assert!(are_disjoint(&[one(Operator::Lt, 4)], &[one(Operator::Ge, 4)]));
        assert!(!are_disjoint(&[one(Operator::Gt, 4)], &[one(Operator::Lt, 6)]));
        assert!(are_disjoint(&[one(Operator::Gt, 4)], &[one(Operator::Lt, 5)]));
        assert!(!are_disjoint(&[masked(1, 1)], &[one(Operator::Lt, 1)]), "not certain");
    }

    #[test]
    fn ranges_become_lists() {
        let read = |all: &[Comparison]| tests("socket", 0, all);
        // As Docker leaves AF_ALG and AF_VSOCK out.
        let docker = [one(Operator::Lt, 38), one(Operator::Eq, 39), one(Operator::Gt, 40)];
        assert_eq!(read(&docker), Some(vec![Test::NotIn(vec![38, 40])]));
        assert_eq!(
            read(&[one(Operator::Le, 2), one(Operator::Eq, 16)]),
            Some(vec![Test::In(vec![0, 1, 2, 16])])
        );
        assert_eq!(read(&[one(Operator::Ne, 40)]), Some(vec![Test::NotIn(vec![40])]));
        assert_eq!(read(&[one(Operator::Ge, 0)]), Some(vec![Test::NotIn(vec![])]));
        assert_eq!(read(&[one(Operator::Lt, 0)]), Some(vec![]));
        assert_eq!(read(&[one(Operator::Gt, 1000), one(Operator::Lt, 10)]), None, "too many both ways");
        let masked = Comparison { index: 0, value: LOW, value_two: Some(7), op: Operator::MaskedEq };
        assert_eq!(read(&[masked]), Some(vec![Test::In(vec![7])]), "all that the kernel reads");
        let never = Comparison { index: 0, value: 1, value_two: Some(2), op: Operator::MaskedEq };
        assert_eq!(read(&[never]), Some(vec![]));
    }
}
