//! What the container's files are, looked at once at start: the only thing that
//! planning asks of the outside. [`Live`](live::Live) looks at the real ones,
//! [`Tree`](tree::Tree) is invented by tests.

pub mod elf;
pub mod live;
pub mod tree;

use std::path::{Path, PathBuf};

/// A file's identity: a program is an inode, whatever its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// st_dev.
    pub device: u64,
    /// st_ino.
    pub inode: u64,
}

/// What stands at a path, links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The path with every link resolved.
    pub canonical: PathBuf,
    /// Device and inode.
    pub id: FileId,
    /// What it is.
    pub kind: FileKind,
    /// st_mode's permission bits.
    pub mode: u32,
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

/// The container's files, as planning sees them.
pub trait Files {
    /// What stands at `path`, links followed; `Ok(None)` when nothing does.
    ///
    /// # Errors
    /// Whatever stat answers but ENOENT and ENOTDIR.
    fn look(&self, path: &Path) -> std::io::Result<Option<Look>>;

    /// How the file at `path` is executed, from its first bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    fn executable(&self, path: &Path) -> std::io::Result<Executable>;

    /// The names in a directory, sorted; whether each is a symbolic link.
    ///
    /// # Errors
    /// The directory cannot be listed.
    fn list(&self, path: &Path) -> std::io::Result<Vec<(std::ffi::OsString, bool)>>;
}
