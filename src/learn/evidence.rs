//! The evidence file beside a profile: the reason for each line, the confidence, and the observations
//! from which it can be built again.

mod lines;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::build::Reason;
use super::observations::Observations;
use super::{InputFault, Unusable};
use crate::journal::run::Run;

/// The version of the format.
pub const VERSION: u64 = 1;

/// An evidence file.
#[derive(Debug)]
pub struct Evidence {
    /// The digest of the profile that it was written with.
    pub profile_digest: String,
    /// The names of the grants of that profile.
    pub granted: BTreeSet<String>,
    /// The names of grants that the user had removed before.
    pub removed: BTreeSet<String>,
    /// The observations of the runs.
    pub observations: Observations,
}

/// The file, of which the facts are written and read in two forms. Its keys are in this
/// order: a start reads the runs alone ([`crate::journal::run::runs_in`]).
#[derive(Serialize, Deserialize)]
struct File<'f, F> {
    evidence: u64,
    profile_digest: Cow<'f, str>,
    runs: Cow<'f, [Run]>,
    /// Printed for the user; not read back.
    #[serde(skip_deserializing)]
    rules: BTreeMap<&'f str, EntryRule<'f>>,
    /// Printed for the user; not read back.
    #[serde(skip_deserializing)]
    confidence: Option<&'f Value>,
    #[serde(default)]
    granted: BTreeSet<Cow<'f, str>>,
    #[serde(default)]
    removed: Cow<'f, BTreeSet<String>>,
    /// Printed for the user; not read back.
    #[serde(skip_deserializing)]
    notes: &'f [String],
    #[serde(default)]
    full: Cow<'f, BTreeSet<String>>,
    facts: Vec<F>,
}

/// The reason for an entry of the profile, by its JSON Pointer.
#[derive(Serialize)]
struct EntryRule<'f> {
    because: &'f str,
    /// The call whose class the entry completes.
    #[serde(skip_serializing_if = "Option::is_none")]
    completes: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    examples: &'f BTreeSet<String>,
    /// The name of the first run that showed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<&'f str>,
    phase: Vec<&'static str>,
    /// The numbers of all runs that showed it.
    runs: Vec<usize>,
}

impl<'f> EntryRule<'f> {
    fn new(reason: &'f Reason, all: &'f [Run]) -> EntryRule<'f> {
        let seen = &reason.seen;
        let runs: Vec<usize> = seen.runs().iter().collect();
        let phases = [("startup", &seen.startup), ("serving", &seen.serving)];
        let name = |run: Option<&usize>| all.get(*run?).map(|run| &*run.run);
        EntryRule {
            because: &reason.because,
            completes: reason.completes,
            examples: &seen.examples,
            first: name(runs.first()),
            last: name(runs.last()),
            phase: phases.iter().filter(|(_, runs)| !runs.is_empty()).map(|(name, _)| *name).collect(),
            runs,
        }
    }
}

/// Writes an evidence file: one run, rule and fact a line, in an order that depends on the input alone.
pub fn write(
    profile_digest: &str,
    observations: &Observations,
    rules: &BTreeMap<String, (Vec<String>, Reason)>,
    confidence: &Value,
    removed: &BTreeSet<String>,
    notes: &[String],
) -> String {
    let runs = observations.runs();
    let file = File {
        evidence: VERSION,
        profile_digest: profile_digest.into(),
        runs: runs.into(),
        rules: rules
            .iter()
            .map(|(pointer, (_, reason))| (&**pointer, EntryRule::new(reason, runs)))
            .collect(),
        confidence: Some(confidence),
        granted: rules.values().flat_map(|(keys, _)| keys).map(Cow::from).collect(),
        removed: Cow::Borrowed(removed),
        notes,
        full: Cow::Borrowed(observations.full()),
        facts: observations.lines().collect(),
    };
    lines::text(&file)
}

/// Whether a file's beginning is that of an evidence file.
pub fn is_evidence(beginning: &[u8]) -> bool {
    begins(beginning, "\"evidence\"")
}

/// Whether a file's beginning is that of a profile.
pub fn is_profile(beginning: &[u8]) -> bool {
    begins(beginning, "\"remit\"")
}

fn begins(beginning: &[u8], key: &str) -> bool {
    let text = beginning.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    text.is_some_and(|text| text.starts_with(key.as_bytes()))
}

