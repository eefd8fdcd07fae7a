//! The parts that a drop test removes from a profile, one at a time, and the comparison of runs
//! without them. Pure: [`drop_test`](super::drop_test) makes the runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::learn;
use crate::profile::{OnViolation, Profile, Watch};

/// A class of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum GrantClass {
    /// Each capability
    Capabilities,
    /// Each right on files, from all entries; each group of files
    Files,
    /// Each entry of listen and connect
    Network,
    /// Each transition from a program to another
    #[value(name = "edges")]
    Transitions,
    /// Each entry of syscalls
    Syscalls,
    /// Memory that may be written and executed
    Memory,
}

/// A part of a profile that a run does without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub class: GrantClass,
    /// Its name in the report: `capability chown`, `files write`, `edge /a -> /b`.
    pub name: String,
    /// The grants that it consists of.
    grants: BTreeSet<String>,
}

impl Part {
    /// The profile without this part.
    pub fn taken_from(&self, profile: &Profile) -> Profile {
        let mut less = watched(profile);
        learn::remove(&mut less, &self.grants);
        less
    }
}

/// The profile for a run: refused reads have an event, and a refusal stops nothing.
pub(super) fn watched(profile: &Profile) -> Profile {
    Profile { watch: Watch::Reads, on_violation: OnViolation::Deny, ..profile.clone() }
}

/// The parts of these classes in a profile, sorted by class.
pub(super) fn parts(profile: &Profile, classes: &[GrantClass]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for grant in learn::grants(profile) {
        let Some((class, name)) = part_of(&grant.key) else { continue };
        if !classes.contains(&class) {
            continue;
        }
        match parts.iter_mut().find(|part| part.name == name) {
            Some(part) => drop(part.grants.insert(grant.key)),
            None => parts.push(Part { class, name, grants: BTreeSet::from([grant.key]) }),
        }
    }
    parts.sort_by_key(|part| part.class);
    parts
}

/// The part that a grant belongs to, by the grant's name.
fn part_of(grant: &str) -> Option<(GrantClass, String)> {
    let (kind, rest) = grant.split_once(' ')?;
    match kind {
        "capability" => Some((GrantClass::Capabilities, grant.to_owned())),
        // `file /a path write`: the right is the last word.
        "file" => Some((GrantClass::Files, format!("files {}", rest.rsplit(' ').next()?))),
        "files" => Some((GrantClass::Files, grant.to_owned())),
        "listen" | "connect" => Some((GrantClass::Network, grant.to_owned())),
        "edge" => Some((GrantClass::Transitions, grant.to_owned())),
        // A call with its values is one entry.
        "syscall" => Some((GrantClass::Syscalls, format!("syscall {}", rest.split(' ').next()?))),
        "memory" => Some((GrantClass::Memory, grant.to_owned())),
        _ => None,
    }
}

/// An error of a run: a call that the kernel refused, or a violation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ObservedError {
    pub program: String,
    /// The call, or the violation's kind.
    pub call: String,
    /// The object of the call, or of the violation.
    pub object: String,
    pub errno: String,
}

impl fmt::Display for ObservedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.program, self.call)?;
        if !self.object.is_empty() {
            write!(f, " {}", self.object)?;
        }
        write!(f, ": {}", self.errno)
    }
}

/// The errors of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RunErrors {
    /// The errors, and how often each came.
    pub errors: BTreeMap<ObservedError, u64>,
    /// Why the run did not end normally.
    pub fault: Option<String>,
}

/// The result of a run without a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PartFinding {
    /// New errors, which the full run did not have.
    Needed(Vec<(ObservedError, u64)>),
    /// No new error, but the run ended otherwise than the full one: how.
    Otherwise(String),
    /// No difference from the full run.
    NotNeeded,
    /// A run would show nothing: why.
    Unknown(String),
}

