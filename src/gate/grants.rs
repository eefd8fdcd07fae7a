//! What the requirements say about a profile's grants, without any run or image.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::calls::CallGrants;
use super::finding::FindingList;
use super::patch;
use super::programs::{class_of, name_of};
use super::requirements::{ReasonClass, Requirements};
use super::rules::GateRule;
use super::severity::Severity;
use crate::learn::grants;
use crate::plan::PlanFault;
use crate::profile::{Document, Fallback, Mode, ProgramPlace, capability_word, endpoint_text};

/// Findings about a profile as it stands.
pub fn check(document: &Document, requirements: &Requirements, found: &mut FindingList) {
    let text = document.value();
    settings(document, requirements, &text, found);
    programs(document, requirements, &text, found);
    forbidden(document, requirements, &text, found);
    refused_at_start(document, &text, found);
}

/// Entries that this version cannot decide, whatever the image.
fn refused_at_start(document: &Document, text: &Value, found: &mut FindingList) {
    let network = &document.profile.network;
    for (side, entries) in [("listen", &network.listen), ("connect", &network.connect)] {
        for (index, entry) in entries.iter().enumerate().filter(|(_, one)| one.what.is_refused_at_start()) {
            let (pointer, endpoint) = (format!("/network/{side}/{index}"), endpoint_text(&entry.what));
            let what = format!("{endpoint}: {}.", PlanFault::Udp);
            found.add(GateRule::RefusedAtStart, &*pointer, format!("{side} {endpoint}"), what).patch =
                patch::without_entry(text, &pointer);
        }
    }
}

/// Sets a key of the profile.
fn set(text: &Value, key: &str, value: Value) -> Option<Value> {
    let op = if text.get(key).is_some() { "replace" } else { "add" };
    patch::valid(text, json!([{ "op": op, "path": format!("/{key}"), "value": value }]))
}

fn settings(document: &Document, requirements: &Requirements, text: &Value, found: &mut FindingList) {
    let profile = &document.profile;
    if let Some(mode) = requirements.mode
        && profile.mode != mode
    {
        let what =
            format!("The profile's mode is `{}`, and `{}` is required.", profile.mode.word(), mode.word());
        found.add(GateRule::NotEnforced, "/mode", "mode", what).patch = set(text, "mode", mode.word().into());
    } else if profile.mode != Mode::Enforce {
        let what = format!("The profile's mode is `{}`.", profile.mode.word());
        let finding = found.add(GateRule::NotEnforced, "/mode", "mode", what);
        finding.severity = Severity::Warning;
        finding.patch = set(text, "mode", "enforce".into());
    }
    if requirements.fallback.is_some_and(|fallback| fallback != profile.fallback) {
        let what = format!("`fallback` is `{}`, and `refuse` is required.", Fallback::Degrade.word());
        found.add(GateRule::FallbackDegrades, "/fallback", "fallback", what).patch =
            set(text, "fallback", "refuse".into());
    }
    if requirements.no_write_execute && profile.write_execute {
        let what = "Memory may be writable and executable, which the requirements forbid.";
        let patch = json!([{ "op": "replace", "path": "/memory/write_execute", "value": false }]);
        found.add(GateRule::WriteExecute, "/memory/write_execute", "write_execute", what).patch = Some(patch);
    }
}

fn programs(document: &Document, requirements: &Requirements, text: &Value, found: &mut FindingList) {
    for (index, program) in document.profile.indexed_programs() {
        let (pointer, name) = (format!("/programs/{index}"), name_of(program));
        if let ProgramPlace::Beneath(directory) = &program.place {
            let what = format!("Every file below {} may be executed.", directory.display());
            let finding = found.add(GateRule::BeneathProgram, &*pointer, format!("beneath {name}"), what);
            finding.severity = match (requirements.no_beneath, &program.why) {
                (true, _) => Severity::Error,
                (false, None) => Severity::Warning,
                (false, Some(_)) => Severity::Note,
            };
            if requirements.no_beneath {
                finding.patch = patch::without_entry(text, &pointer);
            }
        }
        let Some(class) = class_of(program).filter(|_| program.why.is_none()) else { continue };
        reasonless(class, &pointer, &name, requirements, found);
    }
}

/// A program of a class that needs a reason, and has none.
pub fn reasonless(
    class: ReasonClass,
    pointer: &str,
    name: &str,
    requirements: &Requirements,
    found: &mut FindingList,
) {
    let (rule, kind) = match class {
        ReasonClass::Shell => (GateRule::ShellAllowed, "a shell"),
        ReasonClass::Interpreter => (GateRule::InterpreterAllowed, "an interpreter"),
        ReasonClass::PackageManager => (GateRule::PackageManagerAllowed, "a package manager"),
    };
    let what =
        format!("{name} is {kind}, and its entry has no `why`; give the reason, or take it off the list.");
    let finding = found.add(rule, pointer, format!("program {name}"), what);
    finding.severity = match requirements.reasons.contains(&class) {
        true => Severity::Error,
        false => Severity::Note,
    };
}

fn forbidden(document: &Document, requirements: &Requirements, text: &Value, found: &mut FindingList) {
    let profile = &document.profile;
    let forbid = &requirements.forbid;
    for (index, entry) in profile.capabilities.iter().enumerate() {
        if forbid.capabilities.contains(&entry.what) {
            let (pointer, word) = (format!("/capabilities/{index}"), capability_word(entry.what));
            let what = format!("The capability {word} is granted, which the requirements forbid.");
            found.add(GateRule::ForbiddenCapability, &*pointer, format!("capability {word}"), what).patch =
                patch::without_entry(text, &pointer);
        }
    }
    if forbid.syscalls.is_empty() {
        return;
    }
    let calls = CallGrants::of(profile);
    let listed: Vec<_> = grants(profile);
    for call in
        forbid.syscalls.iter().copied().collect::<BTreeSet<_>>().into_iter().filter(|call| calls.has(call))
    {
        let key = format!("syscall {call}");
        let with_value = format!("{key} ");
        let entry = listed.iter().find(|grant| grant.key == key || grant.key.starts_with(&with_value));
        let pointer = entry.map_or("/syscalls/allow", |grant| grant.pointer.as_str());
        let what = match entry {
            Some(_) => format!("The system call {call} is allowed, which the requirements forbid."),
            None => format!(
                "The system call {call} is allowed by a group or a section of the profile, and the requirements forbid it."
            ),
        };
        let patch = entry.and_then(|grant| patch::without_entry(text, &grant.pointer));
        // What a section brings too stays allowed without the entry.
        let mends = patch.filter(|_| !calls.is_brought(call));
        found.add(GateRule::ForbiddenSyscall, pointer, key, what).patch = mends;
    }
}
