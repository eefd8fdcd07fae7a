//! The evidence file beside a profile: why each line is there, how sure one may be, and
//! the observations themselves, from which it can be built again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Unusable;
use super::build::Reason;
use super::observations::{Observations, Run};

/// The version of the format.
pub const VERSION: u64 = 1;

/// An evidence file.
#[derive(Debug)]
pub struct Evidence {
    /// The profile that it was written with.
    pub profile_digest: String,
    /// What was granted then, by the names of grants.
    pub granted: BTreeSet<String>,
    /// What was taken away by hand before.
    pub removed: BTreeSet<String>,
    /// What the runs did.
    pub observations: Observations,
}

/// Writes it: one run, rule and fact a line, in an order that the input alone decides.
pub fn write(
    profile_digest: &str,
    observations: &Observations,
    rules: &BTreeMap<String, (Vec<String>, Reason)>,
    confidence: &Value,
    removed: &BTreeSet<String>,
    notes: &[String],
) -> String {
    let runs = observations.runs();
    let mut text =
        format!("{{\n  \"evidence\": {VERSION},\n  \"profile_digest\": {},\n", json!(profile_digest));
    list(&mut text, "runs", runs.iter().map(|run| serde_json::to_value(run).unwrap_or_default()));
    members(
        &mut text,
        "rules",
        rules.iter().map(|(pointer, (_, reason))| (pointer.clone(), rule(reason, runs))),
    );
    let domains = confidence.as_object().into_iter().flatten();
    members(&mut text, "confidence", domains.map(|(key, value)| (key.clone(), value.clone())));
    let granted: BTreeSet<&String> = rules.values().flat_map(|(keys, _)| keys).collect();
    list(&mut text, "granted", granted.into_iter().map(|key| json!(key)));
    list(&mut text, "removed", removed.iter().map(|key| json!(key)));
    list(&mut text, "notes", notes.iter().map(|note| json!(note)));
    list(&mut text, "full", observations.full().iter().map(|directory| json!(directory)));
    // The greatest part by far.
    text.push_str("  \"facts\": [");
    for (number, line) in observations.lines().enumerate() {
        text.push_str(if number == 0 { "\n    " } else { ",\n    " });
        text.push_str(&line);
    }
    text.push_str("\n  ]\n}\n");
    text
}

fn rule(reason: &Reason, runs: &[Run]) -> Value {
    let seen = reason.seen.runs();
    let phases = [("startup", &reason.seen.startup), ("serving", &reason.seen.serving)];
    let mut rule = json!({
        "because": reason.because,
        "runs": seen.iter().collect::<Vec<_>>(),
        "phase": phases.iter().filter(|(_, runs)| !runs.is_empty()).map(|(name, _)| *name).collect::<Vec<_>>(),
    });
    let numbers: Vec<usize> = seen.iter().collect();
    if let [first, .., last] | [first @ last] = numbers[..] {
        rule["first"] = json!(runs.get(first).map(|run| &run.run));
        rule["last"] = json!(runs.get(last).map(|run| &run.run));
    }
    if !reason.seen.examples.is_empty() {
        rule["examples"] = json!(reason.seen.examples);
    }
    if let Some(call) = reason.completes {
        rule["completes"] = json!(call);
    }
    rule
}

fn list(text: &mut String, key: &str, items: impl Iterator<Item = Value>) {
    let lines: Vec<String> = items.map(|item| format!("    {item}")).collect();
    block(text, key, '[', &lines, ']');
}

fn members(text: &mut String, key: &str, items: impl Iterator<Item = (String, Value)>) {
    let lines: Vec<String> = items.map(|(key, value)| format!("    {}: {value}", json!(key))).collect();
    block(text, key, '{', &lines, '}');
}

fn block(text: &mut String, key: &str, open: char, lines: &[String], close: char) {
    let inner = if lines.is_empty() { String::new() } else { format!("\n{}\n  ", lines.join(",\n")) };
    text.push_str(&format!("  \"{key}\": {open}{inner}{close},\n"));
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

/// Reads it.
///
/// # Errors
/// It is none, or newer; `name` is what the message calls it.
pub fn read(name: &str, bytes: &[u8]) -> Result<Evidence, Unusable> {
    #[derive(Deserialize)]
    struct File<'f> {
        evidence: u64,
        profile_digest: String,
        runs: Vec<Run>,
        #[serde(default)]
        granted: BTreeSet<String>,
        #[serde(default)]
        removed: BTreeSet<String>,
        #[serde(borrow)]
        facts: Vec<&'f RawValue>,
        #[serde(default)]
        full: BTreeSet<String>,
    }
    #[derive(Deserialize)]
    struct Version {
        evidence: u64,
    }
    let bad = |what: String| Unusable(format!("{name}: {what}"));
    if let Ok(Version { evidence }) = serde_json::from_slice(bytes)
        && evidence > VERSION
    {
        return Err(bad(format!(
            "version {evidence} of the evidence is newer than this remit, which reads {VERSION}; use a newer remit"
        )));
    }
    let file: File =
        serde_json::from_slice(bytes).map_err(|error| bad(format!("is no evidence file: {error}")))?;
    if file.evidence != VERSION {
        return Err(bad(format!("version {} of the evidence never was", file.evidence)));
    }
    let observations =
        Observations::from_parts(file.runs, &file.facts, file.full).map_err(|error| bad(error.0))?;
    Ok(Evidence {
        profile_digest: file.profile_digest,
        granted: file.granted,
        removed: file.removed,
        observations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let facts: Vec<String> = observations.lines().collect();
        let facts = facts.join(",");
        let seed = format!(
            r#"{{"evidence":1,"profile_digest":"sha256:0","granted":["/files/0"],"runs":{runs},"facts":[{facts}]}}"#
        );
        read("evidence", seed.as_bytes()).expect("evidence");
        crate::mutation::each(&[seed.as_bytes()], |bytes| {
            if let Err(error) = read("evidence", bytes) {
                assert!(error.0.starts_with("evidence"), "it says where: {}", error.0);
            }
        });
    }
}
