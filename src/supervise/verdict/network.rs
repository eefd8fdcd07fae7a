//! The network: sockets by kind, bind and connect by port.

use nix::errno::Errno;

use super::{Refusal, Rulebook};
use crate::event::{Kind, Object, Want};

/// A socket address, as far as it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// AF_INET or AF_INET6.
    Port(u16),
    /// AF_UNIX with a path.
    UnixPath(Vec<u8>),
    /// AF_UNIX, abstract or unnamed.
    UnixOther(Vec<u8>),
    /// AF_UNSPEC, and the port that stands where AF_INET has it. A connect dissolves
    /// the connection; a bind takes the port, as if it were AF_INET (inet_bind).
    Unspecified(u16),
    /// Any other family, by number.
    Other(u16),
}

impl Address {
    /// Reads a sockaddr.
    ///
    /// # Errors
    /// EINVAL for one that is too short for its family, as the kernel answers.
    pub fn read(bytes: &[u8]) -> Result<Address, Errno> {
        let family = bytes.first_chunk::<2>().map(|b| u16::from_ne_bytes(*b)).ok_or(Errno::EINVAL)?;
        match i32::from(family) {
            libc::AF_INET | libc::AF_INET6 => {
                let port = bytes.get(2..4).ok_or(Errno::EINVAL)?;
                Ok(Address::Port(u16::from_be_bytes([port[0], port[1]])))
            }
            libc::AF_UNSPEC => {
                let port = bytes.get(2..4).map_or(0, |port| u16::from_be_bytes([port[0], port[1]]));
                Ok(Address::Unspecified(port))
            }
            libc::AF_UNIX => {
                let name = &bytes[2..];
                match name.first() {
                    None | Some(0) => Ok(Address::UnixOther(name.get(1..).unwrap_or_default().to_vec())),
                    Some(_) => {
                        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                        Ok(Address::UnixPath(name[..end].to_vec()))
                    }
                }
            }
            _ => Ok(Address::Other(family)),
        }
    }
}

/// What kind of socket a descriptor is, by the kernel's protocol name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `TCP`, `TCPv6`.
    Tcp,
    /// `UDP`, `UDPv6`, `UDPLITE`…
    Udp,
    /// Something else, or it could not be found out.
    Other,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// bind(2).
    Listen,
    /// connect(2).
    Connect,
}

impl Direction {
    const fn word(self) -> &'static str {
        match self {
            Direction::Listen => "listen",
            Direction::Connect => "connect",
        }
    }
}

impl Rulebook {
    /// Judges a bind or connect: TCP by port. Other kinds of socket exist only
    /// where the profile allows the kind as a whole.
    ///
    /// # Errors
    /// The refusal.
    pub fn address(
        &self,
        direction: Direction,
        protocol: Protocol,
        address: &Address,
    ) -> Result<(), Box<Refusal>> {
        let port = match (address, direction) {
            (Address::Port(port), _) | (Address::Unspecified(port), Direction::Listen) => port,
            _ => return Ok(()),
        };
        let policy = &self.policy;
        let (ports, other) = match direction {
            Direction::Listen => (&policy.listen_tcp, policy.udp),
            Direction::Connect => (&policy.connect_tcp, policy.udp),
        };
        let allowed = match protocol {
            Protocol::Tcp => within(ports, *port),
            Protocol::Udp => other,
            // It may be either; what the kernel knows better it refuses itself.
            Protocol::Other => within(ports, *port) || other,
        };
        if allowed {
            return Ok(());
        }
        let name = if protocol == Protocol::Udp { "udp/*".to_owned() } else { format!("tcp/{port}") };
        Err(refuse(direction, name))
    }

    /// Judges a socket that the filter did not let through by its registers:
    /// `None` when it is refused without a word (nscd, that every getpwnam tries).
    pub fn socket(&self, family: i32, kind: i32, protocol: i32) -> Option<Box<Refusal>> {
        let stream = kind & 0xf == libc::SOCK_STREAM;
        let name = match family {
            libc::AF_UNIX if self.policy.names && stream => return None,
            libc::AF_UNIX => "unix:*".to_owned(),
            libc::AF_INET | libc::AF_INET6 if stream && matches!(protocol, 0 | libc::IPPROTO_TCP) => {
                "tcp/*".to_owned()
            }
            libc::AF_INET | libc::AF_INET6
                if kind & 0xf == libc::SOCK_DGRAM && matches!(protocol, 0 | libc::IPPROTO_UDP) =>
            {
                "udp/*".to_owned()
            }
            _ => {
                // Raw, packet, MPTCP and the like: no entry of `network` names them.
                return Some(Box::new(Refusal {
                    kind: Kind::Network,
                    errno: Errno::EACCES,
                    object: Object::Syscall {
                        syscall: "socket".into(),
                        args: vec![family as u64, kind as u64, protocol as u64],
                    },
                    rule: "/network".into(),
                    want: None,
                }));
            }
        };
        Some(refuse(Direction::Connect, name))
    }
}

fn within(ranges: &[(u16, u16)], port: u16) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&port))
}

fn refuse(direction: Direction, name: String) -> Box<Refusal> {
    let (rule, want) = match direction {
        Direction::Listen => ("/network/listen", Want::Listen(name.clone())),
        Direction::Connect => ("/network/connect", Want::Connect(name.clone())),
    };
    Box::new(Refusal {
        kind: Kind::Network,
        errno: Errno::EACCES,
        object: Object::Address { address: name, access: direction.word() },
        rule: rule.into(),
        want: Some(want),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let v4 = [2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Address::read(&v4), Ok(Address::Port(8080)));
        assert_eq!(Address::read(b"\x0a\x00\x00\x35 and so on"), Ok(Address::Port(53)));
        assert_eq!(Address::read(b"\x01\x00/run/x\0junk"), Ok(Address::UnixPath(b"/run/x".to_vec())));
        assert_eq!(Address::read(b"\x01\x00\0name"), Ok(Address::UnixOther(b"name".to_vec())));
        assert_eq!(Address::read(b"\x10\x00"), Ok(Address::Other(16)));
        assert_eq!(Address::read(b"\x00\x00\x1f\x90 and so on"), Ok(Address::Unspecified(8080)));
        assert_eq!(Address::read(b"\x00\x00"), Ok(Address::Unspecified(0)));
        assert_eq!(Address::read(b"\x02\x00\x00"), Err(Errno::EINVAL));
        assert_eq!(Address::read(b"\x02"), Err(Errno::EINVAL));
    }
}
