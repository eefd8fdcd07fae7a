//! Races for sockets: what is connected or bound is exchanged between the look at it and
//! the call. The good place is listed and the evil one is not; which one it came to, the
//! kernel says of the socket afterwards.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use super::network::{inet, socket};
use super::{Result, argument, number};
use crate::syscall::{Refused, call, errno_name};

/// `race-socket KIND TRIES [PORT]`, `unix-listen PATH`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("race-socket", race),
    ("bind-to", |arguments| {
        let socket = socket("socket", libc::AF_INET, libc::SOCK_STREAM, 0)?;
        let address = argument(arguments, 0, "127.0.0.1").parse().unwrap_or(Ipv4Addr::LOCALHOST);
        act("bind", libc::SYS_bind, &socket, &inet(address, number(arguments, 1, 4444)))?;
        call("listen", libc::SYS_listen, &[socket.as_raw_fd() as usize, 1])?;
        super::done()
    }),
    ("socket-option", option),
    ("unix-bind", |arguments| {
        let socket = socket("socket", libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
        act("bind", libc::SYS_bind, &socket, &unix(argument(arguments, 0, "/tmp/x")))?;
        call("listen", libc::SYS_listen, &[socket.as_raw_fd() as usize, 1])?;
        super::done()
    }),
];

/// Sets an option that leads a connection elsewhere; refused by what is in the value alone,
/// it would have gone through.
fn option(arguments: &[String]) -> Result {
    let mut label = [0u8; 32];
    // struct in6_flowlabel_req: IPV6_FL_A_GET, IPV6_FL_S_EXCL, IPV6_FL_F_CREATE, to ::1.
    (label[15], label[21], label[22]) = (1, 1, 1);
    // struct ipv6_sr_hdr: of four times eight bytes more, type 4, one segment left, and the
    // segments ::1 and ::2.
    let mut route = [0u8; 40];
    (route[1], route[2], route[3], route[4]) = (4, 4, 1, 1);
    (route[23], route[39]) = (1, 2);
    let index = 1u32.to_be_bytes();
    let (ip, own, ip6) = (0, 1, 41);
    let (family, level, option, value): (i32, usize, usize, &[u8]) = match argument(arguments, 0, "route-6") {
        // A loose source route by 127.0.0.2.
        "route-4" => (libc::AF_INET, ip, 4, &[131, 7, 4, 127, 0, 0, 2, 0]),
        "route-6" => (libc::AF_INET6, ip6, 57, &route),
        "route-6-high" => (libc::AF_INET6, super::first::HIGH | ip6, super::first::HIGH | 57, &route),
        // IPV6_2292PKTOPTIONS, empty: what it would bring is in control messages.
        "route-6-message" => (libc::AF_INET6, ip6, 6, &[]),
        "label" => (libc::AF_INET6, ip6, 32, &label),
        "interface-4" => (libc::AF_INET, ip, 50, &index),
        "interface-6" => (libc::AF_INET6, ip6, 76, &index),
        "interface-lasting" => (libc::AF_INET6, ip6, 50, &[0; 20]),
        _ => (libc::AF_INET, own, 25, b"lo\0"),
    };
    let socket = socket("socket", family, libc::SOCK_STREAM, 0)?;
    let words = [socket.as_raw_fd() as usize, level, option, value.as_ptr() as usize, value.len()];
    call("setsockopt", libc::SYS_setsockopt, &words)?;
    super::done()
}

const GOOD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const EVIL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const GOOD_PATH: &str = "/app/loot/good.sock";
const EVIL_PATH: &str = "/app/loot/evil.sock";
const LINK: &str = "/app/loot/link.sock";
/// Where one of two sockets stands by turns.
const AT: usize = 90;

/// struct sockaddr_un; the length of all is the same, so that only the memory changes.
fn unix(path: &str) -> Vec<u8> {
    let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    bytes.extend(path.as_bytes());
    bytes.push(0);
    bytes
}

fn act(step: &'static str, number: libc::c_long, socket: &OwnedFd, address: &[u8]) -> Result<()> {
    call(step, number, &[socket.as_raw_fd() as usize, address.as_ptr() as usize, address.len()])?;
    Ok(())
}

/// What a call reads, and what another thread makes of it meanwhile.
struct Memory(Vec<AtomicU8>);

impl Memory {
    fn put(&self, bytes: &[u8]) {
        self.0.iter().zip(bytes).for_each(|(to, from)| to.store(*from, Relaxed));
    }
}

