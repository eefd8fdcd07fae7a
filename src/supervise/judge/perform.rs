//! What the supervisor does for the app, where the profile grants it and the kernel
//! has no rule that says so: a file that did not exist when the rules were made.
//!
//! It acts in the directory that was resolved and is held, on the last name in it,
//! never following a link there; with the caller's file-system ids, groups,
//! capabilities and umask. So nothing is done that the caller might not do
//! unconfined, and nothing at a place that was not judged. A file that turns out to
//! be a program is not touched, under whatever name: a name can be swapped between
//! the look and the act, an inode that is open cannot.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, openat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat, mknodat, stat};
use nix::unistd::{LinkatFlags, UnlinkatFlags, ftruncate, linkat, symlinkat, unlinkat};

use super::Judge;
use super::files::Change;
use crate::image::FileId;
use crate::supervise::asked::Opening;
use crate::supervise::caller::Caller;
use crate::supervise::resolve::Found;
use crate::sys;

/// Why nothing was opened.
pub(super) enum Hindered {
    /// The kernel refuses it, as it would have refused the caller.
    Kernel(Errno),
    /// What stands there by now is a program, or no file at all: a violation.
    Swapped,
}

impl Judge {
    /// Opens a file for the caller.
    pub(super) fn perform_open(
        &self,
        found: &Found,
        open: Opening,
        caller: &Caller,
    ) -> Result<OwnedFd, Hindered> {
        let asked = OFlag::from_bits_retain(open.flags);
        // Truncated only once it is known what it is, and never waited for: a pipe
        // may have been put there meanwhile.
        let flags = (asked - OFlag::O_TRUNC) | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let mode = Mode::from_bits_truncate(open.mode & !caller.umask);
        self.still_as_judged(found).map_err(Hindered::Kernel)?;
        let opened = self.identity.become_caller(caller, || {
            let fd = openat(&found.parent, found.name.as_os_str(), flags, mode)?;
            let stat = fstat(&fd)?;
            let regular = SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT) == SFlag::S_IFREG;
            let id = FileId { device: stat.st_dev, inode: stat.st_ino };
            if !regular || self.rules.is_protected(id) {
                return Ok(None);
            }
            if asked.contains(OFlag::O_TRUNC) {
                ftruncate(&fd, 0)?;
            }
            let keep = OFlag::O_APPEND | OFlag::O_NONBLOCK | OFlag::O_DIRECT | OFlag::O_NOATIME;
            fcntl(&fd, FcntlArg::F_SETFL(asked & keep))?;
            Ok(Some(fd))
        });
        opened.map_err(Hindered::Kernel)?.ok_or(Hindered::Swapped)
    }

    /// To be asked before anything is done for a caller. It still waits, so its ids
    /// and its path were read of it and not of another that took its number over.
    /// And the held directory is where its path says: a descriptor that came from
    /// another mount namespace has a path that means something else here.
    pub(super) fn still_as_judged(&self, found: &Found) -> Result<(), Errno> {
        let here = found.canonical.parent().filter(|_| found.name != ".").unwrap_or(&found.canonical);
        let (held, there) = (fstat(&found.parent)?, stat(here)?);
        if (held.st_dev, held.st_ino) != (there.st_dev, there.st_ino) {
            return Err(Errno::EACCES);
        }
        if self.waits() == Ok(true) { Ok(()) } else { Err(Errno::ESRCH) }
    }

    /// Makes a change for the caller; `to` is the new path of a rename or link.
    pub(super) fn perform(
        &self,
        found: &Found,
        to: Option<&Found>,
        change: &Change,
        caller: &Caller,
    ) -> Result<(), Errno> {
        let name = found.name.as_os_str();
        let parent = found.parent.as_fd();
        for place in [Some(found), to].into_iter().flatten() {
            self.still_as_judged(place)?;
        }
        let bits = |mode: u32| Mode::from_bits_truncate(mode & 0o7777 & !caller.umask);
        self.identity.become_caller(caller, || match (change, to) {
            (Change::MakeDirectory { mode }, _) => mkdirat(parent, name, bits(*mode)),
            (Change::MakeNode { mode }, _) => {
                let kind = SFlag::from_bits_truncate(mode & libc::S_IFMT);
                if kind == SFlag::S_IFCHR || kind == SFlag::S_IFBLK {
                    return Err(Errno::EPERM);
                }
                mknodat(parent, name, kind, bits(*mode), 0)
            }
            (Change::MakeLink { text }, _) => symlinkat(OsStr::from_bytes(text), parent, name),
            (Change::Remove { directory }, _) => {
                let flag = if *directory { UnlinkatFlags::RemoveDir } else { UnlinkatFlags::NoRemoveDir };
                unlinkat(parent, name, flag)
            }
            (Change::Truncate { length }, _) => {
                let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
                let fd = openat(parent, name, flags, Mode::empty())?;
                let stat = fstat(&fd)?;
                if self.rules.is_protected(FileId { device: stat.st_dev, inode: stat.st_ino }) {
                    return Err(Errno::EACCES);
                }
                ftruncate(&fd, *length)
            }
            (Change::Rename { flags }, Some(to)) => {
                sys::files::rename(parent, name, to.parent.as_fd(), to.name.as_os_str(), *flags)
            }
            (Change::HardLink, Some(to)) => {
                linkat(parent, name, &to.parent, to.name.as_os_str(), LinkatFlags::empty())
            }
            (Change::Rename { .. } | Change::HardLink, None) => Err(Errno::EINVAL),
        })
    }
}
