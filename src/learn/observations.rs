//! The aggregated facts of many runs, each with the runs that showed it.
//!
//! Joining is commutative, associative and idempotent: the order in which journals are read, and
//! earlier joins, make no difference.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::InputFault;
use super::fact::{Did, Fact, Mount, Seen};
use super::runs::Runs;
use crate::journal::observation::Phase;
use crate::journal::run::Run;
use crate::reach::compare::LearnedCalls;

/// The most names in one directory that are distinguished; beyond it only the actions in the directory
/// are recorded.
const NAMES: usize = 1000;

/// The facts of runs.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    runs: Vec<Run>,
    /// The final number of each run: its own, or that of the same run read before.
    same: Vec<usize>,
    facts: HashMap<Fact, Seen>,
    /// The hashes of names by directory, to count them.
    names: HashMap<String, BTreeSet<u64>>,
    /// Directories with more than [`NAMES`] names.
    full: BTreeSet<String>,
    /// Its runs are compared when it is joined with the other parts.
    is_part: bool,
}

impl Observations {
    /// A part of a set, for one of several threads that read runs. Its runs may be any: they are
    /// compared by [`admit`](Observations::admit), in the order in which they were given.
    pub fn part() -> Observations {
        Observations { is_part: true, ..Observations::default() }
    }

    /// The runs, sorted by name, each once.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The facts in sorted order.
    pub fn facts(&self) -> BTreeMap<&Fact, &Seen> {
        self.facts.iter().collect()
    }

    /// The facts in no order: sorting hundreds of thousands takes longer than most uses of them.
    pub fn unsorted(&self) -> impl ExactSizeIterator<Item = (&Fact, &Seen)> {
        self.facts.iter()
    }

    /// The names of the system calls that runs made, as far as they are facts of their own.
    pub fn calls(&self) -> BTreeSet<&str> {
        let calls = self.facts.keys().filter_map(|fact| match fact {
            Fact::Call { call, .. } => Some(call.as_str()),
            _ => None,
        });
        calls.collect()
    }

    /// The calls of all runs, to compare with what programs can make.
    pub fn learned_calls(&self) -> LearnedCalls {
        LearnedCalls {
            calls: self.calls().into_iter().map(str::to_owned).collect(),
            with_base: self.runs.iter().all(|run| run.exact),
            arch: self.runs.first().and_then(|run| run.fingerprint.arch.parse().ok()),
        }
    }

    /// Directories whose names are not distinguished.
    pub fn full(&self) -> &BTreeSet<String> {
        &self.full
    }

    /// Adds a run. Returns its number, for its facts.
    pub(super) fn begin(&mut self, run: Run) -> Result<usize, InputFault> {
        if let Some(first) = self.runs.first().filter(|_| !self.is_part) {
            if first.fingerprint.arch != run.fingerprint.arch {
                return Err(InputFault::Architectures(
                    [first, &run].map(|run| (run.run.clone(), run.fingerprint.arch.clone())),
                ));
            }
            if first.command != run.command {
                return Err(InputFault::Programs(
                    [first, &run].map(|run| (run.run.clone(), run.command.clone())),
                ));
            }
        }
        self.runs.push(run);
        self.same.push(self.runs.len() - 1);
        Ok(self.runs.len() - 1)
    }

    /// Completes a run from its last line. Returns whether it was read before.
    pub(super) fn end(&mut self, number: usize, complete: impl FnOnce(&mut Run)) -> Result<bool, InputFault> {
        complete(&mut self.runs[number]);
        if self.is_part {
            return Ok(false);
        }
        let run = &self.runs[number];
        let Some(earlier) = self.runs[..number].iter().position(|other| other.run == run.run) else {
            return Ok(false);
        };
        if self.runs[earlier].journal != run.journal {
            return Err(InputFault::SameName(run.run.clone()));
        }
        self.same[number] = self.same[earlier];
        Ok(true)
    }

    /// Records that a run showed a fact, with an example literal.
    pub(super) fn add(&mut self, fact: Fact, run: usize, phase: Phase, example: Option<&str>) {
        if let Some(seen) = self.facts.get_mut(&fact) {
            seen.note(run, phase);
            if let Some(example) = example {
                seen.example(example);
            }
            return;
        }
        let mut seen = Seen::default();
        seen.note(run, phase);
        if let Some(example) = example {
            seen.example(example);
        }
        self.put(fact, seen);
    }

