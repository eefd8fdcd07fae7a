//! JSON with the place of everything in it. serde_json decides what is JSON; this
//! keeps what its `Value` throws away: offsets, the order of keys, and keys that
//! stand twice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value and the byte at which it begins.
pub(super) struct Node<'t> {
    pub offset: usize,
    pub what: What<'t>,
}

/// What a value is.
pub(super) enum What<'t> {
    Null,
    Bool(bool),
    /// As it is written: a reader of whole numbers looks at the digits.
    Number(&'t str),
    Text(String),
    List(Vec<Node<'t>>),
    Object(Vec<Member<'t>>),
}

/// A key, the byte at which its quote stands, and its value.
pub(super) struct Member<'t> {
    pub offset: usize,
    pub name: String,
    pub value: Node<'t>,
}

impl What<'_> {
    /// What a message calls it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            What::Null => "null",
            What::Bool(_) => "a boolean",
            What::Number(_) => "a number",
            What::Text(_) => "a string",
            What::List(_) => "a list",
            What::Object(_) => "an object",
        }
    }
}

/// The tree of a text.
///
/// # Errors
/// The text is not JSON, or nested deeper than serde_json follows (127).
pub(super) fn parse(text: &str) -> serde_json::Result<(Node<'_>, serde_json::Value)> {
    // First whole: after this every part is known to be JSON of bounded depth.
    let value = serde_json::from_str(text)?;
    let raw: &RawValue = serde_json::from_str(text)?;
    Ok((node(text, raw)?, value))
}

fn node<'t>(text: &'t str, raw: &'t RawValue) -> serde_json::Result<Node<'t>> {
    let json = raw.get();
    let what = match json.as_bytes()[0] {
        b'{' => What::Object(members(text, raw)?),
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(json)?;
            What::List(items.into_iter().map(|item| node(text, item)).collect::<Result<_, _>>()?)
        }
        b'"' => What::Text(serde_json::from_str(json)?),
        b't' | b'f' => What::Bool(serde_json::from_str(json)?),
        b'n' => What::Null,
        _ => What::Number(json),
    };
    Ok(Node { offset: offset(text, json), what })
}

fn members<'t>(text: &'t str, raw: &'t RawValue) -> serde_json::Result<Vec<Member<'t>>> {
    let Pairs(pairs) = serde_json::from_str(raw.get())?;
    let mut end = offset(text, raw.get()) + 1;
    let mut members = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        // Between the end of one value and the next key is no other quote.
        let quote = end + text[end..].find('"').unwrap_or(0);
        end = offset(text, value.get()) + value.get().len();
        members.push(Member { offset: quote, name, value: node(text, value)? });
    }
    Ok(members)
}

/// Where `part`, which serde_json borrowed from `text`, begins in it.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}

/// An object's keys and values as they stand.
struct Pairs<'t>(Vec<(String, &'t RawValue)>);

impl<'t> Deserialize<'t> for Pairs<'t> {
    fn deserialize<D: Deserializer<'t>>(from: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'t> Visitor<'t> for Collect {
            type Value = Pairs<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Pairs<'t>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(Collect)
    }
}
