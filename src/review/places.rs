//! Where the entries of a profile are in its text.

use std::collections::BTreeMap;

use crate::profile::positions;

/// A line and a column, both from 1; the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextPlace {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// The place of every value of a JSON text, by its JSON Pointer.
#[derive(Clone, Debug)]
pub struct TextPlaces {
    all: BTreeMap<String, TextPlace>,
}

impl TextPlaces {
    /// The places in a text that was read as a profile once.
    pub fn of(text: &str) -> TextPlaces {
        let mut found: Vec<(String, usize)> = positions(text);
        found.sort_by_key(|(_, offset)| *offset);
        let (mut line, mut column, mut at) = (1, 1, 0);
        let mut all = BTreeMap::new();
        for (pointer, offset) in found {
            for c in text[at..offset].chars() {
                (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
            }
            at = offset;
            all.insert(pointer, TextPlace { line, column });
        }
        TextPlaces { all }
    }

    /// The place of the value at a pointer, or of the nearest value above it that is there.
    pub fn at(&self, pointer: &str) -> TextPlace {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.all.get(pointer) {
                return *place;
            }
            match pointer.rfind('/') {
                Some(end) => pointer = &pointer[..end],
                None => return TextPlace { line: 1, column: 1 },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_places_that_errors_have() {
        let text = "{ \"remit\": 1, \"name\": \"x\",\n  \"files\": [\"@names\",\n    { \"path\": \"/ä\", \"allow\": [\"read\", \"write\"] }],\n\"a/b\": 1}";
        let places = TextPlaces::of(text);
        for (pointer, line, column) in [
            ("", 1, 1),
            ("/remit", 1, 12),
            ("/files/0", 2, 13),
            ("/files/1", 3, 5),
            ("/files/1/allow/1", 3, 38),
            ("/a~1b", 4, 8),
            ("/files/9/path", 2, 12),
            ("/network/listen/0", 1, 1),
        ] {
            assert_eq!(places.at(pointer), TextPlace { line, column }, "{pointer}");
        }
    }
}
