//! The caller of a notified call: its `/proc/PID/status`, and the memory that a pointer of the call
//! leads to.
//!
//! Everything here is read of a process that may change it meanwhile. The ids and capabilities
//! come from the kernel; memory is used only to explain or to narrow.

use std::cell::OnceCell;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::errno::Errno;

use crate::ids::{Gid, Pid, Tid, Uid};
use crate::notify::handed::{Handed, HandedItem};
use crate::notify::unreadable::{UNREADABLE, unreadable};
use crate::procfs::limits::{ProcLimits, UNLIMITED};
use crate::procfs::status::ThreadStatus;
use crate::procfs::{self, errno, processes};
use crate::sys;
use crate::sys::credentials::{self, CapSets};

/// The status of a thread (proc_pid_status(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The thread.
    pub tid: Tid,
    /// Its process.
    pub tgid: Pid,
    /// The parent of its process.
    pub ppid: Pid,
    /// Real, effective, saved, file-system uid.
    pub uids: [Uid; 4],
    /// Real, effective, saved, file-system gid.
    pub gids: [Gid; 4],
    /// Supplementary groups.
    pub groups: Vec<Gid>,
    /// The effective capabilities, as bits.
    pub effective: u64,
    /// Its umask.
    pub umask: u32,
    /// What the thread sends itself, where it is traced.
    pub handed: Option<Arc<Handed>>,
}

impl Default for Caller {
    fn default() -> Caller {
        Caller {
            tid: Tid::default(),
            tgid: Pid::default(),
            ppid: Pid::default(),
            uids: [Uid::from_raw(0); 4],
            gids: [Gid::from_raw(0); 4],
            groups: Vec::new(),
            effective: 0,
            umask: 0,
            handed: None,
        }
    }
}

impl Caller {
    /// A thread of which nothing can be read, not even its status.
    pub fn unknown(tid: Tid) -> Caller {
        Caller { tid, tgid: Pid::from_raw(tid.as_raw()), ..Caller::default() }
    }

    /// Performs `act`, which may need the ids of another user, with the caller's real ids taken on
    /// for the moment (ptrace(2), kill(2)). In that moment this user may signal the supervisor: every signal is blocked here,
    /// and the kernel protects an init from the two that cannot be.
    ///
    /// # Errors
    /// Those of `act`; EPERM where the real ids cannot be taken on.
    pub fn with_real_ids(&self, act: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
        let theirs = (self.uids[0], self.gids[0]);
        let own = || (nix::unistd::getuid(), nix::unistd::getgid());
        match act() {
            Err(Errno::EPERM) if theirs != own() => {
                let (uid, gid) = own();
                // A runtime's filter refuses getuid or getgid: what is not known cannot be
                // restored.
                if uid.as_raw() == u32::MAX || gid.as_raw() == u32::MAX {
                    return Err(Errno::EPERM);
                }
                let answer = credentials::set_real_ids(theirs.0, theirs.1).and_then(|()| act());
                if let Err(errno) = credentials::set_real_ids(uid, gid) {
                    // The kernel would check all its calls as another user's.
                    tracing::error!(%errno, "the worker could not restore its own ids");
                    std::process::abort();
                }
                answer.map_err(|errno| if errno == Errno::ESRCH { errno } else { Errno::EPERM })
            }
            answer => answer,
        }
    }

    /// The process that waits for the caller's in vfork(2), and has its memory.
    pub fn vfork_parent(&self) -> Option<Caller> {
        let is_app = self.ppid != Pid::own();
        let waits = is_app && processes::is_vfork_parent(self.ppid, self.tgid);
        waits.then(|| Caller::of(self.ppid.first_thread()).ok()).flatten()
    }

    /// Opens the caller's descriptor of this number.
    ///
    /// # Errors
    /// As [`Caller::own`]; EBADF where the caller has no such descriptor.
    pub fn descriptor(&self, fd: i32) -> Result<OwnedFd, Errno> {
        match self.own(&format!("fd/{fd}"), HandedItem::Descriptor(fd)) {
            Err(Errno::ENOENT) => Err(Errno::EBADF),
            opened => opened,
        }
    }

    /// Opens with O_PATH the target of a link below the caller's directory of /proc; otherwise uses
    /// what the thread sent for it.
    ///
    /// # Errors
    /// UNREADABLE where neither is available; ENOENT, ESRCH for a caller that is gone.
    pub fn own(&self, link: &str, wanted: HandedItem) -> Result<OwnedFd, Errno> {
        use nix::fcntl::{OFlag, open};
        let path = format!("/proc/{}/{link}", self.tid);
        let opened = open(path.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty());
        match opened.map_err(unreadable) {
            Err(UNREADABLE) => self.handed.as_ref().ok_or(UNREADABLE)?.descriptor(wanted),
            opened => opened,
        }
    }

