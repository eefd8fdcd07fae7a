//! Sockets that the supervisor has made for the app. It has a copy of each until no call on it has
//! to be decided any more: until it listens, or is connected (see [`connections`]).
//!
//! A socket is found by its inode, which /proc shows for the caller's descriptor. Another thread may
//! replace that descriptor meanwhile: what is bound and connected is the socket that was found, to
//! the address that was checked.
//!
//! With its copy, a socket stays open that the app has closed. No kernel interface shows how many
//! descriptors lead to a socket, so the copies are compared with `/proc/PID/fd` of every
//! process when there are many of them. A process that cannot be read (one that changed its
//! user without an exec, or made itself undumpable) may have any of them. What is known of
//! the copies then is their [`SocketState`]: descriptors are the lowest free number, so a number
//! that is handed to the same process once more was closed there.

pub mod connections;
mod open_sockets;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::stat::fstat;

use self::open_sockets::{OpenSockets, SocketState};
use crate::ids::{Pid, StartTime};
use crate::notify::caller::Identity;
use crate::policy::network::SocketKind;
use crate::procfs::stat::started;
use crate::readiness::listening;
use crate::sys::process;
use connections::Connections;

/// From so many copies on `/proc` is read to find out which are closed.
const FEW: usize = 64;
/// From so many on copies are closed that are only likely to be closed by the app.
const MANY: usize = 512;
/// The most copies where nothing is known of the limit on descriptors.
const MOST: usize = 768;
/// The most copies, whatever the limit on descriptors.
const CEILING: usize = 8192;
/// So many descriptors are left for everything else.
const RESERVE: u64 = 256;
/// Where all are open, /proc is read again only after so many times as long as that took.
const PAUSE: u32 = 10;
/// From so many listening sockets on the kernel's list is read for those that are closed.
const LISTENERS: usize = 1024;

/// A registered socket.
#[derive(Clone, Debug)]
pub struct Socket {
    /// The supervisor's descriptor of it.
    pub fd: Arc<OwnedFd>,
    /// Its inode in sockfs.
    pub inode: u64,
    /// Its protocol, or its address family.
    pub kind: SocketKind,
}

/// A copy, and what shows whether the app still has the socket open.
#[derive(Debug)]
struct RegistryEntry {
    socket: Socket,
    /// It was bound by the supervisor, to a checked address.
    bound: bool,
    /// The process that it was made for.
    maker: Pid,
    /// When it was made, in clock ticks since boot, as the start of a process.
    made: StartTime,
    /// How many sockets were made before.
    turn: u64,
    /// The descriptor that the maker got.
    number: Option<i32>,
    /// The maker got this number once more.
    replaced: bool,
}

/// All sockets of which there is a copy, and those that listen.
#[derive(Debug)]
pub struct SocketRegistry {
    sockets: HashMap<u64, RegistryEntry>,
    /// The socket that a process got by this number last.
    numbers: HashMap<(Pid, i32), u64>,
    /// Those that listen, of which no copy is needed any more.
    listening: HashSet<u64>,
    connections: Connections,
    /// At so many listening ones the closed are forgotten.
    next_listening: usize,
    /// At so many copies `/proc` is read again.
    next: usize,
    most: usize,
    turn: u64,
    /// Until then no room is made where there was none.
    full: Option<Instant>,
}

impl Default for SocketRegistry {
    fn default() -> SocketRegistry {
        SocketRegistry {
            sockets: HashMap::new(),
            numbers: HashMap::new(),
            listening: HashSet::new(),
            connections: Connections::default(),
            next_listening: LISTENERS,
            next: FEW,
            most: MOST,
            turn: 0,
            full: None,
        }
    }
}

impl SocketRegistry {
    /// Lets as many copies be made as this limit on descriptors (RLIMIT_NOFILE) leaves room
    /// for.
    pub fn limit(&mut self, descriptors: u64) {
        let room = usize::try_from(descriptors.saturating_sub(RESERVE)).unwrap_or(CEILING);
        self.most = room.clamp(FEW, CEILING);
    }

    /// Registers a copy of a new socket, which is for the process `maker`.
    ///
    /// # Errors
    /// EMFILE where the app has too many open that are neither connected nor listening.
    pub fn register(
        &mut self,
        fd: OwnedFd,
        kind: SocketKind,
        maker: Pid,
        identity: &Identity,
    ) -> Result<Socket, Errno> {
        let is_full = self.sockets.len() >= self.most;
        if is_full || self.sockets.len() >= self.next {
            let begun = Instant::now();
            if is_full && self.full.is_some_and(|until| begun < until) {
                return Err(Errno::EMFILE);
            }
            self.make_room(OpenSockets::now(identity).as_ref());
            if self.sockets.len() >= self.most {
                let now = Instant::now();
                self.full = Some(now + now.duration_since(begun) * PAUSE);
                return Err(Errno::EMFILE);
            }
        }
        let socket = Socket { inode: fstat(fd.as_fd())?.st_ino, fd: Arc::new(fd), kind };
        // The inode number may have been that of another socket, which is closed.
        self.release(socket.inode);
        self.listening.remove(&socket.inode);
        self.connections.forget(socket.inode);
        self.turn += 1;
        let copy = RegistryEntry {
            socket: socket.clone(),
            bound: false,
            maker,
            made: StartTime::from_raw(process::ticks_since_boot()),
            turn: self.turn,
            number: None,
            replaced: false,
        };
        self.sockets.insert(socket.inode, copy);
        Ok(socket)
    }

