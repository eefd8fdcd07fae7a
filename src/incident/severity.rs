//! How grave incidents are.

use serde::Serialize;

/// How grave an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentSeverity {
    /// One sign that a gap of the profile shows as well.
    Low,
    /// One sign that is rarely a gap.
    Medium,
    /// Several signs, or a grave one.
    High,
    /// What an intruder does, step by step.
    Critical,
}

impl IncidentSeverity {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            IncidentSeverity::Low => "low",
            IncidentSeverity::Medium => "medium",
            IncidentSeverity::High => "high",
            IncidentSeverity::Critical => "critical",
        }
    }

    /// The severity of a sign with this many others of other rules beside it.
    pub(super) fn raised(self, others: usize) -> IncidentSeverity {
        let all = [
            IncidentSeverity::Low,
            IncidentSeverity::Medium,
            IncidentSeverity::High,
            IncidentSeverity::Critical,
        ];
        all[(self as usize + others).min(all.len() - 1)]
    }
}
