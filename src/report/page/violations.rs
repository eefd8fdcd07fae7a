//! Violations over time.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use askama::Template;

use super::shown;
use crate::event::time::utc;
use crate::report::violations::{FIRST, TimeCounts, ViolationHistory};
use crate::visible::counted;

/// The most spans of time that are drawn.
const SPANS: usize = 168;
/// The height of the bars, in units of their view box.
const TALL: f64 = 20.0;
/// Rows of the table of counts at most.
const ROWS: usize = 200;

/// The section of violations.
#[derive(Template)]
#[template(path = "report/violations.html", whitespace = "minimize")]
pub(super) struct ViolationsPart {
    found: Option<HistoryView>,
}

struct HistoryView {
    total: u64,
    files: String,
    untimed: u64,
    others: u64,
    notes: Vec<String>,
    time: Option<TimeView>,
    first: Vec<ViolationRow>,
    most_listed: usize,
}

struct TimeView {
    span: String,
    start: String,
    end: String,
    count: usize,
    kinds: Vec<KindRow>,
    rows: Vec<SpanRow>,
    left_out: usize,
}

struct KindRow {
    kind: String,
    total: u64,
    most: u64,
    bars: String,
}

struct SpanRow {
    time: String,
    counts: Vec<u64>,
}

struct ViolationRow {
    time: String,
    kind: String,
    action: String,
    program: String,
    object: String,
    rule: String,
    count: u64,
}

impl ViolationsPart {
    pub fn of(history: Option<&ViolationHistory>, digest: &str) -> ViolationsPart {
        ViolationsPart { found: history.map(|history| view(history, digest)) }
    }
}

fn view(history: &ViolationHistory, digest: &str) -> HistoryView {
    let row = |one: &crate::report::violations::ListedViolation| ViolationRow {
        time: shown(&one.time),
        kind: shown(&one.kind),
        action: shown(&one.action),
        program: shown(&one.program),
        object: shown(&one.object),
        rule: shown(&one.rule),
        count: one.count,
    };
    HistoryView {
        total: history.total(),
        files: counted(history.files(), "file"),
        untimed: history.untimed(),
        others: history.of_other_profiles(digest),
        notes: history.notes().iter().map(|note| shown(note)).collect(),
        time: history.over_time(SPANS).map(|counts| over_time(&counts)),
        first: history.first().into_iter().map(row).collect(),
        most_listed: FIRST,
    }
}

fn over_time(counts: &TimeCounts) -> TimeView {
    let length = counts.kinds.first().map_or(0, |kind| kind.counts.len());
    let most = counts.kinds.iter().flat_map(|kind| &kind.counts).copied().max().unwrap_or(1).max(1);
    let kinds = counts.kinds.iter().map(|kind| KindRow {
        kind: shown(&kind.kind),
        total: kind.total,
        most: kind.counts.iter().copied().max().unwrap_or_default(),
        bars: bars(&kind.counts, most),
    });
    let of_span = |at: usize| counts.kinds.iter().map(|kind| kind.counts[at]).collect::<Vec<u64>>();
    let begin = |at: usize| time(counts.start.saturating_add(counts.span.saturating_mul(at as i64)));
    let all: Vec<SpanRow> = (0..length)
        .map(|at| SpanRow { time: begin(at), counts: of_span(at) })
        .filter(|row| row.counts.iter().any(|count| *count > 0))
        .collect();
    TimeView {
        span: span(counts.span),
        start: begin(0),
        end: begin(length),
        count: length,
        kinds: kinds.collect(),
        left_out: all.len().saturating_sub(ROWS),
        rows: all.into_iter().take(ROWS).collect(),
    }
}

/// A bar for each span, one unit wide, as one path.
fn bars(counts: &[u64], most: u64) -> String {
    let mut path = String::new();
    for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        // One violation is to be seen beside thousands.
        let height = (TALL * *count as f64 / most as f64).max(1.5);
        // A string takes all.
        let _ = write!(path, "M{at} {TALL}v-{height:.1}h1v{height:.1}z");
    }
    path
}

fn span(seconds: i64) -> String {
    match seconds / 3600 {
        1 => "hour".to_owned(),
        24 => "day".to_owned(),
        hours if hours % 24 == 0 => counted(hours / 24, "day"),
        hours => counted(hours, "hour"),
    }
}

/// A time to the minute, in UTC.
fn time(seconds: i64) -> String {
    let after = Duration::from_secs(seconds.max(0).unsigned_abs());
    let text = utc(UNIX_EPOCH.checked_add(after).unwrap_or(UNIX_EPOCH));
    let minute = text.rsplit_once(':').map_or(&*text, |(minute, _)| minute);
    minute.replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_times_are_short() {
        assert_eq!(
            [span(3600), span(6 * 3600), span(24 * 3600), span(48 * 3600), span(264 * 3600)],
            ["hour", "6 hours", "day", "2 days", "11 days"]
        );
        assert_eq!(time(1_795_341_600), "2026-11-22 10:00");
    }

    #[test]
    fn each_span_with_violations_has_a_bar() {
        assert_eq!(bars(&[0, 1, 2], 2), "M1 20v-10.0h1v10.0zM2 20v-20.0h1v20.0z");
        assert_eq!(bars(&[1, 1000], 1000), "M0 20v-1.5h1v1.5zM1 20v-20.0h1v20.0z");
    }
}
