//! YAML, written for people, and read with bounds and without aliases and tags, which what is read
//! here never has.

use granit_parser::{Event, Parser, ScalarStyle};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{ConversionError, MAX_BYTES};

/// A value as a YAML document.
pub(super) fn text(value: &impl Serialize) -> String {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    // A value of our own types has no key that is no text and no number that YAML lacks.
    serde_saphyr::to_string_with_options(value, options).unwrap_or_default()
}

/// The deepest nesting, and the most values, of a document that is read.
const DEEPEST: usize = 32;
const MOST_VALUES: usize = 500_000;

/// A list or a map that has not ended.
enum Unfinished {
    List(Vec<Value>),
    /// The members, and the key of the next.
    Map(Map<String, Value>, Option<String>),
}

/// The only document of a YAML text, of which JSON is a part.
///
/// # Errors
/// The text is too long, is no YAML, has a key twice, an alias or a tag, or exceeds a bound.
pub(super) fn value(text: &[u8]) -> Result<Value, ConversionError> {
    if text.len() > MAX_BYTES {
        return Err(ConversionError::TooLong(text.len()));
    }
    let text = std::str::from_utf8(text).map_err(ConversionError::NotUtf8)?;
    let mut open: Vec<Unfinished> = Vec::new();
    let mut root = None;
    let mut count = 0;
    for event in Parser::new_from_str(text) {
        let not_read = |why: String| ConversionError::NotFormat { format: "YAML that can be read", why };
        let (event, span) = event.map_err(|error| not_read(error.to_string()))?;
        let refused = |what: &str| Err(not_read(format!("line {}: {what}", span.start.line())));
        let done = match event {
            Event::SequenceStart(..) | Event::MappingStart(..) if event.tag().is_some() => {
                return refused("tags are not read");
            }
            Event::SequenceStart(..) => {
                open.push(Unfinished::List(Vec::new()));
                None
            }
            Event::MappingStart(..) => {
                open.push(Unfinished::Map(Map::new(), None));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Unfinished::List(items)) => Some(Value::Array(items)),
                Some(Unfinished::Map(members, _)) => Some(Value::Object(members)),
                None => None,
            },
            Event::Scalar(text, style, _, tag) => match (tag, style, open.last_mut()) {
                (Some(_), ..) => return refused("tags are not read"),
                (None, _, Some(Unfinished::Map(members, key @ None))) => {
                    if members.contains_key(&*text) {
                        return refused(&format!("duplicate key {text:?}"));
                    }
                    *key = Some(text.into_owned());
                    None
                }
                (None, ScalarStyle::Plain, _) => Some(plain(&text)),
                _ => Some(Value::String(text.into_owned())),
            },
            Event::Alias(_) => return refused("aliases are not read"),
            Event::DocumentStart(..) if root.is_some() => return refused("there is a second document"),
            _ => None,
        };
        if open.len() > DEEPEST {
            return refused(&format!("nested deeper than {DEEPEST}"));
        }
        let Some(done) = done else { continue };
        count += 1;
        if count > MOST_VALUES {
            return refused(&format!("more than {MOST_VALUES} values"));
        }
        match open.last_mut() {
            None => root = Some(done),
            Some(Unfinished::List(items)) => items.push(done),
            Some(Unfinished::Map(members, key)) => match key.take() {
                Some(key) => drop(members.insert(key, done)),
                None => return refused("a key is no text"),
            },
        }
    }
    Ok(root.unwrap_or(Value::Null))
}

/// A scalar without quotes, by YAML 1.2's core schema; other numbers than integers are texts.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => text.parse::<i64>().map_or_else(|_| Value::String(text.to_owned()), Value::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_and_json_are_values() {
        let text = b"# c\na: [1, \"2\", x, null, true, 1.5]\nb:\n- c: |\n    d\n  e: {}\n- ~\n";
        let expected = json!({ "a": [1, "2", "x", null, true, "1.5"], "b": [{ "c": "d\n", "e": {} }, null] });
        assert_eq!(value(text).expect("YAML"), expected);
        assert_eq!(value(expected.to_string().as_bytes()).expect("JSON"), expected);
        assert_eq!(value(b"").expect("nothing"), Value::Null);
        let written = super::text(&expected);
        assert_eq!(value(written.as_bytes()).expect("YAML"), expected);
    }

    #[test]
    fn what_could_grow_is_refused() {
        for (text, says) in [
            ("a: &x [1]\nb: *x", "line 2: aliases are not read"),
            ("a: !!binary eA==", "line 1: tags are not read"),
            ("a: 1\na: 2", "line 2: duplicate key \"a\""),
            ("a: 1\n---\nb: 1", "line 2: there is a second document"),
            ("[1]: 2", "a key is no text"),
            ("{a: [", "is no YAML"),
        ] {
            let error = value(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let deep = "[".repeat(33) + &"]".repeat(33);
        assert!(value(deep.as_bytes()).expect_err("deep").to_string().contains("deeper than 32"));
        let many = "[".to_owned() + &"1,".repeat(MOST_VALUES + 1) + "]";
        assert!(value(many.as_bytes()).expect_err("many").to_string().contains("more than 500000"));
    }
}
