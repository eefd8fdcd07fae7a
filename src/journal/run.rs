//! A run, as its journal's first and last lines say: the evidence beside a profile has those
//! that it was learned from.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::image::fingerprint::Fingerprint;

/// One run. The evidence has its keys in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// It ended as it should, and its journal is whole.
    pub clean: bool,
    /// COMMAND's file, as it was called.
    pub command: String,
    /// Observations that were lost.
    #[serde(default)]
    pub dropped: u64,
    /// Every call was watched.
    pub exact: bool,
    /// Where it ran.
    pub fingerprint: Fingerprint,
    /// `sha256:` of the journal: what tells two runs with one name apart.
    pub journal: String,
    /// The workload that it had.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// Calls that the place's own filter refuses before they are observed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outer_denied: Vec<String>,
    /// The place had a filter of its own.
    #[serde(default)]
    pub outer_seccomp: bool,
    /// Its name.
    pub run: String,
}

/// The runs of an evidence file, of which the beginning is enough: the facts, by far the
/// greatest part, come last. All that is no run ends the list, so that a text which is no
/// evidence has none.
pub fn runs_in(evidence: &str) -> Vec<Run> {
    let mut found = Vec::new();
    // What follows the runs is not read, and an error there.
    let _ = serde_json::Deserializer::from_str(evidence).deserialize_map(Beginning(&mut found));
    found
}

/// Reads an evidence file until its runs have been read.
struct Beginning<'r>(&'r mut Vec<Run>);

impl<'de> Visitor<'de> for Beginning<'_> {
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
        // Whatever the white space, and the order of keys.
        assert_eq!(names(&format!(r#"{{"facts":[{{}}],"runs":[{a}]}}"#)), ["a"]);
        // The beginning of a file with more of them.
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
