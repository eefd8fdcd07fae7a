//! Addresses of sockets in the words of a profile.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::policy::network::Protocol;

/// An address that something is bound or connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `0.0.0.0:80` or `[::]:80`, and its port.
    Port(String, u16),
    /// A path, absolute or not.
    Path(Vec<u8>),
    /// A name of the abstract namespace; empty where the kernel chooses one.
    Name(Vec<u8>),
    /// Nothing that a profile names: no address, netlink and the like.
    Other,
}

impl Address {
    /// Reads a sockaddr.
    pub fn read(bytes: &[u8]) -> Address {
        let Some(family) = bytes.first_chunk::<2>().map(|two| i32::from(u16::from_ne_bytes(*two))) else {
            return Address::Other;
        };
        let port = bytes.get(2..4).map(|two| u16::from_be_bytes([two[0], two[1]]));
        match (family, port) {
            (libc::AF_INET, Some(port)) => {
                match bytes.get(4..8).and_then(|ip| <[u8; 4]>::try_from(ip).ok()) {
                    Some(ip) => Address::Port(format!("{}:{port}", Ipv4Addr::from(ip)), port),
                    None => Address::Other,
                }
            }
            (libc::AF_INET6, Some(port)) => {
                match bytes.get(8..24).and_then(|ip| <[u8; 16]>::try_from(ip).ok()) {
                    Some(ip) => Address::Port(format!("[{}]:{port}", Ipv6Addr::from(ip)), port),
                    None => Address::Other,
                }
            }
            (libc::AF_UNIX, _) => match bytes.get(2) {
                None => Address::Name(Vec::new()),
                Some(0) => Address::Name(bytes[3..].to_vec()),
                Some(_) => {
                    let path = bytes[2..].split(|byte| *byte == 0).next().unwrap_or_default();
                    Address::Path(path.to_vec())
                }
            },
            _ => Address::Other,
        }
    }

    /// In the journal's words; a path has to be resolved before. None where a profile
    /// has no word for it.
    pub fn text(&self, protocol: Protocol) -> Option<String> {
        match (self, protocol) {
            (Address::Port(text, _), Protocol::Tcp) => Some(format!("tcp/{text}")),
            (Address::Port(text, _), Protocol::Udp) => Some(format!("udp/{text}")),
            (Address::Path(path), _) => Some(format!("unix:{}", String::from_utf8_lossy(path))),
            (Address::Name(name), _) if !name.is_empty() => {
                Some(format!("unix:@{}", String::from_utf8_lossy(name)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_as_a_profile_has_them() {
        let text = |bytes: &[u8], protocol| Address::read(bytes).text(protocol);
        let v4 = [2, 0, 0, 80, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(text(&v4, Protocol::Tcp).as_deref(), Some("tcp/10.0.0.2:80"));
        assert_eq!(text(&v4, Protocol::Udp).as_deref(), Some("udp/10.0.0.2:80"));
        assert_eq!(text(&v4, Protocol::Other), None);
        let mut v6 = vec![10, 0, 0, 53, 0, 0, 0, 0];
        v6.extend([0; 16]);
        assert_eq!(text(&v6, Protocol::Udp).as_deref(), Some("udp/[::]:53"));
        assert_eq!(text(b"\x01\x00/run/x\0junk", Protocol::Other).as_deref(), Some("unix:/run/x"));
        assert_eq!(text(b"\x01\x00\0bus", Protocol::Other).as_deref(), Some("unix:@bus"));
        for none in [&b"\x01\x00"[..], b"\x10\x00", b"\x00\x00", b"\x02\x00\x00", b"\x02", b"", b"\x01\x00\0"]
        {
            assert_eq!(text(none, Protocol::Tcp), None, "{none:?}");
        }
    }

    #[test]
    fn any_bytes_are_an_address_or_none() {
        let v4: &[u8] = &[2, 0, 0, 80, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
        crate::mutation::each(&[v4, b"\x01\x00/run/x", b"\x01\x00\0name"], |bytes| {
            drop(Address::read(bytes).text(Protocol::Tcp));
        });
    }
}
