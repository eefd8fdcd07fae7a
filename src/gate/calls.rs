//! Which system calls a profile allows, with or without a value of one argument.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::{Endpoint, FileEntry, FileGroup, Profile, SyscallRule};
use crate::syscalls::{self, Condition, Handler, Test, constants, groups};

/// The calls of a profile: those of its list, and those that its other sections bring.
#[derive(Debug)]
pub struct CallGrants<'p> {
    profile: &'p Profile,
    brought: BTreeMap<&'static str, Vec<Vec<Condition>>>,
    /// Families of sockets that the endpoints bring.
    families: Vec<u64>,
    /// Calls that are refused after the start-up.
    startup_only: Vec<&'static str>,
}

/// What allows a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedBy {
    /// An entry of `syscalls.allow`, by its index.
    Entry(usize),
    /// Another section of the profile.
    Section,
}

const AF_UNIX: u64 = 1;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const AF_NETLINK: u64 = 16;

/// What the launch itself and a C library before main need.
const LAUNCH: [&str; 4] = ["execve", "execveat", "readlink", "readlinkat"];

impl<'p> CallGrants<'p> {
    /// Of a profile.
    pub fn of(profile: &'p Profile) -> CallGrants<'p> {
        let network = &profile.network;
        let endpoints = || network.listen.iter().chain(&network.connect).map(|entry| &entry.what);
        let is_unix = |one: &Endpoint| {
            matches!(one, Endpoint::UnixAny | Endpoint::UnixPath(_) | Endpoint::UnixAbstract(_))
        };
        let names = profile
            .files
            .iter()
            .any(|entry| matches!(entry, FileEntry::Group(group) if group.what == FileGroup::Names));
        let mut families = Vec::new();
        if names || endpoints().any(is_unix) {
            families.push(AF_UNIX);
        }
        if endpoints().any(|one| !is_unix(one)) {
            families.extend([AF_INET, AF_INET6]);
        }
        let any = endpoints().next().is_some();
        if any {
            families.push(AF_NETLINK);
        }
        let sections = [
            (true, &groups::CORE),
            (!profile.files.is_empty(), &groups::FILES),
            (any, &groups::NETWORK),
            (!network.listen.is_empty(), &groups::NETWORK_LISTEN),
        ];
        let brought = groups::union(sections.into_iter().filter_map(|(there, group)| there.then_some(group)));
        let mut startup_only = Vec::new();
        if profile.ready.is_some() {
            for entry in &profile.syscalls.startup_only {
                match &entry.what {
                    SyscallRule::Group(name) => {
                        startup_only.extend(
                            groups::named(name).into_iter().flat_map(|group| group.calls().into_keys()),
                        );
                    }
                    // A condition takes a part of the call away, which a fact need not be of.
                    SyscallRule::Call(name) => startup_only.push(*name),
                    SyscallRule::When(..) => {}
                }
            }
        }
        CallGrants { profile, brought, families, startup_only }
    }

    /// Whether the call is refused once start-up is over.
    pub fn is_startup_only(&self, call: &str) -> bool {
        self.startup_only.contains(&call)
    }

    /// What allows a call with any arguments, or with this value of one of them.
    pub fn allows(&self, call: &'static str, when: Option<(u8, u64)>) -> Option<AllowedBy> {
        if matches!(syscalls::handler(call), Handler::Exec | Handler::NotImplemented)
            || LAUNCH.contains(&call)
        {
            return Some(AllowedBy::Section);
        }
        let listed = self.profile.syscalls.allow.iter().position(|entry| match (&entry.what, when) {
            (SyscallRule::Call(name), _) => *name == call,
            (SyscallRule::Group(name), when) => groups::named(name)
                .and_then(|group| group.calls().remove(call))
                .is_some_and(|alternatives| holds(&alternatives, when)),
            (SyscallRule::When(name, condition), Some((arg, value))) => {
                *name == call && condition.arg == arg && meets(&condition.test, value)
            }
            (SyscallRule::When(..), None) => false,
        });
        if let Some(index) = listed {
            return Some(AllowedBy::Entry(index));
        }
        let brought = match when {
            Some((0, family)) if call == "socket" => self.families.contains(&family),
            when => self.brought.get(call).is_some_and(|alternatives| holds(alternatives, when)),
        };
        brought.then_some(AllowedBy::Section)
    }

    /// Whether another section than `syscalls` or a listed group allows the call.
    pub fn is_brought(&self, call: &str) -> bool {
        let in_group = |name: &str| groups::named(name).is_some_and(|group| group.calls().contains_key(call));
        let mut listed = self.profile.syscalls.allow.iter();
        let by_group = listed.any(|entry| matches!(&entry.what, SyscallRule::Group(name) if in_group(name)));
        by_group || self.brought.contains_key(call) || LAUNCH.contains(&call)
    }

    /// Whether the app may make the call in some form.
    pub fn has(&self, call: &str) -> bool {
        let mut listed = self.profile.syscalls.allow.iter();
        let is_this = |rule: &SyscallRule| matches!(rule, SyscallRule::Call(name) | SyscallRule::When(name, _) if *name == call);
        listed.any(|entry| is_this(&entry.what)) || self.is_brought(call)
    }
}

/// The calls that a learning run notifies only with `--exact`: those of the groups.
pub fn unnotified() -> BTreeSet<&'static str> {
    let groups = [&groups::CORE, &groups::FILES, &groups::NETWORK, &groups::NETWORK_LISTEN];
    groups.into_iter().flat_map(|group| group.calls().into_keys()).collect()
}

