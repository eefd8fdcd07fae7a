//! Generalises calls to `syscalls`: the calls that no section allows by itself, or in an exact profile
//! those that neither `@base` nor `@failure` has, with the arguments that matter, and the rest of
//! each call's class.

use std::collections::BTreeMap;

use super::fact::{Fact, Seen};
use crate::profile::SyscallRule;
use crate::syscalls::{self, Arg, Class, Condition, Handler, Test, constants, groups};

/// The sections of the profile that allow calls.
#[derive(Clone, Copy, Debug)]
pub struct Sections {
    /// They bring no calls: the profile is exact.
    pub exact: bool,
    /// There is a file rule.
    pub files: bool,
    /// A file rule lets the app change, make or remove a file.
    pub changes_files: bool,
    /// There is an endpoint.
    pub network: bool,
    /// There is an endpoint that listens.
    pub listens: bool,
    /// There is a TCP or UDP endpoint.
    pub internet: bool,
    /// There is a unix socket.
    pub unix: bool,
    /// Names are looked up, so glibc makes a socket for nscd.
    pub names: bool,
    /// COMMAND's C library was glibc in every run, which makes clone(2) for fork(3).
    pub glibc: bool,
}

/// A rule of `syscalls.allow`.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRule {
    /// The call.
    pub what: SyscallRule,
    /// The runs that showed it; for a call added by completion, those of its class.
    pub seen: Seen,
    /// The runs that showed each listed value.
    pub values: Vec<Seen>,
    /// The observed call whose class this one completes.
    pub completes: Option<&'static str>,
}

/// The rules, and the runs that made each call.
#[derive(Debug, Default)]
pub struct Calls {
    /// The rules in the order of names.
    pub rules: Vec<CallRule>,
    /// All calls that were made, allowed by a section or not.
    pub made: BTreeMap<&'static str, Seen>,
    /// Notes on what was left out.
    pub notes: Vec<String>,
}

impl Sections {
    /// Whether a call is never in `syscalls`: clone3 gets ENOSYS, and programs allow an exec; in an
    /// exact profile the launch brings execve.
    fn never_list(self, name: &str) -> bool {
        match syscalls::handler(name) {
            Handler::NotImplemented => true,
            Handler::Exec => !self.exact || name == "execve",
            _ => false,
        }
    }

    /// Whether an exact profile lists a call whole, though one of its arguments was recorded: the
    /// argument differs from run to run or between C libraries, or `network` decides it.
    fn lists_whole(self, name: &str, value: u64) -> bool {
        match syscalls::handler(name) {
            Handler::Fork | Handler::Signal | Handler::SignalThread | Handler::Map | Handler::Protect => true,
            Handler::Socket => self.has_socket(value),
            // A pair of streams or of packets; one of datagrams could send to any path.
            Handler::Socketpair => matches!(value & 0xf, 1 | 5),
            _ => false,
        }
    }
}

/// Whether [`Sections::lists_whole`] says of some values of a call that it is listed whole, and not of others.
fn lists_some_whole(name: &str) -> bool {
    matches!(syscalls::handler(name), Handler::Socket | Handler::Socketpair)
}

/// The values of an argument that come with those that were seen: what C libraries try of the
/// thread's pointer and the processor depends on the machine.
fn values_beside(name: &str, arg: u8) -> Vec<u64> {
    let of_core =
        groups::CORE.conditional().filter(|(call, _)| (*call, arg) == ("arch_prctl", 0) && *call == name);
    let conditions = of_core.flat_map(|(_, alternatives)| alternatives).flatten();
    conditions
        .filter_map(|one| if let Test::In(values) = one.test { Some(values) } else { None })
        .flatten()
        .collect()
}

/// What a C library makes only for the function of that name, which a program calls always or never: an exact
/// profile is not completed by it.
const BY_NAME_ALONE: &str = "waitid";

/// Calls that no C library makes any more where the kernel has their successors: an exact profile is
/// not completed by them.
const SUPERSEDED: [&str; 13] = [
    "creat",
    "epoll_create",
    "eventfd",
    "futimesat",
    "getdents",
    "inotify_init",
    "lchown",
    "renameat",
    "setregid",
    "setreuid",
    "signalfd",
    "utime",
    "utimes",
];

