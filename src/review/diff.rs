//! Two profiles compared by what they permit.

use std::cmp::Reverse;

use super::input::{ReviewInput, Unplaced};
use super::permission::Permission;
use super::places::TextPlaces;
use super::risk::RiskLevel;
use super::support::SupportFile;
use crate::learn::changes::changes;
use crate::profile::{Document, Profile};

/// What one of two profiles permits and the other does not.
#[derive(Clone, Debug)]
pub struct ProfileDiff {
    /// What the second permits and the first does not, the highest risk first. Places are in the
    /// second's text.
    pub added: Vec<Permission>,
    /// What the first permits and the second does not, the highest risk first. Places are in the
    /// first's text.
    pub removed: Vec<Permission>,
    /// What differs and permits nothing: the name, reasons, what may be missing.
    pub settings: Vec<SettingChange>,
}

/// A difference that permits nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// The fact that the first profile states; `None`: none.
    pub before: Option<String>,
    /// The fact that the second states.
    pub after: Option<String>,
}

impl ProfileDiff {
    /// Compares two profiles. The order of entries, their reasons, and whether one entry or several
    /// grant something make no difference, nor does a group in the place of its members.
    pub fn of(
        before: &Document,
        after: &Document,
        before_evidence: Option<&SupportFile>,
        after_evidence: Option<&SupportFile>,
    ) -> ProfileDiff {
        let (old, new) = (ReviewInput::of(&before.profile), ReviewInput::of(&after.profile));
        let ranked = |input: &ReviewInput, document: &Document, found: Vec<Unplaced>, evidence| {
            let places = TextPlaces::of(&document.text);
            let placed = found.into_iter().map(|one| input.placed(one, &places, evidence));
            let mut all: Vec<Permission> = placed.collect();
            all.sort_by_key(|one| Reverse(one.risk));
            all
        };
        ProfileDiff {
            added: ranked(&new, after, old.uncovered(&new), after_evidence),
            removed: ranked(&old, before, new.uncovered(&old), before_evidence),
            settings: settings(&before.profile, &after.profile),
        }
    }

    /// Whether the second profile permits something that the first does not.
    pub fn grants_more(&self) -> bool {
        !self.added.is_empty()
    }

    /// The highest risk of what is added.
    pub fn risk(&self) -> Option<RiskLevel> {
        self.added.iter().map(|one| one.risk).max()
    }
}

/// What differs and permits nothing.
fn settings(before: &Profile, after: &Profile) -> Vec<SettingChange> {
    let mut all = Vec::new();
    if before.name != after.name {
        all.push(SettingChange {
            before: Some(format!("name {}", before.name)),
            after: Some(format!("name {}", after.name)),
        });
    }
    if before.risk != after.risk {
        all.push(SettingChange {
            before: Some(format!("risk {}", before.risk.word())),
            after: Some(format!("risk {}", after.risk.word())),
        });
    }
    // Of the facts of both those that no permission is made of.
    let is_setting = |what: &str| what.starts_with("why ") || what.ends_with(" is optional");
    for change in changes(before, after).into_iter().filter(|one| is_setting(&one.what)) {
        let (before, after) = match change.is_added {
            true => (None, Some(change.what)),
            false => (Some(change.what), None),
        };
        all.push(SettingChange { before, after });
    }
    all
}
