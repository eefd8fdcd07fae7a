//! Performs calls for the app, where the profile grants them and the kernel has no rule for them:
//! on files that did not exist when the rules were made.
//!
//! The supervisor acts on what it decided about. A path was resolved once, to a directory and to
//! the file in it, and both are open: the file is opened, truncated and linked by its descriptor,
//! whatever its name leads to by then. Where there was none, O_EXCL makes a new inode or fails.
//! Two calls take names alone:
//!
//! - A name is removed in the directory that was resolved. Another thread may have exchanged the
//!   file that has it: a process that could move that file there could have removed it before.
//! - A rename is checked afterwards. Where another inode was moved than was resolved, it is moved
//!   back or removed, and the call is a violation. Until then it was not opened through the
//!   supervisor, which performs one call at a time; what the kernel's rules allow to be read in a
//!   directory that was widened may have been read.
//!
//! The supervisor acts with the caller's file-system ids, groups, capabilities and umask, and
//! makes no file longer than the caller's RLIMIT_FSIZE. So it does nothing that the caller might
//! not do unconfined. A file that the profile has as a program is not changed under any name.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, lstat, mkdirat, mknodat, stat};
use nix::unistd::{LinkatFlags, UnlinkatFlags, ftruncate, linkat, symlinkat, unlinkat};

use super::Enforcer;
use crate::enforcer::inodes;
use crate::image::FileKind;
use crate::notify::caller::{Caller, file_size_limit};
use crate::notify::reopen::set_status_flags;
use crate::notify::resolve::{Found, Target};
use crate::notify::syscall_args::{Open, TreeChange};
use crate::procfs::link_to;
use crate::sys;

/// Why nothing was done.
pub(super) enum PerformError {
    /// The kernel refuses it, as it would have refused the caller: the errno.
    Kernel(Errno),
    /// The file is a program, or no regular file, or was exchanged: a violation.
    TargetChanged,
    /// A file was made at a name that did not exist.
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
            // Without waiting: the file may have a lease.
            let flags = (requested - by_name) | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
            let fd = match &found.target {
                None => {
                    let mode = mode_of(found, open.mode, caller);
                    openat(&found.parent, found.name.as_os_str(), (flags - OFlag::O_TRUNC) | by_name, mode)?
                }
                // A file without a name, in this directory; with O_EXCL it never gets one (open(2)).
                Some(target) if requested.contains(OFlag::O_TMPFILE) => {
                    let flags = flags | (requested & OFlag::O_EXCL);
                    openat(AT_FDCWD, &*link_to(&target.fd), flags, mode_of(found, open.mode, caller))?
                }
                Some(target) => {
                    let stat = fstat(&target.fd)?;
                    let changes = requested.intersects(OFlag::O_ACCMODE | OFlag::O_TRUNC);
                    if !matches!(target.kind, FileKind::Regular | FileKind::Directory)
                        || (changes && self.rules.is_protected(inodes::id(&target.fd)?))
                    {
                        return Ok(None);
                    }
                    if requested.contains(OFlag::O_CREAT) {
                        may_create_over(&fstat(&found.parent)?, &stat, caller)?;
                    }
                    openat(AT_FDCWD, &*link_to(&target.fd), flags, Mode::empty())?
                }
            };
            set_status_flags(&fd, requested)?;
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

