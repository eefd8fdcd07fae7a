//! The formats of a report. Each escapes what its reader would interpret: paths and names in a
//! finding come from files that an attacker may have written.

mod github;
mod json;
mod junit;
mod markdown;
mod sarif;
mod text;

use super::CheckReport;
use crate::visible::Colours;

/// A format of `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportFormat {
    /// For people, at a terminal.
    Text,
    /// Annotations of GitHub Actions (workflow commands).
    Github,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// All that is known, for programs.
    Json,
    /// A comment on a pull request.
    Markdown,
    /// A test report, for GitLab and Jenkins.
    Junit,
}

impl ReportFormat {
    /// Each format with its name.
    pub const NAMES: &[(ReportFormat, &'static str)] = &[
        (ReportFormat::Text, "text"),
        (ReportFormat::Github, "github"),
        (ReportFormat::Sarif, "sarif"),
        (ReportFormat::Json, "json"),
        (ReportFormat::Markdown, "markdown"),
        (ReportFormat::Junit, "junit"),
    ];

    /// The format of this name.
    pub fn of(word: &str) -> Option<ReportFormat> {
        ReportFormat::NAMES.iter().find(|(_, name)| *name == word).map(|(format, _)| *format)
    }

    /// The report in this format; the colours are those of [`ReportFormat::Text`].
    pub fn write(self, report: &CheckReport, colours: Colours) -> String {
        match self {
            ReportFormat::Text => text::write(report, colours),
            ReportFormat::Github => github::write(report),
            ReportFormat::Sarif => sarif::write(report),
            ReportFormat::Json => json::write(report),
            ReportFormat::Markdown => markdown::write(report),
            ReportFormat::Junit => junit::write(report),
        }
    }
}

/// The result in one sentence.
fn summary(report: &CheckReport) -> String {
    let count =
        |is: &dyn Fn(&super::GateFinding) -> bool| report.findings.iter().filter(|one| is(one)).count();
    let failing = count(&super::GateFinding::fails);
    let open = count(&super::GateFinding::is_open);
    let rest = report.findings.len() - failing - open;
    let s = |count: usize| if count == 1 { "" } else { "s" };
    let mut parts = Vec::new();
    if failing > 0 {
        parts.push(format!("{failing} finding{}", s(failing)));
    }
    if open > 0 {
        parts.push(format!("{open} thing{} that could not be looked at", s(open)));
    }
    if parts.is_empty() {
        parts.push("clean".to_owned());
    }
    if rest > 0 {
        parts.push(format!("{rest} more listed that do{} not fail", if rest == 1 { "es" } else { "" }));
    }
    parts.join(", ")
}

/// What a finding is in the list: its severity, or that it was there before.
fn label(finding: &super::GateFinding) -> &'static str {
    if finding.is_new { finding.severity.word() } else { "known" }
}

#[cfg(test)]
mod tests;
