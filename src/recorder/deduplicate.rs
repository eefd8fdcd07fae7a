//! Decides which observations become a line: each once a phase, and of a directory with unbounded
//! names no more than a profile uses. Pure; its memory is bounded.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::calls::Kind;
use crate::journal::line::Observed;
use crate::journal::observation::{Observation, Phase};

/// Observations remembered as written. Beyond it all are forgotten, and may be written again.
const MANY: usize = 1 << 16;
/// Directories whose names are counted. Beyond it, and beyond [`MANY`] names, the counts restart.
const DIRECTORIES: usize = 4096;
/// Distinct names recorded in one directory, and as many again whose access failed: failed lookups
/// never use up the names of files that exist. `remit build` distinguishes fewer, so it loses
/// nothing.
const NAMES: u32 = 1100;

/// What has been written.
#[derive(Debug)]
pub struct Deduplicator {
    phase: Phase,
    hasher: RandomState,
    written: HashSet<u64>,
    /// Recorded calls by number, kind and the value that matters, so that a repeated call needs no
    /// read of its caller.
    calls: HashSet<(u32, Kind, u64)>,
    /// Calls by number and the value that matters whose program was recorded.
    made: HashSet<(u32, u64)>,
    /// The number of distinct names of each directory.
    names: HashMap<u64, u32>,
    /// The names counted.
    counted: HashSet<u64>,
}

/// A new observation: its line, and the key to remember once it is written.
#[derive(Debug)]
pub struct New {
    /// The line to write.
    pub line: Observed,
    /// The key for [`Deduplicator::remember`].
    pub key: u64,
}

impl Default for Deduplicator {
    fn default() -> Deduplicator {
        Deduplicator {
            phase: Phase::Startup,
            hasher: RandomState::new(),
            written: HashSet::new(),
            calls: HashSet::new(),
            made: HashSet::new(),
            names: HashMap::new(),
            counted: HashSet::new(),
        }
    }
}

impl Deduplicator {
    /// Start-up is over: all later observations are new.
    pub fn serves(&mut self) {
        self.phase = Phase::Serving;
        self.written.clear();
        self.calls.clear();
        self.made.clear();
        self.names.clear();
        self.counted.clear();
    }

    /// A hash of a name, by which it is remembered.
    pub fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    /// Whether this call of this kind with this value was recorded in this phase.
    pub fn knows_call(&self, number: u32, kind: Kind, value: u64) -> bool {
        self.calls.contains(&(number, kind, value))
    }

    /// Forgets everything: lines remembered as written may have been lost.
    pub fn forget(&mut self) {
        self.written.clear();
        self.calls.clear();
        self.made.clear();
    }

    /// Whether no program was recorded yet that made this call with this value in this phase.
    pub fn lacks_program(&self, number: u32, value: u64) -> bool {
        !self.made.contains(&(number, value))
    }

    /// Remembers that a program was recorded that made this call.
    pub fn remember_program(&mut self, number: u32, value: u64) {
        if self.made.len() >= MANY {
            self.made.clear();
        }
        self.made.insert((number, value));
    }

    /// Remembers that a call was recorded.
    pub fn remember_call(&mut self, number: u32, kind: Kind, value: u64) {
        if self.calls.len() >= MANY {
            self.calls.clear();
        }
        self.calls.insert((number, kind, value));
    }

    /// The line for an observation made `at` after the launch, unless it was written in this phase.
    pub fn observe(&mut self, at: Duration, observation: &Observation) -> Option<New> {
        let key = self.key(observation);
        if self.written.contains(&key) {
            return None;
        }
        Some(New { line: Observed::new(at, self.phase, observation.clone()), key })
    }

    /// Remembers that the line of this key was queued.
    pub fn remember(&mut self, key: u64) {
        if self.written.len() >= MANY {
            self.written.clear();
        }
        self.written.insert(key);
    }

