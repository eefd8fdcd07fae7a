//! Events in the Open Cybersecurity Schema Framework, version 1.8.0: execs, exits and programs as
//! `process_activity`, files as `file_activity`, sockets as `network_activity`, other violations and
//! incidents as `detection_finding`; all with the profile `security_control`.

use super::convert::{EndpointParts, IncidentPhase, base_name, endpoint_parts};
use super::json::JsonObject;
use super::text::{event_text, quoted};
use crate::event::moment::microseconds;
use crate::event::record::{EventRecord, ObjectRecord, ProcessRecord};
use crate::incident::{INCIDENT_RULES, Incident, IncidentProcess, IncidentSeverity, IncidentStep};

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
pub(super) fn event(event: &EventRecord<'_>, start: &str, out: &mut Vec<u8>) {
    let process = event.process();
    JsonObject::write(out, |o| match (&*event.event, &*event.kind) {
        ("start" | "exec", _) => {
            common(o, event, start, PROCESS, (1, "Launch"));
            control(o, event);
            device(o, start);
            o.object("process", |o| of_process(o, &process, Some(event)));
            o.object("actor", |o| parent_actor(o, &process, event));
        }
        ("exit", _) => {
            let exit = event.exit();
            common(o, event, start, PROCESS, (2, "Terminate"));
            control(o, event);
            device(o, start);
            o.object("process", |o| of_process(o, &process, Some(event)));
            o.object("actor", |o| parent_actor(o, &process, event));
            o.number("exit_code", exit.code);
            if !exit.signal.is_empty() {
                o.object("unmapped", |o| o.text("signal", &exit.signal).done());
            }
        }
        ("violation", kind) => violation(o, event, start, &process, kind),
        ("stop", _) => {
            common(o, event, start, LIFECYCLE, (4, "Stop"));
            o.object("app", |o| o.text("name", name_of_policy(event).as_str()).text("vendor_name", "remit").done());
            o.text("status_detail", &event.why);
        }
        _ => common(o, event, start, BASE, (OTHER, &event.event)),
    });
}

/// What the profile does not allow.
fn violation(
    o: &mut JsonObject<'_>,
    event: &EventRecord<'_>,
    start: &str,
    process: &ProcessRecord<'_>,
    kind: &str,
) {
    let object = event.object();
    match kind {
        "program" => {
            common(o, event, start, PROCESS, (1, "Launch"));
            // The process that called execve: it would have run the program.
            o.object("process", |o| {
                o.number("pid", i64::from(process.pid)).text("name", base_name(&object.path));
                o.object("file", |o| file(o, &object.path, 1));
            });
            actor(o, process, event);
        }
        "file" => {
            common(o, event, start, FILE, file_activity(&object));
            o.object("file", |o| file(o, &object.path, 0));
            actor(o, process, event);
        }
        "network" => {
            let parts = endpoint_parts(&object.address);
            let listens = object.access.has("listen");
            common(o, event, start, NETWORK, if listens { (7, "Listen") } else { (1, "Open") });
            o.object(if listens { "src_endpoint" } else { "dst_endpoint" }, |o| endpoint(o, &object.address, &parts));
            connection(o, &parts, listens);
            actor(o, process, event);
        }
        _ => {
            common(o, event, start, FINDING, (1, "Create"));
            o.object("finding_info", |o| finding(o, event, start, &object));
            let evidence = |o: &mut JsonObject<'_>, process: &ProcessRecord<'_>| {
                o.object("process", |o| of_process(o, process, Some(event)));
            };
            o.objects("evidences", [process].into_iter().filter(|process| process.pid != 0), evidence);
            if !event.hint().is_empty() {
                let desc = format!("Allow it in the profile, by this JSON Patch (RFC 6902): {}", event.hint());
                o.object("remediation", |o| o.text("desc", &desc).done());
            }
            actor(o, process, event);
        }
    }
    control(o, event);
    device(o, start);
    o.object("unmapped", |o| {
        o.text("kind", kind).text("object", object.label()).text("rule", &event.rule).raw("hint", event.hint());
        o.texts("access", object.access.words()).texts("args", object.args.iter().map(|arg| &**arg));
    });
}

