//! Events in the Open Cybersecurity Schema Framework, version 1.8.0: execs, exits and programs as
//! `process_activity`, files as `file_activity`, sockets as `network_activity`, other violations and
//! incidents as `detection_finding`; all with the profile `security_control`.

use super::json::JsonObject;
use super::parts::{EndpointParts, EventParts, IncidentPhase, base_name, endpoint_parts, techniques};
use super::text::{event_text, quoted};
use crate::event::moment::microseconds;
use crate::event::record::ObjectRecord;
use crate::incident::{Incident, IncidentProcess, IncidentSeverity, IncidentStep};

/// The version of the schema.
const VERSION: &str = "1.8.0";

/// Classes: uid, category, name.
const PROCESS: OcsfClass = OcsfClass { uid: 1007, category: 1, name: "Process Activity" };
const FILE: OcsfClass = OcsfClass { uid: 1001, category: 1, name: "File System Activity" };
const NETWORK: OcsfClass = OcsfClass { uid: 4001, category: 4, name: "Network Activity" };
const FINDING: OcsfClass = OcsfClass { uid: 2004, category: 2, name: "Detection Finding" };
const LIFECYCLE: OcsfClass = OcsfClass { uid: 6002, category: 6, name: "Application Lifecycle" };
const BASE: OcsfClass = OcsfClass { uid: 0, category: 0, name: "Base Event" };

/// `activity_id` of any class.
const OTHER: i64 = 99;
/// `device.type_id` and others of what the schema has no number for.
const TYPE_OTHER: i64 = 99;

#[derive(Clone, Copy)]
struct OcsfClass {
    uid: i64,
    category: i64,
    name: &'static str,
}

/// Writes an event.
pub(super) fn event(parts: &EventParts<'_>, out: &mut Vec<u8>) {
    let EventParts { event, start, .. } = parts;
    JsonObject::write(out, |o| match (&*event.event, &*event.kind) {
        ("start" | "exec", _) => {
            common(o, parts, PROCESS, (1, "Launch"));
            started(o, parts);
        }
        ("exit", _) => {
            common(o, parts, PROCESS, (2, "Terminate"));
            started(o, parts);
            o.number("exit_code", parts.exit.code);
            if !parts.exit.signal.is_empty() {
                o.object("unmapped", |o| o.text("signal", &parts.exit.signal).done());
            }
        }
        ("violation", kind) => {
            violation(o, parts, kind);
            control(o, parts);
            device(o, start);
            unmapped(o, parts);
        }
        ("stop", _) => {
            common(o, parts, LIFECYCLE, (4, "Stop"));
            let name = if parts.policy.name.is_empty() { "unknown" } else { &parts.policy.name };
            o.object("app", |o| o.text("name", name).text("vendor_name", "remit").done());
            o.text("status_detail", &parts.details.why);
        }
        _ => common(o, parts, BASE, (OTHER, &event.event)),
    });
}

/// A process that began or ended, and what started it.
fn started(o: &mut JsonObject<'_>, parts: &EventParts<'_>) {
    control(o, parts);
    device(o, parts.start);
    o.object("process", |o| process(o, parts));
    let parent = parts.process.parent_pid.filter(|_| &*parts.event.event != "start");
    o.object("actor", |o| match parent {
        Some(parent) => o.object("process", |o| parent_process(o, parent, parts)).done(),
        None => o.text("app_name", "remit-init").done(),
    });
}