    /// Reads a thread's status, which every process in the container may read.
    ///
    /// # Errors
    /// ESRCH when the thread is gone or its status cannot be parsed.
    pub fn of(tid: Tid) -> Result<Caller, Errno> {
        let ThreadStatus { tgid, parent, uids, gids, groups, effective, umask, .. } = ThreadStatus::of(tid)?;
        Ok(Caller { tid, tgid, ppid: parent, uids, gids, groups, effective, umask, handed: None })
    }
}

/// The soft RLIMIT_FSIZE of a process in bytes; `None` is unlimited.
///
/// # Errors
/// ENOENT or ESRCH for a process that is gone; EINVAL where the text cannot be parsed.
pub fn file_size_limit(tid: Tid) -> Result<Option<u64>, Errno> {
    let limit = ProcLimits::of(tid)?.get(libc::RLIMIT_FSIZE as usize).ok_or(Errno::EINVAL)?;
    Ok(Some(limit.soft).filter(|soft| *soft != UNLIMITED))
}

/// Whether a process has no number left for a descriptor: each below its soft RLIMIT_NOFILE is taken.
/// Known from Linux 6.2 on, where the size of its directory is how many are open (proc(5)).
pub fn is_descriptor_table_full(tid: Tid) -> bool {
    let directory = format!("/proc/{tid}/fd");
    let limit = || ProcLimits::of(tid).ok()?.get(libc::RLIMIT_NOFILE as usize).map(|limit| limit.soft);
    let (Ok(open), Some(limit)) = (std::fs::metadata(&directory), limit()) else { return false };
    if open.len() < limit {
        return false;
    }
    let below = |number: &i32| u64::try_from(*number).is_ok_and(|number| number < limit);
    procfs::numbers(&directory)
        .is_ok_and(|all| all.iter().filter(|number| below(number)).count() as u64 >= limit)
}

/// The supervisor's own identity, which a worker restores.
#[derive(Clone, Debug)]
pub struct Identity {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    sets: CapSets,
}

impl Identity {
    /// Checks that setting file-system ids is allowed here: a worker that could set a caller's ids
    /// and not restore its own would have to end the supervisor.
    ///
    /// # Errors
    /// The kernel, or a filter of the runtime, refused.
    pub fn probe() -> Result<(), Errno> {
        credentials::set_filesystem_ids(nix::unistd::geteuid(), nix::unistd::getegid())
    }

    /// The identity of this thread.
    ///
    /// # Errors
    /// The errno of reading this thread's credentials.
    pub fn own() -> Result<Identity, Errno> {
        Ok(Identity {
            uid: nix::unistd::geteuid(),
            gid: nix::unistd::getegid(),
            groups: credentials::groups()?,
            sets: credentials::capget()?,
        })
    }

    /// Restores the supervisor's credentials, whatever this thread inherited. `other_users`: its
    /// creator may have had a caller's ids.
    pub fn take_back(&self, other_users: bool) {
        let back = credentials::capset(self.sets).and_then(|()| {
            if !other_users {
                return Ok(());
            }
            credentials::set_effective_ids(self.uid, self.gid)?;
            self.back(Taken { ids: true, groups: credentials::groups()? != self.groups });
            Ok(())
        });
        if let Err(errno) = back {
            not_back(errno);
        }
    }

    /// Runs `act` with the caller's file-system ids and no more capabilities than the caller has, so
    /// it is refused what the caller is refused. The kernel checks only file access by these ids, so
    /// the app cannot signal this thread meanwhile.
    ///
    /// # Errors
    /// EPERM when the ids could not be set, and every errno of `act`.
    pub fn with_caller_creds<T>(
        &self,
        caller: &Caller,
        act: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let [.., uid] = caller.uids;
        let [.., gid] = caller.gids;
        let other = Taken { ids: uid != self.uid || gid != self.gid, groups: caller.groups != self.groups };
        let effective = self.sets.permitted & caller.effective;
        if other == Taken::default()
            && effective & CAPS_BEYOND_FSIDS == self.sets.effective & CAPS_BEYOND_FSIDS
        {
            return act();
        }
        if other.groups {
            credentials::setgroups(&caller.groups)?;
        }
        let taken = if other.ids { credentials::set_filesystem_ids(uid, gid) } else { Ok(()) };
        let taken = taken.and_then(|()| credentials::capset(CapSets { effective, ..self.sets }));
        let result = taken.and_then(|()| act());
        self.back(other);
        result
    }

