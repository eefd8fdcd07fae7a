//! Events as OpenTelemetry log records, in the JSON of OTLP 1.x: a line is one `LogsData`, as the
//! file exporter writes it. Attributes have the names of the semantic conventions where those have
//! one, and begin with `remit.` otherwise.

use super::json::JsonObject;
use super::parts::{EventParts, base_name, endpoint_parts};
use super::text::event_text;
use crate::event::moment::microseconds;
use crate::incident::{Incident, IncidentSeverity};

/// SeverityNumber of opentelemetry/proto/logs/v1.
const INFO: (i64, &str) = (9, "INFO");
const WARN: (i64, &str) = (13, "WARN");
const ERROR: (i64, &str) = (17, "ERROR");
const FATAL: (i64, &str) = (21, "FATAL");

/// The value of an attribute.
enum AttributeValue {
    Text(String),
    Number(i64),
    Texts(Vec<String>),
}

/// A list of attributes; empty texts are left out.
#[derive(Default)]
struct Attributes(Vec<(&'static str, AttributeValue)>);

impl Attributes {
    fn text(&mut self, key: &'static str, text: &str) -> &mut Attributes {
        if !text.is_empty() {
            self.0.push((key, AttributeValue::Text(text.to_owned())));
        }
        self
    }

    fn number(&mut self, key: &'static str, number: Option<i64>) -> &mut Attributes {
        self.0.extend(number.map(|number| (key, AttributeValue::Number(number))));
        self
    }

    fn texts<'t>(&mut self, key: &'static str, texts: impl Iterator<Item = &'t str>) -> &mut Attributes {
        let texts: Vec<String> = texts.map(str::to_owned).collect();
        if !texts.is_empty() {
            self.0.push((key, AttributeValue::Texts(texts)));
        }
        self
    }

    fn write(&self, o: &mut JsonObject<'_>) {
        o.objects("attributes", &self.0, |o, (key, value)| {
            o.text("key", key).object("value", |o| match value {
                // Of an AnyValue one key is there, so an empty text too.
                AttributeValue::Text(text) => o.text("stringValue", text).done(),
                // proto3's JSON writes an int64 as a string.
                AttributeValue::Number(number) => o.text("intValue", &number.to_string()).done(),
                AttributeValue::Texts(texts) => o
                    .object("arrayValue", |o| {
                        o.objects("values", texts, |o, text| {
                            o.raw("stringValue", &json_text(text));
                        });
                    })
                    .done(),
            });
        });
    }
}

/// Writes an event.
pub(super) fn event(parts: &EventParts<'_>, out: &mut Vec<u8>) {
    let EventParts { event, details, policy, process, exit, .. } = parts;
    let severity = match (parts.is_violation(), &*event.action) {
        (true, "killed" | "stopped") => ERROR,
        (true, _) => WARN,
        _ if &*event.event == "dropped" => WARN,
        _ => INFO,
    };
    let mut attributes = Attributes::default();
    attributes
        .text("remit.event", &event.event)
        .text("remit.kind", &event.kind)
        .text("remit.action", &event.action);
    attributes.number("remit.seq", parts.sequence()).number("remit.count", parts.count());
    attributes
        .text("remit.why", &details.why)
        .text("remit.hint", details.hint())
        .text("error.type", &details.errno);
    if event.has_process() {
        attributes
            .number("process.pid", Some(i64::from(process.pid)))
            .number("process.parent_pid", process.parent_pid.map(i64::from))
            .number("process.user.id", process.uid.map(i64::from))
            .text("process.executable.path", process.program())
            .text("process.executable.name", base_name(process.program()))
            .texts("process.command_args", parts.arguments())
            .texts("remit.ancestors", parts.ancestors.iter().map(|path| &**path));
    }
    attributes.number("process.exit.code", exit.code).text("remit.exit.signal", &exit.signal);
    if parts.is_violation() {
        attributes
            .text("security_rule.name", &event.rule)
            .text("security_rule.category", &event.kind)
            .text("security_rule.ruleset.name", &policy.name)
            .text("security_rule.version", &policy.digest);
        of_object(&mut attributes, parts);
    }
    let name = format!("remit.{}", event.event);
    let record = LogRecord {
        service: &policy.name,
        start: parts.start,
        time: &event.time,
        severity,
        name: &name,
        body: &event_text(event),
        attributes,
    };
    record.write(out);
}

fn of_object(attributes: &mut Attributes, parts: &EventParts<'_>) {
    let EventParts { event, object, .. } = parts;
    attributes.text("remit.object", object.label()).texts("remit.access", object.access.words());
    match &*event.kind {
        "program" | "file" => {
            attributes.text("file.path", &object.path).text("file.name", base_name(&object.path));
        }
        "network" => {
            let endpoint = endpoint_parts(&object.address);
            let host = endpoint.ip.map(|ip| ip.to_string());
            attributes.text("network.transport", endpoint.transport);
            attributes.text("server.address", host.as_deref().unwrap_or(endpoint.socket));
            attributes.number("server.port", endpoint.port.map(i64::from));
        }
        _ => {}
    }
}

/// Writes an incident.
pub(super) fn incident(incident: &Incident, start: &str, out: &mut Vec<u8>) {
    let severity = match incident.severity {
        IncidentSeverity::Low => INFO,
        IncidentSeverity::Medium => WARN,
        IncidentSeverity::High => ERROR,
        IncidentSeverity::Critical => FATAL,
    };
    let mut attributes = Attributes::default();
    attributes
        .text("remit.event", "incident")
        .number("remit.incident", i64::try_from(incident.number).ok())
        .text("remit.severity", incident.severity.word())
        .texts("remit.rules", incident.rules.iter().copied())
        .texts("remit.steps", incident.steps.iter().map(|step| &*step.object))
        .number("remit.violations", i64::try_from(incident.violations).ok())
        .number("process.pid", Some(i64::from(incident.origin.pid)))
        .text("process.executable.path", &incident.origin.program)
        .text("security_rule.ruleset.name", &incident.policy);
    let record = LogRecord {
        service: &incident.policy,
        start,
        time: &incident.last,
        severity,
        name: "remit.incident",
        body: &incident.sentence,
        attributes,
    };
    record.write(out);
}

/// What a log record is made of.
struct LogRecord<'a> {
    service: &'a str,
    /// The identifier of the start.
    start: &'a str,
    time: &'a str,
    severity: (i64, &'a str),
    name: &'a str,
    body: &'a str,
    attributes: Attributes,
}

impl LogRecord<'_> {
    /// Writes it as `LogsData` with one record.
    fn write(&self, out: &mut Vec<u8>) {
        let mut resource = Attributes::default();
        resource.text("service.name", if self.service.is_empty() { "unknown_service" } else { self.service });
        resource.text("service.instance.id", self.start);
        // Unsigned 64-bit nanoseconds last until 2554.
        let time = microseconds(self.time).unwrap_or_default().saturating_mul(1000).to_string();
        JsonObject::write(out, |o| {
            o.objects("resourceLogs", [()], |o, ()| {
                o.object("resource", |o| resource.write(o));
                o.objects("scopeLogs", [()], |o, ()| {
                    o.object("scope", |o| {
                        o.text("name", "remit").text("version", env!("CARGO_PKG_VERSION")).done()
                    });
                    o.objects("logRecords", [()], |o, ()| {
                        o.text("timeUnixNano", &time).text("observedTimeUnixNano", &time);
                        o.number("severityNumber", self.severity.0).text("severityText", self.severity.1);
                        o.text("eventName", self.name);
                        o.object("body", |o| o.raw("stringValue", &json_text(self.body)).done());
                        self.attributes.write(o);
                    });
                });
            });
        });
    }
}

/// A text as JSON, the empty one too.
fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
