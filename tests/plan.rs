//! What a plan decides, and what it refuses, one rule of the format at a time.

use std::path::Path;

use remit::filter::{Access, Action, Filter};
use remit::ids::{Gid, Uid};
use remit::image::{Executable, tree::Tree};
use remit::kernel::{Arch, Kernel, LandlockAbi, NoListener, Release};
use remit::plan::{Holder, LayerState, Place, Plan, PlanError, Role, numbers};
use remit::profile::{self, Capability, Mode, RunAs};
use remit::syscalls;

use landlock::{AccessFs, BitFlags, make_bitflags};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

fn image() -> Tree {
    Tree::new()
        .program(LOADER, Executable::Loader)
        .program("/bin/dash", Executable::Dynamic(LOADER.into()))
        .link("/bin/sh", "dash")
        .link("/tools", "bin")
        .link("/loaders", "lib64")
        .program("/bin/env", Executable::Dynamic(LOADER.into()))
        .program("/app/server", Executable::Static)
        .hard_link("/app/again", "/app/server")
        .program("/app/arm", Executable::Foreign(183))
        .program("/app/text", Executable::Unknown)
        .program("/app/script", Executable::Script("/bin/sh".into(), Some("-e".into())))
        .program("/app/nested", Executable::Script("/app/script".into(), None))
        .program("/app/by-env", Executable::Script("/bin/env".into(), Some("sh".into())))
        .program("/app/orphan", Executable::Dynamic("/lib/nowhere.so".into()))
        .program("/app/loop", Executable::Script("/app/loop".into(), None))
        .dir("/app/data")
        .file("/data/file")
        .file("/opt/lib/plugin.so")
        .file("/opt/one.so")
        .link("/opt/plugins", "lib")
        .device("/dev/null")
        .dir("/proc/sys")
        .dir("/dev/shm")
        .file("/etc/passwd")
        .file("/etc/remit.json")
        .dir("/links")
}

fn place() -> Place {
    let permitted: caps::CapsHashSet =
        [Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_CHOWN, Capability::CAP_SETPCAP]
            .into();
    Place {
        command: None,
        supervisor: 1,
        group: 1,
        ids: RunAs { user: Uid::from_raw(0), group: Gid::from_raw(0), groups: vec![Gid::from_raw(0)] },
        bounding: permitted.clone(),
        permitted,
        hard_limits: [Some(1024), None, None],
        standard_files: Vec::new(),
        guarded: vec![("the profile", "/etc/remit.json".into())],
        event_socket: None,
        links: vec![("a link to the profile", "/links/remit.json".into())],
        mounts: Vec::new(),
        embedded: false,
    }
}

fn kernel(major: u16, minor: u16) -> Kernel {
    Kernel::stock(Release::new(major, minor), Arch::X86_64)
}

const SERVER: &str = r#""programs": [{"path": "/app/server", "entry": true}]"#;

/// A profile of these keys.
fn plan_on(keys: &str, kernel: &Kernel, place: &Place, mode: Mode) -> Result<Plan, PlanError> {
    let text = format!(r#"{{"remit": 1, "name": "t", {keys}}}"#);
    let profile = profile::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}")).profile;
    Plan::new(&profile, kernel, place, &image(), mode)
}

fn try_plan(keys: &str) -> Result<Plan, PlanError> {
    plan_on(keys, &kernel(6, 18), &place(), Mode::Enforce)
}

fn plan(keys: &str) -> Plan {
    try_plan(keys).unwrap_or_else(|error| panic!("{error}\n{keys}"))
}

fn server(more: &str) -> Plan {
    plan(&format!("{SERVER}, {more}"))
}

fn rights(plan: &Plan, path: &str) -> BitFlags<AccessFs> {
    let domain = plan.landlock.as_ref().expect("a domain");
    domain.rules.iter().find(|rule| rule.path == Path::new(path)).map_or(BitFlags::EMPTY, |rule| rule.rights)
}

fn widened(plan: &Plan, path: &str, narrowed: bool) -> BitFlags<AccessFs> {
    let here = plan.widened.iter().filter(|wide| wide.path == Path::new(path) && wide.narrowed == narrowed);
    here.fold(BitFlags::EMPTY, |all, wide| all | wide.rights)
}

