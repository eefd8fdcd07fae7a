//! What the verbs that review a profile have in common: a profile with its evidence, and how a
//! permission is printed.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::build::profile_file;
use super::error::ToolError;
use super::ready::READY;
use crate::enforce::source::beside;
use crate::profile::{self, Document, Rights, embedded};
use crate::review::{Permission, Permitted, Support, SupportFile};
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

/// TextLines of text, each escaped by itself.
#[derive(Default)]
pub(super) struct TextLines(String);

impl TextLines {
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

/// Permissions in two or three lines each: risk and sentence, place and reason, evidence. What one entry
/// permits by a group, and in the same way, is one of them.
pub(super) fn permissions<'p>(
    lines: &mut TextLines,
    mark: &str,
    all: impl IntoIterator<Item = &'p Permission>,
    of: &ReviewedProfile,
) {
    let mut alike: Vec<Vec<&Permission>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for one in all {
        let index = brought_so(one).map(|way| *known.entry(way).or_insert(alike.len()));
        match index.and_then(|index| alike.get_mut(index)) {
            Some(others) => others.push(one),
            None => alike.push(vec![one]),
        }
    }
    for these in alike {
        match these[..] {
            [one] => permission(lines, mark, one, of, &one.sentence),
            _ => permission(lines, mark, these[0], of, &together(&these)),
        }
    }
}

/// All by which a permission that a group or a section brings is like others; `None` for one of its own.
fn brought_so(one: &Permission) -> Option<String> {
    let way = match &one.what {
        Permitted::File { right, .. } if one.through.is_some() => format!("{right:?}"),
        Permitted::Call { decided_by, startup_only, .. }
            if one.through.is_some() || !one.pointer.starts_with("/syscalls/") =>
        {
            format!("{decided_by:?} {startup_only}")
        }
        _ => return None,
    };
    Some(format!("{way} {:?} {} {} {}", one.through, one.pointer, one.risk.word(), one.risk_reason))
}

/// The sentence for several paths or calls.
fn together(these: &[&Permission]) -> String {
    let name = |one: &&Permission| match &one.what {
        Permitted::File { path, .. } => path.display().to_string(),
        Permitted::Call { call, .. } => (*call).to_owned(),
        other => other.kind().to_owned(),
    };
    let names = these.iter().map(name).collect::<Vec<_>>().join(", ");
    match &these[0].what {
        Permitted::File { right, .. } => {
            let does = match *right {
                Rights::READ => "read",
                Rights::WRITE => "write",
                Rights::CREATE => "make names in",
                Rights::REMOVE => "remove names from",
                _ => "control devices at",
            };
            format!("The app may {does} {names}, each with all below it.")
        }
        Permitted::Call { decided_by, startup_only, .. } => {
            let on = decided_by.map_or_else(String::new, |section| format!("; `{section}` decides on what"));
            let end = if *startup_only { ", until start-up is over" } else { "" };
            format!("The app may make {} calls: {names}{on}{end}.", these.len())
        }
        other => other.kind().to_owned(),
    }
}

/// A permission with its place and reason, and with the evidence.
fn permission(lines: &mut TextLines, mark: &str, one: &Permission, of: &ReviewedProfile, sentence: &str) {
    lines.put(format!("{mark} {:<9} {sentence}", one.risk.word()));
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
