//! Sockets: listening, connecting, and the ways round a rule on ports.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use super::{Result, argument, done, number};
use crate::syscall::{call, own};

/// `bind PORT`, `connect ADDRESS PORT`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("bind", bind),
    ("listen-unbound", listen_unbound),
    ("connect", connect),
    ("connect-fastopen", fast_open),
    ("mptcp", mptcp),
    ("udp", udp),
    ("unix-connect", unix_connect),
    ("raw-socket", |_| {
        socket("socket", libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP).and_then(|_| done())
    }),
    ("packet-socket", |_| socket("socket", libc::AF_PACKET, libc::SOCK_RAW, 0x0300).and_then(|_| done())),
    ("netlink", |_| {
        socket("socket", libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_KOBJECT_UEVENT).and_then(|_| done())
    }),
];

/// `IPPROTO_MPTCP` (linux/in.h).
const MPTCP: i32 = 262;

pub(super) fn socket(step: &'static str, domain: i32, kind: i32, protocol: i32) -> Result<OwnedFd> {
    let kind = (kind | libc::SOCK_CLOEXEC) as usize;
    call(step, libc::SYS_socket, &[domain as usize, kind, protocol as usize]).map(own)
}

fn tcp() -> Result<OwnedFd> {
    socket("socket", libc::AF_INET, libc::SOCK_STREAM, 0)
}

/// struct sockaddr_in.
pub(super) fn inet(address: Ipv4Addr, port: i64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    bytes[2..4].copy_from_slice(&(port as u16).to_be_bytes());
    bytes[4..8].copy_from_slice(&address.octets());
    bytes
}

fn target(arguments: &[String]) -> [u8; 16] {
    let address = argument(arguments, 0, "127.0.0.1").parse().unwrap_or(Ipv4Addr::LOCALHOST);
    inet(address, number(arguments, 1, 9))
}

fn bind_to(socket: &OwnedFd, port: i64) -> Result<()> {
    let address = inet(Ipv4Addr::UNSPECIFIED, port);
    call("bind", libc::SYS_bind, &[socket.as_raw_fd() as usize, address.as_ptr() as usize, address.len()])?;
    Ok(())
}

fn connect_to(socket: &OwnedFd, address: &[u8]) -> Result<()> {
    call(
        "connect",
        libc::SYS_connect,
        &[socket.as_raw_fd() as usize, address.as_ptr() as usize, address.len()],
    )?;
    Ok(())
}

fn bind(arguments: &[String]) -> Result {
    bind_to(&tcp()?, number(arguments, 0, 4444))?;
    done()
}

/// The kernel chooses a port for a socket that listens without a bind.
fn listen_unbound(_: &[String]) -> Result {
    let socket = tcp()?;
    call("listen", libc::SYS_listen, &[socket.as_raw_fd() as usize, 1])?;
    done()
}

fn connect(arguments: &[String]) -> Result {
    connect_to(&tcp()?, &target(arguments))?;
    done()
}

/// Connects by sending, with no connect.
fn fast_open(arguments: &[String]) -> Result {
    let socket = tcp()?;
    let address = target(arguments);
    let text = b"GET / HTTP/1.0\r\n\r\n";
    call(
        "sendto",
        libc::SYS_sendto,
        &[
            socket.as_raw_fd() as usize,
            text.as_ptr() as usize,
            text.len(),
            libc::MSG_FASTOPEN as usize,
            address.as_ptr() as usize,
            address.len(),
        ],
    )?;
    done()
}

/// Landlock's TCP rules do not see these sockets.
fn mptcp(arguments: &[String]) -> Result {
    let socket = socket("socket", libc::AF_INET, libc::SOCK_STREAM, MPTCP)?;
    connect_to(&socket, &target(arguments))?;
    done()
}

fn udp(arguments: &[String]) -> Result {
    let socket = socket("socket", libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let address = target(arguments);
    call(
        "sendto",
        libc::SYS_sendto,
        &[
            socket.as_raw_fd() as usize,
            b"x".as_ptr() as usize,
            1,
            0,
            address.as_ptr() as usize,
            address.len(),
        ],
    )?;
    done()
}

fn unix_connect(arguments: &[String]) -> Result {
    let socket = socket("socket", libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
    let name = argument(arguments, 0, "/run/docker.sock").as_bytes();
    let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    address.extend(name);
    address.push(0);
    connect_to(&socket, &address)?;
    done()
}
