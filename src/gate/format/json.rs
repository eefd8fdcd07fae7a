//! All that is known of each finding.

use serde_json::{Value, json};

use super::super::{CheckReport, GateFinding};
use super::summary;
use crate::visible;

/// One JSON document. Text in it is escaped for a terminal, as events are.
pub fn write(report: &CheckReport) -> String {
    let findings: Vec<Value> = report.findings.iter().map(finding).collect();
    let document = json!({
        "check": 1,
        "profile": { "file": report.file, "name": report.name, "digest": report.digest },
        "require": report.required_by,
        "looked_at": report.looked_at,
        "outcome": report.outcome().word(),
        "exit": report.outcome().code(),
        "summary": summary(report),
        "findings": findings,
    });
    visible::lines(&format!("{document:#}\n")).into_owned()
}

fn finding(finding: &GateFinding) -> Value {
    let related: Vec<Value> = finding
        .related
        .iter()
        .map(|line| json!({ "file": line.file, "line": line.line, "text": line.text }))
        .collect();
    json!({
        "id": finding.rule.id(),
        "severity": finding.severity.word(),
        "new": finding.is_new,
        "fails": finding.fails(),
        "file": finding.file,
        "line": finding.position.line,
        "column": finding.position.column,
        "pointer": finding.pointer,
        "subject": finding.subject,
        "what": finding.what,
        "why": finding.rule.why(),
        "related": related,
        "patch": finding.patch,
    })
}
