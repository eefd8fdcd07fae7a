use std::collections::BTreeMap;

use super::super::report::{GapKind, ReachGap, ReachableCall};
use super::*;

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn reach(names: &[&str], gaps: &[ReachGap]) -> Reach {
    Reach {
        arch: Arch::X86_64,
        programs: vec!["/usr/bin/app".to_owned()],
        named: set(&["/app"]),
        objects: BTreeMap::new(),
        calls: names.iter().map(|name| ((*name).to_owned(), ReachableCall::default())).collect(),
        gaps: gaps.iter().cloned().collect(),
    }
}

fn profile(listed: &[&str], learned: Option<&[&str]>) -> ComparedProfile {
    let learned =
        learned.map(|calls| LearnedCalls { calls: set(calls), with_base: true, arch: Some(Arch::X86_64) });
    ComparedProfile { name: "app".to_owned(), listed: set(listed), programs: set(&["/app"]), learned }
}

fn compared(profile: ComparedProfile, reach: &Reach) -> ReachComparison {
    ReachComparison::new(profile, reach).expect("of one architecture")
}

#[test]
fn what_is_in_between_dangerous_and_needless() {
    let found = reach(&["bpf", "kill", "read", "write"], &[]);
    let one = compared(profile(&["execve", "ptrace", "read"], Some(&["read", "execve"])), &found);
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
fn what_no_run_has_shown_has_a_row_each_the_dangerous_first() {
    let found = reach(&["bpf", "kill", "read", "write"], &[]);
    let mut of = profile(&["kill", "read"], Some(&["read"]));
    let one = compared(of.clone(), &found);
    let rows: Vec<_> =
        one.rows.iter().map(|row| (&*row.call, row.is_allowed, row.danger.is_some())).collect();
    assert_eq!(rows, [("bpf", false, true), ("write", false, false), ("kill", true, false)]);
    let expected =
        "used 1, reachable 4, in between 3 that no run has shown: 2 of them refused, 1 allowed, 1 dangerous";
    assert_eq!(one.used_sentence().as_deref(), Some(expected));
    // Runs that do not watch @base may have made its calls.
    if let Some(learned) = &mut of.learned {
        learned.with_base = false;
    }
    let one = compared(of, &found);
    assert_eq!(one.unused, set(&["bpf", "kill"]));
    assert_eq!(one.used, Some(set(&["read", "write"])));
    let one = compared(profile(&["kill", "read"], None), &found);
    assert_eq!(one.used_sentence(), None);
    assert_eq!(one.rows.iter().map(|row| &*row.call).collect::<Vec<_>>(), ["bpf", "write"]);
}

#[test]
fn a_learned_call_that_is_not_reachable_is_an_alarm_where_there_is_a_bound() {
    let of = profile(&["connect", "read"], Some(&["connect", "read"]));
    let one = compared(of.clone(), &reach(&["read"], &[]));
    assert_eq!(one.alarms, set(&["connect"]));
    assert!(one.alarm_sentence().is_some_and(|text| text.starts_with("Learned and not reachable: connect.")));
    assert!(reach(&["read"], &[]).text(Some(&one)).contains("ALARM"));
    let unbounded = reach(&["read"], &[ReachGap::new(GapKind::Number, "app+0x1", "x")]);
    let one = compared(of.clone(), &unbounded);
    assert!(one.alarms.is_empty() && one.needless.is_empty());
    assert_eq!(one.open.as_deref(), Some("What is reachable has no bound"));
    assert!(compared(profile(&["read"], None), &unbounded).learned.is_none());
    // What another program of the profile does is not in the answer.
    let mut more = of.clone();
    more.programs.insert("/bin/sh".to_owned());
    let one = compared(more, &reach(&["read"], &[]));
    assert!(one.alarms.is_empty() && one.needless.is_empty());
    assert_eq!(one.missing, set(&["/bin/sh"]));
    assert!(one.open.is_some_and(|open| open.contains("(/bin/sh)")));
    let mut other = of;
    other.programs = set(&["/usr/bin/app"]);
    assert!(compared(other.clone(), &reach(&["read"], &[])).open.is_none(), "by its resolved path");
    if let Some(learned) = &mut other.learned {
        learned.arch = Some(Arch::Aarch64);
    }
    let error = ReachComparison::new(other, &reach(&["read"], &[])).expect_err("another architecture");
    assert!(error.to_string().contains("found for x86_64, and the runs are from aarch64"), "{error}");
}

/// A journal has a process that was forked as `clone`, whichever call made it.
#[test]
fn a_learned_fork_is_any_that_is_reachable() {
    let of = profile(&["clone", "fork", "read"], Some(&["clone", "read"]));
    let one = compared(of.clone(), &reach(&["fork", "read"], &[]));
    assert!(one.alarms.is_empty() && one.unused.is_empty(), "{:?} {:?}", one.alarms, one.unused);
    assert_eq!(one.used, Some(set(&["fork", "read"])));
    assert_eq!(compared(of, &reach(&["read"], &[])).alarms, set(&["clone"]));
}

#[test]
fn what_would_make_a_call_is_a_function_of_the_program() {
    let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let of = |names: &[&str]| exercise(&path(names));
    assert_eq!(
        of(&["app:main", "libcrypto.so.3:RAND_poll", "libc.so.6:shmget"]),
        "a run in which libcrypto.so.3:RAND_poll is called, by way of app:main"
    );
    assert_eq!(of(&["app:main", "libc.so.6:x"]), "a run in which app:main comes to its call of libc.so.6:x");
    assert_eq!(of(&["app:main"]), "a run that comes to app:main");
    assert_eq!(of(&["kernel"]), "the kernel has the process make it");
    assert!(of(&["libc.so.6:abort", "libc.so.6:raise"]).starts_with("a run that comes to libc.so.6:abort"));
    assert_eq!(of(&[]), "not known");
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