    /// Adds a fact with the runs that showed it.
    fn put(&mut self, fact: Fact, seen: Seen) {
        let fact = match fact {
            Fact::File { path, did, mount } => Fact::File { path: self.recorded_path(path), did, mount },
            Fact::Moved { from, to } => {
                // The second path may fill the directory of the first.
                self.recorded_path(from.clone());
                Fact::Moved { to: self.recorded_path(to), from: self.recorded_path(from) }
            }
            other => other,
        };
        match self.facts.entry(fact) {
            Entry::Occupied(mut known) => known.get_mut().join(&seen),
            Entry::Vacant(place) => drop(place.insert(seen)),
        }
    }

    /// The path under which a file's facts are recorded: its own, or that of all files in a directory
    /// with too many names.
    fn recorded_path(&mut self, path: String) -> String {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if let Some(full) = self.full_above(directory) {
            return format!("{full}/*");
        }
        if name == "*" {
            return path;
        }
        let names = match self.names.get_mut(directory) {
            Some(names) => names,
            None => self.names.entry(directory.to_owned()).or_default(),
        };
        names.insert(hash(name));
        if names.len() <= NAMES {
            return path;
        }
        let directory = directory.to_owned();
        self.fill(directory.clone());
        format!("{directory}/*")
    }

    /// The highest directory, on the way to this one, that is full.
    fn full_above(&self, directory: &str) -> Option<String> {
        if self.full.is_empty() {
            return None;
        }
        let ends = directory.match_indices('/').map(|(at, _)| at).skip(1).chain([directory.len()]);
        ends.map(|end| &directory[..end]).find(|above| self.full.contains(*above)).map(str::to_owned)
    }

    /// Marks a directory as full: facts of files below it become facts of the directory.
    fn fill(&mut self, directory: String) {
        let below = format!("{directory}/");
        let is_inside = |fact: &&Fact| match fact {
            Fact::File { path, .. } => path.starts_with(&below),
            Fact::Moved { from, to } => from.starts_with(&below) || to.starts_with(&below),
            _ => false,
        };
        let inside: Vec<Fact> = self.facts.keys().filter(is_inside).cloned().collect();
        self.names.retain(|name, _| *name != directory && !name.starts_with(&below));
        self.full.retain(|full| !full.starts_with(&below));
        self.full.insert(directory.clone());
        for fact in inside {
            let seen = self.facts.remove(&fact).unwrap_or_default();
            let whole = |path: String| if path.starts_with(&below) { format!("{below}*") } else { path };
            let fact = match fact {
                Fact::File { path, did, mount } => Fact::File { path: whole(path), did, mount },
                Fact::Moved { from, to } => Fact::Moved { from: whole(from), to: whole(to) },
                other => other,
            };
            self.facts.entry(fact).or_default().join(&seen);
        }
    }

    /// Adds another set of observations.
    ///
    /// # Errors
    /// The programs or the architecture differ, or two runs have one name.
    pub fn join(&mut self, other: Observations) -> Result<(), InputFault> {
        let numbers = other.runs.iter().map(|run| Ok(self.admit(run)?.0)).collect::<Result<Vec<_>, _>>()?;
        self.put_all(other, &numbers);
        Ok(())
    }

    /// Adds a run of a part. Returns its number here, and whether the same run is here already.
    ///
    /// # Errors
    /// The program or the architecture differs, or another run has its name.
    pub fn admit(&mut self, run: &Run) -> Result<(usize, bool), InputFault> {
        let number = self.begin(run.clone())?;
        Ok((number, self.end(number, |_| {})?))
    }

    /// Adds the facts of a part, whose runs have these numbers here.
    pub fn absorb(&mut self, part: Observations, numbers: &[usize]) {
        if !self.facts.is_empty() || !self.full.is_empty() {
            return self.put_all(part, numbers);
        }
        (self.facts, self.names, self.full) = (part.facts, part.names, part.full);
        for seen in self.facts.values_mut() {
            seen.startup = seen.startup.renumbered(numbers);
            seen.serving = seen.serving.renumbered(numbers);
        }
    }

