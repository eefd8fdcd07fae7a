//! Reachable calls beside those that a profile allows, and those that learning runs showed.

use std::collections::BTreeSet;

use super::dangerous::danger;
use super::report::Reach;

/// A profile beside what its programs can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachComparison {
    /// The profile's name.
    pub profile: String,
    /// The calls that it allows, whatever their arguments.
    pub listed: BTreeSet<String>,
    /// Reachable, and not allowed: what the profile is tighter by.
    pub between: BTreeSet<String>,
    /// Those of them that are dangerous.
    pub dangerous: BTreeSet<String>,
    /// Allowed and dangerous.
    pub allowed_dangerous: BTreeSet<String>,
    /// Allowed, and not reachable: could be taken out.
    pub needless: BTreeSet<String>,
    /// Shown by learning runs, and not reachable: the journal or the image is not what it seems. None
    /// where there is no evidence, or where what is reachable has no bound.
    pub alarms: BTreeSet<String>,
    /// How many calls the evidence has; `None` without evidence.
    pub learned: Option<usize>,
}

/// What the start itself needs: the exec of COMMAND.
const START: [&str; 2] = ["execve", "execveat"];

impl ReachComparison {
    /// Compares what programs can do with what a profile lists and what its evidence has.
    pub fn new(
        profile: &str,
        listed: BTreeSet<String>,
        learned: Option<&BTreeSet<String>>,
        reach: &Reach,
    ) -> ReachComparison {
        let reachable: BTreeSet<String> = reach.calls.keys().cloned().collect();
        let between: BTreeSet<String> = reachable.difference(&listed).cloned().collect();
        let not_reachable = |calls: &BTreeSet<String>| -> BTreeSet<String> {
            let others = calls.difference(&reachable).filter(|call| !START.contains(&call.as_str()));
            others.cloned().collect()
        };
        let dangerous = |calls: &BTreeSet<String>| -> BTreeSet<String> {
            calls.iter().filter(|call| danger(call).is_some()).cloned().collect()
        };
        let bounded = reach.is_bounded();
        ReachComparison {
            profile: profile.to_owned(),
            dangerous: dangerous(&between),
            allowed_dangerous: dangerous(&listed),
            needless: if bounded { not_reachable(&listed) } else { BTreeSet::new() },
            alarms: learned.filter(|_| bounded).map(not_reachable).unwrap_or_default(),
            learned: learned.map(BTreeSet::len),
            between,
            listed,
        }
    }
}

#[cfg(test)]
mod tests;
