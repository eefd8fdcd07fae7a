//! Incidents as they are printed: a sentence, the process tree with what each process did, or JSON.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

use super::convert::EventConverter;
use super::ids::StartIds;
use super::json::put_json;
use super::parts::IncidentPhase;
use super::selection::EventFilter;
use super::text::quoted;
use crate::event::record::EventRecord;
use crate::incident::{Incident, IncidentNews, IncidentSeverity, IncidentTotals, Incidents, StepOutcome};
use crate::visible::sgr::{BOLD_RED, DIM, RED, YELLOW};
use crate::visible::{self, Colours, counted};

/// How many arguments of a process the text shows.
const ARGUMENTS: usize = 8;

/// How incidents are printed.
pub(super) enum IncidentFormat {
    /// For people.
    Text(Colours),
    /// A line of JSON each.
    Json,
    /// In a schema of others.
    Schema(EventConverter),
}

/// Finds incidents, and prints them.
pub(super) struct IncidentPrinter {
    incidents: Incidents,
    filter: EventFilter,
    format: IncidentFormat,
    is_live: bool,
    ids: StartIds,
    start: String,
}

impl IncidentPrinter {
    /// Prints incidents in this format; of a log that is followed also their beginnings.
    pub fn new(filter: EventFilter, format: IncidentFormat, is_live: bool) -> IncidentPrinter {
        let incidents = if is_live { Incidents::live() } else { Incidents::default() };
        IncidentPrinter { incidents, filter, format, is_live, ids: StartIds::default(), start: String::new() }
    }

    /// Takes an event, and writes what came of it.
    pub fn take(&mut self, event: &EventRecord<'_>, out: &mut Vec<u8>) {
        if !self.filter.is_in_time(event) {
            return;
        }
        // What a start closes is of the one before.
        let is_start = &*event.event == "start";
        if !is_start {
            self.set_start(event);
        }
        self.incidents.take(event);
        self.write(out);
        if is_start {
            self.set_start(event);
        }
    }

    /// Closes what is quiet at this time, in microseconds since 1970.
    pub fn close_quiet(&mut self, now: u64, out: &mut Vec<u8>) {
        self.incidents.close_quiet(now);
        self.write(out);
    }

    /// When an incident is quiet, in microseconds since 1970.
    pub fn due(&self) -> Option<u64> {
        self.incidents.due()
    }

    /// Closes all, and writes the totals.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.incidents.finish();
        self.write(out);
        let totals = self.incidents.totals();
        match &self.format {
            IncidentFormat::Text(_) => out.extend(totals_text(totals).bytes()),
            IncidentFormat::Json => line(
                out,
                &json!({
                    "incidents": totals.incidents,
                    "violations": totals.violations,
                    "unassigned": totals.unassigned,
                    "closed_early": totals.closed_early,
                    "processes_forgotten": totals.forgotten,
                }),
            ),
            IncidentFormat::Schema(_) => {}
        }
    }

    fn set_start(&mut self, event: &EventRecord<'_>) {
        let id = self.ids.id(event);
        if self.start != id {
            id.clone_into(&mut self.start);
        }
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        for news in self.incidents.news() {
            let incident = news.incident();
            if !self.filter.has_incident(incident) {
                continue;
            }
            match &self.format {
                IncidentFormat::Text(colours) => {
                    let mut text = String::new();
                    match &news {
                        IncidentNews::Closed(_) => block(incident, *colours, &mut text).unwrap_or_default(),
                        _ => headline(incident, *colours, &mut text),
                    }
                    out.extend(text.bytes());
                }
                IncidentFormat::Json => line(out, &IncidentLine { state: state(&news), incident }),
                IncidentFormat::Schema(converter) => {
                    let mut json = Vec::new();
                    converter.incident(
                        incident,
                        IncidentPhase::of(&news, self.is_live),
                        &self.start,
                        &mut json,
                    );
                    put_json(out, &json);
                }
            }
        }
    }
}

#[derive(Serialize)]
struct IncidentLine<'a> {
    state: &'static str,
    #[serde(flatten)]
    incident: &'a Incident,
}

fn state(news: &IncidentNews) -> &'static str {
    match news {
        IncidentNews::Opened(_) => "opened",
        IncidentNews::Updated(_) => "updated",
        IncidentNews::Closed(_) => "closed",
    }
}

fn line(out: &mut Vec<u8>, value: &impl Serialize) {
    let json = serde_json::to_string(value).expect("texts and numbers are JSON");
    put_json(out, json.as_bytes());
}

/// One line of an incident that begins or goes on.
fn headline(incident: &Incident, colours: Colours, text: &mut String) {
    title(incident, colours, text);
    text.push_str(": ");
    text.push_str(&visible::line(&incident.sentence));
    text.push('\n');
}

fn title(incident: &Incident, colours: Colours, text: &mut String) {
    let colour = match incident.severity {
        IncidentSeverity::Low => DIM,
        IncidentSeverity::Medium => YELLOW,
        IncidentSeverity::High => RED,
        IncidentSeverity::Critical => BOLD_RED,
    };
    colours.put(text, colour, &format!("incident {} {}", incident.number, incident.severity.word()));
}

/// A whole incident.
fn block(incident: &Incident, colours: Colours, text: &mut String) -> std::fmt::Result {
    title(incident, colours, text);
    let times = format!("{} to {}", incident.first, incident.last);
    writeln!(
        text,
        ", {}, profile {}: {}",
        visible::line(&times),
        visible::line(&incident.policy),
        incident.rules.join(", ")
    )?;
    writeln!(text, "  {}", visible::line(&incident.sentence))?;
    for (depth, process) in incident.tree() {
        let indent = "  ".repeat(depth + 1);
        let args: Vec<String> = process.args.iter().skip(1).take(ARGUMENTS).map(|arg| quoted(arg)).collect();
        let more = if process.args.len() > ARGUMENTS + 1 { " …" } else { "" };
        let name = format!("{}[{}] {}{more}", process.program, process.pid, args.join(" "));
        let branch = if depth == 0 { "" } else { "└ " };
        writeln!(text, "{indent}{branch}{}", visible::line(name.trim_end()))?;
        for step in incident.steps.iter().filter(|step| step.pid == process.pid) {
            let colour = match step.outcome {
                StepOutcome::Allowed => DIM,
                StepOutcome::Observed => YELLOW,
                _ => RED,
            };
            write!(text, "{indent}    ")?;
            colours.put(text, colour, &format!("{:<8}", step.outcome.word()));
            let kind = if step.rule.id == "other" { step.kind } else { step.rule.id };
            write!(text, " {kind:<15} {}", visible::line(&step.object))?;
            if step.count > 1 {
                write!(text, ", {} times", step.count)?;
            }
            text.push('\n');
        }
    }
    if incident.left_out > 0 {
        writeln!(text, "  not listed: {} more steps or processes", incident.left_out)?;
    }
    if incident.closed_early {
        writeln!(text, "  closed early, to make room for others")?;
    }
    text.push('\n');
    Ok(())
}

fn totals_text(totals: IncidentTotals) -> String {
    let mut text =
        format!("{} of {}", counted(totals.incidents, "incident"), counted(totals.violations, "violation"));
    if totals.unassigned > 0 {
        text.push_str(&format!(
            "; {} of no incident: rather gaps of the profile (remit amend proposes the change)",
            totals.unassigned
        ));
    }
    if totals.closed_early > 0 {
        text.push_str(&format!("; {} closed early to make room", totals.closed_early));
    }
    if totals.forgotten > 0 {
        text.push_str(&format!("; processes forgotten to make room: {}", totals.forgotten));
    }
    text.push('\n');
    text
}
