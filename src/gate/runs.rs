//! The runs of this build: journals of learning runs, and events of confined ones.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use serde::Deserialize;
use serde_json::Value;

use super::rules::GateRule;
use crate::event::lines::BoundedLines;
use crate::event::newer::NewerEvents;
use crate::event::stream::{Origin, Provenance};
use crate::learn::{Fact, InputFault, Observations, Unusable, journal};
use crate::visible::counted;

/// The record of one run.
#[derive(Debug)]
pub enum RunRecord {
    /// A journal: what the app did.
    Journal(RunJournal),
    /// Events: what the profile refused, or in audit would have.
    Events(RefusalLog),
}

/// A journal.
#[derive(Debug)]
pub struct RunJournal {
    /// The file.
    pub name: String,
    /// What the run did.
    pub observations: Observations,
    /// What it lacks, a sentence each.
    pub gaps: Vec<String>,
}

/// An event file.
#[derive(Debug, Default)]
pub struct RefusalLog {
    /// The file.
    pub name: String,
    /// The digests of the profiles that the events are of.
    pub digests: BTreeSet<String>,
    /// The start events.
    pub starts: Vec<LoggedStart>,
    /// What was refused, each distinct thing once.
    pub violations: BTreeMap<LoggedRefusal, RefusalCount>,
    /// What it lacks, a sentence each.
    pub gaps: Vec<String>,
}

/// A start event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedStart {
    /// Its line.
    pub line: u64,
    /// The mode in force.
    pub mode: String,
    /// The state of each layer, and its detail.
    pub layers: BTreeMap<String, (String, String)>,
}

/// A thing that was refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoggedRefusal {
    /// The profile's digest.
    pub digest: String,
    /// The gate's rule for this kind of violation.
    pub rule: GateRule,
    /// The JSON Pointer of the rule of the profile.
    pub pointer: String,
    /// The program.
    pub program: String,
    /// What it used.
    pub what: String,
    /// The kind of the violation.
    pub kind: String,
    /// Its object, as it was written.
    pub object: String,
    /// The hint, as it was written.
    pub hint: String,
}

/// How often it was refused, and where that is first said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusalCount {
    /// The first line.
    pub line: u64,
    /// How often.
    pub count: u64,
}

/// The first line of a record, which says what it is.
pub fn is_journal(beginning: &[u8]) -> bool {
    let text = beginning.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    text.is_some_and(|text| text.starts_with(b"\"journal\""))
}

impl RunRecord {
    /// Reads a record, a journal or an event file by its first line.
    ///
    /// # Errors
    /// It is neither, or cannot be read.
    pub fn read(name: &str, mut input: impl BufRead) -> Result<RunRecord, Unusable> {
        let failed = |error| Unusable::of(name, InputFault::Read(error));
        let journal = is_journal(input.fill_buf().map_err(failed)?);
        if journal {
            return RunJournal::read(name, input).map(RunRecord::Journal);
        }
        RefusalLog::read(name, input).map(RunRecord::Events)
    }

    /// The file.
    pub fn name(&self) -> &str {
        match self {
            RunRecord::Journal(journal) => &journal.name,
            RunRecord::Events(log) => &log.name,
        }
    }

    /// What it lacks.
    pub fn gaps(&self) -> &[String] {
        match self {
            RunRecord::Journal(journal) => &journal.gaps,
            RunRecord::Events(log) => &log.gaps,
        }
    }
}

/// The limits whose use a journal has.
const LIMITS: [&str; 2] = ["processes", "open_files"];

impl RunJournal {
    fn read(name: &str, input: impl BufRead) -> Result<RunJournal, Unusable> {
        let mut observations = Observations::default();
        let notes = journal::read(name, input, true, &mut observations)?;
        observations.settle();
        let mut gaps: Vec<String> = notes.into_iter().map(|note| gap(name, &note)).collect();
        for fact in observations.facts().into_keys() {
            match fact {
                Fact::Gap { what } => gaps.push(format!("reads below {what} may not have been observed")),
                Fact::Limit { limit, .. } if !LIMITS.contains(&limit.as_str()) => {
                    gaps.push(format!("its limit {limit} is none that this remit knows"));
                }
                Fact::Unread { what } => gaps.push(format!("the arguments of {what} could not be read")),
                _ => {}
            }
        }
        if !observations.facts().into_keys().any(|fact| matches!(fact, Fact::Program(_))) {
            gaps.push("no program was executed in it, so it shows nothing of the app".to_owned());
        }
        Ok(RunJournal { name: name.to_owned(), observations, gaps })
    }
}

