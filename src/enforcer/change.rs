//! The rights that changes of the file tree need on the paths that they name.

use landlock::{AccessFs, BitFlags};

use crate::image::FileKind;
use crate::notify::resolve::{Found, Target};
use crate::notify::syscall_args::TreeChange;
use crate::profile::Rights;

/// Rights of the profile, and those of the kernel's for the same.
type Needs = (Rights, BitFlags<AccessFs>);

impl TreeChange {
    /// The rights that a change of one path needs; `None` where the kernel refuses it.
    pub(super) fn needs(&self, found: &Found) -> Option<Needs> {
        let there = found.target.as_ref();
        let make = |kernel: AccessFs| there.is_none().then_some((Rights::CREATE, kernel.into()));
        match self {
            TreeChange::MakeDirectory { .. } => make(AccessFs::MakeDir),
            TreeChange::MakeLink { .. } => make(AccessFs::MakeSym),
            TreeChange::MakeNode { mode } => make(match mode & libc::S_IFMT {
                0 | libc::S_IFREG => AccessFs::MakeReg,
                libc::S_IFIFO => AccessFs::MakeFifo,
                libc::S_IFSOCK => AccessFs::MakeSock,
                libc::S_IFCHR => AccessFs::MakeChar,
                libc::S_IFBLK => AccessFs::MakeBlock,
                // EPERM for a directory, EINVAL for another (mknod(2)).
                _ => return None,
            }),
            TreeChange::Remove { directory } => {
                let is_directory = there?.kind == FileKind::Directory;
                let kernel = if is_directory { AccessFs::RemoveDir } else { AccessFs::RemoveFile };
                (*directory == is_directory && found.name != ".").then_some((Rights::REMOVE, kernel.into()))
            }
            TreeChange::Truncate { .. } => {
                (there?.kind == FileKind::Regular).then_some((Rights::WRITE, AccessFs::Truncate.into()))
            }
            TreeChange::Rename { .. } | TreeChange::HardLink { .. } => None,
        }
    }

    /// The rights that a rename or link needs on its old and on its new path.
    pub(super) fn needs_of_two(&self, old: &Found, new: &Found) -> Option<(Needs, Needs)> {
        let source = old.target.as_ref()?;
        let make = |target: &Target| -> BitFlags<AccessFs> {
            match target.kind {
                FileKind::Directory => AccessFs::MakeDir.into(),
                FileKind::Regular => AccessFs::MakeReg.into(),
                _ => AccessFs::MakeSock.into(),
            }
        };
        let remove = |target: &Target| -> BitFlags<AccessFs> {
            match target.kind {
                FileKind::Directory => AccessFs::RemoveDir.into(),
                _ => AccessFs::RemoveFile.into(),
            }
        };
        let refer: BitFlags<AccessFs> = if old.canonical.parent() == new.canonical.parent() {
            BitFlags::empty()
        } else {
            AccessFs::Refer.into()
        };
        match self {
            TreeChange::HardLink { .. } if new.target.is_some() || source.kind == FileKind::Directory => None,
            // A second name needs no right on the file itself; that it must not grant more than
            // the first one does is checked apart (`gains`).
            TreeChange::HardLink { .. } => {
                Some(((Rights::NONE, refer), (Rights::CREATE, make(source) | refer)))
            }
            TreeChange::Rename { flags } if flags & libc::RENAME_EXCHANGE != 0 => {
                let other = new.target.as_ref()?;
                let both = Rights::CREATE.union(Rights::REMOVE);
                Some((
                    (both, remove(source) | make(other) | refer),
                    (both, remove(other) | make(source) | refer),
                ))
            }
            TreeChange::Rename { flags } if flags & libc::RENAME_NOREPLACE != 0 && new.target.is_some() => {
                None
            }
            TreeChange::Rename { .. } => {
                let replaced = new.target.as_ref().map(remove);
                let to = make(source) | refer | replaced.unwrap_or_default();
                Some(((Rights::REMOVE, remove(source) | refer), (Rights::CREATE, to)))
            }
            _ => None,
        }
    }
}
