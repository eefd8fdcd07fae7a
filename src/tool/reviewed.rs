//! What the verbs that review a profile have in common: a profile with its evidence, and how a
//! permission is printed.

use std::collections::HashMap;
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::build::profile_file;
use super::error::ToolError;
use super::named_file;
use super::ready::READY;
use crate::enforce::source::beside;
use crate::profile::{self, Document, Rights, embedded};
use crate::review::{Permission, Permitted, RiskLevel, Support, SupportFile};
use crate::visible::Colours;
use crate::visible::sgr::{BOLD_RED, DIM, GREEN, RED, YELLOW};

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
    match named_file::read(path) {
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

/// Lines of text, each escaped by itself, in colour where stdout shows it.
pub(super) struct TextLines {
    text: String,
    colours: Colours,
}

impl TextLines {
    /// No line.
    pub fn new() -> TextLines {
        TextLines { text: String::new(), colours: Colours::of_stdout() }
    }

    /// Adds a line.
    pub fn put(&mut self, line: impl AsRef<str>) {
        self.put_parts(&[("", line.as_ref())]);
    }

    /// Adds a line of one colour.
    pub fn put_in(&mut self, colour: &str, line: impl AsRef<str>) {
        self.put_parts(&[(colour, line.as_ref())]);
    }

    /// Adds a line of parts, each with its colour or none.
    pub fn put_parts(&mut self, parts: &[(&str, &str)]) {
        for (colour, part) in parts {
            self.colours.put(&mut self.text, colour, part);
        }
        self.text.push('\n');
    }

    /// The whole text, in which no character is left that a terminal interprets but our colours.
    pub fn text(self) -> String {
        self.text
    }
}

/// The colour of a risk.
pub(super) fn risk_colour(risk: RiskLevel) -> &'static str {
    match risk {
        RiskLevel::Critical => BOLD_RED,
        RiskLevel::High => RED,
        RiskLevel::Moderate => YELLOW,
        RiskLevel::Low => "",
    }
}

/// The colour of the mark of a line: as diff(1) colours what came and what went.
fn mark_colour(mark: &str) -> &'static str {
    match mark {
        "+" => GREEN,
        "-" => RED,
        _ => "",
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
                Rights::LIST => "list the names in",
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
    let risk = format!("{:<9}", one.risk.word());
    lines.put_parts(&[
        (mark_colour(mark), mark),
        ("", " "),
        (risk_colour(one.risk), &risk),
        ("", " "),
        ("", sentence),
    ]);
    let pointer = if one.pointer.is_empty() { "always" } else { &one.pointer };
    let through = one.through.map_or_else(String::new, |through| format!(", by {through}"));
    lines.put_in(DIM, format!("{:12}{pointer} ({}){through}: {}", "", of.at(one.line), one.risk_reason));
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
