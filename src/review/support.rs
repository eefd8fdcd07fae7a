//! The evidence for the entries of a profile, as `remit build` wrote it beside the profile.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::journal::run::Run;
use crate::learn::evidence::VERSION;
use crate::learn::{Unusable, evidence};
use crate::profile::Document;

/// Why an entry is in a profile, and which runs needed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Support {
    /// In words.
    pub because: String,
    /// The call whose class the entry completes.
    pub completes: Option<String>,
    /// How many runs showed it.
    pub runs: usize,
    /// Of how many.
    pub of: usize,
    /// The names of the first runs that showed it, three at most.
    pub names: Vec<String>,
    /// The labels of the runs that showed it, sorted.
    pub labels: Vec<String>,
    /// `startup`, `serving`.
    pub phases: Vec<String>,
    /// Names that were seen, where the entry stands for several.
    pub examples: Vec<String>,
}

/// The evidence of a profile, by entry.
#[derive(Clone, Debug, Default)]
pub struct SupportFile {
    rules: BTreeMap<String, Support>,
    /// The number of runs.
    pub runs: usize,
    /// It belongs to another text of the profile, so that its entries were found by what they grant.
    pub is_stale: bool,
}

/// The names of runs that are printed.
const NAMES: usize = 3;

/// The file, without its facts.
#[derive(Deserialize)]
struct RulesOfFile {
    evidence: u64,
    profile_digest: String,
    #[serde(default)]
    runs: Vec<Run>,
    #[serde(default)]
    rules: BTreeMap<String, RuleOfFile>,
    #[serde(default, rename = "facts")]
    _facts: IgnoredAny,
}

#[derive(Deserialize)]
struct RuleOfFile {
    #[serde(default)]
    because: String,
    #[serde(default)]
    completes: Option<String>,
    #[serde(default)]
    examples: Vec<String>,
    #[serde(default)]
    phase: Vec<String>,
    #[serde(default)]
    runs: Vec<usize>,
}

impl SupportFile {
    /// Reads an evidence file; `name` is what messages call it. Where it was written with another text of
    /// the profile, the entries are found again by what they grant.
    ///
    /// # Errors
    /// It is no evidence, or of a newer version.
    pub fn read(name: &str, bytes: &[u8], document: &Document) -> Result<SupportFile, Unusable> {
        let Ok(file) = serde_json::from_slice::<RulesOfFile>(bytes) else {
            // Its own reader says what is wrong.
            return SupportFile::again(name, bytes, document);
        };
        if file.evidence != VERSION || file.profile_digest != document.digest {
            return SupportFile::again(name, bytes, document);
        }
        let rules = file.rules.into_iter().map(|(pointer, rule)| {
            let support = of_runs(&rule.runs, &file.runs);
            let RuleOfFile { because, completes, examples, phase, .. } = rule;
            (pointer, Support { because, completes, examples, phases: phase, ..support })
        });
        Ok(SupportFile { rules: rules.collect(), runs: file.runs.len(), is_stale: false })
    }

    /// From the observations, whatever text they were written with.
    fn again(name: &str, bytes: &[u8], document: &Document) -> Result<SupportFile, Unusable> {
        let known = evidence::read(name, bytes)?;
        let learned = crate::learn::build(&known.observations, &crate::learn::Wanted::default());
        let all = known.observations.runs();
        let by_pointer = crate::learn::by_pointer(&document.profile, &learned.reasons).into_iter();
        let rules = by_pointer.filter(|(_, (_, reason))| !reason.seen.runs().is_empty()).map(
            |(pointer, (_, reason))| {
                let runs: Vec<usize> = reason.seen.runs().iter().collect();
                let phases = [("startup", &reason.seen.startup), ("serving", &reason.seen.serving)];
                let phases =
                    phases.iter().filter(|(_, runs)| !runs.is_empty()).map(|(name, _)| (*name).to_owned());
                let support = Support {
                    because: reason.because,
                    completes: reason.completes.map(str::to_owned),
                    examples: reason.seen.examples.iter().cloned().collect(),
                    phases: phases.collect(),
                    ..of_runs(&runs, all)
                };
                (pointer, support)
            },
        );
        let is_stale = known.profile_digest != document.digest;
        Ok(SupportFile { rules: rules.collect(), runs: all.len(), is_stale })
    }

    /// The evidence of an entry, by its JSON Pointer; of a part of an entry that of the entry.
    pub fn at(&self, pointer: &str) -> Option<Support> {
        let mut pointer = pointer;
        loop {
            if let Some(found) = self.rules.get(pointer) {
                return Some(found.clone());
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

/// The names and labels of runs, by their numbers.
fn of_runs(numbers: &[usize], all: &[Run]) -> Support {
    let runs: Vec<&Run> = numbers.iter().filter_map(|number| all.get(*number)).collect();
    let mut labels: Vec<String> =
        runs.iter().filter(|run| !run.label.is_empty()).map(|run| run.label.clone()).collect();
    labels.sort();
    labels.dedup();
    Support {
        runs: runs.len(),
        of: all.len(),
        names: runs.iter().take(NAMES).map(|run| run.run.clone()).collect(),
        labels,
        ..Support::default()
    }
}
