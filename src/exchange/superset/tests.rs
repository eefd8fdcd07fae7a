use std::path::Path;

use super::*;
use crate::exchange::seccomp;
use crate::profile::{self, embedded, write};
use crate::syscalls::{Test, since};

const DOCKER: &str = include_str!("../../../tests/fixtures/exchange/docker-default.json");

fn target() -> TargetMachine {
    let names = "audit_write chown dac_override fowner fsetid kill mknod net_bind_service net_raw setfcap setgid \
                 setpcap setuid sys_chroot";
    let capabilities = names.split(' ').map(|name| capability_of(name).expect("a capability")).collect();
    TargetMachine { arch: Arch::X86_64, kernel: Release::new(6, 12), capabilities }
}

fn calls(converted: &Converted<Imported>) -> BTreeMap<&'static str, Vec<Test>> {
    let mut calls: BTreeMap<_, Vec<Test>> = BTreeMap::new();
    for entry in converted.result.syscalls.as_ref().expect("calls") {
        match &entry.what {
            SyscallRule::Call(call) => drop(calls.entry(*call).or_default()),
            SyscallRule::When(call, condition) => {
                calls.entry(*call).or_default().push(condition.test.clone())
            }
            SyscallRule::Group(group) => panic!("{group}"),
        }
    }
    calls
}

#[test]
fn dockers_default_has_the_calls_that_docker_allows() {
    let converted = read(DOCKER.as_bytes(), &target()).expect("it is read");
    let all = calls(&converted);
    // Counted from the same file and Debian's <asm/unistd_64.h>: 295 with the headers of Linux 6.1.
    let old = all.keys().filter(|call| since(call) <= Release::new(6, 1)).count();
    assert_eq!((all.len(), old), (309, 295));
    assert_eq!(all["clone"], [Test::Masked { mask: 0x7e02_0000, equals: 0 }]);
    assert_eq!(all["socket"], [Test::NotIn(vec![38, 40])]);
    assert_eq!(all["personality"], [Test::In(vec![0, 8, 0x20000, 0x20008, 0xffff_ffff])]);
    for call in ["mount", "setns", "bpf", "clone3", "keyctl", "io_uring_setup", "open_by_handle_at"] {
        assert!(!all.contains_key(call), "{call}");
    }
    assert!(all.contains_key("chroot") && all.contains_key("ptrace"), "by capability, and by kernel");
    assert_eq!(converted.omissions.len(), 1, "{:?}", converted.omissions);
    assert_eq!(converted.omissions[0].place, "/archMap");
}

#[test]
fn conditions_are_resolved_for_the_machine() {
    let here = |change: &dyn Fn(&mut TargetMachine)| {
        let mut target = target();
        change(&mut target);
        calls(&read(DOCKER.as_bytes(), &target).expect("it is read"))
    };
    let admin = here(&|target| target.capabilities.push(Capability::CAP_SYS_ADMIN));
    assert!(admin.contains_key("mount") && admin["clone"].is_empty(), "whatever its flags");
    let old = here(&|target| target.kernel = Release::new(4, 7));
    assert!(!old.contains_key("ptrace"));
    let bare = here(&|target| target.capabilities.clear());
    assert!(!bare.contains_key("chroot"));
    let arm = here(&|target| target.arch = Arch::Aarch64);
    assert!(!arm.contains_key("open") && arm.contains_key("openat") && !arm.contains_key("arch_prctl"));
}

/// A file with one rule.
fn with(rule: &str) -> String {
    format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{rule}]}}"#)
}

