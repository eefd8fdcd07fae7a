//! prctl(PR_SET_DUMPABLE) is notified, whatever section allows the other options: the supervisor
//! opens the memory of the process, and traces it, while it still may (ptrace(2), "Ptrace access
//! mode checking").

use std::collections::BTreeMap;

use super::conditions::Alternatives;
use crate::filter::Access;
use crate::syscalls::{Condition, Test};

/// prctl(2)'s option that sets whether the process is dumpable (linux/prctl.h).
pub const PR_SET_DUMPABLE: u64 = 4;

/// Removes the option from what the filter allows by itself; returns the alternatives that allowed it.
pub(super) fn notify(calls: &mut BTreeMap<&'static str, Access>) -> Alternatives {
    let Some(access) = calls.get_mut("prctl") else { return Vec::new() };
    let all = match access {
        Access::Notify => return vec![Vec::new()],
        Access::Allow => vec![Vec::new()],
        Access::When(all) => std::mem::take(all),
    };
    let without = all.iter().map(|conditions| without(conditions)).collect();
    *access = Access::When(without);
    all.into_iter().filter(|conditions| conditions.iter().all(may_be)).collect()
}

/// Whether the option satisfies this condition.
fn may_be(condition: &Condition) -> bool {
    condition.arg != 0
        || match &condition.test {
            Test::In(values) => values.contains(&PR_SET_DUMPABLE),
            Test::NotIn(values) => !values.contains(&PR_SET_DUMPABLE),
            Test::Masked { mask, equals } => PR_SET_DUMPABLE & mask == *equals,
        }
}

/// The same conditions, without the option.
fn without(conditions: &[Condition]) -> Vec<Condition> {
    let mut conditions = conditions.to_vec();
    let lists = conditions.iter_mut().filter(|condition| condition.arg == 0);
    for test in lists.map(|condition| &mut condition.test) {
        match test {
            Test::In(values) => {
                values.retain(|value| *value != PR_SET_DUMPABLE);
                return conditions;
            }
            Test::NotIn(values) => {
                values.push(PR_SET_DUMPABLE);
                return conditions;
            }
            Test::Masked { .. } => {}
        }
    }
    conditions.push(Condition { arg: 0, test: Test::NotIn(vec![PR_SET_DUMPABLE]) });
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(arg: u8, test: Test) -> Condition {
        Condition { arg, test }
    }

    #[test]
    fn no_alternative_lets_the_option_through_and_what_did_is_remembered() {
        let some = vec![is(0, Test::In(vec![4, 15]))];
        let other = vec![is(0, Test::In(vec![15]))];
        let all_but = vec![is(0, Test::NotIn(vec![35]))];
        let second = vec![is(1, Test::In(vec![1]))];
        let all = vec![some.clone(), other.clone(), all_but.clone(), second.clone()];
        let mut calls = BTreeMap::from([("prctl", Access::When(all))]);
        assert_eq!(notify(&mut calls), [some, all_but, second.clone()]);
        let second = [second, vec![is(0, Test::NotIn(vec![4]))]].concat();
        let left = vec![other.clone(), other, vec![is(0, Test::NotIn(vec![35, 4]))], second];
        assert_eq!(calls["prctl"], Access::When(left));
    }

    #[test]
    fn one_that_is_not_allowed_at_all_stays_refused() {
        let mut calls = BTreeMap::from([("prctl", Access::When(vec![vec![is(0, Test::In(vec![4]))]]))]);
        assert_eq!(notify(&mut calls).len(), 1);
        assert_eq!(calls["prctl"], Access::When(vec![vec![is(0, Test::In(vec![]))]]));
        assert_eq!(notify(&mut BTreeMap::new()), Vec::<Vec<Condition>>::new());
    }
}
