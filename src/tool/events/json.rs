//! JSON objects written key by key: what is converted is many lines, and no tree is made of any.

use memchr::memchr3;
use serde::Serialize;

use crate::visible;

/// An object that is being written. Empty texts and absent numbers are left out.
pub(super) struct JsonObject<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl JsonObject<'_> {
    /// Writes an object.
    pub fn write(out: &mut Vec<u8>, content: impl FnOnce(&mut JsonObject<'_>)) {
        out.push(b'{');
        content(&mut JsonObject { out, is_empty: true });
        out.push(b'}');
    }

    /// A text.
    pub fn text(&mut self, key: &str, text: &str) -> &mut Self {
        if !text.is_empty() {
            self.value(key, &text);
        }
        self
    }

    /// A number.
    pub fn number(&mut self, key: &str, number: impl Into<Option<i64>>) -> &mut Self {
        if let Some(number) = number.into() {
            self.value(key, &number);
        }
        self
    }

    /// True or false.
    pub fn boolean(&mut self, key: &str, is: bool) -> &mut Self {
        self.value(key, &is);
        self
    }

    /// A list of texts.
    pub fn texts<'t>(&mut self, key: &str, texts: impl IntoIterator<Item = &'t str>) -> &mut Self {
        let texts: Vec<&str> = texts.into_iter().collect();
        if !texts.is_empty() {
            self.value(key, &texts);
        }
        self
    }

    /// What is JSON already.
    pub fn raw(&mut self, key: &str, json: &str) -> &mut Self {
        if !json.is_empty() {
            self.key(key);
            self.out.extend_from_slice(json.as_bytes());
        }
        self
    }

    /// An object.
    pub fn object(&mut self, key: &str, content: impl FnOnce(&mut JsonObject<'_>)) -> &mut Self {
        self.key(key);
        JsonObject::write(self.out, content);
        self
    }

    /// A list of objects.
    pub fn objects<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        content: impl Fn(&mut JsonObject<'_>, T),
    ) -> &mut Self {
        self.key(key);
        self.out.push(b'[');
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                self.out.push(b',');
            }
            JsonObject::write(self.out, |object| content(object, item));
        }
        self.out.push(b']');
        self
    }

    /// Ends a chain.
    pub fn done(&mut self) {}

    fn value(&mut self, key: &str, value: &impl Serialize) {
        self.key(key);
        serde_json::to_writer(&mut *self.out, value)
            .expect("texts and numbers are JSON, and memory takes all");
    }

    fn key(&mut self, key: &str) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        serde_json::to_writer(&mut *self.out, key).expect("a text is JSON, and memory takes all");
        self.out.push(b':');
    }
}

/// Writes JSON as a line of which a terminal interprets nothing.
pub(super) fn put_json(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    out.extend_from_slice(json);
    end_json(out, start);
}

/// Ends the line of JSON that begins here: strings have their control characters escaped, and the
/// others are few.
pub(super) fn end_json(out: &mut Vec<u8>, start: usize) {
    let json = &out[start..];
    if !json.is_ascii() || memchr3(0x7f, b'\t', b'\r', json).is_some() {
        let text = String::from_utf8_lossy(json);
        // Outside of strings these two are spaces.
        let text = text.replace(['\t', '\r'], " ");
        let visible = visible::line(&text).into_owned();
        out.truncate(start);
        out.extend_from_slice(visible.as_bytes());
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_json() {
        let mut out = Vec::new();
        JsonObject::write(&mut out, |object| {
            object
                .text("a", "x\"\n")
                .text("none", "")
                .number("n", 7)
                .number("no", None::<i64>)
                .raw("r", "[1]");
            object.object("o", |object| {
                object.boolean("is", true).texts("t", ["x", "y"]).texts("none", []);
            });
            object.objects("l", [1, 2], |object, number| object.number("n", number).done());
        });
        let expected = r#"{"a":"x\"\n","n":7,"r":[1],"o":{"is":true,"t":["x","y"]},"l":[{"n":1},{"n":2}]}"#;
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn json_stays_json_and_nothing_of_it_is_a_control() {
        for (json, shown) in [
            (r#"{"a":"\u001b"}"#, r#"{"a":"\u001b"}"#),
            ("{\"a\":\"\u{9b}\u{7f}\u{202e}ä\"}", r#"{"a":"\u009b\u007f\u202eä"}"#),
            ("{\"a\":\t1}", r#"{"a": 1}"#),
        ] {
            let mut out = b"x".to_vec();
            put_json(&mut out, json.as_bytes());
            assert_eq!(String::from_utf8(out).expect("text"), format!("x{shown}\n"));
            assert!(serde_json::from_str::<serde_json::Value>(shown).is_ok());
        }
    }
}
