//! What a profile grants more than the previous one.

use std::collections::BTreeSet;

use super::finding::FindingList;
use super::lock::Approval;
use super::rules::GateRule;
use super::severity::Severity;
use crate::profile::{Document, Rights};
use crate::review::{ProfileDiff, RiskLevel};

/// Findings about what was added. An approval of just this profile says that it was looked at.
pub fn check(before: &Document, after: &Document, approval: Option<&Approval>, found: &mut FindingList) {
    let is_approved = approval.is_some_and(|approval| approval.profile_digest == after.digest);
    for added in ProfileDiff::of(before, after, None, None).added {
        let subject = added.sentence.trim_end_matches('.').to_owned();
        let what = format!(
            "New since the previous profile: {} Its risk is {}: {}.",
            added.sentence,
            added.risk.word(),
            added.risk_reason
        );
        let finding = found.add(GateRule::GrantAdded, added.pointer, subject, what);
        if is_approved {
            finding.severity = Severity::Note;
        } else if added.risk >= RiskLevel::High {
            finding.severity = Severity::Error;
        }
    }
    let (old, new) = (before.profile.risk, after.profile.risk);
    if (new as u8) < (old as u8) {
        let what = format!("The profile's `risk` was `{}`, and is `{}`.", old.word(), new.word());
        let finding = found.add(GateRule::RiskLowered, "/risk", "risk", what);
        finding.patch = Some(serde_json::json!([{ "op": "add", "path": "/risk", "value": old.word() }]));
        if is_approved {
            finding.severity = Severity::Note;
        }
    }
}

/// Whether the previous profile had all grants that a finding about a whole entry names.
pub fn had(granted: &BTreeSet<String>, subject: &str) -> bool {
    let Some(rest) = subject.strip_prefix("file ") else { return false };
    let words: Vec<&str> = rest.rsplit(' ').take_while(is_right).collect();
    let length: usize = words.iter().map(|word| word.len() + 1).sum();
    let path = &rest[..rest.len() - length];
    !words.is_empty() && words.iter().all(|word| granted.contains(&format!("file {path} {word}")))
}

fn is_right(word: &&str) -> bool {
    Rights::NAMES.iter().any(|(_, name)| name == word)
}
