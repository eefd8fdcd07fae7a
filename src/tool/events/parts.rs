//! What the converters to other schemas share: the parts of an event, of an endpoint, of a path.

use std::net::IpAddr;

use crate::event::record::{
    EventDetails, EventRecord, EventText, ExitRecord, ObjectRecord, PolicyRecord, ProcessRecord,
};
use crate::incident::{INCIDENT_RULES, Incident, IncidentNews};

/// Whether an incident begins, goes on or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IncidentPhase {
    /// It begins, or is reported once, as a whole.
    Create,
    /// It goes on.
    Update,
    /// It is over.
    Close,
}

impl IncidentPhase {
    /// The phase of news, of a log that is followed or of one that is read whole.
    pub fn of(news: &IncidentNews, is_live: bool) -> IncidentPhase {
        match news {
            IncidentNews::Opened(_) => IncidentPhase::Create,
            IncidentNews::Updated(_) => IncidentPhase::Update,
            IncidentNews::Closed(_) if is_live => IncidentPhase::Close,
            IncidentNews::Closed(_) => IncidentPhase::Create,
        }
    }
}

/// An event whose parts are read.
pub(super) struct EventParts<'a> {
    pub event: &'a EventRecord<'a>,
    pub details: EventDetails<'a>,
    pub policy: PolicyRecord<'a>,
    pub object: ObjectRecord<'a>,
    pub process: ProcessRecord<'a>,
    pub ancestors: Vec<EventText<'a>>,
    pub exit: ExitRecord<'a>,
    /// The identifier of its start.
    pub start: &'a str,
}

impl<'a> EventParts<'a> {
    /// Reads the parts of an event of the start with this identifier.
    pub fn of(event: &'a EventRecord<'a>, start: &'a str) -> EventParts<'a> {
        let details = event.details();
        EventParts {
            event,
            policy: details.policy(),
            object: details.object(),
            process: event.process(),
            ancestors: details.ancestors(),
            exit: details.exit(),
            details,
            start,
        }
    }

    /// Whether it is a violation.
    pub fn is_violation(&self) -> bool {
        &*self.event.event == "violation"
    }

    /// Whether a violation was refused.
    pub fn is_refused(&self) -> bool {
        self.is_violation() && !matches!(&*self.event.action, "observed" | "allowed")
    }

    /// An identifier of the event among those of all starts.
    pub fn id(&self) -> String {
        format!("{}-{}", self.start, self.event.seq)
    }

    /// The number of the event.
    pub fn sequence(&self) -> Option<i64> {
        i64::try_from(self.event.seq).ok()
    }

    /// How many violations or lost events it stands for, where it says so.
    pub fn count(&self) -> Option<i64> {
        self.event.count.and_then(|count| i64::try_from(count).ok())
    }

    /// The program of the process's parent.
    pub fn parent_program(&self) -> &str {
        self.ancestors.first().map_or("", |program| program)
    }

    /// The process's arguments.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.process.args.iter().map(|arg| &**arg)
    }
}

/// The parts of an endpoint in the profile's notation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EndpointParts<'a> {
    /// `tcp`, `udp`, `unix`, or another protocol.
    pub transport: &'a str,
    /// The IP address.
    pub ip: Option<IpAddr>,
    /// The port.
    pub port: Option<u16>,
    /// The path or name of a unix socket.
    pub socket: &'a str,
}

/// Takes an endpoint apart: `tcp/203.0.113.9:443`, `tcp/[::1]:80`, `tcp/80`, `unix:/run/x.sock`.
pub(super) fn endpoint_parts(text: &str) -> EndpointParts<'_> {
    if let Some(socket) = text.strip_prefix("unix:") {
        return EndpointParts { transport: "unix", socket, ..EndpointParts::default() };
    }
    let (transport, rest) = text.split_once('/').unwrap_or((text, ""));
    let (host, port) = rest.rsplit_once(':').unwrap_or(("", rest));
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    EndpointParts { transport, ip: host.parse().ok(), port: port.parse().ok(), socket: "" }
}

/// The last part of a path.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}

/// The techniques of an incident's rules.
pub(super) fn techniques(incident: &Incident) -> impl Iterator<Item = (&'static str, &'static str)> {
    let rules = INCIDENT_RULES.iter().filter(|rule| incident.rules.contains(&rule.id));
    rules.filter_map(|rule| rule.technique)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_taken_apart() {
        let ip = |text: &str| Some(text.parse().expect("an address"));
        for (text, transport, address, port) in [
            ("tcp/203.0.113.9:443", "tcp", ip("203.0.113.9"), Some(443)),
            ("udp/[2001:db8::1]:53", "udp", ip("2001:db8::1"), Some(53)),
            ("tcp/80", "tcp", None, Some(80)),
            ("udp/*", "udp", None, None),
            ("icmp", "icmp", None, None),
            ("", "", None, None),
            ("tcp/x:99999", "tcp", None, None),
        ] {
            let parts = endpoint_parts(text);
            assert_eq!((parts.transport, parts.ip, parts.port), (transport, address, port), "{text}");
        }
        assert_eq!(endpoint_parts("unix:@a:1").socket, "@a:1");
        assert_eq!([base_name("/usr/bin/x"), base_name("x"), base_name("/")], ["x", "x", "/"]);
    }
}
