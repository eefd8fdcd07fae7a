//! `syscalls.exact`: what is listed is allowed, and what the launch needs, and nothing else.

use remit::filter::{Access, Action};
use remit::kernel::{Arch, Kernel, Release};
use remit::profile::Mode;

use crate::{SERVER, answer, place, plan, plan_on, server, try_plan};

const DYNAMIC: &str = r#""programs": [{"path": "/bin/dash", "entry": true}]"#;

fn exact(allow: &str, more: &str) -> remit::plan::Plan {
    server(&format!(r#""syscalls": {{"exact": true, "allow": [{allow}]}}{more}"#))
}

#[test]
fn the_other_sections_bring_nothing() {
    let network = r#", "network": {"listen": ["tcp/80"], "connect": ["tcp/53"]},
        "files": [{"path": "/app/data", "allow": ["read", "write", "create", "remove"]}]"#;
    let plan = exact("", network);
    let allowed: Vec<&str> = plan.filter.calls.keys().copied().collect();
    assert_eq!(allowed, plan.launch, "nothing is listed");
    assert!(allowed.len() <= 15 && allowed.contains(&"execve"), "{allowed:?}");
    assert!(plan.to_string().contains("not listed, and needed by the launch: brk close execve"), "{plan}");
    let json: serde_json::Value = serde_json::from_str(&plan.to_json().expect("it compiles")).expect("JSON");
    assert_eq!(json["seccomp"]["launch"], serde_json::json!(allowed));
    for call in ["openat", "socket", "bind", "unlink", "clone", "fork", "readlink"] {
        assert_eq!(answer(&plan, call, [0; 6]), Action::Notify, "{call}");
        assert!(!plan.filter.calls.contains_key(call), "{call}");
    }
    // What they decide, they decide of what is listed.
    let plan = exact(r#""socket", "bind", "openat", "@base""#, network);
    assert_eq!(plan.filter.calls["bind"], Access::Notify);
    assert_eq!(answer(&plan, "socket", [2, 1, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(answer(&plan, "socket", [1, 1, 0, 0, 0, 0]), Action::Notify, "no unix socket");
    assert_eq!(answer(&plan, "openat", [0, 0, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(answer(&plan, "openat", [0, 0, 1, 0, 0, 0]), Action::Notify);
    assert!(!plan.launch.contains(&"brk"), "@base lists it: {:?}", plan.launch);
    // Without it all is as before.
    assert!(server(&network[2..]).filter.calls.contains_key("unlink"));
    assert!(server(&network[2..]).launch.is_empty());
}

#[test]
fn base_and_failure_are_as_wide_as_they_say() {
    for arch in Arch::ALL {
        for (major, minor) in [(5, 10), (6, 18), (7, 3)] {
            let kernel = Kernel::stock(Release::new(major, minor), arch);
            let keys = format!(
                r#"{SERVER}, "fallback": "degrade", "limits": {{"processes": 9}},
                "syscalls": {{"exact": true, "allow": ["@base", "@failure"]}}"#
            );
            let plan = plan_on(&keys, &kernel, &place(), Mode::Enforce).expect("a plan");
            let is = |call, args| answer(&plan, call, args) == Action::Allow;
            assert!(is("clone", [0x3d_0f00, 0, 0, 0, 0, 0]), "a thread");
            assert!(!is("clone", [17, 0, 0, 0, 0, 0]) && !plan.policy.forks, "a process");
            assert!(is("mmap", [0, 0, 5, 2, 0, 0]) && !is("mmap", [0, 0, 7, 2, 0, 0]), "writable code");
            assert!(is("tgkill", [7, 7, 6, 0, 0, 0]), "abort");
            assert!(!is("tgkill", [1, 1, 6, 0, 0, 0]), "the supervisor");
            assert!(is("kill", [7, 9, 0, 0, 0, 0]) && !is("kill", [1, 9, 0, 0, 0, 0]));
            assert!(is("prlimit64", [0, 3, 0, 9, 0, 0]) && !is("prlimit64", [0, 3, 9, 0, 0, 0]));
            assert!(is("fcntl", [0, 3, 0, 0, 0, 0]) && !is("fcntl", [0, 1031, 0, 0, 0, 0]));
            let allowed = plan.filter.calls.len();
            assert!((60..=80).contains(&allowed), "{arch:?}: {allowed}");
        }
    }
}

#[test]
fn a_bare_name_is_as_wide_as_the_groups_have_it() {
    let plan = exact(r#""@base", "clone", "socketpair", "sendmmsg", "kill", "fcntl""#, "");
    assert!(plan.policy.forks);
    assert_eq!(answer(&plan, "clone", [17, 0, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(answer(&plan, "clone", [0x1000_0011, 0, 0, 0, 0, 0]), Action::Notify, "a namespace");
    assert_eq!(answer(&plan, "socketpair", [1, 1, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(answer(&plan, "socketpair", [1, 2, 0, 0, 0, 0]), Action::Notify, "datagrams");
    assert_eq!(answer(&plan, "sendmmsg", [3, 0, 1, 0, 0, 0]), Action::Allow);
    assert_eq!(answer(&plan, "sendmmsg", [3, 0, 1, 0x2000_0000, 0, 0]), Action::Notify, "a fast open");
    assert_eq!(answer(&plan, "kill", [7, 9, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(answer(&plan, "fcntl", [0, 1031, 0, 0, 0, 0]), Action::Allow);
    // And one with a condition no wider than that.
    let plan = exact(r#""@base", {"call": "kill", "arg": 1, "in": ["SIGKILL"]}"#, "");
    assert_eq!(answer(&plan, "kill", [7, 9, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(answer(&plan, "kill", [7, 15, 0, 0, 0, 0]), Action::Notify);
    assert_eq!(answer(&plan, "kill", [1, 9, 0, 0, 0, 0]), Action::Notify, "the supervisor");
}

#[test]
fn one_by_which_nothing_could_start_is_refused_with_the_line_that_helps() {
    let error = |allow: &str| {
        let keys =
            format!(r#"{DYNAMIC}, "files": ["@runtime"], "syscalls": {{"exact": true, "allow": [{allow}]}}"#);
        try_plan(&keys).expect_err("refused")
    };
    let nothing = error("");
    assert_eq!(nothing.pointer, "/syscalls/allow");
    assert!(nothing.to_string().contains("openat or open"), "{nothing}");
    assert!(nothing.to_string().contains(r#"add "@base", "arch_prctl", "set_tid_address""#), "{nothing}");
    let most = error(r#""@base""#);
    assert!(most.to_string().ends_with(r#"add "arch_prctl", "set_tid_address""#), "{most}");
    let all = r#""@base", "arch_prctl", "set_tid_address""#;
    plan(&format!(r#"{DYNAMIC}, "syscalls": {{"exact": true, "allow": [{all}]}}"#));
}

#[test]
fn programs_that_cannot_start_others_are_noted() {
    let notes = |allow: &str| {
        let programs = r#""programs": [{"path": "/app/server", "entry": true, "may_run": ["/bin/dash"]}, {"path": "/bin/dash"}]"#;
        let start = r#""@base", "arch_prctl", "set_tid_address""#;
        plan(&format!(r#"{programs}, "syscalls": {{"exact": true, "allow": [{start}{allow}]}}"#))
            .notes
            .join("\n")
    };
    let alone = notes("");
    assert!(alone.contains("none of clone, fork and vfork"), "{alone}");
    assert!(notes(r#", "vfork""#).contains("neither wait4 nor waitid"));
    assert!(!notes(r#", "clone", "wait4""#).contains("exact"));
}
