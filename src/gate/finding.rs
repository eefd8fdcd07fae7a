//! A finding: what is wrong, where, why it matters, and the change that mends it.

use serde_json::Value;

use super::rules::GateRule;
use super::severity::Severity;
use crate::review::{TextPlace, TextPlaces};

/// A line of another file that shows the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelatedLine {
    /// The file.
    pub file: String,
    /// Its line, from 1; `None` for the file as a whole.
    pub line: Option<u64>,
    /// What is there.
    pub text: String,
}

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct GateFinding {
    /// The rule that it breaks.
    pub rule: GateRule,
    /// How much it weighs here.
    pub severity: Severity,
    /// What it is about, whatever its place in the file: two profiles with the same rule and
    /// subject have the same finding.
    pub subject: String,
    /// One sentence: what is wrong.
    pub what: String,
    /// The file to change.
    pub file: String,
    /// The JSON Pointer of the value in that file; empty for the file as a whole.
    pub pointer: String,
    /// Where that value is.
    pub position: TextPlace,
    /// Where else it shows.
    pub related: Vec<RelatedLine>,
    /// The JSON Patch (RFC 6902) for the profile that mends it.
    pub patch: Option<Value>,
    /// The previous profile did not have it.
    pub is_new: bool,
}

impl GateFinding {
    /// Whether the check fails by it.
    pub fn fails(&self) -> bool {
        self.is_new && matches!(self.severity, Severity::Error | Severity::Warning)
    }

    /// Whether it leaves the check without an answer.
    pub fn is_open(&self) -> bool {
        self.severity == Severity::Inconclusive
    }

    /// What is the same finding in another version of the profile.
    pub fn identity(&self) -> (&'static str, &str) {
        (self.rule.id(), &self.subject)
    }
}

/// The findings about one profile, as they are collected.
#[derive(Debug)]
pub struct FindingList<'p> {
    file: &'p str,
    positions: &'p TextPlaces,
    /// In the order in which they were found.
    pub found: Vec<GateFinding>,
}

impl<'p> FindingList<'p> {
    /// No finding about a profile's file.
    pub fn new(file: &'p str, positions: &'p TextPlaces) -> FindingList<'p> {
        FindingList { file, positions, found: Vec::new() }
    }

    /// Adds a finding at a value of the profile.
    pub fn add(
        &mut self,
        rule: GateRule,
        pointer: impl Into<String>,
        subject: impl Into<String>,
        what: impl Into<String>,
    ) -> &mut GateFinding {
        let pointer = pointer.into();
        self.found.push(GateFinding {
            rule,
            severity: rule.severity(),
            subject: subject.into(),
            what: what.into(),
            file: self.file.to_owned(),
            position: self.positions.at(&pointer),
            pointer,
            related: Vec::new(),
            patch: None,
            is_new: true,
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}