/// Reads an evidence file.
///
/// # Errors
/// The text is no evidence, or of a newer version; `name` is the file in the message.
pub fn read(name: &str, bytes: &[u8]) -> Result<Evidence, Unusable> {
    #[derive(Deserialize)]
    struct Version {
        evidence: u64,
    }
    let bad = |fault| Unusable::of(name, fault);
    // serde would read a list as the fields in their order.
    match bytes.trim_ascii_start().first() {
        Some(b'{') => {}
        None => return Err(bad(InputFault::EmptyEvidence)),
        Some(_) => return Err(bad(InputFault::NoObject)),
    }
    if let Ok(Version { evidence }) = serde_json::from_slice(bytes)
        && evidence > VERSION
    {
        return Err(bad(InputFault::NewerEvidence { version: evidence, known: VERSION }));
    }
    let file: File<&RawValue> =
        serde_json::from_slice(bytes).map_err(|error| bad(InputFault::Evidence(error)))?;
    if file.evidence != VERSION {
        return Err(bad(InputFault::EvidenceVersion(file.evidence)));
    }
    let observations =
        Observations::from_parts(file.runs.into_owned(), &file.facts, file.full.into_owned()).map_err(bad)?;
    Ok(Evidence {
        profile_digest: file.profile_digest.into_owned(),
        granted: file.granted.into_iter().map(Cow::into_owned).collect(),
        removed: file.removed.into_owned(),
        observations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::fact::Seen;
    use crate::learn::runs::Runs;

    #[test]
    fn it_has_a_line_for_each_run_rule_and_fact() {
        let journal = [
            r#"{"journal":1,"run":"app-1","command":["app"],"label":"idle","fingerprint":{"arch":"x86_64","kernel":"6.18","programs":"sha256:0"},"outer":{"seccomp":true,"denied":["keyctl"]}}"#,
            r#"{"t":1,"phase":"startup","kind":"open","result":"ok","path":"/data/1","access":["read"]}"#,
            r#"{"t":1,"phase":"serving","kind":"ready","by":"listening"}"#,
            r#"{"t":9,"end":{"clean":true,"lines":2,"dropped":1,"packages":{"dpkg":{"a":"1"}}}}"#,
        ]
        .join("\n");
        let mut observations = Observations::default();
        crate::learn::journal::read("journal", journal.as_bytes(), false, &mut observations)
            .expect("a journal");
        observations.settle();
        let seen = Seen { serving: Runs::one(0), examples: ["/data/1".to_owned()].into(), ..Seen::default() };
        let reason = Reason { because: "read".to_owned(), seen, completes: Some("fchown") };
        let rules = [("/files/0".to_owned(), (vec!["files /data".to_owned()], reason))].into();
        let confidence = serde_json::json!({ "files": { "runs": 1, "rate": 0.5 }, "all": [1, 2] });
        let removed = BTreeSet::new();
        let text = write("sha256:1", &observations, &rules, &confidence, &removed, &["a note".to_owned()]);
        let digest = &observations.runs()[0].journal;
        let expected = format!(
            r#"{{
  "evidence": 1,
  "profile_digest": "sha256:1",
  "runs": [
    {{"clean":true,"command":"app","dropped":1,"exact":false,"fingerprint":{{"arch":"x86_64","kernel":"6.18","packages":{{"dpkg":{{"a":"1"}}}},"programs":"sha256:0"}},"journal":"{digest}","label":"idle","outer_denied":["keyctl"],"outer_seccomp":true,"run":"app-1"}}
  ],
  "rules": {{
    "/files/0": {{"because":"read","completes":"fchown","examples":["/data/1"],"first":"app-1","last":"app-1","phase":["serving"],"runs":[0]}}
  }},
  "confidence": {{
    "all": [1,2],
    "files": {{"rate":0.5,"runs":1}}
  }},
  "granted": [
    "files /data"
  ],
  "removed": [],
  "notes": [
    "a note"
  ],
  "full": [],
  "facts": [
    {{"fact":"file","path":"/data/1","did":"read","mount":"image","startup":"0"}},
    {{"fact":"ready","by":"listening","serving":"0"}}
  ]
}}
"#
        );
        assert_eq!(text, expected);
        let again = read("evidence", text.as_bytes()).expect("evidence");
        assert_eq!(again.observations.facts(), observations.facts());
        assert_eq!(again.observations.runs(), observations.runs());
        assert_eq!(again.granted, ["files /data".to_owned()].into());
        assert_eq!(crate::journal::run::runs_in(&text), observations.runs());
    }

    #[test]
    fn any_bytes_are_evidence_or_an_error() {
        let journal = [
            r#"{"journal":1,"run":"app-1","command":["app"],"label":"","exact":false,"fingerprint":{"arch":"x86_64"},"outer":{}}"#,
            r#"{"t":1,"phase":"startup","kind":"open","program":"/bin/app","result":"ok","path":"/data/1","access":["read"]}"#,
            r#"{"t":9,"end":{"exit":{"code":0},"clean":true,"lines":1,"dropped":0}}"#,
        ]
        .join("\n");
        let mut observations = Observations::default();
        crate::learn::journal::read("journal", journal.as_bytes(), false, &mut observations)
            .expect("a journal");
        let runs = serde_json::to_string(observations.runs()).expect("JSON");
        let facts: Vec<_> = observations.lines().collect();
        let facts = serde_json::to_string(&facts).expect("JSON");
        let seed = format!(
            r#"{{"evidence":1,"profile_digest":"sha256:0","granted":["/files/0"],"runs":{runs},"facts":{facts}}}"#
        );
        read("evidence", seed.as_bytes()).expect("evidence");
        crate::mutation::each(&[seed.as_bytes()], |bytes| {
            if let Err(error) = read("evidence", bytes) {
                assert!(error.to_string().starts_with("evidence"), "it says where: {error}");
            }
        });
    }
}