/// A note on a journal without the journal's name, which is said beside it.
fn gap(name: &str, note: &str) -> String {
    let text = match note.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')) {
        Some(rest) if rest.starts_with(' ') => rest.trim_start().to_owned(),
        Some(rest) => format!("line {rest}"),
        None => note.to_owned(),
    };
    text.replace("; taken nevertheless", "")
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EventKeys {
    remit: u64,
    seq: u64,
    nonce: String,
    event: String,
    policy: PolicyDigest,
    mode: ModeWord,
    layers: Vec<LayerKeys>,
    kind: String,
    object: Value,
    rule: String,
    count: Option<u64>,
    objects: Vec<String>,
    process: ProcessKeys,
    hint: Value,
    why: String,
    exit: ExitKeys,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExitKeys {
    signal: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PolicyDigest {
    digest: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ModeWord {
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LayerKeys {
    layer: String,
    state: String,
    detail: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProcessKeys {
    executable: ExecutableKeys,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExecutableKeys {
    path: String,
}

impl RefusalLog {
    fn read(name: &str, input: impl BufRead) -> Result<RefusalLog, Unusable> {
        let mut log = RefusalLog { name: name.to_owned(), ..RefusalLog::default() };
        let mut provenance = Provenance::of(&[]);
        let mut lines = BoundedLines::of(input);
        let (mut events, mut others, mut unproven, mut unreadable) = (0u64, 0u64, 0u64, 0u64);
        let (mut last, mut lost, mut disordered) = (0u64, 0u64, 0u64);
        let (mut newer, mut unnamed) = (NewerEvents::default(), 0u64);
        let mut is_over = false;
        let failed = |error| Unusable::of(name, InputFault::Read(error));
        while let Some((number, line)) = lines.next_event().map_err(failed)? {
            events += 1;
            let Ok(event) = serde_json::from_slice::<EventKeys>(line) else {
                unreadable += 1;
                continue;
            };
            match provenance.origin(&event.event, event.seq, &event.nonce) {
                // The lines of a start are numbered from 1, in each place that they are written to.
                Origin::Remit => {
                    lost = lost.saturating_add(event.seq.saturating_sub(last.saturating_add(1)));
                    disordered += u64::from(event.seq <= last);
                    last = last.max(event.seq);
                }
                Origin::Other => {
                    others += 1;
                    continue;
                }
                Origin::Unproven => unproven += 1,
            }
            if !newer.knows(event.remit, &event.event) {
                continue;
            }
            unnamed += u64::from(event.policy.digest.is_empty());
            is_over |= event.event == "stop";
            log.take(number, event);
        }
        if events == 0 {
            return Err(Unusable::of(name, InputFault::NoRun));
        }
        log.add_gaps([
            (others, "line", "in the form of an event with another nonce: another start's, or the app's own"),
            (unproven, "event", "without remit's start event before it, so the app may have written it"),
            (unreadable, "line", "that cannot be read as an event"),
            (lost, "event", "missing, by the numbers: lost or taken out"),
            (disordered, "event", "not in the order of the numbers"),
            (unnamed, "event", "without the digest of a profile, so they may be of another"),
        ]);
        log.gaps.extend(newer.sentences());
        if !is_over {
            log.gaps.push("it has no stop event: the run was killed, or is not over".to_owned());
        }
        Ok(log)
    }

    fn add_gaps(&mut self, gaps: [(u64, &str, &str); 6]) {
        let found = gaps.into_iter().filter(|(count, ..)| *count > 0);
        self.gaps.extend(found.map(|(count, what, why)| format!("{} {why}", counted(count, what))));
    }

    fn take(&mut self, line: u64, event: EventKeys) {
        if !event.policy.digest.is_empty() {
            self.digests.insert(event.policy.digest.clone());
        }
        if event.exit.signal == "SYS" {
            self.gaps.push(format!(
                "line {line}: a process was killed by SIGSYS, as by a call of another architecture, which no other event says"
            ));
        }
        match event.event.as_str() {
            "start" => {
                if !matches!(event.mode.value.as_str(), "enforce" | "audit") {
                    self.gaps.push(format!(
                        "line {line}: the mode was {}, which refuses nothing",
                        event.mode.value
                    ));
                }
                let layers = event.layers.into_iter().map(|one| (one.layer, (one.state, one.detail)));
                let layers = layers.collect();
                self.starts.push(LoggedStart { line, mode: event.mode.value, layers });
            }
            "dropped" => self.gaps.push(format!(
                "line {line}: {} lost ({})",
                counted(event.count.unwrap_or(1), "event"),
                event.why
            )),
            "violation" => self.violation(line, event),
            _ => {}
        }
    }

    fn violation(&mut self, line: u64, event: EventKeys) {
        let rule = match event.kind.as_str() {
            "program" => GateRule::OutsideProgram,
            "file" => GateRule::OutsideFile,
            "network" => GateRule::OutsideNetwork,
            "capability" => GateRule::OutsideCapability,
            "memory" => GateRule::OutsideMemory,
            "limit" => GateRule::OutsideLimit,
            "environment" => GateRule::OutsideEnvironment,
            // A kind of a newer version is a refusal all the same.
            _ => GateRule::OutsideSyscall,
        };
        let mut what = object(&event.kind, &event.object);
        if !event.objects.is_empty() {
            what = format!("{what} and others: {}", event.objects.join(", "));
        }
        let hint = if event.hint.is_array() { event.hint.to_string() } else { String::new() };
        let refusal = LoggedRefusal {
            digest: event.policy.digest,
            rule,
            pointer: event.rule,
            program: event.process.executable.path,
            what,
            kind: event.kind,
            object: event.object.to_string(),
            hint,
        };
        let count = event.count.unwrap_or(1);
        self.violations
            .entry(refusal)
            .and_modify(|seen| seen.count = seen.count.saturating_add(count))
            .or_insert(RefusalCount { line, count });
    }
}

/// The object of a violation, in words close to the grant's.
fn object(kind: &str, object: &Value) -> String {
    let text = |key: &str| object[key].as_str();
    if let Some(path) = text("path") {
        let access = object["access"].as_array().into_iter().flatten().filter_map(Value::as_str);
        return [kind, path].into_iter().chain(access).collect::<Vec<_>>().join(" ");
    }
    match (text("syscall"), text("address"), text("name")) {
        (Some(call), _, _) => {
            let args = object["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
            format!("syscall {call}({})", args.collect::<Vec<_>>().join(", "))
        }
        (_, Some(address), _) => format!("{} {address}", text("access").unwrap_or(kind)),
        (_, _, Some(name)) => format!("{kind} {name}"),
        _ => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "0123456789abcdef0123456789abcdef";

    fn event(seq: u64, event: &str, more: &str) -> String {
        format!(
            "{{\"remit\":1,\"seq\":{seq},\"nonce\":\"{NONCE}\",\"event\":\"{event}\",\"policy\":{{\"digest\":\"sha256:0\"}}{more}}}\n"
        )
    }

    fn start() -> String {
        event(
            1,
            "start",
            ",\"mode\":{\"value\":\"audit\"},\"layers\":[{\"layer\":\"seccomp\",\"state\":\"active\"}]",
        )
    }

    fn log(text: &str) -> RefusalLog {
        match RunRecord::read("events", text.as_bytes()).expect("events") {
            RunRecord::Events(log) => log,
            RunRecord::Journal(_) => panic!("no journal"),
        }
    }

    #[test]
    fn a_whole_log_has_no_gap_and_its_refusals_are_counted() {
        let refused =
            ",\"kind\":\"file\",\"rule\":\"/files\",\"object\":{\"path\":\"/x\",\"access\":[\"read\"]}";
        let text = start()
            + "the app's own\n"
            + &event(2, "violation", refused)
            + &event(3, "violation", &format!("{refused},\"count\":41"))
            + &event(4, "stop", "");
        let log = log(&text);
        assert_eq!(log.gaps, [""; 0]);
        let (refusal, count) = log.violations.first_key_value().expect("one");
        assert_eq!((&*refusal.what, refusal.rule), ("file /x read", GateRule::OutsideFile));
        assert_eq!(*count, RefusalCount { line: 3, count: 42 });
        assert_eq!(log.starts[0].layers["seccomp"].0, "active");
    }

    #[test]
    fn what_a_log_lacks_is_a_gap() {
        let stop = event(4, "stop", "");
        for (text, says) in [
            (start(), "no stop event"),
            (
                start() + &event(2, "exit", ",\"exit\":{\"signal\":\"SYS\"}") + &event(3, "stop", ""),
                "line 2: a process was killed by SIGSYS",
            ),
            (
                start() + &event(2, "stop", ",\"exit\":{\"signal\":\"SYS\"}"),
                "line 2: a process was killed by SIGSYS",
            ),
            (event(2, "violation", "") + &stop, "without remit's start event"),
            (start() + &stop.replace(NONCE, &"f".repeat(32)) + &stop, "another nonce"),
            (start() + "{\"remit\":1,\n" + &stop, "cannot be read as an event"),
            (start() + &event(2, "dropped", ",\"count\":7,\"why\":\"sink slow\"") + &stop, "7 events lost"),
            (start().replace("audit", "off") + &stop, "refuses nothing"),
            (start() + &stop, "2 events missing"),
            (start() + &event(2, "stop", "") + &event(2, "ready", ""), "1 event not in the order"),
            (start() + &event(2, "paused", "") + &stop, "1 event of a name that this remit does not know"),
            ((start() + &stop).replace("{\"remit\":1", "{\"remit\":2"), "2 events of another version than 1"),
            ((start() + &stop).replace("sha256:0", ""), "2 events without the digest of a profile"),
            (
                (start() + &stop).replace("\"policy\"", "\"other\""),
                "2 events without the digest of a profile",
            ),
        ] {
            let gaps = log(&text).gaps;
            assert!(gaps.iter().any(|gap| gap.contains(says)), "{says}: {gaps:?}");
        }
        for none in ["", "plain\n", "[]"] {
            let error = RunRecord::read("x", none.as_bytes()).expect_err("no record").to_string();
            assert!(error.contains("neither"), "{error}");
        }
    }

    #[test]
    fn what_a_journal_lacks_is_a_gap() {
        let start =
            r#"{"journal":1,"run":"app-1","command":["app"],"fingerprint":{"arch":"x86_64"},"outer":{}}"#;
        let open = r#"{"t":1,"phase":"startup","kind":"open","path":"/x","access":["read"],"result":"ok"}"#;
        let exec = r#"{"t":0,"phase":"startup","kind":"exec","program":"/app"}"#;
        let limit = r#"{"t":1,"phase":"serving","kind":"limit","limit":"processes","value":3}"#;
        let end = r#"{"t":9,"end":{"exit":null,"clean":true,"lines":3}}"#;
        let whole = [start, exec, open, limit, end].join("\n");
        let gaps = |text: &str| match RunRecord::read("journal", text.as_bytes()).expect("a journal") {
            RunRecord::Journal(journal) => journal.gaps,
            RunRecord::Events(_) => panic!("no events"),
        };
        assert_eq!(gaps(&whole), [""; 0]);
        assert_eq!(gaps(&whole.replace("\"ok\"", "\"EACCES\"")), [""; 0]);
        for (was, is, says) in [
            ("\"open\"", "\"pause\"", "1 line of a kind that this remit does not know"),
            ("\"ok\"", "\"perhaps\"", "1 line with a result that this remit does not know"),
            (",\"lines\":3", "", "does not say in its last line how many lines it has"),
            ("\"lines\":3", "\"lines\":4", "says that it has 4 lines, and has 3"),
            (end, "", "has no end"),
            ("\"exec\"", "\"pause\"", "no program was executed in it"),
            ("\"processes\"", "\"frobs\"", "its limit frobs is none that this remit knows"),
            ("\"clean\":true", "\"clean\":false", "ended badly"),
            ("\"lines\":3", "\"lines\":3,\"dropped\":3", "3 observations were lost"),
        ] {
            let gaps = gaps(&whole.replace(was, is));
            assert!(gaps.iter().any(|gap| gap.contains(says)), "{says}: {gaps:?}");
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error() {
        let whole =
            start() + &event(2, "violation", ",\"kind\":\"program\",\"hint\":[]") + &event(3, "stop", "");
        let journal = br#"{"journal":1,"run":"app-1","command":["app"],"label":"","exact":false,"fingerprint":{"arch":"x86_64"},"outer":{}}"#;
        crate::mutation::each(&[whole.as_bytes(), journal], |bytes| {
            if let Err(error) = RunRecord::read("run", bytes) {
                assert!(error.to_string().starts_with("run"), "{error}");
            }
        });
    }
}
