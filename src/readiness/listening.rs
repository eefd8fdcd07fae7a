//! Which sockets listen, by the kernel's own lists of its network namespace
//! (proc_net(5)), which is the app's: no call of the app is believed, and none of its
//! memory. What another container of a pod listens on is in them too.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use crate::profile::Endpoint;

/// A socket that waits for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listening {
    /// TCP, with what it is bound to.
    Tcp(IpAddr, u16),
    /// UDP: one that is bound.
    Udp(IpAddr, u16),
    /// AF_UNIX, as it was bound: perhaps from a working directory.
    UnixPath(PathBuf),
    /// AF_UNIX with an abstract name.
    UnixAbstract(Vec<u8>),
}

/// All that listen now. A list that is not there has none.
pub fn all() -> Vec<Listening> {
    let read = |name: &str| std::fs::read(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    let mut found = Vec::new();
    for (name, is_tcp) in [("tcp", true), ("tcp6", true), ("udp", false), ("udp6", false)] {
        found.extend(internet(&read(name), is_tcp));
    }
    found.extend(unix(&read("unix")));
    found
}

/// The inodes of the TCP and unix sockets that listen now. A list that is not there has none.
pub fn inodes() -> HashSet<u64> {
    let read = |name: &str| std::fs::read(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    let mut found = HashSet::new();
    for name in ["tcp", "tcp6"] {
        found.extend(listed(&read(name), 3, |state| state == LISTEN, 9));
    }
    found.extend(listed(&read("unix"), 3, |flags| accepts(flags) == Some(true), 6));
    found
}

/// The inodes that a list has in its word `inode`, of those lines whose word `state` is
/// wanted.
fn listed(text: &[u8], state: usize, wanted: impl Fn(&str) -> bool, inode: usize) -> HashSet<u64> {
    let line = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let words: Vec<&str> = line.split_ascii_whitespace().take(inode + 1).collect();
        words.get(state).filter(|state| wanted(state))?;
        words.get(inode)?.parse().ok()
    };
    text.split(|byte| *byte == b'\n').skip(1).filter_map(line).collect()
}

/// Whether a socket's flags in `/proc/net/unix` say that it accepts (__SO_ACCEPTCON).
fn accepts(flags: &str) -> Option<bool> {
    const ACCEPTS: u64 = 0x1_0000;
    Some(u64::from_str_radix(flags, 16).ok()? & ACCEPTS != 0)
}

/// TCP_LISTEN, as the lists write it.
const LISTEN: &str = "0A";

/// Whether each of these has a socket that listens.
pub fn each(wanted: &[Endpoint], listening: &[Listening]) -> bool {
    wanted.iter().all(|endpoint| listening.iter().any(|one| serves(one, endpoint)))
}

fn serves(listening: &Listening, wanted: &Endpoint) -> bool {
    match (listening, wanted) {
        (Listening::Tcp(address, port), Endpoint::Tcp(entry))
        | (Listening::Udp(address, port), Endpoint::Udp(entry)) => entry.covers(*address, *port),
        (Listening::UnixPath(_) | Listening::UnixAbstract(_), Endpoint::UnixAny) => true,
        (Listening::UnixPath(bound), Endpoint::UnixPath(path)) => {
            // By its directory, where that is all that is known to last.
            let by_descriptor = bound.starts_with("/proc/self/fd") && bound.file_name() == path.file_name();
            let relative = bound.strip_prefix(".").unwrap_or(bound);
            bound == path || by_descriptor || (bound.is_relative() && path.ends_with(relative))
        }
        (Listening::UnixAbstract(bound), Endpoint::UnixAbstract(name)) => bound == name.as_bytes(),
        _ => false,
    }
}

/// Reads `/proc/net/tcp` and its like: of TCP what is in the state LISTEN, of UDP what
/// has no peer.
fn internet(text: &[u8], is_tcp: bool) -> Vec<Listening> {
    const UNCONNECTED: &str = "07";
    let text = String::from_utf8_lossy(text);
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, _, state) = (words.next()?, words.next()?, words.next()?);
        if state != if is_tcp { LISTEN } else { UNCONNECTED } {
            return None;
        }
        let (address, port) = local.split_once(':')?;
        let (address, port) = (address_of(address)?, u16::from_str_radix(port, 16).ok()?);
        Some(if is_tcp { Listening::Tcp(address, port) } else { Listening::Udp(address, port) })
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// An address as those lists write it: 32-bit words as they lie in memory.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let mut bytes = [0; 16];
            bytes.copy_from_slice(words.as_flattened());
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// Reads `/proc/net/unix`: streams that accept, and datagram sockets that have a name.
fn unix(text: &[u8]) -> Vec<Listening> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    const DATAGRAM: &str = "0002";
    let line = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split_ascii_whitespace().skip(3);
        let (accepts, kind) = (accepts(words.next()?)?, words.next()?);
        if !accepts && kind != DATAGRAM {
            return None;
        }
        // The name is what follows the seventh word, blanks and all.
        let mut rest = line;
        for _ in 0..7 {
            rest = rest.trim_ascii_start();
            rest = &rest[rest.iter().position(u8::is_ascii_whitespace)?..];
        }
        let name = rest.strip_prefix(b" ")?;
        match name.split_first()? {
            (b'@', hidden) => Some(Listening::UnixAbstract(hidden.to_vec())),
            _ => Some(Listening::UnixPath(Path::new(OsStr::from_bytes(name)).to_owned())),
        }
    };
    text.split(|byte| *byte == b'\n').skip(1).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket;

    /// On a machine that stores the lowest byte first, as both of ours do.
    const TCP: &[u8] = b"\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 1 1 0 100 0
   1: 0100007F:18EB 0100007F:9A2E 01 00000000:00000000 00:00000000 00000000   101        0 2 1 0 100 0
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0
";
    const TCP6: &[u8] = b"\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000
   2: B80D0120000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000
