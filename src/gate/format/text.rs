//! For people.

use super::super::CheckReport;
use super::{label, summary};
use crate::visible::line;

/// One block a finding, and the sum at the end.
pub fn write(report: &CheckReport) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let place = finding.position;
        let pointer =
            if finding.pointer.is_empty() { String::new() } else { format!(" {}", finding.pointer) };
        text += &format!(
            "{}:{}:{}: {} [{}]{}\n",
            line(&finding.file),
            place.line,
            place.column,
            label(finding),
            finding.rule.id(),
            line(&pointer)
        );
        text += &format!("  {}\n", line(&finding.what));
        text += &format!("  {}\n", finding.rule.why());
        if let Some(patch) = &finding.patch {
            text += &format!("  patch: {}\n", line(&patch.to_string()));
        }
        text.push('\n');
    }
    text += &format!("{} ({}): {}\n", line(&report.file), line(&report.name), summary(report));
    text += &format!("  looked at: {}\n", line(&report.looked_at.join("; ")));
    text
}
