//! Which files came with the image. A restart of the same container must find the answer of its
//! first start: what the app wrote in between is no program.
//!
//! A file is **of the image** when
//!
//! 1. it lies on a mount that is read-only, and the same files are writable through no other mount;
//! 2. or no process of the app could have written it: the app is not root and has no capability by
//!    which it could act as another user, and neither the file nor a directory above it is its own
//!    or writable by others;
//! 3. or it lies on the root file system and was last changed before the container was made. The
//!    kernel alone sets st_ctime, at each write, chmod, link, rename and copy-up, and the filter
//!    refuses to set the clock.
//!
//! No fact of these can be forged from inside; where none is known, no file counts.

use std::path::Path;

use super::{Host, mounts};
use crate::ids::Uid;
use crate::image::{FileInfo, ImageFiles, Time};
use crate::procfs::mountinfo::MountInfo;
use crate::profile::{Capability, Mode, Profile};

/// When the container was made, by what shows it, and files that came with the image for certain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Births {
    /// The birth of `/`, where it is an overlay's: the engine makes its upper directory for the
    /// container.
    pub root: Option<Time>,
    /// The earliest birth of the files that the engine makes for the container and mounts one by
    /// one, such as `/etc/hosts`. The app may write and not replace them.
    pub engine: Option<Time>,
    /// This start, on a machine without containers: nothing there is started again.
    pub start: Option<Time>,
    /// When COMMAND and the shim last changed, where they lie on the root file system.
    pub witnesses: Vec<Time>,
}

impl Births {
    /// The time before which a file of the image was last changed. A clock by which neither COMMAND
    /// nor the shim came with the image (a copy of the image that was made for the container) shows
    /// nothing.
    pub fn container(&self) -> Option<Time> {
        let known = self.root.or(self.engine).or(self.start)?;
        self.witnesses.iter().any(|changed| *changed < known).then_some(known)
    }
}

/// The rule, with the facts of this start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileProvenance {
    mounts: Vec<MountInfo>,
    created: Option<Time>,
    /// The app's user, where it can become no other.
    user: Option<Uid>,
}

impl FileProvenance {
    /// The facts of this start. `user` is the app's at the start.
    pub(super) fn of(profile: &Profile, host: &Host, mode: Mode) -> FileProvenance {
        const ACTS_AS_OTHERS: [Capability; 8] = [
            Capability::CAP_CHOWN,
            Capability::CAP_DAC_OVERRIDE,
            Capability::CAP_FOWNER,
            Capability::CAP_SETUID,
            Capability::CAP_SETGID,
            Capability::CAP_SETFCAP,
            Capability::CAP_SYS_ADMIN,
            Capability::CAP_SYS_PTRACE,
        ];
        let user = profile.run_as.as_ref().unwrap_or(&host.ids).user;
        let is_granted = |one: &Capability| {
            host.permitted.contains(one)
                && (mode != Mode::Enforce || profile.capabilities.iter().any(|entry| entry.what == *one))
        };
        let confined = !user.is_root() && !ACTS_AS_OTHERS.iter().any(is_granted);
        FileProvenance {
            mounts: host.mounts.clone(),
            created: host.births.container(),
            user: confined.then_some(user),
        }
    }

    /// Whether the times of files tell which came with the image.
    pub fn tells_by_time(&self) -> bool {
        self.created.is_some()
    }

    /// Whether the times of the files in this directory tell it.
    pub(super) fn dates(&self, directory: &Path) -> bool {
        self.created.is_some() && mounts::of(&self.mounts, directory).is_some_and(is_root)
    }

    /// Whether files below this directory can be distinguished.
    pub fn tells(&self, directory: &Path) -> bool {
        let Some(mount) = mounts::of(&self.mounts, directory) else { return false };
        self.is_fixed(mount) || (is_root(mount) && (self.user.is_some() || self.created.is_some()))
    }

    /// Whether the file at this path, without links, came with the image. `files` shows the
    /// directories above it.
    pub fn is_of_image(&self, canonical: &Path, changed: Time, files: &dyn ImageFiles) -> bool {
        let Some(mount) = mounts::of(&self.mounts, canonical) else { return false };
        self.is_fixed(mount)
            || (is_root(mount) && self.created.is_some_and(|created| changed < created))
            || self.user.is_some_and(|user| !may_be_written(canonical, user, files))
    }

    /// Whether the engine mounted something at this path.
    pub fn is_mount_point(&self, path: &Path) -> bool {
        self.mounts.iter().any(|mount| mount.point == path)
    }

    fn is_fixed(&self, mount: &MountInfo) -> bool {
        mount.read_only && !mounts::written_elsewhere(&self.mounts, mount)
    }
}

fn is_root(mount: &MountInfo) -> bool {
    mount.point == Path::new("/")
}

/// Whether a user without capabilities may write the file, or exchange it or a directory above it.
/// Any write bit of group or others counts: an access list shows in them.
fn may_be_written(path: &Path, user: Uid, files: &dyn ImageFiles) -> bool {
    let may_write = |info: FileInfo| info.owner == user || info.mode & 0o022 != 0;
    path.ancestors().any(|place| match files.stat(place) {
        Ok(Some(info)) if info.canonical == place => may_write(info),
        _ => true,
    })
}

#[cfg(test)]
mod tests;
