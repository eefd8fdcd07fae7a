//! Which events are wanted: by kind, event, program, action, pid and time.

use std::fmt;
use std::time::SystemTime;

use clap::ValueEnum;

use crate::event::moment::moment;
use crate::event::record::EventRecord;
use crate::event::time::utc;
use crate::incident::Incident;
use crate::profile;

/// The options that select events. Of one option any value will do; all options have to fit.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct EventSelection {
    /// Violations of this kind alone; may be repeated
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Vec<SelectedKind>,
    /// Events of this name alone; may be repeated
    #[arg(long, value_enum, value_name = "EVENT")]
    event: Vec<SelectedEvent>,
    /// What this program did: its path, or the last part of it; may be repeated
    #[arg(long, value_name = "PROGRAM")]
    program: Vec<String>,
    /// What had this outcome; may be repeated
    #[arg(long, value_enum, value_name = "ACTION")]
    action: Vec<SelectedAction>,
    /// What this process did; may be repeated
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
    /// From this time on: RFC 3339, a date, or so long ago as 30s, 10m, 4h or 2d
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<SystemTime>,
    /// Up to this time, in the same forms
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<SystemTime>,
}

/// The kinds of violations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SelectedKind {
    Program,
    File,
    Network,
    Syscall,
    Capability,
    Memory,
    Limit,
    Environment,
}

/// The events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SelectedEvent {
    Start,
    Exec,
    Exit,
    Violation,
    Signal,
    Ready,
    Dropped,
    Stop,
}

/// The outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SelectedAction {
    Allowed,
    Denied,
    Observed,
    Killed,
    Stopped,
}

/// A selection, prepared.
#[derive(Clone, Debug, Default)]
pub(super) struct EventFilter {
    kinds: Vec<String>,
    events: Vec<String>,
    programs: Vec<String>,
    actions: Vec<String>,
    pids: Vec<u32>,
    /// As events write times, so that texts are compared.
    since: String,
    until: Option<String>,
    /// Whether there is anything to compare.
    is_any: bool,
}

impl EventSelection {
    /// Prepares it.
    pub fn filter(&self) -> EventFilter {
        let filter = EventFilter {
            kinds: words(&self.kind),
            events: words(&self.event),
            programs: self.program.clone(),
            actions: words(&self.action),
            pids: self.pid.clone(),
            since: self.since.map(utc).unwrap_or_default(),
            until: self.until.map(utc),
            is_any: false,
        };
        EventFilter {
            is_any: filter.is_by_content() || !filter.since.is_empty() || filter.until.is_some(),
            ..filter
        }
    }
}

impl EventFilter {
    /// Whether the event is wanted.
    pub fn has(&self, event: &EventRecord<'_>) -> bool {
        if !self.is_any {
            return true;
        }
        let is = |list: &[String], word: &str| list.is_empty() || list.iter().any(|one| one == word);
        if !self.is_in_time(event)
            || !is(&self.events, &event.event)
            || !is(&self.kinds, &event.kind)
            || !is(&self.actions, &event.action)
        {
            return false;
        }
        if self.programs.is_empty() && self.pids.is_empty() {
            return true;
        }
        let process = event.process();
        self.has_process(process.pid, process.program())
    }

    /// Whether it is in the time that is wanted.
    pub fn is_in_time(&self, event: &EventRecord<'_>) -> bool {
        *event.time >= *self.since && self.until.as_ref().is_none_or(|until| *event.time <= **until)
    }

    /// Whether a step of the incident is wanted, or where only processes are chosen, one of them.
    pub fn has_incident(&self, incident: &Incident) -> bool {
        let is = |list: &[String], word: &str| list.is_empty() || list.iter().any(|one| one == word);
        let mut processes = incident.processes.iter();
        let is_process = |pid| {
            let program = incident.process(pid).map_or("", |process| &process.program);
            self.has_process(pid, program)
        };
        let has_step = incident.steps.iter().any(|step| {
            is(&self.kinds, step.kind) && is(&self.actions, step.outcome.word()) && is_process(step.pid)
        });
        let of_processes = self.kinds.is_empty() && self.actions.is_empty();
        has_step || (of_processes && processes.any(|one| self.has_process(one.pid, &one.program)))
    }

