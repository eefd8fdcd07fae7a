//! Sets of values of one register, and whether one set is part of others.

use std::collections::BTreeSet;

use crate::syscalls::{self, Condition, Test, Width};

/// A test of one register: the values that satisfy it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterTest {
    /// Which argument, 0–5.
    pub arg: u8,
    /// The values.
    pub values: RegisterValues,
}

/// A set of values of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterValues {
    /// One of these.
    In(BTreeSet<u64>),
    /// None of these.
    NotIn(BTreeSet<u64>),
    /// `value & mask == equals`.
    Masked {
        /// The bits that are compared.
        mask: u64,
        /// Their value.
        equals: u64,
    },
    /// `value & mask != equals`.
    NotMasked {
        /// The bits that are compared.
        mask: u64,
        /// The value that they do not have.
        equals: u64,
    },
}

use RegisterValues::{In, Masked, NotIn, NotMasked};

impl RegisterTest {
    /// A condition of a profile or a group on this call, with the bits that the kernel reads.
    pub(super) fn of(call: &str, condition: &Condition) -> RegisterTest {
        let bits = match syscalls::width(call, condition.arg) {
            Some(Width::Bits32) => u64::from(u32::MAX),
            Some(Width::Bits16) => u64::from(u16::MAX),
            Some(Width::Bits64) | None => u64::MAX,
        };
        let cut = |values: &[u64]| values.iter().map(|value| value & bits).collect();
        let values = match &condition.test {
            Test::In(values) => In(cut(values)),
            Test::NotIn(values) => NotIn(cut(values)),
            Test::Masked { mask, equals } => Masked { mask: mask & bits, equals: equals & bits },
        };
        RegisterTest { arg: condition.arg, values }
    }

    /// The test that is satisfied where this one is not.
    pub(super) fn negated(&self) -> RegisterTest {
        let values = match self.values.clone() {
            In(values) => NotIn(values),
            NotIn(values) => In(values),
            Masked { mask, equals } => NotMasked { mask, equals },
            NotMasked { mask, equals } => Masked { mask, equals },
        };
        RegisterTest { arg: self.arg, values }
    }
}

impl RegisterValues {
    /// Whether a value is one of the set.
    pub fn has(&self, value: u64) -> bool {
        match self {
            In(values) => values.contains(&value),
            NotIn(values) => !values.contains(&value),
            Masked { mask, equals } => value & mask == *equals,
            NotMasked { mask, equals } => value & mask != *equals,
        }
    }

    /// Whether every value of the set is one of the other.
    fn is_within(&self, other: &RegisterValues) -> bool {
        match (self, other) {
            (In(values), other) => values.iter().all(|value| other.has(*value)),
            (NotIn(out), NotIn(other)) => other.is_subset(out),
            (Masked { mask, equals }, NotIn(out)) => out.iter().all(|value| value & mask != *equals),
            (NotMasked { mask, equals }, NotIn(out)) => out.iter().all(|value| value & mask == *equals),
            (Masked { mask, equals }, Masked { mask: wider, equals: value }) => {
                wider & mask == *wider && equals & wider == *value
            }
            (Masked { mask, equals }, NotMasked { mask: other, equals: value }) => {
                let both = mask & other;
                equals & both != value & both
            }
            // The values that are left out of the other are left out here too.
            (NotMasked { mask, equals }, NotMasked { mask: narrower, equals: value }) => {
                narrower & mask == *mask && value & mask == *equals
            }
            (_, Masked { mask: 0, .. }) => true,
            (NotIn(_) | Masked { .. } | NotMasked { .. }, _) => false,
        }
    }
}

