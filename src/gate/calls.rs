//! Which system calls a profile allows, with or without a value of one argument.

use std::collections::BTreeSet;

use crate::profile::{Endpoint, FileEntry, FileGroup, Profile};
use crate::review::calls::{AllowedCall, AllowedCalls};
use crate::syscalls::{self, Handler, constants, groups};

/// The calls of a profile: those of its list, and those that its other sections bring.
#[derive(Debug)]
pub struct CallGrants {
    calls: AllowedCalls,
    /// The first arguments of socket(2) that the endpoints bring.
    socket_domains: Vec<u64>,
    /// Whether a call may be refused after the start-up.
    ends: bool,
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

impl CallGrants {
    /// Of a profile.
    pub fn of(profile: &Profile) -> CallGrants {
        let network = &profile.network;
        let endpoints = || network.listen.iter().chain(&network.connect).map(|entry| &entry.what);
        let is_unix = |one: &Endpoint| {
            matches!(one, Endpoint::UnixAny | Endpoint::UnixPath(_) | Endpoint::UnixAbstract(_))
        };
        let names = profile
            .files
            .iter()
            .any(|entry| matches!(entry, FileEntry::Group(group) if group.what == FileGroup::Names));
        let mut socket_domains = Vec::new();
        if names || endpoints().any(is_unix) {
            socket_domains.push(AF_UNIX);
        }
        if endpoints().any(|one| !is_unix(one)) {
            socket_domains.extend([AF_INET, AF_INET6]);
        }
        if endpoints().next().is_some() {
            socket_domains.push(AF_NETLINK);
        }
        CallGrants { calls: AllowedCalls::of(profile), socket_domains, ends: profile.ready.is_some() }
    }

    /// Whether the call, whatever its arguments, is refused once start-up is over.
    pub fn is_startup_only(&self, call: &str) -> bool {
        let mut all = self.calls.named(call).peekable();
        self.ends && all.peek().is_some() && all.all(|allowed| allowed.startup_only)
    }

    /// What allows a call with any arguments, or with this value of one of them.
    pub fn allows(&self, call: &'static str, when: Option<(u8, u64)>) -> Option<AllowedBy> {
        if matches!(syscalls::handler(call), Handler::Exec | Handler::NotImplemented) {
            return Some(AllowedBy::Section);
        }
        let allowed = |one: &&AllowedCall| self.is_met(one, when);
        let entries = self.calls.named(call).filter(allowed).filter_map(index);
        // What is listed is used, whatever a section would bring as well.
        if let Some(index) = entries.min() {
            return Some(AllowedBy::Entry(index));
        }
        self.calls.named(call).any(|one| self.is_met(one, when)).then_some(AllowedBy::Section)
    }

    fn is_met(&self, allowed: &AllowedCall, when: Option<(u8, u64)>) -> bool {
        // A journal names the arguments that matter.
        let Some((arg, value)) = when else { return true };
        if (allowed.call, arg) == ("socket", 0) && index(allowed).is_none() {
            return self.socket_domains.contains(&value);
        }
        let mut alternatives = allowed.alternatives.iter();
        alternatives.any(|one| one.iter().all(|test| test.arg != arg || test.values.has(value)))
    }

    /// Whether another section, or a group that is listed, allows the call.
    pub fn is_brought(&self, call: &str) -> bool {
        self.calls.named(call).any(|allowed| index(allowed).is_none() || allowed.through.is_some())
    }

    /// Whether the app may make the call in some form.
    pub fn has(&self, call: &str) -> bool {
        self.calls.has(call)
    }
}

/// The index of the entry of `syscalls.allow` that allows a call.
fn index(allowed: &AllowedCall) -> Option<usize> {
    allowed.pointer.strip_prefix("/syscalls/allow/")?.parse().ok()
}

/// The calls that a learning run notifies only with `--exact`: those of the groups.
pub fn unnotified() -> BTreeSet<&'static str> {
    let groups = [&groups::CORE, &groups::FILES, &groups::NETWORK, &groups::NETWORK_LISTEN];
    groups.into_iter().flat_map(|group| group.calls().into_keys()).collect()
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
        assert!(calls.is_startup_only("chroot") && calls.allows("chroot", None).is_some());
        assert!(!unnotified().contains("ptrace") && unnotified().contains("openat"));
    }
}