/// Compares a run without a part to the full one.
pub(super) fn compare(full: &RunErrors, less: &RunErrors) -> PartFinding {
    let new = less.errors.iter().filter(|(failure, _)| !full.errors.contains_key(failure));
    let new: Vec<_> = new.map(|(failure, count)| (failure.clone(), *count)).collect();
    match &less.fault {
        _ if !new.is_empty() => PartFinding::Needed(new),
        Some(fault) if full.fault.is_none() => PartFinding::Otherwise(fault.clone()),
        _ => PartFinding::NotNeeded,
    }
}

/// Capabilities whose lack makes no call fail.
pub(super) fn unseen(name: &str) -> Option<&'static str> {
    match name {
        "capability fsetid" => Some("without it the kernel clears set-user-ID bits, and no call fails"),
        "capability audit_write" => Some("its refusal comes in a netlink message, and no call fails"),
        _ => None,
    }
}

impl PartFinding {
    fn word(&self) -> &'static str {
        match self {
            PartFinding::Needed(_) | PartFinding::Otherwise(_) => "needed",
            PartFinding::NotNeeded => "not needed",
            PartFinding::Unknown(_) => "unknown",
        }
    }

    fn detail(&self) -> String {
        match self {
            PartFinding::Needed(errors) => match &errors[..] {
                [] => String::new(),
                [(first, count)] => format!("{first}{}", times(*count)),
                [(first, count), rest @ ..] => format!("{first}{}, and {} more", times(*count), rest.len()),
            },
            PartFinding::Otherwise(how) => how.clone(),
            PartFinding::NotNeeded => "nothing failed that had not failed with it".to_owned(),
            PartFinding::Unknown(why) => why.clone(),
        }
    }
}

fn times(count: u64) -> String {
    if count == 1 { String::new() } else { format!(" ({count} times)") }
}

/// The report as text; `fresh`: each run found the same state.
pub(super) fn text(
    profile: &str,
    full: &BTreeMap<ObservedError, u64>,
    found: &[(Part, PartFinding)],
    fresh: bool,
) -> String {
    let mut text = format!("{profile}: {} taken away, each for a run of its own\n", found.len());
    if !full.is_empty() {
        text += "the full runs had these errors already, which prove nothing:\n";
    }
    for (failure, count) in full {
        text += &format!("  {failure}{}\n", times(*count));
    }
    let width = found.iter().map(|(part, _)| part.name.len()).max().unwrap_or(0);
    for (part, finding) in found {
        text += &format!("  {:<10}  {:<width$}  {}\n", finding.word(), part.name, finding.detail());
    }
    if !fresh {
        text += "\nEach run found what the last one had left, a file that need not be made again: --before SCRIPT brings the state back.\n";
    }
    text += "\nnot needed: by this work. What a reload, a rotation, a crash or an upgrade needs shows in a run that has one.\n";
    text
}