    fn put_all(&mut self, other: Observations, numbers: &[usize]) {
        for directory in &other.full {
            if self.full_above(directory).is_none() {
                self.fill(directory.clone());
            }
        }
        for (fact, seen) in other.facts {
            let seen = Seen {
                startup: seen.startup.renumbered(numbers),
                serving: seen.serving.renumbered(numbers),
                examples: seen.examples,
            };
            self.put(fact, seen);
        }
    }

    /// Numbers the runs by name, each once, so the order of reading makes no difference.
    pub fn settle(&mut self) {
        let mut order: Vec<usize> = (0..self.runs.len()).filter(|run| self.same[*run] == *run).collect();
        order.sort_by(|a, b| self.runs[*a].run.cmp(&self.runs[*b].run));
        let mut place = vec![0; self.runs.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old] = new;
        }
        let numbers: Vec<usize> = self.same.iter().map(|same| place[*same]).collect();
        for seen in self.facts.values_mut() {
            seen.startup = seen.startup.renumbered(&numbers);
            seen.serving = seen.serving.renumbered(&numbers);
        }
        self.runs = order.iter().map(|old| self.runs[*old].clone()).collect();
        self.same = (0..self.runs.len()).collect();
    }

    /// The facts as the evidence file has them.
    pub fn lines(&self) -> impl Iterator<Item = FactLine<'_>> {
        self.facts().into_iter().map(|(fact, seen)| FactLine {
            fact: Some(Cow::Borrowed(fact)),
            startup: seen.startup.to_string(),
            serving: seen.serving.to_string(),
            examples: Cow::Borrowed(&seen.examples),
        })
    }

    /// Restores observations from the evidence file. Unknown facts are left out.
    ///
    /// # Errors
    /// The parts are no evidence.
    pub fn from_parts(
        runs: Vec<Run>,
        facts: &[&serde_json::value::RawValue],
        full: BTreeSet<String>,
    ) -> Result<Observations, InputFault> {
        let mut observations = Observations { full, ..Observations::default() };
        let count = runs.len();
        for run in runs {
            let number = observations.begin(run)?;
            observations.end(number, |_| {})?;
        }
        for fact in facts {
            let line: FactLine = serde_json::from_str(fact.get()).map_err(|_| InputFault::Observations)?;
            let runs = |text: &str| Runs::parse(text, count).ok_or(InputFault::Observations);
            let seen = Seen {
                startup: runs(&line.startup)?,
                serving: runs(&line.serving)?,
                examples: line.examples.into_owned(),
            };
            if let Some(known) = line.fact {
                observations.put(known.into_owned(), seen);
            }
        }
        Ok(observations)
    }
}

/// A fact of the evidence file: a JSON object.
#[derive(Serialize, Deserialize)]
pub struct FactLine<'o> {
    /// `None` for a fact of a newer version.
    #[serde(flatten)]
    fact: Option<Cow<'o, Fact>>,
    /// The numbers of the runs that showed it before ready, in the form of [`Runs`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    startup: String,
    /// Those that showed it after ready.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    serving: String,
    #[serde(default, skip_serializing_if = "has_none")]
    examples: Cow<'o, BTreeSet<String>>,
}

fn has_none(examples: &BTreeSet<String>) -> bool {
    examples.is_empty()
}

impl Seen {
    fn note(&mut self, run: usize, phase: Phase) {
        match phase {
            Phase::Startup => self.startup.insert(run),
            Phase::Serving => self.serving.insert(run),
        }
    }
}

/// The same in every run of this binary, so that the count of names does not depend on chance.
fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// The used files: by path, the actions and their mounts.
pub fn files<'o>(
    facts: &BTreeMap<&'o Fact, &'o Seen>,
) -> impl Iterator<Item = (&'o str, Did, &'o Mount, &'o Seen)> {
    facts.iter().filter_map(|(fact, seen)| match fact {
        Fact::File { path, did, mount } => Some((path.as_str(), *did, mount, *seen)),
        _ => None,
    })
}
