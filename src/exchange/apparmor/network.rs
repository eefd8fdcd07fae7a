//! AppArmor's rules on sockets, and the endpoints that come of them.

use crate::exchange::kubescape::add;
use crate::profile::Network;

/// What a rule allows to be done with a socket.
const ACCESS: [&str; 18] = [
    "accept",
    "bind",
    "connect",
    "create",
    "getattr",
    "getopt",
    "listen",
    "r",
    "read",
    "receive",
    "rw",
    "send",
    "setattr",
    "setopt",
    "shutdown",
    "w",
    "write",
    "getsockname",
];
/// Domains of sockets that no profile grants.
const OTHER_DOMAINS: [&str; 38] = [
    "alg",
    "appletalk",
    "ash",
    "atmpvc",
    "atmsvc",
    "ax25",
    "bluetooth",
    "bridge",
    "caif",
    "can",
    "econet",
    "ib",
    "ieee802154",
    "ipx",
    "irda",
    "isdn",
    "iucv",
    "kcm",
    "key",
    "llc",
    "mctp",
    "mpls",
    "netbeui",
    "netrom",
    "nfc",
    "packet",
    "phonet",
    "pppox",
    "qipcrtr",
    "rds",
    "rose",
    "rxrpc",
    "security",
    "smc",
    "tipc",
    "vsock",
    "x25",
    "xdp",
];
const TYPES: [&str; 9] = ["stream", "dgram", "seqpacket", "rdm", "raw", "tcp", "udp", "icmp", "packet"];

/// A kind of socket that a profile can grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GrantableKind {
    Tcp,
    Udp,
    Icmp,
    Unix,
    Netlink,
}

/// A rule on sockets.
#[derive(Clone, Debug, Default)]
pub struct SocketRule {
    text: String,
    /// `None`: all of them.
    access: Option<Vec<String>>,
    domains: Vec<String>,
    types: Vec<String>,
    port: Option<u16>,
    /// Conditions that no profile has.
    conditions: Vec<String>,
    unknown: Vec<String>,
}

impl SocketRule {
    /// `network`, from its words after that.
    pub fn new(words: &[&str]) -> SocketRule {
        let mut rule = SocketRule {
            text: ["network"].iter().chain(words).copied().collect::<Vec<_>>().join(" "),
            ..SocketRule::default()
        };
        for word in words {
            if let Some(access) = word.strip_prefix('(').and_then(|word| word.strip_suffix(')')) {
                for one in access.split([',', ' ', '\t', '\n']).filter(|one| !one.is_empty()) {
                    match ACCESS.contains(&one) {
                        true => rule.access.get_or_insert_default().push(one.to_owned()),
                        false => rule.unknown.push(one.to_owned()),
                    }
                }
            } else if ACCESS.contains(word) {
                rule.access.get_or_insert_default().push((*word).to_owned());
            } else if let Some(port) = word.strip_prefix("port=").and_then(|text| text.parse().ok()) {
                rule.port = Some(port);
            } else if word.contains('=') {
                rule.conditions.push((*word).to_owned());
            } else if TYPES.contains(word) && (*word != "packet" || !rule.domains.is_empty()) {
                rule.types.push((*word).to_owned());
            } else if ["inet", "inet6", "unix", "netlink"].contains(word) || OTHER_DOMAINS.contains(word) {
                rule.domains.push((*word).to_owned());
            } else {
                rule.unknown.push((*word).to_owned());
            }
        }
        rule
    }

    /// `unix` or what passes through such sockets: those of the text's conditions, where it has any.
    pub fn of_unix(text: String, conditions: &[&str]) -> SocketRule {
        let conditions = conditions.iter().map(|&word| word.to_owned()).collect();
        SocketRule { text, domains: vec!["unix".to_owned()], conditions, ..SocketRule::default() }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is of a side of connections; a rule on neither says nothing of either.
    fn is_of(&self, listens: bool) -> bool {
        let words: &[&str] =
            if listens { &["accept", "bind", "create", "listen"] } else { &["connect", "create"] };
        let Some(access) = &self.access else { return true };
        access.iter().any(|one| words.contains(&one.as_str()))
    }

    /// Whether it is of a socket: `Some(false)` where it is only of a part of these.
    fn covers(&self, domain: &str, kind: GrantableKind) -> Option<bool> {
        let has = |types: &[&str]| self.types.iter().any(|one| types.contains(&one.as_str()));
        if !self.domains.is_empty() && !self.domains.iter().any(|one| one == domain) {
            return None;
        }
        let untyped = self.types.is_empty();
        let (of_it, whole) = match kind {
            GrantableKind::Tcp => (has(&["stream", "tcp"]), true),
            GrantableKind::Udp => (has(&["dgram", "udp"]), true),
            GrantableKind::Icmp => (has(&["icmp"]), true),
            GrantableKind::Unix => (has(&["stream", "dgram", "seqpacket"]), untyped),
            GrantableKind::Netlink => (has(&["raw", "dgram"]), untyped),
        };
        (of_it || untyped).then_some(whole)
    }
}

/// Every domain and the kinds of its sockets that a profile can grant.
const SOCKETS: [(&str, GrantableKind); 8] = [
    ("inet", GrantableKind::Tcp),
    ("inet", GrantableKind::Udp),
    ("inet", GrantableKind::Icmp),
    ("inet6", GrantableKind::Tcp),
    ("inet6", GrantableKind::Udp),
    ("inet6", GrantableKind::Icmp),
    ("unix", GrantableKind::Unix),
    ("netlink", GrantableKind::Netlink),
];

/// A socket that is granted, on one side of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GrantedSocket {
    domain: &'static str,
    kind: GrantableKind,
    port: Option<u16>,
    listens: bool,
}

