//! The listening sockets, from the kernel's lists of the network namespace that the supervisor
//! shares with the app (proc_net(5)). No call of the app and none of its memory is trusted. In a
//! pod the lists have the sockets of its other containers too.

use std::collections::HashSet;
use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::procfs::net::{self, Internet, LISTEN, UNCONNECTED, Unix};
use crate::profile::Endpoint;

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listening {
    /// TCP: the address and port that it is bound to.
    Tcp(IpAddr, u16),
    /// UDP, bound and unconnected: its address and port.
    Udp(IpAddr, u16),
    /// AF_UNIX with the path as it was bound, which may be relative.
    UnixPath(PathBuf),
    /// AF_UNIX with an abstract name, without its leading NUL.
    UnixAbstract(Vec<u8>),
}

/// The sockets that listen now.
pub fn all() -> Vec<Listening> {
    let mut found = Vec::new();
    for list in ["tcp", "tcp6"] {
        found.extend(net::internet(&net::read(list)).filter_map(tcp));
    }
    for list in ["udp", "udp6"] {
        found.extend(net::internet(&net::read(list)).filter_map(udp));
    }
    found.extend(net::unix(&net::read("unix")).filter_map(unix));
    found
}

/// The inodes of the TCP and unix sockets that listen now.
pub fn inodes() -> HashSet<u64> {
    let mut found = HashSet::new();
    for list in ["tcp", "tcp6"] {
        let text = net::read(list);
        let sockets = net::internet(&text).filter(|socket| socket.state == LISTEN);
        found.extend(sockets.map(|socket| socket.inode));
    }
    let text = net::read("unix");
    let sockets = net::unix(&text).filter(|socket| socket.listens);
    found.extend(sockets.map(|socket| socket.inode));
    found
}

/// A TCP socket in state LISTEN.
fn tcp(socket: Internet) -> Option<Listening> {
    (socket.state == LISTEN).then_some(Listening::Tcp(socket.address, socket.port))
}

/// A UDP socket without a peer.
fn udp(socket: Internet) -> Option<Listening> {
    (socket.state == UNCONNECTED).then_some(Listening::Udp(socket.address, socket.port))
}

/// A listening unix socket, or a datagram socket with a name.
fn unix(socket: Unix) -> Option<Listening> {
    if !socket.listens && i32::from(socket.kind) != libc::SOCK_DGRAM {
        return None;
    }
    let name = socket.name?;
    Some(match name.strip_prefix(b"@") {
        Some(hidden) => Listening::UnixAbstract(hidden.to_vec()),
        None => Listening::UnixPath(OsString::from_vec(name).into()),
    })
}

/// Whether a socket listens on each of these endpoints.
pub fn each(wanted: &[Endpoint], listening: &[Listening]) -> bool {
    // On these no process listens.
    let mut waited = wanted.iter().filter(|endpoint| !matches!(endpoint, Endpoint::Icmp | Endpoint::Netlink));
    waited.all(|endpoint| listening.iter().any(|one| serves(one, endpoint)))
}

