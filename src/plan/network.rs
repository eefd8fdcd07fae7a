//! What a profile's network entries come to: ports for the kernel, kinds of
//! sockets for the filter.

use std::collections::{BTreeMap, BTreeSet};

use landlock::{AccessNet, BitFlags};

use crate::kernel::LandlockAbi;
use crate::profile::{Endpoint, Entry, Profile};

/// The sockets of a profile.
#[derive(Debug)]
pub(super) struct Sockets {
    pub listen_tcp: Vec<(u16, u16)>,
    pub connect_tcp: Vec<(u16, u16)>,
    pub udp: bool,
    pub unix: bool,
    /// There is an entry, of whatever kind.
    pub any: bool,
    /// There is an entry that listens.
    pub listens: bool,
}

/// `tcp/*`.
const EVERY: (u16, u16) = (0, u16::MAX);

impl Sockets {
    pub fn of(profile: &Profile) -> Sockets {
        let network = &profile.network;
        let both = || network.listen.iter().chain(&network.connect).map(|entry| &entry.what);
        Sockets {
            listen_tcp: ports(&network.listen),
            connect_tcp: ports(&network.connect),
            udp: both().any(|endpoint| matches!(endpoint, Endpoint::Udp(_))),
            unix: both().any(|endpoint| matches!(endpoint, Endpoint::UnixAny)),
            any: both().next().is_some(),
            listens: !network.listen.is_empty(),
        }
    }

    /// TCP sockets can be made.
    pub fn tcp(&self) -> bool {
        !self.listen_tcp.is_empty() || !self.connect_tcp.is_empty()
    }

    /// The profile tells ports apart, so that the kernel has to.
    pub fn by_port(&self) -> bool {
        self.tcp() && !(self.listen_tcp.contains(&EVERY) && self.connect_tcp.contains(&EVERY))
    }

    /// Some ports may be listened on, but not every one.
    pub fn listens_by_port(&self) -> bool {
        !self.listen_tcp.is_empty() && !self.listen_tcp.contains(&EVERY)
    }

    /// The TCP rights that a domain of this level takes away, and the ports that
    /// it gives back. `tcp/*` leaves its right untouched.
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
