//! A profile as the set of its single grants. Each grant has a name that does not depend on its
//! position, by which removals and differences are found.

use std::collections::BTreeSet;

use crate::profile::{
    Endpoint, Entry, FileEntry, Profile, Program, Rights, SyscallRule, capability_word, endpoint_text,
};
use crate::syscalls::{Condition, Test};

/// A single grant, or a restriction of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// `file /data write`.
    pub key: String,
    /// The JSON Pointer of the entry that makes it.
    pub pointer: String,
}

/// The grants of a profile, in its order.
pub fn grants(profile: &Profile) -> Vec<Grant> {
    let mut all = Vec::new();
    let mut put = |key: String, pointer: String| all.push(Grant { key, pointer });
    for (index, program) in profile.programs.iter().enumerate() {
        let at = format!("/programs/{index}");
        put(program_key(program), at.clone());
        if program.entry {
            put(format!("entry {}", named(program)), at.clone());
        }
        for (number, transition) in program.may_run.iter().enumerate() {
            put(transition_key(program, transition), format!("{at}/may_run/{number}"));
        }
    }
    for (index, entry) in profile.files.iter().enumerate() {
        let at = format!("/files/{index}");
        match entry {
            FileEntry::Group(group) => put(format!("files {}", group.what.word()), at),
            FileEntry::Path(rule) => {
                for word in rule.allow.words() {
                    put(file_key(&rule.path.to_string_lossy(), word), at.clone());
                }
            }
        }
    }
    for (side, list) in [("listen", &profile.network.listen), ("connect", &profile.network.connect)] {
        for (index, entry) in list.iter().enumerate() {
            put(endpoint_key(side, &entry.what), format!("/network/{side}/{index}"));
        }
    }
    for (side, list) in [("allow", &profile.syscalls.allow), ("startup_only", &profile.syscalls.startup_only)]
    {
        for (index, entry) in list.iter().enumerate() {
            for key in call_keys(side, &entry.what) {
                put(key, format!("/syscalls/{side}/{index}"));
            }
        }
    }
    for (index, entry) in profile.capabilities.iter().enumerate() {
        put(format!("capability {}", capability_word(entry.what)), format!("/capabilities/{index}"));
    }
    if profile.write_execute {
        put("memory write_execute".into(), "/memory/write_execute".into());
    }
    for (index, entry) in profile.environment_keep.iter().enumerate() {
        put(variable_key(&entry.what), format!("/environment/keep/{index}"));
    }
    all
}

/// The names of the grants.
pub fn keys(profile: &Profile) -> BTreeSet<String> {
    grants(profile).into_iter().map(|grant| grant.key).collect()
}

fn named(program: &Program) -> String {
    let applet = program.applet.as_ref().map(|applet| format!(" {applet}")).unwrap_or_default();
    format!("{}{applet}", program.place.path().display())
}

fn program_key(program: &Program) -> String {
    format!("program {}", named(program))
}

fn transition_key(program: &Program, transition: &Entry<crate::profile::Transition>) -> String {
    let applet = transition.what.applet.as_ref().map(|applet| format!(" {applet}")).unwrap_or_default();
    format!("edge {} -> {}{applet}", named(program), transition.what.path.display())
}

fn file_key(path: &str, word: &str) -> String {
    format!("file {path} {word}")
}

fn variable_key(name: &str) -> String {
    format!("environment keep {name}")
}

fn endpoint_key(side: &str, endpoint: &Endpoint) -> String {
    format!("{side} {}", endpoint_text(endpoint))
}

/// One name for each listed value.
pub(super) fn call_keys(side: &str, rule: &SyscallRule) -> Vec<String> {
    let lead = if side == "allow" { "syscall" } else { "startup_only" };
    match rule {
        SyscallRule::Group(name) | SyscallRule::Call(name) => vec![format!("{lead} {name}")],
        SyscallRule::When(name, Condition { arg, test: Test::In(values) }) => {
            values.iter().map(|value| format!("{lead} {name} {arg} {value}")).collect()
        }
        SyscallRule::When(name, condition) => vec![format!("{lead} {name} {condition:?}")],
    }
}

