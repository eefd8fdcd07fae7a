//! What programs do to themselves and ask of the kernel at each start, and the same done to
//! the first process.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use super::network::{inet, socket};
use super::{Result, argument, done, number};
use crate::syscall::{Refused, call, errno_name, own, path};

/// `own-limits`, `group-priority WHICH`, `socket FAMILY TYPE PROTOCOL`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("own-limits", own_limits),
    ("own-priority", own_priority),
    ("own-scheduler", own_scheduler),
    ("own-disk", |_| {
        // IOPRIO_WHO_PROCESS and IOPRIO_WHO_PGRP; IOPRIO_CLASS_BE, 7.
        lead()?;
        for (which, target) in [(1, pid()?), (2, 0), (2, pid()?)] {
            call("ioprio_set", libc::SYS_ioprio_set, &[which, target, 2 << 13 | 7])?;
        }
        done()
    }),
    ("group-priority", |arguments| {
        lead()?;
        let target = number(arguments, 0, 0) as usize;
        // PRIO_PGRP.
        call("setpriority", libc::SYS_setpriority, &[1, target, 19]).and_then(|_| done())
    }),
    ("join-group", |arguments| {
        call("setpgid", libc::SYS_setpgid, &[0, number(arguments, 0, 1) as usize]).and_then(|_| done())
    }),
    ("core-limit", core_limit),
    ("write-own", |arguments| {
        let name = path(&format!("/proc/{}", argument(arguments, 0, "self/oom_score_adj")));
        let words = [libc::AT_FDCWD as usize, name.as_ptr() as usize, libc::O_RDWR as usize];
        let fd = call("openat", libc::SYS_openat, &words)?;
        let text = argument(arguments, 1, "");
        if !text.is_empty() {
            call("write", libc::SYS_write, &[fd, text.as_ptr() as usize, text.len()])?;
        }
        done()
    }),
    ("socket", |arguments| {
        let [family, kind, protocol] = [0, 1, 2].map(|at| number(arguments, at, 0) as i32);
        socket("socket", family, kind, protocol).and_then(|_| done())
    }),
    ("persona", |arguments| {
        let persona = number(arguments, 0, 0) as usize;
        call("personality", libc::SYS_personality, &[persona]).map(|old| format!("{old:#x}"))
    }),
    ("ask-mdwe", |_| call("prctl", libc::SYS_prctl, &[66, 0, 0, 0, 0]).and_then(|_| done())),
    ("adjtimex", |arguments| {
        // struct timex, of which the first word is the modes; ADJ_TICK (0x4000) sets a tick.
        let mut timex = [0u64; 32];
        timex[0] = number(arguments, 0, 0) as u64;
        call("adjtimex", libc::SYS_adjtimex, &[timex.as_mut_ptr() as usize]).and_then(|_| done())
    }),
    ("pair", pair),
    ("connect-again", connect_again),
    ("connect-and-close", connect_and_close),
    ("connect-elsewhere", connect_elsewhere),
];

fn pid() -> Result<usize> {
    call("getpid", libc::SYS_getpid, &[])
}

/// Leads a group of its own.
fn lead() -> Result<()> {
    call("setpgid", libc::SYS_setpgid, &[0, 0]).map(drop)
}

fn own_limits(_: &[String]) -> Result {
    let limit: [u64; 2] = [100, 100];
    let words = [pid()?, libc::RLIMIT_NOFILE as usize, limit.as_ptr() as usize, 0];
    call("prlimit64", libc::SYS_prlimit64, &words)?;
    done()
}

fn own_priority(_: &[String]) -> Result {
    lead()?;
    // PRIO_PROCESS and PRIO_PGRP, by number and by 0.
    for (which, target) in [(0, 0), (0, pid()?), (1, 0), (1, pid()?)] {
        call("setpriority", libc::SYS_setpriority, &[which, target, 5])?;
    }
    done()
}

fn own_scheduler(_: &[String]) -> Result {
    let priority = 0i32;
    let words = [pid()?, libc::SCHED_BATCH as usize, &raw const priority as usize];
    call("sched_setscheduler", libc::SYS_sched_setscheduler, &words)?;
    let first = [1u64];
    call("sched_setaffinity", libc::SYS_sched_setaffinity, &[pid()?, 8, first.as_ptr() as usize])?;
    done()
}

/// `ulimit -c` to what the hard limit is; answers with it.
fn core_limit(_: &[String]) -> Result {
    let core = libc::RLIMIT_CORE as usize;
    let mut limit: [u64; 2] = [0; 2];
    call("prlimit64", libc::SYS_prlimit64, &[0, core, 0, limit.as_mut_ptr() as usize])?;
    let raised = [limit[1], limit[1]];
    call("prlimit64", libc::SYS_prlimit64, &[0, core, raised.as_ptr() as usize, 0])?;
    Ok(limit[1].to_string())
}

