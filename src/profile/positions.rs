//! The line and column of each value of a document, by its JSON Pointer: for those who point at many
//! of them.

use std::collections::HashMap;

use super::json::{escaped, parts, position};

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextPosition {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// The positions of the values of one document.
#[derive(Clone, Debug)]
pub struct Positions {
    by_pointer: HashMap<String, TextPosition>,
}

impl Positions {
    /// Of a document's text, which was read before and so is JSON.
    pub fn of(text: &str) -> Positions {
        let lines: Vec<usize> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut found = Positions { by_pointer: HashMap::new() };
        found.walk(text, &lines, text.trim_ascii(), String::new());
        found
    }

    fn walk(&mut self, text: &str, lines: &[usize], value: &str, pointer: String) {
        let offset = position(text, value);
        let line = lines.partition_point(|start| *start <= offset);
        let start = lines[line - 1];
        let column = text[start..offset].chars().count() + 1;
        if value.starts_with(['{', '[']) {
            for (index, (key, part)) in parts(value).into_iter().enumerate() {
                let step = if key.is_empty() { index.to_string() } else { step(key) };
                self.walk(text, lines, part, format!("{pointer}/{step}"));
            }
        }
        self.by_pointer.insert(pointer, TextPosition { line, column });
    }

    /// The position of the value of a pointer, or of the nearest one above it that is there.
    pub fn of_pointer(&self, pointer: &str) -> TextPosition {
        let mut rest = pointer;
        loop {
            match (self.by_pointer.get(rest), rest.rfind('/')) {
                (Some(found), _) => return *found,
                (None, Some(at)) => rest = &rest[..at],
                (None, None) => return TextPosition { line: 1, column: 1 },
            }
        }
    }
}

/// The step of a JSON Pointer for a key as it is written, from its quote on.
fn step(written: &str) -> String {
    let mut values = serde_json::Deserializer::from_str(written).into_iter::<String>();
    values.next().and_then(Result::ok).map(|key| escaped(&key)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_where_it_begins() {
        let text = "{\n  \"a/b\": [\"ä\", {\"é\": 1}],\n  \"c\": {}\n}\n";
        let positions = Positions::of(text);
        let at = |pointer: &str| {
            let TextPosition { line, column } = positions.of_pointer(pointer);
            (line, column)
        };
        assert_eq!(at(""), (1, 1));
        assert_eq!(at("/a~1b"), (2, 10));
        assert_eq!(at("/a~1b/0"), (2, 11));
        assert_eq!(at("/a~1b/1/é"), (2, 22));
        assert_eq!(at("/c"), (3, 8));
        assert_eq!(at("/c/none/below"), (3, 8));
        assert_eq!(at("/none"), (1, 1));
    }

    #[test]
    fn an_error_and_a_pointer_name_the_same_place() {
        let text = include_str!("../../tests/fixtures/every-form.json");
        let positions = Positions::of(text);
        let broken = text.replacen("\"read\"", "\"raed\"", 1);
        let error = super::super::read(broken.as_bytes()).expect_err("no right");
        let place = positions.of_pointer(&error.pointer);
        assert_eq!((place.line, place.column), (error.line, error.column), "{error}");
    }
}
