//! The app's credentials and resources: ids, capabilities, limits, environment.

use std::collections::BTreeSet;

use caps::{Capability, CapsHashSet};

use super::environment::LOADER;
use super::step::names;
use super::{Capabilities, Host, Plan, PlanError, PlanFault, ResourceLimit, step};
use crate::ids::Gid;
use crate::profile::{Mode, Profile, RunAs};

impl Plan {
    /// Whether the app has, or may change to, another user than the supervisor's.
    pub fn has_other_users(&self) -> bool {
        let changes = [Capability::CAP_SETUID, Capability::CAP_SETGID];
        self.run_as.is_some() || changes.iter().any(|one| self.capabilities.app.contains(one))
    }
}

/// The ids to change to; `None` where they are the current ones already.
pub(super) fn run_as(profile: &Profile, host: &Host) -> Result<Option<RunAs>, PlanError> {
    let Some(wanted) = &profile.run_as else { return Ok(None) };
    let sorted = |groups: &[Gid]| {
        let mut sorted = BTreeSet::new();
        sorted.extend(groups.iter().map(|group| group.as_raw()));
        sorted
    };
    let same_groups = wanted.group == host.ids.group && sorted(&wanted.groups) == sorted(&host.ids.groups);
    if wanted.user == host.ids.user && same_groups {
        return Ok(None);
    }
    let mut takes = Vec::new();
    if wanted.user != host.ids.user {
        takes.push(Capability::CAP_SETUID);
    }
    if !same_groups {
        takes.push(Capability::CAP_SETGID);
    }
    takes.retain(|capability| !host.permitted.contains(capability));
    if takes.is_empty() {
        return Ok(Some(wanted.clone()));
    }
    let (wanted, own) = (wanted.clone(), host.ids.clone());
    Err(PlanError::at("/run_as", PlanFault::User { wanted, own, missing: takes }))
}

/// The supervisor's capabilities beside the app's own: it changes to the app's user to access its
/// memory, signals it, and opens files and sockets for it.
const SUPERVISORS: [Capability; 4] =
    [Capability::CAP_KILL, Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_NET_BIND_SERVICE];

/// The sets of the launch, and the app's capabilities in enforce mode: in audit nothing is dropped,
/// but the same is reported.
pub(super) fn capabilities(
    profile: &Profile,
    host: &Host,
    mode: Mode,
    run_as: Option<&RunAs>,
    notes: &mut Vec<String>,
) -> (Capabilities, CapsHashSet) {
    let requested: CapsHashSet = profile.capabilities.iter().map(|entry| entry.what).collect();
    let granted: CapsHashSet = requested.intersection(&host.permitted).copied().collect();
    let lacking: CapsHashSet = requested.difference(&host.permitted).copied().collect();
    if !lacking.is_empty() {
        notes.push(format!(
            "/capabilities: this place does not have {}, so the app does not get it",
            names(&step::sorted(&lacking))
        ));
    }
    let is_root = run_as.unwrap_or(&host.ids).user.is_root();
    let ambient = if is_root { CapsHashSet::new() } else { granted.clone() };
    if mode != Mode::Enforce {
        let all = host.permitted.clone();
        return (Capabilities { app: all.clone(), ambient, drop_bounding: false, supervisor: all }, granted);
    }
    let retained: CapsHashSet = granted.iter().copied().chain(SUPERVISORS).collect();
    let sets = Capabilities {
        app: granted.clone(),
        ambient,
        drop_bounding: host.permitted.contains(&Capability::CAP_SETPCAP),
        supervisor: retained.intersection(&host.permitted).copied().collect(),
    };
    (sets, granted)
}

/// The limits to set, none of them above the inherited hard limit.
pub(super) fn limits(profile: &Profile, host: &Host) -> Result<Vec<(ResourceLimit, u64)>, PlanError> {
    let requested = [
        (ResourceLimit::OpenFiles, profile.limits.open_files),
        (ResourceLimit::FileSize, profile.limits.file_size),
        (ResourceLimit::Core, profile.limits.core),
    ];
    let mut limits = Vec::new();
    for ((limit, value), hard) in requested.into_iter().zip(host.hard_limits) {
        let Some(value) = value else { continue };
        if let Some(hard) = hard
            && value > hard
        {
            let pointer = format!("/limits/{}", limit.name());
            return Err(PlanError::at(pointer, PlanFault::Limit { value, hard }));
        }
        limits.push((limit, value));
    }
    if profile.limits.core.is_none() {
        limits.push((ResourceLimit::SoftCore, 0));
    }
    Ok(limits)
}

/// Variables that no program may get from another, whatever their value is: those that the profile
/// drops by name. A lone `*` is about inherited variables, and not about those that the app itself
/// sets.
pub(super) fn never_set(profile: &Profile) -> Vec<String> {
    let names = profile.environment_drop.iter().map(|entry| &entry.what);
    names.filter(|pattern| *pattern != "*").cloned().collect()
}

/// Names and patterns of variables that stay, whatever other lists contain.
pub(super) fn keep_list(profile: &Profile) -> Vec<String> {
    profile.environment_keep.iter().map(|entry| entry.what.clone()).collect()
}

/// Names and patterns of variables to remove, sorted: those of the profile, and the loader's where a
/// process inside may change what they name.
pub(super) fn environment(profile: &Profile) -> Vec<String> {
    let more = profile.environment_drop.iter().map(|entry| entry.what.clone());
    let mut drop = BTreeSet::new();
    drop.extend(LOADER.into_iter().map(|(name, _)| name.to_owned()).chain(more));
    let keep = keep_list(profile);
    drop.into_iter().filter(|name| !keep.contains(name)).collect()
}
