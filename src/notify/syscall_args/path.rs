//! Paths that calls name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::notify::caller::Memory;

/// A path as a call names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathArg {
    /// The directory descriptor from which a relative path begins, or AT_FDCWD.
    pub dirfd: i32,
    /// The path, read from the caller's memory.
    pub path: PathBuf,
    /// The call names a descriptor alone, so the path is not the caller's: it begins at the
    /// supervisor's root, since the caller's may have no /proc.
    pub descriptor: bool,
}

impl PathArg {
    /// Reads the path that a register points to.
    ///
    /// # Errors
    /// As [`Memory::path`].
    pub fn read(memory: &Memory, dirfd: i32, pointer: u64) -> Result<PathArg, Errno> {
        Ok(PathArg { dirfd, path: path_at(memory, pointer)?, descriptor: false })
    }

    /// A path from the working directory.
    pub fn here(path: &Path) -> PathArg {
        PathArg { dirfd: libc::AT_FDCWD, path: path.to_owned(), descriptor: false }
    }

    /// The file that a descriptor of the caller is open on.
    pub fn of_descriptor(fd: i32) -> PathArg {
        let path = PathBuf::from(format!("/proc/self/fd/{fd}"));
        PathArg { dirfd: libc::AT_FDCWD, path, descriptor: true }
    }

    /// For an empty path the descriptor itself, as with AT_EMPTY_PATH (openat(2)).
    #[must_use]
    pub fn or_descriptor(self) -> PathArg {
        let names_descriptor = self.path.as_os_str().is_empty() && self.dirfd != libc::AT_FDCWD;
        if names_descriptor { PathArg::of_descriptor(self.dirfd) } else { self }
    }

    /// Whether the kernel takes it for a directory's path alone: it ends with a slash.
    pub fn names_directory(&self) -> bool {
        self.path.as_os_str().as_bytes().ends_with(b"/")
    }
}

/// A path in the caller's memory.
///
/// # Errors
/// As [`Memory::path`].
pub fn path_at(memory: &Memory, pointer: u64) -> Result<PathBuf, Errno> {
    Ok(Path::new(OsStr::from_bytes(&memory.path(pointer)?)).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_path_names_the_descriptor_where_there_is_one() {
        let arg = |dirfd, path: &str| PathArg { dirfd, path: path.into(), descriptor: false };
        assert_eq!(arg(7, "").or_descriptor(), PathArg::of_descriptor(7));
        let same = arg(libc::AT_FDCWD, "/proc/self/fd/7");
        assert_eq!(PathArg::of_descriptor(7), PathArg { descriptor: true, ..same });
        for other in [arg(7, "x"), arg(libc::AT_FDCWD, "")] {
            assert_eq!(other.clone().or_descriptor(), other);
        }
        assert!(arg(7, "x/").names_directory() && !arg(7, "x").names_directory());
    }
}
