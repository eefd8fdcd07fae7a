//! A JUnit report: a test case a finding, and one for each rule that nothing broke.

use super::super::{CheckReport, GateFinding, GateRule, Severity};
use super::summary;
use crate::visible;

/// One suite.
pub fn write(report: &CheckReport) -> String {
    let failures = report.findings.iter().filter(|finding| finding.fails()).count();
    let errors = report.findings.iter().filter(|finding| finding.is_open()).count();
    let skipped = report.findings.len() - failures - errors;
    let broken = |rule: &GateRule| report.findings.iter().any(|finding| finding.rule == *rule);
    let passed: Vec<&GateRule> = GateRule::ALL.iter().filter(|rule| !broken(rule)).collect();
    let counts = format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\"",
        report.findings.len() + passed.len()
    );
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"remit check\" {counts}>\n  <testsuite name=\"{}\" {counts}>\n",
        escaped(&report.file)
    );
    for finding in &report.findings {
        text += &case(report, finding);
    }
    for rule in passed {
        text += &format!(
            "    <testcase classname=\"{}\" name=\"{}\"/>\n",
            escaped(&report.file),
            escaped(&format!("{}: {}", rule.id(), rule.title()))
        );
    }
    text += &format!(
        "    <system-out>{}</system-out>\n  </testsuite>\n</testsuites>\n",
        escaped(&summary(report))
    );
    text
}

fn case(report: &CheckReport, finding: &GateFinding) -> String {
    let element = match finding {
        finding if finding.is_open() => "error",
        finding if finding.fails() => "failure",
        _ => "skipped",
    };
    let kind = match finding.severity {
        _ if element == "skipped" => String::new(),
        severity @ (Severity::Error | Severity::Warning | Severity::Note | Severity::Inconclusive) => {
            format!(" type=\"{}\"", severity.word())
        }
    };
    let mut detail = vec![
        format!("{}:{}:{} {}", finding.file, finding.position.line, finding.position.column, finding.pointer),
        finding.what.clone(),
        finding.rule.why().to_owned(),
    ];
    detail.extend(finding.patch.as_ref().map(|patch| format!("patch: {patch}")));
    // A skipped case has a message alone.
    let body: Vec<String> = detail.iter().map(|line| escaped(line)).collect();
    let body = if element == "skipped" { String::new() } else { body.join("\n") };
    format!(
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\">\n      <{element}{kind} message=\"{}\">{body}</{element}>\n    </testcase>\n",
        escaped(&report.file),
        escaped(&format!("{}: {}", finding.rule.id(), finding.subject)),
        escaped(&finding.file),
        finding.position.line,
        escaped(&finding.what),
    )
}

/// Text for XML 1.0, in an element or an attribute: without control characters, and without those
/// that no document may have.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in visible::line(text).chars() {
        match c {
            '&' => shown += "&amp;",
            '<' => shown += "&lt;",
            '>' => shown += "&gt;",
            '"' => shown += "&quot;",
            '\'' => shown += "&#39;",
            '\u{fffe}' | '\u{ffff}' => shown += &format!("\\u{:04x}", u32::from(c)),
            c => shown.push(c),
        }
    }
    shown
}
