//! A profile's network entries: ports for the kernel, kinds of sockets for the filter.

use std::collections::{BTreeMap, BTreeSet};

use landlock::{AccessNet, BitFlags};

use super::{Mechanism, RuleEnforcement};
use crate::kernel::{Kernel, LandlockAbi};
use crate::profile::{Endpoint, Entry, Mode, Profile, endpoint_text};

/// The sockets of a profile.
#[derive(Debug)]
pub(super) struct Sockets {
    pub listen_tcp: Vec<(u16, u16)>,
    pub connect_tcp: Vec<(u16, u16)>,
    pub udp: bool,
    /// Ping sockets.
    pub icmp: bool,
    /// Netlink sockets beyond those of resolvers.
    pub netlink: bool,
    pub unix: bool,
    /// `network` has an entry, of whatever kind.
    pub any: bool,
    /// `network.listen` has an entry.
    pub listens: bool,
    /// Unix sockets are granted by their names.
    pub unix_named: bool,
    /// Some entry distinguishes what no rule of the kernel does: an address, or a name.
    pub by_name: bool,
    /// Some entry names an address.
    pub addressed: bool,
    /// Events go to a unix socket, and the app may make sockets that could connect to it.
    pub near_events: bool,
    /// The supervisor creates every socket, and binds and connects it itself.
    pub made: bool,
}

/// The ports of `tcp/*`.
const EVERY: (u16, u16) = (0, u16::MAX);

impl Sockets {
    pub fn of(profile: &Profile, kernel: &Kernel, mode: Mode, event_socket: bool) -> Sockets {
        let network = &profile.network;
        let both = || network.listen.iter().chain(&network.connect).map(|entry| &entry.what);
        let unix = both().any(|endpoint| matches!(endpoint, Endpoint::UnixAny));
        let named = |endpoint| matches!(endpoint, &Endpoint::UnixPath(_) | &Endpoint::UnixAbstract(_));
        let unix_named = !unix && both().any(named);
        let addressed =
            both().any(|endpoint| matches!(endpoint, Endpoint::Tcp(tcp) if tcp.network.is_some()));
        let by_name = unix_named || addressed;
        let near_events = event_socket && (unix || unix_named);
        let hands_over = kernel.notify.as_ref().is_ok_and(|notify| notify.addfd_send);
        Sockets {
            listen_tcp: ports(&network.listen),
            connect_tcp: ports(&network.connect),
            udp: both().any(|endpoint| matches!(endpoint, Endpoint::Udp(_))),
            icmp: both().any(|endpoint| matches!(endpoint, Endpoint::Icmp)),
            netlink: both().any(|endpoint| matches!(endpoint, Endpoint::Netlink)),
            unix,
            any: both().next().is_some(),
            listens: !network.listen.is_empty(),
            unix_named,
            by_name,
            addressed,
            near_events,
            made: mode == Mode::Enforce && (by_name || near_events) && hands_over,
        }
    }

    /// The entries that no rule of the kernel can express, each with its mechanism.
    pub fn rules_by_name(&self, profile: &Profile) -> Vec<RuleEnforcement> {
        let network = &profile.network;
        let mut rules = Vec::new();
        for (side, entries) in [("listen", &network.listen), ("connect", &network.connect)] {
            for (index, entry) in entries.iter().enumerate() {
                let is_named = match &entry.what {
                    Endpoint::Tcp(tcp) => tcp.network.is_some(),
                    Endpoint::UnixPath(_) | Endpoint::UnixAbstract(_) => self.unix_named,
                    _ => false,
                };
                if is_named {
                    rules.push(RuleEnforcement {
                        rule: format!("/network/{side}/{index}"),
                        what: format!("{} and no other", endpoint_text(&entry.what)),
                        by: if self.made { Mechanism::SupervisorSocket } else { Mechanism::CallerMemory },
                    });
                }
            }
        }
        rules
    }

    /// Entries that add nothing, since `unix:*` lets every unix socket be made and used.
    pub fn notes(&self, profile: &Profile) -> Vec<String> {
        let network = &profile.network;
        let lists = [("listen", &network.listen), ("connect", &network.connect)];
        let entries = lists.into_iter().flat_map(|(side, entries)| {
            entries.iter().enumerate().map(move |(index, entry)| (side, index, &entry.what))
        });
        let idle = entries.filter(|(_, _, what)| {
            self.unix && matches!(what, Endpoint::UnixPath(_) | Endpoint::UnixAbstract(_))
        });
        let note = |(side, index, what)| {
            format!(
                "/network/{side}/{index}: {} adds nothing beside `unix:*`, which lets every unix socket be bound and connected",
                endpoint_text(what)
            )
        };
        idle.map(note).collect()
    }

    /// TCP sockets can be made.
    pub fn tcp(&self) -> bool {
        !self.listen_tcp.is_empty() || !self.connect_tcp.is_empty()
    }

    /// The profile distinguishes ports, so that Landlock has to.
    pub fn by_port(&self) -> bool {
        self.tcp() && !(self.listen_tcp.contains(&EVERY) && self.connect_tcp.contains(&EVERY))
    }

    /// Some ports may be listened on, but not every one.
    pub fn listens_by_port(&self) -> bool {
        !self.listen_tcp.is_empty() && !self.listen_tcp.contains(&EVERY)
    }

    /// The TCP rights that a domain of this ABI handles, and the ports that its rules grant. `tcp/*`
    /// leaves its right unhandled.
    pub fn rules(&self, abi: LandlockAbi) -> (BitFlags<AccessNet>, BTreeMap<u16, BitFlags<AccessNet>>) {
        let mut handled = BitFlags::EMPTY;
        let mut ports: BTreeMap<u16, BitFlags<AccessNet>> = BTreeMap::new();
        if abi < LandlockAbi::TCP {
            return (handled, ports);
        }
        for (right, ranges) in
            [(AccessNet::BindTcp, &self.listen_tcp), (AccessNet::ConnectTcp, &self.connect_tcp)]
        {
            if ranges.contains(&EVERY) {
                continue;
            }
            handled |= right;
            for port in ranges.iter().flat_map(|(first, last)| *first..=*last) {
                *ports.entry(port).or_default() |= right;
            }
        }
        (handled, ports)
    }
}

fn ports(entries: &[Entry<Endpoint>]) -> Vec<(u16, u16)> {
    let mut ports = BTreeSet::new();
    ports.extend(entries.iter().filter_map(|entry| match &entry.what {
        Endpoint::Tcp(address) => Some(address.ports),
        _ => None,
    }));
    ports.into_iter().collect()
}
