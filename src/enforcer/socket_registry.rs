//! Sockets that the supervisor has made for the app. It has a copy of each until no call on it has
//! to be decided any more: until it listens, or is connected.
//!
//! A socket is found by its inode, which /proc shows for the caller's descriptor. Another thread may
//! replace that descriptor meanwhile: what is bound and connected is the socket that was found, to
//! the address that was checked.
//!
//! With its copy, a socket stays open that the app has closed. No kernel interface shows how many
//! descriptors lead to a socket, so the copies are compared with `/proc/PID/fd` of every
//! process when there are many of them. A process that cannot be read (one that changed its
//! user without an exec, or made itself undumpable) may have any of them. What is known of
//! the copies then is their [`SocketFate`]: descriptors are the lowest free number, so a number
//! that is handed to the same process once more was closed there.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::stat::fstat;

use crate::ids::{Pid, StartTime, Tid};
use crate::notify::caller::{Caller, Identity};
use crate::policy::network::SocketKind;
use crate::procfs::processes;
use crate::procfs::stat::started;
use crate::readiness::listening;
use crate::sys::process;

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
/// The most links of `/proc/PID/fd` that are read; the rest counts as unreadable.
const LINKS: usize = 20_000;
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

/// Whether the app has closed a socket, ordered by how certain that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SocketFate {
    /// A process has it open.
    Open,
    /// Its maker cannot be read, and has given no sign.
    Unknown,
    /// Its maker has closed it; a process that cannot be read has started since, and may
    /// have inherited it.
    Perhaps,
    /// Its maker has closed it; only a message (SCM_RIGHTS) may have taken it to a process
    /// that cannot be read.
    Likely,
    /// Every process was read, and none has it.
    Closed,
}

