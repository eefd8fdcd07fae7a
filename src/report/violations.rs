//! Violations over time, from the lines of event files: counts by kind and hour, and the first ones.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::event::newer::NewerEvents;
use crate::event::stream::{Origin, Provenance};
use crate::visible::counted;

/// How many of the first violations are listed.
pub const FIRST: usize = 50;
/// The most spans of time that are counted apart. Beyond it spans are joined by twos.
const MOST_SPANS: usize = 4096;
/// The longest text of an event that is shown, in characters.
const LONGEST: usize = 200;
const HOUR: i64 = 3600;

/// A violation of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedViolation {
    /// As the event has it; empty where it has none.
    pub time: String,
    /// The section of the profile that it violates.
    pub kind: String,
    /// What was done: `denied`, `observed`, `killed`.
    pub action: String,
    /// The program of the process.
    pub program: String,
    /// What the process used.
    pub object: String,
    /// JSON Pointer of the section or entry that does not allow it.
    pub rule: String,
    /// How many violations the line stands for.
    pub count: u64,
}

/// The violations of event files.
#[derive(Clone, Debug, Default)]
pub struct ViolationHistory {
    /// Violations by kind, and by the span of time since 1970 in which they are.
    spans: BTreeMap<i64, BTreeMap<String, u64>>,
    /// The length of a span is an hour times two to the power of this.
    doubled: u32,
    /// By kind, of all.
    kinds: BTreeMap<String, u64>,
    /// Violations without a time that can be read.
    untimed: u64,
    first: Vec<(Option<i64>, ListedViolation)>,
    /// The names of the profiles' digests in the events, with how many violations each has.
    digests: BTreeMap<String, u64>,
    files: usize,
    notes: Vec<String>,
}

/// The bars of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindCounts {
    /// The kind: `program`, `file`, …
    pub kind: String,
    /// All of them.
    pub total: u64,
    /// Of each span, in order.
    pub counts: Vec<u64>,
}

/// Counts over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeCounts {
    /// When the first span begins, in seconds since 1970.
    pub start: i64,
    /// The length of a span in seconds.
    pub span: i64,
    /// The kinds by their names, each with as many counts as the others.
    pub kinds: Vec<KindCounts>,
}

#[derive(Deserialize)]
struct ViolationKeys {
    #[serde(default)]
    remit: u64,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    event: String,
    #[serde(default)]
    time: String,
    #[serde(default)]
    policy: Value,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    object: Value,
    #[serde(default)]
    process: Value,
    count: Option<u64>,
}

/// One event file that is being read.
#[derive(Debug)]
pub struct ViolationFile<'h> {
    history: &'h mut ViolationHistory,
    name: String,
    provenance: Provenance,
    events: u64,
    others: u64,
    unproven: u64,
    newer: NewerEvents,
}

impl ViolationHistory {
    /// Begins a file; `name` is what notes call it. If `nonces` is not empty, only events with one of them count.
    pub fn begin(&mut self, name: &str, nonces: &[String]) -> ViolationFile<'_> {
        self.files += 1;
        let provenance = Provenance::of(nonces);
        let (name, newer) = (name.to_owned(), NewerEvents::default());
        ViolationFile { history: self, name, provenance, events: 0, others: 0, unproven: 0, newer }
    }

    /// How many files were read.
    pub fn files(&self) -> usize {
        self.files
    }

    /// How many violations there are.
    pub fn total(&self) -> u64 {
        sum(self.kinds.values())
    }

    /// How many have no time that can be read.
    pub fn untimed(&self) -> u64 {
        self.untimed
    }

    /// What was left out, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How many violations are of another profile than the one with this digest.
    pub fn of_other_profiles(&self, digest: &str) -> u64 {
        sum(self.digests.iter().filter(|(one, _)| *one != digest).map(|(_, count)| count))
    }

    /// The first violations, by time; those without one come last.
    pub fn first(&self) -> Vec<&ListedViolation> {
        self.first.iter().map(|(_, violation)| violation).collect()
    }

    /// The counts in at most `most` spans of whole hours; `None` where no violation has a time.
    pub fn over_time(&self, most: usize) -> Option<TimeCounts> {
        let (first, last) = (*self.spans.keys().next()?, *self.spans.keys().next_back()?);
        let mut joined = 1;
        while (last.div_euclid(joined) - first.div_euclid(joined) + 1) as u64 > most as u64 {
            // An hour, then 6, 12, 24, 48 and so on.
            joined = if joined == 1 && self.doubled == 0 { 6 } else { joined * 2 };
        }
        let start = first.div_euclid(joined);
        let count = (last.div_euclid(joined) - start + 1) as usize;
        let mut kinds: BTreeMap<&String, Vec<u64>> =
            self.kinds.keys().map(|kind| (kind, vec![0; count])).collect();
        for (span, by_kind) in &self.spans {
            for (kind, number) in by_kind {
                let at = (span.div_euclid(joined) - start) as usize;
                if let Some(counts) = kinds.get_mut(kind) {
                    counts[at] = counts[at].saturating_add(*number);
                }
            }
        }
        let span = joined * (HOUR << self.doubled);
        let kinds = kinds
            .into_iter()
            .map(|(kind, counts)| KindCounts { kind: kind.clone(), total: self.kinds[kind], counts })
            .collect();
        Some(TimeCounts { start: start * span, span, kinds })
    }

    fn add(&mut self, event: ViolationKeys) {
        let count = event.count.unwrap_or(1);
        let kind = known_kind(&event.kind).to_owned();
        let total = self.kinds.entry(kind.clone()).or_default();
        *total = total.saturating_add(count);
        let digest = event.policy["digest"].as_str().unwrap_or_default();
        // A digest is 71 bytes long; and there are few profiles, unless the log is forged.
        if self.digests.len() < MOST_SPANS {
            let of_digest = self.digests.entry(short(digest)).or_default();
            *of_digest = of_digest.saturating_add(count);
        }
        let seconds = seconds(&event.time);
        match seconds {
            Some(seconds) => {
                let span = seconds.div_euclid(HOUR << self.doubled);
                let counted = self.spans.entry(span).or_default().entry(kind.clone()).or_default();
                *counted = counted.saturating_add(count);
                while self.spans.len() > MOST_SPANS {
                    self.join_spans();
                }
            }
            None => self.untimed = self.untimed.saturating_add(count),
        }
        let order = |seconds: Option<i64>| seconds.unwrap_or(i64::MAX);
        if self.first.len() == FIRST
            && self.first.last().is_some_and(|(last, _)| order(*last) <= order(seconds))
        {
            return;
        }
        let listed = ListedViolation {
            time: short(&event.time),
            kind,
            action: short(&event.action),
            program: short(event.process["executable"]["path"].as_str().unwrap_or_default()),
            object: short(&object(&event.object)),
            rule: short(&event.rule),
            count,
        };
        let at = self.first.partition_point(|(one, _)| order(*one) <= order(seconds));
        self.first.insert(at, (seconds, listed));
        self.first.truncate(FIRST);
    }

    fn join_spans(&mut self) {
        self.doubled += 1;
        for (span, by_kind) in std::mem::take(&mut self.spans) {
            let joined = self.spans.entry(span.div_euclid(2)).or_default();
            for (kind, count) in by_kind {
                let all = joined.entry(kind).or_default();
                *all = all.saturating_add(count);
            }
        }
    }
}

