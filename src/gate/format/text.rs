//! For people.

use super::super::{CheckOutcome, CheckReport, GateFinding, Severity};
use super::{label, summary};
use crate::visible::Colours;
use crate::visible::sgr::{BOLD, BOLD_CYAN, BOLD_GREEN, BOLD_RED, BOLD_YELLOW, CYAN, DIM};

/// One block a finding, and the sum at the end; the severity coloured as rustc(1) does.
pub fn write(report: &CheckReport, colours: Colours) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let place = finding.position;
        let at = format!("{}:{}:{}:", finding.file, place.line, place.column);
        colours.put(&mut text, BOLD, &at);
        text.push(' ');
        let kind = format!("{} [{}]", label(finding), finding.rule.id());
        colours.put(&mut text, colour(finding), &kind);
        if !finding.pointer.is_empty() {
            text.push(' ');
            colours.put(&mut text, "", &finding.pointer);
        }
        text += "\n  ";
        colours.put(&mut text, BOLD, &finding.what);
        text += "\n  ";
        colours.put(&mut text, "", finding.rule.why());
        if let Some(patch) = &finding.patch {
            text += "\n  ";
            colours.put(&mut text, CYAN, "patch:");
            text.push(' ');
            colours.put(&mut text, "", &patch.to_string());
        }
        text += "\n\n";
    }
    colours.put(&mut text, BOLD, &format!("{} ({}):", report.file, report.name));
    text.push(' ');
    let outcome = match report.outcome() {
        CheckOutcome::Clean => BOLD_GREEN,
        CheckOutcome::Findings => BOLD_RED,
        CheckOutcome::Inconclusive => BOLD_CYAN,
    };
    colours.put(&mut text, outcome, &summary(report));
    text += "\n  ";
    colours.put(&mut text, DIM, &format!("looked at: {}", report.looked_at.join("; ")));
    text.push('\n');
    text
}

fn colour(finding: &GateFinding) -> &'static str {
    match finding.severity {
        _ if !finding.is_new => DIM,
        Severity::Error => BOLD_RED,
        Severity::Warning => BOLD_YELLOW,
        Severity::Inconclusive => BOLD_CYAN,
        Severity::Note => BOLD_GREEN,
    }
}
