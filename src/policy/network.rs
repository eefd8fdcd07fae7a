//! The network: sockets by kind, bind and connect by address, port and name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use nix::errno::Errno;

use super::{Denial, PolicyEngine};
use crate::event::{ViolationKind, ViolationObject, Want};
use crate::plan::NotifyTransport;
use crate::profile::{Endpoint, Rights};
use crate::syscalls::Handler;

/// The kinds of sockets that rules distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// A TCP socket over IPv4 or IPv6.
    Tcp,
    /// A UDP socket over IPv4 or IPv6.
    Udp,
    /// AF_UNIX with a connection: SOCK_STREAM or SOCK_SEQPACKET.
    Unix,
    /// AF_UNIX with SOCK_DGRAM, ping sockets, and sockets that only query the kernel (netlink).
    Other,
}

/// A socket address, as far as rules distinguish it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// AF_INET or AF_INET6: address and port.
    Port(IpAddr, u16),
    /// AF_UNIX with a path.
    UnixPath(Vec<u8>),
    /// AF_UNIX, abstract or unnamed.
    UnixOther(Vec<u8>),
    /// AF_UNSPEC, and the port at AF_INET's offset. A connect dissolves the connection; a bind takes
    /// the port, as if it were AF_INET (inet_bind).
    Unspecified(u16),
    /// Any other family, by number.
    Other(u16),
}

impl Address {
    /// Whether it is an address at which a socket listens by its name or port; a resolver binds any,
    /// or queries the kernel.
    pub fn is_named(&self) -> bool {
        match self {
            Address::Port(_, port) | Address::Unspecified(port) => *port != 0,
            Address::UnixPath(_) => true,
            Address::UnixOther(name) => !name.is_empty(),
            Address::Other(_) => false,
        }
    }