/// What the profile does not allow.
fn violation(o: &mut JsonObject<'_>, parts: &EventParts<'_>, kind: &str) {
    let object = &parts.object;
    match kind {
        "program" => {
            common(o, parts, PROCESS, (1, "Launch"));
            // The process that called execve: it would have run the program.
            o.object("process", |o| {
                o.number("pid", i64::from(parts.process.pid)).text("name", base_name(&object.path));
                o.object("file", |o| file(o, &object.path, 1));
            });
        }
        "file" => {
            common(o, parts, FILE, file_activity(object));
            o.object("file", |o| file(o, &object.path, 0));
        }
        "network" => {
            let endpoint_is = endpoint_parts(&object.address);
            let listens = object.access.has("listen");
            common(o, parts, NETWORK, if listens { (7, "Listen") } else { (1, "Open") });
            let key = if listens { "src_endpoint" } else { "dst_endpoint" };
            o.object(key, |o| endpoint(o, &object.address, &endpoint_is));
            connection(o, &endpoint_is, listens);
        }
        _ => {
            common(o, parts, FINDING, (1, "Create"));
            o.object("finding_info", |o| finding(o, parts));
            let known = (parts.process.pid != 0).then_some(parts);
            o.objects("evidences", known, |o, parts| o.object("process", |o| process(o, parts)).done());
            if !parts.details.hint().is_empty() {
                let desc = format!(
                    "Allow it in the profile, by this JSON Patch (RFC 6902): {}",
                    parts.details.hint()
                );
                o.object("remediation", |o| o.text("desc", &desc).done());
            }
        }
    }
    o.object("actor", |o| match parts.process.pid {
        0 => o.text("app_name", "remit-init").done(),
        _ => o.object("process", |o| process(o, parts)).done(),
    });
}

/// What the schema has no field for.
fn unmapped(o: &mut JsonObject<'_>, parts: &EventParts<'_>) {
    let (event, object) = (parts.event, &parts.object);
    o.object("unmapped", |o| {
        o.text("kind", &event.kind).text("object", object.label()).text("rule", &event.rule);
        o.raw("hint", parts.details.hint()).texts("access", object.access.words());
        o.texts("args", object.args.iter().map(|arg| &**arg));
    });
}

/// The keys of every event.
fn common(o: &mut JsonObject<'_>, parts: &EventParts<'_>, class: OcsfClass, activity: (i64, &str)) {
    let event = parts.event;
    let severity = match (parts.is_violation(), &*event.action) {
        (true, "killed" | "stopped") => (4, "High"),
        (true, _) => (3, "Medium"),
        _ if &*event.event == "dropped" => (2, "Low"),
        _ => (1, "Informational"),
    };
    of_class(o, class, activity, severity);
    o.number("time", milliseconds(&event.time));
    o.text("message", &event_text(event));
    let code = if parts.is_violation() { &event.kind } else { &event.event };
    metadata(o, class, parts.start, &parts.id(), code, parts.sequence());
    if class.uid == FINDING.uid {
        o.number("status_id", 1).text("status", "New");
    } else if parts.is_violation() {
        let (id, status) = if parts.is_refused() { (2, "Failure") } else { (1, "Success") };
        o.number("status_id", id).text("status", status).text("status_code", &parts.details.errno);
    }
    o.number("count", parts.count());
}

fn of_class(o: &mut JsonObject<'_>, class: OcsfClass, activity: (i64, &str), severity: (i64, &str)) {
    o.number("class_uid", class.uid).text("class_name", class.name).number("category_uid", class.category);
    o.number("activity_id", activity.0).text("activity_name", activity.1);
    o.number("type_uid", class.uid * 100 + activity.0);
    o.number("severity_id", severity.0).text("severity", severity.1);
}

fn metadata(
    o: &mut JsonObject<'_>,
    class: OcsfClass,
    start: &str,
    uid: &str,
    code: &str,
    sequence: Option<i64>,
) {
    o.object("metadata", |o| {
        o.text("version", VERSION).text("uid", uid).text("correlation_uid", start).text("event_code", code);
        o.number("sequence", sequence).text("log_name", "events");
        // These two have their actor and device from the profile host.
        let profiles = ["security_control", "host"];
        o.texts("profiles", if class.category == 1 { &profiles[..1] } else { &profiles }.iter().copied());
        o.object("product", |o| {
            o.text("name", "remit").text("vendor_name", "remit").text("version", env!("CARGO_PKG_VERSION"));
        });
    });
}

