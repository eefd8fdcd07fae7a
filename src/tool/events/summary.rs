//! What many events come to: counts by event, kind, action, program and rule, and their time.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::event::record::EventRecord;
use crate::visible::{counted, line};

/// How many distinct names a table counts apart; the others share one count.
const NAMES: usize = 4096;

/// How many of them the text lists.
const LISTED: usize = 20;

/// Counts of names, in bounded memory.
#[derive(Clone, Debug, Default)]
struct NameCounts {
    counts: HashMap<String, u64>,
    others: u64,
}

impl NameCounts {
    fn add(&mut self, name: &str, count: u64) {
        if let Some(known) = self.counts.get_mut(name) {
            *known = known.saturating_add(count);
        } else if self.counts.len() < NAMES {
            self.counts.insert(name.to_owned(), count);
        } else {
            self.others = self.others.saturating_add(count);
        }
    }

    /// The largest first, those of one size by name.
    fn sorted(&self) -> Vec<(&str, u64)> {
        let mut sorted: Vec<_> = self.counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        sorted.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        sorted
    }

    fn json(&self) -> Value {
        let mut object = serde_json::Map::new();
        object.extend(self.counts.iter().map(|(name, count)| (name.clone(), json!(count))));
        if self.others > 0 {
            object.insert("…".to_owned(), json!(self.others));
        }
        Value::Object(object)
    }
}

/// The counts.
#[derive(Clone, Debug, Default)]
pub(super) struct EventSummary {
    events: NameCounts,
    kinds: NameCounts,
    actions: NameCounts,
    programs: NameCounts,
    rules: NameCounts,
    total: u64,
    violations: u64,
    /// Lines that stand for several violations, and how many these are.
    floods: (u64, u64),
    dropped: u64,
    first: String,
    last: String,
}

impl EventSummary {
    /// Counts an event.
    pub fn take(&mut self, event: &EventRecord<'_>) {
        self.total += 1;
        self.events.add(&event.event, 1);
        let time: &str = &event.time;
        if !time.is_empty() && (self.first.is_empty() || *time < *self.first) {
            time.clone_into(&mut self.first);
        }
        if *time > *self.last {
            self.last.clear();
            self.last.push_str(time);
        }
        match &*event.event {
            "violation" => {
                let count = event.violations();
                self.violations = self.violations.saturating_add(count);
                self.kinds.add(&event.kind, count);
                self.actions.add(&event.action, count);
                self.rules.add(&event.rule, count);
                self.programs.add(event.process().program(), count);
                if let Some(count) = event.count {
                    self.floods = (self.floods.0 + 1, self.floods.1.saturating_add(count));
                }
            }
            "dropped" => self.dropped = self.dropped.saturating_add(event.violations()),
            _ => {}
        }
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        json!({
            "events": self.total,
            "first": self.first,
            "last": self.last,
            "by_event": self.events.json(),
            "violations": self.violations,
            "by_kind": self.kinds.json(),
            "by_action": self.actions.json(),
            "by_program": self.programs.json(),
            "by_rule": self.rules.json(),
            "floods": { "lines": self.floods.0, "violations": self.floods.1 },
            "dropped": self.dropped,
        })
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        self.write(&mut text).unwrap_or_default();
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        if self.total == 0 {
            return writeln!(text, "no events");
        }
        writeln!(text, "{}, {} to {}", counted(self.total, "event"), line(&self.first), line(&self.last))?;
        table(text, "", &self.events)?;
        if self.violations > 0 {
            writeln!(text, "\n{}", counted(self.violations, "violation"))?;
            if self.floods.0 > 0 {
                writeln!(
                    text,
                    "  {} of them summed up in {} of floods",
                    self.floods.1,
                    counted(self.floods.0, "line")
                )?;
            }
            for (title, counts) in [
                ("by kind", &self.kinds),
                ("by action", &self.actions),
                ("by program", &self.programs),
                ("by rule", &self.rules),
            ] {
                table(text, title, counts)?;
            }
        }
        if self.dropped > 0 {
            writeln!(text, "\n{} lost unwritten (dropped)", counted(self.dropped, "event"))?;
        }
        Ok(())
    }
}

fn table(text: &mut String, title: &str, counts: &NameCounts) -> std::fmt::Result {
    if !title.is_empty() {
        writeln!(text, "{title}")?;
    }
    let sorted = counts.sorted();
    for (name, count) in sorted.iter().take(LISTED) {
        let name = if name.is_empty() { "(none)" } else { name };
        writeln!(text, "  {count:>9}  {}", line(name))?;
    }
    let rest = &sorted[sorted.len().min(LISTED)..];
    let others = rest.iter().map(|(_, count)| count).sum::<u64>().saturating_add(counts.others);
    if others > 0 {
        writeln!(text, "  {others:>9}  of {} (--format json lists all)", counted(rest.len(), "other name"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(lines: impl IntoIterator<Item = String>) -> EventSummary {
        let mut summary = EventSummary::default();
        for line in lines {
            let event = EventRecord::read(line.as_bytes()).expect("an event");
            summary.take(&event);
        }
        summary
    }

    fn violation(second: u64, program: &str, count: &str) -> String {
        format!(
            "{{\"remit\":1,\"time\":\"2026-11-22T10:00:{second:02}Z\",\"event\":\"violation\",\"kind\":\"file\",\"action\":\"denied\",\"rule\":\"/files\"{count},\"process\":{{\"pid\":7,\"executable\":{{\"path\":\"{program}\"}}}}}}"
        )
    }

    #[test]
    fn what_floods_sum_up_is_counted() {
        let dropped =
            "{\"remit\":1,\"time\":\"2026-11-22T10:00:09Z\",\"event\":\"dropped\",\"count\":5}".to_owned();
        let found = summary([
            violation(2, "/a\\u001b", ""),
            violation(1, "/b", ",\"count\":41,\"over\":\"1s\""),
            dropped,
        ]);
        let json = found.json();
        assert_eq!(
            (&json["events"], &json["violations"], &json["dropped"]),
            (&json!(3), &json!(42), &json!(5))
        );
        assert_eq!(json["by_program"], json!({ "/a\u{1b}": 1, "/b": 41 }));
        assert_eq!(json["floods"], json!({ "lines": 1, "violations": 41 }));
        assert_eq!(
            (&json["first"], &json["last"]),
            (&json!("2026-11-22T10:00:01Z"), &json!("2026-11-22T10:00:09Z"))
        );
        let text = found.text();
        assert!(
            text.contains("3 events") && text.contains("       41  /b\n") && text.contains("/a\\u001b\n"),
            "{text}"
        );
        assert_eq!(summary([]).text(), "no events\n");
    }

    #[test]
    fn memory_is_bounded_and_no_count_is_lost() {
        let found = summary((0..2 * NAMES).map(|number| violation(1, &format!("/{number}"), "")));
        assert_eq!((found.programs.counts.len(), found.programs.others), (NAMES, NAMES as u64));
        assert_eq!(found.violations, 2 * NAMES as u64);
        assert!(found.text().contains(&format!("{}  of ", 2 * NAMES - LISTED)));
    }
}