/// The keys of every event.
fn common(o: &mut JsonObject<'_>, event: &EventRecord<'_>, start: &str, class: OcsfClass, activity: (i64, &str)) {
    let is_violation = &*event.event == "violation";
    let severity = match (is_violation, &*event.action) {
        (true, "killed" | "stopped") => (4, "High"),
        (true, _) => (3, "Medium"),
        _ if &*event.event == "dropped" => (2, "Low"),
        _ => (1, "Informational"),
    };
    of_class(o, class, activity, severity);
    o.number("time", milliseconds(&event.time));
    o.text("message", &event_text(event));
    let code = if is_violation { &event.kind } else { &event.event };
    metadata(o, class, start, &format!("{start}-{}", event.seq), code, i64::try_from(event.seq).ok());
    if class.uid == FINDING.uid {
        o.number("status_id", 1).text("status", "New");
    } else if is_violation {
        let refused = !matches!(&*event.action, "observed" | "allowed");
        o.number("status_id", if refused { 2 } else { 1 }).text("status", if refused { "Failure" } else { "Success" });
        o.text("status_code", &event.errno);
    }
    o.number("count", event.count.and_then(|count| i64::try_from(count).ok()));
}

fn of_class(o: &mut JsonObject<'_>, class: OcsfClass, activity: (i64, &str), severity: (i64, &str)) {
    o.number("class_uid", class.uid).text("class_name", class.name).number("category_uid", class.category);
    o.number("activity_id", activity.0).text("activity_name", activity.1);
    o.number("type_uid", class.uid * 100 + activity.0);
    o.number("severity_id", severity.0).text("severity", severity.1);
}

fn metadata(o: &mut JsonObject<'_>, class: OcsfClass, start: &str, uid: &str, code: &str, sequence: Option<i64>) {
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
fn control(o: &mut JsonObject<'_>, event: &EventRecord<'_>) {
    let is_violation = &*event.event == "violation";
    match &*event.action {
        "allowed" => o.number("action_id", 1).text("action", "Allowed").number("disposition_id", 1).done(),
        "observed" => o.number("action_id", 3).text("action", "Observed").number("disposition_id", 15).done(),
        "" => {}
        _ => o.number("action_id", 2).text("action", "Denied").number("disposition_id", 2).done(),
    }
    if is_violation {
        o.boolean("is_alert", true);
    }
    policy(o, &event.policy().name, &event.policy().digest);
}

fn policy(o: &mut JsonObject<'_>, name: &str, digest: &str) {
    if !name.is_empty() || !digest.is_empty() {
        o.object("policy", |o| o.text("name", name).text("uid", digest).done());
    }
}

fn name_of_policy(event: &EventRecord<'_>) -> String {
    let policy = event.policy();
    if policy.name.is_empty() { "unknown".to_owned() } else { policy.name.to_string() }
}

/// The container, which is known by its start alone.
fn device(o: &mut JsonObject<'_>, start: &str) {
    o.object("device", |o| o.number("type_id", TYPE_OTHER).text("type", "Container").text("instance_uid", start).done());
}

fn actor(o: &mut JsonObject<'_>, process: &ProcessRecord<'_>, event: &EventRecord<'_>) {
    o.object("actor", |o| {
        if process.pid == 0 {
            o.text("app_name", "remit-init");
        } else {
            o.object("process", |o| of_process(o, process, Some(event)));
        }
    });
}

/// The process that started this one, or remit-init.
fn parent_actor(o: &mut JsonObject<'_>, process: &ProcessRecord<'_>, event: &EventRecord<'_>) {
    match process.parent_pid.filter(|_| &*event.event != "start") {
        Some(parent) => o.object("process", |o| parent_process(o, parent, event)).done(),
        None => o.text("app_name", "remit-init").done(),
    }
}

fn parent_process(o: &mut JsonObject<'_>, pid: u32, event: &EventRecord<'_>) {
    o.number("pid", i64::from(pid));
    if let Some(program) = event.ancestors().first() {
        o.text("name", base_name(program)).object("file", |o| file(o, program, 1));
    }
}

fn of_process(o: &mut JsonObject<'_>, process: &ProcessRecord<'_>, event: Option<&EventRecord<'_>>) {
    o.number("pid", i64::from(process.pid));
    let program = process.program();
    if !program.is_empty() {
        o.text("name", base_name(program)).object("file", |o| file(o, program, 1));
    }
    let command: Vec<String> = process.args.iter().map(|arg| quoted(arg)).collect();
    o.text("cmd_line", &command.join(" "));
    if let Some(uid) = process.uid {
        o.object("user", |o| o.text("uid", &uid.to_string()).done());
    }
    if let (Some(parent), Some(event)) = (process.parent_pid, event) {
        o.object("parent_process", |o| parent_process(o, parent, event));
    }
}

fn file(o: &mut JsonObject<'_>, path: &str, type_id: i64) {
    let name = if path.is_empty() { "unknown" } else { base_name(path) };
    o.text("name", name).text("path", path).number("type_id", type_id);
}

fn file_activity(object: &ObjectRecord<'_>) -> (i64, &'static str) {
    let activities =
        [("create", (1, "Create")), ("remove", (4, "Delete")), ("write", (3, "Update")), ("read", (2, "Read"))];
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
        o.number("protocol_num", match parts.transport {
            "tcp" => Some(6),
            "udp" => Some(17),
            "icmp" => Some(1),
            _ => None,
        });
    });
}

