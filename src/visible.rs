//! Text that is safe to write to a terminal or a log, whatever a file name, an argument or
//! a profile holds.
//!
//! Characters that a terminal interprets or does not show are escaped as in JSON (`\u001b`), so
//! that the result is valid in text and in JSON: the control characters C0, DEL and C1, the
//! bidirectional controls (Unicode UAX #9), line and paragraph separators, and characters without
//! width. Escape text where it is written, not where it is made; [`line`] also escapes newlines,
//! so write several lines one by one or with [`lines`].

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::IsTerminal;

/// Whether a terminal would interpret this character, or not show it.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Escapes text as one line: a newline in it is escaped too.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden)
}

/// Escapes text of several lines: newlines stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_hidden(c))
}

/// A number and what it counts: `1 line`, `2 lines`.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    format!("{count} {what}{}", if count == N::from(1) { "" } else { "s" })
}

fn escaped(text: &str, is_hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    let Some(first) = text.find(&is_hidden) else { return Cow::Borrowed(text) };
    let mut visible = String::with_capacity(text.len() + 16);
    visible.push_str(&text[..first]);
    for c in text[first..].chars() {
        match c {
            '\n' if is_hidden(c) => visible.push_str("\\n"),
            '\r' => visible.push_str("\\r"),
            '\t' => visible.push_str("\\t"),
            c if is_hidden(c) => {
                // All of them are in the first plane, so four digits are enough.
                let written = write!(visible, "\\u{:04x}", u32::from(c));
                debug_assert!(written.is_ok(), "a string takes all that is written");
            }
            c => visible.push(c),
        }
    }
    Cow::Owned(visible)
}

/// Colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colours(pub bool);

/// SGR sequences (ECMA-48).
pub mod sgr {
    /// What matters less.
    pub const DIM: &str = "\u{1b}[2m";
    /// A headline, or a place.
    pub const BOLD: &str = "\u{1b}[1m";
    /// A refusal, or what is worse.
    pub const RED: &str = "\u{1b}[31m";
    /// A warning.
    pub const YELLOW: &str = "\u{1b}[33m";
    /// What is good.
    pub const GREEN: &str = "\u{1b}[32m";
    /// A start, or an end.
    pub const BLUE: &str = "\u{1b}[34m";
    /// A remark, or advice.
    pub const CYAN: &str = "\u{1b}[36m";
    /// An error, as rustc(1) colours it.
    pub const BOLD_RED: &str = "\u{1b}[1;31m";
    /// A warning, as rustc(1) colours it.
    pub const BOLD_YELLOW: &str = "\u{1b}[1;33m";
    /// A note, as rustc(1) colours it.
    pub const BOLD_GREEN: &str = "\u{1b}[1;32m";
    /// What has no answer, as rustc(1) colours advice.
    pub const BOLD_CYAN: &str = "\u{1b}[1;36m";
    /// The end of a colour.
    pub const RESET: &str = "\u{1b}[0m";
}

impl Colours {
    /// None.
    pub const NONE: Colours = Colours(false);

    /// Those of stdout: where it is a terminal that can show them, unless `NO_COLOR` is set
    /// (no-color.org).
    pub fn of_stdout() -> Colours {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let is_dumb = set("TERM").is_some_and(|term| term == "dumb");
        Colours(std::io::stdout().is_terminal() && set("NO_COLOR").is_none() && !is_dumb)
    }

    /// Writes a text in this colour, none where it is empty; nothing in the text reaches a terminal
    /// as a control.
    pub fn put(self, line: &mut String, colour: &str, text: &str) {
        let text = self::line(text);
        if self.0 && !text.is_empty() && !colour.is_empty() {
            line.push_str(colour);
            line.push_str(&text);
            line.push_str(sgr::RESET);
        } else {
            line.push_str(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_around_escaped_text() {
        let mut text = String::new();
        Colours(true).put(&mut text, sgr::RED, "a\u{1b}[2J\n");
        Colours(true).put(&mut text, "", "b");
        Colours::NONE.put(&mut text, sgr::RED, "c\u{9b}");
        assert_eq!(text, "\u{1b}[31ma\\u001b[2J\\n\u{1b}[0mbc\\u009b");
    }

    #[test]
    fn control_characters_are_escaped() {
        for (text, shown) in [
            ("plain, ä, 漢, 🦀, \\u001b", "plain, ä, 漢, 🦀, \\u001b"),
            ("\u{1b}[2Ja\u{7}", "\\u001b[2Ja\\u0007"),
            ("a\nb\tc\rd\0", "a\\nb\\tc\\rd\\u0000"),
            ("\u{7f}\u{80}\u{9b}2J\u{9f}", "\\u007f\\u0080\\u009b2J\\u009f"),
            (
                "\u{202e}txt.exe\u{202c}\u{2066}\u{2069}\u{2028}\u{2029}",
                "\\u202etxt.exe\\u202c\\u2066\\u2069\\u2028\\u2029",
            ),
            ("\u{200b}\u{200f}\u{61c}\u{feff}", "\\u200b\\u200f\\u061c\\ufeff"),
        ] {
            assert_eq!(line(text), shown);
        }
        assert_eq!(lines("a\n\u{1b}b\n"), "a\n\\u001bb\n");
    }

    #[test]
    fn json_stays_what_it_was() {
        let text: String = (0..0x2100).filter_map(char::from_u32).chain(['\u{feff}', '🦀']).collect();
        let json = serde_json::to_string(&text).expect("JSON");
        let shown = line(&json);
        assert_eq!(serde_json::from_str::<String>(&shown).expect("JSON still"), text);
        assert!(!shown.contains(is_hidden));
    }
}