/// Whether registers that satisfy `alternative` satisfy one of `others`. It may say no where only
/// several alternatives with masks together cover it; it never says yes wrongly.
pub(super) fn is_covered(alternative: &[RegisterTest], others: &[Vec<RegisterTest>]) -> bool {
    let implied = |other: &Vec<RegisterTest>| other.iter().all(|test| are_within(alternative, test));
    if alternative.iter().any(|test| test.values == In(BTreeSet::new())) || others.iter().any(implied) {
        return true;
    }
    // A list is covered where each of its values is, and what a list leaves out may be filled up.
    let list = alternative.iter().enumerate().find_map(|(at, test)| match &test.values {
        In(values) if values.len() > 1 => Some((at, values)),
        _ => None,
    });
    if let Some((at, values)) = list {
        return values.iter().all(|value| {
            let mut one = alternative.to_vec();
            one[at].values = In([*value].into());
            is_covered(&one, others)
        });
    }
    let rest: Vec<&RegisterTest> = match alternative {
        [] => Vec::new(),
        [only] if matches!(only.values, NotIn(_)) => vec![only],
        _ => return false,
    };
    (0..6).any(|arg| {
        let Some(out) = rest.first().map_or(Some(BTreeSet::new()), |only| match &only.values {
            NotIn(out) if only.arg == arg => Some(out.clone()),
            _ => None,
        }) else {
            return false;
        };
        fills(arg, &out, others)
    })
}

/// Whether registers that satisfy all of these tests satisfy another. Each value that it leaves out may
/// be left out by one of its own.
fn are_within(alternative: &[RegisterTest], other: &RegisterTest) -> bool {
    let mut own = alternative.iter().filter(|own| own.arg == other.arg);
    match &other.values {
        NotIn(out) => out.iter().all(|value| own.clone().any(|own| !own.values.has(*value))),
        values => own.any(|own| own.values.is_within(values)),
    }
}

/// Whether single tests of this register have all values but those of `out`.
fn fills(arg: u8, out: &BTreeSet<u64>, others: &[Vec<RegisterTest>]) -> bool {
    let single = || {
        others.iter().filter_map(move |other| match &other[..] {
            [only] if only.arg == arg => Some(&only.values),
            _ => None,
        })
    };
    let lacking = single().filter_map(|values| if let NotIn(list) = values { Some(list) } else { None });
    let left = lacking.cloned().reduce(|one, other| one.intersection(&other).copied().collect());
    left.is_some_and(|left: BTreeSet<u64>| {
        left.iter().all(|value| out.contains(value) || single().any(|values| values.has(*value)))
    })
}

/// What is left of an alternative once `taken` is refused: each of the results leaves out one of the
/// tests of `taken`. None: nothing is left.
pub(super) fn without(alternative: &[RegisterTest], taken: &[RegisterTest]) -> Vec<Vec<RegisterTest>> {
    let with = |test: &RegisterTest| {
        let mut left = alternative.to_vec();
        left.push(test.negated());
        left
    };
    taken.iter().map(with).filter(|left| !is_empty(left)).map(joined).collect()
}

/// What satisfies an alternative of each of two.
pub(super) fn both(one: &[Vec<RegisterTest>], other: &[Vec<RegisterTest>]) -> Vec<Vec<RegisterTest>> {
    let with = |one: &Vec<RegisterTest>, more: &[RegisterTest]| {
        more.iter().fold(one.clone(), |mut all, test| {
            all.push(test.clone());
            joined(all)
        })
    };
    let all = one.iter().flat_map(|one| other.iter().map(move |other| with(one, other)));
    all.filter(|one| !is_empty(one)).collect()
}

/// Whether no registers satisfy an alternative, as far as single pairs of tests show it.
fn is_empty(alternative: &[RegisterTest]) -> bool {
    alternative.iter().enumerate().any(|(at, one)| {
        one.values == In(BTreeSet::new())
            || alternative[..at]
                .iter()
                .any(|other| other.arg == one.arg && other.values.is_within(&one.negated().values))
    })
}

