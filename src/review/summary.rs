//! What a profile permits, section by section, in a few lines.

use std::collections::{BTreeMap, BTreeSet};

use super::attacks::listed;
use super::calls::{AllowedCalls, of_group};
use super::docker;
use super::input::ReviewInput;
use super::permission::{Permitted, ProgramKey};
use super::sentence::program;
use crate::profile::{
    Endpoint, Entry, Fallback, FileEntry, Mode, Ready, Rights, capability_word, endpoint_text,
};
use crate::syscalls::{self, groups};

/// A line of the summary: a section, and what it permits. Text of the profile may be in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryLine {
    /// The section in one word or two.
    pub about: &'static str,
    /// What is permitted.
    pub text: String,
}

/// The lines, in a fixed order.
pub fn summary(input: &ReviewInput) -> Vec<SummaryLine> {
    let profile = input.profile;
    let mut all = Vec::new();
    let mut put = |about, text: String| all.push(SummaryLine { about, text });
    put("mode", mode(input));
    put("start", listed(keys(input, |one| one.entry).iter().map(program)));
    transitions(input, &mut put);
    for (right, about) in [
        (Rights::READ, "read"),
        (Rights::LIST, "list"),
        (Rights::WRITE, "write"),
        (Rights::CREATE, "make names"),
        (Rights::REMOVE, "remove names"),
        (Rights::IOCTL, "control"),
    ] {
        put(about, files(input, right));
    }
    put("listen", endpoints(&profile.network.listen));
    put("connect", endpoints(&profile.network.connect));
    let capabilities = profile.capabilities.iter().map(|entry| capability_word(entry.what));
    put("capabilities", or_none(every(capabilities)));
    put("calls", calls(&input.calls));
    put(
        "memory",
        match profile.write_execute {
            true => "may be writable and executable".into(),
            false => "never writable and executable".into(),
        },
    );
    put(
        "variables",
        match profile.environment_keep.is_empty() {
            true => "those that load what the app may change are dropped and refused".into(),
            false => format!(
                "{} are kept, whatever they name",
                every(profile.environment_keep.iter().map(|one| one.what.clone()))
            ),
        },
    );
    put(
        "processes",
        match profile.limits.processes {
            Some(most) => format!("{most} at one time"),
            None => "any number".into(),
        },
    );
    if let Some(ready) = profile.ready {
        put("start-up", startup(ready, &input.calls));
    }
    all
}

fn mode(input: &ReviewInput) -> String {
    let profile = input.profile;
    let mut text = match profile.mode {
        Mode::Enforce => "enforce: what is not listed is refused".to_owned(),
        Mode::Audit => "audit: nothing is refused".to_owned(),
        Mode::Learn => "learn: nothing is refused".to_owned(),
        Mode::Off => "off: nothing is confined".to_owned(),
    };
    if profile.fallback == Fallback::Degrade {
        text += "; where the kernel lacks something it starts with less (fallback: degrade)";
    }
    text
}

fn keys(input: &ReviewInput, is_it: impl Fn(&crate::profile::Program) -> bool) -> BTreeSet<ProgramKey> {
    input.profile.programs.iter().filter(|one| is_it(one)).map(ProgramKey::of).collect()
}

fn transitions(input: &ReviewInput, put: &mut impl FnMut(&'static str, String)) {
    let mut by_caller: BTreeMap<ProgramKey, BTreeSet<ProgramKey>> = BTreeMap::new();
    for (what, ..) in input.programs.permissions(&input.programs.keys()) {
        if let Permitted::Transition { from, to } = what {
            by_caller.entry(from).or_default().insert(to);
        }
    }
    if by_caller.is_empty() {
        return put("execute", "nothing: no program executes another".into());
    }
    for (from, to) in by_caller {
        put("execute", format!("{}: {}", program(&from), every(to.iter().map(program))));
    }
}

/// The paths of the profile's own entries, and the groups that have the right.
fn files(input: &ReviewInput, right: Rights) -> String {
    let mut paths = Vec::new();
    let mut named = BTreeSet::new();
    for entry in &input.profile.files {
        match entry {
            FileEntry::Path(rule) if rule.allow.iter().any(|one| one == right) => {
                paths.push(rule.path.display().to_string())
            }
            FileEntry::Path(_) => {}
            FileEntry::Group(group) => {
                named.insert(group.what.word());
            }
        }
    }
    let has = |name: &&&str| {
        let mut own = input.files.paths.iter().filter(|one| one.through == Some(**name));
        own.any(|one| one.rights.iter().any(|one| one == right))
    };
    paths.extend(named.iter().filter(has).map(|name| format!("what {name} has")));
    or_none(every(paths))
}

fn endpoints(list: &[Entry<Endpoint>]) -> String {
    or_none(every(list.iter().map(|entry| endpoint_text(&entry.what))))
}

/// The number of calls, and those beyond the groups.
fn calls(allowed: &AllowedCalls) -> String {
    let count = allowed.names().count();
    let grouped: BTreeSet<&str> = groups::NAMES.into_iter().flat_map(of_group).collect();
    let own: Vec<&str> = allowed.names().filter(|call| !grouped.contains(call)).collect();
    let more = match own.is_empty() {
        true => "none beyond the groups".to_owned(),
        false => format!("beyond the groups: {}", every(own.iter().map(|call| (*call).to_owned()))),
    };
    format!("{count} of the kernel's {} (Docker's default: {}); {more}", syscalls::COUNT, docker::count())
}

fn startup(ready: Ready, allowed: &AllowedCalls) -> String {
    let end = match ready {
        Ready::Listening => "when it listens".to_owned(),
        Ready::Notify => "with READY=1".to_owned(),
        Ready::Delay(time) => format!("after {} ms", time.as_millis()),
    };
    let lasting = |call: &&str| allowed.named(call).any(|one| !one.startup_only);
    let early: Vec<&str> = allowed.names().filter(|call| !lasting(call)).collect();
    match early.is_empty() {
        true => format!("over {end}; no call is for it alone"),
        false => {
            format!("over {end}; until then alone: {}", every(early.iter().map(|call| (*call).to_owned())))
        }
    }
}

/// All items, since a review leaves nothing out.
fn every(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}

fn or_none(text: String) -> String {
    if text.is_empty() { "nothing".into() } else { text }
}
