//! What the programs can call at all, beside what was learned and what the profile allows.

use super::CheckInput;
use super::finding::FindingList;
use super::patch;
use super::rules::GateRule;
use crate::reach::compare::{OtherArch, ReachComparison};
use crate::review::calls::AllowedCalls;

/// What programs can call, compared with the profile.
#[derive(Debug)]
pub struct GivenReach {
    /// The file or the image in which it was found.
    pub name: String,
    /// The comparison.
    pub comparison: Result<ReachComparison, OtherArch>,
}

/// Findings about calls that no code can make.
pub fn check(input: &CheckInput, found: &mut FindingList) {
    let Some(given) = input.reach else { return };
    let open = |what: &str, found: &mut FindingList| {
        let what = format!("{}: {what}; so nothing is said of learned calls.", given.name);
        found.add(GateRule::ReachNotCompared, "", "reach", what);
    };
    let comparison = match &given.comparison {
        Ok(comparison) => comparison,
        Err(error) => return open(&error.to_string(), found),
    };
    let document = input.profile.document;
    let allowed = AllowedCalls::of(&document.profile);
    let pointer = |call: &str| {
        let own = allowed.named(call).map(|one| one.pointer.clone());
        own.filter(|pointer| pointer.starts_with("/syscalls/")).min().unwrap_or_default()
    };
    if !comparison.missing.is_empty() {
        return open(comparison.open.as_deref().unwrap_or_default(), found);
    }
    for call in &comparison.alarms {
        let what = format!(
            "{call} was learned, and no code of the profile's programs can make it ({}).",
            given.name
        );
        found.add(GateRule::LearnedNotReachable, pointer(call), format!("learned {call}"), what);
    }
    let text = document.value();
    for call in comparison.needless.difference(&comparison.alarms) {
        let by_group = allowed.named(call).any(|one| one.through.is_some());
        let place = pointer(call);
        if by_group || !place.starts_with("/syscalls/allow/") {
            continue;
        }
        let what = format!("{call} is allowed, and no code of the profile's programs can make it.");
        let finding =
            found.add(GateRule::AllowedNotReachable, place.clone(), format!("unreachable {call}"), what);
        finding.patch = patch::without_entry(&text, &place);
    }
}
