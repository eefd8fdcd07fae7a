//! What of all that is observed becomes a line: each thing once a phase, and of a
//! directory with endless names no more than a profile could be made of. Pure; its
//! memory is bounded.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::calls::Kind;
use crate::journal::line::Observed;
use crate::journal::observation::{Observation, Phase};

/// Observations that are remembered to have been written; past it all are forgotten,
/// and may be written once more.
const MANY: usize = 1 << 16;
/// Directories whose names are counted; past it, and past [`MANY`] names, the counting
/// begins anew.
const DIRECTORIES: usize = 4096;
/// Names in one directory that are told apart, and as many of those that came to nothing:
/// however many are looked for in vain, those that are there are told. `remit build`
/// tells fewer apart, so that nothing is lost.
const NAMES: u32 = 1100;

/// What has been written.
#[derive(Debug)]
pub struct Deduplicator {
    phase: Phase,
    hasher: RandomState,
    written: HashSet<u64>,
    /// Calls by number, kind and the value that matters, so that one that was seen before is
    /// told without looking at who makes it.
    calls: HashSet<(u32, Kind, u64)>,
    /// How many names of a directory are told apart.
    names: HashMap<u64, u32>,
    /// Those names.
    counted: HashSet<u64>,
}

/// Something that is new: its line, and what to remember once that is written.
#[derive(Debug)]
pub struct New {
    /// The line.
    pub line: Observed,
    /// What to remember.
    pub key: u64,
}

impl Default for Deduplicator {
    fn default() -> Deduplicator {
        Deduplicator {
            phase: Phase::Startup,
            hasher: RandomState::new(),
            written: HashSet::new(),
            calls: HashSet::new(),
            names: HashMap::new(),
            counted: HashSet::new(),
        }
    }
}

impl Deduplicator {
    /// Start-up is over: all that is seen from now on is new.
    pub fn serves(&mut self) {
        self.phase = Phase::Serving;
        self.written.clear();
        self.calls.clear();
        self.names.clear();
        self.counted.clear();
    }

    /// Whether this call of this kind with this value of what matters of it was seen in this phase.
    pub fn knows_call(&self, number: u32, kind: Kind, value: u64) -> bool {
        self.calls.contains(&(number, kind, value))
    }

    /// What was remembered to be written may not be.
    pub fn forget(&mut self) {
        self.written.clear();
        self.calls.clear();
    }

    /// It was, and is written.
    pub fn remember_call(&mut self, number: u32, kind: Kind, value: u64) {
        if self.calls.len() >= MANY {
            self.calls.clear();
        }
        self.calls.insert((number, kind, value));
    }

    /// The line for something that was observed so long after the launch, unless it was
    /// written in this phase.
    pub fn observe(&mut self, at: Duration, observation: &Observation) -> Option<New> {
        let key = self.key(observation);
        if self.written.contains(&key) {
            return None;
        }
        Some(New { line: Observed::new(at, self.phase, observation.clone()), key })
    }

    /// Its line is on its way.
    pub fn remember(&mut self, key: u64) {
        if self.written.len() >= MANY {
            self.written.clear();
        }
        self.written.insert(key);
    }

    /// By what it is the same as another: its path, or where there are too many of them
    /// in one directory, that.
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
        // The same name otherwise is no other name.
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
