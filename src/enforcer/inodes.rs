//! The inodes that rights on tracked names are for (see [`policy::inode`]): those that were there
//! at the start, and the last one that came to each name since.
//!
//! Each has an open O_PATH descriptor. While it is open the kernel gives its inode number to no
//! other inode, and fstat(2) of it returns the number that the inode has now, which may change
//! when a file of an image is first written (a copy-up of overlayfs). So there are at most two
//! descriptors for a tracked name, and none where no name is tracked.
//!
//! [`policy::inode`]: crate::policy::inode

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, fstat};

use crate::image::FileId;
use crate::policy::PolicyEngine;
use crate::profile::Rights;

/// The inodes of tracked names.
#[derive(Debug, Default)]
pub struct Inodes {
    entries: Vec<InodeEntry>,
    /// Names where the kernel makes what comes there: whatever is found there next.
    expected: HashSet<PathBuf>,
}

#[derive(Debug)]
struct InodeEntry {
    name: PathBuf,
    fd: OwnedFd,
    planned: bool,
}

/// Device and inode of an open descriptor.
///
/// # Errors
/// As fstat(2).
pub fn id(fd: impl AsFd) -> Result<FileId, Errno> {
    let stat = fstat(fd)?;
    Ok(FileId { device: stat.st_dev, inode: stat.st_ino })
}

impl Inodes {
    /// Opens the inodes that are at tracked names and were there when the plan was made.
    ///
    /// # Errors
    /// EMFILE, ENFILE or ENOMEM, as in open(2).
    pub fn at_start(rules: &PolicyEngine) -> Result<Inodes, Errno> {
        let mut inodes = Inodes::default();
        for (name, planned) in rules.tracked_files() {
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            match openat(AT_FDCWD, name, flags, Mode::empty()) {
                Ok(fd) if id(&fd) == Ok(planned) => {
                    inodes.entries.push(InodeEntry { name: name.into(), fd, planned: true });
                }
                Err(errno @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)) => return Err(errno),
                // It is another by now, or cannot be reached: then no right is for it.
                _ => {}
            }
        }
        Ok(inodes)
    }

    /// The rights of tracked names that are for this inode.
    pub fn owned(&self, target: FileId, rules: &PolicyEngine) -> Rights {
        let own = self.entries.iter().filter(|entry| id(&entry.fd) == Ok(target));
        own.fold(Rights::NONE, |all, entry| all.union(rules.tracked_rights(&entry.name)))
    }

    /// This inode came to a tracked name, made there or moved from where the app had the
    /// same rights.
    pub fn came(&mut self, name: &Path, fd: OwnedFd) {
        self.gone(name);
        self.entries.push(InodeEntry { name: name.into(), fd, planned: false });
    }

    /// What came to this name has left it.
    pub fn gone(&mut self, name: &Path) {
        self.entries.retain(|entry| entry.planned || entry.name != name);
    }

    /// A call continues that may make a file at this name.
    pub fn expect(&mut self, name: &Path) {
        self.expected.insert(name.into());
    }

    /// Whether a call continued that may have made the file at this name.
    pub fn was_expected(&mut self, name: &Path) -> bool {
        self.expected.remove(name)
    }
}