/// The profile `security_control`.
fn control(o: &mut JsonObject<'_>, parts: &EventParts<'_>) {
    match &*parts.event.action {
        "allowed" => o.number("action_id", 1).text("action", "Allowed").number("disposition_id", 1).done(),
        "observed" => o.number("action_id", 3).text("action", "Observed").number("disposition_id", 15).done(),
        "" => {}
        _ => o.number("action_id", 2).text("action", "Denied").number("disposition_id", 2).done(),
    }
    if parts.is_violation() {
        o.boolean("is_alert", true);
    }
    policy(o, &parts.policy.name, &parts.policy.digest);
}

fn policy(o: &mut JsonObject<'_>, name: &str, digest: &str) {
    if !name.is_empty() || !digest.is_empty() {
        o.object("policy", |o| o.text("name", name).text("uid", digest).done());
    }
}

/// The container, which is known by its start alone.
fn device(o: &mut JsonObject<'_>, start: &str) {
    o.object("device", |o| {
        o.number("type_id", TYPE_OTHER).text("type", "Container").text("instance_uid", start).done()
    });
}

fn parent_process(o: &mut JsonObject<'_>, pid: u32, parts: &EventParts<'_>) {
    o.number("pid", i64::from(pid));
    let program = parts.parent_program();
    if !program.is_empty() {
        o.text("name", base_name(program)).object("file", |o| file(o, program, 1));
    }
}

fn process(o: &mut JsonObject<'_>, parts: &EventParts<'_>) {
    let process = &parts.process;
    known_process(o, process.pid, process.program(), parts.arguments(), process.uid);
    if let Some(parent) = process.parent_pid {
        o.object("parent_process", |o| parent_process(o, parent, parts));
    }
}

fn known_process<'t>(
    o: &mut JsonObject<'_>,
    pid: u32,
    program: &str,
    arguments: impl Iterator<Item = &'t str>,
    uid: Option<u32>,
) {
    o.number("pid", i64::from(pid));
    if !program.is_empty() {
        o.text("name", base_name(program)).object("file", |o| file(o, program, 1));
    }
    let command: Vec<String> = arguments.map(quoted).collect();
    o.text("cmd_line", &command.join(" "));
    if let Some(uid) = uid {
        o.object("user", |o| o.text("uid", &uid.to_string()).done());
    }
}

fn file(o: &mut JsonObject<'_>, path: &str, type_id: i64) {
    let name = if path.is_empty() { "unknown" } else { base_name(path) };
    o.text("name", name).text("path", path).number("type_id", type_id);
}

fn file_activity(object: &ObjectRecord<'_>) -> (i64, &'static str) {
    let activities = [
        ("create", (1, "Create")),
        ("remove", (4, "Delete")),
        ("write", (3, "Update")),
        ("read", (2, "Read")),
        ("list", (2, "Read")),
    ];
    let found = activities.into_iter().find(|(access, _)| object.access.has(access));
    found.map_or((OTHER, "ioctl"), |(_, activity)| activity)
}

fn endpoint(o: &mut JsonObject<'_>, address: &str, parts: &EndpointParts<'_>) {
    if let Some(ip) = parts.ip {
        o.text("ip", &ip.to_string());
    }
    o.number("port", parts.port.map(i64::from));
    o.text("svc_name", if address.is_empty() { "unknown" } else { address });
}

fn connection(o: &mut JsonObject<'_>, parts: &EndpointParts<'_>, is_inbound: bool) {
    o.object("connection_info", |o| {
        o.number("direction_id", if is_inbound { 1 } else { 2 }).text("protocol_name", parts.transport);
        // IANA's numbers.
        o.number(
            "protocol_num",
            match parts.transport {
                "tcp" => Some(6),
                "udp" => Some(17),
                "icmp" => Some(1),
                _ => None,
            },
        );
    });
}

fn finding(o: &mut JsonObject<'_>, parts: &EventParts<'_>) {
    let event = parts.event;
    o.text("uid", &parts.id());
    o.text("title", &format!("{} {} {}", event.kind, parts.object.label(), event.action));
    o.text("desc", &event_text(event));
    o.number("created_time", milliseconds(&event.time));
    o.object("analytic", |o| {
        o.number("type_id", 1).text("type", "Rule").text("name", &event.rule).text("uid", &event.kind);
    });
}

