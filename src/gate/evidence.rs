//! The evidence beside a profile, and whether it is enough.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::finding::FindingList;
use super::requirements::Requirements;
use super::rules::GateRule;
use super::severity::Severity;
use crate::learn::estimate::clean_runs;
use crate::learn::evidence::{self, Evidence};
use crate::learn::{Unusable, Wanted, build, by_pointer, confidence};
use crate::profile::Document;

/// An evidence file.
#[derive(Debug)]
pub struct EvidenceFile {
    /// Its name.
    pub name: String,
    /// Its content.
    pub evidence: Evidence,
    /// The behaviours that were declared when it was built.
    expected: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WithConfidence {
    confidence: ConfidenceKeys,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConfidenceKeys {
    gate: GateKeys,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GateKeys {
    expected: Vec<ExpectedBehaviour>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExpectedBehaviour {
    behaviour: String,
}

impl EvidenceFile {
    /// Reads an evidence file.
    ///
    /// # Errors
    /// It is none, or of a newer version.
    pub fn read(name: &str, bytes: &[u8]) -> Result<EvidenceFile, Unusable> {
        let mut evidence = evidence::read(name, bytes)?;
        evidence.observations.settle();
        let declared: WithConfidence = serde_json::from_slice(bytes).unwrap_or_default();
        let expected = declared.confidence.gate.expected.into_iter().map(|one| one.behaviour).collect();
        Ok(EvidenceFile { name: name.to_owned(), evidence, expected })
    }
}

/// Whether the requirements rest on evidence.
fn is_needed(requirements: &Requirements) -> bool {
    requirements.max_unseen.is_some() || requirements.evidence_or_why
}

/// Findings about the evidence itself.
pub fn check(
    document: &Document,
    evidence: Option<&EvidenceFile>,
    requirements: &Requirements,
    found: &mut FindingList,
) {
    let Some(file) = evidence else {
        if is_needed(requirements) {
            found.add(
                GateRule::EvidenceMissing,
                "",
                "evidence",
                "There is no evidence file beside the profile, and the requirements rest on one; build the profile with \
                 `remit build`, or name the file with --evidence.",
            );
        }
        return;
    };
    if file.evidence.profile_digest != document.digest {
        let stale = found.add(
            GateRule::EvidenceStale,
            "",
            "stale evidence",
            format!(
                "{} was written with another content of the profile; `remit build {} --base PROFILE -o PROFILE` writes both anew.",
                file.name, file.name
            ),
        );
        if is_needed(requirements) {
            stale.severity = Severity::Warning;
        }
    }
    if let Some(most) = requirements.max_unseen {
        unseen(document, file, most, found);
    }
}

/// Whether the runs bound the chance of something new.
fn unseen(document: &Document, file: &EvidenceFile, most: f64, found: &mut FindingList) {
    let observations = &file.evidence.observations;
    let learned = build(observations, &Wanted::default());
    let rules = by_pointer(&document.profile, &learned.reasons);
    let there = rules
        .values()
        .flat_map(|(keys, _)| keys)
        .filter_map(|key| learned.reasons.get(key).map(|reason| (key.as_str(), reason)));
    let grants: BTreeMap<_, _> = there.collect();
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let mut thin = |subject: &str, what: String| {
        found.add(GateRule::EvidenceThin, "", subject, format!("{}: {what}", file.name));
    };
    let confidence = match confidence(observations, &grants, &file.expected) {
        Ok(confidence) => confidence,
        Err(error) => return thin("expected behaviours", format!("{error}.")),
    };
    let estimate = confidence.all.all;
    if estimate.runs >= 2 && estimate.unseen > most {
        found.add(
            GateRule::EvidenceUnseen,
            "",
            "unseen",
            format!(
                "By {} runs the next one meets something new with a chance of about {}, where {} is the most that is required.",
                estimate.runs,
                percent(estimate.unseen),
                percent(most)
            ),
        );
        return;
    }
    for failure in &confidence.gate.failures {
        thin(failure, format!("the gate of the evidence is not passed: {failure}."));
    }
    let unclean: Vec<&str> =
        observations.runs().iter().filter(|run| !run.clean).map(|run| run.run.as_str()).collect();
    if !unclean.is_empty() {
        thin("unclean runs", format!("runs that ended badly: {}.", unclean.join(", ")));
    }
    let lost: u64 = observations.runs().iter().map(|run| run.dropped).sum();
    if lost > 0 {
        thin("lost observations", format!("{lost} observations were lost while the runs were recorded."));
    }
    if estimate.bound > most {
        let needed = if most > 0.0 { clean_runs(most).to_string() } else { "any number of".to_owned() };
        thin(
            "bound",
            format!(
                "{} runs bound the chance that the next one meets something new by {} only, where {} is required; {needed} \
                 further runs in a row that show nothing new would do.",
                estimate.runs,
                percent(estimate.bound),
                percent(most)
            ),
        );
    }
}
