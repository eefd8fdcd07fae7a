//! The evidence of a profile, as the report shows it: the reason of each entry, the confidence, and the learning
//! curve.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::learn::curve::curve;
use crate::learn::estimate::Estimate;
use crate::learn::{self, Confidence, Unusable, Wanted};
use crate::profile::Document;
use crate::reach::compare::LearnedCalls;
use crate::review::SupportFile;

/// The most points of the learning curve.
const POINTS: usize = 120;

/// The evidence of a profile.
#[derive(Debug)]
pub struct ReportEvidence {
    /// What messages call the file.
    pub name: String,
    /// The reason for each entry.
    pub support: SupportFile,
    /// The estimates and the gate, of the profile as it is.
    pub confidence: Confidence,
    /// The estimates after so many runs.
    pub curve: Vec<Estimate>,
    /// The calls of the runs.
    pub learned: LearnedCalls,
    /// The number of its runs that ended cleanly.
    pub clean: usize,
    /// The file was written with another text of the profile.
    pub is_stale: bool,
}

/// The behaviours that had to be seen, which only the printed confidence of the file has.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ExpectedOfFile {
    confidence: ConfidenceOfFile,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConfidenceOfFile {
    gate: GateOfFile,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GateOfFile {
    expected: Vec<ExpectedBehaviour>,
}

#[derive(Deserialize)]
struct ExpectedBehaviour {
    behaviour: String,
}

impl ReportEvidence {
    /// Reads an evidence file; `name` is what messages call it.
    ///
    /// # Errors
    /// It is no evidence, or of a newer version.
    pub fn read(name: &str, bytes: &[u8], document: &Document) -> Result<ReportEvidence, Unusable> {
        let evidence = learn::evidence::read(name, bytes)?;
        let support = SupportFile::read(name, bytes, document)?;
        let expected: ExpectedOfFile = serde_json::from_slice(bytes).unwrap_or_default();
        let expected: Vec<String> =
            expected.confidence.gate.expected.into_iter().map(|one| one.behaviour).collect();
        let observations = &evidence.observations;
        let digests = document.profile.programs.iter().any(|program| program.sha256.is_some());
        let learned = learn::build(observations, &Wanted { digests, ..Wanted::default() });
        let granted: BTreeSet<String> = learn::keys(&document.profile);
        let grants: BTreeMap<&str, &learn::Reason> = learned
            .reasons
            .iter()
            .filter(|(key, _)| granted.contains(*key))
            .map(|(key, reason)| (key.as_str(), reason))
            .collect();
        let confidence =
            learn::confidence(observations, &grants, &expected).map_err(|fault| Unusable::of(name, fault))?;
        Ok(ReportEvidence {
            name: name.to_owned(),
            support,
            confidence,
            curve: curve(observations, &grants, POINTS),
            learned: observations.learned_calls(),
            clean: observations.runs().iter().filter(|run| run.clean).count(),
            is_stale: evidence.profile_digest != document.digest,
        })
    }
}