    fn has_process(&self, pid: u32, program: &str) -> bool {
        let base = || program.rsplit('/').next().unwrap_or(program);
        let is = |wanted: &String| *wanted == program || (!wanted.contains('/') && *wanted == base());
        (self.pids.is_empty() || self.pids.contains(&pid))
            && (self.programs.is_empty() || self.programs.iter().any(is))
    }

    fn is_by_content(&self) -> bool {
        let lists = [&self.kinds, &self.events, &self.programs, &self.actions];
        lists.iter().any(|list| !list.is_empty()) || !self.pids.is_empty()
    }
}

fn words<T: ValueEnum>(values: &[T]) -> Vec<String> {
    let word = |value: &T| value.to_possible_value().map(|word| word.get_name().to_owned());
    values.iter().filter_map(word).collect()
}

/// A time of a command line.
fn time(text: &str) -> Result<SystemTime, NoTime> {
    if let Some(time) = moment(text) {
        return Ok(time);
    }
    let hours = |unit: char, hours: u64| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(std::time::Duration::from_secs(number.checked_mul(hours * 3600)?))
    };
    let span = hours('h', 1).or_else(|| hours('d', 24)).or_else(|| profile::duration(text).ok());
    span.and_then(|span| SystemTime::now().checked_sub(span)).ok_or(NoTime)
}

/// A text that is neither a time nor a span.
#[derive(Clone, Copy, Debug)]
struct NoTime;

impl fmt::Display for NoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected a time such as 2026-11-22T10:00:00Z or 2026-11-22, or a span such as 10m, 4h or 2d",
        )
    }
}

impl std::error::Error for NoTime {}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"remit":1,"time":"2026-11-22T10:00:00.000001Z","event":"violation","kind":"file","action":"denied","process":{"pid":7,"executable":{"path":"/usr/sbin/nginx"}}}"#;

    fn has(selection: EventSelection) -> bool {
        let event = EventRecord::read(LINE.as_bytes()).expect("an event");
        selection.filter().has(&event)
    }

    #[test]
    fn each_option_selects() {
        let none = EventSelection::default;
        assert!(has(none()));
        assert!(has(EventSelection { kind: vec![SelectedKind::Network, SelectedKind::File], ..none() }));
        assert!(!has(EventSelection { kind: vec![SelectedKind::Network], ..none() }));
        assert!(!has(EventSelection { event: vec![SelectedEvent::Exec], ..none() }));
        assert!(has(EventSelection { action: vec![SelectedAction::Denied], ..none() }));
        assert!(!has(EventSelection { action: vec![SelectedAction::Killed], ..none() }));
        for (program, wanted) in
            [("nginx", true), ("/usr/sbin/nginx", true), ("sbin/nginx", false), ("ngin", false)]
        {
            assert_eq!(
                has(EventSelection { program: vec![program.to_owned()], ..none() }),
                wanted,
                "{program}"
            );
        }
        assert!(
            has(EventSelection { pid: vec![1, 7], ..none() })
                && !has(EventSelection { pid: vec![8], ..none() })
        );
        let at = |text: &str| Some(time(text).expect("a time"));
        for (since, until, wanted) in [
            ("2026-11-22T10:00:00.000001Z", "2026-11-22T10:00:00.000001Z", true),
            ("2026-11-22T10:00:00.000002Z", "2026-11-23", false),
            ("2026-11-22", "2026-11-22T10:00:00Z", false),
        ] {
            assert_eq!(
                has(EventSelection { since: at(since), until: at(until), ..none() }),
                wanted,
                "{since}"
            );
        }
    }

    #[test]
    fn times_are_moments_or_spans() {
        for good in ["10m", "4h", "2d", "500ms", "2026-11-22T10:00:00+01:00"] {
            assert!(time(good).is_ok(), "{good}");
        }
        for bad in ["", "10", "x", "99999999999999999999d", "-1h", "4 h"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
