//! `/proc/TID/net` (proc_pid_net(5)): the sockets of a network namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The text of one of this thread's lists: `tcp`, `tcp6`, `udp`, `udp6`, `unix`. One that is
/// not there has no socket.
pub fn read(list: &str) -> Vec<u8> {
    std::fs::read(format!("/proc/thread-self/net/{list}")).unwrap_or_default()
}

/// A socket of `tcp`, `tcp6`, `udp` or `udp6`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Internet {
    /// The local address.
    pub address: IpAddr,
    /// The local port.
    pub port: u16,
    /// Its state, by the numbers of TCP: [`LISTEN`], [`UNCONNECTED`].
    pub state: u8,
    /// Its inode in sockfs.
    pub inode: u64,
}

/// TCP_LISTEN: the socket listens.
pub const LISTEN: u8 = 0x0a;

/// TCP_CLOSE: of UDP, a socket without a peer.
pub const UNCONNECTED: u8 = 0x07;

/// A socket of `unix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unix {
    /// Whether it listens (__SO_ACCEPTCON).
    pub listens: bool,
    /// Its type, SOCK_STREAM and others.
    pub kind: u16,
    /// Its inode in sockfs.
    pub inode: u64,
    /// Its path, as it was bound; an abstract name begins with `@` in the place of its zero byte.
    pub name: Option<Vec<u8>>,
}

/// Reads the lists of the internet protocols; lines that cannot be parsed are left out.
pub fn internet(text: &[u8]) -> impl Iterator<Item = Internet> {
    lines(text).filter_map(|line| {
        let line = String::from_utf8_lossy(line);
        // Number, local and remote address, state, …: the inode is the tenth.
        let mut words = line.split_ascii_whitespace();
        let (address, port) = words.nth(1)?.split_once(':')?;
        Some(Internet {
            address: address_of(address)?,
            port: u16::from_str_radix(port, 16).ok()?,
            state: u8::from_str_radix(words.nth(1)?, 16).ok()?,
            inode: words.nth(5)?.parse().ok()?,
        })
    })
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

/// Reads the list of unix sockets; lines that cannot be parsed are left out.
pub fn unix(text: &[u8]) -> impl Iterator<Item = Unix> {
    /// __SO_ACCEPTCON.
    const ACCEPTS: u64 = 0x1_0000;
    lines(text).filter_map(|line| {
        let text = String::from_utf8_lossy(line);
        // Number, references, protocol, flags, type, state, inode, and perhaps a name.
        let mut words = text.split_ascii_whitespace().skip(3);
        let flags = u64::from_str_radix(words.next()?, 16).ok()?;
        let kind = u16::from_str_radix(words.next()?, 16).ok()?;
        let inode = words.nth(1)?.parse().ok()?;
        Some(Unix { listens: flags & ACCEPTS != 0, kind, inode, name: name_of(line) })
    })
}

/// What follows the seventh word and a blank: a name of any bytes.
fn name_of(line: &[u8]) -> Option<Vec<u8>> {
    let mut rest = line;
    for _ in 0..7 {
        rest = rest.trim_ascii_start();
        rest = &rest[rest.iter().position(u8::is_ascii_whitespace)?..];
    }
    rest.strip_prefix(b" ").filter(|name| !name.is_empty()).map(<[u8]>::to_vec)
}

/// The lines after that of titles.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a machine that stores the lowest byte first, as both of ours do.
    const TCP: &[u8] = b"\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 4711 1 0 100 0
   1: 0100007F:18EB 0100007F:9A2E 01 00000000:00000000 00:00000000 00000000   101        0 2 1 0 100 0
";
    const TCP6: &[u8] = b"\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   1: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0
   2: B80D0120000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0
";
    const UNIX: &[u8] = b"\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 17 /run/app.sock
0000000000000000: 00000003 00000000 00000000 0001 03 18
0000000000000000: 00000002 00000000 00000000 0002 01 19 @note to \xff
0000000000000000: 00000002 00000000 00010000 0001 01 22 /run/with  blanks 
";

    #[test]
    fn the_lists_are_read() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let local = address("127.0.0.1");
        let found: Vec<_> = internet(TCP).collect();
        let expected = [
            Internet { address: local, port: 6379, state: LISTEN, inode: 4711 },
            Internet { address: local, port: 6379, state: 1, inode: 2 },
        ];
        assert_eq!(found, expected);
        let found: Vec<_> = internet(TCP6).map(|socket| (socket.address, socket.port)).collect();
        let addresses = ["::", "::ffff:127.0.0.1", "2001:db8::1"].map(address);
        assert_eq!(found, [(addresses[0], 443), (addresses[1], 8080), (addresses[2], 22)]);
        let socket = |listens, kind, inode, name: &[u8]| Unix {
            listens,
            kind,
            inode,
            name: Some(name.to_vec()).filter(|name| !name.is_empty()),
        };
        let expected = [
            socket(true, 1, 17, b"/run/app.sock"),
            socket(false, 1, 18, b""),
            socket(false, 2, 19, b"@note to \xff"),
            socket(true, 1, 22, b"/run/with  blanks "),
        ];
        assert_eq!(unix(UNIX).collect::<Vec<_>>(), expected);
        for broken in [&b""[..], b"\n\n", b"a b c d\n1 2 3 4 5\n", b"x\n 0: zz:zz 0:0 0A\n"] {
            assert_eq!((internet(broken).count(), unix(broken).count()), (0, 0));
        }
    }

    #[test]
    fn any_list_is_read_or_left_out() {
        let mut read = 0;
        crate::mutation::each(&[TCP, TCP6, UNIX], |bytes| {
            read += internet(bytes).count() + unix(bytes).count()
        });
        assert!(read > 1000, "a change elsewhere leaves a socket");
    }
}
