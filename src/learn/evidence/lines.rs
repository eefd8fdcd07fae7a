//! JSON of which every member of the outermost object, and every item of these members, has a
//! line of its own: two such files are compared line by line.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::visible;

/// The text of a value, with a newline at its end.
pub fn text(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    let layout = Lines { depth: 0, empty: true };
    // Keys are strings, and memory takes what is written: it cannot fail.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut bytes, layout));
    bytes.push(b'\n');
    String::from_utf8_lossy(&bytes).into_owned()
}

/// As deep as this, what is in an array or object has lines of its own.
const DEPTH: usize = 2;

struct Lines {
    /// How many arrays and objects are open.
    depth: usize,
    /// Nothing is in the innermost yet.
    empty: bool,
}

impl Lines {
    fn begin(&mut self, to: &mut (impl Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        to.write_all(bracket)
    }

    fn item(&mut self, to: &mut (impl Write + ?Sized), first: bool) -> io::Result<()> {
        if !first {
            to.write_all(b",")?;
        }
        if self.depth <= DEPTH { self.line(to) } else { Ok(()) }
    }

    fn end(&mut self, to: &mut (impl Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        let lines = self.depth <= DEPTH && !self.empty;
        self.depth -= 1;
        self.empty = false;
        if lines {
            self.line(to)?;
        }
        to.write_all(bracket)
    }

    fn line(&self, to: &mut (impl Write + ?Sized)) -> io::Result<()> {
        to.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| to.write_all(b"  "))
    }
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.begin(to, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.end(to, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.item(to, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.empty = false;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.begin(to, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.end(to, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.item(to, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(if self.depth <= DEPTH { b": " } else { b":" })
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.empty = false;
        Ok(())
    }

    /// Nothing in a string is hidden from a reader.
    fn write_string_fragment<W: ?Sized + Write>(&mut self, to: &mut W, fragment: &str) -> io::Result<()> {
        // Most of a large file is this.
        let is_plain = fragment.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        match is_plain {
            true => to.write_all(fragment.as_bytes()),
            false => to.write_all(visible::line(fragment).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn members_and_their_items_have_lines_of_their_own() {
        let value = json!({ "a": 1, "b": [], "c": [1, { "x": [1, 2], "y": {} }], "d": { "e": [], "f": [{}] }, "g": {} });
        let text = "{\n  \"a\": 1,\n  \"b\": [],\n  \"c\": [\n    1,\n    {\"x\":[1,2],\"y\":{}}\n  ],\n  \
                    \"d\": {\n    \"e\": [],\n    \"f\": [{}]\n  },\n  \"g\": {}\n}\n";
        assert_eq!(super::text(&value), text);
        assert_eq!(super::text(&json!({})), "{}\n");
        let hidden = "a\u{202e}\u{7f}\u{9b}\u{1b}\n\"ä";
        let text = super::text(&json!({ "a": hidden }));
        assert_eq!(text, "{\n  \"a\": \"a\\u202e\\u007f\\u009b\\u001b\\n\\\"ä\"\n}\n");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), json!({ "a": hidden }));
    }
}