fn finding(o: &mut JsonObject<'_>, event: &EventRecord<'_>, start: &str, object: &ObjectRecord<'_>) {
    o.text("uid", &format!("{start}-{}", event.seq));
    o.text("title", &format!("{} {} {}", event.kind, object.label(), event.action));
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
        o.number("start_time", milliseconds(&incident.first)).number("end_time", milliseconds(&incident.last));
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
    o.number("first_seen_time", milliseconds(&incident.first)).number("last_seen_time", milliseconds(&incident.last));
    o.texts("types", incident.rules.iter().copied());
    o.object("analytic", |o| o.number("type_id", 2).text("type", "Behavioral").text("name", "remit incidents").done());
    let techniques: Vec<_> = techniques(incident).collect();
    if !techniques.is_empty() {
        o.objects("attacks", techniques, |o, (id, name)| {
            o.object("technique", |o| o.text("uid", id).text("name", name).done());
        });
    }
}

/// The techniques of an incident's rules.
pub(super) fn techniques(incident: &Incident) -> impl Iterator<Item = (&'static str, &'static str)> {
    let rules = INCIDENT_RULES.iter().filter(|rule| incident.rules.contains(&rule.id));
    rules.filter_map(|rule| rule.technique)
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
    o.number("pid", i64::from(process.pid));
    if !process.program.is_empty() {
        o.text("name", base_name(&process.program)).object("file", |o| file(o, &process.program, 1));
    }
    let command: Vec<String> = process.args.iter().map(|arg| quoted(arg)).collect();
    o.text("cmd_line", &command.join(" "));
    if let Some(uid) = process.uid {
        o.object("user", |o| o.text("uid", &uid.to_string()).done());
    }
    if let Some(parent) = process.parent_pid {
        o.object("parent_process", |o| o.number("pid", i64::from(parent)).done());
    }
}

/// Milliseconds since 1970; 0 of a time that is none.
fn milliseconds(time: &str) -> i64 {
    microseconds(time).and_then(|time| i64::try_from(time / 1000).ok()).unwrap_or_default()
}
