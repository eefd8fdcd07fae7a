//! What runs did: beyond the profile, and which of its grants they used.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::calls::unnotified;
use super::coverage::{FactCoverage, MissingGrant, ProfileCoverage, Remedy};
use super::evidence::EvidenceFile;
use super::finding::{FindingList, RelatedLine};
use super::patch;
use super::requirements::Requirements;
use super::rules::GateRule;
use super::runs::{RefusalLog, RunRecord};
use super::severity::Severity;
use crate::event::{PatchOp, RefusedUse, Want, hint};
use crate::learn::{Fact, Grant, Observations, grants};
use crate::profile::{Document, Watch};

/// The runs of a check.
#[derive(Clone, Copy)]
pub struct GivenRuns<'r> {
    /// Those of the evidence.
    pub evidence: Option<&'r EvidenceFile>,
    /// Those of this build.
    pub records: &'r [RunRecord],
}

impl<'r> GivenRuns<'r> {
    fn observations(self) -> impl Iterator<Item = &'r Observations> {
        let journals = self.records.iter().filter_map(|record| match record {
            RunRecord::Journal(journal) => Some(&journal.observations),
            RunRecord::Events(_) => None,
        });
        self.evidence.map(|file| &file.evidence.observations).into_iter().chain(journals)
    }

    /// The loaders and interpreters that the runs showed.
    pub fn loaders(self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for observations in self.observations() {
            for fact in observations.facts().into_keys() {
                match fact {
                    Fact::Loader { loader, .. } => drop(found.insert(loader.clone())),
                    Fact::Interpreter { interpreter, .. } => drop(found.insert(interpreter.clone())),
                    _ => {}
                }
            }
        }
        found
    }
}

/// Findings about the behaviour of this build's runs.
pub fn beyond(
    document: &Document,
    coverage: &ProfileCoverage,
    records: &[RunRecord],
    found: &mut FindingList,
) {
    let text = document.value();
    let mut missing: BTreeMap<String, (MissingGrant, Vec<RelatedLine>)> = BTreeMap::new();
    for record in records {
        for gap in record.gaps() {
            let related = RelatedLine { file: record.name().to_owned(), line: None, text: gap.clone() };
            let what = format!("{}: {gap}.", record.name());
            let subject = format!("{} {gap}", record.name());
            found.add(GateRule::RunIncomplete, "", subject, what).related.push(related);
        }
        match record {
            RunRecord::Journal(journal) => {
                for (fact, seen) in journal.observations.facts() {
                    let FactCoverage::Missing(all) = coverage.of_fact(fact, seen) else { continue };
                    let runs = journal.observations.runs();
                    let numbers = seen.runs();
                    let names = numbers.iter().filter_map(|run| runs.get(run)).map(|run| run.run.as_str());
                    let text = format!("run {}", names.collect::<Vec<_>>().join(", "));
                    let line = RelatedLine { file: journal.name.clone(), line: None, text };
                    for one in all {
                        let (_, lines) =
                            missing.entry(one.subject.clone()).or_insert_with(|| (one, Vec::new()));
                        lines.push(line.clone());
                    }
                }
            }
            RunRecord::Events(log) => refused(document, &text, log, found),
        }
    }
    for (subject, (one, related)) in missing {
        let patch = match one.remedy {
            Remedy::None => None,
            Remedy::Want(want) => as_patch(hint(&text, &want)),
            Remedy::Patch(patch) => Some(patch),
        };
        let files: BTreeSet<&str> = related.iter().map(|line| line.file.as_str()).collect();
        let files = files.into_iter().collect::<Vec<_>>().join(", ");
        let what = format!("{}, which the profile does not grant (in {files}).", one.what);
        let finding = found.add(one.rule, one.pointer, subject, what);
        finding.patch = patch;
        finding.related = related;
    }
    unobserved(document, records, found);
    unseen_reads(document, records, found);
}

/// Refused reads, of which an enforced run has no events unless the profile watches them.
fn unseen_reads(document: &Document, records: &[RunRecord], found: &mut FindingList) {
    let is_enforced = |log: &RefusalLog| log.starts.iter().any(|start| start.mode == "enforce");
    let shows_reads = records.iter().any(|record| match record {
        RunRecord::Journal(_) => true,
        RunRecord::Events(log) => !log.starts.is_empty() && !is_enforced(log),
    });
    if document.profile.watch == Watch::Reads || shows_reads {
        return;
    }
    for record in records {
        let RunRecord::Events(log) = record else { continue };
        if is_enforced(log) {
            let what = format!(
                "{}: an enforced run has no events of refused reads; give those of a run with REMIT_MODE=audit too, or have the                  profile watch them (\"watch\": [\"reads\"]).",
                log.name
            );
            let finding = found.add(GateRule::RunIncomplete, "/watch", format!("{} reads", log.name), what);
            finding.patch = Some(serde_json::json!([{ "op": "add", "path": "/watch", "value": ["reads"] }]));
        }
    }
}

fn as_patch(operations: Vec<PatchOp>) -> Option<Value> {
    (!operations.is_empty()).then(|| serde_json::to_value(operations).unwrap_or_default())
}