/// Tests of one register in one: a list without the values that another leaves out.
fn joined(mut alternative: Vec<RegisterTest>) -> Vec<RegisterTest> {
    let Some(last) = alternative.pop() else { return alternative };
    for test in alternative.iter_mut().filter(|test| test.arg == last.arg) {
        match (&mut test.values, &last.values) {
            (In(values), other) => {
                values.retain(|value| other.has(*value));
                return alternative;
            }
            (NotIn(out), NotIn(more)) => {
                out.extend(more);
                return alternative;
            }
            _ => {}
        }
    }
    alternative.push(last);
    alternative
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(arg: u8, values: RegisterValues) -> RegisterTest {
        RegisterTest { arg, values }
    }

    fn list(values: &[u64]) -> BTreeSet<u64> {
        values.iter().copied().collect()
    }

    /// Every relation agrees with the values themselves, of three bits.
    #[test]
    fn one_set_is_within_another_where_its_values_are() {
        let mut sets = Vec::new();
        for bits in 0..8u64 {
            let values: BTreeSet<u64> = (0..3).filter(|bit| bits >> bit & 1 == 1).collect();
            sets.extend([In(values.clone()), NotIn(values)]);
            for equals in (0..8).filter(|equals| equals & !bits == 0) {
                sets.extend([Masked { mask: bits, equals }, NotMasked { mask: bits, equals }]);
            }
        }
        // Of 64 bits no list has all values but a few: three bits are compared with a fourth.
        for one in &sets {
            for other in &sets {
                let truth = (0..16).all(|value| !one.has(value) || other.has(value));
                let said = one.is_within(other);
                assert!(truth || !said, "{one:?} within {other:?}");
                if let (In(_), _) | (NotIn(_), NotIn(_)) | (Masked { .. }, Masked { .. }) = (one, other) {
                    assert_eq!(said, truth, "{one:?} within {other:?}");
                }
            }
        }
    }

    #[test]
    fn values_are_covered_one_by_one() {
        let one = |values: &[u64]| vec![test(1, In(list(values)))];
        let but = |values: &[u64]| vec![test(1, NotIn(list(values)))];
        assert!(is_covered(&one(&[1, 2]), &[one(&[1]), one(&[2])]));
        assert!(!is_covered(&one(&[1, 2, 3]), &[one(&[1]), one(&[2])]));
        assert!(is_covered(&[], &[but(&[7]), one(&[7])]), "all values");
        assert!(is_covered(&[], &[but(&[7]), but(&[8])]));
        assert!(!is_covered(&[], &[but(&[7, 8]), one(&[7])]));
        assert!(is_covered(&but(&[8]), &[but(&[7, 8]), one(&[7])]));
        assert!(is_covered(&one(&[5]), &[vec![]]), "any arguments");
        assert!(!is_covered(&[], &[one(&[5])]));
        let without = vec![test(1, Masked { mask: !31, equals: 0 }), test(1, NotIn(list(&[25])))];
        assert!(is_covered(&without, &[but(&[25, 36])]), "each by another test");
        assert!(!is_covered(&without, &[but(&[25, 30])]));
        let two = vec![test(0, In(list(&[1]))), test(1, Masked { mask: 15, equals: 5 })];
        assert!(is_covered(&two, &[vec![test(0, In(list(&[1, 2])))]]));
        assert!(!is_covered(&[two[0].clone()], std::slice::from_ref(&two)));
    }

    #[test]
    fn what_is_taken_away_is_left_out() {
        let any: Vec<RegisterTest> = Vec::new();
        let taken = vec![test(0, In(list(&[15])))];
        assert_eq!(without(&any, &taken), [[test(0, NotIn(list(&[15])))]]);
        let some = vec![test(0, In(list(&[15, 16])))];
        assert_eq!(without(&some, &taken), [[test(0, In(list(&[16])))]]);
        assert_eq!(without(&taken, &taken), [[]; 0] as [[RegisterTest; 0]; 0], "nothing is left");
        assert_eq!(without(&any, &[]), [[]; 0] as [[RegisterTest; 0]; 0], "all of it is taken");
        let masked = vec![test(0, Masked { mask: 3, equals: 1 })];
        assert_eq!(without(&any, &masked), [[test(0, NotMasked { mask: 3, equals: 1 })]]);
    }

    #[test]
    fn bits_that_the_kernel_does_not_read_make_no_difference() {
        let condition = |value| Condition { arg: 0, test: Test::In(vec![value]) };
        let of = |value| RegisterTest::of("setuid", &condition(value));
        assert_eq!(of(33), of(33 + (1 << 32)));
    }
}
