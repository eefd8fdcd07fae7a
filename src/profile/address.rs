//! What an entry of `network` covers.

use std::net::IpAddr;

use super::Address;

impl Address {
    /// Whether it covers this address and port. One of IPv4 in IPv6's clothes is of IPv4.
    pub fn covers(&self, address: IpAddr, port: u16) -> bool {
        let (first, last) = self.ports;
        let inside = self.network.is_none_or(|(network, length)| contains(network, length, address));
        (first..=last).contains(&port) && inside
    }
}

fn contains(network: IpAddr, length: u8, address: IpAddr) -> bool {
    let length = u32::from(length);
    match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
        (IpAddr::V6(network), address) => {
            let address = match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
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
