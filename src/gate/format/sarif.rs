//! SARIF 2.1.0 (OASIS), for code scanning.

use serde_json::{Value, json};

use super::super::{CheckReport, GateFinding, GateRule, Severity};
use super::summary;
use crate::visible;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// One log with one run.
pub fn write(report: &CheckReport) -> String {
    let rules: Vec<Value> = GateRule::ALL.iter().map(|rule| descriptor(*rule)).collect();
    let results: Vec<Value> = report.findings.iter().map(result).collect();
    let open: Vec<Value> =
        report.findings.iter().filter(|finding| finding.is_open()).map(notification).collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "remit",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "invocations": [{
                "executionSuccessful": true,
                "exitCode": report.outcome().code(),
                "exitCodeDescription": shown(&summary(report)),
                "toolExecutionNotifications": open,
            }],
            "artifacts": [{ "location": { "uri": uri(&report.file) }, "roles": ["analysisTarget"] }],
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": {
                "digest": report.digest,
                "require": shown(&report.required_by),
                "lookedAt": report.looked_at.iter().map(|one| shown(one)).collect::<Vec<_>>(),
            },
        }],
    });
    visible::lines(&format!("{log:#}\n")).into_owned()
}

fn descriptor(rule: GateRule) -> Value {
    json!({
        "id": rule.id(),
        "name": rule.title(),
        "shortDescription": { "text": rule.title() },
        "fullDescription": { "text": rule.why() },
        "help": { "text": rule.why() },
        "defaultConfiguration": { "level": level(rule.severity()) },
    })
}

/// The level of what fails. An open result has none, by the specification (3.27.9).
fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
        Severity::Inconclusive => "none",
    }
}

fn result(finding: &GateFinding) -> Value {
    let index = GateRule::ALL.iter().position(|rule| *rule == finding.rule);
    let related: Vec<Value> = (1..)
        .zip(&finding.related)
        .map(|(id, line)| {
            let mut place = json!({ "artifactLocation": { "uri": uri(&line.file) } });
            if let Some(number) = line.line {
                place["region"] = json!({ "startLine": number });
            }
            json!({ "id": id, "physicalLocation": place, "message": message(&line.text) })
        })
        .collect();
    let (id, subject) = finding.identity();
    json!({
        "ruleId": id,
        "ruleIndex": index,
        "kind": if finding.is_open() { "open" } else { "fail" },
        "level": level(finding.severity),
        "message": message(&format!("{} {}", finding.what, finding.rule.why())),
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(&finding.file) },
                "region": { "startLine": finding.position.line, "startColumn": finding.position.column },
            },
            "logicalLocations": [{ "fullyQualifiedName": shown(&finding.pointer), "kind": "value" }],
        }],
        "relatedLocations": related,
        "partialFingerprints": { "remit/v1": shown(&format!("{id} {subject}")) },
        "baselineState": if finding.is_new { "new" } else { "unchanged" },
        "properties": { "severity": finding.severity.word(), "patch": finding.patch },
    })
}

fn notification(finding: &GateFinding) -> Value {
    json!({
        "descriptor": { "id": finding.rule.id() },
        "level": "warning",
        "message": message(&finding.what),
    })
}

/// A message in which no text is a link (3.11.6): `[` and `]` would begin and end one.
fn message(text: &str) -> Value {
    let mut plain = String::new();
    for c in shown(text).chars() {
        if matches!(c, '\\' | '[' | ']') {
            plain.push('\\');
        }
        plain.push(c);
    }
    json!({ "text": plain })
}

/// Text that a viewer may print to a terminal.
fn shown(text: &str) -> String {
    visible::line(text).into_owned()
}

/// A file as a URI reference: a relative path stays relative to the root of the repository.
fn uri(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let encoded: String = path
        .bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let encoded = encoded.strip_prefix("./").unwrap_or(&encoded);
    if encoded.starts_with('/') { format!("file://{encoded}") } else { encoded.to_owned() }
}
