//! Events that a newer remit may have written: their meaning is not known here, so each reader says how
//! many there are.

use super::model::{NAMES, VERSION};
use crate::visible::counted;

/// Counts the events that cannot be read here.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewerEvents {
    versions: u64,
    names: u64,
}

impl NewerEvents {
    /// Whether an event of this version and name is one that is known here; it is counted otherwise.
    pub fn knows(&mut self, version: u64, name: &str) -> bool {
        let (is_version, is_name) = (version == VERSION, NAMES.contains(&name));
        self.versions += u64::from(!is_version);
        self.names += u64::from(is_version && !is_name);
        is_version && is_name
    }

    /// A sentence for each reason.
    pub fn sentences(self) -> Vec<String> {
        let why = [
            (self.versions, format!("of another version than {VERSION} left out; use a newer remit")),
            (self.names, "of a name that this remit does not know left out; use a newer remit".to_owned()),
        ];
        let found = why.into_iter().filter(|(count, _)| *count > 0);
        found.map(|(count, why)| format!("{} {why}", counted(count, "event"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_remit_wrote_is_counted() {
        let mut newer = NewerEvents::default();
        assert!(NAMES.iter().all(|name| newer.knows(VERSION, name)));
        assert_eq!(newer.sentences(), [""; 0]);
        for (version, name) in
            [(0, "stop"), (VERSION + 1, "stop"), (VERSION + 1, "paused"), (VERSION, "paused")]
        {
            assert!(!newer.knows(version, name), "{version} {name}");
        }
        assert!(!newer.knows(VERSION, ""));
        let [versions, names] = newer.sentences().try_into().expect("two");
        assert!(versions.starts_with("3 events of another version than 1 "), "{versions}");
        assert!(names.starts_with("2 events of a name that this remit does not know "), "{names}");
    }
}