    /// Parses a `struct sockaddr`.
    ///
    /// # Errors
    /// EINVAL for an address that is too short for its family, as in the kernel.
    pub fn read(bytes: &[u8]) -> Result<Address, Errno> {
        let family = bytes.first_chunk::<2>().map(|b| u16::from_ne_bytes(*b)).ok_or(Errno::EINVAL)?;
        match i32::from(family) {
            // sockaddr_in: the port, the address, and padding that the kernel requires.
            libc::AF_INET => {
                let bytes = bytes.first_chunk::<16>().ok_or(Errno::EINVAL)?;
                let address = Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
                Ok(Address::Port(address.into(), u16::from_be_bytes([bytes[2], bytes[3]])))
            }
            // sockaddr_in6 up to the address; the scope may be left out (SIN6_LEN_RFC2133).
            libc::AF_INET6 => {
                let bytes = bytes.first_chunk::<24>().ok_or(Errno::EINVAL)?;
                let mut address = [0; 16];
                address.copy_from_slice(&bytes[8..24]);
                let port = u16::from_be_bytes([bytes[2], bytes[3]]);
                Ok(Address::Port(Ipv6Addr::from(address).into(), port))
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

/// The protocol of a socket's descriptor, by the kernel's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `TCP`, `TCPv6`, and MPTCP, which has the ports of TCP.
    Tcp,
    /// `UDP`, `UDPv6`, `UDPLITE`…
    Udp,
    /// `PING`, `PINGv6`.
    Ping,
    /// Another protocol, or an unknown one.
    Other,
}

impl Protocol {
    /// The protocol of this name, as sockfs has it (`name` of struct proto, include/net/sock.h).
    pub fn of(name: &[u8]) -> Protocol {
        let is = |word: &str| name.starts_with(word.as_bytes());
        match () {
            () if is("TCP") || is("MPTCP") => Protocol::Tcp,
            () if is("UDP") => Protocol::Udp,
            () if is("PING") => Protocol::Ping,
            () => Protocol::Other,
        }
    }
}

/// The call that uses an address.
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

/// The entry of `network` for a socket of which only the kind is granted; `None` for another.
pub fn endpoint_word(family: i32, kind: i32, protocol: i32) -> Option<&'static str> {
    match () {
        () if is_ping(family, kind, protocol) => Some("icmp"),
        () if is_list(family, kind, protocol) => Some("netlink"),
        () => None,
    }
}

impl PolicyEngine {
    /// Decides a bind or connect: TCP by address and port. Sockets of other kinds exist only where the
    /// profile allows the kind as a whole; [`PolicyEngine::unix`] decides unix sockets by name, once
    /// their path is resolved.
    ///
    /// # Errors
    /// The denial.
    pub fn address(
        &self,
        direction: Direction,
        protocol: Protocol,
        address: &Address,
    ) -> Result<(), Box<Denial>> {
        let policy = &self.policy;
        let (ip, port) = match (address, direction) {
            (Address::Port(ip, port), _) => (*ip, *port),
            (Address::Unspecified(port), Direction::Listen) => (ANY, *port),
            // The socket pair for READY=1 connects to the supervisor alone.
            (Address::UnixPath(_) | Address::UnixOther(_), _) if self.gets_a_pair() && !policy.unix_named => {
                return Err(refuse(direction, "unix:*".to_owned()));
            }
            _ => return Ok(()),
        };
        let tcp = self.endpoints(direction).iter().filter_map(|entry| match entry {
            Endpoint::Tcp(tcp) => Some(tcp),
            _ => None,
        });
        let is_listed = tcp.clone().any(|entry| entry.covers(ip, port));
        let allowed = match protocol {
            Protocol::Tcp => is_listed,
            Protocol::Udp => policy.udp,
            Protocol::Ping => policy.icmp,
            // It may be either; the kernel refuses a wrong family itself.
            Protocol::Other => is_listed || policy.udp,
        };
        if allowed {
            return Ok(());
        }
        let name = match (protocol, ip) {
            (Protocol::Udp, _) => "udp/*".to_owned(),
            (Protocol::Ping, _) => "icmp".to_owned(),
            // Where rules name addresses, a hint does not allow all of them.
            (_, IpAddr::V4(ip)) if self.names_addresses() => format!("tcp/{ip}:{port}"),
            (_, IpAddr::V6(ip)) if self.names_addresses() => format!("tcp/[{ip}]:{port}"),
            _ => format!("tcp/{port}"),
        };
        Err(refuse(direction, name))
    }

    fn endpoints(&self, direction: Direction) -> &[Endpoint] {
        match direction {
            Direction::Listen => &self.policy.listen,
            Direction::Connect => &self.policy.connect,
        }
    }

    /// Whether some entry of `network` has an address: then socket options that redirect packets are
    /// denied, and a hint names an address.
    pub(super) fn names_addresses(&self) -> bool {
        let entries = self.policy.listen.iter().chain(&self.policy.connect);
        entries.into_iter().any(|entry| matches!(entry, Endpoint::Tcp(tcp) if tcp.network.is_some()))
    }

    /// Decides a unix socket by its resolved path, or by its abstract name.
    ///
    /// # Errors
    /// The denial.
    pub fn unix(&self, direction: Direction, name: UnixName) -> Result<(), Box<Denial>> {
        if self.policy.unix || self.lists_unix(direction, name) {
            return Ok(());
        }
        let text = match name {
            UnixName::Path(path) => path.to_str().map(|path| format!("unix:{path}")),
            UnixName::Abstract(name) => std::str::from_utf8(name).ok().map(|name| format!("unix:@{name}")),
        };
        // An address that no entry can name has no hint: one for all sockets would grant more.
        match text.filter(|text| !text.contains('\0') && *text != "unix:@") {
            Some(text) => Err(refuse(direction, text)),
            None => Err(Box::new(Denial { want: None, ..*refuse(direction, "unix:*".to_owned()) })),
        }
    }

    /// Whether an entry names exactly this unix socket.
    pub fn lists_unix(&self, direction: Direction, name: UnixName) -> bool {
        let is_it = |entry: &Endpoint| match (entry, name) {
            (Endpoint::UnixPath(path), UnixName::Path(canonical)) => path == canonical,
            (Endpoint::UnixAbstract(listed), UnixName::Abstract(name)) => listed.as_bytes() == name,
            _ => false,
        };
        self.endpoints(direction).iter().any(is_it)
    }

    /// Whether the app may rename a directory above this path, or move another one there.
    pub fn can_be_moved(&self, path: &Path) -> bool {
        const MOVES: Rights = Rights::CREATE.union(Rights::REMOVE);
        path.ancestors().skip(1).any(|directory| {
            self.policy.files.iter().filter(|grant| grant.rights.intersects(MOVES)).any(|grant| {
                let below = directory != grant.path && directory.starts_with(&grant.path);
                if grant.exact { directory == grant.path } else { below }
            })
        })
    }

    /// Denies a connect to the event socket, or a bind at its path. No entry allows it.
    pub fn event_socket(&self, direction: Direction) -> Box<Denial> {
        let path = self.policy.event_socket.as_deref().unwrap_or(Path::new(""));
        let refusal = refuse(direction, format!("unix:{}", path.display()));
        Box::new(Denial { want: None, ..*refusal })
    }

    /// Denies a bind, connect or listen on a socket that the supervisor did not create, or whose kind
    /// is unknown. No entry allows it.
    pub fn unregistered_socket(&self, direction: Direction) -> Box<Denial> {
        let refusal = refuse(direction, "a socket that was not made under this profile".to_owned());
        Box::new(Denial { want: None, ..*refusal })
    }

    /// The kind of the socket that the supervisor creates for a socket(2); `None` where no entry
    /// grants its kind.
    pub fn makes(&self, family: i32, kind: i32, protocol: i32) -> Option<SocketKind> {
        let policy = &self.policy;
        let tcp = !policy.listen_tcp.is_empty() || !policy.connect_tcp.is_empty();
        let stream = kind & 0xf == libc::SOCK_STREAM;
        let datagram = kind & 0xf == libc::SOCK_DGRAM;
        let internet = matches!(family, libc::AF_INET | libc::AF_INET6);
        let once = stream || kind & 0xf == libc::SOCK_SEQPACKET;
        match family {
            _ if internet && stream && tcp && matches!(protocol, 0 | libc::IPPROTO_TCP) => {
                Some(SocketKind::Tcp)
            }
            _ if internet && datagram && policy.udp && matches!(protocol, 0 | libc::IPPROTO_UDP) => {
                Some(SocketKind::Udp)
            }
            _ if is_ping(family, kind, protocol) && policy.icmp => Some(SocketKind::Other),
            libc::AF_UNIX if once && (policy.unix || policy.unix_named) => Some(SocketKind::Unix),
            libc::AF_UNIX if policy.unix => Some(SocketKind::Other),
            // A resolver's query for addresses.
            libc::AF_NETLINK if (datagram || kind & 0xf == libc::SOCK_RAW) && protocol == 0 => {
                Some(SocketKind::Other)
            }
            _ if is_list(family, kind, protocol) && policy.netlink => Some(SocketKind::Other),
            _ => None,
        }
    }

    /// Whether the app's only unix socket is one end of the pair on which it sends READY=1.
    pub fn gets_a_pair(&self) -> bool {
        self.policy
            .startup
            .as_ref()
            .is_some_and(|startup| startup.notify_transport == Some(NotifyTransport::SocketPair))
    }

    /// Denies a socket that the filter did not allow by its registers: `None` when it is denied
    /// without an event (nscd, to which every getpwnam tries to connect).
    pub fn socket(&self, family: i32, kind: i32, protocol: i32) -> Option<Box<Denial>> {
        let stream = kind & 0xf == libc::SOCK_STREAM;
        if let Some(word) = endpoint_word(family, kind, protocol) {
            return Some(refuse(Direction::Connect, word.to_owned()));
        }
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
                return Some(Box::new(Denial {
                    kind: ViolationKind::Network,
                    errno: Handler::Socket.denied(),
                    object: ViolationObject::Syscall {
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

/// Whether this is a ping socket (icmp(7)).
fn is_ping(family: i32, kind: i32, protocol: i32) -> bool {
    let of_family = [(libc::AF_INET, libc::IPPROTO_ICMP), (libc::AF_INET6, libc::IPPROTO_ICMPV6)];
    kind & 0xf == libc::SOCK_DGRAM && of_family.contains(&(family, protocol))
}

/// Whether by this socket the kernel lists sockets, or says what happens to devices.
fn is_list(family: i32, kind: i32, protocol: i32) -> bool {
    let kinds = [libc::SOCK_RAW, libc::SOCK_DGRAM];
    let protocols = [libc::NETLINK_SOCK_DIAG, libc::NETLINK_KOBJECT_UEVENT];
    family == libc::AF_NETLINK && kinds.contains(&(kind & 0xf)) && protocols.contains(&protocol)
}

/// The address that an unspecified address means.
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The name of a unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnixName<'a> {
    /// A path, links resolved.
    Path(&'a Path),
    /// A name in the abstract namespace.
    Abstract(&'a [u8]),
}

fn refuse(direction: Direction, name: String) -> Box<Denial> {
    let (rule, want, errno) = match direction {
        Direction::Listen => ("/network/listen", Want::Listen(name.clone()), Handler::Bind.denied()),
        Direction::Connect => ("/network/connect", Want::Connect(name.clone()), Handler::Connect.denied()),
    };
    Box::new(Denial {
        kind: ViolationKind::Network,
        errno,
        object: ViolationObject::Address { address: name, access: direction.word() },
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
        assert_eq!(Address::read(&v4), Ok(Address::Port(Ipv4Addr::LOCALHOST.into(), 8080)));
        assert_eq!(Address::read(&v4[..15]), Err(Errno::EINVAL));
        let mut v6 = vec![10, 0, 0, 0x35, 0, 0, 0, 0];
        v6.extend(Ipv6Addr::LOCALHOST.octets());
        assert_eq!(Address::read(&v6), Ok(Address::Port(Ipv6Addr::LOCALHOST.into(), 53)));
        assert_eq!(Address::read(&v6[..23]), Err(Errno::EINVAL));
        assert_eq!(Address::read(b"\x01\x00/run/x\0junk"), Ok(Address::UnixPath(b"/run/x".to_vec())));
        assert_eq!(Address::read(b"\x01\x00\0name"), Ok(Address::UnixOther(b"name".to_vec())));
        assert_eq!(Address::read(b"\x10\x00"), Ok(Address::Other(16)));
        assert_eq!(Address::read(b"\x00\x00\x1f\x90 and so on"), Ok(Address::Unspecified(8080)));
        assert_eq!(Address::read(b"\x00\x00"), Ok(Address::Unspecified(0)));
        assert_eq!(Address::read(b"\x02\x00\x00"), Err(Errno::EINVAL));
        assert_eq!(Address::read(b"\x02"), Err(Errno::EINVAL));
    }

    #[test]
    fn any_bytes_are_an_address_or_none() {
        let v6 = [&[10u8, 0, 0, 0x35, 0, 0, 0, 0][..], &Ipv6Addr::LOCALHOST.octets()].concat();
        let v4: &[u8] = &[2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        crate::mutation::each(&[&v6, v4, b"\x01\x00/run/x", b"\x01\x00\0name"], |bytes| {
            drop(Address::read(bytes))
        });
    }
}