impl Sections {
    /// The calls that come with one of its class. An exact profile is for the C libraries of one image on
    /// one architecture: it has none that is superseded, none that libraries fall back from (to what came
    /// after Linux 4.18 the kernel answers ENOSYS), and of a file no other form than the one that was
    /// seen: by its path, by a directory's descriptor and a path, or by its own descriptor.
    fn class_of(self, name: &str) -> impl Iterator<Item = &'static str> {
        let class = syscalls::class(name);
        let form = |call: &str| {
            let syscall = syscalls::find(call)?;
            syscall.position(Arg::Path).map(|_| syscall.position(Arg::Dirfd).is_some())
        };
        let seen = form(name);
        let of_class = class.into_iter().flat_map(Class::calls);
        of_class.filter(move |call| {
            let is_new = syscalls::find(call).is_some_and(syscalls::Syscall::is_new);
            let is_made_by_none = SUPERSEDED.contains(call) || (self.glibc && *call == "fork");
            let is_other = match (class, seen, form(call)) {
                // They are used together, and no forms of one another.
                (Some(Class::Watch), ..) => false,
                // fts(3) goes back by a path where it has no descriptor.
                (Some(Class::WorkingDirectory), None, _) => false,
                // What makes the old one by itself does not make its successor.
                (_, seen, other) => seen != other || SUPERSEDED.contains(&name),
            };
            !self.exact || (!is_made_by_none && *call != BY_NAME_ALONE && !is_new && !is_other)
        })
    }
}

