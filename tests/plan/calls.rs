//! `syscalls`: what the filter lets through, notifies and refuses, whatever brings a call.

use remit::filter::{Access, Action, Filter};
use remit::kernel::{Arch, Kernel, LandlockAbi, Release};
use remit::plan::{Host, numbers};
use remit::profile::Mode;
use remit::syscalls;

use crate::{SERVER, answer, kernel, place, plan, plan_on, server};

#[test]
fn a_bare_name_loosens_nothing_that_is_mediated() {
    let names = [
        "open",
        "openat",
        "openat2",
        "creat",
        "execve",
        "socket",
        "bind",
        "connect",
        "mmap",
        "mprotect",
        "pkey_mprotect",
        "shmat",
        "kill",
        "tgkill",
        "unlink",
        "rename",
        "truncate",
        "clone",
        "sendto",
    ];
    let list = names.map(|name| format!("\"{name}\"")).join(", ");
    let plan = server(&format!(r#""syscalls": {{"allow": [{list}]}}"#));
    for name in names {
        assert_ne!(plan.filter.calls[name], Access::Allow, "{name}");
    }
    assert_eq!(
        answer(&plan, "openat", [0, 0, 0o2_000_000, 0, 0, 0]),
        Action::Allow,
        "O_CLOEXEC, for reading"
    );
    for flags in [1, 2, 0o100, 0o1000, 0o20_200_000 | 2] {
        assert_eq!(answer(&plan, "openat", [0, 0, flags, 0, 0, 0]), Action::Notify, "{flags:#o}");
    }
    assert_eq!(answer(&plan, "mmap", [0, 0, 5, 2, 0, 0]), Action::Allow);
    assert_eq!(answer(&plan, "mmap", [0, 0, 3, 2, 0, 0]), Action::Allow);
    assert_eq!(answer(&plan, "mmap", [0, 0, 7, 2, 0, 0]), Action::Notify);
    assert_eq!(answer(&plan, "mprotect", [0, 0, 5, 0, 0, 0]), Action::Notify);
    assert_eq!(answer(&plan, "shmat", [0, 0, 0o100_000, 0, 0, 0]), Action::Notify);
    assert_eq!(answer(&plan, "socket", [2, 1, 0, 0, 0, 0]), Action::Notify, "no network was named");
    assert_eq!(answer(&plan, "clone", [0x1000_0000, 0, 0, 0, 0, 0]), Action::Notify);
    assert_eq!(answer(&plan, "kill", [1, 9, 0, 0, 0, 0]), Action::Notify);
    assert_eq!(
        answer(&plan, "kill", [(7 << 32) | 1, 9, 0, 0, 0, 0]),
        Action::Notify,
        "the upper half is ignored"
    );
    assert_eq!(answer(&plan, "kill", [7, 9, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(answer(&plan, "tgkill", [7, 1, 9, 0, 0, 0]), Action::Notify);
}

/// Of every call, with each of its arguments that is the number of a process.
#[rustfmt::skip]
const BY_NUMBER: &[(&str, &[usize])] = &[
    ("ioprio_set", &[1]), ("kcmp", &[0, 1]), ("kill", &[0]), ("migrate_pages", &[0]), ("move_pages", &[0]),
    ("perf_event_open", &[1]), ("pidfd_open", &[0]), ("prlimit64", &[0]), ("process_vm_readv", &[0]),
    ("process_vm_writev", &[0]), ("ptrace", &[1]), ("rt_sigqueueinfo", &[0]), ("rt_tgsigqueueinfo", &[0]),
    ("sched_setaffinity", &[0]), ("sched_setattr", &[0]), ("sched_setparam", &[0]),
    ("sched_setscheduler", &[0]), ("setpriority", &[1]), ("tgkill", &[0]), ("tkill", &[0]),
];

#[test]
fn no_call_takes_a_number_of_the_supervisors_whatever_brings_it() {
    let listed: Vec<String> = BY_NUMBER
        .iter()
        .map(|(call, _)| call)
        .chain(&["fcntl", "ioctl"])
        .map(|call| format!("{call:?}"))
        .collect();
    let place = Host { supervisor: 7, group: 5, ..place() };
    for arch in [Arch::X86_64, Arch::Aarch64] {
        for (major, minor) in [(5, 10), (6, 1), (6, 12), (6, 18)] {
            let mut kernel = Kernel::stock(Release::new(major, minor), arch);
            for without_landlock in [false, true] {
                if without_landlock {
                    kernel.landlock = LandlockAbi::NONE;
                }
                let keys = format!(r#"{SERVER}, "syscalls": {{"allow": [{}]}}"#, listed.join(", "));
                let plan = plan_on(&keys, &kernel, &place, Mode::Enforce).expect("plans");
                let ask = |call: &str, args: [u64; 6]| answer(&plan, call, args);
                for (call, numbers) in BY_NUMBER {
                    for at in *numbers {
                        // ioprio_set's word for a process is 1, setpriority's 0.
                        let mut args = [if *call == "ioprio_set" { 1 } else { 0 }; 6];
                        args[*at] = 8;
                        // Without its capability the supervisor is asked in any case.
                        let is_notified = plan.filter.calls.get(call) == Some(&Access::Notify);
                        let free = if is_notified { Action::Notify } else { Action::Allow };
                        assert_eq!(ask(call, args), free, "{arch} {major}.{minor} {call} {args:?}");
                        args[*at] = 7;
                        assert_eq!(ask(call, args), Action::Notify, "{arch} {major}.{minor} {call} {args:?}");
                        args[*at] = 1 << 32 | 7;
                        assert_eq!(
                            ask(call, args),
                            Action::Notify,
                            "{arch} {major}.{minor} {call} {args:x?}"
                        );
                    }
                }
                for (call, process) in [("ioprio_set", 1), ("setpriority", 0)] {
                    for which in (0..4).filter(|which| *which != process) {
                        assert_eq!(ask(call, [which, 8, 0, 0, 0, 0]), Action::Notify, "{call} {which}");
                    }
                }
                let minus = |number: u64| u64::from((number as u32).wrapping_neg());
                assert_eq!(ask("kill", [minus(5), 9, 0, 0, 0, 0]), Action::Notify, "its group");
                assert_eq!(ask("kill", [minus(6), 9, 0, 0, 0, 0]), Action::Allow, "another group");
                // Landlock's scope spares the supervisor among all others.
                let scoped = kernel.landlock >= LandlockAbi::SCOPE;
                let alone = if scoped { Action::Allow } else { Action::Notify };
                for (call, args) in [
                    ("kill", [0, 9]),
                    ("kill", [minus(1), 9]),
                    ("ioctl", [3, 0x8901]),
                    ("ioctl", [3, 0x8902]),
                    ("fcntl", [3, 15]),
                ] {
                    let args = [args[0], args[1], 0, 0, 0, 0];
                    assert_eq!(ask(call, args), alone, "{arch} {major}.{minor} {call} {args:?}");
                }
                // It could be given another priority by its group.
                assert_eq!(ask("setpgid", [0, 5, 0, 0, 0, 0]), Action::Notify, "{arch} {major}.{minor}");
                for owner in [7, minus(5), 1 << 32 | 7] {
                    assert_eq!(ask("fcntl", [3, 8, owner, 0, 0, 0]), alone, "F_SETOWN {owner:x}");
                }
                for (call, args) in [
                    ("setpgid", [0, 6, 0]),
                    ("ioctl", [3, 0x5421, 0]),
                    ("fcntl", [3, 2, 7]),
                    ("fcntl", [3, 8, 8]),
                    ("fcntl", [3, 8, 0]),
                ] {
                    let args = [args[0], args[1], args[2], 0, 0, 0];
                    assert_eq!(ask(call, args), Action::Allow, "{arch} {major}.{minor} {call} {args:?}");
                }
                let by_descriptor = ask("pidfd_send_signal", [0; 6]);
                assert_eq!(by_descriptor, alone, "{arch} {major}.{minor}");
            }
        }
    }
    // The first process of its namespace is spared by the kernel.
    let first = plan_on(SERVER, &kernel(6, 1), &self::place(), Mode::Enforce).expect("plans");
    assert_eq!(answer(&first, "kill", [u64::from(u32::MAX), 9, 0, 0, 0, 0]), Action::Allow);
}

#[test]
fn where_the_filter_has_not_every_thread_it_lets_through_the_caller_alone() {
    let listed = r#""syscalls": {"allow": ["@core", "sched_setaffinity", "setpriority", "ioprio_set", "prlimit64", "tkill"]}"#;
    let keys = format!(
        "{}, {listed}",
        SERVER.split_once(r#", "syscalls""#).map_or(SERVER, |(programs, _)| programs)
    );
    let plan = plan_on(&keys, &kernel(6, 18), &place(), Mode::Enforce).expect("plans");
    let narrowed = plan.filter.calls.iter();
    let narrowed = narrowed.map(|(call, access)| (*call, numbers::of_the_caller_alone(call, access.clone())));
    let narrowed = Filter { calls: narrowed.collect(), ..plan.filter.clone() };
    let answer = |call: &str, args: [u64; 6]| {
        narrowed.verdict(syscalls::number(Arch::X86_64, call).expect("a call"), &args)
    };
    for (call, arg, first) in
        [("sched_setaffinity", 0, 0), ("setpriority", 1, 0), ("ioprio_set", 1, 1), ("prlimit64", 0, 0)]
    {
        let of = |number: u64| {
            let mut args = [first, 0, 0, 0, 0, 0];
            args[arg] = number;
            answer(call, args)
        };
        assert_eq!((of(0), of(77)), (Action::Allow, Action::Notify), "{call}");
    }
    // What Landlock keeps from the supervisor goes by the filter.
    assert_eq!(answer("tkill", [77, 9, 0, 0, 0, 0]), Action::Allow);
    assert!(matches!(narrowed.calls.get("getpid"), Some(Access::Allow)));
}

/// What is for the caller itself, by its number or its group, is decided as with 0.
#[test]
fn what_a_change_of_scheduling_is_for_is_in_registers() {
    use numbers::NamedProcess::{Group, Process};
    const HIGH: u64 = 1 << 32;
    let of = |call: &str, args: [u64; 3]| {
        numbers::of_itself(call, &[args[0], args[1], args[2], 0, 0, 0])
            .map(|(named, own)| (named, [own[0], own[1], own[2]]))
    };
    for (call, args, named, own) in [
        ("prlimit64", [77, 7, 9], Process(77), [0, 7, 9]),
        ("prlimit64", [HIGH | 77, 7, 9], Process(77), [0, 7, 9]),
        ("sched_setscheduler", [77, 3, 9], Process(77), [0, 3, 9]),
        ("setpriority", [0, 77, 5], Process(77), [0, 0, 5]),
        ("setpriority", [1, 77, 5], Group(77), [0, 0, 5]),
        ("setpriority", [HIGH | 1, 0, 5], Group(0), [0, 0, 5]),
        ("ioprio_set", [1, 77, 5], Process(77), [1, 0, 5]),
        ("ioprio_set", [2, 77, 5], Group(77), [1, 0, 5]),
    ] {
        assert_eq!(of(call, args), Some((named, own)), "{call} {args:?}");
    }
    // A user's processes may be the supervisor's; and what signals or reads is no such change.
    for (call, args) in
        [("setpriority", [2, 0, 5]), ("ioprio_set", [3, 0, 5]), ("kill", [77, 9, 0]), ("ptrace", [16, 77, 0])]
    {
        assert_eq!(of(call, args), None, "{call} {args:?}");
    }
}

/// No process could load another filter into the app later.
#[test]
fn what_is_for_the_startup_alone_is_notified_from_the_start() {
    let plan = server(
        r#""network": {"listen": ["tcp/80"]}, "ready": {"when": "listening"},
           "syscalls": {"startup_only": ["execve", "listen", "sethostname", "@files"]}"#,
    );
    for call in ["execve", "listen", "bind", "sethostname", "mkdir"] {
        assert_eq!(answer(&plan, call, [0; 6]), Action::Notify, "{call}");
    }
    assert_eq!(answer(&plan, "accept4", [0; 6]), Action::Allow);
    let startup = plan.policy.startup.as_ref().expect("it has an end");
    let taken: Vec<&str> = startup.taken.keys().copied().collect();
    assert!(
        ["execve", "listen", "sethostname", "openat"].iter().all(|call| taken.contains(call)),
        "{taken:?}"
    );
    assert!(!taken.contains(&"bind"), "it is only looked at");
    let text = plan.to_string();
    assert!(text.contains("is over when tcp/80 listens"), "{text}");
    // A plan that takes nothing away at the end of the start-up has no word of it.
    assert!(!self::plan(SERVER).to_string().contains("start-up"));
}
