//! A profile as a seccomp profile for a container runtime: the calls, and nothing else of it.

use std::collections::{BTreeMap, BTreeSet};

use super::oci::{ALLOW, ERRNO, RuntimeFilter, RuntimeRule};
use super::{Converted, Omission, arguments, runtime};
use crate::filter::Access;
use crate::kernel::Arch;
use crate::plan::filter_alone;
use crate::profile::{
    Endpoint, Entry, FileEntry, Limits, Mode, OnViolation, Profile, SyscallRule, Watch, capability_word,
    endpoint_text,
};
use crate::syscalls::{self, Handler};

/// The calls of a profile on these architectures, and those of the runtime itself.
///
/// A call that is not listed fails with EPERM, and one that is newer than Linux 4.18 with ENOSYS, as
/// under remit-init. An access that a supervisor would narrow is allowed whole.
pub fn convert(profile: &Profile, arches: &[Arch]) -> Converted<RuntimeFilter> {
    let mut calls: BTreeMap<&'static str, Access> = BTreeMap::new();
    let mut notes = Vec::new();
    for arch in arches {
        let (own, of_arch) = filter_alone(profile, *arch);
        notes.extend(of_arch.into_iter().filter(|_| arches.len() == 1));
        for (call, access) in own {
            widen(&mut calls, call, access);
        }
    }
    let mut omissions = omissions(profile);
    for (call, _) in calls.iter().filter(|(_, access)| **access == Access::When(Vec::new())) {
        omissions
            .push(Omission::new("/network", format!("{call}: no entry brings a kind of socket, left out")));
    }
    let added = add_runtime(&mut calls);
    if !added.is_empty() {
        notes.push(format!(
            "the runtime itself needs {} between loading the filter and the exec of COMMAND, so the app has them too",
            added.join(" ")
        ));
    }
    let result = RuntimeFilter {
        default_action: ERRNO,
        default_errno_ret: Some(libc::EPERM as u32),
        architectures: arches.iter().map(|arch| architecture(*arch)).collect(),
        syscalls: rules(&calls, arches),
    };
    Converted { result, omissions, notes }
}

/// An architecture as libseccomp names it.
pub fn architecture(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "SCMP_ARCH_X86_64",
        Arch::Aarch64 => "SCMP_ARCH_AARCH64",
    }
}

/// Adds an access to what is there: the union of both.
fn widen(calls: &mut BTreeMap<&'static str, Access>, call: &'static str, access: Access) {
    let Some(known) = calls.get_mut(call) else {
        calls.insert(call, access);
        return;
    };
    match (&mut *known, access) {
        (Access::When(alternatives), Access::When(more)) => {
            let new: Vec<_> = more.into_iter().filter(|one| !alternatives.contains(one)).collect();
            alternatives.extend(new);
        }
        (Access::When(_), other) => *known = other,
        _ => {}
    }
}

