//! Counters in Prometheus' text exposition format (version 0.0.4), for the textfile collector of
//! node_exporter: a file that is written whole, and no listener.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use super::log::LeftOut;
use crate::event::moment::microseconds;
use crate::event::record::EventRecord;
use crate::visible;

/// How many series of one metric there are at most; what comes later is counted as `other`.
const SERIES: usize = 2000;

/// The longest value of a label, in bytes.
const VALUE: usize = 256;

/// The counters.
#[derive(Debug, Default)]
pub(super) struct EventCounters {
    /// By profile and event.
    events: HashMap<[String; 2], u64>,
    /// By profile, kind, action and program.
    violations: HashMap<[String; 4], u64>,
    /// By profile.
    dropped: BTreeMap<String, u64>,
    last: u64,
    /// The key of the event before, since the next one is often of the same.
    key: [String; 4],
}

impl EventCounters {
    /// Counts an event.
    pub fn take(&mut self, event: &EventRecord<'_>) {
        let policy = event.details().policy();
        self.last = self.last.max(microseconds(&event.time).unwrap_or_default());
        let key = [cut(&policy.name), cut(&event.event)].map(str::to_owned);
        count(&mut self.events, key, 1, ["other"; 2]);
        match &*event.event {
            "violation" => {
                let process = event.process();
                let now = [cut(&policy.name), cut(&event.kind), cut(&event.action), cut(process.program())];
                if self.key.iter().zip(now).any(|(before, now)| *before != now) {
                    self.key = now.map(str::to_owned);
                }
                let [_, kind, action, _] = now;
                let other = [cut(&policy.name), kind, action, "other"];
                match self.violations.get_mut(&self.key) {
                    Some(known) => *known = known.saturating_add(event.violations()),
                    None => count(&mut self.violations, self.key.clone(), event.violations(), other),
                }
            }
            "dropped" => {
                // One profile is the rule, so the bound is that of an odd log.
                let name = if self.dropped.len() < SERIES { cut(&policy.name) } else { "other" };
                let known = self.dropped.entry(name.to_owned()).or_default();
                *known = known.saturating_add(event.violations());
            }
            _ => {}
        }
    }

    /// The file, with what was left out so far.
    pub fn text(&self, left_out: LeftOut) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        self.write(left_out, &mut text).unwrap_or_default();
        text
    }

    fn write(&self, left_out: LeftOut, text: &mut String) -> std::fmt::Result {
        heading(text, "remit_events_total", "counter", "Events that are remit's, by profile and event.")?;
        for (key, count) in sorted(&self.events) {
            series(text, "remit_events_total", &["profile", "event"], key, *count)?;
        }
        heading(
            text,
            "remit_violations_total",
            "counter",
            "Violations, those that floods summed up included, by profile, kind, action and program.",
        )?;
        for (key, count) in sorted(&self.violations) {
            series(text, "remit_violations_total", &["profile", "kind", "action", "program"], key, *count)?;
        }
        heading(
            text,
            "remit_events_dropped_total",
            "counter",
            "Events that were lost before they were written.",
        )?;
        for (name, count) in &self.dropped {
            series(text, "remit_events_dropped_total", &["profile"], std::slice::from_ref(name), *count)?;
        }
        heading(
            text,
            "remit_events_left_out_total",
            "counter",
            "Lines that look like events and are not proven to be.",
        )?;
        for (reason, count) in left_out.reasons() {
            series(text, "remit_events_left_out_total", &["reason"], &[reason.to_owned()], count)?;
        }
        if self.last > 0 {
            let name = "remit_last_event_timestamp_seconds";
            heading(text, name, "gauge", "The time of the last event.")?;
            writeln!(text, "{name} {}.{:06}", self.last / 1_000_000, self.last % 1_000_000)?;
        }
        Ok(())
    }
}

fn count<const N: usize>(map: &mut HashMap<[String; N], u64>, key: [String; N], by: u64, other: [&str; N]) {
    let has_room = map.len() < SERIES || map.contains_key(&key);
    let key = if has_room { key } else { other.map(str::to_owned) };
    let known = map.entry(key).or_default();
    *known = known.saturating_add(by);
}

fn sorted<const N: usize>(map: &HashMap<[String; N], u64>) -> BTreeMap<&[String; N], &u64> {
    let mut sorted = BTreeMap::new();
    sorted.extend(map);
    sorted
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(VALUE)]
}

fn heading(text: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn series(text: &mut String, name: &str, labels: &[&str], values: &[String], count: u64) -> std::fmt::Result {
    write!(text, "{name}{{")?;
    for (number, (label, value)) in labels.iter().zip(values).enumerate() {
        let value = visible::line(value).replace('\\', "\\\\").replace('"', "\\\"");
        write!(text, "{}{label}=\"{value}\"", if number == 0 { "" } else { "," })?;
    }
    writeln!(text, "}} {count}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(program: &str, count: u64) -> String {
        format!(
            r#"{{"remit":1,"time":"2026-11-22T10:00:00.5Z","event":"violation","policy":{{"name":"web"}},"kind":"file","action":"denied","count":{count},"process":{{"pid":7,"executable":{{"path":"{program}"}}}}}}"#
        )
    }

    fn take(counters: &mut EventCounters, line: &str) {
        counters.take(&EventRecord::read(line.as_bytes()).expect("an event"));
    }

    #[test]
    fn the_file_is_in_the_exposition_format() {
        let mut counters = EventCounters::default();
        take(&mut counters, &violation("/a\\\"\\u001b\\\\", 41));
        take(&mut counters, &violation("/a\\\"\\u001b\\\\", 1));
        take(&mut counters, r#"{"remit":1,"event":"dropped","policy":{"name":"web"},"count":3}"#);
        let text = counters.text(LeftOut::default());
        for line in [
            "# TYPE remit_violations_total counter",
            "remit_violations_total{profile=\"web\",kind=\"file\",action=\"denied\",program=\"/a\\\"\\\\u001b\\\\\"} 42",
            "remit_events_total{profile=\"web\",event=\"violation\"} 2",
            "remit_events_dropped_total{profile=\"web\"} 3",
            "remit_last_event_timestamp_seconds 1795341600.500000",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        assert!(text.ends_with('\n') && text.lines().all(|line| !line.is_empty()));
    }

    #[test]
    fn series_are_bounded_and_no_count_is_lost() {
        let mut counters = EventCounters::default();
        for number in 0..2 * SERIES {
            take(&mut counters, &violation(&format!("/{number}"), 2));
        }
        assert_eq!(counters.violations.len(), SERIES + 1);
        assert_eq!(counters.violations.values().sum::<u64>(), 4 * SERIES as u64);
        let text = counters.text(LeftOut::default());
        let other = format!(
            "remit_violations_total{{profile=\"web\",kind=\"file\",action=\"denied\",program=\"other\"}} {}",
            2 * SERIES
        );
        assert!(text.lines().any(|line| line == other));
    }
}
