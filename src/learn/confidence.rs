//! The confidence in a profile: estimates by domain and phase, and a gate that checks whether the runs
//! support an estimate.
//!
//! Ten idle runs look complete to every estimator. So nothing here is ever called a
//! probability of safety, and each figure assumes future runs that resemble these.

use std::collections::{BTreeMap, BTreeSet};

use super::build::Reason;
use super::estimate::{Estimate, estimate};
use super::fact::{Fact, Seen};
use super::observations::Observations;
use super::runs::Runs;
use super::{InputFault, Name};
use crate::syscalls;

/// The largest ratio of two estimates of the total that counts as agreement.
const AGREE: f64 = 1.25;
/// The fewest runs that can be split or paired.
const FEW: usize = 4;

/// The domains, in the order of printing.
pub const DOMAINS: [&str; 5] = ["programs", "files", "network", "syscalls", "capabilities"];

/// The estimates and the gate.
#[derive(Clone, Debug)]
pub struct Confidence {
    /// The estimates over all domains.
    pub all: Phases,
    /// The estimates by domain.
    pub domains: BTreeMap<&'static str, Phases>,
    /// The checks of whether the runs represent later ones.
    pub gate: Gate,
}

/// Estimates of both phases, and of each phase alone.
#[derive(Clone, Copy, Debug)]
pub struct Phases {
    /// Both phases.
    pub all: Estimate,
    /// Before ready.
    pub startup: Estimate,
    /// After ready.
    pub serving: Estimate,
}

/// The checks that the runs must pass.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// Behaviours that were declared, and in how many runs each was seen.
    pub expected: Vec<(String, usize)>,
    /// Labels, with their runs and what they alone show.
    pub labels: BTreeMap<String, Label>,
    /// Runs that did nothing new after they were ready, of those that became ready.
    pub idle: usize,
    /// Runs that became ready.
    pub ready: usize,
    /// The estimate of the total from all runs, from each half of them, and from pairs
    /// taken as one run.
    pub totals: Option<[f64; 4]>,
    /// The failed checks; the gate is passed where there is none.
    pub failures: Vec<String>,
}

/// A label of a workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Label {
    /// The number of its runs.
    pub runs: usize,
    /// Behaviours that no run of another label shows: what would have been denied had
    /// this label been left out.
    pub novel: usize,
}

impl Gate {
    /// Whether the gate is passed.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Estimates over the grants of a profile, each by its name with the reason that it is
/// there for: after generalisation, since temporary names alone would never end.
///
/// # Errors
/// An expected behaviour is not of a kind that can be looked for.
pub fn confidence(
    observations: &Observations,
    grants: &BTreeMap<&str, &Reason>,
    expect: &[String],
) -> Result<Confidence, InputFault> {
    let runs = observations.runs().len();
    let behaviours = behaviours(observations, grants);
    let phases = |all: &[&Seen]| Phases {
        all: estimate(&all.iter().map(|seen| seen.runs()).collect::<Vec<_>>(), runs),
        startup: estimate(all.iter().map(|seen| &seen.startup), runs),
        serving: estimate(all.iter().map(|seen| &seen.serving), runs),
    };
    let all: Vec<&Seen> = behaviours.values().flat_map(BTreeMap::values).collect();
    let domains = behaviours
        .iter()
        .map(|(domain, seen)| (*domain, phases(&seen.values().collect::<Vec<_>>())))
        .collect();
    Ok(Confidence { all: phases(&all), domains, gate: gate(observations, &all, expect)? })
}

/// The behaviours over which confidence is estimated, by domain and name.
pub(super) fn behaviours<'g>(
    observations: &'g Observations,
    grants: &BTreeMap<&'g str, &Reason>,
) -> BTreeMap<&'static str, BTreeMap<&'g str, Seen>> {
    let mut behaviours: BTreeMap<&'static str, BTreeMap<&str, Seen>> =
        DOMAINS.map(|domain| (domain, BTreeMap::new())).into();
    for (key, reason) in grants {
        // A grant that completes a class, or that a user added, was not observed.
        let seen = !reason.seen.runs().is_empty() && reason.completes.is_none();
        if let Some((domain, behaviour)) = behaviour(key).filter(|_| seen) {
            behaviours.entry(domain).or_default().entry(behaviour).or_default().join(&reason.seen);
        }
    }
    for (fact, seen) in observations.unsorted() {
        // As if one run alone had shown it: that another container does the same is not known.
        if let Fact::Numbered { what } = fact
            && is_unconfirmed(what, seen)
        {
            let once = Seen { startup: seen.runs().iter().take(1).collect(), ..Seen::default() };
            let domain = if what.starts_with('/') { "files" } else { "network" };
            behaviours.entry(domain).or_default().insert(what, once);
        }
    }
    behaviours
}

