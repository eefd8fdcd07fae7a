//! Calls that are taken away after the start-up.

use super::*;
use crate::filter::Action;
use crate::policy::call::Call;
use crate::syscalls;

fn call(name: &'static str, args: [u64; 6]) -> Call {
    Call { name: Some(name), number: syscalls::number(Arch::X86_64, name).expect("it is there"), args }
}

const DELAY: &str = r#""ready": {"when": "delay", "delay": "1s"}"#;

#[test]
fn what_is_for_the_startup_alone_goes_on_until_it_is_over() {
    let keys = format!(
        r#"{DELAY}, "network": {{"listen": ["tcp/80"]}},
           "syscalls": {{"startup_only": ["execve", "bind", "listen", "personality", "@files"]}}"#
    );
    let rules = rules(&keys);
    // Those that go on by themselves before, and those that are decided.
    for (name, allowed) in
        [("listen", true), ("personality", true), ("execve", false), ("bind", false), ("mkdir", false)]
    {
        let call = call(name, [0; 6]);
        assert!(rules.is_early(name), "{name}");
        assert_eq!(rules.goes_unnotified(&call), allowed, "{name}");
        let refusal = rules.taken_away(&call).expect(name);
        assert_eq!((&*refusal.rule, refusal.errno), ("/syscalls/startup_only", nix::errno::Errno::EPERM));
    }
    assert!(!rules.is_early("accept4") && rules.taken_away(&call("accept4", [0; 6])).is_none());
}

#[test]
fn an_argument_is_taken_away_whatever_bits_stand_beside_it() {
    // Socket's domain is known to have 32 bits, pivot_root's are not known at all.
    let keys = format!(
        r#"{DELAY}, "network": {{"connect": ["tcp/80", "unix:*"]}},
           "syscalls": {{"startup_only": [{{"call": "socket", "arg": 0, "in": ["AF_UNIX"]}},
                                          {{"call": "pivot_root", "arg": 1, "in": [7]}},
                                          {{"call": "pivot_root", "arg": 0, "mask": 6, "equals": 2}}]}}"#
    );
    let rules = rules(&keys);
    let taken = |name, args| rules.taken_away(&call(name, args)).is_some();
    for (args, gone) in
        [([1, 1, 0, 0, 0, 0], true), ([1 | 1 << 32, 1, 0, 0, 0, 0], true), ([2, 1, 0, 0, 0, 0], false)]
    {
        assert_eq!(taken("socket", args), gone, "{args:x?}");
        assert!(rules.goes_unnotified(&call("socket", args)));
    }
    for (args, gone) in [
        ([0, 7, 0, 0, 0, 0], true),
        ([0, 7 | 1 << 40, 0, 0, 0, 0], true),
        ([0, 8, 0, 0, 0, 0], false),
        ([2, 8, 0, 0, 0, 0], true),
        ([3 | 1 << 63, 8, 0, 0, 0, 0], true),
        ([4, 8, 0, 0, 0, 0], false),
    ] {
        assert_eq!(taken("pivot_root", args), gone, "{args:x?}");
    }
}

#[test]
fn a_call_that_the_filter_would_notify_is_still_decided() {
    let keys = format!(
        r#"{DELAY}, "network": {{"connect": ["tcp/80"]}}, "syscalls": {{"startup_only": ["socket", "mprotect"]}}"#
    );
    let rules = rules(&keys);
    for (name, args, allowed) in [
        ("socket", [2, 1, 0, 0, 0, 0], true),
        ("socket", [2, 2, 0, 0, 0, 0], false),
        ("mprotect", [0, 4096, 1, 0, 0, 0], true),
        ("mprotect", [0, 4096, 4, 0, 0, 0], false),
    ] {
        assert_eq!(rules.goes_unnotified(&call(name, args)), allowed, "{name} {args:?}");
    }
}

#[test]
fn without_a_listener_no_call_is_notified_and_nothing_is_widened() {
    let text = format!(
        r#"{{"remit": 1, "name": "t", "fallback": "degrade", {DELAY},
            "programs": [{{"path": "/app/server", "entry": true}}], "network": {{"connect": ["tcp/80"]}},
            "syscalls": {{"startup_only": ["socket", "execve"]}}}}"#
    );
    let profile = profile::read(text.as_bytes()).expect("valid").profile;
    let kernel = Kernel::stock(Release::new(6, 18), Arch::X86_64);
    let plan = Plan::new(&profile, &kernel, &place(), &image(), Mode::Enforce).expect("a plan");
    let lasting = plan.lasting_filter();
    let socket = |kind| {
        lasting.verdict(syscalls::number(Arch::X86_64, "socket").expect("there"), &[2, kind, 0, 0, 0, 0])
    };
    assert_eq!((socket(1), socket(2)), (Action::Allow, Action::Notify));
    assert_eq!(plan.filter.verdict(41, &[2, 1, 0, 0, 0, 0]), Action::Notify, "notified from the start");
}
