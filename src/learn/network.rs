//! Generalises addresses to ports. The kernel enforces ports, and addresses differ between
//! environments, so an entry names its port; the addresses are its evidence.

use std::collections::BTreeMap;

use super::fact::Seen;
use super::volatile::volatile;
use crate::profile::{AddressRule, Endpoint, LONGEST_PATH};

/// The sockets of nscd, which glibc connects to and which mostly do not exist.
pub const NSCD: [&str; 2] = ["unix:/run/nscd/socket", "unix:/var/run/nscd/socket"];

/// An address whose port the kernel chose.
pub(super) const CHOSEN_PORTS: &str = "tcp/32768-65535";

/// The first ephemeral port (ip_local_port_range).
const EPHEMERAL: u16 = 32768;
/// The number of ephemeral ports from which they are taken to differ from run to run.
const MANY: usize = 4;

const BY_KERNEL: &str = "ports that a kernel gives out differ from run to run";

/// An endpoint with its reason and evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// The entry of the profile.
    pub endpoint: Endpoint,
    /// The reason.
    pub because: &'static str,
    /// The runs that showed it.
    pub seen: Seen,
}

/// The endpoints of `addresses`, in the order of ports, with a note on each that has none.
pub fn generalise<'o>(
    addresses: impl Iterator<Item = (&'o str, &'o Seen)>,
    notes: &mut Vec<String>,
) -> Vec<Port> {
    let mut found: BTreeMap<(u8, u16, String), Port> = BTreeMap::new();
    let mut datagrams = false;
    let mut add = |key, endpoint, because, seen: &Seen, literal: &str| {
        let port = found.entry(key).or_insert(Port { endpoint, because, seen: Seen::default() });
        port.seen.join(seen);
        if seen.examples.is_empty() {
            port.seen.example(literal);
        }
    };
    for (text, seen) in addresses {
        let word = match text {
            "icmp" => Some(Endpoint::Icmp),
            "netlink" => Some(Endpoint::Netlink),
            _ => None,
        };
        if let Some(endpoint) = word {
            add((3, 0, text.to_owned()), endpoint, "a socket of this kind", seen, text);
            continue;
        }
        match text.split_once([':', '/']) {
            Some(("unix", name)) => {
                // Bytes that are not UTF-8 are U+FFFD in the journal.
                let unnameable = name.is_empty()
                    || name == "@"
                    || name.contains(['\0', '\u{fffd}'])
                    || name.len() > LONGEST_PATH;
                if name == "*" || unnameable || name.split(['/', '@']).any(volatile) {
                    let because = match unnameable {
                        true => "it has no name that a profile could have",
                        false => "its name differs from run to run",
                    };
                    notes.push(format!(
                        "{text:?}: {because}, so every unix socket is granted (unix:*); give it one name in all runs, \
                         and it is granted by that"
                    ));
                    add((2, 0, String::new()), Endpoint::UnixAny, because, seen, text);
                } else if let Some(hidden) = name.strip_prefix('@') {
                    let endpoint = Endpoint::UnixAbstract(hidden.to_owned());
                    add((2, 1, name.to_owned()), endpoint, "socket by its name", seen, text);
                } else if name.starts_with('/') {
                    let endpoint = Endpoint::UnixPath(name.into());
                    add((2, 1, name.to_owned()), endpoint, "socket by its name", seen, text);
                } else {
                    notes.push(format!("{text:?} is no socket's path, and was left out"));
                }
            }
            Some(_) if text == CHOSEN_PORTS => {
                let endpoint = of((EPHEMERAL, u16::MAX));
                add((0, EPHEMERAL, String::new()), endpoint, BY_KERNEL, seen, text);
            }
            Some((protocol @ ("tcp" | "udp"), rest)) => {
                let port = rest.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
                let Some(port) = port else {
                    notes.push(format!("{text:?} has no port, and was left out"));
                    continue;
                };
                if protocol == "tcp" {
                    let endpoint = of((port, port));
                    add((0, port, String::new()), endpoint, "by its port", seen, text);
                } else {
                    let any = AddressRule { network: None, ports: (0, u16::MAX) };
                    let because = "no rule can restrict datagrams to a port";
                    if !std::mem::replace(&mut datagrams, true) {
                        notes.push(format!(
                            "{text:?}: {because}, so every datagram is granted (udp/*); where names are looked up, \
                             `options use-vc` in resolv.conf makes that tcp/53"
                        ));
                    }
                    add((1, 0, String::new()), Endpoint::Udp(any), because, seen, text);
                }
            }
            _ => notes.push(format!("{text:?} is no address, and was left out")),
        }
    }
    let high: Vec<_> =
        found.keys().filter(|(kind, port, _)| *kind == 0 && *port >= EPHEMERAL).cloned().collect();
    if high.len() >= MANY || found.values().any(|port| port.because == BY_KERNEL) {
        let mut seen = Seen::default();
        for key in high {
            if let Some(port) = found.remove(&key) {
                seen.join(&port.seen);
            }
        }
        let endpoint = of((EPHEMERAL, u16::MAX));
        found.insert((0, EPHEMERAL, String::new()), Port { endpoint, because: BY_KERNEL, seen });
    }
    found.into_values().collect()
}