/// Whether a name with a number was seen with one number only, or is of a file in a directory that is
/// not granted, so that it is refused under any other.
fn is_unconfirmed(what: &str, seen: &Seen) -> bool {
    what.starts_with('/') || seen.examples.len() < 2
}

/// The domain of a grant, and what stands for it there: of calls of one class the class,
/// since one of them brings the others. None for groups, which are there or not, and for
/// what restricts.
fn behaviour(key: &str) -> Option<(&'static str, &str)> {
    let (kind, what) = key.split_once(' ')?;
    Some(match kind {
        "program" | "edge" => ("programs", key),
        "file" => ("files", key),
        "listen" | "connect" => ("network", key),
        "syscall" => ("syscalls", syscalls::class(what).map_or(key, |class| class.about())),
        "capability" | "memory" => ("capabilities", key),
        _ => return None,
    })
}

fn gate(observations: &Observations, behaviours: &[&Seen], expect: &[String]) -> Result<Gate, InputFault> {
    let runs = observations.runs();
    let everything: Vec<Runs> = behaviours.iter().map(|seen| seen.runs()).collect();
    let (ready, served) = at_work(observations);
    let mut gate = Gate {
        expected: expected(observations, expect)?,
        labels: labels(observations, &everything),
        ready: ready.len(),
        idle: ready.iter().filter(|run| !served.contains(*run)).count(),
        totals: (runs.len() >= FEW).then(|| totals(&everything, runs.len())),
        failures: Vec::new(),
    };
    let mut fail = |what: String| gate.failures.push(what);
    let missing: Vec<&str> =
        gate.expected.iter().filter(|(_, runs)| *runs == 0).map(|(what, _)| what.as_str()).collect();
    if gate.expected.is_empty() {
        fail(
            "no behaviour was declared that has to be seen (--expect signal:HUP, --expect label:backup)"
                .into(),
        );
    } else if !missing.is_empty() {
        fail(format!(
            "{} of {} expected behaviours seen; never seen: {}",
            gate.expected.len() - missing.len(),
            gate.expected.len(),
            missing.join(", ")
        ));
    }
    let unread = observations.unsorted().filter(|(fact, _)| matches!(fact, Fact::Unread { .. })).count();
    if unread > 0 {
        fail(format!(
            "calls of {unread} kinds could not be read, and were not learned: the profile refuses them"
        ));
    }
    let numbered: BTreeMap<_, _> =
        observations.unsorted().filter(|(fact, _)| matches!(fact, Fact::Numbered { .. })).collect();
    for (fact, seen) in numbered {
        if let Fact::Numbered { what } = fact
            && is_unconfirmed(what, seen)
        {
            let why = match what.starts_with('/') {
                true => "another container has another number, and is refused this name",
                false => "seen with one number only; learn a run in which it has another",
            };
            fail(format!("{what}: {why}"));
        }
    }
    match gate.labels.len() {
        0 => fail("no run has a label, so that nothing tells workloads apart (--label)".into()),
        1 => fail("all runs have one label; another workload may do something else".into()),
        _ => {}
    }
    if gate.ready > 0 && gate.idle == gate.ready {
        fail("no run did anything after it was ready: idle runs look complete, and are not".into());
    }
    match gate.totals {
        None => {
            fail(format!("too few runs to compare halves of them: {}, where {FEW} are the least", runs.len()))
        }
        Some(totals) => {
            let most = totals.iter().copied().fold(0.0, f64::max);
            let least = totals.iter().copied().fold(f64::INFINITY, f64::min);
            if most > AGREE * least {
                fail(format!(
                    "unreliable: all runs point to {:.0} behaviours, halves of them to {:.0} and {:.0}, pairs to {:.0}",
                    totals[0], totals[1], totals[2], totals[3]
                ));
            }
        }
    }
    Ok(gate)
}

