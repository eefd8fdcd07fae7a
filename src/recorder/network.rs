//! Addresses that sockets are bound, connected and sent to, and sockets that listen.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::errno::Errno;

use super::address::text;
use super::files::reaches_socket;
use super::{Recorder, result};
use crate::journal::observation::{Observation, What};
use crate::notify::caller::Caller;
use crate::notify::capabilities;
use crate::notify::handed::HandedItem;
use crate::notify::syscall_args::{AddressArgs, PathArg};
use crate::notify::unreadable::{UNREADABLE, unreadable};
use crate::policy::call::Call;
use crate::policy::network::{Address, Direction, Protocol};
use crate::procfs::{link_to, net};
use crate::readiness::listening;

/// The most sockets that are remembered; beyond it the oldest are forgotten.
const SOCKETS: usize = 1024;

impl Recorder {
    /// bind, connect, and sendto with an address.
    pub(super) fn address(&mut self, call: &Call, caller: &Caller) -> Vec<Observation> {
        let Some(args) = AddressArgs::decode(call) else { return Vec::new() };
        let binds = args.direction == Direction::Listen;
        let read = args.read(&self.memory_of(caller)).and_then(|bytes| Address::read(&bytes));
        let Ok(mut address) = read else { return Vec::new() };
        let protocol = self.protocol(caller, args.fd);
        let mut errno = None;
        let mut more = Vec::new();
        let mut made = None;
        match &address {
            // Of the kernel's choice: for UDP there is no rule.
            Address::Port(_, 0) if binds && protocol != Protocol::Tcp => return Vec::new(),
            Address::Port(_, port) if binds => {
                if *port != 0 && !self.bound.contains(port) && self.bound.len() < SOCKETS {
                    self.bound.push(*port);
                }
                if let Some(capability) = capabilities::bind(*port, self.first_port) {
                    more.push(self.needed(caller, call, capability));
                    errno = (!capabilities::has(caller, capability)).then_some(Errno::EACCES);
                }
            }
            // A connect to port 0 needs no rule.
            Address::Port(_, 0) => return Vec::new(),
            // The supervisor's own socket, which needs no rule.
            Address::UnixOther(name)
                if self.notify_socket.as_ref().is_some_and(|notify_socket| notify_socket.is_named(name)) =>
            {
                return Vec::new();
            }
            Address::UnixPath(path) => {
                let at = PathArg::here(OsStr::from_bytes(path).as_ref());
                match self.resolver().find(caller, &at, !binds) {
                    Ok(found) => {
                        let there = found.target.is_some();
                        errno = match (binds, there) {
                            (true, true) => Some(Errno::EADDRINUSE),
                            (false, false) => Some(Errno::ENOENT),
                            _ => {
                                let prediction = reaches_socket(caller, &found, binds);
                                let needs = prediction.needs.into_iter();
                                more.extend(needs.map(|one| self.needed(caller, call, one)));
                                prediction.errno
                            }
                        };
                        address = Address::UnixPath(found.canonical.as_os_str().as_bytes().to_vec());
                        made = binds.then_some(found.canonical);
                    }
                    Err(why) => errno = Some(why),
                }
            }
            _ => {}
        }
        let Some(text) = text(&address, protocol) else { return more };
        let program = self.program(caller);
        let what = match binds {
            true => What::Listen { program: program.clone(), address: text },
            false => What::Connect { program: program.clone(), address: text },
        };
        let mut all = vec![Observation { what, result: result(errno) }];
        if let Some(path) = made.and_then(|path| path.to_str().map(str::to_owned)) {
            let of = self.mounts.of(&path);
            let what =
                What::Change { program, op: "bind".into(), path, to: String::new(), of, directory: false };
            all.push(Observation { what, result: result(errno) });
        }
        all.append(&mut more);
        all
    }

    /// The protocol of a socket, which sockfs reports as an extended attribute.
    fn protocol(&self, caller: &Caller, fd: i32) -> Protocol {
        let path = PathBuf::from(format!("/proc/{}/fd/{fd}", caller.tid));
        let read = || crate::sys::process::socket_protocol(&path).map_err(unreadable);
        let name = self.identity.with_caller_fsids(caller, read).or_else(|errno| {
            let handed = caller.handed.as_ref().filter(|_| errno == UNREADABLE).ok_or(errno)?;
            let socket = handed.descriptor(HandedItem::Descriptor(fd))?;
            let ours = PathBuf::from(link_to(&socket));
            crate::sys::process::socket_protocol(&ours)
        });
        name.map_or(Protocol::Other, |name| Protocol::of(&name))
    }

    /// Remembers the inode of a socket that is about to listen.
    pub(super) fn listen(&mut self, call: &Call, caller: &Caller) {
        let fd = call.args[0] as i32;
        let path = PathBuf::from(format!("/proc/{}/fd/{fd}", caller.tid));
        let read = || nix::fcntl::readlink(&path).map_err(unreadable);
        let link = self.identity.with_caller_fsids(caller, read).or_else(|errno| {
            let handed = caller.handed.as_ref().filter(|_| errno == UNREADABLE).ok_or(errno)?;
            handed.name(HandedItem::Descriptor(fd)).map(PathBuf::into_os_string)
        });
        let inode = link.ok().and_then(|link| {
            let name = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned();
            name.parse().ok()
        });
        if let Some(inode) = inode.filter(|inode| !self.sockets.contains(inode)) {
            if self.sockets.len() >= SOCKETS {
                self.sockets.remove(0);
            }
            self.sockets.push(inode);
        }
    }
}

/// Whether one of these sockets listens on this TCP port.
pub(super) fn listens_on(sockets: &[u64], port: u16) -> bool {
    ["tcp", "tcp6"].into_iter().any(|list| {
        let text = net::read(list);
        let own =
            |one: net::Internet| one.state == net::LISTEN && one.port == port && sockets.contains(&one.inode);
        net::internet(&text).any(own)
    })
}

/// Whether one of these sockets listens, by the tables of /proc/net in this network namespace.
pub(super) fn listens(sockets: &[u64]) -> bool {
    if sockets.is_empty() {
        return false;
    }
    let listening = listening::inodes();
    sockets.iter().any(|socket| listening.contains(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_this_process_is_found_by_its_inode() {
        use std::os::fd::AsRawFd;
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).expect("its link");
        let text = link.to_string_lossy().into_owned();
        let inode = text.trim_start_matches("socket:[").trim_end_matches(']').parse().expect("a number");
        assert!(listens(&[inode]));
        drop(socket);
        assert!(!listens(&[inode]));
        assert!(!listens(&[]));
    }
}
