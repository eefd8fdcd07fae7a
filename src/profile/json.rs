//! JSON with the position of each value. serde_json decides whether a text is JSON; this module
//! preserves what its `Value` drops: the order of keys, and duplicate keys. The position of a value
//! is computed only for an error about it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::ReadError;

/// A JSON text and its value.
pub(crate) struct JsonText<'t> {
    text: &'t str,
    pub root: JsonNode<'t>,
}

/// A JSON value.
pub(crate) enum JsonNode<'t> {
    Null,
    Bool(bool),
    /// `None` for a number other than an integer from 0 to 2^64 - 1 in digits alone.
    Number(Option<u64>),
    Text(Cow<'t, str>),
    List(Vec<JsonNode<'t>>),
    Object(Vec<Member<'t>>),
}

/// A key and its value.
pub(crate) struct Member<'t> {
    pub name: Cow<'t, str>,
    pub value: JsonNode<'t>,
}

impl JsonNode<'_> {
    /// The value's type, as a message names it.
    pub fn kind(&self) -> &'static str {
        match self {
            JsonNode::Null => "null",
            JsonNode::Bool(_) => "a boolean",
            JsonNode::Number(_) => "a number",
            JsonNode::Text(_) => "a string",
            JsonNode::List(_) => "a list",
            JsonNode::Object(_) => "an object",
        }
    }

    /// The values in it, in their order, each with its step of a JSON Pointer (RFC 6901).
    fn children(&self) -> Vec<(String, &Self)> {
        match self {
            JsonNode::List(items) => {
                items.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect()
            }
            JsonNode::Object(members) => {
                members.iter().map(|member| (escaped(&member.name), &member.value)).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl<'t> JsonText<'t> {
    /// The tree of a text.
    ///
    /// # Errors
    /// The text is not JSON, or nested deeper than serde_json follows (127).
    pub fn parse(text: &'t str) -> serde_json::Result<JsonText<'t>> {
        Ok(JsonText { text, root: serde_json::from_str(text)? })
    }

    /// An error about a value of this document.
    pub fn error(&self, node: &JsonNode, message: String) -> ReadError {
        let steps = steps(&self.root, node).unwrap_or_default();
        ReadError::at(self.text, self.offset(&steps), &self.pointer(&steps), message)
    }

    /// An error about the key of an object's member.
    pub fn error_of_key(&self, object: &JsonNode, member: usize, message: String) -> ReadError {
        let mut steps = steps(&self.root, object).unwrap_or_default();
        let parts = parts(part(self.text, &steps));
        steps.push(member);
        let offset = parts.get(member).map_or(0, |(key, _)| position(self.text, key));
        ReadError::at(self.text, offset, &self.pointer(&steps), message)
    }

    /// An error about the value of a JSON Pointer relative to `node`: at the deepest value on its
    /// way that exists.
    pub fn error_below(&self, node: &JsonNode, pointer: &str, message: String) -> ReadError {
        let mut steps = steps(&self.root, node).unwrap_or_default();
        let whole = self.pointer(&steps) + pointer;
        let mut node = node;
        for step in pointer.split('/').skip(1) {
            let mut children = node.children().into_iter().enumerate();
            let Some((index, (_, next))) = children.find(|(_, (name, _))| name == step) else { break };
            steps.push(index);
            node = next;
        }
        ReadError::at(self.text, self.offset(&steps), &whole, message)
    }

    /// The text of a value.
    pub fn written(&self, node: &JsonNode) -> &'t str {
        part(self.text, &steps(&self.root, node).unwrap_or_default())
    }

    fn offset(&self, steps: &[usize]) -> usize {
        position(self.text, part(self.text, steps))
    }

    fn pointer(&self, steps: &[usize]) -> String {
        let mut node = &self.root;
        let mut pointer = String::new();
        for &step in steps {
            let Some((name, next)) = node.children().into_iter().nth(step) else { break };
            pointer += "/";
            pointer += &name;
            node = next;
        }
        pointer
    }
}

/// The way from a value to one in it, which is identified by its address: the index of the item
/// or member at each level.
fn steps(from: &JsonNode, to: &JsonNode) -> Option<Vec<usize>> {
    if std::ptr::eq(from, to) {
        return Some(Vec::new());
    }
    from.children().into_iter().enumerate().find_map(|(index, (_, child))| {
        let mut steps = steps(child, to)?;
        steps.insert(0, index);
        Some(steps)
    })
}

/// The part of the text that the steps lead to.
fn part<'t>(text: &'t str, steps: &[usize]) -> &'t str {
    let whole = text.trim_ascii();
    steps.iter().fold(whole, |text, &step| parts(text).get(step).map_or(text, |(_, value)| value))
}

/// The keys, each from its quote on, and the values of an object; the items of a list
/// likewise, with nothing for a key. The text was read once: it is JSON.
fn parts(text: &str) -> Vec<(&str, &str)> {
    if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) {
        return items.into_iter().map(|item| ("", item.get())).collect();
    }
    let Ok(RawPairs(values)) = serde_json::from_str(text) else { return Vec::new() };
    let mut end = 1;
    let part = |value: &RawValue| {
        // Between the end of one value and the next key is no other quote.
        let key = &text[end + text[end..].find('"').unwrap_or(0)..];
        end = position(text, value.get()) + value.get().len();
        // Borrowed from the text itself, which the value's own lifetime would hide.
        (key, &text[end - value.get().len()..end])
    };
    values.into_iter().map(part).collect()
}

