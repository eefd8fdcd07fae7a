//! Who the app is and what it may hold: ids, capabilities, limits, environment.

use std::collections::BTreeSet;

use caps::{Capability, CapsHashSet};

use super::environment::LOADER;
use super::step::names;
use super::{Capabilities, Limit, Place, Plan, PlanError, step};
use crate::ids::{self, Gid};
use crate::profile::{Mode, Profile, RunAs};

impl Plan {
    /// Whether the app is, or may become, another user than the supervisor.
    pub fn has_other_users(&self) -> bool {
        let changes = [Capability::CAP_SETUID, Capability::CAP_SETGID];
        self.run_as.is_some() || changes.iter().any(|one| self.capabilities.app.contains(one))
    }
}

/// The ids to take on; none where they are the current ones already.
pub(super) fn run_as(profile: &Profile, place: &Place) -> Result<Option<RunAs>, PlanError> {
    let Some(wanted) = &profile.run_as else { return Ok(None) };
    let sorted = |groups: &[Gid]| {
        let mut sorted = BTreeSet::new();
        sorted.extend(groups.iter().map(|group| group.as_raw()));
        sorted
    };
    let same_groups = wanted.group == place.ids.group && sorted(&wanted.groups) == sorted(&place.ids.groups);
    if wanted.user == place.ids.user && same_groups {
        return Ok(None);
    }
    let mut takes = Vec::new();
    if wanted.user != place.ids.user {
        takes.push(Capability::CAP_SETUID);
    }
    if !same_groups {
        takes.push(Capability::CAP_SETGID);
    }
    takes.retain(|capability| !place.permitted.contains(capability));
    if takes.is_empty() {
        return Ok(Some(wanted.clone()));
    }
    Err(PlanError::at(
        "/run_as",
        format!(
            "cannot become uid {} gid {} groups {} from uid {} gid {} groups {}: it takes {}, which this place does not have; start the container as that user, or add the capability",
            wanted.user,
            wanted.group,
            ids::list(&wanted.groups),
            place.ids.user,
            place.ids.group,
            ids::list(&place.ids.groups),
            names(&takes)
        ),
    ))
}

/// What the supervisor keeps beside the app's own: it takes the app's user for a
/// moment to look into it, signals it, and opens files and sockets in its place.
const SUPERVISORS: [Capability; 4] =
    [Capability::CAP_KILL, Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_NET_BIND_SERVICE];

/// The sets of the launch, and what the app would hold when enforced: in audit
/// nothing is dropped, but what is reported is the same.
pub(super) fn capabilities(
    profile: &Profile,
    place: &Place,
    mode: Mode,
    run_as: Option<&RunAs>,
    notes: &mut Vec<String>,
) -> (Capabilities, CapsHashSet) {
    let asked: CapsHashSet = profile.capabilities.iter().map(|entry| entry.what).collect();
    let granted: CapsHashSet = asked.intersection(&place.permitted).copied().collect();
    let lacking: CapsHashSet = asked.difference(&place.permitted).copied().collect();
    if !lacking.is_empty() {
        notes.push(format!(
            "/capabilities: this place does not have {}, so the app does not get it",
            names(&step::sorted(&lacking))
        ));
    }
    let is_root = run_as.unwrap_or(&place.ids).user.is_root();
    let ambient = if is_root { CapsHashSet::new() } else { granted.clone() };
    if mode != Mode::Enforce {
        let all = place.permitted.clone();
        return (Capabilities { app: all.clone(), ambient, drop_bounding: false, supervisor: all }, granted);
    }
    let kept: CapsHashSet = granted.iter().copied().chain(SUPERVISORS).collect();
    let sets = Capabilities {
        app: granted.clone(),
        ambient,
        drop_bounding: place.permitted.contains(&Capability::CAP_SETPCAP),
        supervisor: kept.intersection(&place.permitted).copied().collect(),
    };
    (sets, granted)
}

/// The limits to set, none of them above what was inherited.
pub(super) fn limits(profile: &Profile, place: &Place) -> Result<Vec<(Limit, u64)>, PlanError> {
    let asked = [
        (Limit::OpenFiles, profile.limits.open_files),
        (Limit::FileSize, profile.limits.file_size),
        (Limit::Core, Some(profile.limits.core)),
    ];
    let mut limits = Vec::new();
    for ((limit, value), hard) in asked.into_iter().zip(place.hard_limits) {
        let Some(value) = value else { continue };
        if let Some(hard) = hard
            && value > hard
        {
            return Err(PlanError::at(
                format!("/limits/{}", limit.name()),
                format!(
                    "{value} is above the hard limit here, {hard}; ask for less, or raise the container's ulimit"
                ),
            ));
        }
        limits.push((limit, value));
    }
    Ok(limits)
}

/// Variables that no program gets from another either, wherever they were set: what
/// loads code of another's choice. A lone `*` is about what was inherited, and says
/// nothing of what the app itself sets.
pub(super) fn never_set(profile: &Profile) -> Vec<String> {
    environment(profile).into_iter().filter(|pattern| pattern != "*").collect()
}

/// Names and patterns of variables that stay, whatever else is said of them.
pub(super) fn kept(profile: &Profile) -> Vec<String> {
    profile.environment_keep.iter().map(|entry| entry.what.clone()).collect()
}

/// Names and patterns of variables to take out, sorted.
pub(super) fn environment(profile: &Profile) -> Vec<String> {
    let more = profile.environment_drop.iter().map(|entry| entry.what.clone());
    let mut drop = BTreeSet::new();
    drop.extend(LOADER.into_iter().map(str::to_owned).chain(more));
    let kept = kept(profile);
    drop.into_iter().filter(|name| !kept.contains(name)).collect()
}