/// Adds the runtime's own calls; returns those that the profile did not allow.
fn add_runtime(calls: &mut BTreeMap<&'static str, Access>) -> Vec<&'static str> {
    let mut added = BTreeSet::new();
    for group in &runtime::CALLS {
        for name in group.names.iter().filter_map(|name| syscalls::known(name)) {
            let access = match group.only {
                None => Access::Allow,
                Some(only) => Access::When(vec![vec![only.condition()]]),
            };
            let before = calls.get(name).cloned();
            widen(calls, name, access);
            if before.as_ref() != calls.get(name) && before.is_none_or(|access| access != Access::Notify) {
                added.insert(name);
            }
        }
    }
    added.into_iter().collect()
}

fn rules(calls: &BTreeMap<&'static str, Access>, arches: &[Arch]) -> Vec<RuntimeRule> {
    let rule = |names, action, errno_ret, args| RuntimeRule { names, action, errno_ret, args };
    let whole = calls.iter().filter(|(_, access)| !matches!(access, Access::When(_)));
    let mut rules = vec![rule(whole.map(|(call, _)| *call).collect(), ALLOW, None, Vec::new())];
    for (call, access) in calls {
        let Access::When(alternatives) = access else { continue };
        let mut known = Vec::new();
        for args in alternatives.iter().flat_map(|conditions| arguments::comparisons(call, conditions)) {
            if !known.contains(&args) {
                known.push(args);
            }
        }
        rules.extend(known.into_iter().map(|args| rule(vec![call], ALLOW, None, args)));
    }
    // As libraries fall back: clone3, whose flags are in memory, and every other new call.
    let exists = |call: &syscalls::Syscall| arches.iter().any(|arch| call.number(*arch).is_some());
    let absent = syscalls::all().filter(|call| {
        exists(call)
            && (call.is_new() || call.handler == Handler::NotImplemented)
            && !calls.contains_key(call.name)
    });
    let absent: Vec<_> = absent.map(|call| call.name).collect();
    if !absent.is_empty() {
        rules.push(rule(absent, ERRNO, Some(libc::ENOSYS as u32), Vec::new()));
    }
    rules
}

/// What of a profile a filter of system calls cannot have, in the order of the format.
pub fn omissions(profile: &Profile) -> Vec<Omission> {
    let mut all = Vec::new();
    let mut omit = |place: String, what: String| all.push(Omission { place, what });
    if profile.mode != Mode::Enforce {
        let mode = profile.mode.word();
        omit("/mode".into(), format!("{mode}: a filter has no mode, so a call that is not allowed fails"));
    }
    if let Some(ids) = &profile.run_as {
        omit("/run_as".into(), format!("the runtime sets it: --user {}:{}", ids.user, ids.group));
    }
    let words: Vec<_> = profile.capabilities.iter().map(|entry| capability_word(entry.what)).collect();
    let added: String = words.iter().map(|word| format!(" --cap-add {word}")).collect();
    omit("/capabilities".into(), format!("the runtime sets them: --cap-drop all{added}"));
    for (index, program) in profile.programs.iter().enumerate() {
        let path = program.place.path().display();
        omit(
            format!("/programs/{index}"),
            format!("{path}: a filter reads no path, so every file may be executed"),
        );
    }
    for (index, entry) in profile.files.iter().enumerate() {
        let name = match entry {
            FileEntry::Group(group) => group.what.word().to_owned(),
            FileEntry::Path(rule) => rule.path.display().to_string(),
        };
        omit(
            format!("/files/{index}"),
            format!("{name}: a filter reads no path, so every file may be opened"),
        );
    }
    let network = &profile.network;
    for (side, entries) in [("listen", &network.listen), ("connect", &network.connect)] {
        for (index, entry) in entries.iter().enumerate() {
            if let Some(what) = endpoint(entry) {
                omit(format!("/network/{side}/{index}"), what);
            }
        }
    }
    for (index, entry) in profile.syscalls.startup_only.iter().enumerate() {
        let name = match &entry.what {
            SyscallRule::Group(name) | SyscallRule::Call(name) | SyscallRule::When(name, _) => name,
        };
        omit(
            format!("/syscalls/startup_only/{index}"),
            format!("{name}: a filter does not change when start-up is over, so it stays allowed"),
        );
    }
    for (key, place) in [(&profile.environment_drop, "drop"), (&profile.environment_keep, "keep")] {
        if !key.is_empty() {
            omit(format!("/environment/{place}"), "a filter removes no variable".into());
        }
    }
    let Limits { processes, open_files, file_size, core } = profile.limits;
    let limits = [
        ("processes", processes.map(u64::from), "--pids-limit"),
        ("open_files", open_files, "--ulimit nofile"),
        ("file_size", file_size, "--ulimit fsize"),
        ("core", core, "--ulimit core"),
    ];
    for (key, value, flag) in limits {
        if let Some(value) = value {
            omit(format!("/limits/{key}"), format!("the runtime sets it: {flag}={value}"));
        }
    }
    if profile.watch > Watch::default() {
        omit("/watch".into(), "a filter reports nothing".into());
    }
    if profile.on_violation != OnViolation::Deny {
        omit("/on_violation".into(), "a refused call fails, and nothing ends".into());
    }
    all
}

/// What a filter cannot have of an endpoint; nothing of one that is decided by the kind of its socket.
fn endpoint(entry: &Entry<Endpoint>) -> Option<String> {
    let kind = match &entry.what {
        Endpoint::Tcp(_) => "TCP sockets of every address and port are",
        Endpoint::Udp(rule) if rule.network.is_some() || rule.ports != (0, u16::MAX) => {
            "UDP sockets of every address and port are"
        }
        Endpoint::UnixPath(_) | Endpoint::UnixAbstract(_) => "unix sockets of every name are",
        _ => return None,
    };
    Some(format!("{}: addresses lie in memory, so {kind} allowed", endpoint_text(&entry.what)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::oci::Operator;
    use crate::profile::{embedded, read};

    fn redis() -> Profile {
        read(embedded::named("redis").expect("it is embedded").as_bytes()).expect("a profile").profile
    }

    #[test]
    fn it_has_the_calls_of_the_profile_and_of_the_runtime() {
        let Converted { result, omissions, notes } = convert(&redis(), &Arch::ALL);
        assert_eq!(result.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]);
        let rule_of = |name: &str| -> Vec<&RuntimeRule> {
            result.syscalls.iter().filter(|rule| rule.names.contains(&name)).collect()
        };
        for call in ["read", "execve", "open", "openat", "listen", "setgroups", "capset"] {
            let rules = rule_of(call);
            assert_eq!(rules.len(), 1, "{call}");
            assert_eq!((rules[0].action, rules[0].args.len()), (ALLOW, 0), "{call}");
        }
        let socket = rule_of("socket");
        assert!(!socket.is_empty() && socket.iter().all(|rule| rule.args.len() > 1), "{socket:?}");
        let clone = rule_of("clone");
        assert!(clone.iter().all(|rule| rule.args[0].op == Operator::MaskedEq), "{clone:?}");
        for call in ["clone3", "io_uring_setup", "pidfd_getfd"] {
            let rules = rule_of(call);
            assert_eq!(rules.len(), 1, "{call}");
            assert_eq!((rules[0].action, rules[0].errno_ret), (ERRNO, Some(38)), "{call}");
        }
        assert!(rule_of("ptrace").is_empty() && rule_of("mount").is_empty(), "they get the default");
        let places: Vec<_> = omissions.iter().map(|one| one.place.as_str()).collect();
        for place in ["/programs/0", "/files/6", "/network/listen/0", "/limits/processes", "/watch"] {
            assert!(places.contains(&place), "{place}: {places:?}");
        }
        assert!(notes.iter().any(|note| note.contains("setgroups")), "{notes:?}");
    }

    /// Whether a rule allows the call with these registers.
    fn allows(filter: &RuntimeFilter, call: &str, args: [u64; 6]) -> bool {
        filter.syscalls.iter().any(|rule| {
            rule.action == ALLOW
                && rule.names.contains(&call)
                && rule.args.iter().all(|one| arguments::holds(one, args[usize::from(one.index)]))
        })
    }

    #[test]
    fn no_socket_and_no_send_is_wider_than_network() {
        const FASTOPEN: u64 = 0x2000_0000;
        let small = |syscalls: &str| {
            format!(
                r#"{{ "remit": 1, "name": "x", "programs": [{{ "path": "/a", "entry": true }}],
                    "syscalls": {{ {syscalls} }} }}"#
            )
        };
        let mut texts = vec![
            small(r#""allow": ["socket", "sendmmsg", "sendto"]"#),
            small(r#""exact": true, "allow": ["@base", "socket", "sendmmsg", "sendto", "sendmsg"]"#),
            small(r#""exact": true, "allow": ["@base", "@network"]"#),
        ];
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        for folder in [root.clone(), root.join("servers")] {
            let files = std::fs::read_dir(folder).expect("profiles").map(|file| file.expect("a file").path());
            let json = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
            texts.extend(json.map(|path| std::fs::read_to_string(path).expect("a profile")));
        }
        assert!(texts.len() > 9, "{}", texts.len());
        for text in &texts {
            let profile = read(text.as_bytes()).expect(text).profile;
            let Converted { result, omissions, .. } = convert(&profile, &Arch::ALL);
            // Packets, AF_ALG, a raw socket, and kinds that no entry may name.
            for args in [[17, 3, 0, 0, 0, 0], [38, 5, 0, 0, 0, 0], [2, 3, 255, 0, 0, 0], [16, 3, 9, 0, 0, 0]]
            {
                assert!(!allows(&result, "socket", args), "{args:?}: {text}");
            }
            for (call, flags) in [("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)] {
                let mut args = [3, 0, 1, 0, 0, 0];
                args[flags] = FASTOPEN;
                assert!(!allows(&result, call, args), "{call}: {text}");
            }
            let is_bare = profile.network.listen.is_empty() && profile.network.connect.is_empty();
            let lists = texts[..3].contains(text);
            assert_eq!(
                omissions.iter().any(|one| one.what.starts_with("socket: ")),
                is_bare && lists,
                "{text}"
            );
            assert_eq!(allows(&result, "sendmmsg", [3, 0, 1, 0, 0, 0]), !is_bare || lists, "{text}");
        }
    }

    #[test]
    fn a_mode_that_refuses_nothing_is_a_line() {
        let of = |mode: Mode| convert(&Profile { mode, ..redis() }, &[Arch::X86_64]).omissions[0].to_string();
        assert!(of(Mode::Enforce).starts_with("/capabilities: "));
        assert_eq!(
            of(Mode::Audit),
            "/mode: audit: a filter has no mode, so a call that is not allowed fails"
        );
    }

    #[test]
    fn memory_stays_writable_or_executable() {
        let result = convert(&redis(), &[Arch::X86_64]).result;
        let own = |name: &str| -> Vec<_> {
            result
                .syscalls
                .iter()
                .filter(|rule| rule.names.contains(&name))
                .flat_map(|rule| &rule.args)
                .collect()
        };
        for call in ["mmap", "mprotect"] {
            assert!(
                !own(call).is_empty() && own(call).iter().all(|one| one.index == 2),
                "{call}: {:?}",
                own(call)
            );
        }
    }
}
