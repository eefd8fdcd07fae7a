//! Addresses of sockets in the words of a profile.

use std::net::IpAddr;

use crate::policy::network::{Address, Protocol};

/// An address as the journal writes it; a path must be resolved before. `None` where a profile
/// has no notation for it.
pub fn text(address: &Address, protocol: Protocol) -> Option<String> {
    let endpoint = |ip: &IpAddr, port| match ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    };
    match (address, protocol) {
        (Address::Port(ip, port), Protocol::Tcp) => Some(format!("tcp/{}", endpoint(ip, port))),
        (Address::Port(ip, port), Protocol::Udp) => Some(format!("udp/{}", endpoint(ip, port))),
        (Address::UnixPath(path), _) => Some(format!("unix:{}", String::from_utf8_lossy(path))),
        (Address::UnixOther(name), _) if !name.is_empty() => {
            Some(format!("unix:@{}", String::from_utf8_lossy(name)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_a_profile_has_them() {
        let text = |bytes: &[u8], protocol| text(&Address::read(bytes).ok()?, protocol);
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
            drop(Address::read(bytes).map(|address| text(&address, Protocol::Tcp)));
        });
    }
}
