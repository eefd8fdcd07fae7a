//! From events to incidents: what one process and those that it started did that the profile does
//! not allow, as one thing with its process tree and a sentence. Pure: no clock and no file.
//!
//! [`rules`] says what an event is a sign of; [`Incidents`] is the state machine that joins the
//! events of one lineage of processes; an [`Incident`] is what comes of it. All memory is bounded:
//! of processes, of open incidents and of the steps of each, the oldest make room, and are counted.

#![forbid(unsafe_code)]

mod lineage;
mod machine;
mod report;
pub mod rules;
mod sentence;
mod severity;

pub use machine::{IncidentNews, IncidentTotals, Incidents};
pub use report::{Incident, IncidentProcess, IncidentStep, StepOutcome};
pub use rules::{INCIDENT_RULES, IncidentRule};
pub use severity::IncidentSeverity;
