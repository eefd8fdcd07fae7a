//! What a profile permits by its mode, limits, environment and other settings.

use super::permission::{LimitName, Permitted};
use super::programs::Made;
use crate::profile::{Entry, Fallback, Limits, Mode, OnViolation, Profile, Ready, RunAs, Watch};

/// Every permission of these sections; `dropped` are variables that another profile drops.
pub(super) fn permissions(profile: &Profile, dropped: &[Entry<String>]) -> Vec<Made> {
    let mut all: Vec<Made> = Vec::new();
    let mut put = |what, pointer: &str| all.push((what, pointer.to_owned(), None));
    if profile.mode != Mode::Enforce {
        put(Permitted::Mode(profile.mode), "/mode");
    }
    if profile.fallback == Fallback::Degrade {
        put(Permitted::Degrade, "/fallback");
    }
    if profile.on_violation != OnViolation::Stop {
        put(Permitted::GoOn(profile.on_violation), "/on_violation");
    }
    if profile.watch < Watch::Reads {
        put(Permitted::UnseenReads, "/watch");
    }
    if profile.watch == Watch::Nothing {
        put(Permitted::UnseenSecrets, "/watch");
    }
    put(Permitted::RunAs(profile.run_as.clone()), "/run_as");
    if let Some(ready) = profile.ready.filter(|_| !profile.syscalls.startup_only.is_empty()) {
        put(Permitted::StartupUntil(ready), "/ready");
    }
    if profile.write_execute {
        put(Permitted::WriteExecute, "/memory/write_execute");
    }
    for (name, most) in limits(&profile.limits) {
        put(Permitted::Limit(name, most), &format!("/limits/{}", name.word()));
    }
    for (index, entry) in profile.capabilities.iter().enumerate() {
        all.push((Permitted::Capability(entry.what), format!("/capabilities/{index}"), entry.why.clone()));
    }
    for (index, entry) in profile.environment_keep.iter().enumerate() {
        let pointer = format!("/environment/keep/{index}");
        all.push((Permitted::KeepVariable(entry.what.clone()), pointer, entry.why.clone()));
    }
    for entry in dropped.iter().filter(|entry| !includes(&profile.environment_drop, &entry.what)) {
        all.push((Permitted::PassVariable(entry.what.clone()), "/environment/drop".into(), None));
    }
    all
}

/// Whether this profile permits what another does.
pub(super) fn covers(profile: &Profile, what: &Permitted) -> bool {
    match what {
        Permitted::Mode(mode) => looseness(profile.mode) >= looseness(*mode),
        Permitted::Degrade => profile.fallback == Fallback::Degrade,
        Permitted::GoOn(OnViolation::Kill) => profile.on_violation != OnViolation::Stop,
        Permitted::GoOn(_) => profile.on_violation == OnViolation::Deny,
        Permitted::UnseenReads => profile.watch < Watch::Reads,
        Permitted::UnseenSecrets => profile.watch == Watch::Nothing,
        Permitted::RunAs(wanted) => match (&profile.run_as, wanted) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(wanted)) => runs_as(own, wanted),
        },
        Permitted::StartupUntil(wanted) => lasts(profile, *wanted),
        Permitted::WriteExecute => profile.write_execute,
        Permitted::Limit(name, wanted) => {
            let own =
                limits(&profile.limits).into_iter().find(|(own, _)| own == name).and_then(|(_, most)| most);
            match (own, wanted) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(most), Some(wanted)) => most >= *wanted,
            }
        }
        Permitted::Capability(capability) => {
            profile.capabilities.iter().any(|entry| entry.what == *capability)
        }
        Permitted::KeepVariable(name) => includes(&profile.environment_keep, name),
        Permitted::PassVariable(name) => !includes(&profile.environment_drop, name),
        _ => false,
    }
}

/// How little a mode refuses.
fn looseness(mode: Mode) -> u8 {
    match mode {
        Mode::Enforce => 0,
        Mode::Audit => 1,
        Mode::Learn => 2,
        Mode::Off => 3,
    }
}

fn runs_as(own: &RunAs, wanted: &RunAs) -> bool {
    own.user == wanted.user
        && own.group == wanted.group
        && wanted.groups.iter().all(|group| *group == own.group || own.groups.contains(group))
}

/// Whether start-up lasts as long as the other's, where it has calls of its own.
fn lasts(profile: &Profile, wanted: Ready) -> bool {
    match (profile.ready, wanted) {
        // What is never taken away lasts longest.
        _ if profile.syscalls.startup_only.is_empty() => true,
        (Some(Ready::Delay(own)), Ready::Delay(wanted)) => own >= wanted,
        (own, wanted) => own == Some(wanted),
    }
}

/// Each limit with its value.
pub(super) fn limits(limits: &Limits) -> [(LimitName, Option<u64>); 4] {
    [
        (LimitName::Processes, limits.processes.map(u64::from)),
        (LimitName::OpenFiles, limits.open_files),
        (LimitName::FileSize, limits.file_size),
        (LimitName::Core, limits.core),
    ]
}

/// Whether names and patterns include all that another name or pattern does.
pub(super) fn includes(list: &[Entry<String>], wanted: &str) -> bool {
    list.iter().any(|entry| match (entry.what.strip_suffix('*'), wanted.strip_suffix('*')) {
        (Some(stem), Some(wanted)) => wanted.starts_with(stem),
        (Some(stem), None) => wanted.starts_with(stem),
        (None, _) => entry.what == wanted,
    })
}
