//! The events that a container wrote, as the format says them.

use serde_json::Value;

/// Events in their order.
#[derive(Debug)]
pub struct Events(pub Vec<Value>);

impl Events {
    /// Takes the events out of lines in which the app speaks too, and into which it may
    /// have written a beginning: busybox's shell says `sh: ` and then what is wrong.
    pub fn read(lines: &[String]) -> Events {
        let event = |line: &String| -> Option<Value> {
            serde_json::from_str(&line[line.find("{\"remit\":")?..]).ok()
        };
        Events(lines.iter().filter_map(event).collect())
    }

    /// All of one kind: `start`, `violation`, …
    pub fn of(&self, event: &str) -> Vec<&Value> {
        self.0.iter().filter(|value| value["event"] == event).collect()
    }

    /// The violations.
    pub fn violations(&self) -> Vec<&Value> {
        self.of("violation")
    }
}
