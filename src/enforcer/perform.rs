//! What the supervisor does for the app, where the profile grants it and the kernel
//! has no rule that says so: a file that did not exist when the rules were made.
//!
//! What was judged is what is acted on. A path was resolved once, to a directory and to
//! what is there, and both are held: a file is opened, emptied and linked by its
//! descriptor, whatever its name leads to by then. Where there was nothing, O_EXCL makes a
//! new inode or none. Two calls have names alone, and say what they guarantee:
//!
//! - A name is removed in the directory that was judged. Another thread may have exchanged
//!   what has it: whoever could move that there could have removed it where it was.
//! - A rename is looked at afterwards. Where another inode was moved than was judged, it is
//!   moved back or removed, and the call is a violation. Until then nobody has opened it
//!   through the supervisor, which does one thing at a time; what the kernel's rules let
//!   be read in a directory that was widened may have been read.
//!
//! It acts with the caller's file-system ids, groups, capabilities and umask, and no
//! file becomes longer by it than the caller's RLIMIT_FSIZE. So nothing is done that the
//! caller might not do unconfined. A file that turns out to be a program is not touched,
//! under whatever name.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, fcntl, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat, mknodat, stat};
use nix::unistd::{LinkatFlags, UnlinkatFlags, ftruncate, linkat, symlinkat, unlinkat};

use super::Enforcer;
use crate::enforcer::inodes;
use crate::image::FileKind;
use crate::notify::caller::{Caller, file_size_limit};
use crate::notify::resolve::{Found, Target};
use crate::notify::syscall_args::{Open, TreeChange};
use crate::sys;

/// Why nothing was done.
pub(super) enum PerformError {
    /// The kernel refuses it, as it would have refused the caller.
    Kernel(Errno),
    /// What is there is a program, or no regular file, or was exchanged: a violation.
    TargetChanged,
    /// Something has come to be at a name that nothing had.
    NameTaken,
}

impl From<Errno> for PerformError {
    fn from(errno: Errno) -> PerformError {
        PerformError::Kernel(errno)
    }
}

impl Enforcer {
    /// Opens a file for the caller.
    pub(super) fn perform_open(
        &self,
        found: &Found,
        open: &Open,
        caller: &Caller,
    ) -> Result<OwnedFd, PerformError> {
        let requested = OFlag::from_bits_retain(open.flags);
        self.still_as_resolved(found)?;
        let opened = self.identity.with_caller_creds(caller, || {
            let by_name = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
            // Never waited for: a lease may be held on it.
            let flags = (requested - by_name) | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
            let fd = match &found.target {
                None => {
                    let mode = mode_of(found, open.mode, caller);
                    openat(&found.parent, found.name.as_os_str(), (flags - OFlag::O_TRUNC) | by_name, mode)?
                }
                // A file without a name, in this directory.
                Some(target) if requested.contains(OFlag::O_TMPFILE) => {
                    openat(AT_FDCWD, &*path_of(target), flags, mode_of(found, open.mode, caller))?
                }
                Some(target) => {
                    let stat = fstat(&target.fd)?;
                    if target.kind != FileKind::Regular || self.rules.is_protected(inodes::id(&target.fd)?) {
                        return Ok(None);
                    }
                    if requested.contains(OFlag::O_CREAT) {
                        may_create_over(&fstat(&found.parent)?, &stat, caller)?;
                    }
                    openat(AT_FDCWD, &*path_of(target), flags, Mode::empty())?
                }
            };
            let keep = OFlag::O_APPEND | OFlag::O_NONBLOCK | OFlag::O_DIRECT | OFlag::O_NOATIME;
            fcntl(&fd, FcntlArg::F_SETFL(requested & keep))?;
            Ok(Some(fd))
        });
        match opened {
            Err(Errno::EEXIST) if found.target.is_none() && !requested.contains(OFlag::O_EXCL) => {
                Err(PerformError::NameTaken)
            }
            opened => {
                let fd = opened?.ok_or(PerformError::TargetChanged)?;
                if found.target.is_none() {
                    self.came(found, &fd)?;
                }
                Ok(fd)
            }
        }
    }

