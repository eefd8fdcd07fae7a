//! The events of a run under audit, as what would have been denied.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::drops::ObservedError;
use crate::learn::{amend, volatile};
use crate::profile::Document;
use crate::visible;

/// The keys of an event that the report needs.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct LoggedEvent {
    event: String,
    kind: String,
    errno: String,
    object: Value,
    rule: String,
    count: Option<u64>,
    process: LoggedProcess,
    hint: Value,
    voided: Vec<String>,
    why: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LoggedProcess {
    executable: LoggedExecutable,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LoggedExecutable {
    path: String,
}

/// What would have been denied: the rule, the program, the object, the errno.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DenialKey {
    rule: String,
    program: String,
    what: String,
    errno: String,
}

/// How often and in which phases it would have been denied, and the changes that allow it.
#[derive(Debug, Default)]
struct DenialSummary {
    count: u64,
    phases: BTreeSet<&'static str>,
    adds: BTreeSet<String>,
    hints: Vec<Value>,
}

/// The violations in the events of a run.
#[derive(Debug, Default)]
pub(super) struct Denials {
    /// The app was started.
    pub started: bool,
    denied: BTreeMap<DenialKey, DenialSummary>,
    /// Files whose set-user-ID or capabilities did nothing.
    voided: BTreeSet<String>,
    /// The number of lost events, by reason.
    dropped: BTreeMap<String, u64>,
}

impl Denials {
    /// Reads events; other lines are skipped.
    pub fn read(events: &[u8], document: &Document) -> Denials {
        let lines = events.split(|byte| *byte == b'\n');
        let events: Vec<LoggedEvent> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let becomes_ready = events.iter().any(|event| event.event == "ready");
        let mut found = Denials::default();
        let mut phase = becomes_ready.then_some("start-up");
        for event in events {
            match event.event.as_str() {
                "start" => found.started = true,
                "ready" => phase = Some("serving"),
                "exec" if !event.voided.is_empty() => {
                    found.voided.insert(format!(
                        "{}: {}",
                        event.process.executable.path,
                        event.voided.join(", ")
                    ));
                }
                "dropped" => *found.dropped.entry(event.why).or_default() += event.count.unwrap_or(1),
                "violation" => found.take(event, phase, document),
                _ => {}
            }
        }
        found
    }

    fn take(&mut self, event: LoggedEvent, phase: Option<&'static str>, document: &Document) {
        let key = DenialKey {
            what: what(&event.kind, &event.object),
            rule: event.rule,
            program: event.process.executable.path,
            errno: event.errno,
        };
        let denial = self.denied.entry(key).or_default();
        denial.count += event.count.unwrap_or(1);
        denial.phases.extend(phase);
        if !event.hint.is_null() && !denial.hints.contains(&event.hint) {
            denial.adds.extend(amend::adds(document, &event.hint));
            denial.hints.push(event.hint);
        }
    }

    /// The violations as errors of a run; names that no other run has become `*`.
    pub fn errors(&self) -> BTreeMap<ObservedError, u64> {
        let mut errors = BTreeMap::new();
        for (key, denial) in &self.denied {
            let (call, object) = key.what.split_once(' ').unwrap_or((&key.what, ""));
            // `/tmp/a1b2c3 write`: the rights come last.
            let (path, rights) = object.split_once(' ').unwrap_or((object, ""));
            let stable = if path.starts_with('/') { volatile::template(path) } else { None };
            let stable = stable.map(|path| format!("{path} {rights}").trim_end().to_owned());
            let failure = ObservedError {
                program: key.program.clone(),
                call: call.to_owned(),
                object: stable.unwrap_or_else(|| object.to_owned()),
                errno: key.errno.clone(),
            };
            *errors.entry(failure).or_default() += denial.count;
        }
        errors
    }

