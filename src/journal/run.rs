//! A run, as its journal's first and last lines describe it. The evidence beside a profile lists
//! the runs that it was learned from.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::image::fingerprint::Fingerprint;

/// One run. The evidence file has its keys in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Whether it ended cleanly with a complete journal.
    pub clean: bool,
    /// COMMAND, as it was called.
    pub command: String,
    /// The number of lost observations.
    #[serde(default)]
    pub dropped: u64,
    /// Whether every call was notified.
    #[serde(default)]
    pub exact: bool,
    /// The environment of the run.
    pub fingerprint: Fingerprint,
    /// `sha256:` and the digest of the journal, which distinguishes two runs of one name.
    #[serde(default)]
    pub journal: String,
    /// The label of its workload.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// Calls that a filter of the runtime refuses before they are observed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outer_denied: Vec<String>,
    /// Whether the runtime installed a filter.
    #[serde(default)]
    pub outer_seccomp: bool,
    /// The name of the run.
    pub run: String,
    /// Whether every call but those of `@base` was notified, so that a profile can be exact.
    #[serde(default, skip_serializing_if = "is_false")]
    pub watched: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The runs of an evidence file, given its beginning: the facts, by far the largest part, come
/// last. Anything that is not a run ends the list, so a text that is no evidence has none.
pub fn runs_in(evidence: &str) -> Vec<Run> {
    let mut found = Vec::new();
    // The text after the runs is not parsed: an error there does not matter.
    let _ = serde_json::Deserializer::from_str(evidence).deserialize_map(EvidenceRuns(&mut found));
    found
}

/// Reads an evidence file until its runs have been read.
struct EvidenceRuns<'r>(&'r mut Vec<Run>);

impl<'de> Visitor<'de> for EvidenceRuns<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an evidence file")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "runs" {
                return map.next_value_seed(List(self.0));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// Reads runs one by one: those before an error count.
struct List<'r>(&'r mut Vec<Run>);

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of runs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut runs: A) -> Result<(), A::Error> {
        while let Some(run) = runs.next_element()? {
            self.0.push(run);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(run: &str) -> String {
        format!(
            r#"{{"clean":true,"command":"app","dropped":0,"exact":false,"fingerprint":{{"arch":"x86_64"}},"journal":"sha256:0","outer_seccomp":false,"run":"{run}"}}"#
        )
    }

    fn names(evidence: &str) -> Vec<String> {
        runs_in(evidence).into_iter().map(|run| run.run).collect()
    }

    #[test]
    fn the_runs_of_an_evidence_file_are_read_and_all_else_is_not() {
        let (a, b) = (text("a"), text("b"));
        assert_eq!(
            names(&format!("{{\n  \"evidence\": 1,\n  \"runs\": [\n{a},\n{b}\n  ],\n  \"facts\"")),
            ["a", "b"]
        );
        // White space and the order of keys do not matter.
        assert_eq!(names(&format!(r#"{{"facts":[{{}}],"runs":[{a}]}}"#)), ["a"]);
        // The beginning of a file whose second run is cut.
        assert_eq!(names(&format!(r#"{{"runs":[{a},{}"#, &b[..20])), ["a"]);
        for none in ["", "7", "[]", "{", r#"{"evidence":1,"runs":[]}"#, r#"{"runs":[7]}"#, r#"{"runs":{}}"#] {
            assert_eq!(names(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn a_run_is_read_as_it_was_written() {
        let run: Run = serde_json::from_str(&text("a")).expect("a run");
        assert_eq!(serde_json::to_string(&run).expect("JSON"), text("a"));
    }

    #[test]
    fn any_bytes_have_runs_or_none() {
        let seed = format!(
            r#"{{"evidence":1,"profile_digest":"sha256:0","runs":[{},{}],"facts":[]}}"#,
            text("a"),
            text("b")
        );
        let mut read = 0;
        crate::mutation::each(&[seed.as_bytes()], |bytes| {
            read += runs_in(&String::from_utf8_lossy(bytes)).len();
        });
        assert!(read > 100, "a change elsewhere leaves the runs");
    }
}