    /// To be requested before anything is done for a caller. It still waits, so its ids
    /// and its path were read of it and not of another that took its number over.
    /// And the held directory is where its path says: a descriptor that came from
    /// another mount namespace has a path that means something else here.
    pub(super) fn still_as_resolved(&self, found: &Found) -> Result<(), Errno> {
        let here = found.canonical.parent().filter(|_| found.name != ".").unwrap_or(&found.canonical);
        let (held, there) = (fstat(&found.parent)?, stat(here)?);
        if (held.st_dev, held.st_ino) != (there.st_dev, there.st_ino) {
            return Err(Errno::EACCES);
        }
        if self.waits() == Ok(true) { Ok(()) } else { Err(Errno::ESRCH) }
    }

    /// Makes a change of one path for the caller.
    pub(super) fn perform(
        &self,
        found: &Found,
        change: &TreeChange,
        caller: &Caller,
    ) -> Result<(), PerformError> {
        let name = found.name.as_os_str();
        let parent = found.parent.as_fd();
        self.still_as_resolved(found)?;
        let made = self.identity.with_caller_creds(caller, || match change {
            TreeChange::MakeDirectory { mode } => {
                mkdirat(parent, name, mode_of(found, *mode, caller)).map(|()| None)
            }
            TreeChange::MakeNode { mode } => {
                let kind = SFlag::from_bits_truncate(mode & libc::S_IFMT);
                let bits = mode_of(found, *mode, caller);
                match kind {
                    SFlag::S_IFCHR | SFlag::S_IFBLK => Err(Errno::EPERM),
                    SFlag::S_IFIFO | SFlag::S_IFSOCK => mknodat(parent, name, kind, bits, 0).map(|()| None),
                    _ => openat(parent, name, OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC, bits)
                        .map(Some),
                }
            }
            TreeChange::MakeLink { text } => symlinkat(OsStr::from_bytes(text), parent, name).map(|()| None),
            TreeChange::Remove { directory } => {
                let flag = if *directory { UnlinkatFlags::RemoveDir } else { UnlinkatFlags::NoRemoveDir };
                unlinkat(parent, name, flag).map(|()| None)
            }
            TreeChange::Truncate { length } => {
                let target = found.target.as_ref().ok_or(Errno::ENOENT)?;
                if self.rules.is_protected(inodes::id(&target.fd)?) {
                    return Err(Errno::EACCES);
                }
                let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
                ftruncate(openat(AT_FDCWD, &*path_of(target), flags, Mode::empty())?, *length).map(|()| None)
            }
            TreeChange::Rename { .. } | TreeChange::HardLink { .. } => Err(Errno::EINVAL),
        })?;
        match (change, made) {
            (TreeChange::Remove { .. }, _) => self.memory.inodes.borrow_mut().gone(&found.canonical),
            (_, Some(fd)) => self.came(found, &fd)?,
            _ => {}
        }
        Ok(())
    }

    /// Renames or links from one path to another for the caller.
    pub(super) fn perform_on_two(
        &self,
        old: &Found,
        new: &Found,
        change: &TreeChange,
        caller: &Caller,
    ) -> Result<(), PerformError> {
        self.still_as_resolved(old)?;
        self.still_as_resolved(new)?;
        let source = old.target.as_ref().ok_or(Errno::ENOENT)?;
        if self.rules.is_protected(inodes::id(&source.fd)?) {
            return Err(Errno::EACCES.into());
        }
        self.identity.with_caller_creds(caller, || match change {
            TreeChange::Rename { flags } => rename(old, new, *flags),
            TreeChange::HardLink { .. } => {
                let follow = LinkatFlags::AT_SYMLINK_FOLLOW;
                linkat(AT_FDCWD, &*path_of(source), &new.parent, new.name.as_os_str(), follow)
            }
            _ => Err(Errno::EINVAL),
        })?;
        let other = new.target.as_ref().filter(|_| change.is_exchange());
        if matches!(change, TreeChange::Rename { .. }) {
            let is_moved = self.identity.with_caller_creds(caller, || {
                if is_at(new, source)? && other.map_or(Ok(true), |other| is_at(old, other))? {
                    return Ok(true);
                }
                move_back(old, new, other.is_some()).map(|()| false)
            })?;
            if !is_moved {
                return Err(PerformError::TargetChanged);
            }
        }
        self.came(new, &source.fd)?;
        if let Some(other) = other {
            self.came(old, &other.fd)?;
        }
        Ok(())
    }

