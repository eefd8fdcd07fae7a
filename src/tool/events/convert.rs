//! Events in the schemas of others: one line of JSON for each.

use super::ids::StartIds;
use super::parts::{EventParts, IncidentPhase};
use super::{ecs, ocsf, otlp};
use crate::event::record::EventRecord;
use crate::incident::Incident;

/// The schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum EventSchema {
    /// Open Cybersecurity Schema Framework 1.8, with the profile `security_control`
    Ocsf,
    /// Elastic Common Schema 8.17
    Ecs,
    /// OpenTelemetry logs in OTLP/JSON, one `LogsData` a line
    OtlpJson,
}

/// Converts events and incidents.
#[derive(Debug)]
pub(super) struct EventConverter {
    schema: EventSchema,
    ids: StartIds,
}

impl EventConverter {
    /// A converter to this schema.
    pub fn to(schema: EventSchema) -> EventConverter {
        EventConverter { schema, ids: StartIds::default() }
    }

    /// Writes an event, without the line's end.
    pub fn event(&mut self, event: &EventRecord<'_>, out: &mut Vec<u8>) {
        let parts = EventParts::of(event, self.ids.id(event));
        match self.schema {
            EventSchema::Ocsf => ocsf::event(&parts, out),
            EventSchema::Ecs => ecs::event(&parts, out),
            EventSchema::OtlpJson => otlp::event(&parts, out),
        }
    }

    /// Writes an incident of the start that an event belongs to.
    pub fn incident(&self, incident: &Incident, phase: IncidentPhase, start: &str, out: &mut Vec<u8>) {
        match self.schema {
            EventSchema::Ocsf => ocsf::incident(incident, phase, start, out),
            EventSchema::Ecs => ecs::incident(incident, start, out),
            EventSchema::OtlpJson => otlp::incident(incident, start, out),
        }
    }
}
