//! Reachable calls beside those that a profile allows, and those that learning runs showed.

use std::collections::BTreeSet;
use std::path::Path;

use super::dangerous::danger;
use super::report::Reach;
use crate::kernel::Arch;
use crate::syscalls::{Class, groups};

/// The calls of learning runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearnedCalls {
    /// Their names.
    pub calls: BTreeSet<String>,
    /// The runs watched the calls of `@base` too.
    pub with_base: bool,
    /// The architecture of the runs; none without a run.
    pub arch: Option<Arch>,
}

/// What a profile and its runs have, to compare with what its programs can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComparedProfile {
    /// The profile's name, for messages.
    pub name: String,
    /// The calls that it allows, whatever their arguments.
    pub listed: BTreeSet<String>,
    /// The programs that it names by path, and that are in the image.
    pub programs: BTreeSet<String>,
    /// The calls of its evidence.
    pub learned: Option<LearnedCalls>,
}

/// A profile beside what its programs can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachComparison {
    /// The profile's name.
    pub profile: String,
    /// The calls that it allows, whatever their arguments.
    pub listed: BTreeSet<String>,
    /// How many calls are reachable.
    pub reachable: usize,
    /// Reachable, and not allowed: what the profile is tighter by.
    pub between: BTreeSet<String>,
    /// Those of them that are dangerous.
    pub dangerous: BTreeSet<String>,
    /// Allowed and dangerous.
    pub allowed_dangerous: BTreeSet<String>,
    /// Allowed, and not reachable: could be taken out.
    pub needless: BTreeSet<String>,
    /// Shown by learning runs, and not reachable: the journal or the image is not what it seems. None
    /// where there is no evidence, or where `open` says why nothing is said.
    pub alarms: BTreeSet<String>,
    /// The calls that the evidence has; `None` without evidence.
    pub learned: Option<BTreeSet<String>>,
    /// The calls that runs used: the learned ones, and of `@base`, which runs do not watch, those that are
    /// reachable. `None` without evidence.
    pub used: Option<BTreeSet<String>>,
    /// Reachable, and not used: what no run has shown. Empty without evidence.
    pub unused: BTreeSet<String>,
    /// Each of them, or without evidence each that is not allowed: those that are dangerous first.
    pub rows: Vec<BetweenCall>,
    /// Programs of the profile that were not looked into.
    pub missing: BTreeSet<String>,
    /// Why a call that is not reachable means nothing: what is reachable has no bound, or a program was not
    /// looked into.
    pub open: Option<String>,
}

/// A call that programs can make, and that no run has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BetweenCall {
    /// Its name.
    pub call: String,
    /// The profile allows it.
    pub is_allowed: bool,
    /// Why it is dangerous.
    pub danger: Option<&'static str>,
    /// What would make it: [`exercise`].
    pub exercise: String,
    /// The path of functions to it.
    pub path: Vec<String>,
}

/// Why a profile cannot be compared with what programs can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherArch {
    /// The architecture of the programs.
    pub reach: Arch,
    /// That of the runs.
    pub runs: Arch,
}

impl std::fmt::Display for OtherArch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "what is reachable was found for {}, and the runs are from {}; compare those of one architecture",
            self.reach, self.runs
        )
    }
}

impl std::error::Error for OtherArch {}

/// What the start itself needs: the exec of COMMAND.
const START: [&str; 2] = ["execve", "execveat"];

/// The most programs that a sentence names.
const NAMED: usize = 3;

impl ReachComparison {
    /// Compares what programs can do with what a profile lists and what its evidence has.
    ///
    /// # Errors
    /// The runs are from another architecture.
    pub fn new(of: ComparedProfile, reach: &Reach) -> Result<ReachComparison, OtherArch> {
        let ComparedProfile { name: profile, listed, programs, learned } = of;
        if let Some(runs) = learned.as_ref().and_then(|learned| learned.arch)
            && runs != reach.arch
        {
            return Err(OtherArch { reach: reach.arch, runs });
        }
        let reachable: BTreeSet<String> = reach.calls.keys().cloned().collect();
        let between: BTreeSet<String> = reachable.difference(&listed).cloned().collect();
        let not_reachable = |calls: &BTreeSet<String>| -> BTreeSet<String> {
            let others = calls.difference(&reachable).filter(|call| !START.contains(&call.as_str()));
            others.cloned().collect()
        };
        let dangerous = |calls: &BTreeSet<String>| -> BTreeSet<String> {
            calls.iter().filter(|call| danger(call).is_some()).cloned().collect()
        };
        let missing: BTreeSet<String> =
            programs.into_iter().filter(|program| !reach.covers(program)).collect();
        let open = open(reach, &missing);
        let (learned, used) = match learned {
            Some(LearnedCalls { calls, with_base, arch }) => {
                let calls = with_forks(calls, &reachable);
                let arch = arch.unwrap_or(Arch::THIS);
                let mut used =
                    if with_base { calls.clone() } else { with_unwatched(&calls, &reachable, arch) };
                used.retain(|call| reachable.contains(call) || !START.contains(&call.as_str()));
                (Some(calls), Some(used))
            }
            None => (None, None),
        };
        let unused: BTreeSet<String> =
            used.as_ref().map(|used| reachable.difference(used).cloned().collect()).unwrap_or_default();
        let of_rows = if used.is_some() { &unused } else { &between };
        let mut rows: Vec<BetweenCall> =
            of_rows.iter().map(|call| BetweenCall::new(call, listed.contains(call), reach)).collect();
        rows.sort_by_key(|row| (row.danger.is_none(), row.is_allowed));
        let is_known = open.is_none();
        Ok(ReachComparison {
            profile,
            reachable: reachable.len(),
            dangerous: dangerous(&between),
            allowed_dangerous: dangerous(&listed),
            needless: if is_known { not_reachable(&listed) } else { BTreeSet::new() },
            alarms: learned.as_ref().filter(|_| is_known).map(not_reachable).unwrap_or_default(),
            learned,
            used,
            unused,
            rows,
            missing,
            open,
            between,
            listed,
        })
    }