/// The runs that became ready, and those that then did something.
fn at_work(observations: &Observations) -> (Runs, Runs) {
    let (mut ready, mut served) = (Runs::default(), Runs::default());
    for (fact, seen) in observations.unsorted() {
        match fact {
            Fact::Ready { .. } => ready.join(&seen.runs()),
            _ => served.join(&seen.serving),
        }
    }
    (ready, served)
}

/// The total as all runs, each half and pairs have it.
fn totals(behaviours: &[Runs], runs: usize) -> [f64; 4] {
    let of = |keep: &dyn Fn(usize) -> Option<usize>, runs: usize| {
        let remaining: Vec<Runs> =
            behaviours.iter().map(|seen| seen.iter().filter_map(keep).collect()).collect();
        estimate(&remaining, runs).total
    };
    [
        of(&Some, runs),
        of(&|run| (run % 2 == 0).then_some(run / 2), runs.div_ceil(2)),
        of(&|run| (run % 2 == 1).then_some(run / 2), runs / 2),
        of(&|run| Some(run / 2), runs.div_ceil(2)),
    ]
}

fn labels(observations: &Observations, behaviours: &[Runs]) -> BTreeMap<String, Label> {
    let runs = observations.runs();
    let names: BTreeSet<&str> =
        runs.iter().map(|run| run.label.as_str()).filter(|name| !name.is_empty()).collect();
    let of = |label: &str| {
        let its = |run: usize| runs.get(run).is_some_and(|run| run.label == label);
        let novel = behaviours.iter().filter(|seen| !seen.is_empty() && seen.iter().all(its)).count();
        Label { runs: runs.iter().filter(|run| run.label == label).count(), novel }
    };
    names.into_iter().map(|name| (name.to_owned(), of(name))).collect()
}

/// In how many runs each expected behaviour was seen.
fn expected(observations: &Observations, expect: &[String]) -> Result<Vec<(String, usize)>, InputFault> {
    let count = |is: &dyn Fn(&Fact) -> bool| {
        let mut runs = Runs::default();
        for (_, seen) in observations.unsorted().filter(|(fact, _)| is(fact)) {
            runs.join(&seen.runs());
        }
        runs.len()
    };
    let port = |address: &str, wanted: &str| {
        address == wanted
            || address
                .split_once('/')
                .zip(wanted.split_once('/'))
                .is_some_and(|(has, wants)| has.0 == wants.0 && has.1.rsplit(':').next() == Some(wants.1))
    };
    let mut found = BTreeMap::new();
    for one in expect {
        let (kind, what) = one.split_once(':').unwrap_or((one, ""));
        let runs = match kind {
            _ if what.is_empty() => None,
            "label" => Some(observations.runs().iter().filter(|run| run.label == what).count()),
            "signal" => {
                let what = what.trim_start_matches("SIG");
                Some(count(&|fact| matches!(fact, Fact::Signal { signal } if signal == what)))
            }
            "program" => {
                Some(count(&|fact| matches!(fact, Fact::Program(Name { path, .. }) if path == what)))
            }
            "listen" => Some(count(&|fact| matches!(fact, Fact::Listen { address } if port(address, what)))),
            "connect" => {
                Some(count(&|fact| matches!(fact, Fact::Connect { address } if port(address, what))))
            }
            "syscall" => Some(count(&|fact| matches!(fact, Fact::Call { call, .. } if call == what))),
            "capability" => {
                Some(count(&|fact| matches!(fact, Fact::Capability { capability, .. } if capability == what)))
            }
            _ => None,
        };
        let runs = runs.ok_or_else(|| InputFault::Expected(one.clone()))?;
        found.insert(one.clone(), runs);
    }
    Ok(found.into_iter().collect())
}
