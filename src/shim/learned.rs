//! Where the profile was learned, against this place. The evidence beside a profile is
//! the tool's; at start only its first lines are looked at, and it is no fault if there
//! is none.

use std::path::Path;

use serde_json::Value;

use crate::enforce::source::beside;
use crate::image::packages::{self, installed};
use crate::kernel::Arch;

/// Of the evidence: more than a thousand runs.
const MOST: u64 = 4 << 20;

/// In what this place differs from those where the profile of this file was learned.
pub(super) fn unlike(profile: &Path) -> Vec<String> {
    let evidence = packages::text(&beside(profile), MOST).unwrap_or_default();
    match fingerprints(&evidence) {
        none if none.is_empty() => Vec::new(),
        runs => packages::mismatches(&runs, Arch::THIS, &installed(Path::new("/"))),
    }
}

/// Those of the runs, which stand first and one a line.
fn fingerprints(evidence: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let runs = evidence.split_once("\n  \"runs\": [\n").map_or("", |(_, runs)| runs);
    for line in runs.lines() {
        let Ok(mut run) = serde_json::from_str::<Value>(line.trim().trim_end_matches(',')) else { break };
        found.push(run.get_mut("fingerprint").map(Value::take).unwrap_or_default());
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_runs_of_an_evidence_file_are_found_and_all_else_is_not() {
        let found = |text: &str| fingerprints(text);
        let text = "{\n  \"evidence\": 1,\n  \"profile_digest\": \"sha256:1\",\n  \"runs\": [\n    \
                    {\"fingerprint\":{\"arch\":\"x86_64\"}},\n    {\"run\":\"b\"}\n  ],\n  \"rules\": {\n    {}\n";
        assert_eq!(found(text), [json!({ "arch": "x86_64" }), json!(null)]);
        assert_eq!(found("{\n  \"evidence\": 1,\n  \"runs\": [],\n  \"rules\": {},\n"), [json!(null); 0]);
        assert_eq!(found(""), [json!(null); 0]);
        assert_eq!(found("{\n  \"runs\": [\n7\n"), [json!(null)], "of no run nothing is known");
    }
}