/// The rules for the calls of `facts`, where the other sections are `sections`.
pub fn generalise(facts: &BTreeMap<&Fact, &Seen>, sections: Sections) -> Calls {
    let brought = sections.brought();
    let mut calls = Calls::default();
    let mut whole: BTreeMap<&'static str, Seen> = BTreeMap::new();
    let mut listed: BTreeMap<(&'static str, u8), BTreeMap<u64, Seen>> = BTreeMap::new();
    for (fact, seen) in facts {
        let Fact::Call { call, when } = fact else { continue };
        let Some(name) = syscalls::known(call) else {
            calls.notes.push(format!("{call} is no call that this remit knows, and was left out"));
            continue;
        };
        calls.made.entry(name).or_default().join(seen);
        if syscalls::handler(name) == Handler::NotImplemented {
            calls.notes.push(format!("{name} is answered ENOSYS, and libraries fall back to clone"));
        }
        if sections.never_list(name) {
            continue;
        }
        match when {
            None if !brought.contains_key(name) => whole.entry(name).or_default().join(seen),
            None => {}
            Some((arg, text)) => {
                let Some(value) = number(text) else {
                    calls
                        .notes
                        .push(format!("{name}: argument {arg} is {text:?}, no number or constant; left out"));
                    continue;
                };
                if sections.allow(&brought, name, *arg, value, text) {
                    continue;
                }
                if sections.exact && sections.lists_whole(name, value) {
                    whole.entry(name).or_default().join(seen);
                    continue;
                }
                let all = listed.entry((name, *arg)).or_default().entry(value).or_default();
                all.join(seen);
                all.example(text);
            }
        }
    }
    listed.retain(|(name, _), values| match whole.get_mut(name) {
        None => true,
        // The call is listed as its group has it, and these values beside it.
        Some(_) if sections.exact && lists_some_whole(name) => true,
        Some(all) => {
            values.values().for_each(|seen| all.join(seen));
            false
        }
    });
    let mut rules: BTreeMap<(&'static str, Option<u8>), CallRule> = BTreeMap::new();
    for (name, seen) in &whole {
        for other in sections.class_of(name) {
            if other != *name && !whole.contains_key(other) && !brought.contains_key(other) {
                let what = SyscallRule::Call(other);
                let rule =
                    CallRule { what, seen: Seen::default(), values: Vec::new(), completes: Some(name) };
                rules.entry((other, None)).or_insert(rule).seen.join(seen);
            }
        }
    }
    for (name, seen) in whole {
        rules.insert(
            (name, None),
            CallRule { what: SyscallRule::Call(name), seen, values: Vec::new(), completes: None },
        );
    }
    for ((name, arg), values) in listed {
        let mut seen = Seen::default();
        values.values().for_each(|one| seen.join(one));
        // A call of the class comes by completion, whatever its arguments.
        if let Some(rule) = rules.get_mut(&(name, None)).filter(|_| !lists_some_whole(name)) {
            rule.seen.join(&seen);
            continue;
        }
        let mut values = values;
        if sections.exact {
            for value in values_beside(name, arg) {
                values.entry(value).or_insert_with(|| seen.clone());
            }
        }
        let condition = Condition { arg, test: Test::In(values.keys().copied().collect()) };
        let what = SyscallRule::When(name, condition);
        rules.insert(
            (name, Some(arg)),
            CallRule { what, seen, values: values.into_values().collect(), completes: None },
        );
    }
    calls.rules = rules.into_values().collect();
    calls
}

/// A value as the journal writes it.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    // A negative number is the 64 bits of the register.
    text.parse::<u64>()
        .ok()
        .or_else(|| text.parse::<i64>().ok().map(i64::cast_unsigned))
        .or_else(|| constants::value(text))
}

type Brought = BTreeMap<&'static str, Vec<Vec<Condition>>>;

impl Sections {
    fn brought(self) -> Brought {
        if self.exact {
            let failure = groups::listed(groups::FAILURE.name, self.changes_files);
            let mut brought = groups::union(failure.chain([&groups::BASE]));
            brought.retain(|call, _| groups::differing().all(|other| other != *call));
            return brought;
        }
        let listed = [
            (true, &groups::CORE),
            (self.files, &groups::FILES),
            (self.network, &groups::NETWORK),
            (self.listens, &groups::NETWORK_LISTEN),
        ];
        groups::union(listed.into_iter().filter_map(|(there, group)| there.then_some(group)))
    }

    /// Whether an endpoint brings sockets of this family.
    fn has_socket(self, family: u64) -> bool {
        const AF_UNIX: u64 = 1;
        const AF_INET: u64 = 2;
        const AF_INET6: u64 = 10;
        const AF_NETLINK: u64 = 16;
        match family {
            AF_UNIX => self.unix || self.names,
            AF_INET | AF_INET6 => self.internet,
            AF_NETLINK => self.network,
            _ => false,
        }
    }

    /// Whether a call with this value of one argument, and the name that the journal has of it, needs
    /// no rule.
    fn allow(self, brought: &Brought, call: &str, arg: u8, value: u64, name: &str) -> bool {
        if !self.exact && (call, arg) == ("socket", 0) {
            return self.has_socket(value);
        }
        let Some(alternatives) = brought.get(call) else { return false };
        // The option of a socket by its name, which says the level: SOL_SOCKET or IPPROTO_TCP.
        let level = match (call, arg) {
            ("setsockopt", 2) if name.starts_with("SO_") => Some(1),
            ("setsockopt", 2) if name.starts_with("TCP_") => Some(6),
            ("setsockopt", _) => return false,
            _ => None,
        };
        let holds = |condition: &Condition| {
            let value = match level {
                Some(level) if condition.arg == 1 => level,
                _ if condition.arg != arg => return true,
                _ => value,
            };
            match &condition.test {
                Test::In(values) => values.contains(&value),
                Test::NotIn(values) => !values.contains(&value),
                Test::Masked { mask, equals } => value & mask == *equals,
            }
        };
        // What says nothing of this argument says nothing of this value.
        let says = |all: &[Condition]| !self.exact || all.is_empty() || all.iter().any(|one| one.arg == arg);
        alternatives.iter().any(|all| says(all) && all.iter().all(holds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: Sections = Sections {
        exact: false,
        files: true,
        changes_files: true,
        network: false,
        listens: false,
        internet: false,
        unix: false,
        names: false,
        glibc: false,
    };
    const EXACT: Sections = Sections { exact: true, ..BARE };

    fn rules(
        calls: &[(&str, Option<(u8, &str)>)],
        sections: Sections,
    ) -> Vec<(SyscallRule, Option<&'static str>)> {
        let fact = |(call, when): &(&str, Option<(u8, &str)>)| Fact::Call {
            call: (*call).to_owned(),
            when: when.map(|(arg, value)| (arg, value.to_owned())),
        };
        let facts: Vec<Fact> = calls.iter().map(fact).collect();
        let seen = Seen::default();
        let facts = facts.iter().map(|fact| (fact, &seen)).collect();
        generalise(&facts, sections).rules.into_iter().map(|rule| (rule.what, rule.completes)).collect()
    }

    #[test]
    fn what_a_section_brings_needs_no_rule() {
        let calls = [("read", None), ("openat", None), ("ioctl", Some((1, "FIONBIO"))), ("execve", None)];
        assert_eq!(rules(&calls, BARE), []);
    }

    #[test]
    fn arguments_that_no_group_has_are_granted_as_they_were() {
        let calls = [
            ("ioctl", Some((1, "FIONBIO"))),
            ("ioctl", Some((1, "0x5402"))),
            ("ioctl", Some((1, "TCSETSW"))),
        ];
        let condition = Condition { arg: 1, test: Test::In(vec![0x5402, 0x5403]) };
        assert_eq!(rules(&calls, BARE), [(SyscallRule::When("ioctl", condition), None)]);
    }

    #[test]
    fn a_call_comes_with_its_class_and_says_so() {
        let found = rules(&[("fchown", None)], BARE);
        let expected = ["chown", "fchown", "fchownat", "lchown"]
            .map(|call| (SyscallRule::Call(call), (call != "fchown").then_some("fchown")));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_socket_of_a_family_that_no_endpoint_brings_is_granted_by_it() {
        let unix = Condition { arg: 0, test: Test::In(vec![1]) };
        let call = [("socket", Some((0, "AF_UNIX")))];
        assert_eq!(rules(&call, BARE), [(SyscallRule::When("socket", unix), None)]);
        assert_eq!(rules(&call, Sections { unix: true, network: true, ..BARE }), []);
    }

    fn allowed(what: &str) -> SyscallRule {
        SyscallRule::Call(syscalls::known(what).expect("a call"))
    }

    fn when(call: &'static str, arg: u8, values: &[u64]) -> SyscallRule {
        SyscallRule::When(call, Condition { arg, test: Test::In(values.to_vec()) })
    }

    #[test]
    fn an_exact_profile_lists_what_was_seen_beyond_base() {
        let found = |calls: &[_]| {
            rules(calls, Sections { internet: true, network: true, ..EXACT })
                .into_iter()
                .map(|(what, _)| what)
                .collect::<Vec<_>>()
        };
        // @base and @failure have these.
        let base = [
            ("read", None),
            ("fcntl", Some((1, "F_GETFL"))),
            ("madvise", Some((2, "MADV_DONTNEED"))),
            ("clone", Some((0, "4001536"))),
            ("kill", Some((1, "6"))),
            ("prlimit64", Some((2, "0"))),
            ("setsockopt", Some((2, "TCP_NODELAY"))),
            ("execve", None),
        ];
        assert_eq!(found(&base), []);
        assert_eq!(found(&[("openat2", None)]), [allowed("openat2")]);
        assert_eq!(found(&[("access", None)]), [allowed("access")]);
        assert_eq!(found(&[("fchown", None)]), [allowed("fchown")], "a path needs no descriptor");
        assert_eq!(found(&[("chown", None)]), [allowed("chown")]);
        assert_eq!(found(&[("chdir", None)]), [allowed("chdir")]);
        assert_eq!(found(&[("fchdir", None)]), ["chdir", "fchdir"].map(allowed), "find(1) makes either");
        assert_eq!(found(&[("unlink", None)]), [], "@failure has it");
        assert_eq!(found(&[("faccessat", None)]), [allowed("faccessat")], "faccessat2 falls back");
        assert_eq!(found(&[("pipe2", None)]), [], "of @base");
        assert_eq!(
            found(&[("unlinkat", None)]),
            [allowed("unlinkat")],
            "not on every architecture in @failure"
        );
        assert_eq!(
            found(&[("inotify_init1", None)]),
            [allowed("inotify_add_watch"), allowed("inotify_init1"), allowed("inotify_rm_watch")]
        );
        assert_eq!(found(&[("fcntl", Some((1, "F_SETPIPE_SZ")))]), [when("fcntl", 1, &[1031])]);
        let forks = ["clone", "fork", "vfork"].map(allowed);
        let clone = [("clone", Some((0, "17")))];
        assert_eq!(found(&clone), forks, "a process, by whichever call");
        let of_glibc = rules(&clone, Sections { glibc: true, internet: true, network: true, ..EXACT });
        let of_glibc: Vec<_> = of_glibc.into_iter().map(|(rule, _)| rule).collect();
        assert_eq!(of_glibc, ["clone", "vfork"].map(allowed), "it makes no fork");
        assert_eq!(found(&[("kill", Some((1, "9")))]), [], "@failure has it");
        assert_eq!(found(&[("prlimit64", Some((1, "RLIMIT_NOFILE")))]), [when("prlimit64", 1, &[7])]);
        assert_eq!(found(&[("socket", Some((0, "AF_INET")))]), [allowed("socket")]);
        assert_eq!(found(&[("socket", Some((0, "AF_PACKET")))]), [when("socket", 0, &[17])]);
        let both = [("socket", Some((0, "AF_INET"))), ("socket", Some((0, "AF_PACKET")))];
        assert_eq!(found(&both), [allowed("socket"), when("socket", 0, &[17])], "each as it is");
        let pairs = [("socketpair", Some((1, "1"))), ("socketpair", Some((1, "2")))];
        assert_eq!(found(&pairs), [allowed("socketpair"), when("socketpair", 1, &[2])]);
        assert_eq!(found(&[("setsockopt", Some((2, "TCP_CONGESTION")))]), [when("setsockopt", 2, &[13])]);
        assert_eq!(found(&[("setsockopt", Some((2, "SO_ATTACH_FILTER")))]), [when("setsockopt", 2, &[26])]);
        assert_eq!(found(&[("setsockopt", Some((1, "0")))]), [when("setsockopt", 1, &[0])]);
        let SyscallRule::When("arch_prctl", Condition { test: Test::In(values), .. }) =
            &found(&[("arch_prctl", Some((0, "4098")))])[0]
        else {
            panic!("a condition")
        };
        assert!(values.contains(&0x1002) && values.contains(&0x3001), "{values:x?}");
    }
}