impl GrantedSocket {
    /// Its entry, which is of both `inet` and `inet6`.
    fn word(&self) -> String {
        let port = self.port.map_or("*".to_owned(), |port| port.to_string());
        match self.kind {
            GrantableKind::Tcp => format!("tcp/{port}"),
            GrantableKind::Udp => format!("udp/{port}"),
            GrantableKind::Icmp => "icmp".to_owned(),
            GrantableKind::Unix => "unix:*".to_owned(),
            GrantableKind::Netlink => "netlink".to_owned(),
        }
    }
}

/// The sockets that rules grant, in their order.
#[derive(Debug, Default)]
pub struct SocketsOfRules(Vec<GrantedSocket>);

impl SocketsOfRules {
    /// Adds what a rule allows; returns what of it is not carried over.
    pub fn allow(&mut self, rule: &SocketRule) -> Vec<String> {
        let text = &rule.text;
        if let Some(word) = rule.unknown.first() {
            return vec![format!("{text}: {word:?} is not known, left out")];
        }
        if !rule.is_of(true) && !rule.is_of(false) {
            return vec![format!("{text}: without connect, bind and listen a profile grants none, left out")];
        }
        let mut lines: Vec<String> = rule
            .conditions
            .iter()
            .map(|word| format!("{text}: {word} is not carried over, so any is granted"))
            .collect();
        for (domain, kind) in SOCKETS {
            match rule.covers(domain, kind) {
                None => continue,
                Some(true) => {}
                // The kernel does not distinguish their types.
                Some(false) if kind == GrantableKind::Netlink && !rule.domains.is_empty() => {}
                Some(false) if rule.domains.is_empty() => {
                    lines.push(format!("{text}: of {domain} sockets none; name the domain"));
                    continue;
                }
                Some(false) => {
                    lines.push(format!("{text}: {domain} sockets are granted whatever their type"))
                }
            }
            // It is of neither side, and an entry of connect.
            let one_sided = [GrantableKind::Icmp, GrantableKind::Netlink].contains(&kind);
            let of_side = |listens: &bool| if one_sided { !*listens } else { rule.is_of(*listens) };
            for listens in [true, false].into_iter().filter(of_side) {
                self.0.push(GrantedSocket { domain, kind, port: rule.port, listens });
            }
        }
        let has = |words: &[String], some: &[&str]| words.iter().any(|word| some.contains(&word.as_str()));
        let internet = rule.domains.is_empty() || has(&rule.domains, &["inet", "inet6"]);
        if internet && has(&rule.types, &["raw", "seqpacket", "rdm", "packet"]) {
            lines.push(format!("{text}: sockets of this type cannot be granted"));
        } else if rule.domains.is_empty() && rule.types.is_empty() {
            lines.push(format!(
                "{text}: raw sockets, and those of packet and other domains, cannot be granted"
            ));
        } else if internet && rule.types.is_empty() {
            lines.push(format!("{text}: raw sockets cannot be granted"));
        }
        if has(&rule.domains, &OTHER_DOMAINS) {
            lines.push(format!("{text}: sockets of this domain cannot be granted"));
        }
        lines
    }

    /// Takes away what a rule denies, where that is all of a socket.
    pub fn deny(&mut self, rule: &SocketRule) {
        let is_partial = !rule.conditions.is_empty() || !rule.unknown.is_empty();
        self.0.retain(|one| {
            is_partial
                || rule.covers(one.domain, one.kind) != Some(true)
                || !rule.is_of(one.listens)
                || rule.port.is_some_and(|port| one.port != Some(port))
        });
    }

    /// Whether something that a rule denies is granted: an entry is of `inet` and `inet6`, and a socket
    /// of routes comes with every entry.
    pub fn grants(&self, rule: &SocketRule) -> bool {
        let of_neither = !rule.is_of(true) && !rule.is_of(false);
        let of_port = |one: &GrantedSocket| match (rule.port, one.port) {
            (Some(denied), Some(granted)) => denied == granted,
            _ => true,
        };
        let denied = |one: &GrantedSocket| {
            SOCKETS.iter().any(|(domain, kind)| *kind == one.kind && rule.covers(domain, *kind).is_some())
                && (of_neither || rule.is_of(one.listens))
                && of_port(one)
        };
        !rule.unknown.is_empty()
            || self.0.iter().any(denied)
            || !self.0.is_empty() && rule.covers("netlink", GrantableKind::Netlink).is_some()
    }

    /// The entries of a profile.
    pub fn network(&self) -> Network {
        let mut network = Network { listen: Vec::new(), connect: Vec::new() };
        for one in &self.0 {
            let side = if one.listens { &mut network.listen } else { &mut network.connect };
            add(side, &one.word());
        }
        network
    }
}
