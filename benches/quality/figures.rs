//! What is printed of each program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use remit::reach::dangerous::DANGEROUS;
use remit::syscalls::groups;
use serde_json::Value;

/// The most calls beyond the truth, by the goals.
const BEYOND: usize = 10;

/// The calls that a profile allows, by what brings them.
#[derive(Default)]
pub struct Calls {
    pub all: BTreeSet<String>,
    base: BTreeSet<String>,
    failure: BTreeSet<String>,
    completing: BTreeSet<String>,
    listed: BTreeSet<String>,
    launch: BTreeSet<String>,
    /// Refused after the start-up.
    early: BTreeSet<String>,
    /// Beyond what was made in the truth; `@base` and classes aside.
    beyond: BTreeSet<String>,
    /// Dangerous ones, and whether each was made.
    dangerous: BTreeMap<String, bool>,
}

impl Calls {
    /// Sorts what a plan allows; `made` are the calls of the long exact runs.
    pub fn sorted(all: BTreeSet<String>, profile: &Value, made: &BTreeSet<String>) -> Calls {
        let entries = profile["syscalls"]["allow"].as_array().cloned().unwrap_or_default();
        let name =
            |entry: &Value| entry.as_str().or_else(|| entry["call"].as_str()).unwrap_or_default().to_owned();
        let why = |entry: &Value| entry["why"].as_str().is_some_and(|why| why.starts_with("comes with"));
        let listed: BTreeSet<String> = entries.iter().map(name).collect();
        let classes: BTreeSet<String> = entries.iter().filter(|entry| why(entry)).map(name).collect();
        let group = |word: &str| -> BTreeSet<String> {
            let there = listed.contains(word).then(|| groups::listed(word, true));
            there
                .into_iter()
                .flatten()
                .flat_map(|group| group.calls().into_keys())
                .map(str::to_owned)
                .collect()
        };
        let [base, failure] = ["@base", "@failure"].map(group);
        let early = profile["syscalls"]["startup_only"].as_array().cloned().unwrap_or_default();
        let early = early.iter().map(name).filter(|call| all.contains(call)).collect();
        let mut calls = Calls { early, ..Calls::default() };
        for call in &all {
            let into = if classes.contains(call) {
                &mut calls.completing
            } else if listed.contains(call) && !base.contains(call) {
                &mut calls.listed
            } else if base.contains(call) {
                &mut calls.base
            } else if failure.contains(call) {
                &mut calls.failure
            } else {
                &mut calls.launch
            };
            into.insert(call.clone());
        }
        let beyond = calls.failure.union(&calls.listed).chain(&calls.launch);
        // As those of @base: not watched where COMMAND's library is not glibc.
        let is_unwatched = |call: &String| groups::NOT_OF_GLIBC.contains(&call.as_str());
        calls.beyond = beyond.filter(|call| !made.contains(*call) && !is_unwatched(call)).cloned().collect();
        let dangerous = DANGEROUS.iter().filter(|(call, _)| all.contains(*call));
        calls.dangerous = dangerous.map(|(call, _)| ((*call).to_owned(), made.contains(*call))).collect();
        calls.all = all;
        calls
    }
}

/// What the evidence says of the next run.
pub struct Confidence {
    chance: f64,
    at_most: f64,
}

impl Confidence {
    /// Of an evidence file.
    pub fn of(evidence: &Value) -> Option<Confidence> {
        let all = &evidence["confidence"]["all"]["all"];
        Some(Confidence { chance: all["unseen"].as_f64()?, at_most: all["unseen_at_most"].as_f64()? })
    }
}

/// All figures of one program.
pub struct Figures {
    pub name: &'static str,
    pub goal: usize,
    /// Those that the learned runs had, and all.
    pub labels: (usize, usize),
    pub calls: Calls,
    pub enforced: usize,
    /// Of each enforced run, what was refused.
    pub denied: Vec<BTreeMap<String, u64>>,
    pub confidence: Option<Confidence>,
    pub capabilities: usize,
    pub unneeded: Option<Vec<String>>,
    pub programs: usize,
    pub programs_as_in_truth: bool,
    pub files: Vec<Value>,
    pub network: Value,
}

impl Figures {
    /// The head of the table.
    pub const HEAD: &str = "| program | labels | calls allowed (goal); after the start-up | beyond the truth (goal 10) | false denials (goal 0) | \
         next run new: estimate, at most; observed | dangerous calls | capabilities | programs and transitions |\n\
         |---|---|---|---|---|---|---|---|---|";