fn answer(plan: &Plan, call: &str, args: [u64; 6]) -> Action {
    let number = syscalls::number(plan.filter.arch, call).expect("the architecture has it");
    plan.filter.verdict(number, &args)
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    let cases = [
        (
            r#""programs": [{"path": "/app/server", "entry": true, "libraries": ["/lib", "/dev/null"]}]"#,
            "/programs/0/libraries/1",
            "neither a file nor a directory",
        ),
        (&format!(r#"{SERVER}, "network": {{"connect": ["udp/53"]}}"#), "/network/connect/0", "udp/*"),
        (&format!(r#"{SERVER}, "network": {{"listen": ["udp/127.0.0.1:*"]}}"#), "/network/listen/0", "udp/*"),
        (&format!(r#"{SERVER}, "ready": {{"when": "listening"}}"#), "/ready", "network.listen"),
        (r#""programs": [{"path": "/app/gone", "entry": true}]"#, "/programs/0/path", "not there"),
        (r#""programs": [{"path": "/app/data", "entry": true}]"#, "/programs/0/path", "beneath"),
        (
            r#""programs": [{"beneath": "/app/server", "entry": true}]"#,
            "/programs/0/beneath",
            "not a directory",
        ),
        (r#""programs": [{"beneath": "/nowhere", "entry": true}]"#, "/programs/0/beneath", "not there"),
        (r#""programs": [{"path": "/app/arm", "entry": true}]"#, "/programs/0", "another machine"),
        (r#""programs": [{"path": "/app/text", "entry": true}]"#, "/programs/0", "cannot execute"),
        (
            r#""programs": [{"path": "/app/script", "entry": true}]"#,
            "/programs/0/path",
            "\"interpreter\": \"/bin/sh\"",
        ),
        (
            r#""programs": [{"path": "/app/script", "entry": true, "interpreter": "/bin/dash"}]"#,
            "/programs/0/interpreter",
            "names `/bin/sh`",
        ),
        (
            r#""programs": [{"path": "/app/server", "entry": true, "interpreter": "/bin/sh"}]"#,
            "/programs/0/interpreter",
            "no script",
        ),
        (r#""programs": [{"path": "/app/orphan", "entry": true}]"#, "/programs/0", "/lib/nowhere.so"),
        (
            r#""programs": [{"path": "/app/loop", "entry": true, "interpreter": "/app/loop"}]"#,
            "/programs/0",
            "deep",
        ),
        (
            r#""programs": [{"path": "/app/server", "entry": true}, {"path": "/app/again"}]"#,
            "/programs/1/path",
            "same file",
        ),
        (
            &format!(r#"{SERVER}, "files": [{{"path": "/gone", "allow": ["read"]}}]"#),
            "/files/0",
            "\"optional\": true",
        ),
        (
            &format!(r#"{SERVER}, "files": [{{"path": "/gone/x", "allow": ["create"]}}]"#),
            "/files/0",
            "directory of `/gone/x`",
        ),
        (&format!(r#"{SERVER}, "limits": {{"open_files": 2048}}"#), "/limits/open_files", "1024"),
    ];
    for (keys, pointer, says) in cases {
        let error = try_plan(keys).err().unwrap_or_else(|| panic!("{keys} has a plan"));
        assert_eq!(error.pointer, pointer, "{error}");
        assert!(error.text.contains(says), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    let learn = plan_on(SERVER, &kernel(6, 18), &place(), Mode::Learn).expect_err("not there yet");
    assert_eq!(learn.pointer, "/mode");
}

#[test]
fn what_is_executed_for_a_program_is_derived_from_it() {
    let derived = |path: &str, interpreter: &str| {
        let keys =
            format!(r#""programs": [{{"path": "{path}", "entry": true, "interpreter": "{interpreter}"}}]"#);
        let plan = plan(&keys);
        let list: Vec<_> =
            plan.derived.iter().map(|one| (one.role, one.path.display().to_string())).collect();
        assert_eq!(plan.policy.derived.len(), list.len(), "each is known by its inode");
        for (_, path) in &list {
            let real = if path == "/bin/sh" { "/bin/dash" } else { path };
            assert!(rights(&plan, real).contains(AccessFs::Execute | AccessFs::ReadFile), "{path}");
        }
        list
    };
    let sh = [(Role::Interpreter, "/bin/sh".to_owned()), (Role::Loader, LOADER.to_owned())];
    assert_eq!(derived("/app/script", "/bin/sh"), sh);
    assert_eq!(derived("/app/by-env", "/bin/env")[0], (Role::Interpreter, "/bin/env".to_owned()));
    let nested = derived("/app/nested", "/app/script");
    assert_eq!(nested[0], (Role::Interpreter, "/app/script".to_owned()));
    assert_eq!(nested[1..], sh);
}

#[test]
fn a_loader_is_a_program_only_by_its_own_entry() {
    let named =
        plan(&format!(r#""programs": [{{"path": "/bin/dash", "entry": true}}, {{"path": "{LOADER}"}}]"#));
    assert!(named.policy.derived.is_empty());
    let beneath = plan(r#""programs": [{"beneath": "/bin", "entry": true}, {"beneath": "/lib64"}]"#);
    assert_eq!(beneath.policy.derived.values().collect::<Vec<_>>(), [&Role::Loader]);
}

/// By names that lead there through links: the reader refuses the plain ones.
#[test]
fn nothing_that_is_executed_or_guarded_may_be_changed() {
    let script = r#""programs": [{"path": "/app/script", "entry": true, "interpreter": "/bin/sh"}]"#;
    let beneath = r#""programs": [{"beneath": "/bin", "entry": true}]"#;
    let cases = [
        (SERVER, "/etc", "write", "the profile"),
        (SERVER, "/links", "create", "a link to the profile"),
        (script, "/tools", "write", "interpreter"),
        (script, "/loaders", "write", "loader"),
        (script, "/tools/sh", "write", "/bin/dash"),
        (SERVER, "/app/again", "write", "hard link"),
        (beneath, "/tools/new", "create", "directory of its own"),
        (beneath, "/new", "create", "directory of its own"),
    ];
    for (programs, path, right, says) in cases {
        let keys = format!(r#"{programs}, "files": [{{"path": "{path}", "allow": ["{right}"]}}]"#);
        let error = try_plan(&keys).err().unwrap_or_else(|| panic!("{keys} has a plan"));
        assert_eq!(error.pointer, "/files/0", "{error}");
        assert!(error.text.contains(says), "{error}");
    }
    let linked = Tree::new().program("/app/server", Executable::Static).link("/p", "/proc").dir("/proc");
    let text =
        format!(r#"{{"remit": 1, "name": "t", {SERVER}, "files": [{{"path": "/p", "allow": ["write"]}}]}}"#);
    let profile = profile::read(text.as_bytes()).expect("the reader sees no links").profile;
    let error = Plan::new(&profile, &kernel(6, 18), &place(), &linked, Mode::Enforce).expect_err("/proc");
    assert!(error.text.contains("/proc"), "{error}");
}

#[test]
fn a_file_has_the_rights_of_a_file_and_its_name_those_of_its_directory() {
    let all = r#""allow": ["read", "write", "create", "remove", "ioctl"]"#;
    let plan = server(&format!(r#""files": [{{"path": "/data/file", {all}}}]"#));
    assert_eq!(
        rights(&plan, "/data/file"),
        make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate | IoctlDev})
    );
    // No right on the names beside it: the supervisor makes and removes the one.
    assert_eq!(widened(&plan, "/data", true), BitFlags::EMPTY);
    assert_eq!(widened(&plan, "/data", false), BitFlags::from(AccessFs::ReadFile));

    let missing = server(&format!(r#""files": [{{"path": "/data/new", {all}}}]"#));
    assert_eq!(rights(&missing, "/data/new"), BitFlags::EMPTY);
    assert_eq!(rights(&missing, "/data"), BitFlags::from(AccessFs::ReadFile));
    let grant = missing.policy.files.iter().find(|grant| grant.path == Path::new("/data/new"));
    assert!(grant.expect("the supervisor holds it").exact);

    let keys = format!(r#"{SERVER}, "files": [{{"path": "/data/new", {all}}}]"#);
    let old = plan_on(&keys, &kernel(5, 13), &place(), Mode::Enforce).expect("plans");
    let wide = make_bitflags!(AccessFs::{WriteFile | MakeReg | RemoveFile});
    assert_eq!(widened(&old, "/data", true), wide, "no ADDFD that answers");

    let sockets =
        server(r#""files": [{"path": "/data/s", "allow": ["create"]}], "network": {"listen": ["unix:*"]}"#);
    assert_eq!(widened(&sockets, "/data", true), BitFlags::from(AccessFs::MakeSock));
}

#[test]
fn every_level_grants_only_what_it_handles() {
    let keys = format!(
        r#"{SERVER}, "files": [{{"path": "/data", "allow": ["read", "write", "create", "remove", "ioctl"]}}, "@elsewhere"],
           "network": {{"listen": ["tcp/80", "tcp/8000-8002"], "connect": ["tcp/*"]}}"#
    );
    for (major, minor) in [(5, 13), (5, 19), (6, 2), (6, 7), (6, 10), (6, 12), (6, 15), (7, 3)] {
        let kernel = kernel(major, minor);
        let plan = plan_on(&keys, &kernel, &place(), Mode::Enforce).expect("plans");
        let domain = plan.landlock.as_ref().expect("a domain");
        for rule in &domain.rules {
            assert!(domain.handled.contains(rule.rights) && !rule.rights.is_empty(), "{rule:?}");
            assert!(!rule.rights.intersects(AccessFs::MakeChar | AccessFs::MakeBlock), "{rule:?}");
        }
        assert!(domain.rules.is_sorted_by(|a, b| a.path < b.path), "one rule for each path");
        let ports: Vec<u16> = domain.ports.keys().copied().collect();
        if kernel.landlock >= LandlockAbi::TCP {
            assert_eq!(ports, [80, 8000, 8001, 8002]);
            assert_eq!(domain.handled_net, BitFlags::from(landlock::AccessNet::BindTcp), "connect is tcp/*");
        } else {
            assert!(ports.is_empty() && domain.handled_net.is_empty());
            assert!(plan.refusal().expect("ports were asked for").contains("landlock-tcp"));
        }
        assert_eq!(domain.scope_signal, kernel.landlock >= LandlockAbi::SCOPE);
        let signals = plan.filter.calls.contains_key("pidfd_send_signal");
        assert_eq!(signals, domain.scope_signal, "no register says whom it is for");
    }
}

#[test]
fn elsewhere_walks_around_programs() {
    let plan = server(r#""files": ["@elsewhere"]"#);
    let full = AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile;
    assert!(rights(&plan, "/app/data").contains(full));
    assert!(rights(&plan, "/data").contains(full));
    assert!(rights(&plan, "/dev/shm").contains(full));
    assert!(rights(&plan, "/etc/passwd").contains(AccessFs::WriteFile));
    let writes = AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::Truncate;
    for never in
        ["/", "/app", "/app/server", "/app/again", "/etc", "/etc/remit.json", "/proc", "/dev", "/sys"]
    {
        assert!(!rights(&plan, never).intersects(writes), "{never}: {:?}", rights(&plan, never));
    }
    let grant = plan.policy.files.iter().find(|grant| grant.path == Path::new("/")).expect("new names");
    for except in ["/app/server", "/etc/remit.json", "/proc", "/sys", "/dev"] {
        assert!(grant.except.iter().any(|path| path == Path::new(except)), "{except}");
    }
}

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
    let place = Place { supervisor: 7, group: 5, ..place() };
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
                        let asked = plan.filter.calls.get(call) == Some(&Access::Notify);
                        let free = if asked { Action::Notify } else { Action::Allow };
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
                    ("setpgid", [0, 5]),
                    ("ioctl", [3, 0x8901]),
                    ("ioctl", [3, 0x8902]),
                    ("fcntl", [3, 15]),
                ] {
                    let args = [args[0], args[1], 0, 0, 0, 0];
                    assert_eq!(ask(call, args), alone, "{arch} {major}.{minor} {call} {args:?}");
                }
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
fn the_supervisors_threads_are_as_many_as_its_work() {
    let planned = |keys: &str, major, minor| {
        let keys = format!(r#"{SERVER}, "fallback": "degrade", {keys}"#);
        plan_on(&keys, &kernel(major, minor), &place(), Mode::Enforce).expect("plans")
    };
    let few = 3 + remit::plan::LATER_THREADS;
    let ports = r#""network": {"connect": ["tcp/80"]}"#;
    assert_eq!(planned(ports, 6, 18).threads(), few);
    let addressed = r#""network": {"connect": ["tcp/10.0.0.1:80"]}"#;
    assert_eq!(planned(addressed, 6, 18).threads(), few + remit::plan::SOCKET_THREADS);
    assert_eq!(planned(addressed, 5, 13).threads(), few, "no socket is made there");
    // With a scope for signals the filter needs two of their numbers, and else all.
    let kept = remit::sys::threads::KEPT;
    assert_eq!(planned(ports, 6, 12).threads_in_filter(), kept, "as many as are made for what must have one");
    assert_eq!(planned(ports, 6, 11).threads_in_filter(), few);
    let audit = plan_on(SERVER, &kernel(6, 18), &place(), Mode::Audit).expect("plans");
    assert_eq!(audit.threads_in_filter(), audit.threads(), "audit has no domain");
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

#[test]
fn where_addresses_are_named_no_option_leads_elsewhere() {
    let connects = |to: &str| server(&format!(r#""network": {{"connect": [{to:?}]}}"#));
    let (named, ports) = (connects("tcp/10.0.0.1:80"), connects("tcp/80"));
    let ask = |plan: &Plan, level: u64, option: u64| answer(plan, "setsockopt", [3, level, option, 0, 0, 0]);
    // By level: IP, the socket's own, IPv6. include/uapi/linux/in.h, in6.h, asm/socket.h.
    for (level, options) in
        [(0, &[4, 50][..]), (1, &[25, 36, 62]), (41, &[5, 6, 9, 32, 50, 54, 55, 57, 59, 76])]
    {
        for option in options {
            assert_eq!(ask(&named, level, *option), Action::Notify, "{level} {option}");
            assert_eq!(ask(&named, level | 1 << 32, option | 1 << 32), Action::Notify, "{level} {option}");
            assert_eq!(ask(&ports, level, *option), Action::Allow, "{level} {option}");
        }
    }
    // TCP_NODELAY, IP_TOS, SO_KEEPALIVE, IPV6_V6ONLY, IPV6_RECVPKTINFO.
    for (level, option) in [(6, 1), (0, 1), (1, 9), (41, 26), (41, 49), (6, 25), (282, 1)] {
        assert_eq!(ask(&named, level, option), Action::Allow, "{level} {option}");
    }
    assert_eq!(ports.filter.calls.get("setsockopt"), Some(&Access::Allow));
}

#[test]
fn sockets_are_of_the_kinds_that_network_names() {
    let ask = |network: &str, args: [u64; 3]| {
        let plan = server(&format!(r#""network": {{"connect": ["{network}"]}}"#));
        answer(&plan, "socket", [args[0], args[1], args[2], 0, 0, 0])
    };
    const CLOEXEC: u64 = 0o2_000_000;
    assert_eq!(ask("tcp/80", [2, 1 | CLOEXEC, 6]), Action::Allow);
    assert_eq!(ask("tcp/80", [10, 1, 0]), Action::Allow);
    assert_eq!(ask("tcp/80", [2, 1, 262]), Action::Notify, "MPTCP is not mediated");
    assert_eq!(ask("tcp/80", [2, 1, 132]), Action::Notify, "SCTP");
    assert_eq!(ask("tcp/80", [2, 2, 0]), Action::Notify);
    assert_eq!(ask("tcp/80", [2, 3, 6]), Action::Notify, "raw");
    assert_eq!(ask("tcp/80", [1, 1, 0]), Action::Notify);
    assert_eq!(ask("tcp/80", [16, 3, 0]), Action::Allow, "resolvers ask for addresses");
    assert_eq!(ask("tcp/80", [16, 3, 9]), Action::Notify, "no other netlink");
    assert_eq!(ask("udp/*", [2, 2 | CLOEXEC, 17]), Action::Allow);
    assert_eq!(ask("udp/*", [2, 1, 0]), Action::Notify);
    assert_eq!(ask("unix:*", [1, 5, 0]), Action::Allow);
    let plan = server(r#""network": {"connect": ["tcp/80"]}"#);
    assert!(!plan.filter.calls.contains_key("listen"), "it comes with network.listen");
    let added = server(r#""syscalls": {"allow": [{"call": "socket", "arg": 0, "in": ["AF_PACKET"]}]}"#);
    assert_eq!(answer(&added, "socket", [17, 3, 0, 0, 0, 0]), Action::Allow);
}

#[test]
fn the_app_gets_what_is_asked_for_and_there() {
    let plan = server(
        r#""capabilities": ["chown", "net_raw"], "run_as": {"user": 999, "group": 999, "groups": []}"#,
    );
    assert_eq!(plan.capabilities.app, [Capability::CAP_CHOWN].into());
    assert_eq!(plan.capabilities.ambient, [Capability::CAP_CHOWN].into(), "it is not root");
    assert!(plan.notes.iter().any(|note| note.contains("net_raw")), "{:?}", plan.notes);
    let root = server(r#""capabilities": ["chown"], "run_as": {"user": 0, "group": 0, "groups": [0]}"#);
    assert_eq!(root.run_as, None, "it is who it is");
    assert!(root.capabilities.ambient.is_empty());

    let bare = Place { permitted: caps::CapsHashSet::new(), ..place() };
    let keys = format!(r#"{SERVER}, "run_as": {{"user": 999, "group": 0, "groups": [0]}}"#);
    let error = plan_on(&keys, &kernel(6, 18), &bare, Mode::Enforce).expect_err("no right to");
    assert!(error.text.contains("setuid") && !error.text.contains("setgid"), "{error}");
    let listed = server(r#""syscalls": {"allow": ["setuid", "chroot"]}"#);
    assert_eq!(listed.filter.calls["chroot"], Access::Notify, "its EPERM is to be seen");
}

#[test]
fn audit_takes_nothing_and_sees_every_open() {
    let keys = format!(r#"{SERVER}, "files": ["@names"], "limits": {{"open_files": 8}}"#);
    let audit = plan_on(&keys, &kernel(6, 18), &place(), Mode::Audit).expect("plans");
    assert!(audit.landlock.is_none() && audit.limits.is_empty() && audit.environment_drop.is_empty());
    assert!(!audit.mdwe);
    assert_eq!(audit.capabilities.app, place().permitted);
    assert!(audit.policy.capabilities.is_empty(), "what enforce would leave");
    assert_eq!(audit.filter.calls["openat"], Access::Notify);
    assert!(audit.refusal().is_none());
}

#[test]
fn without_a_listener_it_refuses_unless_told_to_degrade() {
    let deaf = Kernel { notify: Err(NoListener::Listener("EBUSY".to_owned())), ..kernel(6, 18) };
    let plan = plan_on(SERVER, &deaf, &place(), Mode::Enforce).expect("a plan there is");
    let refusal = plan.refusal().expect("nothing would be seen");
    assert!(refusal.contains("notification") && refusal.contains("EBUSY"), "{refusal}");
    let keys = format!(r#"{SERVER}, "fallback": "degrade""#);
    let degraded = plan_on(&keys, &deaf, &place(), Mode::Enforce).expect("a plan there is");
    assert_eq!(degraded.refusal(), None);
    let state = |name| degraded.layers().into_iter().find(|layer| layer.layer == name).expect("named").state;
    assert_eq!(state("notification"), LayerState::Unavailable);
    assert_eq!(state("landlock-files"), LayerState::Active);
    let unfiltered = Kernel { notify: Err(NoListener::Filter("EPERM".to_owned())), ..deaf };
    let refused = plan_on(&keys, &unfiltered, &place(), Mode::Enforce).expect("a plan there is");
    assert!(refused.refusal().is_some_and(|why| why.starts_with("seccomp: EPERM")), "degrade is no answer");
    assert!(
        refused
            .layers()
            .iter()
            .all(|layer| layer.layer != "seccomp" || layer.state == LayerState::Unavailable)
    );
}

/// A program with libraries and one without.
fn with_libraries(libraries: &str, more: &str) -> String {
    format!(
        r#""programs": [{{"path": "/app/server", "entry": true, "libraries": {libraries}, "may_run": ["/bin/dash"]}},
           {{"path": "/bin/dash"}}]{more}"#
    )
}

const LIBRARIES: &str = r#"["/opt/plugins", "/opt/lib", "/opt/one.so", "/opt/not-there"]"#;

#[test]
fn libraries_are_found_read_and_kept_from_the_app() {
    let found = plan(&with_libraries(LIBRARIES, ""));
    let libraries = found.policy.programs[0].libraries.as_ref().expect("it has some");
    assert_eq!(libraries.directories, [Path::new("/opt/lib")], "links lead there, and once is enough");
    assert_eq!(libraries.files[0].1, Path::new("/opt/one.so"));
    assert_eq!(libraries.own[0].1, Path::new("/app/server"));
    assert_eq!(found.policy.programs[1].libraries, None);
    assert!(rights(&found, "/opt/lib").contains(AccessFs::ReadFile | AccessFs::ReadDir));
    assert_eq!(rights(&found, "/opt/one.so"), BitFlags::from(AccessFs::ReadFile));
    assert!(found.notes.iter().any(|note| note.contains("/opt/not-there")), "{:?}", found.notes);
    assert!(found.policy.protected.iter().any(|(_, path)| path == Path::new("/opt/one.so")));
    assert!(found.to_string().contains("code from /opt/lib /opt/one.so"), "{found}");
    let of_a_loader = plan(r#""programs": [{"path": "/bin/dash", "entry": true, "libraries": []}]"#);
    let own = &of_a_loader.policy.programs[0].libraries.as_ref().expect("none, which says something").own;
    assert_eq!(
        own.iter().map(|(_, path)| path.to_str()).collect::<Vec<_>>(),
        [Some("/bin/dash"), Some(LOADER)]
    );

    // By the name that the profile has, and by the one that a link leads to.
    for path in ["/opt/lib", "/opt", "/opt/lib/plugin.so", "/opt/lib/new", "/opt/one.so"] {
        for right in ["write", "create", "remove"] {
            if path == "/opt/lib/new" && right != "create" {
                continue;
            }
            let files = format!(r#", "files": [{{"path": "{path}", "allow": ["{right}"]}}]"#);
            let text = format!(
                r#"{{"remit": 1, "name": "t", {}}}"#,
                with_libraries(r#"["/opt/plugins", "/opt/one.so"]"#, &files)
            );
            // Some are found out without a look at the image.
            let Ok(read) = profile::read(text.as_bytes()) else { continue };
            let error = Plan::new(&read.profile, &kernel(6, 18), &place(), &image(), Mode::Enforce);
            let error = error.expect_err(path);
            assert_eq!(error.pointer, "/files/0", "{path} {right}: {error}");
            assert!(error.text.contains("/programs/0/libraries"), "{path} {right}: {error}");
        }
    }
    let elsewhere = plan(&with_libraries(LIBRARIES, r#", "files": ["@elsewhere"]"#));
    let changes = AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::Truncate;
    for kept in ["/opt", "/opt/lib", "/opt/one.so"] {
        assert!(!rights(&elsewhere, kept).intersects(changes), "{kept}: {:?}", rights(&elsewhere, kept));
    }
    assert!(rights(&elsewhere, "/opt/lib").contains(AccessFs::ReadFile));
}

#[test]
fn code_is_asked_for_where_some_program_has_libraries() {
    const CODE: u64 = 5;
    const PRIVATE: u64 = 2;
    const SHARED: u64 = 1;
    const ANONYMOUS: u64 = 0x20;
    for arch in Arch::ALL {
        for (major, minor) in [(5, 10), (5, 19), (6, 3), (6, 18)] {
            let kernel = Kernel::stock(Release::new(major, minor), arch);
            for jit in [false, true] {
                let keys = with_libraries(
                    LIBRARIES,
                    &format!(r#", "memory": {{"write_execute": {jit}}}, "fallback": "degrade""#),
                );
                let found = plan_on(&keys, &kernel, &place(), Mode::Enforce)
                    .unwrap_or_else(|error| panic!("{error}"));
                let map = |protection, flags| answer(&found, "mmap", [0, 0, protection, flags, 3, 0]);
                let text = format!("{arch} {major}.{minor} {jit}");
                assert_eq!(map(CODE, PRIVATE), Action::Notify, "{text}");
                assert_eq!(map(CODE | 0xffff_ffff << 32, PRIVATE), Action::Notify, "{text}");
                assert_eq!(map(CODE, SHARED), Action::Notify, "{text}");
                assert_eq!(
                    map(CODE, SHARED | ANONYMOUS),
                    Action::Notify,
                    "{text}: it can be written elsewhere"
                );
                assert_eq!(map(CODE, 3 | ANONYMOUS), Action::Notify, "{text}: MAP_SHARED_VALIDATE");
                assert_eq!(map(CODE, PRIVATE | ANONYMOUS), Action::Allow, "{text}");
                assert_eq!(map(1, PRIVATE), Action::Allow, "{text}: data");
                assert_eq!(map(3, SHARED), Action::Allow, "{text}: data");
                let written = if jit { Action::Allow } else { Action::Notify };
                assert_eq!(map(7, PRIVATE | ANONYMOUS), written, "{text}");
                assert_eq!(map(7, PRIVATE), Action::Notify, "{text}");
                for call in ["mprotect", "pkey_mprotect"] {
                    assert_eq!(answer(&found, call, [0, 0, CODE, 0, 0, 0]), Action::Notify, "{text} {call}");
                    assert_eq!(answer(&found, call, [0, 0, 3, 0, 0, 0]), Action::Allow, "{text} {call}");
                }
                // It cannot be told from the calls of what is written.
                let shared = if jit { None } else { Some(Action::Notify) };
                let shmat = found
                    .filter
                    .calls
                    .contains_key("shmat")
                    .then(|| answer(&found, "shmat", [0, 0, 0o100_000, 0, 0, 0]));
                assert!(shmat.is_none() || shmat == shared, "{text}");
                let held = found
                    .held
                    .iter()
                    .find(|held| held.rule == "/programs/0/libraries")
                    .expect("it is a rule");
                let stops = (major, minor) >= (5, 19) && !jit;
                assert_eq!(held.by, if stops { Holder::Mapped } else { Holder::Descriptor }, "{text}");
                assert!(held.by.name().starts_with("narrowed: "), "{}", held.by.name());
                let outrun = found.notes.iter().any(|note| note.contains("looked at before the call alone"));
                assert_eq!(outrun, !stops && !jit, "{text}: {:?}", found.notes);
            }
        }
    }
    // Nobody asks for one static program, but for this.
    let alone = r#""programs": [{"path": "/app/server", "entry": true, "libraries": []}]"#;
    let plan =
        plan_on(alone, &kernel(6, 18), &place(), Mode::Enforce).unwrap_or_else(|error| panic!("{error}"));
    assert!(plan.checks, "it has to be stopped");
    assert!(
        plan.layers().iter().any(|layer| layer.layer == "exec-check" && layer.detail.contains("narrows 1"))
    );
    // Nothing is mapped but by asking, so where nobody can be asked nothing may depend on it.
    let deaf = Kernel { notify: Err(NoListener::Listener("EBUSY".to_owned())), ..kernel(6, 18) };
    let plan =
        plan_on(&with_libraries(LIBRARIES, ""), &deaf, &place(), Mode::Enforce).expect("a plan there is");
    assert_eq!(answer(&plan, "mmap", [0, 0, CODE, PRIVATE, 3, 0]), Action::Allow);
    assert!(plan.refusal().is_some_and(|refusal| refusal.contains("notification")));
}

#[test]
fn what_may_be_read_is_not_made_code_by_a_personality() {
    let keys = |libraries: &str| {
        let more = r#", "memory": {"write_execute": true}, "syscalls": {"allow": ["personality"]}"#;
        let entry = format!(r#""programs": [{{"path": "/app/server", "entry": true{libraries}}}]{more}"#);
        plan(&entry)
    };
    let held = keys(r#", "libraries": []"#);
    for (persona, expected) in [
        (0, Action::Allow),
        (0xffff_ffff, Action::Allow),
        (0x40_0000, Action::Notify),
        (0x44_0000, Action::Notify),
    ] {
        assert_eq!(answer(&held, "personality", [persona, 0, 0, 0, 0, 0]), expected, "{persona:#x}");
        let high = persona | 7 << 32;
        assert_eq!(answer(&held, "personality", [high, 0, 0, 0, 0, 0]), expected, "{high:#x}");
        assert_eq!(answer(&keys(""), "personality", [persona, 0, 0, 0, 0, 0]), Action::Allow);
    }
}

/// Nobody could load another filter into the app later.
#[test]
fn what_is_for_the_startup_alone_is_asked_about_from_the_start() {
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
    // What is not there to be taken is not told.
    assert!(!self::plan(SERVER).to_string().contains("start-up"));
}

#[test]
fn an_app_that_says_it_is_ready_gets_no_other_socket() {
    const NOTIFY: &str = r#""ready": {"when": "notify"}"#;
    use remit::plan::Says;
    let says = |plan: &Plan| plan.policy.startup.as_ref().and_then(|startup| startup.says);
    let alone = server(NOTIFY);
    assert_eq!(says(&alone), Some(Says::Pair));
    for kind in [1, 2, 5] {
        assert_eq!(answer(&alone, "socket", [1, kind, 0, 0, 0, 0]), Action::Notify);
    }
    assert!(alone.landlock.as_ref().is_some_and(|domain| domain.scope_abstract));
    assert_eq!(answer(&alone, "setsockopt", [3, 1, 7, 0, 0, 0]), Action::Allow);
    assert_eq!(answer(&alone, "setsockopt", [3, 6, 7, 0, 0, 0]), Action::Notify);
    let any = server(&format!(r#"{NOTIFY}, "network": {{"connect": ["unix:*"]}}"#));
    assert_eq!(says(&any), Some(Says::Named));
    let keys = format!("{SERVER}, {NOTIFY}");
    let audit = plan_on(&keys, &kernel(6, 18), &place(), Mode::Audit).expect("plans");
    assert_eq!(says(&audit), Some(Says::Named), "audit changes nothing of what it does");
    let old = plan_on(&keys, &kernel(5, 13), &place(), Mode::Enforce).expect("plans");
    assert_eq!(says(&old), None);
    assert!(old.refusal().is_some_and(|why| why.contains("Linux 5.14")), "{:?}", old.refusal());
}

#[test]
fn addresses_and_names_have_every_socket_made() {
    for entry in ["tcp/10.0.0.0/8:5432", "unix:/data/s", "unix:@name"] {
        let keys = format!(r#""network": {{"listen": ["tcp/80"], "connect": ["{entry}", "udp/*"]}}"#);
        let plan = server(&keys);
        assert!(plan.policy.makes_sockets);
        // Nothing that an address or a descriptor could be exchanged under goes on.
        for (call, args) in
            [("socket", [2, 1, 0]), ("socket", [2, 2, 0]), ("socket", [16, 3, 0]), ("listen", [3, 9, 0])]
        {
            let [a, b, c] = args;
            assert_eq!(answer(&plan, call, [a, b, c, 0, 0, 0]), Action::Notify, "{entry} {call} {args:?}");
        }
        let held = plan.held_sockets.iter().map(|held| (held.rule.as_str(), held.by)).collect::<Vec<_>>();
        assert_eq!(held, [("/network/connect/0", remit::plan::Holder::Made)]);
        assert!(plan.lacking.iter().all(|lack| lack.layer != "landlock-tcp"), "{:?}", plan.lacking);
        // The kernel tells ports apart beside it.
        assert!(plan.landlock.as_ref().is_some_and(|domain| domain.ports.contains_key(&80)));
        let keys = format!("{SERVER}, {keys}");
        let old = plan_on(&keys, &kernel(5, 13), &place(), Mode::Enforce).expect("plans");
        assert!(old.refusal().is_some_and(|why| why.contains("Linux 5.14")), "{:?}", old.refusal());
        let audit = plan_on(&keys, &kernel(6, 18), &place(), Mode::Audit).expect("plans");
        assert!(!audit.policy.makes_sockets, "audit changes nothing of what it does");
        let kind = if entry.starts_with("unix") { [1, 1, 0, 0, 0, 0] } else { [2, 1, 0, 0, 0, 0] };
        assert_eq!(answer(&audit, "socket", kind), Action::Allow, "{entry}");
    }
    let ports = server(r#""network": {"connect": ["tcp/80", "unix:*"]}"#);
    assert!(!ports.policy.makes_sockets, "what the kernel tells apart costs nothing");
    // Whoever may make any unix socket is held to no name.
    let any = server(r#""network": {"listen": ["unix:*"], "connect": ["unix:/data/s"]}"#);
    assert!(!any.policy.makes_sockets && !any.policy.unix_named);
    assert!(any.notes.iter().any(|note| note.contains("/network/connect/0")), "{:?}", any.notes);
}

/// Four times as many programs, edges or conditions cost about four times as much of this
/// thread's processor time, where a comparison of each with all would cost sixteen times as much.
#[test]
fn what_grows_does_not_grow_with_its_square() {
    let programs = |count: usize| {
        let entry = |n: usize| {
            let entry = if n == 0 { ", \"entry\": true" } else { "" };
            format!("{{\"path\": \"/p/{n}\", \"may_run\": [\"/p/{}\"]{entry}}}", (n + 1) % count)
        };
        format!("\"programs\": [{}]", (0..count).map(entry).collect::<Vec<_>>().join(","))
    };
    let files = |count: usize| {
        let rules = (0..count)
            .map(|n| format!("{{\"path\": \"/d/{n}\", \"allow\": [\"write\"], \"optional\": true}}"));
        format!("{}, \"files\": [{}]", programs(count), rules.collect::<Vec<_>>().join(","))
    };
    let conditions = |count: usize| {
        let rules = (0..count).map(|n| format!("{{\"call\": \"prctl\", \"arg\": 0, \"in\": [{n}]}}"));
        format!("{SERVER}, \"syscalls\": {{\"allow\": [{}]}}", rules.collect::<Vec<_>>().join(","))
    };
    let cost = |keys: String, count: usize| {
        let mut tree = image();
        for n in 0..count {
            tree = tree.program(&format!("/p/{n}"), Executable::Static);
        }
        let began = processor_time();
        let text = format!(r#"{{"remit": 1, "name": "t", {keys}}}"#);
        let profile = profile::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}")).profile;
        let plan = Plan::new(&profile, &kernel(6, 18), &place(), &tree, Mode::Enforce);
        let plan = plan.unwrap_or_else(|error| panic!("{error}"));
        assert!(plan.to_string().len() > count && plan.to_json().map_or(true, |json| json.len() > count));
        (processor_time() - began).as_secs_f64()
    };
    type Keys<'a> = &'a dyn Fn(usize) -> String;
    let kinds: [(&str, Keys, usize); 3] =
        [("programs", &programs, 1500), ("files", &files, 500), ("conditions", &conditions, 5000)];
    for (name, keys, few) in kinds {
        let ratio = (0..3).map(|_| cost(keys(4 * few), 4 * few) / cost(keys(few), few));
        let best = ratio.fold(f64::INFINITY, f64::min);
        assert!(best < 10.0, "{name}: four times as many cost {best} times as much");
    }
}

/// What this thread has used of a processor.
fn processor_time() -> std::time::Duration {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every kernel has it").into()
}

#[test]
fn the_event_socket_is_kept_apart_by_the_supervisor_that_makes_sockets() {
    let near = Place { event_socket: Some("/run/events.sock".into()), ..place() };
    let any = format!(r#"{SERVER}, "network": {{"connect": ["unix:*"]}}"#);
    let made = |keys: &str, kernel: &Kernel, place: &Place, mode| {
        plan_on(keys, kernel, place, mode).expect("a plan").policy.makes_sockets
    };
    assert!(made(&any, &kernel(6, 18), &near, Mode::Enforce));
    assert!(!made(&any, &kernel(6, 18), &place(), Mode::Enforce), "without such a sink nothing changes");
    assert!(!made(&any, &kernel(6, 18), &near, Mode::Audit), "audit changes nothing");
    let tcp = format!(r#"{SERVER}, "network": {{"connect": ["tcp/80"]}}"#);
    assert!(!made(&tcp, &kernel(6, 18), &near, Mode::Enforce), "it cannot make a unix socket");
    let old = plan_on(&any, &kernel(5, 13), &near, Mode::Enforce).expect("a plan");
    let refusal = old.refusal().expect("it is refused").to_string();
    assert!(refusal.contains("the socket that events go to"), "{refusal}");
}

/// The list of the launch in docs/usage.md has the names of the plan's steps, in their order.
#[test]
fn the_launch_in_the_usage_is_the_plans() {
    let keys = r#""programs": [{"path": "/app/server", "entry": true, "may_run": ["/app/script"]},
            {"path": "/app/script", "interpreter": "/bin/sh"}],
        "run_as": {"user": 33, "group": 33, "groups": [33]}"#;
    let plan = plan(keys);
    let steps: Vec<String> = plan.steps().iter().map(ToString::to_string).collect();
    let names: Vec<&str> = steps.iter().map(|step| step.split(':').next().unwrap_or(step)).collect();
    let usage = include_str!("../docs/usage.md");
    let start = usage.find("environment →").expect("docs/usage.md has the list");
    let list = usage[start..].split("\n\n").next().unwrap_or_default().replace('\n', " ");
    assert_eq!(list.split('→').map(str::trim).collect::<Vec<_>>(), names);
}