fn of(ports: (u16, u16)) -> Endpoint {
    Endpoint::Tcp(AddressRule { network: None, ports })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(addresses: &[&str]) -> (Vec<Endpoint>, Vec<String>) {
        let seen = Seen::default();
        let mut notes = Vec::new();
        let ports = generalise(addresses.iter().map(|address| (*address, &seen)), &mut notes);
        (ports.into_iter().map(|port| port.endpoint).collect(), notes)
    }

    #[test]
    fn addresses_of_one_port_are_one_entry() {
        let (found, notes) = ports(&["tcp/0.0.0.0:80", "tcp/[::]:80", "tcp/443", "udp/10.0.0.2:53"]);
        let udp = Endpoint::Udp(AddressRule { network: None, ports: (0, u16::MAX) });
        assert_eq!(found, [of((80, 80)), of((443, 443)), udp]);
        assert!(notes.len() == 1 && notes[0].contains("udp/*") && notes[0].contains("use-vc"), "{notes:?}");
    }

    #[test]
    fn sockets_of_which_the_kind_is_granted_are_entries_of_one_word() {
        let (found, notes) = ports(&["netlink", "icmp", "icmp"]);
        assert_eq!(found, [Endpoint::Icmp, Endpoint::Netlink]);
        assert!(notes.is_empty());
    }

    #[test]
    fn many_ports_of_the_kernels_choice_are_a_range() {
        let (found, _) = ports(&["tcp/40000", "tcp/40001", "tcp/40002", "tcp/8080"]);
        assert_eq!(found.len(), 4);
        let (found, _) = ports(&["tcp/40000", "tcp/40001", "tcp/40002", "tcp/50003", "tcp/8080"]);
        assert_eq!(found, [of((8080, 8080)), of((32768, 65535))]);
    }

    #[test]
    fn sockets_go_by_their_names_where_these_are_stable() {
        let (found, notes) = ports(&["unix:/run/app.sock", "unix:@bus", "unix:/tmp/.s-12345", "icmp/8"]);
        let named = [Endpoint::UnixAny, Endpoint::UnixPath("/run/app.sock".into())];
        assert_eq!(found[..2], named);
        assert_eq!(found[2], Endpoint::UnixAbstract("bus".into()));
        assert!(notes[0].contains("unix:*") && notes[1].contains("icmp/8"), "{notes:?}");
        // A name with NULs behind it, and one that is no text.
        let long = format!("unix:/{}", "d".repeat(LONGEST_PATH));
        for strange in ["unix:@bus\0\0", "unix:@\u{fffd}", &long] {
            assert_eq!(ports(&[strange]).0, [Endpoint::UnixAny], "{strange:?}");
        }
    }
}
