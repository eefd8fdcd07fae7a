//! A comment on a pull request, in GitHub's and GitLab's Markdown.

use super::super::{CheckReport, GateFinding};
use super::{label, summary};
use crate::visible;

/// The most findings of a comment, which GitHub limits to 65,536 characters.
const MOST: usize = 60;

/// A table of the findings, those that fail first.
pub fn write(report: &CheckReport) -> String {
    let mut text = format!("### remit check: {}\n\n", escaped(&summary(report)));
    text += &format!("{} requires it of {}.\n", code(&report.required_by), code(&report.file));
    if !report.findings.is_empty() {
        text += "\n| | rule | where | what |\n|---|---|---|---|\n";
    }
    for finding in report.findings.iter().take(MOST) {
        text += &format!(
            "| {} | {} | {} | {} {} |\n",
            label(finding),
            finding.rule.id(),
            place(finding),
            escaped(&finding.what),
            escaped(finding.rule.why())
        );
    }
    if report.findings.len() > MOST {
        text += &format!("\n{} more are not listed here.\n", report.findings.len() - MOST);
    }
    let patches =
        report.findings.iter().take(MOST).filter(|finding| finding.fails() && finding.patch.is_some());
    let patches: Vec<String> = patches.map(patch).collect();
    if !patches.is_empty() {
        text +=
            "\n<details><summary>JSON Patches that mend them, each for the profile as it is</summary>\n\n";
        text += &patches.concat();
        text += "\n</details>\n";
    }
    text
}

fn place(finding: &GateFinding) -> String {
    let line = finding.position.line;
    let pointer = if finding.pointer.is_empty() { String::new() } else { format!(" {}", finding.pointer) };
    code(&format!("{}:{line}{pointer}", finding.file))
}

fn patch(finding: &GateFinding) -> String {
    let patch = finding.patch.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("- {}: {}\n", finding.rule.id(), code(&patch))
}

/// Text in a code element, in which nothing is a link, a mention or markup.
fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

/// Text that stays text: each character that Markdown or HTML would interpret becomes a character
/// reference, which no parser of Markdown looks into.
fn escaped(text: &str) -> String {
    let text = visible::line(text);
    let mut shown = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars() {
        let is_link = c == '.' && word.eq_ignore_ascii_case("www");
        match c {
            // A mention is made of text that is rendered already: a zero-width space divides it.
            '@' => shown += "&#64;&#8203;",
            c if c.is_ascii_punctuation()
                && (is_link || !matches!(c, ',' | '.' | '-' | '/' | '(' | ')' | '\'')) =>
            {
                shown += &format!("&#{};", u32::from(c));
            }
            c => shown.push(c),
        }
        if c.is_alphanumeric() { word.push(c) } else { word.clear() }
    }
    shown
}
