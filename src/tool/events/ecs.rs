//! Events in the Elastic Common Schema, version 8.17. What it has no field for is below `remit`.

use super::json::JsonObject;
use super::parts::{EventParts, base_name, endpoint_parts, techniques};
use super::text::{event_text, quoted};
use crate::incident::{Incident, IncidentProcess};

/// The version of the schema.
const VERSION: &str = "8.17.0";

/// Writes an event.
pub(super) fn event(parts: &EventParts<'_>, out: &mut Vec<u8>) {
    let EventParts { event, details, policy, object, .. } = parts;
    JsonObject::write(out, |o| {
        head(o, &event.time, &event_text(event));
        o.object("event", |o| {
            of_event(o, if parts.is_violation() { "alert" } else { "event" }, &parts.id());
            o.number("sequence", parts.sequence());
            let (categories, types) = classes(parts);
            o.texts("category", categories.iter().copied()).texts("type", types);
            let action = match parts.is_violation() {
                true => format!("{}-{}", event.kind, event.action),
                false => event.event.to_string(),
            };
            o.text("action", &action).text("code", &event.kind).text("reason", &details.why);
            match &*event.action {
                "allowed" | "observed" => o.text("outcome", "success").done(),
                "" => {}
                _ => o.text("outcome", "failure").done(),
            }
        });
        service(o, &policy.name, parts.start);
        if event.has_process() {
            o.object("process", |o| of_process(o, parts));
        }
        if parts.is_violation() {
            o.object("rule", |o| {
                o.text("name", &event.rule).text("category", &event.kind).text("ruleset", &policy.name);
                o.text("version", &policy.digest);
            });
            if !details.errno.is_empty() {
                o.object("error", |o| o.text("code", &details.errno).done());
            }
            of_object(o, parts);
        }
        if !details.kernel.is_empty() {
            o.object("host", |o| {
                o.text("architecture", &details.arch);
                o.object("os", |o| o.text("kernel", &details.kernel).text("type", "linux").done());
            });
        }
        o.object("remit", |o| {
            o.text("event", &event.event).text("object", object.label()).raw("hint", details.hint());
            o.number("count", parts.count()).texts("ancestors", parts.ancestors.iter().map(|path| &**path));
            o.text("signal", &parts.exit.signal);
        });
    });
}

fn head(o: &mut JsonObject<'_>, time: &str, message: &str) {
    o.text("@timestamp", time).text("message", message);
    o.object("ecs", |o| o.text("version", VERSION).done());
    o.object("observer", |o| {
        o.text("vendor", "remit").text("product", "remit").text("version", env!("CARGO_PKG_VERSION"));
    });
}

fn of_event(o: &mut JsonObject<'_>, kind: &str, id: &str) {
    o.text("kind", kind)
        .text("module", "remit")
        .text("dataset", "remit.events")
        .text("provider", "remit-init");
    o.text("id", id);
}

fn service(o: &mut JsonObject<'_>, policy: &str, start: &str) {
    o.object("service", |o| o.text("name", policy).text("ephemeral_id", start).done());
}