    /// Checks a resolved path before anything is done for the caller. The caller still waits, so
    /// its ids and its path were not read of another thread that has its tid by now. And the open
    /// directory, or the file behind a magic link, is the one at its path: a descriptor from another
    /// mount namespace may have a path that leads elsewhere here.
    pub(super) fn still_as_resolved(&self, found: &Found) -> Result<(), Errno> {
        let (opened, there) = match &found.target {
            // The path is the text of the link, and no directory was opened.
            Some(target) if found.magic => (fstat(&target.fd)?, lstat(&found.canonical)?),
            _ => {
                let own = found.canonical.parent().filter(|_| found.name != ".");
                (fstat(&found.parent)?, stat(own.unwrap_or(&found.canonical))?)
            }
        };
        if (opened.st_dev, opened.st_ino) != (there.st_dev, there.st_ino) {
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
                let kind = mode & libc::S_IFMT;
                let bits = mode_of(found, *mode, caller);
                match kind {
                    0 | libc::S_IFREG => {
                        let new = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
                        openat(parent, name, new, bits).map(Some)
                    }
                    libc::S_IFIFO | libc::S_IFSOCK => {
                        mknodat(parent, name, SFlag::from_bits_truncate(kind), bits, 0).map(|()| None)
                    }
                    libc::S_IFCHR | libc::S_IFBLK | libc::S_IFDIR => Err(Errno::EPERM),
                    _ => Err(Errno::EINVAL),
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
                ftruncate(openat(AT_FDCWD, &*link_to(&target.fd), flags, Mode::empty())?, *length)
                    .map(|()| None)
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
                linkat(AT_FDCWD, &*link_to(&source.fd), &new.parent, new.name.as_os_str(), follow)
            }
            _ => Err(Errno::EINVAL),
        })?;
        let other = new.target.as_ref().filter(|_| change.is_exchange());
        if matches!(change, TreeChange::Rename { .. }) {
            let is_moved = self.identity.with_caller_creds(caller, || {
                if no_other_inode_at(new, source)?
                    && other.map_or(Ok(true), |other| no_other_inode_at(old, other))?
                {
                    return Ok(true);
                }
                move_back(old, new, other.is_some()).map(|()| false)
            });
            // A move that cannot be undone is refused like one that was.
            if !is_moved
                .inspect_err(|errno| tracing::error!(%errno, name = %new.canonical.display(), "a rename"))
                .unwrap_or(false)
            {
                return Err(PerformError::TargetChanged);
            }
        }
        self.came(new, &source.fd)?;
        if let Some(other) = other {
            self.came(old, &other.fd)?;
        }
        Ok(())
    }

    /// Remembers the inode that a tracked name has from now on.
    fn came(&self, found: &Found, fd: &OwnedFd) -> Result<(), Errno> {
        if self.rules.tracks(&found.canonical) {
            let file = openat(AT_FDCWD, &*link_to(fd), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
            self.memory.inodes.borrow_mut().came(&found.canonical, file);
        }
        Ok(())
    }

    /// Whether the kernel would refuse to make the file so long. This is checked before, since the
    /// kernel applies the supervisor's own limit to what the supervisor does. A file that is longer
    /// already may be shortened; one that becomes shorter meanwhile is never longer afterwards than
    /// it was at this check.
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

/// fs.protected_regular (proc(5)), as most systems set it: in a sticky, world-writable directory an
/// open with O_CREAT does not open another user's file. The kernel does not check that for an open
/// through a descriptor.
fn may_create_over(directory: &FileStat, file: &FileStat, caller: &Caller) -> Result<(), Errno> {
    const FOR_ALL: u32 = libc::S_ISVTX | libc::S_IWOTH;
    let [.., uid] = caller.uids;
    let is_refused = directory.st_mode & FOR_ALL == FOR_ALL
        && file.st_uid != uid.as_raw()
        && file.st_uid != directory.st_uid;
    if is_refused { Err(Errno::EACCES) } else { Ok(()) }
}

fn rename(from: &Found, to: &Found, flags: u32) -> Result<(), Errno> {
    sys::files::rename(from.parent.as_fd(), &from.name, to.parent.as_fd(), &to.name, flags)
}

/// Whether no other inode has the name now.
fn no_other_inode_at(found: &Found, target: &Target) -> Result<bool, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(&found.parent, found.name.as_os_str(), flags, Mode::empty()) {
        Ok(there) => Ok(inodes::id(there)? == inodes::id(&target.fd)?),
        Err(Errno::ENOENT) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// Takes an inode from the new name that is not the resolved one: moves it back, where the old name is taken
/// to a name beside it that cannot be guessed, or removes it.
fn move_back(old: &Found, new: &Found, exchanged: bool) -> Result<(), Errno> {
    if exchanged {
        return rename(new, old, libc::RENAME_EXCHANGE);
    }
    let beside = || {
        let [number, ..] = sys::process::random()?;
        let name = OsString::from(format!(".moved-back-{number:016x}"));
        sys::files::rename(new.parent.as_fd(), &new.name, old.parent.as_fd(), &name, libc::RENAME_NOREPLACE)
    };
    rename(new, old, libc::RENAME_NOREPLACE).or_else(|_| beside()).or_else(|_: Errno| {
        let name = new.name.as_os_str();
        unlinkat(&new.parent, name, UnlinkatFlags::NoRemoveDir)
            .or_else(|_| unlinkat(&new.parent, name, UnlinkatFlags::RemoveDir))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(directory: &std::path::Path, name: &str) -> Found {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let parent = openat(AT_FDCWD, directory, flags, Mode::empty()).expect("a directory");
        let canonical = directory.join(name);
        Found { parent, name: name.into(), canonical, target: None, magic: false, stream: None }
    }

    /// A directory with files in it can neither be removed nor moved over what took its old name.
    #[test]
    fn what_came_under_the_new_name_goes_back_though_the_old_one_is_taken() {
        let place = tempfile::tempdir().expect("a directory");
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        std::fs::create_dir_all(to.join("new/inside")).expect("directories");
        std::fs::create_dir(&from).expect("a directory");
        std::fs::write(from.join("old"), "another").expect("a file");
        move_back(&found(&from, "old"), &found(&to, "new"), false).expect("moved");
        assert!(!to.join("new").exists());
        let names: Vec<_> =
            std::fs::read_dir(&from).expect("listed").flatten().map(|one| one.file_name()).collect();
        assert_eq!(
            (names.len(), std::fs::read_to_string(from.join("old")).expect("it stays")),
            (2, "another".to_owned())
        );
        let beside = names.iter().find(|name| *name != "old").expect("two");
        assert!(from.join(beside).join("inside").is_dir(), "{names:?}");
        // Back to its own name where that is free.
        std::fs::create_dir_all(to.join("new/inside")).expect("directories");
        move_back(&found(&from, "free"), &found(&to, "new"), false).expect("moved");
        assert!(from.join("free/inside").is_dir() && !to.join("new").exists());
    }
}
