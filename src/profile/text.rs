//! The small grammars inside strings: paths, durations, network entries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::error::{TextError, quoted};
use super::{AddressRule, Endpoint};

/// What a network entry looks like.
pub(super) const ENDPOINT: &str = "expected PROTO/[ADDRESS:]PORT such as \"tcp/80\", \"tcp/10.0.0.0/8:5432\", \
                                   \"tcp/[::1]:8000-8999\" or \"udp/*\", or \"unix:/PATH\", \"unix:@NAME\", \"unix:*\", \
                                   \"icmp\", \"netlink\"";

/// A path as the format has them: absolute and normal.
///
/// # Errors
/// What is wrong with it, and how it would be right.
pub fn path(text: &str) -> Result<PathBuf, TextError> {
    let bad = |why: &str| Err(TextError(format!("path {} {why}", quoted(text))));
    if text.contains('\0') {
        return bad("holds a NUL, which no path can");
    }
    if !text.starts_with('/') {
        return bad("is not absolute; it has to begin with \"/\", as the app sees it");
    }
    if text == "/" {
        return Ok(PathBuf::from(text));
    }
    for part in text[1..].split('/') {
        match part {
            "." | ".." => return bad(&format!("goes through {part:?}; write the path that it leads to")),
            "" => return bad("has \"//\" or a \"/\" at its end; write it without"),
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
        (Some(number), "") => Err(TextError(format!(
            "duration {text:?} has no unit; did you mean \"{number}s\"? Units are ms, s, m"
        ))),
        _ => Err(TextError(format!(
            "{} is no duration; expected such as \"500ms\", \"10s\" or \"2m\"",
            quoted(text)
        ))),
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
    let meant = match ports(text) {
        Ok(_) => format!("did you mean \"tcp/{text}\"? Or "),
        Err(_) => String::new(),
    };
    Err(TextError(format!("{} is no network entry; {meant}{ENDPOINT}", quoted(text))))
}

fn unix(text: &str, name: &str) -> Result<Endpoint, TextError> {
    if name == "*" {
        return Ok(Endpoint::UnixAny);
    }
    if let Some(name) = name.strip_prefix('@') {
        if name.is_empty() || name.contains('\0') {
            return Err(TextError(format!("{} names no socket; {ENDPOINT}", quoted(text))));
        }
        return Ok(Endpoint::UnixAbstract(name.to_owned()));
    }
    path(name).map(Endpoint::UnixPath)
}

/// `[ADDRESS[/PREFIX]:]PORT`, an IPv6 address in brackets.
fn address(text: &str) -> Result<AddressRule, TextError> {
    if let Some(rest) = text.strip_prefix('[') {
        let no_end = || {
            TextError(format!(
                "{} does not go on with \"]:PORT\" after its address; {ENDPOINT}",
                quoted(text)
            ))
        };
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
        _ => {
            Err(TextError(format!("{} has no prefix length from 0 to {whole} after its \"/\"", quoted(text))))
        }
    }
}

/// The length is at most the address's, by [`prefix`]. An address with bits beyond its
/// prefix is refused: it is most likely a mistake.
fn network(text: &str, address: IpAddr, length: u8) -> Result<IpNet, TextError> {
    let network = IpNet::new_assert(address, length);
    if network.trunc() != network {
        return Err(TextError(format!(
            "{} has bits beyond its prefix; did you mean \"{}/{length}\" or \"{address}\"?",
            quoted(text),
            network.network()
        )));
    }
    Ok(network)
}

fn no_address(text: &str) -> TextError {
    TextError(format!("{} is no address; {ENDPOINT}, an IPv6 address in brackets", quoted(text)))
}

/// `80`, `8000-8999` or `*`.
fn ports(text: &str) -> Result<(u16, u16), TextError> {
    let bad = || {
        TextError(format!(
            "{} is no port; expected 0 to 65535, a range such as 8000-8999, or *",
            quoted(text)
        ))
    };
    let port = |digits: &str| canonical(digits).and_then(|port| u16::try_from(port).ok()).ok_or_else(bad);
    match text.split_once('-') {
        None if text == "*" => Ok((0, u16::MAX)),
        None => port(text).map(|port| (port, port)),
        Some((first, last)) => {
            let (first, last) = (port(first)?, port(last)?);
            if first > last {
                return Err(TextError(format!(
                    "range {} runs backwards; write {last}-{first}",
                    quoted(text)
                )));
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
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "5", "s", "1h", "1.5s", "-1s", "05s", "9999999999s", "5 s"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }
}
