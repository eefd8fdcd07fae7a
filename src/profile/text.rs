//! The small grammars inside strings: paths, durations, network entries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::error::{LONGEST_ABSTRACT, LONGEST_PATH, PathFault, TextError};
use super::{AddressRule, Endpoint};

/// A path as the format has them: absolute and normal.
///
/// # Errors
/// What is wrong with it, and how it would be right.
pub fn path(text: &str) -> Result<PathBuf, TextError> {
    let bad = |fault| Err(TextError::Path { path: text.to_owned(), fault });
    if text.contains('\0') {
        return bad(PathFault::Nul);
    }
    if !text.starts_with('/') {
        return bad(PathFault::Relative);
    }
    if text.len() > LONGEST_PATH {
        return bad(PathFault::TooLong(text.len()));
    }
    if text == "/" {
        return Ok(PathBuf::from(text));
    }
    for part in text[1..].split('/') {
        match part {
            "." | ".." => return bad(PathFault::Through(part.to_owned())),
            "" => return bad(PathFault::Empty),
            _ => {}
        }
    }
    Ok(PathBuf::from(text))
}

/// A duration such as `500ms`, `10s` or `2m`.
///
/// # Errors
/// The text is none; the message says what one looks like.
pub fn duration(text: &str) -> Result<Duration, TextError> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let number = canonical(digits).filter(|_| digits.len() <= 9);
    match (number, unit) {
        (Some(number), "ms") => Ok(Duration::from_millis(number)),
        (Some(number), "s") => Ok(Duration::from_secs(number)),
        (Some(number), "m") => Ok(Duration::from_secs(number * 60)),
        (Some(number), "") => Err(TextError::NoUnit { text: text.to_owned(), number }),
        _ => Err(TextError::Duration(text.to_owned())),
    }
}

/// A network entry.
///
/// # Errors
/// The text is none; the message says what is wrong in it.
pub fn endpoint(text: &str) -> Result<Endpoint, TextError> {
    if let Some(name) = text.strip_prefix("unix:") {
        return unix(text, name);
    }
    if let Some(rest) = text.strip_prefix("tcp/") {
        return Ok(Endpoint::Tcp(address(rest)?));
    }
    if let Some(rest) = text.strip_prefix("udp/") {
        return Ok(Endpoint::Udp(address(rest)?));
    }
    match text {
        "icmp" => return Ok(Endpoint::Icmp),
        "netlink" => return Ok(Endpoint::Netlink),
        _ => {}
    }
    Err(TextError::Endpoint { text: text.to_owned(), is_port: ports(text).is_ok() })
}

fn unix(text: &str, name: &str) -> Result<Endpoint, TextError> {
    if name == "*" {
        return Ok(Endpoint::UnixAny);
    }
    if let Some(name) = name.strip_prefix('@') {
        if name.is_empty() || name.contains('\0') {
            return Err(TextError::NoSocket(text.to_owned()));
        }
        if name.len() > LONGEST_ABSTRACT {
            return Err(TextError::LongSocket { text: text.to_owned(), bytes: name.len() });
        }
        return Ok(Endpoint::UnixAbstract(name.to_owned()));
    }
    path(name).map(Endpoint::UnixPath)
}

/// `[ADDRESS[/PREFIX]:]PORT`, an IPv6 address in brackets.
fn address(text: &str) -> Result<AddressRule, TextError> {
    if let Some(rest) = text.strip_prefix('[') {
        let no_end = || TextError::NoPortBehind(text.to_owned());
        let (network, port) = rest.split_once("]:").ok_or_else(no_end)?;
        return Ok(AddressRule { network: Some(network_v6(network)?), ports: ports(port)? });
    }
    match text.rsplit_once(':') {
        None => Ok(AddressRule { network: None, ports: ports(text)? }),
        Some((network, port)) => Ok(AddressRule { network: Some(network_v4(network)?), ports: ports(port)? }),
    }
}

fn network_v4(text: &str) -> Result<IpNet, TextError> {
    let (host, length) = prefix(text, 32)?;
    let address: Ipv4Addr = host.parse().map_err(|_| no_address(text))?;
    network(text, address.into(), length)
}

fn network_v6(text: &str) -> Result<IpNet, TextError> {
    let (host, length) = prefix(text, 128)?;
    let address: Ipv6Addr = host.parse().map_err(|_| no_address(text))?;
    network(text, address.into(), length)
}

/// The address and the length of its prefix: all of it where none is given.
fn prefix(text: &str, whole: u8) -> Result<(&str, u8), TextError> {
    let Some((host, digits)) = text.split_once('/') else { return Ok((text, whole)) };
    match canonical(digits) {
        Some(length) if length <= u64::from(whole) => Ok((host, length as u8)),
        _ => Err(TextError::Prefix { text: text.to_owned(), most: whole }),
    }
}

/// The length is at most the address's, by [`prefix`]. An address with bits beyond its
/// prefix is refused: it is most likely a mistake.
fn network(text: &str, address: IpAddr, length: u8) -> Result<IpNet, TextError> {
    let network = IpNet::new_assert(address, length);
    if network.trunc() != network {
        let (text, network) = (text.to_owned(), network.network());
        return Err(TextError::BeyondPrefix { text, address, network, length });
    }
    Ok(network)
}