/// `event.category` and `event.type`, of which the schema lists what belongs together.
fn classes(parts: &EventParts<'_>) -> (&'static [&'static str], Vec<&'static str>) {
    let EventParts { event, object, .. } = parts;
    let outcome = if parts.is_refused() { "denied" } else { "allowed" };
    match (&*event.event, &*event.kind) {
        ("start" | "exec", _) => (&["process"], vec!["start"]),
        ("exit" | "stop", _) => (&["process"], vec!["end"]),
        ("violation", "program") => (&["process", "intrusion_detection"], vec!["start", outcome]),
        ("violation", "file") => {
            let types =
                [("create", "creation"), ("remove", "deletion"), ("write", "change"), ("read", "access")];
            let found = types.into_iter().find(|(access, _)| object.access.has(access));
            let access = found.map_or("access", |(_, access)| access);
            (&["file", "intrusion_detection"], vec![access, outcome])
        }
        ("violation", "network") if object.access.has("listen") => {
            (&["network", "intrusion_detection"], vec!["start", outcome])
        }
        ("violation", "network") => (&["network", "intrusion_detection"], vec!["connection", outcome]),
        ("violation", _) => (&["intrusion_detection"], vec![outcome]),
        _ => (&["process"], vec!["info"]),
    }
}

fn of_process(o: &mut JsonObject<'_>, parts: &EventParts<'_>) {
    let process = &parts.process;
    of_program(o, process.pid, process.program());
    arguments(o, &parts.arguments().collect::<Vec<_>>());
    o.number("exit_code", parts.exit.code);
    user(o, process.uid);
    if let Some(parent) = process.parent_pid {
        o.object("parent", |o| of_program(o, parent, parts.parent_program()));
    }
}

fn of_program(o: &mut JsonObject<'_>, pid: u32, program: &str) {
    o.number("pid", i64::from(pid)).text("executable", program).text("name", base_name(program));
}

fn arguments(o: &mut JsonObject<'_>, args: &[&str]) {
    if args.is_empty() {
        return;
    }
    o.texts("args", args.iter().copied()).number("args_count", i64::try_from(args.len()).ok());
    let command: Vec<String> = args.iter().map(|arg| quoted(arg)).collect();
    o.text("command_line", &command.join(" "));
}

fn user(o: &mut JsonObject<'_>, uid: Option<u32>) {
    if let Some(uid) = uid {
        o.object("user", |o| o.text("id", &uid.to_string()).done());
    }
}

fn of_object(o: &mut JsonObject<'_>, parts: &EventParts<'_>) {
    let EventParts { event, object, .. } = parts;
    match &*event.kind {
        "program" | "file" => {
            let path: &str = &object.path;
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            o.object("file", |o| {
                o.text("path", path).text("name", base_name(path)).text("directory", directory);
            });
        }
        "network" => {
            let endpoint = endpoint_parts(&object.address);
            let listens = object.access.has("listen");
            o.object("network", |o| {
                o.text("transport", endpoint.transport)
                    .text("direction", if listens { "ingress" } else { "egress" });
            });
            o.object(if listens { "server" } else { "destination" }, |o| {
                o.text("address", &object.address).number("port", endpoint.port.map(i64::from));
                if let Some(ip) = endpoint.ip {
                    o.text("ip", &ip.to_string());
                }
            });
        }
        _ => {}
    }
}

/// Writes an incident.
pub(super) fn incident(incident: &Incident, start: &str, out: &mut Vec<u8>) {
    let id = format!("{start}-incident-{}", incident.number);
    JsonObject::write(out, |o| {
        head(o, &incident.last, &incident.sentence);
        o.object("event", |o| {
            of_event(o, "alert", &id);
            let outcome = if incident.refused > 0 { "denied" } else { "allowed" };
            o.texts("category", ["intrusion_detection"]).texts("type", ["info", outcome]);
            o.text("action", "incident").text("start", &incident.first).text("end", &incident.last);
            o.text("outcome", if incident.refused > 0 { "failure" } else { "success" });
            o.number("severity", incident.severity as i64 + 1);
        });
        service(o, &incident.policy, start);
        o.object("process", |o| {
            let IncidentProcess { pid, program, args, uid, .. } = &incident.origin;
            of_program(o, *pid, program);
            arguments(o, &args.iter().map(String::as_str).collect::<Vec<_>>());
            user(o, *uid);
        });
        o.object("rule", |o| {
            o.text("name", &incident.rules.join(",")).text("ruleset", "remit incidents");
        });
        let techniques: Vec<_> = techniques(incident).collect();
        if !techniques.is_empty() {
            o.object("threat", |o| {
                o.text("framework", "MITRE ATT&CK");
                o.object("technique", |o| {
                    o.texts("id", techniques.iter().map(|(id, _)| *id));
                    o.texts("name", techniques.iter().map(|(_, name)| *name));
                });
            });
        }
        // What has no field of the schema is there whole.
        let whole = serde_json::to_string(incident).expect("texts and numbers are JSON");
        o.object("remit", |o| o.text("event", "incident").raw("incident", &whole).done());
    });
}