    /// What a tracked name has from now on.
    fn came(&self, found: &Found, fd: &OwnedFd) -> Result<(), Errno> {
        if self.rules.tracks(&found.canonical) {
            let held = openat(AT_FDCWD, &*path_to(fd), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
            self.memory.inodes.borrow_mut().came(&found.canonical, held);
        }
        Ok(())
    }

    /// Whether the kernel would refuse to make the file so long. It is requested before: for
    /// what the supervisor does the kernel knows the supervisor's own limit. A file that is
    /// longer already may be shortened; one that becomes shorter meanwhile is never longer
    /// afterwards than it was when this was requested.
    pub(super) fn exceeds(&self, found: &Found, length: i64, caller: &Caller) -> Result<bool, Errno> {
        let target = found.target.as_ref().ok_or(Errno::ENOENT)?;
        let Some(limit) = file_size_limit(caller.tid)? else { return Ok(false) };
        Ok(u64::try_from(length).is_ok_and(|length| length > limit) && fstat(&target.fd)?.st_size < length)
    }
}

/// The mode of a new file: what the caller's umask leaves of it, where its directory does
/// not say itself which rights it has. The supervisor's own umask is 0. Where that is not
/// known the umask counts: the kernel applies the directory's ACL to what is left, so the
/// file has no more rights than its ACL alone gives it.
fn mode_of(found: &Found, mode: u32, caller: &Caller) -> Mode {
    let umask = if sys::files::has_default_acl(found.parent.as_fd()) { 0 } else { caller.umask };
    Mode::from_bits_truncate(mode & 0o7777 & !umask)
}

/// fs.protected_regular (proc(5)), as most systems set it: in a directory like /tmp an open
/// that would make a file opens no stranger's. By descriptor, the kernel would not see it.
fn may_create_over(directory: &FileStat, file: &FileStat, caller: &Caller) -> Result<(), Errno> {
    const FOR_ALL: u32 = libc::S_ISVTX | libc::S_IWOTH;
    let [.., uid] = caller.uids;
    let strange = directory.st_mode & FOR_ALL == FOR_ALL
        && file.st_uid != uid.as_raw()
        && file.st_uid != directory.st_uid;
    if strange { Err(Errno::EACCES) } else { Ok(()) }
}

/// A path that leads to this very inode.
fn path_of(target: &Target) -> String {
    path_to(&target.fd)
}

fn path_to(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn rename(from: &Found, to: &Found, flags: u32) -> Result<(), Errno> {
    sys::files::rename(from.parent.as_fd(), &from.name, to.parent.as_fd(), &to.name, flags)
}

/// Whether no other inode has the name now.
fn is_at(found: &Found, target: &Target) -> Result<bool, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(&found.parent, found.name.as_os_str(), flags, Mode::empty()) {
        Ok(there) => Ok(inodes::id(there)? == inodes::id(&target.fd)?),
        Err(Errno::ENOENT) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// Takes another inode than was judged from the new name: back to the old one, or away.
fn move_back(old: &Found, new: &Found, exchanged: bool) -> Result<(), Errno> {
    if exchanged {
        return rename(new, old, libc::RENAME_EXCHANGE);
    }
    rename(new, old, libc::RENAME_NOREPLACE).or_else(|_| {
        let name = new.name.as_os_str();
        unlinkat(&new.parent, name, UnlinkatFlags::NoRemoveDir)
            .or_else(|_| unlinkat(&new.parent, name, UnlinkatFlags::RemoveDir))
    })
}
