//! What the container's files are, looked at once at start: the only thing that
//! planning asks of the outside. [`Live`](live::Live) looks at the real ones,
//! [`Tree`](tree::Tree) is invented by tests.

#![forbid(unsafe_code)]

pub mod digest;
pub mod elf;
pub mod fingerprint;
pub mod live;
pub mod packages;
pub mod tree;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// As many links as the kernel follows (MAXSYMLINKS).
const MAX_LINKS: usize = 40;

/// Whether `path` is `directory` or lies beneath it. Both are absolute, without `.`, `..` and
/// doubled slashes, so that bytes are compared and no names, as [`Path::starts_with`] does.
pub fn is_beneath(path: &Path, directory: &Path) -> bool {
    let directory = directory.as_os_str().as_bytes();
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    let rest = path.as_os_str().as_bytes().strip_prefix(directory);
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// A file's identity: a program is an inode, whatever its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// The device of its file system (stat(2), st_dev).
    pub device: u64,
    /// Its inode number on that device (st_ino).
    pub inode: u64,
}

/// The file at a path, links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The path with every link resolved.
    pub canonical: PathBuf,
    /// Its identity, whatever its names.
    pub id: FileId,
    /// Its type.
    pub kind: FileKind,
    /// st_mode's permission bits.
    pub mode: u32,
    /// st_nlink: how many names it has, of a file.
    pub links: u64,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A character or block device.
    Device,
    /// A socket, a pipe, anything else.
    Other,
}

/// How a file is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executable {
    /// An ELF program that needs no loader.
    Static,
    /// An ELF program and the loader that its PT_INTERP names.
    Dynamic(PathBuf),
    /// An ELF loader itself (shared, no PT_INTERP, a SONAME that begins with `ld`).
    Loader,
    /// A script and the interpreter and optional argument of its `#!` line.
    Script(PathBuf, Option<String>),
    /// An ELF file for another machine.
    Foreign(u16),
    /// Nothing that the kernel can execute.
    Unknown,
}

/// How a path leads to where it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// The path of every symbolic link on the way, in order: a process that replaces one
    /// decides where the path leads next time.
    pub links: Vec<PathBuf>,
    /// The canonical path of the end, which need not exist.
    pub end: PathBuf,
}

/// The container's files, as planning sees them.
pub trait Files {
    /// The file at `path`, links followed; `Ok(None)` where there is none.
    ///
    /// # Errors
    /// Whatever stat answers but ENOENT and ENOTDIR.
    fn look(&self, path: &Path) -> std::io::Result<Option<Look>>;

    /// [`look`](Files::look) at a path whose directory no link leads to, which need not be
    /// resolved again.
    ///
    /// # Errors
    /// As those of `look`.
    fn look_beside(&self, path: &Path) -> std::io::Result<Option<Look>> {
        self.look(path)
    }

    /// What a symbolic link holds; none where `path` is no link.
    fn read_link(&self, path: &Path) -> Option<PathBuf>;

    /// How a path leads to its end, link by link, whether it exists or not.
    fn trail(&self, path: &Path) -> Trail {
        let mut trail = Trail { links: Vec::new(), end: "/".into() };
        let parts = |path: &Path| path.components().rev().map(|part| part.as_os_str().to_owned()).collect();
        // The next name is the last.
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

    /// The names in a directory, sorted; whether each is a symbolic link.
    ///
    /// # Errors
    /// The directory cannot be listed.
    fn list(&self, path: &Path) -> std::io::Result<Vec<(OsString, bool)>>;
}

/// The files with an execute bit in `command`'s own directory that the kernel can
/// execute, sorted: what the `baseline` profile takes for programs beside its usual
/// directories. Links are left out, since they name files that are elsewhere or here
/// already, and so is what only has the bit (`/.dockerenv`, whole mounts of another
/// system, a script whose interpreter is not there).
///
/// # Errors
/// The directory cannot be listed, or a file in it not looked at.
pub fn beside(files: &dyn Files, command: &Path) -> std::io::Result<Vec<PathBuf>> {
    let Some(directory) = command.parent() else { return Ok(Vec::new()) };
    let mut beside = Vec::new();
    for (name, is_link) in files.list(directory)? {
        let path = directory.join(name);
        if is_link {
            continue;
        }
        let look = files.look(&path)?;
        let has_bit = look.is_some_and(|look| look.kind == FileKind::Regular && look.mode & 0o111 != 0);
        let runs = |path: &Path| match files.executable(path) {
            Ok(Executable::Static) => true,
            Ok(Executable::Dynamic(next) | Executable::Script(next, _)) => {
                matches!(files.look(&next), Ok(Some(_)))
            }
            _ => false,
        };
        if has_bit && runs(&path) {
            beside.push(path);
        }
    }
    Ok(beside)
}

/// Why a file could not be looked at, without the bare number that std puts behind it.
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
    }
}
