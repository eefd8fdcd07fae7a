//! Sockets that the supervisor has made for the app, and of which it holds a copy until
//! their fate is sealed: until they listen, or are connected for good.
//!
//! A socket is found by its inode, which the kernel tells of the caller's descriptor.
//! Whatever another thread puts in that descriptor's place meanwhile: what is bound and
//! connected is the socket that was found, to the address that was judged.
//!
//! A copy keeps a socket open that the app has closed. That shows in nothing while it is
//! not connected, but for a port that it has taken; so where one is taken, and where many
//! are held, those that nobody else has any more are let go.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::stat::fstat;

use super::caller::{Caller, Identity};
use super::descendants;

/// From so many on it is looked which ones are still somebody's.
const FEW: usize = 64;
/// Never more than this.
const MOST: usize = 768;

/// What a socket is, as far as it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// AF_UNIX that is connected once: a stream, or packets in sequence.
    Unix,
    /// AF_UNIX datagrams, and what only asks the kernel (netlink).
    Other,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Socket {
    /// The copy.
    pub fd: Arc<OwnedFd>,
    /// Its inode.
    pub inode: u64,
    /// What it is.
    pub kind: Kind,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Held {
    sockets: HashMap<u64, Socket>,
    /// Those that listen, of which no copy is needed any more.
    listening: HashSet<u64>,
    /// Those that are held and were bound here, to what was judged.
    bound: HashSet<u64>,
    /// At so many it is looked again.
    next: usize,
}

impl Held {
    /// Holds a new socket.
    ///
    /// # Errors
    /// EMFILE where the app has too many that are neither connected nor listening.
    pub fn hold(&mut self, fd: OwnedFd, kind: Kind, identity: &Identity) -> Result<Socket, Errno> {
        let many = self.sockets.len();
        if many >= self.next.max(FEW) || many >= MOST {
            self.forget_closed(identity);
            self.next = self.sockets.len() * 2;
        }
        if self.sockets.len() >= MOST {
            return Err(Errno::EMFILE);
        }
        let socket = Socket { inode: fstat(fd.as_fd())?.st_ino, fd: Arc::new(fd), kind };
        // The number may have been another's, which is closed.
        self.listening.remove(&socket.inode);
        self.bound.remove(&socket.inode);
        self.sockets.insert(socket.inode, socket.clone());
        Ok(socket)
    }

    /// The socket with this inode.
    pub fn of(&self, inode: u64) -> Option<Socket> {
        self.sockets.get(&inode).cloned()
    }

    /// It was bound, to an address that was judged. The kernel keeps what was asked of it
    /// for as long as the socket is there, whatever becomes of a connection
    /// (SOCK_BINDADDR_LOCK, SOCK_BINDPORT_LOCK); a port that a connect took it frees again.
    pub fn binds(&mut self, inode: u64) {
        self.bound.insert(inode);
    }

    /// Whether it was bound to an address that was judged.
    pub fn is_bound(&self, inode: u64) -> bool {
        self.bound.contains(&inode)
    }

    /// It is connected for good.
    pub fn let_go(&mut self, inode: u64) {
        self.sockets.remove(&inode);
        self.bound.remove(&inode);
    }

    /// It listens.
    pub fn listens(&mut self, inode: u64) {
        self.let_go(inode);
        self.listening.insert(inode);
    }

    /// Whether it was let listen.
    pub fn has_listened(&self, inode: u64) -> bool {
        self.listening.contains(&inode)
    }

    /// Lets those go that no process of the app has any more. Where one cannot be looked
    /// into, it may have any of them.
    pub fn forget_closed(&mut self, identity: &Identity) {
        let Some(open) = open_in_all(identity) else { return };
        self.sockets.retain(|inode, _| open.contains(inode));
        self.listening.retain(|inode| open.contains(inode));
        self.bound.retain(|inode| open.contains(inode));
    }
}

/// The sockets that the supervisor's descendants have open; none where that is not known
/// of all of them.
fn open_in_all(identity: &Identity) -> Option<HashSet<u64>> {
    let mut open = HashSet::new();
    for process in descendants::all(std::process::id() as i32).ok()? {
        if process.state == 'Z' {
            // Its first thread has nothing any more, and its others may have all.
            for tid in threads(process.pid)?.into_iter().filter(|tid| *tid != process.pid) {
                open.extend(open_in(tid, identity)?);
            }
        } else {
            open.extend(open_in(process.pid, identity)?);
        }
    }
    Some(open)
}

/// The sockets that a thread has open, none once it has ended.
fn open_in(tid: i32, identity: &Identity) -> Option<Vec<u64>> {
    let folder = PathBuf::from(format!("/proc/{tid}/fd"));
    let found = Caller::of(tid).and_then(|thread| {
        identity.look_as_caller(&thread, || {
            let entries = std::fs::read_dir(&folder).map_err(|error| crate::sys::errno(&error))?;
            let links = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
            Ok(links.filter_map(|link| inode_of(&link)).collect())
        })
    });
    unless_ended(found)
}

fn threads(pid: i32) -> Option<Vec<i32>> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| crate::sys::errno(&error));
    unless_ended(entries.map(|entries| {
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }))
}

/// Nothing of what has ended meanwhile; `None` where it is not known.
fn unless_ended<T: Default>(found: Result<T, Errno>) -> Option<T> {
    match found {
        Err(Errno::ENOENT | Errno::ESRCH) => Some(T::default()),
        found => found.ok(),
    }
}

/// The inode of what a descriptor leads to, where that is a socket.
pub fn inode_of(link: &std::path::Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

    use super::*;

    fn tcp() -> OwnedFd {
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket")
    }

    #[test]
    fn a_socket_is_found_until_its_fate_is_sealed() {
        let identity = Identity::own().expect("own ids");
        let mut held = Held::default();
        let [one, two] = [(); 2].map(|()| held.hold(tcp(), Kind::Tcp, &identity).expect("held"));
        assert_eq!(held.of(one.inode).map(|socket| socket.inode), Some(one.inode));
        held.let_go(one.inode);
        assert!(held.of(one.inode).is_none() && !held.has_listened(one.inode));
        held.binds(two.inode);
        assert!(held.is_bound(two.inode) && !held.is_bound(one.inode));
        held.listens(two.inode);
        assert!(held.of(two.inode).is_none() && held.has_listened(two.inode) && !held.is_bound(two.inode));
    }

    #[test]
    fn what_nobody_has_any_more_is_let_go() {
        let identity = Identity::own().expect("own ids");
        let mut held = Held::default();
        // This process has no descendant that has them.
        for _ in 0..FEW * 3 {
            held.hold(tcp(), Kind::Tcp, &identity).expect("held");
        }
        assert!(held.sockets.len() <= FEW, "{}", held.sockets.len());
        // At the limit it is looked, however many there were when it was last.
        let one = Arc::new(tcp());
        for inode in 0..MOST as u64 {
            held.sockets.insert(inode, Socket { fd: Arc::clone(&one), inode, kind: Kind::Tcp });
        }
        held.binds(7);
        held.next = MOST * 2;
        held.hold(tcp(), Kind::Tcp, &identity).expect("held");
        assert!(held.sockets.len() == 1 && !held.is_bound(7));
        assert_eq!(inode_of(std::path::Path::new("socket:[17]")), Some(17));
        assert_eq!(inode_of(std::path::Path::new("pipe:[17]")), None);
    }
}