    /// The report.
    pub fn report<'d>(&'d self, accepted: &'d [String]) -> DenialReport<'d> {
        let accepts = |key: &DenialKey, denial: &DenialSummary| {
            let all = !denial.adds.is_empty() && denial.adds.iter().all(|line| accepted.contains(line));
            all || accepted.contains(&key.what)
        };
        let (accepted_ones, denied): (Vec<_>, Vec<_>) =
            self.denied.iter().partition(|(key, denial)| accepts(key, denial));
        let named = |line: &&String| {
            let seen = |(key, denial): &(&DenialKey, &DenialSummary)| {
                key.what == **line || denial.adds.contains(*line)
            };
            !accepted_ones.iter().any(seen)
        };
        let unseen = accepted.iter().filter(named).collect();
        DenialReport { all: self, denied, accepted: accepted_ones, unseen }
    }
}

/// What would have been denied, apart from what is accepted.
pub(super) struct DenialReport<'d> {
    all: &'d Denials,
    denied: Vec<(&'d DenialKey, &'d DenialSummary)>,
    accepted: Vec<(&'d DenialKey, &'d DenialSummary)>,
    /// Accepted, and not seen.
    unseen: Vec<&'d String>,
}

impl DenialReport<'_> {
    /// Whether nothing would have been denied, and no event was lost.
    pub fn passes(&self) -> bool {
        self.denied.is_empty() && self.all.dropped.is_empty()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let times: u64 = self.denied.iter().map(|(_, denial)| denial.count).sum();
        match self.denied.len() {
            0 => text += "nothing would have been denied\n",
            things => {
                let s = |count: u64| if count == 1 { "" } else { "s" };
                text += &format!(
                    "would be denied: {things} thing{}, {times} time{}\n",
                    s(things as u64),
                    s(times)
                );
            }
        }
        let (mut rule, mut program) = (None, None);
        for (key, denial) in &self.denied {
            if rule != Some(&key.rule) {
                text += &format!(
                    "\n{}\n",
                    if key.rule.is_empty() { "(more rules)".into() } else { visible::line(&key.rule) }
                );
                (rule, program) = (Some(&key.rule), None);
            }
            if program != Some(&key.program) {
                text += &format!(
                    "  {}\n",
                    if key.program.is_empty() { "(unknown)".into() } else { visible::line(&key.program) }
                );
                program = Some(&key.program);
            }
            text += &format!("    {}\n", visible::line(&line(key, denial)));
            for add in &denial.adds {
                text += &format!("      add: {}\n", visible::line(add));
            }
            if denial.hints.is_empty() {
                text += "      no profile can allow it\n";
            }
        }
        if !self.accepted.is_empty() {
            text += "\naccepted\n";
        }
        for (key, denial) in &self.accepted {
            text += &format!("  {}\n", visible::line(&format!("{}: {}", key.program, line(key, denial))));
        }
        for line in &self.unseen {
            text += &format!("accepted, and not seen in this run: {}\n", visible::line(line));
        }
        for voided in &self.all.voided {
            text +=
                &format!("did nothing, since no_new_privs is set in audit too: {}\n", visible::line(voided));
        }
        for (why, count) in &self.all.dropped {
            text += &format!("{} lost ({why}), with unknown content\n", visible::counted(*count, "event"));
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let list = |denials: &[(&DenialKey, &DenialSummary)]| -> Value {
            denials
                .iter()
                .map(|(key, denial)| {
                    json!({ "rule": key.rule, "program": key.program, "what": key.what, "errno": key.errno,
                        "count": denial.count, "phase": denial.phases, "add": denial.adds,
                        "hints": denial.hints })
                })
                .collect()
        };
        json!({
            "denied": list(&self.denied),
            "accepted": list(&self.accepted),
            "accepted_unseen": self.unseen,
            "voided": self.all.voided,
            "dropped": self.all.dropped,
        })
    }
}