    /// The key that makes two observations equal: its path, or the directory where that has too many
    /// names.
    fn key(&mut self, observation: &Observation) -> u64 {
        let own = self.hasher.hash_one(observation);
        let Some(all) = observation.what.in_general() else { return own };
        if self.written.contains(&own) {
            return own;
        }
        let there = observation.result == "ok";
        let name = self.hasher.hash_one((observation.what.path(), there));
        if self.counted.contains(&name) {
            return own;
        }
        if self.names.len() >= DIRECTORIES || self.counted.len() >= MANY {
            self.names.clear();
            self.counted.clear();
        }
        let names = self.names.entry(self.hasher.hash_one((all.path(), there))).or_insert(0);
        if *names < NAMES {
            *names += 1;
            self.counted.insert(name);
            return own;
        }
        let all = Observation { what: all, result: observation.result.clone() };
        self.hasher.hash_one(&all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::line::Line;
    use crate::journal::observation::{Of, What};

    fn open(path: &str, result: &str) -> Observation {
        let of = Of { mount: "image".into(), mount_point: String::new() };
        let (program, path) = ("/app".to_owned(), path.to_owned());
        let what = What::Open { program, path, access: vec!["write".into()], of, directory: false };
        Observation { what, result: result.to_owned() }
    }

    fn written(deduplicator: &mut Deduplicator, observation: &Observation) -> Option<String> {
        let new = deduplicator.observe(Duration::from_millis(7), observation)?;
        deduplicator.remember(new.key);
        Some(Line::Observed(new.line).text())
    }

    #[test]
    fn an_observation_is_written_once_a_phase() {
        let mut deduplicator = Deduplicator::default();
        let line = written(&mut deduplicator, &open("/data/x", "ok")).expect("new");
        assert_eq!(
            line,
            r#"{"t":7,"phase":"startup","kind":"open","program":"/app","path":"/data/x","access":["write"],"mount":"image","result":"ok"}"#
        );
        assert_eq!(written(&mut deduplicator, &open("/data/x", "ok")), None);
        assert!(written(&mut deduplicator, &open("/data/x", "EACCES")).is_some(), "another result");
        deduplicator.remember_call(1, Kind::Plain, 2);
        assert!(deduplicator.knows_call(1, Kind::Plain, 2) && !deduplicator.knows_call(1, Kind::Plain, 3));
        assert!(!deduplicator.knows_call(1, Kind::Memory, 2));
        deduplicator.serves();
        assert!(!deduplicator.knows_call(1, Kind::Plain, 2));
        let line = written(&mut deduplicator, &open("/data/x", "ok")).expect("another phase");
        assert!(line.contains(r#""phase":"serving""#), "{line}");
    }

    #[test]
    fn what_was_not_written_is_new_again() {
        let mut deduplicator = Deduplicator::default();
        assert!(deduplicator.observe(Duration::ZERO, &open("/x", "ok")).is_some());
        assert!(written(&mut deduplicator, &open("/x", "ok")).is_some(), "the first was dropped");
        assert_eq!(written(&mut deduplicator, &open("/x", "ok")), None);
    }

    #[test]
    fn names_without_end_are_as_many_lines_as_a_profile_is_made_of() {
        let mut deduplicator = Deduplicator::default();
        let lines = (0..100_000)
            .filter_map(|n| written(&mut deduplicator, &open(&format!("/tmp/{n}"), "ok")))
            .count();
        assert_eq!(lines, NAMES as usize + 1);
        assert!(written(&mut deduplicator, &open("/tmp/again", "EACCES")).is_some(), "something else in it");
        assert!(written(&mut deduplicator, &open("/data/1", "ok")).is_some(), "another directory");
        assert!(deduplicator.written.len() < MANY && deduplicator.names.len() < DIRECTORIES);
    }

    #[test]
    fn names_that_are_not_there_use_up_none_of_those_that_are() {
        let mut deduplicator = Deduplicator::default();
        let mut lines = |names: u32, result: &str| {
            let new = |n| written(&mut deduplicator, &open(&format!("/cache/{n}"), result));
            (0..names).filter_map(new).count()
        };
        assert_eq!(lines(5000, "ENOENT"), NAMES as usize + 1);
        assert_eq!(lines(NAMES - 1, "ok"), NAMES as usize - 1);
        // The same name with another access counts once.
        let what = |n: u32, access: &'static str| {
            let of = Of { mount: "image".into(), mount_point: String::new() };
            let (program, path) = ("/app".to_owned(), format!("/cache/{n}"));
            Observation::ok(What::Open { program, path, access: vec![access.into()], of, directory: false })
        };
        for access in ["read", "create"] {
            assert!(written(&mut deduplicator, &what(0, access)).is_some());
        }
        let last = written(&mut deduplicator, &what(NAMES, "write")).expect("the last name");
        assert!(last.contains(&format!("/cache/{NAMES}")), "{last}");
        let more = written(&mut deduplicator, &what(NAMES + 1, "write")).expect("one too many");
        assert!(
            more.contains("/cache/1101")
                && deduplicator.observe(Duration::ZERO, &what(NAMES + 2, "write")).is_none()
        );
    }

    #[test]
    fn its_memory_is_bounded() {
        let mut deduplicator = Deduplicator::default();
        for n in 0..3 * MANY as u32 {
            written(&mut deduplicator, &open(&format!("/data/{n}/x"), "ok"));
            deduplicator.remember_call(n, Kind::Plain, 0);
        }
        assert!(deduplicator.written.len() <= MANY);
        assert!(deduplicator.calls.len() <= MANY);
        assert!(deduplicator.names.len() <= DIRECTORIES);
        assert!(deduplicator.counted.len() <= MANY);
    }
}
