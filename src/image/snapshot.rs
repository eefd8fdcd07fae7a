//! The real files, each looked up once. A start resolves a thousand paths, most of them through
//! the same few directories, and takes one view of the image: what it saw of a file is what every
//! later step of the same start sees. A name that is missing is looked up again: the start itself
//! makes files, such as the event file, and plans with them.
//!
//! A path is resolved name by name, so that one statx(2) a name answers for every path through it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::live::{Live, file_info};
use super::{Executable, FileInfo, FileKind, ImageFiles, ListedName, MAX_LINKS};

/// The files of the environment that this process runs in, as they were when they were first
/// looked up.
#[derive(Debug, Default)]
pub struct Snapshot {
    names: RefCell<HashMap<OsString, Result<Dentry, Errno>>>,
    executables: RefCell<HashMap<OsString, Result<Executable, Errno>>>,
    directories: RefCell<HashMap<OsString, Vec<ListedName>>>,
    /// Paths of directories, each with the same path without links.
    resolved: RefCell<HashMap<OsString, PathBuf>>,
}

/// A name in a directory, and what it is; none of this name is a negative one.
#[derive(Clone, Debug)]
enum Dentry {
    /// There is none.
    Missing,
    /// A symbolic link, with its target.
    Link(PathBuf),
    /// Its attributes; the path is left empty.
    File(FileInfo),
}

impl Snapshot {
    /// What is at `path`, whose directory is resolved.
    fn name(&self, path: &Path) -> io::Result<Dentry> {
        if let Some(found) = self.names.borrow().get(path.as_os_str()) {
            return found.clone().map_err(io::Error::from);
        }
        let found = look_up(path);
        if !matches!(found, Ok(Dentry::Missing)) {
            self.names.borrow_mut().insert(path.into(), found.clone());
        }
        Ok(found?)
    }

    /// Paths of one directory share its resolution.
    fn resolve(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return self.walk(path);
        };
        let known = self.resolved.borrow().get(directory.as_os_str()).map(|end| end.join(name));
        let end = match known {
            Some(end) => end,
            None => match self.walk(directory)? {
                Some(info) if info.kind == FileKind::Directory => {
                    let end = info.canonical.join(name);
                    self.resolved.borrow_mut().insert(directory.into(), info.canonical);
                    end
                }
                _ => return Ok(None),
            },
        };
        match self.name(&end)? {
            Dentry::Link(_) => self.walk(path),
            found => Ok(info(end, &found)),
        }
    }

    fn walk(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        let mut end = PathBuf::from("/");
        let mut found = self.name(&end)?;
        let mut links = 0;
        // Reversed: the next name is the last.
        let mut ahead = reversed(path);
        while let Some(part) = ahead.pop() {
            if !matches!(found, Dentry::File(FileInfo { kind: FileKind::Directory, .. })) {
                return Ok(None);
            }
            match part.to_str() {
                Some("..") => {
                    end.pop();
                }
                _ => end.push(&part),
            }
            found = self.name(&end)?;
            match &found {
                Dentry::Missing => return Ok(None),
                Dentry::Link(_) if links == MAX_LINKS => return Err(Errno::ELOOP.into()),
                Dentry::Link(target) => {
                    links += 1;
                    end.pop();
                    ahead.append(&mut reversed(target));
                    found = self.name(if target.is_absolute() { Path::new("/") } else { &end })?;
                }
                Dentry::File(_) => {}
            }
        }
        Ok(info(end, &found))
    }
}

/// The names of a path, the first one last.
fn reversed(path: &Path) -> Vec<OsString> {
    path.components().rev().map(|part| part.as_os_str().to_owned()).filter(|part| part != ".").collect()
}

fn info(canonical: PathBuf, found: &Dentry) -> Option<FileInfo> {
    match found {
        Dentry::File(info) => Some(FileInfo { canonical, ..info.clone() }),
        _ => None,
    }
}

