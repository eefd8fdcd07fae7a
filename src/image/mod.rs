//! The files of the container, read once at start: planning needs nothing else from outside.
//! [`Snapshot`](snapshot::Snapshot) looks each real one up once, [`Live`](live::Live) anew each time;
//! [`ImageTree`](tree::ImageTree) is invented by tests.

#![forbid(unsafe_code)]

#[cfg(feature = "tool")]
pub mod archive;
pub mod digest;
pub mod elf;
pub mod fingerprint;
pub mod live;
pub mod packages;
pub mod snapshot;
pub mod tree;
pub mod trees;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::SFlag;

use crate::ids::Uid;

/// The most symbolic links that the kernel follows in a path (MAXSYMLINKS, path_resolution(7)).
pub const MAX_LINKS: usize = 40;

/// Whether `path` is `directory` or lies beneath it. Both are absolute, without `.`, `..` and
/// doubled slashes, so that bytes are compared and no names, as [`Path::starts_with`] does.
pub fn is_beneath(path: &Path, directory: &Path) -> bool {
    let directory = directory.as_os_str().as_bytes();
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    let rest = path.as_os_str().as_bytes().strip_prefix(directory);
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// The directory of a path such as those of [`is_beneath`]; none for the root.
pub fn directory(path: &Path) -> Option<&Path> {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|byte| *byte == b'/').filter(|_| bytes != b"/")?;
    Some(Path::new(OsStr::from_bytes(&bytes[..end.max(1)])))
}

/// The identity of a file: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// The device of its file system (stat(2), st_dev).
    pub device: u64,
    /// Its inode number on that device (st_ino).
    pub inode: u64,
}

/// The attributes of the file at a path, links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// The path with every link resolved.
    pub canonical: PathBuf,
    /// Its device and inode.
    pub id: FileId,
    /// Its type.
    pub kind: FileKind,
    /// st_mode's permission bits.
    pub mode: u32,
    /// st_nlink: the number of its hard links.
    pub links: u64,
    /// st_uid.
    pub owner: Uid,
    /// st_ctime, which the kernel alone sets.
    pub changed: Time,
}

/// A time of the kernel's clock: seconds since 1970, and nanoseconds.
pub type Time = (i64, u32);

/// The type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A character or block device.
    Device,
    /// A socket or a FIFO.
    Other,
}

/// A name in a directory, and the type of the file there; `None` for a symbolic link.
pub type ListedName = (OsString, Option<FileKind>);

impl FileKind {
    /// The type that st_mode has (inode(7)).
    pub fn of_mode(mode: u32) -> FileKind {
        match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => FileKind::Regular,
            SFlag::S_IFDIR => FileKind::Directory,
            SFlag::S_IFCHR | SFlag::S_IFBLK => FileKind::Device,
            _ => FileKind::Other,
        }
    }
}

/// How a file is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executable {
    /// An ELF program that needs no loader.
    Static,
    /// An ELF program, with the loader that its PT_INTERP names.
    Dynamic(PathBuf),
    /// An ELF loader itself (shared, no PT_INTERP, a SONAME that begins with `ld`).
    Loader,
    /// A script, with the interpreter and the optional argument of its `#!` line.
    Script(PathBuf, Option<String>),
    /// An ELF file for another machine (e_machine).
    Foreign(u16),
    /// A file that the kernel cannot execute.
    Unknown,
}

/// The symbolic links of a path, and its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// Every symbolic link that resolution follows, by its own path, in order: a process that
    /// replaces one changes where the path leads.
    pub links: Vec<PathBuf>,
    /// The resolved path, whether a file is there or not.
    pub end: PathBuf,
}

/// The container's files, as planning reads them.
pub trait ImageFiles {
    /// The attributes of the file at `path`, links followed; `Ok(None)` where there is none.
    ///
    /// # Errors
    /// Every errno of stat(2) but ENOENT and ENOTDIR.
    fn stat(&self, path: &Path) -> std::io::Result<Option<FileInfo>>;

    /// [`stat`](ImageFiles::stat) of a path whose directory is resolved already: it takes one
    /// system call.
    ///
    /// # Errors
    /// As those of `stat`.
    fn stat_beside(&self, path: &Path) -> std::io::Result<Option<FileInfo>> {
        self.stat(path)
    }

    /// The target of a symbolic link; `None` where `path` is not one.
    fn read_link(&self, path: &Path) -> Option<PathBuf>;

    /// Resolves a path link by link, whether a file is there or not.
    fn trail(&self, path: &Path) -> Trail {
        let mut trail = Trail { links: Vec::new(), end: "/".into() };
        let parts = |path: &Path| path.components().rev().map(|part| part.as_os_str().to_owned()).collect();
        // Reversed: the next name is the last.
        let mut ahead: Vec<OsString> = parts(path);
        while let Some(name) = ahead.pop() {
            match name.to_str() {
                Some(".") => continue,
                Some("..") => {
                    trail.end.pop();
                    continue;
                }
                _ => trail.end.push(&name),
            }
            if trail.links.len() < MAX_LINKS
                && let Some(target) = self.read_link(&trail.end)
            {
                trail.links.push(trail.end.clone());
                trail.end.pop();
                ahead.append(&mut parts(&target));
            }
        }
        trail
    }

    /// How the file at `path` is executed, from its first bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    fn executable(&self, path: &Path) -> std::io::Result<Executable>;

    /// The names in a directory, sorted, each with its type.
    ///
    /// # Errors
    /// The directory cannot be listed.
    fn list(&self, path: &Path) -> std::io::Result<Vec<ListedName>>;
}

/// The files with an execute bit in `command`'s own directory that the kernel can
/// execute, sorted: what the `baseline` profile takes for programs beside its usual
/// directories. Links are left out, since they name files that are elsewhere or here
/// already, and so is what only has the bit (`/.dockerenv`, whole mounts of another
/// system, a script whose interpreter is not there).
///
/// # Errors
/// The directory cannot be listed, or a file in it not looked at.
pub fn beside(files: &dyn ImageFiles, command: &Path) -> std::io::Result<Vec<PathBuf>> {
    let Some(directory) = command.parent() else { return Ok(Vec::new()) };
    let mut beside = Vec::new();
    for (name, kind) in files.list(directory)? {
        let path = directory.join(name);
        if kind != Some(FileKind::Regular) {
            continue;
        }
        let look = files.stat(&path)?;
        let has_bit = look.is_some_and(|look| look.kind == FileKind::Regular && look.mode & 0o111 != 0);
        let runs = |path: &Path| match files.executable(path) {
            Ok(Executable::Static) => true,
            Ok(Executable::Dynamic(next) | Executable::Script(next, _)) => {
                matches!(files.stat(&next), Ok(Some(_)))
            }
            _ => false,
        };
        if has_bit && runs(&path) {
            beside.push(path);
        }
    }
    Ok(beside)
}

/// The description of an I/O error, without the number that std appends.
pub fn why(error: &std::io::Error) -> String {
    let errno = error.raw_os_error().map(nix::errno::Errno::from_raw);
    errno.map_or_else(|| error.to_string(), |errno| errno.desc().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beneath_a_directory_is_what_its_name_begins_by_names() {
        let paths = ["/", "/a", "/a/b", "/ab", "/a/b/c", "/b"].map(Path::new);
        for (path, directory) in paths.iter().flat_map(|path| paths.map(|directory| (*path, directory))) {
            assert_eq!(is_beneath(path, directory), path.starts_with(directory), "{path:?} {directory:?}");
        }
        for path in paths {
            assert_eq!(directory(path), path.parent(), "{path:?}");
        }
    }
}