fn no_address(text: &str) -> TextError {
    TextError::Address(text.to_owned())
}

/// `80`, `8000-8999` or `*`.
fn ports(text: &str) -> Result<(u16, u16), TextError> {
    let bad = || TextError::Port(text.to_owned());
    let port = |digits: &str| canonical(digits).and_then(|port| u16::try_from(port).ok()).ok_or_else(bad);
    match text.split_once('-') {
        None if text == "*" => Ok((0, u16::MAX)),
        None => port(text).map(|port| (port, port)),
        Some((first, last)) => {
            let (first, last) = (port(first)?, port(last)?);
            if first > last {
                return Err(TextError::Backwards { text: text.to_owned(), first, last });
            }
            Ok((first, last))
        }
    }
}

/// Decimal digits without a sign or a needless zero.
fn canonical(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_entries_of_the_format_read() {
        let net = |text: &str| match endpoint(text) {
            Ok(Endpoint::Tcp(address) | Endpoint::Udp(address)) => (address.network, address.ports),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(net("tcp/6379"), (None, (6379, 6379)));
        assert_eq!(net("udp/*"), (None, (0, 65535)));
        assert_eq!(net("tcp/8000-8999"), (None, (8000, 8999)));
        assert_eq!(net("tcp/127.0.0.1:8080"), (Some("127.0.0.1/32".parse().unwrap()), (8080, 8080)));
        assert_eq!(net("tcp/10.0.0.0/8:5432"), (Some("10.0.0.0/8".parse().unwrap()), (5432, 5432)));
        assert_eq!(net("tcp/[fd00::/8]:443"), (Some("fd00::/8".parse().unwrap()), (443, 443)));
        assert_eq!(net("tcp/0.0.0.0/0:1"), (Some("0.0.0.0/0".parse().unwrap()), (1, 1)));
        assert_eq!(endpoint("unix:*"), Ok(Endpoint::UnixAny));
        assert_eq!(endpoint("icmp"), Ok(Endpoint::Icmp));
        assert_eq!(endpoint("netlink"), Ok(Endpoint::Netlink));
        assert_eq!(endpoint("unix:@x"), Ok(Endpoint::UnixAbstract("x".into())));
        assert_eq!(endpoint("unix:/run/x"), Ok(Endpoint::UnixPath("/run/x".into())));
    }

    #[test]
    fn network_entries_that_are_none_say_what_is_wrong() {
        for (text, says) in [
            ("tcp/10.0.0.1/8:80", "10.0.0.0/8"),
            ("tcp/10.0.0.0/33:80", "32"),
            ("tcp/9-8", "8-9"),
            ("tcp/080", "no port"),
            ("tcp/+80", "no port"),
            ("tcp/", "no port"),
            ("tcp/::1:80", "brackets"),
            ("tcp/[::1]", "]:PORT"),
            ("tcp/localhost:80", "no address"),
            ("icmp/1", "PROTO"),
            ("unix:run/x", "absolute"),
            ("unix:@", "names no socket"),
        ] {
            let message = endpoint(text).expect_err(text).to_string();
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn paths_are_as_long_as_the_kernel_takes_them() {
        let of = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
        let deep = "/a".repeat(100_000);
        for good in [of(LONGEST_PATH), "/a".repeat(LONGEST_PATH / 2), format!("/{}", "n".repeat(700))] {
            assert_eq!(path(&good), Ok(PathBuf::from(&good)));
            assert_eq!(endpoint(&format!("unix:{good}")), Ok(Endpoint::UnixPath(PathBuf::from(&good))));
        }
        for (long, bytes) in [(of(LONGEST_PATH + 1), "4096"), (deep, "200000")] {
            for error in [path(&long).map(drop), endpoint(&format!("unix:{long}")).map(drop)] {
                let message = error.expect_err("too long").to_string();
                assert!(
                    message.contains(&format!("has {bytes} bytes")) && message.contains("4095"),
                    "{message}"
                );
                assert!(message.len() < 250, "{message}");
            }
        }
    }

    #[test]
    fn an_abstract_name_fits_into_an_address() {
        let of = |bytes| format!("unix:@{}", "x".repeat(bytes));
        assert!(endpoint(&of(LONGEST_ABSTRACT)).is_ok());
        let message = endpoint(&of(LONGEST_ABSTRACT + 1)).expect_err("too long").to_string();
        assert!(message.contains("108 bytes") && message.contains("at most 107"), "{message}");
    }

    /// The kernel's limits, of which the reader has its own.
    #[test]
    fn the_kernel_takes_what_a_profile_can_name() {
        use nix::errno::Errno;
        let of = |bytes: usize| "/".repeat(bytes);
        assert!(nix::sys::stat::stat(&*of(LONGEST_PATH)).is_ok());
        assert_eq!(nix::sys::stat::stat(&*of(LONGEST_PATH + 1)).map(drop), Err(Errno::ENAMETOOLONG));
        let socket = |bytes: usize| nix::sys::socket::UnixAddr::new_abstract(&vec![b'x'; bytes]).map(drop);
        assert_eq!(socket(LONGEST_ABSTRACT), Ok(()));
        assert_eq!(socket(LONGEST_ABSTRACT + 1), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "5", "s", "1h", "1.5s", "-1s", "05s", "9999999999s", "5 s"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }
}