    fn new_in(&self) -> usize {
        self.denied.iter().filter(|run| !run.is_empty()).count()
    }

    fn denials(&self) -> u64 {
        self.denied.iter().flat_map(BTreeMap::values).sum()
    }

    fn confidence(&self) -> String {
        let observed = format!("{} of {}", self.new_in(), self.enforced);
        let Some(confidence) = &self.confidence else { return format!("none; {observed}") };
        let Confidence { chance, at_most } = confidence;
        let share = self.new_in() as f64 / self.enforced.max(1) as f64;
        let within = if share <= *at_most { "within the bound" } else { "beyond the bound" };
        format!("{:.0} %, {:.0} %; {observed}, {within}", chance * 100.0, at_most * 100.0)
    }

    fn dangerous(&self) -> String {
        let of = |(call, used): (&String, &bool)| {
            format!("{call}{}", if *used { " (used)" } else { " (NOT USED)" })
        };
        let all: Vec<String> = self.calls.dangerous.iter().map(of).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    }

    fn capabilities(&self) -> String {
        match &self.unneeded {
            None => self.capabilities.to_string(),
            Some(unneeded) => format!("{}, not needed: {unneeded:?}", self.capabilities),
        }
    }

    /// Its row of the table.
    pub fn row(&self) -> String {
        let programs = if self.programs_as_in_truth { "" } else { ", other than in the truth" };
        format!(
            "| {} | {} of {} | {} ({}); {} | {} | {} in {} runs | {} | {} | {} | {}{programs} |",
            self.name,
            self.labels.0,
            self.labels.1,
            self.calls.all.len(),
            self.goal,
            self.calls.all.len() - self.calls.early.len(),
            self.calls.beyond.len(),
            self.denials(),
            self.enforced,
            self.confidence(),
            self.dangerous(),
            self.capabilities(),
            self.programs,
        )
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let list = |calls: &BTreeSet<String>| calls.iter().cloned().collect::<Vec<_>>().join(" ");
        let met = |yes: bool| if yes { "met" } else { "MISSED" };
        let calls = &self.calls;
        writeln!(out, "{}: {} of {} labels learned", self.name, self.labels.0, self.labels.1)?;
        let count = calls.all.len();
        writeln!(out, "  calls allowed: {count}, goal {} {}", self.goal, met(count <= self.goal))?;
        for (what, of) in [
            ("@base", &calls.base),
            ("@failure", &calls.failure),
            ("used", &calls.listed),
            ("completing a class", &calls.completing),
            ("for the launch", &calls.launch),
        ] {
            writeln!(out, "    {} {what}: {}", of.len(), list(of))?;
        }
        writeln!(out, "    {} are refused after the start-up: {}", calls.early.len(), list(&calls.early))?;
        let beyond = calls.beyond.len();
        writeln!(
            out,
            "  beyond the truth: {beyond}, goal {BEYOND} {}: {}",
            met(beyond <= BEYOND),
            list(&calls.beyond)
        )?;
        let denials = self.denials();
        writeln!(out, "  false denials: {denials} in {} runs, goal 0 {}", self.enforced, met(denials == 0))?;
        let mut all: BTreeMap<&String, u64> = BTreeMap::new();
        self.denied.iter().flatten().for_each(|(what, count)| *all.entry(what).or_default() += count);
        for (what, count) in all {
            writeln!(out, "    {count} × {what}")?;
        }
        writeln!(out, "  chance that the next run is new, at most, observed: {}", self.confidence())?;
        let unused = calls.dangerous.values().any(|used| !used);
        writeln!(out, "  dangerous calls: {}, goal none unless used {}", self.dangerous(), met(!unused))?;
        writeln!(out, "  capabilities: {}", self.capabilities())?;
        writeln!(
            out,
            "  programs and transitions: {}, as in the truth: {}",
            self.programs, self.programs_as_in_truth
        )?;
        let file = |file: &Value| {
            let words = file["allow"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let rights: String = words.filter_map(|word| word.chars().next()).collect();
            file.as_str().map_or_else(
                || format!("{}:{rights}", file["path"].as_str().unwrap_or_default()),
                str::to_owned,
            )
        };
        let files: Vec<String> = self.files.iter().map(file).collect();
        writeln!(out, "  files: {}: {}", files.len(), files.join(" "))?;
        writeln!(out, "  network: {}", self.network)
    }
}