/// All sockets of which there is a copy, and those that listen.
#[derive(Debug)]
pub struct SocketRegistry {
    sockets: HashMap<u64, RegistryEntry>,
    /// The socket that a process got by this number last.
    numbers: HashMap<(Pid, i32), u64>,
    /// Those that listen, of which no copy is needed any more.
    listening: HashSet<u64>,
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
            open.fate(copy) >= if copy.bound { SocketFate::Perhaps } else { SocketFate::Closed }
        });
    }

    /// Closes what the app has closed: as much as there is reason for, the more copies there
    /// are. `open` is what is known of all processes.
    fn make_room(&mut self, open: Option<&OpenSockets>) {
        if let Some(open) = open {
            self.forget(|copy| open.fate(copy) == SocketFate::Closed);
            for least in [SocketFate::Likely, SocketFate::Perhaps] {
                if self.sockets.len() >= MANY.min(self.most * 3 / 4) {
                    self.forget(|copy| open.fate(copy) >= least);
                }
            }
        }
        if self.sockets.len() >= self.most {
            // The oldest of which nothing is known: to bind or connect one that is still
            // used is refused from then on.
            let unknown =
                |copy: &RegistryEntry| open.is_none_or(|open| open.fate(copy) == SocketFate::Unknown);
            let mut turns: Vec<u64> =
                self.sockets.values().filter(|copy| unknown(copy)).map(|copy| copy.turn).collect();
            turns.sort_unstable();
            if let Some(last) = turns.get(self.most / 8).or(turns.last()).copied() {
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

/// What is known of the sockets that the supervisor's descendants have open.
#[derive(Debug, Default)]
struct OpenSockets {
    /// Their inodes.
    seen: HashSet<u64>,
    /// The processes that could not be read, and when each started.
    unread: HashMap<Pid, StartTime>,
}

impl OpenSockets {
    /// `None` where the processes cannot be listed.
    fn now(identity: &Identity) -> Option<OpenSockets> {
        let mut open = OpenSockets::default();
        let mut links = 0;
        for process in processes::all(Pid::own()).ok()? {
            let inodes = if links < LINKS { open_in(process.pid, process.state, identity) } else { None };
            match inodes {
                Some(inodes) => {
                    links += inodes.len();
                    open.seen.extend(inodes);
                }
                None => open.unread.extend(started(process.pid).map(|started| (process.pid, started))),
            }
        }
        Some(open)
    }

    fn fate(&self, copy: &RegistryEntry) -> SocketFate {
        if self.seen.contains(&copy.socket.inode) {
            return SocketFate::Open;
        }
        if self.unread.is_empty() {
            return SocketFate::Closed;
        }
        // A process that has the maker's pid by now started later.
        let is_maker = |(pid, started): (&Pid, &StartTime)| *pid == copy.maker && *started <= copy.made;
        if self.unread.iter().any(is_maker) && !copy.replaced {
            return SocketFate::Unknown;
        }
        let heir = |(_, started): (&Pid, &StartTime)| *started >= copy.made;
        if self.unread.iter().any(heir) { SocketFate::Perhaps } else { SocketFate::Likely }
    }
}

/// The sockets that a process has open, none once it has ended; `None` where it cannot be
/// read.
fn open_in(pid: Pid, state: char, identity: &Identity) -> Option<Vec<u64>> {
    if state != 'Z' {
        return open_in_thread(pid.first_thread(), identity);
    }
    // Its first thread has nothing any more, and its others may have all.
    let others = threads(pid)?.into_iter().filter(|tid| *tid != pid.first_thread());
    let open: Option<Vec<Vec<u64>>> = others.map(|tid| open_in_thread(tid, identity)).collect();
    open.map(|open| open.concat())
}

fn open_in_thread(tid: Tid, identity: &Identity) -> Option<Vec<u64>> {
    let folder = PathBuf::from(format!("/proc/{tid}/fd"));
    let found = Caller::of(tid).and_then(|thread| {
        identity.with_caller_fsids(&thread, || {
            let entries = std::fs::read_dir(&folder).map_err(|error| crate::sys::errno(&error))?;
            let mut inodes = Vec::new();
            for entry in entries.flatten() {
                match std::fs::read_link(entry.path()).map_err(|error| crate::sys::errno(&error)) {
                    Ok(link) => inodes.extend(inode_of(&link)),
                    Err(Errno::ENOENT) => {}
                    // Root lists the descriptors of a process that is not dumpable, but it may not
                    // read what they are.
                    Err(errno) => return Err(errno),
                }
            }
            Ok(inodes)
        })
    });
    unless_ended(found)
}

fn threads(pid: Pid) -> Option<Vec<Tid>> {
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

    /// As many copies as there is room for, all of one descriptor.
    fn full(registry: &mut SocketRegistry) {
        let one = Arc::new(tcp());
        for inode in 0..registry.most as u64 {
            let socket = Socket { fd: Arc::clone(&one), inode, kind: SocketKind::Tcp };
            let copy = RegistryEntry {
                socket,
                bound: false,
                maker: Pid::from_raw(7),
                made: StartTime::from_raw(100),
                turn: inode,
                number: None,
                replaced: false,
            };
            registry.sockets.insert(inode, copy);
            registry.installed(Some(inode), Pid::from_raw(7), inode as i32);
        }
    }

    #[test]
    fn a_socket_is_found_until_its_fate_is_sealed() {
        let identity = Identity::own().expect("own ids");
        let mut registry = SocketRegistry::default();
        let [one, two] = [(); 2].map(|()| {
            registry.register(tcp(), SocketKind::Tcp, Pid::from_raw(1), &identity).expect("registered")
        });
        assert_eq!(registry.of(one.inode).map(|socket| socket.inode), Some(one.inode));
        registry.release(one.inode);
        assert!(registry.of(one.inode).is_none() && !registry.has_listened(one.inode));
        registry.binds(two.inode);
        assert!(registry.is_bound(two.inode) && !registry.is_bound(one.inode));
        assert_eq!(registry.listens(two.inode), None);
        assert!(
            registry.of(two.inode).is_none()
                && registry.has_listened(two.inode)
                && !registry.is_bound(two.inode)
        );
    }

    #[test]
    fn what_no_process_has_open_is_closed() {
        let identity = Identity::own().expect("own ids");
        let mut registry = SocketRegistry::default();
        // This process has no descendant that has them.
        for _ in 0..FEW * 3 {
            registry.register(tcp(), SocketKind::Tcp, Pid::from_raw(1), &identity).expect("registered");
        }
        assert!(registry.sockets.len() <= FEW, "{}", registry.sockets.len());
        // At the limit /proc is read, however many there were the last time.
        full(&mut registry);
        registry.binds(7);
        registry.next = MOST * 2;
        registry.register(tcp(), SocketKind::Tcp, Pid::from_raw(1), &identity).expect("registered");
        assert!(registry.sockets.len() == 1 && registry.numbers.is_empty() && !registry.is_bound(7));
        assert_eq!(inode_of(std::path::Path::new("socket:[17]")), Some(17));
        assert_eq!(inode_of(std::path::Path::new("pipe:[17]")), None);
    }

    /// A process that has this number open, and by which it was handed over.
    #[test]
    fn a_number_that_is_handed_over_again_was_closed() {
        let me = Pid::own();
        let identity = Identity::own().expect("own ids");
        let mut registry = SocketRegistry::default();
        let hold = |registry: &mut SocketRegistry| {
            registry.register(tcp(), SocketKind::Tcp, me, &identity).expect("registered").inode
        };
        let [one, two] = [hold(&mut registry), hold(&mut registry)];
        registry.installed(Some(one), me, 3);
        assert_eq!(registry.installed_as(me, 3).map(|socket| socket.inode), Some(one));
        assert!(
            registry.installed_as(me, 4).is_none() && registry.installed_as(Pid::from_raw(1), 3).is_none()
        );
        registry.installed(Some(two), me, 3);
        assert!(registry.sockets[&one].replaced && !registry.sockets[&two].replaced);
        assert_eq!(registry.installed_as(me, 3).map(|socket| socket.inode), Some(two));
        // Letting the first go takes nothing from the second.
        registry.release(one);
        assert_eq!(registry.installed_as(me, 3).map(|socket| socket.inode), Some(two));
        registry.installed(None, me, 3);
        assert!(
            registry.sockets[&two].replaced
                && registry.installed_as(me, 3).is_none()
                && registry.numbers.is_empty()
        );
        // One of which there is no copy any more.
        registry.installed(Some(one), me, 4);
        assert!(registry.numbers.is_empty());
    }

    #[test]
    fn what_is_known_decides_about_a_copy() {
        let mut registry = SocketRegistry::default();
        full(&mut registry);
        let copy = |replaced| RegistryEntry {
            socket: registry.sockets[&1].socket.clone(),
            bound: false,
            maker: Pid::from_raw(7),
            made: StartTime::from_raw(100),
            turn: 0,
            number: Some(3),
            replaced,
        };
        let open = |seen: &[u64], unread: &[(i32, u64)]| OpenSockets {
            seen: seen.iter().copied().collect(),
            unread: unread
                .iter()
                .map(|(pid, started)| (Pid::from_raw(*pid), StartTime::from_raw(*started)))
                .collect(),
        };
        assert_eq!(open(&[1], &[(7, 50)]).fate(&copy(true)), SocketFate::Open);
        assert_eq!(open(&[2], &[]).fate(&copy(false)), SocketFate::Closed);
        assert_eq!(open(&[2], &[(7, 50)]).fate(&copy(false)), SocketFate::Unknown);
        assert_eq!(open(&[2], &[(7, 50)]).fate(&copy(true)), SocketFate::Likely);
        // A process that may have inherited it; one that was there before; another one with
        // the maker's number.
        assert_eq!(open(&[2], &[(7, 50), (8, 100)]).fate(&copy(true)), SocketFate::Perhaps);
        assert_eq!(open(&[2], &[(8, 99)]).fate(&copy(false)), SocketFate::Likely);
        assert_eq!(open(&[2], &[(7, 101)]).fate(&copy(false)), SocketFate::Perhaps);
        assert!(SocketFate::Unknown < SocketFate::Perhaps && SocketFate::Perhaps < SocketFate::Likely);
    }

    #[test]
    fn room_is_made_by_the_best_reason_first() {
        let unread = OpenSockets {
            seen: HashSet::new(),
            unread: HashMap::from([(Pid::from_raw(7), StartTime::from_raw(50))]),
        };
        let mut registry = SocketRegistry::default();
        full(&mut registry);
        // All but the last ten were replaced.
        registry.sockets.values_mut().for_each(|copy| copy.replaced = copy.turn < MOST as u64 - 10);
        registry.make_room(Some(&unread));
        assert_eq!(registry.sockets.len(), 10);
        // Of which nothing is known: the oldest, and the app is not refused a new one.
        full(&mut registry);
        registry.make_room(Some(&unread));
        assert_eq!(registry.sockets.len(), MOST - MOST / 8 - 1);
        assert!(registry.of(0).is_none() && registry.of(MOST as u64 - 1).is_some());
        // What all have open stays, and one more is too many.
        full(&mut registry);
        let all = OpenSockets {
            seen: (0..MOST as u64).collect(),
            unread: HashMap::from([(Pid::from_raw(7), StartTime::from_raw(50))]),
        };
        registry.make_room(Some(&all));
        assert_eq!(registry.sockets.len(), MOST);
    }

    #[test]
    fn there_is_room_for_as_many_as_the_limit_leaves() {
        let mut registry = SocketRegistry::default();
        for (limit, most) in [(0, FEW), (1024, 768), (1 << 20, CEILING), (u64::MAX, CEILING)] {
            registry.limit(limit);
            assert_eq!(registry.most, most, "{limit}");
        }
    }

    #[test]
    fn closed_listeners_are_forgotten() {
        let mut registry = SocketRegistry::default();
        let candidates = (0..).find_map(|inode| registry.listens(inode)).expect("many");
        assert_eq!(candidates.len(), LISTENERS);
        // One that came after the kernel's list was read stays.
        assert_eq!(registry.listens(5000), None);
        registry.forget_listening(&candidates, &HashSet::from([3]));
        assert!(registry.has_listened(3) && registry.has_listened(5000) && !registry.has_listened(4));
        assert_eq!((registry.listening.len(), registry.next_listening), (2, LISTENERS));
    }
}
