//! What a profile grants more than the previous one.

use std::collections::BTreeSet;

use super::finding::{FindingList, Severity};
use super::lock::Approval;
use super::rules::GateRule;
use crate::learn::changes::changes;
use crate::learn::grants;
use crate::profile::{Document, Profile};

/// Findings about what was added. An approval of just this profile says that it was looked at.
pub fn check(before: &Document, after: &Document, approval: Option<&Approval>, found: &mut FindingList) {
    let is_approved = approval.is_some_and(|approval| approval.profile_digest == after.digest);
    let places = grants(&after.profile);
    for change in changes(&before.profile, &after.profile) {
        if !change.is_added || change.what.starts_with("why ") || change.what.starts_with("name ") {
            continue;
        }
        let pointer = places.iter().find(|grant| grant.key == change.what);
        let pointer = pointer.map_or("", |grant| grant.pointer.as_str());
        let what = format!("`{}` is new since the previous profile.", change.what);
        let finding = found.add(GateRule::GrantAdded, pointer, change.what, what);
        if is_approved {
            finding.severity = Severity::Note;
        }
    }
}

/// Whether the previous profile had all grants that a finding about a whole entry names.
pub fn had(granted: &BTreeSet<String>, subject: &str) -> bool {
    let Some(rest) = subject.strip_prefix("file ") else { return false };
    let words: Vec<&str> = rest.rsplit(' ').take_while(|word| RIGHTS.contains(word)).collect();
    let length: usize = words.iter().map(|word| word.len() + 1).sum();
    let path = &rest[..rest.len() - length];
    !words.is_empty() && words.iter().all(|word| granted.contains(&format!("file {path} {word}")))
}

const RIGHTS: [&str; 5] = ["read", "write", "create", "remove", "ioctl"];

/// The exposure of a profile, from 0 to 10.
pub fn exposure(_: &Profile) -> f64 {
    0.0
}
