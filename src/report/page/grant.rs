//! What is printed with each entry: its risk, its reason, and the runs that needed it.

use std::collections::BTreeMap;

use super::shown;
use crate::review::{Permission, ProfileReview, RiskLevel, Support};
use crate::visible::counted;

/// The permissions of a review, by the entry that makes them.
pub(super) struct GrantIndex<'r> {
    by_pointer: BTreeMap<&'r str, Vec<&'r Permission>>,
}

/// The risk, the reason and the evidence of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GrantText {
    /// `low`, `moderate`, `high` or `critical`.
    pub risk: &'static str,
    /// The class of the style sheet.
    pub class: &'static str,
    /// Why it has this risk.
    pub because: String,
    /// The author's reason; empty where there is none.
    pub why: String,
    /// The runs that needed it; empty where there is no evidence.
    pub support: String,
}

impl<'r> GrantIndex<'r> {
    pub fn of(review: &'r ProfileReview) -> GrantIndex<'r> {
        let mut by_pointer: BTreeMap<&str, Vec<&Permission>> = BTreeMap::new();
        for permission in &review.permissions {
            by_pointer.entry(&permission.pointer).or_default().push(permission);
        }
        GrantIndex { by_pointer }
    }

    /// The permissions of an entry, in the order of the review.
    pub fn at(&self, pointer: &str) -> &[&'r Permission] {
        self.by_pointer.get(pointer).map_or(&[], Vec::as_slice)
    }

    /// The permissions whose entries are below a section, `/syscalls`, with their pointers.
    pub fn below(&self, section: &str) -> impl Iterator<Item = &'r Permission> {
        let start = format!("{section}/");
        let all = self.by_pointer.iter().filter(move |(pointer, _)| pointer.starts_with(&start));
        all.flat_map(|(_, permissions)| permissions).copied()
    }

    /// The entry's text: the highest of the risks of its permissions, with that one's reason.
    pub fn text(&self, pointer: &str) -> GrantText {
        let all = self.at(pointer);
        // Of the highest the first.
        match all.iter().rev().max_by_key(|one| one.risk) {
            Some(highest) => GrantText {
                why: all.iter().find_map(|one| one.why.as_deref()).map(shown).unwrap_or_default(),
                ..GrantText::of(highest)
            },
            None => GrantText {
                risk: "",
                class: "",
                because: String::new(),
                why: String::new(),
                support: String::new(),
            },
        }
    }
}

impl GrantText {
    pub fn of(permission: &Permission) -> GrantText {
        GrantText {
            risk: permission.risk.word(),
            class: class(permission.risk),
            because: shown(&permission.risk_reason),
            why: permission.why.as_deref().map(shown).unwrap_or_default(),
            support: permission.support.as_ref().map(support).unwrap_or_default(),
        }
    }
}

/// The class of a risk in the style sheet.
pub(super) fn class(risk: RiskLevel) -> &'static str {
    match risk {
        RiskLevel::Low => "muted",
        RiskLevel::Moderate => "warn",
        RiskLevel::High | RiskLevel::Critical => "bad",
    }
}

/// The evidence of an entry, in one line.
fn support(found: &Support) -> String {
    let because = shown(&found.because);
    if let Some(call) = &found.completes {
        return format!("gives no more than {}, which runs made", shown(call));
    }
    if found.runs == 0 {
        return format!("no run needed it; {because}");
    }
    let phases: Vec<&str> =
        found.phases.iter().map(|phase| if phase == "startup" { "start-up" } else { phase }).collect();
    let phases = if phases.is_empty() { String::new() } else { format!(", {}", phases.join(" and ")) };
    format!("{} of {}{}: {because}", found.runs, counted(found.of, "run"), shown(&phases))
}
