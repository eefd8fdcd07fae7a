//! The error of a profile: where it is, and what to write instead, in one line.

use std::fmt;

/// The error of a text that is no profile. Displays as `3:14: /files/0: what is wrong`; the
/// caller puts the file's name and a colon in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// JSON Pointer of the wrong value; empty for the whole document.
    pub pointer: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What the text has, what was expected, and the nearest valid word.
    pub message: String,
}

impl ReadError {
    /// An error at a byte offset of the text.
    pub(super) fn at(text: &str, offset: usize, pointer: &str, message: String) -> ReadError {
        let before = &text[..offset];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ReadError {
            pointer: pointer.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            message,
        }
    }

    /// An error of the document as a whole.
    pub(super) fn whole(message: String) -> ReadError {
        ReadError { pointer: String::new(), line: 1, column: 1, message }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.pointer.is_empty() {
            // A key is the author's, and may hold anything: the message stays one line.
            write!(f, "{}: ", self.pointer.escape_debug())?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

/// The error of a text that is no path, duration or network entry: what is wrong with it, and what
/// is expected. The caller adds where the text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError(pub(super) String);

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TextError {}

impl From<TextError> for String {
    fn from(error: TextError) -> String {
        error.0
    }
}

/// The error of an argument pattern: it ends with a `\` that escapes no character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnfinishedEscape;

impl fmt::Display for UnfinishedEscape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ends with a \"\\\" that stands before nothing")
    }
}

impl std::error::Error for UnfinishedEscape {}

/// Text of the document for a message: quoted, on one line, and cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn either<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match words.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
