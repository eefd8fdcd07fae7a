//! YAML, written for people and read with bounds.

use serde::Serialize;
use serde_json::Value;

use super::{MAX_BYTES, Unconvertible};

/// A value as a YAML document.
pub(super) fn text(value: &impl Serialize) -> String {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    // A value of our own types has no key that is no text and no number that YAML lacks.
    serde_saphyr::to_string_with_options(value, options).unwrap_or_default()
}

/// The first document of a YAML text, of which JSON is a part. Nesting, aliases and the number of
/// values are bounded.
///
/// # Errors
/// The text is too long, is no YAML, or exceeds a bound.
pub(super) fn value(text: &[u8]) -> Result<Value, Unconvertible> {
    if text.len() > MAX_BYTES {
        return Err(Unconvertible(format!("has {} bytes; at most {MAX_BYTES} are read", text.len())));
    }
    let text = std::str::from_utf8(text).map_err(|error| Unconvertible(format!("is not UTF-8: {error}")))?;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: 32, max_documents: 1, max_anchors: 256, max_aliases: 256 },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let message = error.to_string();
        Unconvertible(format!("is no YAML that can be read: {}", message.lines().next().unwrap_or_default()))
    })
}
