//! The report of `remit build`: what was learned, the confidence in it, what to run next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::learn::confidence::{Phases, confidence};
use crate::learn::estimate::{Estimate, clean_runs};
use crate::learn::{Confidence, InputFault, Observations, Reason};
use crate::profile::Profile;
use crate::visible::{counted, line};

/// The assumption that every figure rests on.
const ASSUMES: &str = "assumes that future runs resemble these; no probability of safety";

/// The report of one build.
pub(super) struct BuildReport<'b> {
    observations: &'b Observations,
    profile: &'b Profile,
    completed: usize,
    found: Confidence,
    /// Notes for the reader of the report, sorted.
    pub notes: Vec<String>,
}

impl BuildReport<'_> {
    /// Estimates, and looks for what was expected.
    pub fn new<'b>(
        observations: &'b Observations,
        profile: &'b Profile,
        reasons: &BTreeMap<String, Reason>,
        rules: &BTreeMap<String, (Vec<String>, Reason)>,
        expect: &[String],
        mut notes: Vec<String>,
    ) -> Result<BuildReport<'b>, InputFault> {
        notes.sort();
        notes.dedup();
        let there: BTreeSet<&str> = rules.values().flat_map(|(keys, _)| keys).map(String::as_str).collect();
        let grants = reasons.iter().map(|(key, reason)| (key.as_str(), reason));
        let grants = grants.filter(|(key, _)| there.contains(key)).collect();
        let found = confidence(observations, &grants, expect)?;
        let completed = rules.values().filter(|(_, reason)| reason.completes.is_some()).count();
        Ok(BuildReport { observations, profile, completed, found, notes })
    }

    /// The confidence, as in the evidence file.
    pub fn confidence(&self) -> Value {
        let mut domains = serde_json::Map::new();
        for (domain, phases) in &self.found.domains {
            domains.insert((*domain).to_owned(), of_phases(phases));
        }
        let gate = &self.found.gate;
        let labels: BTreeMap<&String, Value> = gate
            .labels
            .iter()
            .map(|(name, label)| (name, json!({ "runs": label.runs, "novel": label.novel })))
            .collect();
        json!({
            "assumes": ASSUMES,
            "all": of_phases(&self.found.all),
            "domains": domains,
            "gate": {
                "passed": gate.passed(),
                "failures": gate.failures,
                "expected": gate.expected.iter().map(|(what, runs)| json!({ "behaviour": what, "runs": runs })).collect::<Vec<_>>(),
                "labels": labels,
                "ready": gate.ready,
                "idle": gate.idle,
                "totals": gate.totals.map(|totals| totals.map(short)),
            },
            "next": self.next(),
        })
    }

    /// The report as JSON.
    pub fn json(&self) -> Value {
        json!({
            "profile": self.profile.name,
            "runs": self.observations.runs().len(),
            "confidence": self.confidence(),
            "completed": self.completed,
            "notes": self.notes,
        })
    }

    /// The report as text.
    pub fn text(&self, output: &Path, beside: &Path) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        self.write(&mut text, output, beside).unwrap_or_default();
        text
    }

    fn write(&self, text: &mut String, output: &Path, beside: &Path) -> std::fmt::Result {
        let runs = self.observations.runs();
        let arch = runs.first().map_or("", |run| &*run.fingerprint.arch);
        let labels: Vec<&str> = self.found.gate.labels.keys().map(String::as_str).collect();
        let of = match labels.len() {
            0 => String::new(),
            _ => format!(", labels {}", line(&labels.join(", "))),
        };
        writeln!(text, "{}: from {}{of}, {arch}", self.profile.name, counted(runs.len(), "run"))?;
        let files = format!("{} and its evidence, {}", output.display(), beside.display());
        writeln!(text, "  {}", line(&files))?;
        let p = self.profile;
        let sections = [
            ("programs", p.programs.len()),
            ("files", p.files.len()),
            ("listen", p.network.listen.len()),
            ("connect", p.network.connect.len()),
            ("syscalls", p.syscalls.allow.len()),
            ("start-up only", p.syscalls.startup_only.len()),
            ("capabilities", p.capabilities.len()),
        ];
        let sections: Vec<String> = sections.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(
            text,
            "  entries: {}; {} of the syscalls came with their class",
            sections.join(", "),
            self.completed
        )?;
        writeln!(text, "\nConfidence ({ASSUMES})")?;
        for (domain, phases) in &self.found.domains {
            let Estimate { seen, total, coverage, .. } = phases.all;
            writeln!(
                text,
                "  {domain:<12} {seen} seen, {total:.0} or more in all, coverage {:.0} %",
                coverage * 100.0
            )?;
        }
        let all = self.found.all;
        for (phase, found) in [("any phase", all.all), ("start-up", all.startup), ("serving", all.serving)] {
            writeln!(
                text,
                "  the next run meets something unseen, {phase}: about {:.0} %, at most {:.0} %",
                found.unseen * 100.0,
                found.bound * 100.0
            )?;
        }
        let gate = &self.found.gate;
        for (name, label) in &gate.labels {
            writeln!(
                text,
                "  label {}: {}, {} seen under no other label",
                line(name),
                counted(label.runs, "run"),
                counted(label.novel, "behaviour")
            )?;
        }
        writeln!(
            text,
            "  gate: {}",
            if gate.passed() { "passed" } else { "not passed, so the figures mean little" }
        )?;
        for failure in &gate.failures {
            writeln!(text, "    {}", line(failure))?;
        }
        writeln!(text, "\nNext")?;
        for next in self.next() {
            writeln!(text, "  {}", line(&next))?;
        }
        if !self.notes.is_empty() {
            writeln!(text, "\nNotes")?;
        }
        for note in &self.notes {
            writeln!(text, "  {}", line(note))?;
        }
        Ok(())
    }

    /// What to run next to learn more.
    fn next(&self) -> Vec<String> {
        let gate = &self.found.gate;
        let mut next: Vec<String> = gate
            .expected
            .iter()
            .filter(|(_, runs)| *runs == 0)
            .map(|(what, _)| format!("a run with {what}, which was never seen"))
            .collect();
        if gate.expected.is_empty() {
            next.push("say with --expect what has to be seen: reload, log rotation, backup, upgrade".into());
        }
        if gate.labels.len() < 2 {
            next.push("runs of other workloads, each with its --label".into());
        }
        for (name, label) in gate.labels.iter().filter(|(_, label)| label.novel > 0 && label.runs < 3) {
            next.push(format!(
                "more runs of {name}: {} had what no other label shows",
                counted(label.runs, "run")
            ));
        }
        if self.found.all.all.bound > 0.10 {
            next.push(format!(
                "{} runs in a row that show nothing new bound the unseen by 10 %, {} by 5 %",
                clean_runs(0.10),
                clean_runs(0.05)
            ));
        }
        next.push("remit plan of the profile, and a run with REMIT_MODE=audit, before it is enforced".into());
        next
    }
}

fn of_phases(phases: &Phases) -> Value {
    json!({ "all": of(phases.all), "startup": of(phases.startup), "serving": of(phases.serving) })
}

fn of(found: Estimate) -> Value {
    json!({
        "seen": found.seen,
        "once": found.once,
        "twice": found.twice,
        "total": short(found.total),
        "coverage": short(found.coverage),
        "next": short(found.next),
        "unseen": short(found.unseen),
        "unseen_at_most": short(found.bound),
    })
}

/// Rounds to three decimals: more would be noise, and differ between machines.
fn short(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
