//! JSON documents as Docker and containerd read them too. Go's encoding/json takes a key in any case
//! for the field of a struct, and the last of several; a document with such a key is refused, since
//! it says another thing to those runtimes than to other readers.

use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::error::ImageError;

/// What is read of a document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Anything. The keys of maps are free: labels, annotations.
    Any,
    List(&'static Shape),
    /// A struct of Go, with the fields that are read.
    Struct(&'static [(&'static str, Shape)]),
}

/// Reads a document.
///
/// # Errors
/// It is not of this type, or has a key that other readers take for another one.
pub(super) fn parse<T: DeserializeOwned>(place: &str, bytes: &[u8], shape: Shape) -> Result<T, ImageError> {
    let bad = |error: serde_json::Error| ImageError::Malformed {
        place: place.to_owned(),
        what: format!("cannot be read: {error}"),
    };
    let mut document = serde_json::Deserializer::from_slice(bytes);
    shape.deserialize(&mut document).map_err(bad)?;
    serde_json::from_slice(bytes).map_err(bad)
}

/// A key as Go compares it with the name of a field: without case, and with the two letters beyond
/// ASCII that are the other case of one (U+017F and U+212A).
fn folded(key: &str) -> String {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    key.chars().map(fold).collect()
}

impl<'de> DeserializeSeed<'de> for Shape {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document of an image")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let fields = match self {
            Shape::Struct(fields) => fields,
            Shape::Any | Shape::List(_) => &[],
        };
        while let Some(key) = map.next_key::<String>()? {
            if let Some((_, shape)) = fields.iter().find(|(name, _)| *name == key) {
                map.next_value_seed(*shape)?;
                continue;
            }
            if let Some((name, _)) = fields.iter().find(|(name, _)| folded(name) == folded(&key)) {
                return Err(A::Error::custom(format_args!(
                    "the key `{key}` is taken for `{name}` by runtimes that ignore case; leave it out"
                )));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let of = match self {
            Shape::List(of) => *of,
            Shape::Any | Shape::Struct(_) => Shape::Any,
        };
        while list.next_element_seed(of)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape::List(&Shape::Struct(&[
        ("Layers", Shape::Any),
        ("rootfs", Shape::Struct(&[("diff_ids", Shape::Any)])),
        ("Token", Shape::Any),
        ("Labels", Shape::Any),
    ]));

    #[test]
    fn a_key_that_go_takes_for_a_field_is_refused() {
        let read = |text: &str| parse::<serde_json::Value>("x", text.as_bytes(), SHAPE);
        let fine = [
            r#"[{"Layers":[1,-1,1.5,null,true,{"layers":""}],"rootfs":{"diff_ids":null,"type":""}}]"#,
            r#"[{"Labels":{"layers":"","Layers":"","LABELS":""},"history":[{"rootFS":1}]}]"#,
            r#"[null,7,"layers",[{"layers":0}]]"#,
            r#"{"layers":[]}"#,
        ];
        for text in fine {
            read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        for (key, text) in [
            ("layers", r#"[{"Layers":[],"layers":[]}]"#),
            ("LAYERS", r#"[{"LAYERS":[]}]"#),
            ("Rootfs", r#"[{"Rootfs":{}}]"#),
            ("Diff_Ids", r#"[{"rootfs":{"Diff_Ids":[]}}]"#),
            ("Layerſ", r#"[{"Layer\u017f":[]}]"#),
            ("To\u{212a}en", r#"[{"To\u212aen":[]}]"#),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(
                error.starts_with(&format!("x: cannot be read: the key `{key}` is taken for `")),
                "{error}"
            );
        }
    }
}