#[test]
fn what_a_profile_cannot_have_is_an_omission() {
    for (rule, place, says) in [
        (r#"{"names":["read"],"action":"SCMP_ACT_LOG"}"#, "/syscalls/0", "not logged"),
        (r#"{"names":["read"],"action":"SCMP_ACT_NOTIFY"}"#, "/syscalls/0", "not allowed: read"),
        (r#"{"names":["read"],"action":"SCMP_ACT_KILL"}"#, "/syscalls/0", "fails with an errno"),
        (r#"{"names":["mount"],"action":"SCMP_ACT_ERRNO","errnoRet":13}"#, "/syscalls/0", "errno 13"),
        (r#"{"names":["clone3"],"action":"SCMP_ACT_ALLOW"}"#, "/syscalls/0", "ENOSYS"),
        (
            r#"{"names":["fcntl"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":2,"op":"SCMP_CMP_EQ"}]}"#,
            "/syscalls/0",
            "several arguments, left out",
        ),
        (
            r#"{"names":["alarm"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1000,"op":"SCMP_CMP_GT"}]}"#,
            "/syscalls/0",
            "a range of argument 0",
        ),
    ] {
        let converted = read(with(rule).as_bytes(), &target()).expect(rule);
        let found = &converted.omissions;
        assert!(found.iter().any(|one| one.place == place && one.what.contains(says)), "{rule}: {found:?}");
    }
    let text = r#"{"defaultAction":"SCMP_ACT_KILL_PROCESS","defaultErrnoRet":13,"flags":["SECCOMP_FILTER_FLAG_LOG"],"syscalls":[]}"#;
    let places: Vec<_> =
        read(text.as_bytes(), &target()).expect("read").omissions.into_iter().map(|one| one.place).collect();
    assert_eq!(places, ["/defaultAction", "/defaultErrnoRet", "/flags/0"]);
}

fn eq(index: u8, value: u64) -> String {
    format!(r#"{{"index":{index},"value":{value},"op":"SCMP_CMP_EQ"}}"#)
}

fn rule(call: &str, action: &str, args: &[String]) -> String {
    format!(r#"{{"names":["{call}"],"action":"SCMP_ACT_{action}","args":[{}]}}"#, args.join(","))
}

/// The calls of these rules, as a profile has them, and the lines.
fn imported(default: &str, rules: &[String]) -> (String, Vec<String>) {
    let text = format!(r#"{{"defaultAction":"SCMP_ACT_{default}","syscalls":[{}]}}"#, rules.join(","));
    let Converted { result, mut omissions, .. } = read(text.as_bytes(), &target()).expect(&text);
    let lines: Vec<String> = omissions.iter().map(ToString::to_string).collect();
    let made = result.profile("x", Some(Path::new("/bin/app")), None, &mut omissions).expect("a profile");
    let calls: Vec<String> = made.syscalls.allow.iter().map(|entry| format!("{:?}", entry.what)).collect();
    (calls.join(" "), lines)
}

#[test]
fn conditions_on_several_arguments_never_become_a_call_with_any() {
    let joint = [eq(0, 0x800_0000), eq(1, 0)];
    for call in ["unshare", "ioctl", "prctl", "setsockopt", "mmap", "personality", "setrlimit"] {
        let (calls, lines) = imported("ERRNO", &[rule(call, "ALLOW", &joint)]);
        assert_eq!(calls, "", "{call}");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("several arguments, left out"), "{lines:?}");
        let (calls, lines) =
            imported("ERRNO", &[rule(call, "ALLOW", &joint), rule(call, "ALLOW", &[eq(0, 7)])]);
        assert_eq!(calls, format!("When({call:?}, Condition {{ arg: 0, test: In([7]) }})"));
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
    for call in ["socket", "clone", "sendto", "openat", "connect"] {
        let (calls, lines) =
            imported("ERRNO", &[rule(call, "ALLOW", &joint), rule(call, "ALLOW", &[eq(2, 7)])]);
        assert!(calls.starts_with(&format!("Call({call:?}) When({call:?}")), "{calls}");
        assert!(lines[0].contains("the profile's own sections decide it"), "{lines:?}");
    }
}

#[test]
fn the_first_rule_without_arguments_decides_a_call() {
    let one = [eq(0, 1)];
    for (rules, calls, says) in [
        (vec![rule("ptrace", "ERRNO", &[]), rule("ptrace", "ALLOW", &[])], "", ""),
        (vec![rule("ptrace", "ALLOW", &[]), rule("ptrace", "ERRNO", &[])], r#"Call("ptrace")"#, ""),
        (vec![rule("keyctl", "ALLOW", &one), rule("keyctl", "TRAP", &[])], "", "SCMP_ACT_TRAP: fails"),
        (vec![rule("keyctl", "TRAP", &one), rule("keyctl", "ALLOW", &[])], r#"Call("keyctl")"#, ""),
        (vec![rule("bpf", "NOTIFY", &[]), rule("bpf", "ALLOW", &[])], "", "so not allowed: bpf"),
        (vec![rule("bpf", "ALLOW", &[]), rule("bpf", "NOTIFY", &[])], r#"Call("bpf")"#, ""),
        // A rule that does what the default does is none.
        (vec![rule("bpf", "KILL_THREAD", &[]), rule("bpf", "ALLOW", &[])], r#"Call("bpf")"#, ""),
        (vec![rule("keyctl", "ERRNO", &one), rule("keyctl", "ALLOW", &one)], "", "refuses a part"),
        (
            vec![rule("keyctl", "ERRNO", &[eq(0, 2)]), rule("keyctl", "ALLOW", &one)],
            r#"When("keyctl", Condition { arg: 0, test: In([1]) })"#,
            "refuses keyctl by arguments",
        ),
    ] {
        let (found, lines) = imported("KILL", &rules);
        assert_eq!(found, calls, "{rules:?}");
        let lines: Vec<_> = lines.iter().filter(|line| !line.starts_with("/defaultAction")).collect();
        assert_eq!(lines.is_empty(), says.is_empty(), "{rules:?}: {lines:?}");
        assert!(says.is_empty() || lines.iter().any(|line| line.contains(says)), "{rules:?}: {lines:?}");
    }
}

#[test]
fn the_errno_that_podman_names_is_a_line() {
    let named = |call: &str, errno: &str| {
        let rule =
            format!(r#"{{"names":["{call}"],"action":"SCMP_ACT_ERRNO","errnoRet":1,"errno":"{errno}"}}"#);
        imported("ERRNO", &[rule]).1
    };
    assert_eq!(named("mount", "ENOENT"), ["/syscalls/0: errno ENOENT: refused with another errno: mount"]);
    assert_eq!(named("mount", "EOTHER"), ["/syscalls/0: errno EOTHER: refused with another errno: mount"]);
    assert!(named("mount", "EPERM").is_empty() && named("mount", "").is_empty());
    assert!(named("clone3", "ENOSYS").is_empty());
}

#[test]
fn comparisons_of_one_argument_are_alternatives_as_in_runc() {
    let rule = r#"{"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":0,"op":"SCMP_CMP_EQ"},{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]}"#;
    let all = calls(&read(with(rule).as_bytes(), &target()).expect("read"));
    assert_eq!(all["personality"], [Test::In(vec![0, 8])]);
}

#[test]
fn what_is_no_such_profile_is_refused() {
    let wide = r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#.to_owned();
    let deep = "[".repeat(1000);
    for (text, says) in [
        (String::new(), "is empty; expected a seccomp profile"),
        ("{".to_owned(), "EOF while parsing"),
        (deep, "is no seccomp profile"),
        (wide, "/defaultAction: SCMP_ACT_ALLOW allows every call"),
        ("{}".to_owned(), "/defaultAction: \"\" is no action"),
        (r#"{"defaultAction":"SCMP_ACT_ERRNO","newer":1}"#.to_owned(), "unknown field `newer`"),
        (r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultAction":"SCMP_ACT_ERRNO"}"#.to_owned(), "duplicate field"),
        (with(r#"{"names":["read"],"action":"SCMP_ACT_MAGIC"}"#), "/syscalls/0/action: \"SCMP_ACT_MAGIC\""),
        (with(r#"{"names":["read"],"name":"write","action":"SCMP_ACT_ALLOW"}"#), "both \"name\" and \"names\""),
        (
            with(r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}"#),
            "index 6 is no argument",
        ),
        (
            with(r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":0,"op":"SCMP_CMP_XX"}]}"#),
            "unknown variant `SCMP_CMP_XX`",
        ),
        (
            with(r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"new"}}"#),
            "/syscalls/0/includes/minKernel: kernel `new` is not a release",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_S390X"]}"#.to_owned(),
            "SCMP_ARCH_X86_64 is not among them",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#
                .to_owned(),
            "both \"architectures\" and \"archMap\"",
        ),
    ] {
        let error = read(text.as_bytes(), &target()).expect_err(&text).to_string();
        assert!(error.contains(says), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let long = vec![b' '; MAX_BYTES + 1];
    assert!(read(&long, &target()).expect_err("too long").to_string().contains("at most"));
}

#[test]
fn what_is_exported_comes_back_with_the_same_calls() {
    for name in embedded::NAMES {
        let profile =
            profile::read(embedded::named(name).expect("embedded").as_bytes()).expect("a profile").profile;
        let filter = seccomp::convert(&profile, &[Arch::X86_64]).result;
        let exported: BTreeSet<&str> = filter
            .syscalls
            .iter()
            .filter(|rule| rule.action == ALLOW)
            .flat_map(|rule| rule.names.iter().copied())
            .collect();
        let converted = read(filter.text().as_bytes(), &target()).expect(name);
        let imported: BTreeSet<&str> = calls(&converted).into_keys().collect();
        // Which options of sockets, their level and name say together; a profile cannot.
        let absent: Vec<&str> = exported.difference(&imported).copied().collect();
        let left_out = |call: &&str| {
            let begin = format!("{call}: ");
            let says = |one: &Omission| one.what.starts_with(&begin) && one.what.contains("left out");
            *call == "setsockopt" && converted.omissions.iter().any(says)
        };
        assert!(imported.is_subset(&exported), "{name}: {imported:?}");
        assert!(absent.iter().all(left_out), "{name}: {absent:?}: {:?}", converted.omissions);
        let entry = Path::new("/bin/app");
        let mut omissions = converted.omissions;
        let made = converted.result.profile(name, Some(entry), None, &mut omissions).expect("a profile");
        profile::read(write(&made).as_bytes()).expect("it is valid");
    }
}

#[test]
fn inputs_like_good_ones_are_read_or_refused() {
    let small = with(
        r#"{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":38,"op":"SCMP_CMP_LT"}],"includes":{"caps":["CAP_CHOWN"],"minKernel":"4.8"}}"#,
    );
    crate::mutation::each(&[small.as_bytes()], |changed| {
        if let Ok(Converted { result, mut omissions, .. }) = read(changed, &target()) {
            let entry = Path::new("/bin/app");
            result.profile("x", Some(entry), None, &mut omissions).expect("what is made is a profile");
        }
    });
}