    /// A process got a descriptor with this number, of one of the sockets or of something
    /// else: what had the number before is closed there.
    pub fn installed(&mut self, socket: Option<u64>, process: Pid, number: i32) {
        // No number is remembered for longer than its copy.
        let socket = socket.filter(|inode| self.sockets.contains_key(inode));
        let before = match socket {
            Some(inode) => self.numbers.insert((process, number), inode),
            None if self.numbers.is_empty() => None,
            None => self.numbers.remove(&(process, number)),
        };
        if let Some(copy) = before.and_then(|inode| self.sockets.get_mut(&inode)) {
            copy.replaced = true;
        }
        if let Some(copy) = socket.and_then(|inode| self.sockets.get_mut(&inode)) {
            (copy.number, copy.replaced) = (Some(number), false);
        }
    }

    /// The socket with this inode.
    pub fn of(&self, inode: u64) -> Option<Socket> {
        self.sockets.get(&inode).map(|copy| copy.socket.clone())
    }

    /// The socket that a process got by this number, for a process whose descriptors cannot
    /// be read. Where it has put something else there itself, the call is still made on
    /// nothing but a socket of its own.
    pub fn installed_as(&self, process: Pid, number: i32) -> Option<Socket> {
        let copy = self.sockets.get(self.numbers.get(&(process, number))?)?;
        // Not where another process has the pid by now.
        (started(process)? <= copy.made).then(|| copy.socket.clone())
    }

    /// It was bound to an address that was checked. The kernel does not change that address while
    /// the socket exists, also after a connection (SOCK_BINDADDR_LOCK, SOCK_BINDPORT_LOCK); a port
    /// that a connect took it frees again.
    pub fn binds(&mut self, inode: u64) {
        if let Some(copy) = self.sockets.get_mut(&inode) {
            copy.bound = true;
        }
    }

    /// Whether it was bound to an address that was checked.
    pub fn is_bound(&self, inode: u64) -> bool {
        self.sockets.get(&inode).is_some_and(|copy| copy.bound)
    }

    /// No copy of it is needed any more.
    pub fn release(&mut self, inode: u64) {
        let Some(copy) = self.sockets.remove(&inode) else { return };
        self.connections.unwatch(&copy.socket);
        let slot = copy.number.map(|number| (copy.maker, number));
        if let Some(slot) = slot.filter(|slot| self.numbers.get(slot) == Some(&inode)) {
            self.numbers.remove(&slot);
        }
    }

    /// It listens. Returns the listening sockets, once there are so many that the
    /// closed ones have to be [forgotten](SocketRegistry::forget_listening).
    pub fn listens(&mut self, inode: u64) -> Option<Vec<u64>> {
        self.release(inode);
        self.listening.insert(inode);
        if self.listening.len() < self.next_listening {
            return None;
        }
        self.next_listening = self.listening.len() * 2;
        Some(self.listening.iter().copied().collect())
    }

    /// Of these listening sockets those are forgotten that the kernel does not list, read
    /// after they were listed here.
    pub fn forget_listening(&mut self, candidates: &[u64], listed: &HashSet<u64>) {
        for inode in candidates.iter().filter(|inode| !listed.contains(inode)) {
            self.listening.remove(inode);
        }
        self.listening.shrink_to(LISTENERS);
        self.next_listening = (self.listening.len() * 2).max(LISTENERS);
    }

    /// Whether it listens, through the supervisor.
    pub fn has_listened(&self, inode: u64) -> bool {
        self.listening.contains(&inode)
    }

    /// An address is taken, perhaps by a socket that the app has closed: the copies of such
    /// are closed.
    pub fn free_addresses(&mut self, identity: &Identity) {
        let Some(open) = OpenSockets::now(identity) else { return };
        self.forget(|copy| {
            open.fate(copy) >= if copy.bound { SocketState::Perhaps } else { SocketState::Closed }
        });
    }

    /// Closes what the app has closed: as much as there is reason for, the more copies there
    /// are. `open` is what is known of all processes.
    fn make_room(&mut self, open: Option<&OpenSockets>) {
        if let Some(open) = open {
            self.forget(|copy| open.fate(copy) == SocketState::Closed);
            for least in [SocketState::Likely, SocketState::Perhaps] {
                if self.sockets.len() >= MANY.min(self.most * 3 / 4) {
                    self.forget(|copy| open.fate(copy) >= least);
                }
            }
        }
        if self.sockets.len() >= self.most {
            self.connections.connecting().into_iter().for_each(|inode| self.release(inode));
        }
        if self.sockets.len() >= self.most {
            // The oldest of which nothing is known: to bind or connect one that is still
            // used is refused from then on.
            let unknown =
                |copy: &RegistryEntry| open.is_none_or(|open| open.fate(copy) == SocketState::Unknown);
            let mut turns = BTreeSet::new();
            turns.extend(self.sockets.values().filter(|copy| unknown(copy)).map(|copy| copy.turn));
            if let Some(last) = turns.iter().nth(self.most / 8).or(turns.last()).copied() {
                tracing::debug!("sockets of processes that cannot be read are closed");
                self.forget(|copy| unknown(copy) && copy.turn <= last);
            }
        }
        self.next = (self.sockets.len() * 2).max(FEW);
    }

    fn forget(&mut self, which: impl Fn(&RegistryEntry) -> bool) {
        let gone: Vec<u64> =
            self.sockets.iter().filter(|(_, copy)| which(copy)).map(|(inode, _)| *inode).collect();
        gone.into_iter().for_each(|inode| self.release(inode));
    }
}

/// Forgets those of the listening sockets that the kernel does not list any more. Its lists
/// are read without the registry's lock.
pub fn forget_closed_listeners(registry: &std::sync::Mutex<SocketRegistry>, candidates: &[u64]) {
    let listed = listening::inodes();
    let mut registry = registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    registry.forget_listening(candidates, &listed);
}

/// The inode of what a descriptor leads to, where that is a socket.
pub fn inode_of(link: &std::path::Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests;