/// The calls that a shell makes of the sockets on its standard descriptors, and Node of the
/// pairs to its children.
fn pair(_: &[String]) -> Result {
    let mut ends = [0i32; 2];
    let words = [libc::AF_UNIX as usize, libc::SOCK_STREAM as usize, 0, ends.as_mut_ptr() as usize];
    call("socketpair", libc::SYS_socketpair, &words)?;
    let end = ends[0] as usize;
    let (mut name, mut length) = ([0u8; 128], 128u32);
    let out = [end, name.as_mut_ptr() as usize, &raw mut length as usize];
    call("getpeername", libc::SYS_getpeername, &out)?;
    call("getsockname", libc::SYS_getsockname, &out)?;
    let mut value = 4096u32;
    let mut size = 4u32;
    let at = &raw mut value as usize;
    let (level, buffer) = (libc::SOL_SOCKET as usize, libc::SO_SNDBUF as usize);
    call("setsockopt", libc::SYS_setsockopt, &[end, level, buffer, at, 4])?;
    call("getsockopt", libc::SYS_getsockopt, &[end, level, buffer, at, &raw mut size as usize])?;
    call("shutdown", libc::SYS_shutdown, &[end, libc::SHUT_WR as usize])?;
    done()
}

/// Connects without waiting, waits, and connects twice more, the last time to ADDRESS: the errno
/// of each.
fn connect_again(arguments: &[String]) -> Result {
    let socket = socket("socket", libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
    let last = argument(arguments, 0, "127.0.0.1").parse().unwrap_or(Ipv4Addr::LOCALHOST);
    let connect = |address: Ipv4Addr| {
        let bytes = inet(address, 8080);
        let words = [socket.as_raw_fd() as usize, bytes.as_ptr() as usize, bytes.len()];
        match call("connect", libc::SYS_connect, &words) {
            Ok(_) => "0".to_owned(),
            Err(Refused { errno, .. }) => errno_name(errno),
        }
    };
    let first = connect(Ipv4Addr::LOCALHOST);
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    call("ppoll", libc::SYS_ppoll, &[&raw mut poll as usize, 1, 0, 0])?;
    let second = connect(Ipv4Addr::LOCALHOST);
    Ok(format!("{first} {second} {}", connect(last)))
}

/// Connects to itself without waiting, and closes that end as soon as it is connected: whether the
/// other end sees it.
fn connect_and_close(_: &[String]) -> Result {
    let patience = libc::timespec { tv_sec: 5, tv_nsec: 0 };
    let listener = socket("socket", libc::AF_INET, libc::SOCK_STREAM, 0)?;
    let one = 1u32;
    let reuse = [libc::SOL_SOCKET as usize, libc::SO_REUSEADDR as usize, &raw const one as usize, 4];
    let at = listener.as_raw_fd() as usize;
    call("setsockopt", libc::SYS_setsockopt, &[&[at][..], &reuse].concat())?;
    let address = inet(Ipv4Addr::LOCALHOST, 7070);
    let name = [address.as_ptr() as usize, address.len()];
    call("bind", libc::SYS_bind, &[&[at][..], &name].concat())?;
    call("listen", libc::SYS_listen, &[at, 1])?;
    let client = socket("socket", libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
    match call("connect", libc::SYS_connect, &[&[client.as_raw_fd() as usize][..], &name].concat()) {
        Err(Refused { errno: libc::EINPROGRESS, .. }) | Ok(_) => {}
        Err(refused) => return Err(refused),
    }
    let server = own(call("accept4", libc::SYS_accept4, &[at, 0, 0, 0])?);
    drop(client);
    let mut poll = libc::pollfd { fd: server.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let came = call("ppoll", libc::SYS_ppoll, &[&raw mut poll as usize, 1, &raw const patience as usize, 0])?;
    Ok(if came == 1 { "closed" } else { "open" }.to_owned())
}

/// Connects, dissolves the connection (AF_UNSPEC), and connects to another address: to which.
fn connect_elsewhere(_: &[String]) -> Result {
    let socket = socket("socket", libc::AF_INET, libc::SOCK_STREAM, 0)?;
    let at = socket.as_raw_fd() as usize;
    let connect = |address: &[u8; 16]| {
        call("connect", libc::SYS_connect, &[at, address.as_ptr() as usize, address.len()]).map(drop)
    };
    connect(&inet(Ipv4Addr::LOCALHOST, 8080))?;
    connect(&[0; 16])?;
    connect(&inet(Ipv4Addr::new(127, 0, 0, 2), 8080))?;
    let (mut name, mut length) = ([0u8; 16], 16u32);
    let words = [at, name.as_mut_ptr() as usize, &raw mut length as usize];
    call("getpeername", libc::SYS_getpeername, &words)?;
    Ok(Ipv4Addr::new(name[4], name[5], name[6], name[7]).to_string())
}