/// The value of an object's member, as it is written. The name has no escapes.
pub(super) fn member<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let is_it = |key: &str| key.strip_prefix('"')?.strip_prefix(name)?.starts_with('"').then_some(());
    parts(text.trim_ascii()).into_iter().find_map(|(key, value)| is_it(key).map(|()| value))
}

/// Every value of a JSON text by its JSON Pointer (RFC 6901), with the byte offset at which it begins;
/// empty where the text is not JSON. A profile is not nested deeper than 8 levels, and each level is
/// read once more.
#[cfg(feature = "tool")]
pub fn positions(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), text.trim_ascii())];
    while let Some((pointer, value)) = open.pop() {
        found.push((pointer.clone(), position(text, value)));
        if !value.starts_with(['{', '[']) {
            continue;
        }
        for (index, (key, value)) in parts(value).into_iter().enumerate() {
            let mut keys = serde_json::Deserializer::from_str(key).into_iter::<String>();
            let step = match keys.next() {
                Some(Ok(name)) if !key.is_empty() => escaped(&name),
                _ => index.to_string(),
            };
            open.push((format!("{pointer}/{step}"), value));
        }
    }
    found
}

/// Where a part of a text begins in it.
pub(super) fn position(text: &str, part: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}

/// A key as a step of a JSON Pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

impl<'t> Deserialize<'t> for JsonNode<'t> {
    fn deserialize<D: Deserializer<'t>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AsNode)
    }
}

struct AsNode;

impl<'t> Visitor<'t> for AsNode {
    type Value = JsonNode<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<JsonNode<'t>, E> {
        Ok(JsonNode::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<JsonNode<'t>, E> {
        Ok(JsonNode::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<JsonNode<'t>, E> {
        Ok(JsonNode::Number(Some(value)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<JsonNode<'t>, E> {
        Ok(JsonNode::Number(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<JsonNode<'t>, E> {
        Ok(JsonNode::Number(None))
    }

    fn visit_borrowed_str<E>(self, text: &'t str) -> Result<JsonNode<'t>, E> {
        Ok(JsonNode::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<JsonNode<'t>, E> {
        Ok(JsonNode::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut items: A) -> Result<JsonNode<'t>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(JsonNode::List(list))
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<JsonNode<'t>, A::Error> {
        let mut members = Vec::new();
        while let Some(Key(name)) = map.next_key()? {
            members.push(Member { name, value: map.next_value()? });
        }
        Ok(JsonNode::Object(members))
    }
}

/// A key; borrowed where nothing in it is escaped.
struct Key<'t>(Cow<'t, str>);

impl<'t> Deserialize<'t> for Key<'t> {
    fn deserialize<D: Deserializer<'t>>(from: D) -> Result<Self, D::Error> {
        match from.deserialize_str(AsNode)? {
            JsonNode::Text(name) => Ok(Key(name)),
            other => Err(serde::de::Error::custom(format_args!("a key is {}", other.kind()))),
        }
    }
}

/// An object's values as they are written.
struct RawPairs<'t>(Vec<&'t RawValue>);

impl<'t> Deserialize<'t> for RawPairs<'t> {
    fn deserialize<D: Deserializer<'t>>(from: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'t> Visitor<'t> for Collect {
            type Value = RawPairs<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<RawPairs<'t>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((Key(_), value)) = map.next_entry()? {
                    pairs.push(value);
                }
                Ok(RawPairs(pairs))
            }
        }
        from.deserialize_map(Collect)
    }
}