fn race(arguments: &[String]) -> Result {
    let kind = argument(arguments, 0, "address").to_owned();
    let (tries, port) = (number(arguments, 1, 100), number(arguments, 2, 8080));
    let (good, evil) = match kind.as_str() {
        "path" => (unix(GOOD_PATH), unix(EVIL_PATH)),
        "link" => (unix(LINK), unix(LINK)),
        // What asks the kernel for addresses may be connected to the kernel.
        "descriptor" => {
            let mut netlink = (libc::AF_NETLINK as u16).to_ne_bytes().to_vec();
            netlink.resize(16, 0);
            (netlink, inet(EVIL, port).to_vec())
        }
        _ => (inet(GOOD, port).to_vec(), inet(EVIL, port).to_vec()),
    };
    let memory: Arc<Memory> = Arc::new(Memory((0..evil.len()).map(|_| AtomicU8::new(0)).collect()));
    memory.put(&good);
    let [begun, ended] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let changes = {
        let (memory, kind) = (Arc::clone(&memory), kind.clone());
        let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
        std::thread::spawn(move || change(&kind, &memory, [&good, &evil], &begun, &ended))
    };
    while !begun.load(Relaxed) {
        std::thread::yield_now();
    }
    let mut came: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..tries {
        let result = once(&kind, &memory);
        let word = match result {
            Ok(word) => word,
            Err(refused) => errno_name(refused.errno),
        };
        *came.entry(word).or_default() += 1;
    }
    ended.store(true, Relaxed);
    // A connection may have been made that was looked for in vain, since the descriptor
    // stood for the other one again.
    let raced = changes.join().ok().flatten();
    if let Some(Ok(word)) = raced.map(|tcp| peer(tcp.as_raw_fd() as usize, libc::SYS_getpeername))
        && word != "none"
    {
        *came.entry("evil".to_owned()).or_default() += 1;
    }
    let all: Vec<String> = came.into_iter().map(|(word, count)| format!("{word}: {count}")).collect();
    Ok(all.join(", "))
}

/// Makes the one of the other and back until the race has ended. It answers with the
/// socket that was never to be connected, if there was one.
fn change(
    kind: &str,
    memory: &Memory,
    [good, evil]: [&Vec<u8>; 2],
    begun: &AtomicBool,
    ended: &AtomicBool,
) -> Option<OwnedFd> {
    let mut turn = 0u32;
    let two = match kind {
        "descriptor" => {
            let netlink = socket("socket", libc::AF_NETLINK, libc::SOCK_RAW, 0);
            netlink.ok().zip(socket("socket", libc::AF_INET, libc::SOCK_STREAM, 0).ok())
        }
        _ => None,
    };
    while !ended.load(Relaxed) {
        turn = turn.wrapping_add(1);
        let is_evil = turn.is_multiple_of(2);
        match kind {
            "link" => {
                let target = if is_evil { EVIL_PATH } else { GOOD_PATH };
                let next = format!("{LINK}.{}", std::process::id());
                // The one or the other may fail when the folder is another's.
                drop(std::os::unix::fs::symlink(target, &next));
                drop(std::fs::rename(&next, LINK));
            }
            _ => memory.put(if is_evil { evil } else { good }),
        }
        if let Some((netlink, tcp)) = &two {
            let from = if is_evil { tcp.as_raw_fd() } else { netlink.as_raw_fd() };
            // dup3 refuses nothing here but two that are the same.
            drop(call("dup3", libc::SYS_dup3, &[from as usize, AT, libc::O_CLOEXEC as usize]));
        }
        begun.store(true, Relaxed);
        for _ in 0..turn % 64 * 8 {
            std::hint::spin_loop();
        }
    }
    two.map(|(_, tcp)| tcp)
}

/// One try: which of the two it came to.
fn once(kind: &str, memory: &Memory) -> Result {
    let (address, length) = (memory.0.as_ptr() as usize, memory.0.len());
    if kind == "descriptor" {
        call("connect", libc::SYS_connect, &[AT, address, length])?;
        return peer(AT, libc::SYS_getpeername);
    }
    let is_unix = matches!(kind, "path" | "link");
    let family = if is_unix { libc::AF_UNIX } else { libc::AF_INET };
    let socket = socket("socket", family, libc::SOCK_STREAM, 0)?;
    let at = socket.as_raw_fd() as usize;
    if kind == "bind" {
        call("bind", libc::SYS_bind, &[at, address, length])?;
        return peer(at, libc::SYS_getsockname);
    }
    // So that thousands leave nothing behind in the kernel.
    let linger = [1i32, 0];
    let words = [at, libc::SOL_SOCKET as usize, libc::SO_LINGER as usize, linger.as_ptr() as usize, 8];
    call("setsockopt", libc::SYS_setsockopt, &words)?;
    call("connect", libc::SYS_connect, &[at, address, length])?;
    peer(at, libc::SYS_getpeername)
}

/// The address that the kernel names.
fn peer(at: usize, number: libc::c_long) -> Result {
    let mut bytes = [0u8; 128];
    let mut length = bytes.len() as u32;
    let named = call("name", number, &[at, bytes.as_mut_ptr() as usize, &raw mut length as usize]);
    if let Err(Refused { errno: libc::ENOTCONN, .. }) = named {
        return Ok("none".to_owned());
    }
    named?;
    let bytes = &bytes[..length as usize];
    let family = i32::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
    let text = String::from_utf8_lossy(bytes);
    Ok(match family {
        libc::AF_INET if bytes[4..8] == EVIL.octets() => "evil",
        libc::AF_INET if bytes[4..8] == GOOD.octets() => "good",
        libc::AF_UNIX if text.contains("evil.sock") => "evil",
        libc::AF_UNIX if text.contains("good.sock") => "good",
        libc::AF_NETLINK => "netlink",
        _ => "elsewhere",
    }
    .to_owned())
}
