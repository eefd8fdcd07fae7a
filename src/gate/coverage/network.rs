//! Which addresses a profile grants.

use super::{FactCoverage, ProfileCoverage, Remedy, missing};
use crate::event::Want;
use crate::gate::rules::GateRule;
use crate::learn::{NSCD, Seen};
use crate::profile::{AddressRule, Endpoint, FileEntry, FileGroup, endpoint, endpoint_text};

impl ProfileCoverage<'_> {
    /// What a bind or a connect is to the profile.
    pub(super) fn endpoint(&self, side: &str, address: &str, seen: &Seen) -> FactCoverage {
        let profile = self.profile();
        if side == "connect" && NSCD.contains(&address) {
            let names =
                |entry: &FileEntry| matches!(entry, FileEntry::Group(one) if one.what == FileGroup::Names);
            if profile.files.iter().any(names) {
                return FactCoverage::Granted(vec!["files @names".to_owned()]);
            }
        }
        let list = if side == "listen" { &profile.network.listen } else { &profile.network.connect };
        // The literals say more than the general form, which has no address.
        let literals: Vec<&str> = match seen.examples.is_empty() {
            true => vec![address],
            false => seen.examples.iter().map(String::as_str).collect(),
        };
        let mut used = Vec::new();
        for literal in &literals {
            let granting = list.iter().find(|entry| grants(&entry.what, literal));
            let Some(entry) = granting else {
                return self.no_endpoint(side, literal);
            };
            used.push(format!("{side} {}", endpoint_text(&entry.what)));
        }
        if !seen.serving.is_empty() {
            let calls: &[&str] = match side {
                "listen" if address.starts_with("tcp/") => &["bind", "listen"],
                "listen" => &["bind"],
                _ => &["connect"],
            };
            if let Some(call) = calls.iter().find(|call| self.calls.is_startup_only(call)) {
                return self.after_startup(call, &format!("{} was bound or connected to", literals[0]));
            }
        }
        FactCoverage::Granted(used)
    }

    fn no_endpoint(&self, side: &str, literal: &str) -> FactCoverage {
        let wanted = general(literal);
        let remedy = match side {
            "listen" => Remedy::Want(Want::Listen(wanted.clone())),
            _ => Remedy::Want(Want::Connect(wanted.clone())),
        };
        let done = if side == "listen" { "was bound" } else { "was connected to" };
        let (pointer, subject) = (format!("/network/{side}"), format!("{side} {wanted}"));
        missing(GateRule::OutsideNetwork, &pointer, &format!("{literal} {done}"), &subject, remedy)
    }
}

/// Whether an endpoint of the profile grants an address of a run.
fn grants(granted: &Endpoint, literal: &str) -> bool {
    match (granted, endpoint(literal)) {
        (Endpoint::UnixAny, _) => literal.starts_with("unix:"),
        (Endpoint::Tcp(rule), Ok(Endpoint::Tcp(used))) | (Endpoint::Udp(rule), Ok(Endpoint::Udp(used))) => {
            contains(rule, &used)
        }
        (granted, Ok(used)) => *granted == used,
        (_, Err(_)) => false,
    }
}

fn contains(rule: &AddressRule, used: &AddressRule) -> bool {
    let ports = rule.ports.0 <= used.ports.0 && used.ports.1 <= rule.ports.1;
    let network = match (&rule.network, &used.network) {
        (None, _) => true,
        (Some(rule), Some(used)) => rule.contains(used),
        (Some(_), None) => false,
    };
    ports && network
}

/// An address as a profile should name it: without the address, which differs between environments.
fn general(literal: &str) -> String {
    match endpoint(literal) {
        Ok(Endpoint::Tcp(used)) => endpoint_text(&Endpoint::Tcp(AddressRule { network: None, ..used })),
        // No rule can restrict datagrams to a port.
        Ok(Endpoint::Udp(_)) => "udp/*".to_owned(),
        _ if literal.starts_with("unix:") && endpoint(literal).is_err() => "unix:*".to_owned(),
        _ => literal.to_owned(),
    }
}