fn look_up(path: &Path) -> Result<Dentry, Errno> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => fs::read_link(path).map(Dentry::Link).map_err(errno),
        Ok(found) => Ok(Dentry::File(file_info(PathBuf::new(), &found))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Dentry::Missing)
        }
        Err(error) => Err(errno(error)),
    }
}

fn errno(error: io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32))
}

impl ImageFiles for Snapshot {
    fn stat(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        if path.is_absolute() { self.resolve(path) } else { Live.stat(path) }
    }

    fn stat_beside(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        match self.name(path)? {
            Dentry::Link(_) => self.stat(path),
            found => Ok(info(path.into(), &found)),
        }
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        match self.name(path) {
            Ok(Dentry::Link(target)) => Some(target),
            _ => None,
        }
    }

    fn executable(&self, path: &Path) -> io::Result<Executable> {
        if let Some(found) = self.executables.borrow().get(path.as_os_str()) {
            return found.clone().map_err(io::Error::from);
        }
        let found = Live.executable(path).map_err(errno);
        self.executables.borrow_mut().insert(path.into(), found.clone());
        Ok(found?)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<ListedName>> {
        if let Some(found) = self.directories.borrow().get(path.as_os_str()) {
            return Ok(found.clone());
        }
        let found = Live.list(path)?;
        self.directories.borrow_mut().insert(path.into(), found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own, removed with what is in it.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let path = std::env::temp_dir().join(format!("remit-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("real/below")).expect("a directory");
            Directory(path.canonicalize().expect("it is there"))
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("removed");
        }
    }

    #[test]
    fn a_path_resolves_as_the_kernel_resolves_it() {
        let directory = Directory::new("snapshot");
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, directory.0.join(name)).expect("a link");
        };
        fs::write(directory.0.join("real/file"), "text").expect("a file");
        link("real", "link");
        link(directory.0.join("link").to_str().expect("UTF-8"), "absolute");
        link("../link/file", "real/up");
        link("loop", "loop");
        link("nothing", "dangling");
        let snapshot = Snapshot::default();
        let paths = [
            "",
            "real",
            "link",
            "link/",
            "real/.",
            "real//below",
            "link/../real",
            "real/../link",
            "absolute/file",
            "absolute/up",
            "real/up",
            "real/file/below",
            "dangling",
            "dangling/below",
            "none/below",
            "real/below/../..",
        ];
        for path in paths {
            let path = directory.0.join(path);
            for _ in 0..2 {
                let expected = Live.stat(&path).expect("stat");
                assert_eq!(snapshot.stat(&path).expect("stat"), expected, "{}", path.display());
                assert_eq!(snapshot.trail(&path), Live.trail(&path), "{}", path.display());
            }
        }
        let path = directory.0.join("loop");
        let errno = |found: io::Result<Option<FileInfo>>| found.expect_err("a loop").raw_os_error();
        assert_eq!(errno(snapshot.stat(&path)), errno(Live.stat(&path)));
        for path in
            ["/", "/proc/self", "/proc/self/fd/0", "/proc/self/exe", "/dev/stdin", "/bin/sh", "/lib64"]
        {
            let path = Path::new(path);
            let id = |found: io::Result<Option<FileInfo>>| {
                found.expect("stat").map(|info| (info.canonical, info.kind))
            };
            assert_eq!(id(snapshot.stat(path)), id(Live.stat(path)), "{}", path.display());
        }
    }

    #[test]
    fn what_was_seen_stays() {
        let directory = Directory::new("snapshot-stays");
        let snapshot = Snapshot::default();
        let (file, other) = (directory.0.join("file"), directory.0.join("other"));
        assert_eq!(snapshot.stat(&file).expect("stat"), None);
        let before = snapshot.list(&directory.0).expect("listed");
        fs::write(&file, "text").expect("a file");
        fs::write(&other, "text").expect("a file");
        let seen = snapshot.stat(&file).expect("stat");
        assert!(seen.is_some(), "it was missing before");
        assert_eq!(snapshot.list(&directory.0).expect("listed"), before);
        fs::rename(&other, &file).expect("moved");
        assert_eq!(snapshot.stat(&file).expect("stat"), seen);
    }
}
