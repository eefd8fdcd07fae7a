//! Workflow commands of GitHub Actions: an annotation a finding.
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use super::super::{CheckReport, GateFinding, Severity};
use super::summary;
use crate::visible;

/// An annotation a finding: at most ten of a level are shown for a step, so those that fail come
/// first.
pub fn write(report: &CheckReport) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let title = format!("{} ({})", finding.rule.title(), finding.rule.id());
        text += &format!(
            "::{} file={},line={},col={},title={}::{}\n",
            command(finding),
            property(&finding.file),
            finding.position.line,
            finding.position.column,
            property(&title),
            data(&message(finding)),
        );
    }
    text += &format!(
        "::notice title=remit check::{}\n",
        data(&visible::line(&format!("{}: {}", report.file, summary(report))))
    );
    text
}

fn command(finding: &GateFinding) -> &'static str {
    match finding.severity {
        Severity::Error if finding.is_new => "error",
        Severity::Warning | Severity::Inconclusive if finding.is_new => "warning",
        _ => "notice",
    }
}

fn message(finding: &GateFinding) -> String {
    let pointer = if finding.pointer.is_empty() { String::new() } else { format!("{}: ", finding.pointer) };
    let known = if finding.is_new { "" } else { " (the previous profile had it too)" };
    let patch = finding.patch.as_ref().map(|patch| format!("\npatch: {}", visible::line(&patch.to_string())));
    format!(
        "{}{}{known}\n{}{}",
        visible::line(&pointer),
        visible::line(&finding.what),
        finding.rule.why(),
        patch.unwrap_or_default()
    )
}

/// Text behind `::`. Only newlines that the message itself has are left by then.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property, which also ends at a comma or a colon.
fn property(text: &str) -> String {
    data(&visible::line(text)).replace(':', "%3A").replace(',', "%2C")
}