/// What an event file says was refused.
fn refused(document: &Document, text: &Value, log: &RefusalLog, found: &mut FindingList) {
    if log.digests.iter().any(|digest| *digest != document.digest) {
        let what = format!(
            "{}: its events are of a profile with another digest; run the tests with this one.",
            log.name
        );
        found.add(GateRule::RunOfAnotherProfile, "", format!("{} digest", log.name), what);
    }
    // Those of another profile say nothing about this one.
    let is_this = |digest: &str| digest.is_empty() || digest == document.digest;
    for (refusal, seen) in log.violations.iter().filter(|(refusal, _)| is_this(&refusal.digest)) {
        let operations = serde_json::from_str::<Vec<PatchOp>>(&refusal.hint).unwrap_or_default();
        // A line in a log may be the app's: only what remit itself would propose is passed on.
        let object = serde_json::from_str(&refusal.object).unwrap_or_default();
        let refused = RefusedUse { kind: &refusal.kind, rule: &refusal.pointer, object: &object };
        let is_ours = refusal.digest == document.digest
            && Want::of(text, &operations).is_some_and(|want| want.is_about(text, &refused));
        let program =
            if refusal.program.is_empty() { "a program that is not known" } else { &refusal.program };
        let times = if seen.count == 1 { "once".to_owned() } else { format!("{} times", seen.count) };
        let what = format!("{program}: {} was refused {times} ({}:{}).", refusal.what, log.name, seen.line);
        let subject = format!("{} {program}", refusal.what);
        let finding = found.add(refusal.rule, &*refusal.pointer, subject, what);
        finding.related =
            vec![RelatedLine { file: log.name.clone(), line: Some(seen.line), text: refusal.what.clone() }];
        finding.patch = is_ours.then(|| as_patch(operations)).flatten();
    }
}

/// Rules that a journal has nothing about, where no events were given.
fn unobserved(document: &Document, records: &[RunRecord], found: &mut FindingList) {
    let has_events = records.iter().any(|record| matches!(record, RunRecord::Events(_)));
    if records.is_empty() || has_events {
        return;
    }
    for (index, program) in document.profile.indexed_programs() {
        let rules = [
            ("args", program.args.is_some()),
            ("user", program.user.is_some()),
            ("instances", program.instances.is_some()),
            ("libraries", program.libraries.is_some()),
        ];
        for (key, _) in rules.into_iter().filter(|(_, there)| *there) {
            let path = program.place.path().display();
            let what = format!(
                "No journal shows whether the `{key}` of {path} fit; give the events of a run under this profile, with \
                 REMIT_MODE=audit where it may not be enforced yet."
            );
            found.add(
                GateRule::RulesNotObserved,
                format!("/programs/{index}/{key}"),
                format!("{key} {path}"),
                what,
            );
        }
    }
}

/// Findings about grants that no run used.
pub fn unused(
    document: &Document,
    coverage: &ProfileCoverage,
    runs: GivenRuns,
    requirements: &Requirements,
    found: &mut FindingList,
) {
    let mut used: BTreeSet<String> = BTreeSet::new();
    let (mut any, mut exact) = (false, true);
    for observations in runs.observations() {
        any |= !observations.runs().is_empty();
        exact &= observations.runs().iter().all(|run| run.exact);
        for (fact, seen) in observations.facts() {
            if let FactCoverage::Granted(keys) = coverage.of_fact(fact, seen) {
                used.extend(keys);
            }
        }
    }
    if !any {
        return;
    }
    let unnotified = if exact { BTreeSet::new() } else { unnotified() };
    let is_unknown = |key: &str| match key.strip_prefix("syscall ") {
        Some(call) => {
            !exact
                && (call.starts_with('@') || unnotified.contains(call.split(' ').next().unwrap_or_default()))
        }
        None => false,
    };
    let mut entries: BTreeMap<String, Vec<Grant>> = BTreeMap::new();
    for grant in grants(&document.profile).into_iter().filter(|grant| !grant.key.starts_with("startup_only "))
    {
        entries.entry(grant.pointer.clone()).or_default().push(grant);
    }
    let text = document.value();
    let is_unused = |grant: &&Grant| !used.contains(&grant.key) && !is_unknown(&grant.key);
    let gone: BTreeSet<&str> = entries
        .values()
        .flatten()
        .filter(is_unused)
        .filter_map(|grant| grant.key.strip_prefix("program "))
        .collect();
    for (pointer, all) in &entries {
        let unused: Vec<&Grant> = all.iter().filter(is_unused).collect();
        let is_program = unused.iter().any(|grant| grant.key.starts_with("program "));
        let reports: Vec<(String, Option<Value>)> =
            if is_program || (unused.len() == all.len() && all.len() > 1) {
                vec![(worded(all), patch::without_entry(&text, pointer))]
            } else {
                unused.iter().map(|grant| (grant.key.clone(), patch::without(&text, grant))).collect()
            };
        for (subject, patch) in reports {
            // A transition goes with its program, and so it is said there.
            let ends = subject.strip_prefix("edge ").and_then(|transition| transition.split_once(" -> "));
            if ends.is_some_and(|(from, to)| gone.contains(from) || gone.contains(to)) {
                continue;
            }
            let has_why = text.pointer(pointer).is_some_and(|entry| entry.get("why").is_some());
            let what = format!(
                "No run used the grant `{subject}`{}.",
                if has_why { ", which has a reason" } else { "" }
            );
            let finding = found.add(GateRule::UnusedGrant, pointer.clone(), subject, what);
            finding.patch = patch;
            finding.severity = match (has_why, requirements.evidence_or_why) {
                (true, _) => Severity::Note,
                (false, true) => Severity::Error,
                (false, false) => Severity::Warning,
            };
        }
    }
}

/// The grants of an entry as one: `file /data read write`.
fn worded(grants: &[Grant]) -> String {
    let first = grants.first().map_or("", |grant| grant.key.as_str());
    if first.starts_with("program ") {
        return first.to_owned();
    }
    let Some((stem, _)) = first.rsplit_once(' ') else { return first.to_owned() };
    let rest = grants.iter().filter_map(|grant| grant.key.strip_prefix(stem));
    format!("{stem}{}", rest.collect::<String>())
}
