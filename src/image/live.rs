//! The real files, accessed with this process's root directory and ids.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};

use super::{Executable, FileId, FileInfo, FileKind, ImageFiles, ListedName, elf};
use crate::ids::Uid;
use crate::kernel::Arch;

/// The files of the environment that this process runs in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live;

impl ImageFiles for Live {
    fn stat(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        let found = without_links(path).map_or_else(|| through_links(path), Ok);
        optional(found.map(|(canonical, found)| file_info(canonical, &found)))
    }

    fn stat_beside(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => self.stat(path),
            found => optional(found.map(|found| file_info(path.into(), &found))),
        }
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        fs::read_link(path).ok()
    }

    fn executable(&self, path: &Path) -> io::Result<Executable> {
        executable(path, Arch::THIS)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<ListedName>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            names.push((entry.file_name(), kind(entry.file_type()?)));
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// The same files, planned for this architecture. The image may be of that architecture or of
/// this machine's: an ELF file of either counts.
#[derive(Clone, Copy, Debug)]
pub struct LiveFor(pub Arch);

impl ImageFiles for LiveFor {
    fn stat(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        Live.stat(path)
    }

    fn stat_beside(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        Live.stat_beside(path)
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        Live.read_link(path)
    }

    fn executable(&self, path: &Path) -> io::Result<Executable> {
        match executable(path, self.0)? {
            Executable::Foreign(_) => Live.executable(path),
            kind => Ok(kind),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<ListedName>> {
        Live.list(path)
    }
}

/// The type of a file in a directory; `None` for a symbolic link.
pub(super) fn kind(found: fs::FileType) -> Option<FileKind> {
    match () {
        () if found.is_symlink() => None,
        () if found.is_file() => Some(FileKind::Regular),
        () if found.is_dir() => Some(FileKind::Directory),
        () if found.is_char_device() || found.is_block_device() => Some(FileKind::Device),
        () => Some(FileKind::Other),
    }
}

fn executable(path: &Path, arch: Arch) -> io::Result<Executable> {
    // Opening a FIFO in the place of a program must not block the launch.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    elf::executable(&file, arch)
}

/// The result of stat(2); `None` for ENOENT and ENOTDIR.
fn optional(found: io::Result<FileInfo>) -> io::Result<Option<FileInfo>> {
    match found {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        found => found.map(Some),
    }
}

pub(super) fn file_info(canonical: PathBuf, found: &fs::Metadata) -> FileInfo {
    let kind = FileKind::of_mode(found.mode());
    let id = FileId { device: found.dev(), inode: found.ino() };
    FileInfo {
        canonical,
        id,
        kind,
        mode: found.mode() & 0o7777,
        links: found.nlink(),
        owner: Uid::from_raw(found.uid()),
        changed: (found.ctime(), found.ctime_nsec() as u32),
    }
}

/// Resolves a path without symbolic links by one openat2(2): most paths of a profile have none.
/// `None` for the others, and where the kernel or a runtime's filter has no openat2(2).
fn without_links(path: &Path) -> Option<(PathBuf, fs::Metadata)> {
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    let how =
        OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let file = File::from(openat2(AT_FDCWD, path, how).ok()?);
    Some((path.components().collect(), file.metadata().ok()?))
}

fn through_links(path: &Path) -> io::Result<(PathBuf, fs::Metadata)> {
    let canonical = fs::canonicalize(path)?;
    let found = fs::metadata(&canonical)?;
    Ok((canonical, found))
}

impl elf::ReadAt for File {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match FileExt::read_at(self, &mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_an_executable_file() {
        let itself = std::env::current_exe().expect("a test knows its path");
        let look = Live.stat(&itself).expect("stat").expect("is there");
        assert_eq!(look.kind, FileKind::Regular);
        assert!(look.mode & 0o111 != 0);
        let how = Live.executable(&itself).expect("readable");
        assert!(matches!(how, Executable::Static | Executable::Dynamic(_)), "{how:?}");
    }

    #[test]
    fn links_are_resolved_and_a_path_without_any_gives_the_same() {
        let dir = std::env::temp_dir().join(format!("remit-live-{}", std::process::id()));
        fs::create_dir_all(dir.join("real")).expect("a directory");
        let dir = dir.canonicalize().expect("it is there");
        std::os::unix::fs::symlink("real", dir.join("link")).expect("a link");
        let look = |path: &str| Live.stat(&dir.join(path)).expect("stat").expect("is there");
        let real = look("real");
        assert_eq!(real.canonical, dir.join("real"));
        for same in ["link", "link/", "real/.", "real//", "link/../real", "real/../link"] {
            assert_eq!(look(same), real, "{same}");
        }
        for name in ["real", "link"] {
            assert_eq!(Live.stat_beside(&dir.join(name)).expect("stat").as_ref(), Some(&real), "{name}");
        }
        assert_eq!(Live.stat_beside(&dir.join("none")).expect("stat"), None);
        fs::remove_dir_all(dir).expect("cleaned up");
    }

    #[test]
    fn a_trail_has_the_links_of_a_path_and_its_end() {
        let dir = std::env::temp_dir().join(format!("remit-links-{}", std::process::id()));
        fs::create_dir_all(dir.join("..first")).expect("a directory");
        let dir = dir.canonicalize().expect("it is there");
        fs::write(dir.join("..first/profile.json"), "").expect("a file");
        // As a ConfigMap is mounted, with an absolute link to it.
        let link = |target: PathBuf, name: &str| {
            std::os::unix::fs::symlink(target, dir.join(name)).expect("a link");
        };
        link("..first".into(), "..data");
        link("..data/profile.json".into(), "profile.json");
        link(dir.join("profile.json"), "named.json");
        link("loop".into(), "loop");
        let within =
            |path: &Path| path.strip_prefix(&dir).expect("inside").to_str().expect("UTF-8").to_owned();
        let found = |name: &str| -> (Vec<String>, String) {
            let trail = Live.trail(&dir.join(name));
            (trail.links.iter().map(|link| within(link)).collect(), within(&trail.end))
        };
        let file = "..first/profile.json".to_owned();
        let links = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(found("..first/profile.json"), (links(&[]), file.clone()));
        assert_eq!(found("profile.json"), (links(&["profile.json", "..data"]), file.clone()));
        let three = links(&["named.json", "profile.json", "..data"]);
        assert_eq!(found("..first/../named.json"), (three, file));
        let missing = (links(&["..data"]), "..first/none/below".to_owned());
        assert_eq!(found("..data/none/below"), missing, "a link above what is missing");
        assert_eq!(found("loop").0.len(), super::super::MAX_LINKS, "it ends");
        fs::remove_dir_all(dir).expect("cleaned up");
    }

    #[test]
    fn what_is_not_there_is_none_and_a_directory_lists_sorted() {
        assert_eq!(Live.stat(Path::new("/nowhere/at/all")).expect("ENOENT is an answer"), None);
        assert_eq!(Live.stat(Path::new("/proc/self/status/x")).expect("ENOTDIR is an answer"), None);
        let names = Live.list(Path::new("/proc/self")).expect("listable");
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(names.contains(&("exe".into(), None)));
    }
}
