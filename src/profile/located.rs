//! A place in the document: the value there, and errors about it.

use std::ops::RangeInclusive;

use super::error::{ReadError, either, quoted};
use super::json::{JsonNode, JsonText, Member};
use super::nearest::nearest;

/// A value and its position in the document.
#[derive(Clone, Copy)]
pub(crate) struct Located<'t> {
    document: &'t JsonText<'t>,
    node: &'t JsonNode<'t>,
}

/// A place that holds an object of known keys.
pub(crate) struct Object<'t> {
    place: Located<'t>,
    members: &'t [Member<'t>],
}

impl<'t> Located<'t> {
    /// The whole document.
    pub fn root(document: &'t JsonText<'t>) -> Located<'t> {
        Located { document, node: &document.root }
    }

    /// An error about this value.
    pub fn error(&self, message: impl Into<String>) -> ReadError {
        self.document.error(self.node, message.into())
    }

    /// "It is a number; expected a string".
    pub fn not(&self, expected: &str) -> ReadError {
        self.error(format!("is {}; expected {expected}", self.node.kind()))
    }

    /// An error about the value of a pointer relative to this one, at the deepest value that exists.
    pub fn error_below(&self, pointer: &str, message: String) -> ReadError {
        self.document.error_below(self.node, pointer, message)
    }

    /// Whether the value is an object.
    pub fn is_object(&self) -> bool {
        matches!(self.node, JsonNode::Object(_))
    }

    /// The object here, of no other keys than `keys` and of none twice.
    pub fn object(&self, keys: &[&'static str]) -> Result<Object<'t>, ReadError> {
        let object = self.any_object()?;
        for (index, member) in object.members.iter().enumerate() {
            let wrong = |message| Err(self.document.error_of_key(self.node, index, message));
            if object.members[..index].iter().any(|earlier| earlier.name == member.name) {
                return wrong(format!("key {} stands twice; keep one of them", quoted(&member.name)));
            }
            if !keys.contains(&&*member.name) {
                return wrong(unknown("key", &member.name, keys.iter().copied()));
            }
        }
        Ok(object)
    }

    /// The object here, whatever its keys.
    pub fn any_object(&self) -> Result<Object<'t>, ReadError> {
        match self.node {
            JsonNode::Object(members) => Ok(Object { place: *self, members }),
            _ => Err(self.not("an object")),
        }
    }

    /// The list's items.
    pub fn items(&self) -> Result<impl ExactSizeIterator<Item = Located<'t>> + use<'t>, ReadError> {
        let JsonNode::List(items) = self.node else { return Err(self.not("a list")) };
        let document = self.document;
        Ok(items.iter().map(move |node| Located { document, node }))
    }

    /// The list's items, each read by `read`.
    pub fn each<T>(&self, read: impl Fn(&Located<'t>) -> Result<T, ReadError>) -> Result<Vec<T>, ReadError> {
        self.items()?.map(|item| read(&item)).collect()
    }

    /// As `each`, but a list without items is an error that says what it would mean.
    pub fn some<T>(
        &self,
        meaning: &str,
        read: impl Fn(&Located<'t>) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        let items = self.each(read)?;
        if items.is_empty() {
            return Err(self.error(format!("is an empty list; {meaning}")));
        }
        Ok(items)
    }

    /// The value, where it is a string.
    pub fn as_text(&self) -> Option<&'t str> {
        match self.node {
            JsonNode::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The string here.
    pub fn string(&self, expected: &str) -> Result<&'t str, ReadError> {
        self.as_text().ok_or_else(|| self.not(expected))
    }

    /// The boolean here.
    pub fn flag(&self) -> Result<bool, ReadError> {
        match self.node {
            JsonNode::Bool(flag) => Ok(*flag),
            _ => Err(self.not("true or false")),
        }
    }

    /// The whole number here, written as digits alone.
    pub fn number(&self, range: RangeInclusive<u64>) -> Result<u64, ReadError> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        match self.node {
            JsonNode::Number(Some(number)) if range.contains(number) => Ok(*number),
            JsonNode::Number(_) => {
                let shown = quoted(self.document.written(self.node));
                Err(self.error(format!("{} is not {expected}", shown.replace('"', ""))))
            }
            _ => Err(self.not(&expected)),
        }
    }

    /// The decimal number here, such as `4.5`.
    #[cfg(feature = "tool")]
    pub fn decimal(&self, range: RangeInclusive<f64>) -> Result<f64, ReadError> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let JsonNode::Number(_) = self.node else { return Err(self.not(&expected)) };
        let written = self.document.written(self.node);
        match written.parse::<f64>() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(self.error(format!("{} is not {expected}", quoted(written).replace('"', "")))),
        }
    }

    /// The value of the word here.
    pub fn word<T: Copy>(&self, what: &str, words: &[(T, &'static str)]) -> Result<T, ReadError> {
        let all = || words.iter().map(|(_, word)| *word);
        let typed = self.string(&either(all()))?;
        if let Some((value, _)) = words.iter().find(|(_, word)| *word == typed) {
            return Ok(*value);
        }
        Err(self.error(unknown(what, typed, all())))
    }
}

impl<'t> Object<'t> {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Located<'t>> {
        let member = self.members.iter().find(|member| member.name == key)?;
        Some(Located { document: self.place.document, node: &member.value })
    }

    /// The value of a required key.
    pub fn need(&self, key: &str, expected: &str) -> Result<Located<'t>, ReadError> {
        self.get(key).ok_or_else(|| self.error_at(key, format!("{key:?} is missing; expected {expected}")))
    }

    /// An error about a key of this object.
    pub fn error_at(&self, key: &str, message: String) -> ReadError {
        match self.get(key) {
            Some(place) => place.error(message),
            None => self.place.error_below(&format!("/{key}"), message),
        }
    }

    /// The value of a key, parsed, where the object has it.
    pub fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Located<'t>) -> Result<T, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        self.get(key).map(|place| read(&place)).transpose()
    }

    /// The values of a list, each parsed; empty where the key is absent.
    pub fn list<T>(
        &self,
        key: &str,
        read: impl Fn(&Located<'t>) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        Ok(self.read(key, |place| place.each(read))?.unwrap_or_default())
    }
}

/// "unknown right "raed"; did you mean "read"? Expected read, write or create".
pub(super) fn unknown<'w>(what: &str, typed: &str, valid: impl Iterator<Item = &'w str>) -> String {
    /// More words than this are no help in a line.
    const FEW: usize = 8;
    let valid: Vec<&str> = valid.collect();
    let mut message = format!("unknown {what} {}; ", quoted(typed));
    let nearest = nearest(typed, valid.iter().copied());
    if let Some(word) = nearest {
        message += &format!("did you mean {word:?}?");
    }
    match (nearest, valid.len() <= FEW) {
        (Some(_), true) => message += &format!(" Expected {}", either(valid)),
        (Some(_), false) => {}
        (None, true) => message += &format!("expected {}", either(valid)),
        (None, false) if what == "key" => message += &format!("expected {}", either(valid)),
        (None, false) => message += &format!("no {what} is called so"),
    }
    message
}
