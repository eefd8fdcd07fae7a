use super::*;
use crate::learn::{self, Observations, Wanted};
use crate::profile::{self, embedded};

fn report(document: &Document, evidence: Option<&ReportEvidence>) -> String {
    let input = ReportInput {
        source: "profile.json",
        document,
        arch: Arch::X86_64,
        evidence,
        violations: None,
        reach: None,
        against: Some(("old.json", document)),
    };
    html(&input).expect("templates are written")
}

/// A profile with its evidence of two runs, as `remit build` writes it.
fn learned() -> (Document, String) {
    let mut observations = Observations::default();
    for run in 0..2 {
        let journal = [
            format!(r#"{{"journal":1,"run":"app-{run}","command":["app"],"label":"get","exact":false,"fingerprint":{{"arch":"x86_64"}},"outer":{{}}}}"#),
            r#"{"t":1,"phase":"startup","kind":"exec","program":"/bin/app","parent":"","args":["app"],"result":"ok"}"#.to_owned(),
            format!(r#"{{"t":2,"phase":"serving","kind":"open","program":"/bin/app","result":"ok","path":"/srv/{run}/index.html","access":["read"]}}"#),
            r#"{"t":9,"end":{"exit":{"code":0},"clean":true,"lines":2,"dropped":0}}"#.to_owned(),
        ]
        .join("\n");
        learn::journal::read("journal", journal.as_bytes(), false, &mut observations).expect("a journal");
    }
    observations.settle();
    let learned = learn::build(&observations, &Wanted::default());
    let document = profile::read(profile::write(&learned.profile).as_bytes()).expect("a profile");
    let rules = learn::by_pointer(&document.profile, &learned.reasons);
    let confidence = serde_json::json!({ "gate": { "expected": [{ "behaviour": "label:get", "runs": 2 }] } });
    let removed = std::collections::BTreeSet::new();
    let text = learn::evidence::write(&document.digest, &observations, &rules, &confidence, &removed, &[]);
    (document, text)
}

#[test]
fn every_embedded_profile_has_a_report() {
    for name in embedded::NAMES {
        let document = profile::read(embedded::named(name).expect("a text").as_bytes()).expect("a profile");
        let text = report(&document, None);
        assert!(text.starts_with("<!DOCTYPE html>\n") && text.ends_with("</html>\n"), "{name}");
        assert!(text.contains("The two profiles allow the same"), "{name}");
        assert!(text.contains(&document.digest), "{name}");
        assert_eq!(text, report(&document, None), "{name}: the same input gives the same bytes");
    }
}

#[test]
fn the_evidence_is_that_of_the_profile() {
    let (document, text) = learned();
    let evidence = ReportEvidence::read("evidence", text.as_bytes(), &document).expect("evidence");
    assert_eq!((evidence.curve.len(), evidence.clean, evidence.is_stale), (2, 2, false));
    assert_eq!(evidence.confidence.gate.expected, [("label:get".to_owned(), 2)]);
    assert_eq!(evidence.curve[1], evidence.confidence.all.all);
    let shown = report(&document, Some(&evidence));
    assert!(shown.contains("1 of 2 runs") && shown.contains("Gate not passed"));
    let other =
        profile::read(document.text.replace("\"remit\": 1", "\"remit\":  1").as_bytes()).expect("a profile");
    let evidence = ReportEvidence::read("evidence", text.as_bytes(), &other).expect("evidence");
    assert!(evidence.is_stale && report(&other, Some(&evidence)).contains("another text of this profile"));
}

#[test]
fn any_evidence_is_read_or_refused() {
    let (document, text) = learned();
    crate::mutation::each(&[text.as_bytes()], |bytes| {
        match ReportEvidence::read("evidence", bytes, &document) {
            Ok(evidence) => assert!(report(&document, Some(&evidence)).ends_with("</html>\n")),
            Err(error) => assert!(error.to_string().starts_with("evidence"), "{error}"),
        }
    });
}