    /// Runs `act` with the credentials that a socket's peer sees (SO_PEERCRED): the caller's
    /// effective ids, groups and no more capabilities. The real and saved ids stay, so that the app
    /// cannot signal this thread meanwhile.
    ///
    /// # Errors
    /// EPERM when the ids could not be set, and every errno of `act`.
    pub fn with_peer_creds<T>(
        &self,
        caller: &Caller,
        act: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let ([_, uid, ..], [_, gid, ..]) = (caller.uids, caller.gids);
        let other = Taken { ids: (uid, gid) != (self.uid, self.gid), groups: caller.groups != self.groups };
        let taken = if other.groups { credentials::setgroups(&caller.groups) } else { Ok(()) };
        let taken = taken
            .and_then(|()| if other.ids { credentials::set_effective_ids(uid, gid) } else { Ok(()) })
            .and_then(|()| {
                let effective = self.sets.permitted & caller.effective;
                credentials::capset(CapSets { effective, ..self.sets })
            });
        let result = taken.and_then(|()| act());
        if other.ids
            && let Err(errno) = credentials::set_effective_ids(self.uid, self.gid)
        {
            not_back(errno);
        }
        self.back(other);
        result
    }

    /// Runs `look` with the caller's file-system ids and every capability of the supervisor: with
    /// fewer capabilities than the caller, the kernel would refuse to show the caller.
    ///
    /// # Errors
    /// EPERM when the ids could not be set, and every errno of `look`.
    pub fn with_caller_fsids<T>(
        &self,
        caller: &Caller,
        look: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let ([.., uid], [.., gid]) = (caller.uids, caller.gids);
        if uid == self.uid && gid == self.gid {
            return look();
        }
        // Changing the file-system uid takes the file capabilities out of the
        // effective set; they have to be there for an app that has ambient ones.
        let taken = credentials::set_filesystem_ids(uid, gid)
            .and_then(|()| credentials::capset(CapSets { effective: self.sets.permitted, ..self.sets }));
        let result = taken.and_then(|()| look());
        self.back(Taken { ids: true, groups: false });
        result
    }

    /// Restores the supervisor's own ids. A worker that cannot do so must not continue: it would
    /// decide with another user's ids.
    fn back(&self, from: Taken) {
        let ids = || {
            // Changing the file-system uid changes the effective set (capabilities(7)).
            credentials::set_filesystem_ids(self.uid, self.gid).and_then(|()| credentials::capset(self.sets))
        };
        let back = credentials::capset(self.sets)
            .and_then(|()| if from.ids { ids() } else { Ok(()) })
            .and_then(|()| if from.groups { credentials::setgroups(&self.groups) } else { Ok(()) });
        if let Err(errno) = back {
            not_back(errno);
        }
    }
}

/// Aborts: a thread that cannot restore the supervisor's ids would decide and act with another
/// user's.
fn not_back(errno: Errno) -> ! {
    tracing::error!(%errno, "a worker could not take its own ids back");
    std::process::abort();
}

/// The ids that were set to the caller's, besides its capabilities.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    ids: bool,
    groups: bool,
}

/// The capabilities that the kernel checks for files: CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH,
/// FOWNER, FSETID, LINUX_IMMUTABLE, SYS_ADMIN, SYS_RESOURCE, MKNOD, LEASE; and for sockets:
/// NET_BIND_SERVICE, NET_ADMIN, NET_RAW.
const CAPS_BEYOND_FSIDS: u64 = 1
    | 1 << 1
    | 1 << 2
    | 1 << 3
    | 1 << 4
    | 1 << 9
    | 1 << 10
    | 1 << 12
    | 1 << 13
    | 1 << 21
    | 1 << 24
    | 1 << 27
    | 1 << 28;

/// The memory of a caller, opened once for a call.
///
/// Read by process_vm_readv(2) where that is allowed; otherwise (filters of older runtimes, a
/// process of another user) by `/proc/PID/mem`.
pub struct Memory<'a> {
    identity: &'a Identity,
    caller: &'a Caller,
    file: OnceCell<File>,
}