/// Whether some alternative allows a call as it was made. One whose arguments are not known is
/// allowed where any form of it is: a journal names the arguments that matter.
fn holds(alternatives: &[Vec<Condition>], when: Option<(u8, u64)>) -> bool {
    let Some((arg, value)) = when else { return true };
    let allows = |all: &Vec<Condition>| {
        all.iter().all(|condition| condition.arg != arg || meets(&condition.test, value))
    };
    alternatives.iter().any(allows)
}

fn meets(test: &Test, value: u64) -> bool {
    match test {
        Test::In(values) => values.contains(&value),
        Test::NotIn(values) => !values.contains(&value),
        Test::Masked { mask, equals } => value & mask == *equals,
    }
}

/// The value of an argument as a journal writes it: a number, or a constant's name.
pub fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    let signed = || text.parse::<i64>().ok().map(i64::cast_unsigned);
    text.parse::<u64>().ok().or_else(signed).or_else(|| constants::value(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    #[test]
    fn a_call_is_allowed_by_its_entry_or_by_a_section() {
        let text = serde_json::json!({
            "remit": 1, "name": "x", "programs": [{ "path": "/app", "entry": true }],
            "files": ["@runtime"], "network": { "listen": ["tcp/80"] }, "ready": { "when": "listening" },
            "syscalls": { "allow": ["mlockall", { "call": "prctl", "arg": 0, "in": [4] }],
                "startup_only": ["bind", "chroot"] }
        });
        let document = profile::read(text.to_string().as_bytes()).expect("valid");
        let calls = CallGrants::of(&document.profile);
        assert_eq!(calls.allows("mlockall", None), Some(AllowedBy::Entry(0)));
        assert_eq!(calls.allows("prctl", Some((0, 4))), Some(AllowedBy::Entry(1)));
        assert_eq!(calls.allows("prctl", Some((0, 31))), None);
        assert_eq!(calls.allows("openat", None), Some(AllowedBy::Section));
        assert_eq!(calls.allows("execve", None), Some(AllowedBy::Section));
        assert_eq!(calls.allows("socket", Some((0, AF_INET))), Some(AllowedBy::Section));
        assert_eq!(calls.allows("socket", Some((0, AF_UNIX))), None);
        assert_eq!(calls.allows("ptrace", None), None);
        assert!(calls.has("listen") && !calls.has("ptrace") && calls.has("prctl"));
        assert!(calls.is_startup_only("bind") && !calls.is_startup_only("mlockall"));
        assert!(!unnotified().contains("ptrace") && unnotified().contains("openat"));
    }
}