";
    const UNIX: &[u8] = b"\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 17 /run/app.sock
0000000000000000: 00000003 00000000 00000000 0001 03 18 /run/app.sock
0000000000000000: 00000002 00000000 00000000 0002 01 19 @note to me
0000000000000000: 00000002 00000000 00010000 0005 01 20 ./rel.sock
0000000000000000: 00000002 00000000 00000000 0002 01 21
0000000000000000: 00000002 00000000 00010000 0001 01 22 /run/with  blanks 
";

    #[test]
    fn what_listens_is_read_of_the_kernels_lists() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(
            internet(TCP, true),
            [Listening::Tcp(address("127.0.0.1"), 6379), Listening::Tcp(address("0.0.0.0"), 80)]
        );
        assert_eq!(
            internet(TCP6, true),
            [
                Listening::Tcp(address("::"), 443),
                Listening::Tcp(address("::ffff:127.0.0.1"), 8080),
                Listening::Tcp(address("2001:db8::1"), 22),
            ]
        );
        assert!(internet(TCP, false).is_empty());
        assert_eq!(
            unix(UNIX),
            [
                Listening::UnixPath("/run/app.sock".into()),
                Listening::UnixAbstract(b"note to me".to_vec()),
                Listening::UnixPath("./rel.sock".into()),
                Listening::UnixPath("/run/with  blanks ".into()),
            ]
        );
        let inodes = |text, inode| {
            let mut found: Vec<u64> = if inode == 9 {
                listed(text, 3, |state| state == LISTEN, 9).into_iter().collect()
            } else {
                listed(text, 3, |flags| accepts(flags) == Some(true), 6).into_iter().collect()
            };
            found.sort_unstable();
            found
        };
        assert_eq!((inodes(TCP, 9), inodes(UNIX, 6)), (vec![1, 3], vec![17, 20, 22]));
        for broken in [&b""[..], b"\n\n", b"a b c d\n1 2 3 4 5\n", b"x\n 0: zz:zz 0:0 0A\n"] {
            assert!(internet(broken, true).is_empty() && unix(broken).is_empty());
            assert!(inodes(broken, 9).is_empty() && inodes(broken, 6).is_empty());
        }
    }

    #[test]
    fn each_entry_needs_its_socket() {
        let listening: Vec<_> =
            internet(TCP, true).into_iter().chain(internet(TCP6, true)).chain(unix(UNIX)).collect();
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
    fn a_socket_is_seen_from_when_it_listens() {
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
