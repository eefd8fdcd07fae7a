//! execve(2) and execveat(2).

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::path::{PathArg, path_at};
use crate::notify::caller::Memory;
use crate::policy::call::Call;
use crate::syscalls::Arg;

/// The arguments of an exec: pointers into the caller's memory, and flags.
pub struct Exec {
    /// The directory descriptor from which a relative path begins.
    pub dirfd: i32,
    /// The address of the path.
    pub path: u64,
    /// The address of the argument list.
    pub args: u64,
    /// The address of the environment.
    pub environment: u64,
    /// Whether an empty path names the descriptor (AT_EMPTY_PATH).
    pub may_be_empty: bool,
    /// Whether a link at the end is followed.
    pub follow: bool,
}

impl Exec {
    /// Of execve or execveat.
    pub fn of(call: &Call) -> Exec {
        let (dirfd, path) = call.paths().next().unwrap_or((libc::AT_FDCWD, 0));
        let mut lists = call.arguments(Arg::Pointer);
        let mut list = || lists.next().unwrap_or_default();
        let (args, environment) = (list(), list());
        let flags = call.argument(Arg::Flags).unwrap_or_default() as i32;
        Exec {
            dirfd,
            path,
            args,
            environment,
            may_be_empty: flags & libc::AT_EMPTY_PATH != 0,
            follow: flags & libc::AT_SYMLINK_NOFOLLOW == 0,
        }
    }

    /// The path in the caller's memory.
    ///
    /// # Errors
    /// As [`Memory::path`]; EFAULT is no error where the descriptor is named.
    pub fn path(&self, memory: &Memory) -> Result<PathBuf, Errno> {
        match path_at(memory, self.path) {
            Ok(path) => Ok(path),
            // execveat(fd, NULL, …, AT_EMPTY_PATH) names the descriptor.
            Err(Errno::EFAULT) if self.may_be_empty => Ok(PathBuf::new()),
            Err(errno) => Err(errno),
        }
    }
    /// The file to execute, given the path that was read: the path, or the descriptor for an empty
    /// one; and whether a link at its end is followed.
    pub fn file(&self, path: &Path) -> (PathArg, bool) {
        let path_arg = PathArg { dirfd: self.dirfd, path: path.to_owned(), descriptor: false };
        let names_descriptor = self.may_be_empty && path.as_os_str().is_empty();
        (if names_descriptor { path_arg.or_descriptor() } else { path_arg }, self.follow || names_descriptor)
    }
}