/// Removes grants by their names.
pub fn remove(profile: &mut Profile, gone: &BTreeSet<String>) {
    if gone.is_empty() {
        return;
    }
    let stays = |key: &str| !gone.contains(key);
    let paths: BTreeSet<_> = profile
        .programs
        .iter()
        .filter(|one| stays(&program_key(one)))
        .map(|one| one.place.path().to_owned())
        .collect();
    profile.programs.retain(|program| stays(&program_key(program)));
    for program in &mut profile.programs {
        let of = program.clone();
        program.entry &= stays(&format!("entry {}", named(&of)));
        program.may_run.retain(|transition| {
            stays(&transition_key(&of, transition)) && paths.contains(&transition.what.path)
        });
    }
    profile.files.retain_mut(|entry| match entry {
        FileEntry::Group(group) => stays(&format!("files {}", group.what.word())),
        FileEntry::Path(rule) => {
            let path = rule.path.to_string_lossy();
            let stays = |right: &Rights| right.words().all(|word| stays(&file_key(&path, word)));
            rule.allow = rule.allow.iter().filter(stays).collect();
            !rule.allow.is_empty()
        }
    });
    for (side, list) in [("listen", &mut profile.network.listen), ("connect", &mut profile.network.connect)] {
        list.retain(|entry| stays(&endpoint_key(side, &entry.what)));
    }
    for (side, list) in
        [("allow", &mut profile.syscalls.allow), ("startup_only", &mut profile.syscalls.startup_only)]
    {
        list.retain_mut(|entry| {
            let keys = call_keys(side, &entry.what);
            if let SyscallRule::When(_, Condition { test: Test::In(values), .. }) = &mut entry.what {
                let mut keys = keys.iter();
                values.retain(|_| keys.next().is_none_or(|key| stays(key)));
                return !values.is_empty();
            }
            keys.iter().all(|key| stays(key))
        });
    }
    profile.capabilities.retain(|entry| stays(&format!("capability {}", capability_word(entry.what))));
    profile.write_execute &= stays("memory write_execute");
    profile.environment_keep.retain(|entry| stays(&variable_key(&entry.what)));
}

/// Adds the grants of `other` to `profile`. For the same grant, the entry of `other` replaces the
/// profile's, with its reason.
pub fn add(profile: &mut Profile, other: &Profile, narrows: bool) {
    for program in &other.programs {
        let same = |one: &&mut Program| one.place == program.place && one.applet == program.applet;
        match profile.programs.iter_mut().find(same) {
            None => profile.programs.push(program.clone()),
            Some(one) => {
                let learned = std::mem::replace(one, program.clone());
                if narrows {
                    continue;
                }
                one.entry |= learned.entry;
                one.interpreter = one.interpreter.take().or(learned.interpreter);
                one.sha256 = learned.sha256.or(one.sha256.take());
                let more = learned.may_run.into_iter();
                let listed: Vec<_> = one.may_run.iter().map(|transition| transition.what.clone()).collect();
                one.may_run.extend(more.filter(|transition| !listed.contains(&transition.what)));
            }
        }
    }
    for entry in &other.files {
        let same = |one: &&mut FileEntry| match (&**one, entry) {
            (FileEntry::Group(one), FileEntry::Group(other)) => one.what == other.what,
            (FileEntry::Path(one), FileEntry::Path(other)) => one.path == other.path,
            _ => false,
        };
        match (profile.files.iter_mut().find(same), entry) {
            (None, _) => profile.files.push(entry.clone()),
            (Some(FileEntry::Path(one)), FileEntry::Path(rule)) => {
                let learned = if narrows { Rights::NONE } else { one.allow };
                *one = rule.clone();
                one.allow = one.allow.union(learned);
            }
            (Some(one), _) => *one = entry.clone(),
        }
    }
    entries(&mut profile.network.listen, &other.network.listen);
    entries(&mut profile.network.connect, &other.network.connect);
    entries(&mut profile.capabilities, &other.capabilities);
    calls(&mut profile.syscalls.allow, &other.syscalls.allow, narrows);
    calls(&mut profile.syscalls.startup_only, &other.syscalls.startup_only, narrows);
    profile.write_execute |= other.write_execute;
    entries(&mut profile.environment_drop, &other.environment_drop);
    entries(&mut profile.environment_keep, &other.environment_keep);
}

fn entries<T: PartialEq + Clone>(list: &mut Vec<Entry<T>>, other: &[Entry<T>]) {
    for entry in other {
        match list.iter_mut().find(|one| one.what == entry.what) {
            None => list.push(entry.clone()),
            Some(one) => one.why = entry.why.clone().or(one.why.take()),
        }
    }
}

fn calls(list: &mut Vec<Entry<SyscallRule>>, other: &[Entry<SyscallRule>], narrows: bool) {
    for entry in other {
        let same = |one: &&mut Entry<SyscallRule>| match (&one.what, &entry.what) {
            (SyscallRule::When(a, one), SyscallRule::When(b, two)) => {
                a == b && one.arg == two.arg && matches!((&one.test, &two.test), (Test::In(_), Test::In(_)))
            }
            // A condition in an overlay replaces the rule for the whole call.
            (SyscallRule::Call(a), SyscallRule::When(b, _)) => narrows && a == b,
            (one, two) => one == two,
        };
        let Some(one) = list.iter_mut().find(same) else {
            list.push(entry.clone());
            continue;
        };
        let learned = std::mem::replace(one, entry.clone());
        if narrows {
            continue;
        }
        if let (
            SyscallRule::When(_, Condition { test: Test::In(values), .. }),
            SyscallRule::When(_, Condition { test: Test::In(more), .. }),
        ) = (&mut one.what, learned.what)
        {
            values.extend(more);
            values.sort_unstable();
            values.dedup();
        }
    }
}
