//! The addresses and ports that an entry of `network` covers.

use std::net::IpAddr;

use ipnet::IpNet;

use super::AddressRule;

impl AddressRule {
    /// Whether it covers this address and port. An IPv4-mapped IPv6 address is an IPv4
    /// address; a network of IPv6 covers IPv4 addresses as mapped ones (`::ffff:0:0/96`).
    pub fn covers(&self, address: IpAddr, port: u16) -> bool {
        let (first, last) = self.ports;
        (first..=last).contains(&port) && self.network.is_none_or(|network| contains(network, address))
    }
}

fn contains(network: IpNet, address: IpAddr) -> bool {
    match (network, address.to_canonical()) {
        (IpNet::V4(network), IpAddr::V4(address)) => network.contains(&address),
        (IpNet::V4(_), IpAddr::V6(_)) => false,
        (IpNet::V6(network), IpAddr::V4(address)) => network.contains(&address.to_ipv6_mapped()),
        (IpNet::V6(network), IpAddr::V6(address)) => network.contains(&address),
    }
}

#[cfg(test)]
mod tests {
    use crate::profile::Endpoint;

    #[test]
    fn an_entry_covers_its_network_and_its_ports() {
        for (entry, address, port, covered) in [
            ("tcp/80", "10.1.2.3", 80, true),
            ("tcp/80", "::1", 81, false),
            ("tcp/10.0.0.0/8:1-99", "10.255.0.1", 99, true),
            ("tcp/10.0.0.0/8:1-99", "::ffff:10.255.0.1", 1, true),
            ("tcp/10.0.0.0/8:1-99", "11.0.0.1", 1, false),
            ("tcp/10.0.0.0/8:1-99", "::10.0.0.1", 1, false),
            ("tcp/0.0.0.0/0:*", "1.2.3.4", 7, true),
            ("tcp/0.0.0.0/0:*", "fe80::1", 7, false),
            ("tcp/127.0.0.1:80", "127.0.0.1", 80, true),
            ("tcp/127.0.0.1:80", "127.0.0.2", 80, false),
            ("tcp/[fd00::/8]:443", "fdff::1", 443, true),
            ("tcp/[fd00::/8]:443", "fc00::1", 443, false),
            ("tcp/[::/0]:443", "9.9.9.9", 443, true),
            ("tcp/[::1]:443", "::1", 443, true),
        ] {
            let Ok(Endpoint::Tcp(entry)) = crate::profile::text::endpoint(entry) else { panic!("{entry}") };
            assert_eq!(entry.covers(address.parse().expect("an address"), port), covered, "{address} {port}");
        }
    }
}