/// The report as JSON.
pub(super) fn json(
    profile: &str,
    full: &BTreeMap<ObservedError, u64>,
    found: &[(Part, PartFinding)],
) -> Value {
    let list = |errors: &mut dyn Iterator<Item = (&ObservedError, u64)>| -> Value {
        errors
            .map(|(failure, count)| {
                json!({ "program": failure.program, "call": failure.call, "object": failure.object,
                    "errno": failure.errno, "count": count })
            })
            .collect()
    };
    let parts = found.iter().map(|(part, finding)| {
        let errors = match finding {
            PartFinding::Needed(errors) => list(&mut errors.iter().map(|(failure, count)| (failure, *count))),
            _ => json!([]),
        };
        json!({ "part": part.name, "finding": finding.word().replace(' ', "_"), "detail": finding.detail(),
            "errors": errors })
    });
    json!({
        "profile": profile,
        "full": list(&mut full.iter().map(|(failure, count)| (failure, *count))),
        "parts": parts.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        let text = json!({
            "remit": 1, "name": "x", "on_violation": "stop",
            "programs": [{ "path": "/app", "entry": true, "may_run": ["/a b", "/c"] }, { "path": "/a b" }, { "path": "/c" }],
            "files": ["@runtime", { "path": "/d", "allow": ["read", "write"] }, { "path": "/e f", "allow": ["write"] }],
            "network": { "listen": ["tcp/80"] },
            "capabilities": ["chown", "setuid"],
            "syscalls": { "allow": ["setuid", { "call": "ioctl", "arg": 1, "in": ["FIONBIO", "FIOCLEX"] }] },
        });
        crate::profile::read(text.to_string().as_bytes()).expect("valid").profile
    }

    const ALL: [GrantClass; 6] = [
        GrantClass::Capabilities,
        GrantClass::Files,
        GrantClass::Network,
        GrantClass::Transitions,
        GrantClass::Syscalls,
        GrantClass::Memory,
    ];

    #[test]
    fn a_profile_is_taken_apart_by_class() {
        let names: Vec<_> = parts(&profile(), &ALL).into_iter().map(|part| part.name).collect();
        assert_eq!(
            names,
            [
                "capability chown",
                "capability setuid",
                "files @runtime",
                "files read",
                "files write",
                "listen tcp/80",
                "edge /app -> /a b",
                "edge /app -> /c",
                "syscall setuid",
                "syscall ioctl",
            ]
        );
        assert_eq!(parts(&profile(), &[GrantClass::Memory]), []);
    }

    /// The rest is a valid profile that lacks exactly the part.
    #[test]
    fn what_is_taken_away_and_nothing_else_is_gone() {
        let whole = profile();
        let before = learn::keys(&whole);
        for part in parts(&whole, &ALL) {
            let less = part.taken_from(&whole);
            let read = crate::profile::read(crate::profile::write(&less).as_bytes());
            let read = read.unwrap_or_else(|error| panic!("{}: {error}", part.name)).profile;
            let after = learn::keys(&read);
            let gone: BTreeSet<_> = before.difference(&after).cloned().collect();
            assert_eq!(gone, part.grants, "{}", part.name);
            assert!(read.watch == Watch::Reads && read.on_violation == OnViolation::Deny);
        }
    }

    fn shown(errors: &[(&str, &str)], fault: Option<&str>) -> RunErrors {
        let failure = |(call, errno): &(&str, &str)| {
            let [call, errno] = [call, errno].map(|word| (*word).to_owned());
            (ObservedError { program: "/app".into(), call, object: String::new(), errno }, 1)
        };
        RunErrors { errors: errors.iter().map(failure).collect(), fault: fault.map(str::to_owned) }
    }

    #[test]
    fn an_error_that_the_full_run_has_as_well_proves_nothing() {
        let full = shown(&[("open", "EACCES")], None);
        assert_eq!(compare(&full, &full), PartFinding::NotNeeded);
        assert_eq!(compare(&full, &shown(&[], None)), PartFinding::NotNeeded);
        let more = compare(&full, &shown(&[("open", "EACCES"), ("open", "EPERM"), ("chown", "EPERM")], None));
        let PartFinding::Needed(new) = &more else { panic!("{more:?}") };
        assert_eq!(new.len(), 2);
        assert_eq!(more.detail(), "/app: chown: EPERM, and 1 more");
        let other = compare(&full, &shown(&[], Some("it ended with exit code 1")));
        assert_eq!(other, PartFinding::Otherwise("it ended with exit code 1".to_owned()));
    }

    #[test]
    fn the_report_names_the_error_by_which_it_shows() {
        let parts = parts(&profile(), &[GrantClass::Capabilities]);
        let less = shown(&[("chown", "EPERM")], None);
        let findings = [compare(&RunErrors::default(), &less), PartFinding::NotNeeded];
        let found: Vec<_> = parts.into_iter().zip(findings).collect();
        let report = text("x", &BTreeMap::new(), &found, true);
        assert!(report.contains("  needed      capability chown   /app: chown: EPERM\n"), "{report}");
        assert!(report.contains("  not needed  capability setuid  nothing failed"), "{report}");
        assert_eq!(json("x", &BTreeMap::new(), &found)["parts"][0]["errors"][0]["errno"], "EPERM");
    }
}
