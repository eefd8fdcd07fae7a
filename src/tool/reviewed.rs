//! What the verbs that review a profile have in common: a profile with its evidence, and how a
//! permission is printed.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::build::profile_file;
use super::error::ToolError;
use super::ready::READY;
use crate::enforce::source::beside;
use crate::profile::{self, Document, embedded};
use crate::review::{Permission, Support, SupportFile};
use crate::visible;

/// A profile to review.
pub(super) struct ReviewedProfile {
    /// Its file, or the name of an embedded or ready-made one.
    pub name: String,
    pub document: Document,
    /// Its evidence, where a file is beside it.
    pub evidence: Option<SupportFile>,
}

/// Reads a profile: a file when the word has a slash, ends in .json or is there; an embedded or
/// ready-made one otherwise, as it stands.
pub(super) fn profile(word: &str) -> Result<ReviewedProfile, ToolError> {
    let is_named = |text: &&str| !text.is_empty();
    let ready = || READY.iter().find(|ready| ready.name == word).map(|ready| ready.text);
    let text = embedded::named(word).or_else(ready).filter(is_named);
    let is_file = word.contains('/') || word.ends_with(".json") || Path::new(word).exists();
    match text {
        Some(text) if !word.contains('/') && !word.ends_with(".json") => {
            let document = profile::read(text.as_bytes()).map_err(ToolError::Made)?;
            Ok(ReviewedProfile { name: word.to_owned(), document, evidence: None })
        }
        None if !is_file => Err(ToolError::NoProfile(word.to_owned())),
        _ => {
            let path = PathBuf::from(word.split_once("@sha256:").map_or(word, |(path, _)| path));
            let document = profile_file(Path::new(word))?;
            let evidence = evidence(&beside(&path), &document)?;
            Ok(ReviewedProfile { name: path.display().to_string(), document, evidence })
        }
    }
}

fn evidence(path: &Path, document: &Document) -> Result<Option<SupportFile>, ToolError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(SupportFile::read(&path.display().to_string(), &bytes, document)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ToolError::File { path: path.to_owned(), error }),
    }
}

impl ReviewedProfile {
    /// `nginx.json:12`, for a place in its text.
    pub fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.name)
    }

    /// A line on evidence that was written with another text of the profile.
    pub fn stale(&self) -> Option<String> {
        let evidence = self.evidence.as_ref().filter(|evidence| evidence.is_stale)?;
        Some(format!(
            "{}: its evidence ({} runs) was written with another text of the profile; entries were found again by what they grant",
            self.name, evidence.runs
        ))
    }
}

/// Lines of text, each escaped by itself.
#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    /// Adds a line.
    pub fn put(&mut self, line: impl AsRef<str>) {
        self.0.push_str(&visible::line(line.as_ref()));
        self.0.push('\n');
    }

    /// The whole text.
    pub fn text(self) -> String {
        self.0
    }
}

/// A permission in two or three lines: risk and sentence, place and reason, evidence.
pub(super) fn permission(lines: &mut Lines, mark: &str, one: &Permission, of: &ReviewedProfile) {
    lines.put(format!("{mark} {:<9} {}", one.risk.word(), one.sentence));
    let pointer = if one.pointer.is_empty() { "always" } else { &one.pointer };
    let through = one.through.map_or_else(String::new, |through| format!(", by {through}"));
    lines.put(format!("{:12}{pointer} ({}){through}: {}", "", of.at(one.line), one.risk_reason));
    if let Some(why) = &one.why {
        lines.put(format!("{:12}why: {why}", ""));
    }
    if let Some(support) = &one.support {
        lines.put(format!("{:12}{}", "", supported(support)));
    }
}

/// The evidence in one line.
fn supported(support: &Support) -> String {
    let mut text = String::from("evidence: ");
    if support.runs == 0 {
        text += &support.because;
        return text;
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "{} of {} runs", support.runs, support.of);
    if !support.phases.is_empty() {
        let _ = write!(text, ", at {}", support.phases.join(" and "));
    }
    if !support.labels.is_empty() {
        let _ = write!(text, ", with {}", support.labels.join(", "));
    }
    let _ = write!(text, " ({}", support.names.join(", "));
    text.push_str(if support.runs > support.names.len() { ", …)" } else { ")" });
    let _ = write!(text, "; {}", support.because);
    if !support.examples.is_empty() {
        let _ = write!(text, ", such as {}", support.examples.join(", "));
    }
    text
}