fn line(key: &DenialKey, denial: &DenialSummary) -> String {
    let times = if denial.count == 1 { "once".to_owned() } else { format!("{} times", denial.count) };
    let phases: Vec<&str> = denial.phases.iter().copied().collect();
    let phases = if phases.is_empty() { String::new() } else { format!(", {}", phases.join(" and ")) };
    format!("{}: {}, {times}{phases}", key.what, key.errno)
}

/// The object of a violation, in words close to the grant's.
fn what(kind: &str, object: &Value) -> String {
    let word = |key: &str| object[key].as_str().unwrap_or_default();
    if object["path"].is_string() {
        let access = object["access"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let words: Vec<&str> = [kind, word("path")].into_iter().chain(access).collect();
        words.join(" ")
    } else if object["syscall"].is_string() {
        format!("{kind} {}", word("syscall"))
    } else if object["address"].is_string() {
        format!("{} {}", word("access"), word("address"))
    } else {
        format!("{kind} {}", word("name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let profile = json!({ "remit": 1, "name": "x", "programs": [{ "path": "/app", "entry": true }] });
        crate::profile::read(profile.to_string().as_bytes()).expect("valid")
    }

    fn violation(object: Value, count: Option<u64>, hint: Value) -> Value {
        let mut event = json!({ "remit": 1, "event": "violation", "kind": "file", "action": "observed", "errno": "EACCES",
            "rule": "/files", "object": object, "process": { "pid": 7, "executable": { "path": "/app" } } });
        if let Some(count) = count {
            event["count"] = count.into();
        }
        if !hint.is_null() {
            event["hint"] = hint;
        }
        event
    }

    fn read(events: &[Value]) -> Denials {
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        Denials::read(format!("no event\n{}\n", lines.join("\n")).as_bytes(), &document())
    }

    fn file(path: &str) -> (Value, Value) {
        let object = json!({ "path": path, "access": ["write"] });
        let hint =
            json!([{ "op": "add", "path": "/files", "value": [{ "path": path, "allow": ["write"] }] }]);
        (object, hint)
    }

    #[test]
    fn summaries_are_counted_and_phases_named() {
        let (object, hint) = file("/d");
        let found = read(&[
            json!({ "event": "start" }),
            violation(object.clone(), None, hint.clone()),
            json!({ "event": "ready" }),
            violation(object, Some(41), hint),
        ]);
        assert!(found.started);
        let report = found.report(&[]);
        assert!(!report.passes());
        let text = report.text();
        let expected = "would be denied: 1 thing, 42 times\n\n/files\n  /app\n    file /d write: EACCES, 42 times, serving and start-up\n      add: file /d write\n";
        assert_eq!(text, expected);
        assert_eq!(report.json()["denied"][0]["count"], 42);
    }

    #[test]
    fn what_is_accepted_is_no_denial_and_what_is_lost_is_no_pass() {
        let (object, hint) = file("/d");
        let events = [json!({ "event": "start" }), violation(object, None, hint)];
        let found = read(&events);
        assert!(!found.report(&["program /x".to_owned()]).passes());
        let accept = ["file /d write", "program /x"].map(str::to_owned);
        let report = found.report(&accept);
        assert!(report.passes());
        assert!(report.text().contains("accepted, and not seen in this run: program /x"));
        let lost = read(&[
            json!({ "event": "start" }),
            json!({ "event": "dropped", "count": 3, "why": "sink slow" }),
        ]);
        assert!(!lost.report(&[]).passes());
        assert!(lost.report(&[]).text().contains("3 events lost (sink slow)"));
    }

    #[test]
    fn names_of_one_run_alone_are_left_open() {
        let (object, hint) = file("/d/tmp.aB3dE5");
        let found = read(&[violation(object, None, hint)]);
        let errors: Vec<_> = found.errors().into_keys().collect();
        assert_eq!((errors[0].call.as_str(), errors[0].object.as_str()), ("file", "/d/* write"));
    }
}