impl<'a> Memory<'a> {
    /// The memory of a thread, for reading.
    pub fn of(identity: &'a Identity, caller: &'a Caller) -> Memory<'a> {
        Memory { identity, caller, file: OnceCell::new() }
    }

    /// The same with `/proc/PID/mem` already open.
    pub fn opened(identity: &'a Identity, caller: &'a Caller, file: File) -> Memory<'a> {
        Memory { identity, caller, file: OnceCell::from(file) }
    }

    /// Opens `/proc/PID/mem` for later calls.
    ///
    /// # Errors
    /// As [`Memory::bytes`].
    pub fn open(self) -> Result<File, Errno> {
        self.file()?;
        self.file.into_inner().ok_or(UNREADABLE)
    }

    /// # Errors
    /// UNREADABLE for a process that the kernel does not show: another user's without
    /// an exec since, one that is not dumpable, or a program that is not readable.
    fn file(&self) -> Result<&File, Errno> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let path = format!("/proc/{}/mem", self.caller.tid);
        let file = self.identity.with_caller_fsids(self.caller, || File::open(&path).map_err(errno));
        let file = file.map_err(unreadable)?;
        Ok(self.file.get_or_init(|| file))
    }

    /// Up to `length` bytes; fewer where mapped memory ends.
    ///
    /// # Errors
    /// EFAULT when nothing is mapped there; UNREADABLE for a process that the kernel does not
    /// show and that sends nothing, and every errno of opening its memory.
    pub fn bytes(&self, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; length];
        let direct = match self.file.get() {
            None => sys::process::read_memory(self.caller.tid.as_raw(), address, &mut bytes),
            Some(_) => Err(Errno::EPERM),
        };
        let read = match direct {
            Ok(read) => read,
            Err(Errno::EFAULT) => return Err(Errno::EFAULT),
            Err(_) => match (self.file(), &self.caller.handed) {
                (Ok(file), _) => file.read_at(&mut bytes, address).map_err(|_| Errno::EFAULT)?,
                (Err(UNREADABLE), Some(handed)) => return handed.bytes(address, length),
                (Err(errno), _) => return Err(errno),
            },
        };
        bytes.truncate(read);
        if bytes.is_empty() && length > 0 { Err(Errno::EFAULT) } else { Ok(bytes) }
    }

    /// Reads a NUL-terminated path.
    ///
    /// # Errors
    /// EFAULT, and ENAMETOOLONG where no NUL comes within PATH_MAX.
    pub fn path(&self, address: u64) -> Result<Vec<u8>, Errno> {
        self.text(address, libc::PATH_MAX as usize).map_err(|errno| match errno {
            Errno::E2BIG => Errno::ENAMETOOLONG,
            errno => errno,
        })
    }

    /// Reads a NUL-terminated string of at most `most` bytes, the NUL included.
    ///
    /// # Errors
    /// EFAULT, and E2BIG where no NUL comes within `most` bytes.
    pub fn text(&self, address: u64, most: usize) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        let mut length = 256;
        while text.len() < most {
            let bytes = self.bytes(address.wrapping_add(text.len() as u64), length.min(most - text.len()))?;
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(&bytes[..end]);
                return Ok(text);
            }
            text.extend_from_slice(&bytes);
            // Most strings are short; long ones are read in larger pieces.
            length = if text.len() < 4096 { 256 } else { 16 << 10 };
        }
        Err(Errno::E2BIG)
    }

    /// A little-endian 64-bit number.
    ///
    /// # Errors
    /// EFAULT when it is not all mapped.
    pub fn number(&self, address: u64) -> Result<u64, Errno> {
        let bytes = self.bytes(address, 8)?;
        bytes.try_into().map(u64::from_le_bytes).map_err(|_| Errno::EFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_limit_of_its_process() {
        use std::io::Read;
        use std::process::{Command, Stdio};
        // In blocks of 512 bytes.
        let script = "ulimit -f 8 && echo x && exec sleep 60";
        let mut child =
            Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().expect("sh runs");
        let mut said = [0; 2];
        child.stdout.as_mut().expect("a pipe").read_exact(&mut said).expect("it has the limit");
        let limit = file_size_limit(Tid::from_raw(child.id() as i32));
        child.kill().and_then(|()| child.wait()).expect("ended");
        assert_eq!(limit, Ok(Some(4096)));
    }

    #[test]
    fn a_name_that_is_no_text_hides_no_process() {
        let caller = std::thread::spawn(|| {
            crate::sys::prctl::set_name(c"\xff)\nUid:\t9").expect("a name");
            Caller::of(Tid::own())
        });
        let caller = caller.join().expect("no panic").expect("a status");
        assert_eq!(caller.tgid, Pid::own());
        assert_eq!(caller.uids[1], nix::unistd::geteuid());
    }

    #[test]
    fn own_memory_is_read_to_where_it_ends() {
        let identity = Identity::own().expect("own ids");
        let me = Caller::of(Pid::own().first_thread()).expect("own status");
        let memory = Memory::of(&identity, &me);
        let text = b"/etc/hostname\0rest";
        assert_eq!(memory.path(text.as_ptr() as u64), Ok(b"/etc/hostname".to_vec()));
        assert_eq!(memory.path(8), Err(Errno::EFAULT));
        assert_eq!(memory.number(8), Err(Errno::EFAULT));
    }
}
