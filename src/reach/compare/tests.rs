use std::collections::BTreeMap;

use super::super::report::{GapKind, ReachGap, ReachableCall};
use super::*;
use crate::kernel::Arch;

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn reach(names: &[&str], gaps: &[ReachGap]) -> Reach {
    Reach {
        arch: Arch::X86_64,
        programs: vec!["/app".to_owned()],
        objects: BTreeMap::new(),
        calls: names.iter().map(|name| ((*name).to_owned(), ReachableCall::default())).collect(),
        gaps: gaps.iter().cloned().collect(),
    }
}

#[test]
fn what_is_in_between_dangerous_and_needless() {
    let found = reach(&["bpf", "kill", "read", "write"], &[]);
    let one = ReachComparison::new(
        "app",
        set(&["execve", "ptrace", "read"]),
        Some(&set(&["read", "execve"])),
        &found,
    );
    assert_eq!(one.between, set(&["bpf", "kill", "write"]));
    assert_eq!(one.dangerous, set(&["bpf"]));
    assert_eq!(one.allowed_dangerous, set(&["ptrace"]));
    assert_eq!(one.needless, set(&["ptrace"]), "the start itself makes execve");
    assert!(one.alarms.is_empty());
    let text = found.text(Some(&one));
    assert!(text.contains("profile app: listed 3, reachable 4, in between 3 (reachable, not allowed), of which 1 are dangerous"), "{text}");
    assert!(text.contains("All 2 learned calls are reachable."), "{text}");
}

#[test]
fn a_learned_call_that_is_not_reachable_is_an_alarm_where_there_is_a_bound() {
    let learned = set(&["connect", "read"]);
    let one = ReachComparison::new("app", learned.clone(), Some(&learned), &reach(&["read"], &[]));
    assert_eq!(one.alarms, set(&["connect"]));
    assert!(reach(&["read"], &[]).text(Some(&one)).contains("ALARM"));
    let unbounded = reach(&["read"], &[ReachGap::new(GapKind::Number, "app+0x1", "x")]);
    let one = ReachComparison::new("app", learned.clone(), Some(&learned), &unbounded);
    assert!(one.alarms.is_empty() && one.needless.is_empty());
    assert!(ReachComparison::new("app", learned, None, &unbounded).learned.is_none());
}

#[test]
fn dangerous_calls_are_calls_sorted_each_with_its_reason() {
    use super::super::dangerous::DANGEROUS;
    assert!(DANGEROUS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    for (name, why) in DANGEROUS {
        assert!(crate::syscalls::find(name).is_some(), "{name}");
        assert!(!why.is_empty(), "{name}");
    }
}