impl ViolationFile<'_> {
    /// Takes one line that may be an event. Only what remit itself wrote counts.
    pub fn line(&mut self, line: &[u8]) {
        let Ok(event) = serde_json::from_slice::<ViolationKeys>(line) else {
            self.others += 1;
            return;
        };
        self.events += 1;
        match self.provenance.origin(&event.event, event.seq, &event.nonce) {
            Origin::Remit if !self.newer.knows(event.remit, &event.event) => {}
            Origin::Remit if event.event == "violation" => self.history.add(event),
            Origin::Remit => {}
            Origin::Other => self.others += 1,
            Origin::Unproven => self.unproven += 1,
        }
    }

    /// Ends the file. Returns whether it had any event.
    pub fn end(self) -> bool {
        let ViolationFile { history, name, others, unproven, events, newer, .. } = self;
        history.notes.extend(newer.sentences().into_iter().map(|what| format!("{name}: {what}")));
        if others > 0 {
            history.notes.push(format!(
                "{name}: {} in the form of an event left out: another start's, the app's own, or cut off \
                 (--nonce NONCE takes those of another start)",
                counted(others, "line")
            ));
        }
        if unproven > 0 {
            history.notes.push(format!(
                "{name}: {} left out: the log does not begin with remit's start event, so the app may have written \
                 any line (REMIT_EVENTS=stderr or a file puts it first, --nonce NONCE names a start)",
                counted(unproven, "event")
            ));
        }
        events > 0
    }
}

/// All together, as far as a number can count.
fn sum<'c>(counts: impl Iterator<Item = &'c u64>) -> u64 {
    counts.fold(0, |all, count| all.saturating_add(*count))
}

/// The kind where it is one of the closed list; a newer one is `other`.
fn known_kind(kind: &str) -> &'static str {
    const KINDS: [&str; 8] =
        ["program", "file", "network", "syscall", "capability", "memory", "limit", "environment"];
    KINDS.into_iter().find(|known| *known == kind).unwrap_or("other")
}

/// What an object is about, in one line.
fn object(object: &Value) -> String {
    let text = |key: &str| object[key].as_str();
    let access = match &object["access"] {
        Value::Array(rights) => rights.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let args = || {
        let args = object["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
        args.collect::<Vec<_>>().join(", ")
    };
    if let Some(call) = text("syscall") {
        return format!("{call}({})", args());
    }
    let what = text("path").or(text("address")).or(text("name")).unwrap_or_default();
    match (access.as_str(), text("value")) {
        ("", None) => what.to_owned(),
        ("", Some(value)) => format!("{what}={value}"),
        (access, _) => format!("{what} ({access})"),
    }
}

/// A text that is cut where it is too long to be shown.
fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The seconds since 1970 of a time in RFC 3339, in UTC: `2026-11-22T10:00:00.000001Z`.
fn seconds(time: &str) -> Option<i64> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, by: char, lengths: [usize; 3]| -> Option<[i64; 3]> {
        let parts: Vec<&str> = text.split(by).collect();
        let mut numbers = [0; 3];
        for ((number, part), length) in numbers.iter_mut().zip(&parts).zip(lengths) {
            let digits = part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
            *number = digits.then(|| part.parse().ok()).flatten()?;
        }
        (parts.len() == 3).then_some(numbers)
    };
    let whole = clock.split_once('.').map_or(clock, |(whole, _)| whole);
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(whole, ':', [2, 2, 2])?;
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    let is_clock = hour < 24 && minute < 60 && second <= 60;
    (is_date && is_clock).then(|| days(year, month, day) * 86_400 + hour * HOUR + minute * 60 + second)
}

/// The days from 1970-01-01 to a date: Howard Hinnant's `days_from_civil`. Years begin in March there, so that
/// the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests;
