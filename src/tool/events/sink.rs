//! What is made of the events: lines, a summary, incidents, another schema, counters.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::convert::EventConverter;
use super::follow::TakeLog;
use super::incidents::IncidentPrinter;
use super::json::{end_json, put_json};
use super::log::{EventLog, LeftOut};
use super::prometheus::EventCounters;
use super::selection::EventFilter;
use super::summary::EventSummary;
use super::text::event_line;
use crate::event::record::EventRecord;
use crate::tool::ToolError;
use crate::tool::staged::put;
use crate::visible::{self, Colours};

/// How much is collected before it is written, in bytes.
const BUFFER: usize = 256 << 10;

/// The time between two writes of the counters.
const TICK: Duration = Duration::from_secs(1);

/// What is made of events.
pub(super) enum EventOutput {
    /// The lines as they are.
    Json,
    /// Lines for people; with several logs each says which it is of.
    Text { colours: Colours, has_names: bool },
    /// Counts, at the end; as JSON or as text.
    Summary { summary: Box<EventSummary>, is_json: bool },
    /// Incidents.
    Incidents(Box<IncidentPrinter>),
    /// Another schema.
    Schema(EventConverter),
    /// Nothing but the counters.
    None,
}

/// Takes events, and writes to stdout.
pub(super) struct EventSink {
    filter: EventFilter,
    output: EventOutput,
    counters: Option<CounterFile>,
    out: Vec<u8>,
    line: String,
}

/// The file of the counters.
struct CounterFile {
    counters: EventCounters,
    path: PathBuf,
    /// When it was written, and whether there was more since then.
    written: Option<Instant>,
    is_due: bool,
}

impl EventSink {
    /// A sink of what the filter lets pass; with the file of the counters, where there is one.
    pub fn new(filter: EventFilter, output: EventOutput, counters: Option<PathBuf>) -> EventSink {
        let file =
            |path| CounterFile { counters: EventCounters::default(), path, written: None, is_due: true };
        EventSink {
            filter,
            output,
            counters: counters.map(file),
            out: Vec::with_capacity(2 * BUFFER),
            line: String::new(),
        }
    }

    fn take(&mut self, name: &str, event: &EventRecord<'_>) -> io::Result<()> {
        if let EventOutput::Incidents(printer) = &mut self.output {
            printer.take(event, &mut self.out);
        }
        if !self.filter.has(event) {
            return Ok(());
        }
        if let Some(file) = &mut self.counters {
            file.counters.take(event);
            file.is_due = true;
        }
        match &mut self.output {
            EventOutput::Json => put_json(&mut self.out, event.text().as_bytes()),
            EventOutput::Text { colours, has_names } => {
                self.line.clear();
                if *has_names {
                    self.line.push_str(&visible::line(name));
                    self.line.push_str(": ");
                }
                event_line(event, *colours, &mut self.line);
                self.line.push('\n');
                self.out.extend_from_slice(self.line.as_bytes());
            }
            EventOutput::Summary { summary, .. } => summary.take(event),
            EventOutput::Schema(converter) => {
                let start = self.out.len();
                converter.event(event, &mut self.out);
                end_json(&mut self.out, start);
            }
            EventOutput::Incidents(_) | EventOutput::None => {}
        }
        if self.out.len() >= BUFFER { self.write() } else { Ok(()) }
    }

    /// Writes what was collected.
    ///
    /// # Errors
    /// stdout cannot be written; the reader of a pipe may have closed it.
    pub fn write(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(&self.out)?;
        self.out.clear();
        stdout.flush()
    }

    /// Writes the counters, where a second has passed since they were written; at the end in any case.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_counters(&mut self, left_out: LeftOut, is_over: bool) -> Result<(), ToolError> {
        let Some(file) = &mut self.counters else { return Ok(()) };
        let is_early = file.written.is_some_and(|written| written.elapsed() < TICK);
        if !is_over && (!file.is_due || is_early) {
            return Ok(());
        }
        put(&file.path, file.counters.text(left_out))?;
        (file.written, file.is_due) = (Some(Instant::now()), false);
        Ok(())
    }

    /// When something is to be done though no event comes.
    pub fn due(&self) -> Option<Instant> {
        let counters = self.counters.as_ref().filter(|file| file.is_due);
        let counters = counters.and_then(|file| file.written).map(|written| written + TICK);
        let incident = match &self.output {
            EventOutput::Incidents(printer) => printer.due(),
            _ => None,
        };
        let until = |due: u64| Instant::now() + Duration::from_micros(due.saturating_sub(now()));
        counters.into_iter().chain(incident.map(until)).min()
    }

    /// Does what is due.
    pub fn tick(&mut self) {
        if let EventOutput::Incidents(printer) = &mut self.output {
            printer.close_quiet(now(), &mut self.out);
        }
    }

    /// Writes what comes at the end.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub fn finish(&mut self) -> io::Result<()> {
        match &mut self.output {
            EventOutput::Summary { summary, is_json } => {
                if *is_json {
                    let json = summary.json().to_string();
                    put_json(&mut self.out, json.as_bytes());
                } else {
                    self.out.extend_from_slice(summary.text().as_bytes());
                }
            }
            EventOutput::Incidents(printer) => printer.finish(&mut self.out),
            _ => {}
        }
        self.write()
    }
}

impl TakeLog for EventSink {
    type Error = io::Error;

    fn take_log(&mut self, log: &mut EventLog) -> io::Result<()> {
        log.each(|name, event| self.take(name, event))
    }
}

/// Microseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