fn serves(listening: &Listening, wanted: &Endpoint) -> bool {
    match (listening, wanted) {
        (Listening::Tcp(address, port), Endpoint::Tcp(entry))
        | (Listening::Udp(address, port), Endpoint::Udp(entry)) => entry.covers(*address, *port),
        (Listening::UnixPath(_) | Listening::UnixAbstract(_), Endpoint::UnixAny) => true,
        (Listening::UnixPath(bound), Endpoint::UnixPath(path)) => {
            // The supervisor binds through a descriptor of the directory, so only the last name is
            // the app's.
            let by_descriptor = bound.starts_with("/proc/self/fd") && bound.file_name() == path.file_name();
            let relative = bound.strip_prefix(".").unwrap_or(bound);
            bound == path || by_descriptor || (bound.is_relative() && path.ends_with(relative))
        }
        (Listening::UnixAbstract(bound), Endpoint::UnixAbstract(name)) => bound == name.as_bytes(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket;

    fn of_tcp(address: &str, port: u16, state: u8) -> Option<Listening> {
        tcp(Internet { address: address.parse().expect("an address"), port, state, inode: 1 })
    }

    fn of_unix(listens: bool, kind: u16, name: &str) -> Option<Listening> {
        let name = Some(name.as_bytes().to_vec()).filter(|name| !name.is_empty());
        unix(Unix { listens, kind, inode: 1, name })
    }

    #[test]
    fn sockets_listen_by_their_state() {
        let local: IpAddr = "127.0.0.1".parse().expect("an address");
        assert_eq!(of_tcp("127.0.0.1", 80, LISTEN), Some(Listening::Tcp(local, 80)));
        assert_eq!(of_tcp("127.0.0.1", 80, 1), None);
        let socket = |state| Internet { address: local, port: 53, state, inode: 1 };
        assert_eq!(udp(socket(UNCONNECTED)), Some(Listening::Udp(local, 53)));
        assert_eq!(udp(socket(1)), None);
        let (stream, datagram, seqpacket) = (1, 2, 5);
        assert_eq!(of_unix(true, stream, "/run/a"), Some(Listening::UnixPath("/run/a".into())));
        assert_eq!(of_unix(false, stream, "/run/a"), None, "it is connected");
        assert_eq!(of_unix(false, datagram, "@note"), Some(Listening::UnixAbstract(b"note".to_vec())));
        assert_eq!(of_unix(false, datagram, ""), None);
        assert_eq!(of_unix(true, seqpacket, "./rel"), Some(Listening::UnixPath("./rel".into())));
    }

    #[test]
    fn each_entry_needs_its_socket() {
        let listening: Vec<_> = [
            of_tcp("127.0.0.1", 6379, LISTEN),
            of_tcp("0.0.0.0", 80, LISTEN),
            of_tcp("::", 443, LISTEN),
            of_tcp("::ffff:127.0.0.1", 8080, LISTEN),
            of_tcp("2001:db8::1", 22, LISTEN),
            of_unix(true, 1, "/run/app.sock"),
            of_unix(false, 2, "@note to me"),
            of_unix(true, 5, "./rel.sock"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let wanted = |entries: &[&str]| {
            let text = serde_json::json!({
                "remit": 1, "name": "x", "programs": [{ "path": "/app", "entry": true }],
                "network": { "listen": entries }
            });
            let profile = crate::profile::read(text.to_string().as_bytes()).expect("valid").profile;
            let wanted: Vec<_> = profile.network.listen.into_iter().map(|entry| entry.what).collect();
            each(&wanted, &listening)
        };
        for there in [
            &["tcp/6379"][..],
            &["tcp/6379", "tcp/443", "unix:/run/app.sock"],
            &["tcp/127.0.0.0/8:6379"],
            &["tcp/127.0.0.1:8080"],
            &["tcp/[::ffff:0:0/96]:6379"],
            &["tcp/[2001:db8::/32]:22"],
            &["tcp/6000-7000", "tcp/*"],
            &["unix:@note to me", "unix:*"],
            &["unix:/srv/rel.sock"],
        ] {
            assert!(wanted(there), "{there:?}");
        }
        for missing in [
            &["tcp/6380"][..],
            &["tcp/6379", "tcp/81"],
            &["tcp/10.0.0.0/8:6379"],
            &["tcp/[fd00::/8]:22"],
            &["udp/6379"],
            &["unix:/run/other.sock"],
            &["unix:@note"],
        ] {
            assert!(!wanted(missing), "{missing:?}");
        }
    }

    #[test]
    fn a_socket_is_found_once_it_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let is_it = |one: &Listening| matches!(one, Listening::Tcp(_, other) if *other == port);
        assert!(all().iter().any(is_it));

        let name = format!("listens only later {}", std::process::id());
        let address = [&(libc::AF_UNIX as u16).to_ne_bytes()[..], b"\0", name.as_bytes()].concat();
        let socket =
            socket::make(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0).expect("a socket");
        socket::bind(&socket, &address).expect("the name is free");
        let named = Listening::UnixAbstract(name.into_bytes());
        assert!(!all().contains(&named));
        socket::listen(&socket, 1).expect("it is bound");
        assert!(all().contains(&named));
    }
}
