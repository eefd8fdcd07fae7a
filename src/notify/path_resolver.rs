//! Resolves a caller's path to a file, with the caller's rights and from its root.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::notify::caller::{Caller, Identity, Memory};
use crate::notify::handed::HandedItem;
use crate::notify::resolve::{self, Found, Target, is_plain};
use crate::notify::syscall_args::{AttributeArgs, PathArg};
use crate::procfs::link_to;

/// Resolves the paths that callers name, with their rights and from their root.
pub struct PathResolver<'a> {
    /// The supervisor's own identity, restored after each resolution.
    pub identity: &'a Identity,
    /// Whether a caller may have changed its root (chroot(2)).
    pub moves: bool,
}

/// The file at a path, if it exists, and its canonical path.
pub type Resolved = (Option<Target>, PathBuf);

impl PathResolver<'_> {
    /// The file at a path: by one call where the path means the same to every caller, else name by
    /// name, which also gives the errno where it does not exist.
    ///
    /// # Errors
    /// As [`resolve::resolve`].
    pub fn file(&self, caller: &Caller, at: &PathArg, follow: bool) -> Result<Resolved, Errno> {
        let path = &*at.path;
        if is_plain(path)
            && !self.moves
            && let Ok((target, canonical)) =
                self.identity.with_caller_creds(caller, || resolve::at_once(path, follow))
        {
            return Ok((Some(target), canonical));
        }
        self.find(caller, at, follow).map(|found| (found.target, found.canonical))
    }

    /// The file whose owner, mode or times are changed.
    ///
    /// # Errors
    /// As [`resolve::resolve`], and [`Memory::path`]; ENOENT where the file does not exist.
    pub fn attributes_of(
        &self,
        args: &AttributeArgs,
        caller: &Caller,
        memory: &Memory,
    ) -> Result<Target, Errno> {
        let (at, follow) = args.file(memory)?;
        self.find(caller, &at, follow)?.target.ok_or(Errno::ENOENT)
    }

    /// Resolves a path name by name.
    ///
    /// # Errors
    /// As [`resolve::resolve`].
    pub fn find(&self, caller: &Caller, at: &PathArg, follow: bool) -> Result<Found, Errno> {
        let PathArg { dirfd, path, descriptor } = at;
        let (root_fd, own);
        let root = if self.moves && !descriptor {
            // A link of the supervisor's that leads to the caller's root.
            root_fd = self.identity.with_caller_fsids(caller, || caller.own("root", HandedItem::Root))?;
            own = PathBuf::from(link_to(&root_fd));
            &own
        } else {
            Path::new("/")
        };
        let start = || resolve::start(caller, *dirfd, path, root);
        let start = match caller.handed {
            // The caller may have made up the name of the descriptor.
            Some(_) => self.identity.with_caller_creds(caller, start),
            None => self.identity.with_caller_fsids(caller, start),
        }?;
        self.identity.with_caller_creds(caller, || resolve::resolve(caller, start, path, follow, root))
    }
}
