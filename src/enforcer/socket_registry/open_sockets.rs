//! The sockets that the app has open, by `/proc/PID/fd` of every process. A process that cannot be
//! read may have any of them.

use std::collections::{HashMap, HashSet};

use nix::errno::Errno;

use super::{RegistryEntry, inode_of};
use crate::ids::{Pid, StartTime, Tid};
use crate::notify::caller::{Caller, Identity};
use crate::procfs::stat::started;
use crate::procfs::{self, processes};

/// The most links of `/proc/PID/fd` that are read; the rest counts as unreadable.
const LINKS: usize = 20_000;

/// What is known of the sockets that the supervisor's descendants have open.
#[derive(Debug, Default)]
pub(super) struct OpenSockets {
    /// Their inodes.
    pub seen: HashSet<u64>,
    /// The processes that could not be read, and when each started.
    pub unread: HashMap<Pid, StartTime>,
}

/// Whether the app has closed a socket, ordered by how certain that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SocketState {
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

impl OpenSockets {
    /// Reads the descriptors of all processes; `None` where the processes cannot be listed.
    pub fn now(identity: &Identity) -> Option<OpenSockets> {
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

    /// What is known of a copy.
    pub fn fate(&self, copy: &RegistryEntry) -> SocketState {
        if self.seen.contains(&copy.socket.inode) {
            return SocketState::Open;
        }
        if self.unread.is_empty() {
            return SocketState::Closed;
        }
        // A process that has the maker's pid by now started later.
        let is_maker = |(pid, started): (&Pid, &StartTime)| *pid == copy.maker && *started <= copy.made;
        if self.unread.iter().any(is_maker) && !copy.replaced {
            return SocketState::Unknown;
        }
        let may_have_inherited = |(_, started): (&Pid, &StartTime)| *started >= copy.made;
        if self.unread.iter().any(may_have_inherited) { SocketState::Perhaps } else { SocketState::Likely }
    }
}

/// The sockets that a process has open, none once it has ended; `None` where it cannot be
/// read.
fn open_in(pid: Pid, state: char, identity: &Identity) -> Option<Vec<u64>> {
    if state != 'Z' {
        return open_in_thread(pid.first_thread(), identity);
    }
    // Its first thread has nothing any more, and its others may have all.
    let others = unless_ended(processes::threads(pid))?.into_iter().filter(|tid| *tid != pid.first_thread());
    let open: Option<Vec<Vec<u64>>> = others.map(|tid| open_in_thread(tid, identity)).collect();
    open.map(|open| open.concat())
}

fn open_in_thread(tid: Tid, identity: &Identity) -> Option<Vec<u64>> {
    let folder = format!("/proc/{tid}/fd");
    let found = Caller::of(tid).and_then(|thread| {
        identity.with_caller_fsids(&thread, || {
            let mut inodes = Vec::new();
            for fd in procfs::numbers(&folder)? {
                match std::fs::read_link(format!("{folder}/{fd}")).map_err(procfs::errno) {
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

/// Nothing of what has ended meanwhile; `None` where it is not known.
fn unless_ended<T: Default>(found: Result<T, Errno>) -> Option<T> {
    match found {
        Err(Errno::ENOENT | Errno::ESRCH) => Some(T::default()),
        found => found.ok(),
    }
}