/// Writes an incident.
pub(super) fn incident(incident: &Incident, phase: IncidentPhase, start: &str, out: &mut Vec<u8>) {
    let activity = match phase {
        IncidentPhase::Create => (1, "Create"),
        IncidentPhase::Update => (2, "Update"),
        IncidentPhase::Close => (3, "Close"),
    };
    let severity = match incident.severity {
        IncidentSeverity::Low => (2, "Low"),
        IncidentSeverity::Medium => (3, "Medium"),
        IncidentSeverity::High => (4, "High"),
        IncidentSeverity::Critical => (5, "Critical"),
    };
    let uid = format!("{start}-incident-{}", incident.number);
    JsonObject::write(out, |o| {
        of_class(o, FINDING, activity, severity);
        o.number("time", milliseconds(&incident.last)).text("message", &incident.sentence);
        o.number("start_time", milliseconds(&incident.first))
            .number("end_time", milliseconds(&incident.last));
        metadata(o, FINDING, start, &format!("{uid}-{}", activity.0), "incident", None);
        match phase {
            IncidentPhase::Close => o.number("status_id", 4).text("status", "Resolved").done(),
            _ => o.number("status_id", 1).text("status", "New").done(),
        }
        o.object("finding_info", |o| incident_info(o, incident, &uid));
        o.objects("evidences", &incident.steps, |o, step| evidence(o, incident, step));
        o.boolean("is_alert", true).number("count", i64::try_from(incident.violations).ok());
        if incident.refused > 0 {
            o.number("action_id", 2).text("action", "Denied").number("disposition_id", 2);
        } else {
            o.number("action_id", 3).text("action", "Observed").number("disposition_id", 15);
        }
        policy(o, &incident.policy, "");
        o.object("actor", |o| o.object("process", |o| incident_process(o, &incident.origin)).done());
        device(o, start);
    });
}

fn incident_info(o: &mut JsonObject<'_>, incident: &Incident, uid: &str) {
    o.text("uid", uid).text("title", &incident.sentence).text("desc", &incident.sentence);
    o.number("first_seen_time", milliseconds(&incident.first))
        .number("last_seen_time", milliseconds(&incident.last));
    o.texts("types", incident.rules.iter().copied());
    o.object("analytic", |o| {
        o.number("type_id", 2).text("type", "Behavioral").text("name", "remit incidents").done()
    });
    let techniques: Vec<_> = techniques(incident).collect();
    if !techniques.is_empty() {
        o.objects("attacks", techniques, |o, (id, name)| {
            o.object("technique", |o| o.text("uid", id).text("name", name).done());
        });
    }
}

fn evidence(o: &mut JsonObject<'_>, incident: &Incident, step: &IncidentStep) {
    if let Some(process) = incident.process(step.pid) {
        o.object("process", |o| incident_process(o, process));
    }
    o.text("name", step.rule.id);
    o.object("data", |o| {
        o.text("rule", step.rule.id).text("object", &step.object).text("outcome", step.outcome.word());
        o.number("count", i64::try_from(step.count).ok()).text("kind", step.kind).text("time", &step.time);
        o.number("sequence", i64::try_from(step.seq).ok());
    });
}

fn incident_process(o: &mut JsonObject<'_>, process: &IncidentProcess) {
    let arguments = process.args.iter().map(String::as_str);
    known_process(o, process.pid, &process.program, arguments, process.uid);
    if let Some(parent) = process.parent_pid {
        o.object("parent_process", |o| o.number("pid", i64::from(parent)).done());
    }
}

/// Milliseconds since 1970; 0 of a time that is none.
fn milliseconds(time: &str) -> i64 {
    microseconds(time).and_then(|time| i64::try_from(time / 1000).ok()).unwrap_or_default()
}
