//! An unpacked image. The kernel resolves every path inside it (openat2(2), RESOLVE_IN_ROOT): an
//! absolute link is relative to its root, and `..` stays in it.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};

use super::layer::text;
use super::{no_regular, too_large};
use crate::image::digest::digest;
use crate::image::live::{self, file_info};
use crate::image::packages::Databases;
use crate::image::{Executable, FileInfo, ImageFiles, ListedName, elf};
use crate::kernel::Arch;

/// The files of an unpacked image.
#[derive(Debug)]
pub(super) struct Unpacked {
    root: OwnedFd,
    arch: Arch,
}

impl Unpacked {
    /// The image in this directory, whose programs are for this architecture.
    pub(super) fn new(root: OwnedFd, arch: Arch) -> Unpacked {
        Unpacked { root, arch }
    }

    /// Opens what is at a path, without reading it.
    fn open(&self, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
        let how = OpenHow::new()
            .flags(OFlag::O_CLOEXEC | flags)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        // An empty path is none for the kernel.
        let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
        for _ in 0..32 {
            match openat2(&self.root, path, how) {
                // Somewhere a directory was renamed, so that `..` might lead out.
                Err(Errno::EAGAIN) => {}
                found => return found,
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Opens a regular file for reading. Anything else is not opened: a FIFO would block, and a
    /// device may act.
    fn regular(&self, path: &Path) -> io::Result<File> {
        let found = File::from(self.open(path, OFlag::O_PATH)?);
        let kind = found.metadata()?.file_type();
        if !kind.is_file() {
            return Err(match () {
                () if kind.is_dir() => Errno::EISDIR.into(),
                () if kind.is_fifo() => no_regular("a FIFO"),
                () if kind.is_socket() => no_regular("a socket"),
                () => no_regular("a device"),
            });
        }
        File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))
    }

    /// The content of a regular file of at most `most` bytes, and its path without links; none where there
    /// is no file.
    ///
    /// # Errors
    /// It is no regular file, is larger, or cannot be read.
    pub(super) fn content(&self, path: &Path, most: u64) -> io::Result<Option<(PathBuf, Vec<u8>)>> {
        let file = match self.regular(path) {
            Ok(file) => file,
            Err(error) => {
                return match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
                    Some(Errno::EISDIR) => Err(io::Error::other("is no regular file")),
                    _ => Err(error),
                };
            }
        };
        let length = file.metadata()?.len();
        if length > most {
            return Err(too_large(length, most));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(too_large(bytes.len() as u64, most));
        }
        Ok(Some((self.trail(&Path::new("/").join(path)).end, bytes)))
    }

    /// The digest of a regular file; none where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn digest(&self, path: &Path) -> io::Result<Option<String>> {
        match self.regular(path) {
            Ok(file) => digest(file).map(Some).ok_or_else(|| Errno::EIO.into()),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT | Errno::ENOTDIR | Errno::EISDIR) => Ok(None),
                _ => Err(error),
            },
        }
    }
}

impl ImageFiles for Unpacked {
    fn stat(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        match self.open(path, OFlag::O_PATH) {
            Ok(found) => {
                let canonical = self.trail(&Path::new("/").join(path)).end;
                Ok(Some(file_info(canonical, &File::from(found).metadata()?)))
            }
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        let link = self.open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW).ok()?;
        readlinkat(link.as_fd(), "").ok().map(PathBuf::from)
    }

    fn executable(&self, path: &Path) -> io::Result<Executable> {
        elf::executable(&self.regular(path)?, self.arch)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<ListedName>> {
        let directory = self.open(path, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
            let entry = entry?;
            names.push((entry.file_name(), live::kind(entry.file_type()?)));
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl Databases for Unpacked {
    fn text(&self, path: &str) -> Option<Cow<'_, str>> {
        let mut bytes = Vec::new();
        self.regular(Path::new(path))
            .ok()?
            .take(crate::image::packages::MOST)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(Cow::Owned(text(bytes)))
    }

    fn names(&self, directory: &str) -> Vec<OsString> {
        let names = self.list(Path::new(directory)).unwrap_or_default();
        names.into_iter().map(|(name, _)| name).collect()
    }
}