    /// How many calls were used, how many are reachable, and what is in between; none without evidence.
    pub fn used_sentence(&self) -> Option<String> {
        let used = self.used.as_ref()?;
        let allowed = self.rows.iter().filter(|row| row.is_allowed).count();
        let dangerous = self.rows.iter().filter(|row| row.danger.is_some()).count();
        Some(format!(
            "used {}, reachable {}, in between {} that no run has shown: {} of them refused, {allowed} allowed, {dangerous} dangerous",
            used.len(),
            self.reachable,
            self.unused.len(),
            self.unused.len() - allowed,
        ))
    }

    /// The figures in one sentence, with evidence or without.
    pub fn sentence(&self) -> String {
        self.used_sentence().unwrap_or_else(|| {
            format!(
                "allowed {}, reachable {}, in between {} (reachable, not allowed), of which {} are dangerous",
                self.listed.len(),
                self.reachable,
                self.between.len(),
                self.dangerous.len()
            )
        })
    }

    /// The sentence on an alarm; none where there is none.
    pub fn alarm_sentence(&self) -> Option<String> {
        (!self.alarms.is_empty()).then(|| {
            let names: Vec<&str> = self.alarms.iter().map(String::as_str).collect();
            format!(
                "Learned and not reachable: {}. The journal or the image is not what it seems: another version of the \
                 program, a library that was injected, a forged journal.",
                names.join(", ")
            )
        })
    }
}

impl BetweenCall {
    fn new(call: &str, is_allowed: bool, reach: &Reach) -> BetweenCall {
        let path = reach.calls.get(call).map(|one| one.path.clone()).unwrap_or_default();
        BetweenCall {
            call: call.to_owned(),
            is_allowed,
            danger: danger(call),
            exercise: exercise(&path),
            path,
        }
    }
}

impl Reach {
    /// Whether a program was looked into.
    pub fn covers(&self, program: &str) -> bool {
        self.named.contains(program) || self.programs.iter().any(|one| one == program)
    }
}

/// Which call forked is not seen: `clone` stands for those that are reachable.
fn with_forks(mut calls: BTreeSet<String>, reachable: &BTreeSet<String>) -> BTreeSet<String> {
    let forks: Vec<&str> = Class::Fork.calls().filter(|call| reachable.contains(*call)).collect();
    if !forks.is_empty() && calls.remove("clone") {
        calls.extend(forks.into_iter().map(str::to_owned));
    }
    calls
}

/// The calls of `@base` that are reachable are taken to be made.
fn with_unwatched(calls: &BTreeSet<String>, reachable: &BTreeSet<String>, arch: Arch) -> BTreeSet<String> {
    let base = groups::BASE.calls();
    let is_base = |call: &str| base.contains_key(call) && !groups::is_superseded(call, arch);
    let unwatched = reachable.iter().filter(|call| is_base(call));
    calls.iter().chain(unwatched).cloned().collect()
}

fn open(reach: &Reach, missing: &BTreeSet<String>) -> Option<String> {
    if !reach.is_bounded() {
        return Some("What is reachable has no bound".to_owned());
    }
    if missing.is_empty() {
        return None;
    }
    let names: Vec<&str> = missing.iter().take(NAMED).map(String::as_str).collect();
    let more = if missing.len() > NAMED { ", …" } else { "" };
    Some(format!("The profile has programs that were not looked into ({}{more})", names.join(", ")))
}

/// What would make a call: the last function on the path that is none of the C library's, and where the
/// path begins.
pub fn exercise(path: &[String]) -> String {
    let is_library = |name: &&String| {
        let object = name.split(':').next().unwrap_or_default();
        ["libc.", "libc-", "ld-linux", "ld-musl", "libpthread"].iter().any(|start| object.starts_with(start))
    };
    match (path.iter().rev().find(|name| !is_library(name)), path.first(), path.last()) {
        (_, Some(first), _) if first == "kernel" => "the kernel has the process make it".to_owned(),
        (Some(last), Some(first), Some(end)) if last == first && end == first => {
            format!("a run that comes to {last}")
        }
        (Some(last), Some(first), Some(end)) if last == first => {
            format!("a run in which {last} comes to its call of {end}")
        }
        (Some(last), Some(first), _) => format!("a run in which {last} is called, by way of {first}"),
        (None, Some(first), _) => format!("a run that comes to {first}, which data of the C library names"),
        _ => "not known".to_owned(),
    }
}

/// The paths of programs as text.
pub fn program_names<'p>(paths: impl IntoIterator<Item = &'p Path>) -> BTreeSet<String> {
    paths.into_iter().map(|path| path.display().to_string()).collect()
}

#[cfg(test)]
mod tests;
