//! Which endpoints others cover together: ports and addresses as sets.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use super::permission::Permitted;
use super::programs::Made;
use crate::profile::{AddressRule, Endpoint, Entry, Profile};

/// Every permission of the network section.
pub(super) fn permissions(profile: &Profile) -> Vec<Made> {
    let side = |list: &[Entry<Endpoint>], name: &str, make: fn(Endpoint) -> Permitted| {
        let each = list.iter().enumerate();
        let made = each.map(|(index, entry)| {
            (make(entry.what.clone()), format!("/network/{name}/{index}"), entry.why.clone())
        });
        made.collect::<Vec<Made>>()
    };
    let network = &profile.network;
    [
        side(&network.listen, "listen", Permitted::Listen),
        side(&network.connect, "connect", Permitted::Connect),
    ]
    .concat()
}

/// Whether some entry has an address: then socket options that lead elsewhere are refused.
pub(super) fn names_addresses(profile: &Profile) -> bool {
    let network = &profile.network;
    let mut entries = network.listen.iter().chain(&network.connect);
    entries.any(|entry| matches!(&entry.what, Endpoint::Tcp(rule) if rule.network.is_some()))
}

/// Whether the entries of one side permit an endpoint together.
pub(super) fn covers(list: &[Entry<Endpoint>], wanted: &Endpoint) -> bool {
    let all = || list.iter().map(|entry| &entry.what);
    match wanted {
        Endpoint::Tcp(rule) => is_covered(
            rule,
            &all()
                .filter_map(|one| if let Endpoint::Tcp(rule) = one { Some(rule) } else { None })
                .collect::<Vec<_>>(),
        ),
        Endpoint::Udp(rule) => is_covered(
            rule,
            &all()
                .filter_map(|one| if let Endpoint::Udp(rule) = one { Some(rule) } else { None })
                .collect::<Vec<_>>(),
        ),
        Endpoint::UnixPath(_) | Endpoint::UnixAbstract(_) => {
            all().any(|one| *one == Endpoint::UnixAny || one == wanted)
        }
        Endpoint::Icmp | Endpoint::Netlink | Endpoint::UnixAny => all().any(|one| one == wanted),
    }
}

/// Whether rules cover each port of another at each of its addresses.
fn is_covered(wanted: &AddressRule, rules: &[&AddressRule]) -> bool {
    let (first, last) = wanted.ports;
    // Between two bounds of rules the same rules hold for each port.
    bounds(wanted, rules).range(first..=last).all(|port| {
        let here = rules.iter().filter(|rule| (rule.ports.0..=rule.ports.1).contains(port));
        let networks: Vec<Ipv6Net> = here.map(|rule| mapped(rule.network)).collect();
        contain(&networks, mapped(wanted.network))
    })
}

/// A network among the IPv6 addresses, where an IPv4 address is a mapped one.
fn mapped(network: Option<IpNet>) -> Ipv6Net {
    let whole = |address, length| Ipv6Net::new(address, length).unwrap_or_default();
    match network {
        None => Ipv6Net::default(),
        Some(IpNet::V6(network)) => network,
        Some(IpNet::V4(network)) => whole(network.addr().to_ipv6_mapped(), 96 + network.prefix_len()),
    }
}

/// Whether networks together have every address of another.
fn contain(networks: &[Ipv6Net], wanted: Ipv6Net) -> bool {
    if networks.iter().any(|network| network.contains(&wanted)) {
        return true;
    }
    let within: Vec<Ipv6Net> = networks.iter().filter(|network| wanted.contains(*network)).copied().collect();
    if within.is_empty() || wanted.prefix_len() == 128 {
        return false;
    }
    let mut halves = wanted.subnets(wanted.prefix_len() + 1).into_iter().flatten();
    halves.all(|half| contain(&within, half))
}

/// Whether the address of an endpoint is the machine's own.
pub(super) fn is_loopback(rule: &AddressRule) -> bool {
    rule.network.is_some_and(|network| match network {
        IpNet::V4(network) => network.addr().is_loopback() && network.prefix_len() >= 8,
        IpNet::V6(network) => {
            network.prefix_len() == 128 && IpAddr::from(network.addr()).to_canonical().is_loopback()
        }
    })
}

/// How many ports rules have together at every IPv4 address.
pub(super) fn open_ports<'r>(rules: impl Iterator<Item = &'r AddressRule>) -> u32 {
    let rules: Vec<&AddressRule> = rules.collect();
    let all = AddressRule { network: "0.0.0.0/0".parse().ok(), ports: (0, u16::MAX) };
    let bounds: Vec<u16> = bounds(&all, &rules).into_iter().collect();
    let ends = bounds.iter().skip(1).map(|port| u32::from(*port)).chain([u32::from(u16::MAX) + 1]);
    let ranges = bounds.iter().map(|port| u32::from(*port)).zip(ends);
    let is_open = |port: u32| {
        let one = AddressRule { ports: (port as u16, port as u16), ..all.clone() };
        is_covered(&one, &rules)
    };
    ranges.filter(|(first, _)| is_open(*first)).map(|(first, end)| end - first).sum()
}

/// The ports at which the rules that hold change, from the first of `wanted` on.
fn bounds(wanted: &AddressRule, rules: &[&AddressRule]) -> BTreeSet<u16> {
    let mut bounds = BTreeSet::from([wanted.ports.0]);
    for rule in rules {
        bounds.extend([rule.ports.0].into_iter().chain(rule.ports.1.checked_add(1)));
    }
    bounds
}

/// How many ports a rule has.
pub(super) fn ports(rule: &AddressRule) -> u32 {
    u32::from(rule.ports.1) - u32::from(rule.ports.0) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    fn list(texts: &[&str]) -> Vec<Entry<Endpoint>> {
        let entry = |text: &&str| Entry { what: profile::endpoint(text).expect("an endpoint"), why: None };
        texts.iter().map(entry).collect()
    }

    #[test]
    fn entries_cover_an_endpoint_together() {
        for (own, wanted, covered) in [
            (&["tcp/*"][..], "tcp/80", true),
            (&["tcp/80", "tcp/81"], "tcp/80-81", true),
            (&["tcp/80", "tcp/82"], "tcp/80-82", false),
            (&["tcp/0-79", "tcp/80-65535"], "tcp/*", true),
            (&["tcp/10.0.0.0/9:5432", "tcp/10.128.0.0/9:5432"], "tcp/10.0.0.0/8:5432", true),
            (&["tcp/10.0.0.0/9:5432"], "tcp/10.0.0.0/8:5432", false),
            (&["tcp/[::/0]:443"], "tcp/443", true),
            (&["tcp/0.0.0.0/0:443"], "tcp/443", false),
            (&["tcp/[::/0]:443"], "tcp/9.9.9.9:443", true),
            (&["tcp/443"], "tcp/[fd00::/8]:1-443", false),
            (&["udp/*"], "tcp/80", false),
            (&["unix:*"], "unix:@a", true),
            (&["unix:/run/a"], "unix:*", false),
            (&["icmp"], "icmp", true),
            (&[], "netlink", false),
        ] {
            assert_eq!(covers(&list(own), &list(&[wanted])[0].what), covered, "{own:?} {wanted}");
        }
    }
}
