//! Resolves a path once, as the kernel would for the caller, and opens the directory that it ends
//! in. An operation on the result uses that directory and name, wherever the path leads by then.
//!
//! Links of `/proc` are the caller's: `self` is the caller, and a magic link
//! (`/proc/PID/fd/1`) is followed by the kernel itself.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat};

use crate::ids::Pid;
use crate::image::{FileId, FileKind, MAX_LINKS};
use crate::notify::caller::Caller;
use crate::notify::handed::HandedItem;
use crate::notify::stream::{Stream, process_of};
use crate::notify::unreadable::UNREADABLE;
use crate::procfs::path_of;

/// Where a path ends.
#[derive(Debug)]
pub struct Found {
    /// The directory, opened with O_PATH.
    pub parent: OwnedFd,
    /// The last name in it; `.` for the directory itself.
    pub name: OsString,
    /// The canonical path, read after the directory was opened.
    pub canonical: PathBuf,
    /// The file of that name, if it exists.
    pub target: Option<Target>,
    /// The path ends in a magic link, so `parent` and `name` do not say where the file is.
    pub magic: bool,
    /// The path ends in the supervisor's link to one of the app's standard streams.
    pub stream: Option<Stream>,
}

impl Found {
    /// The current inode of the directory `place`, which is this directory or one above it: reached
    /// through `..` from the opened directory.
    ///
    /// # Errors
    /// ENOENT where it does not exist; every errno of openat(2) and fstat(2).
    pub fn above(&self, place: &Path) -> Result<FileId, Errno> {
        let by_name = || {
            let stat = nix::sys::stat::stat(place)?;
            Ok(FileId { device: stat.st_dev, inode: stat.st_ino })
        };
        if place == self.canonical {
            return self.target.as_ref().map(|target| target.id).ok_or(Errno::ENOENT);
        }
        if self.magic {
            return by_name();
        }
        let own = if self.name == "." { Some(&*self.canonical) } else { self.canonical.parent() };
        let within = own.and_then(|own| own.strip_prefix(place).ok()).ok_or(Errno::ENOENT)?;
        let mut at = self.parent.try_clone().map_err(crate::procfs::errno)?;
        for _ in within.components() {
            at = match openat(&at, "..", directory(), Mode::empty()) {
                // The supervisor may not search the directory, for want of a capability.
                Err(Errno::EACCES) => return by_name(),
                up => up?,
            };
        }
        let stat = fstat(&at)?;
        Ok(FileId { device: stat.st_dev, inode: stat.st_ino })
    }
}

/// A file that a path resolved to.
#[derive(Debug)]
pub struct Target {
    /// Its O_PATH descriptor.
    pub fd: OwnedFd,
    /// Device and inode.
    pub id: FileId,
    /// The file type.
    pub kind: FileKind,
    /// The permission bits of st_mode.
    pub mode: u32,
}

/// The inode of the root of every procfs.
const PROC_ROOT: u64 = 1;

/// Whether a path means the same to every caller: absolute, normal, and not of `/proc`.
pub fn is_plain(path: &Path) -> bool {
    let normal = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    path.is_absolute() && normal && !path.starts_with("/proc") && !path.starts_with("/dev")
}

/// Opens where resolution starts: the root for an absolute path, else the caller's descriptor or
/// working directory.
///
/// # Errors
/// EBADF; UNREADABLE when the caller's descriptors cannot be read.
pub fn start(caller: &Caller, dirfd: i32, path: &Path, root: &Path) -> Result<OwnedFd, Errno> {
    if path.is_absolute() {
        openat(AT_FDCWD, root, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
    } else if dirfd == libc::AT_FDCWD {
        caller.own("cwd", HandedItem::Working)
    } else {
        caller.descriptor(dirfd)
    }
}

/// Resolves `path` from `start`; `follow` says whether a link at the end is
/// followed, `root` where absolute links begin: `/`, or `/proc/PID/root` of a
/// caller that may have changed it.
///
/// # Errors
/// What the kernel would answer: ENOENT for a missing directory, ENOTDIR, ELOOP,
/// EACCES, ENAMETOOLONG. A missing last name is no error.
pub fn resolve(
    caller: &Caller,
    start: OwnedFd,
    path: &Path,
    follow: bool,
    root: &Path,
) -> Result<Found, Errno> {
    let mut walk = PathWalk { caller, at: start, links: 0 };
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() {
        return Err(Errno::ENOENT);
    }
    // The components still to go, last first.
    let mut rest = components(bytes);
    loop {
        let Some(name) = rest.pop() else {
            return walk.itself();
        };
        let last = rest.is_empty();
        if name == ".." {
            if root != Path::new("/") && walk.is_at(root)? {
                continue;
            }
            walk.at = openat(&walk.at, "..", directory(), Mode::empty())?;
            continue;
        }
        match walk.enter(&name)? {
            WalkStep::Missing if last => return walk.found(name, None),
            WalkStep::Missing => return Err(Errno::ENOENT),
            WalkStep::Link(text, stat) if !last || follow => {
                walk.may_follow(&stat)?;
                walk.links += 1;
                if walk.links > MAX_LINKS {
                    return Err(Errno::ELOOP);
                }
                if text.as_bytes().starts_with(b"/") {
                    walk.at = openat(AT_FDCWD, root, directory(), Mode::empty())?;
                }
                rest.extend(components(text.as_bytes()));
                if rest.is_empty() {
                    return walk.itself();
                }
            }
            WalkStep::Link(..) => {
                let fd = openat(&walk.at, name.as_os_str(), nofollow(), Mode::empty())?;
                let target = target(fd)?;
                return walk.found(name, Some(target));
            }
            WalkStep::Magic(text, fd) if last => return walk.magic(name, &text, fd),
            WalkStep::Magic(_, fd) => walk.at = fd,
            WalkStep::Stream(text, stream, fd) if last => {
                return Ok(Found { stream: Some(stream), ..walk.magic(name, &text, fd)? });
            }
            WalkStep::Stream(..) => return Err(Errno::ENOTDIR),
            WalkStep::There(fd, _) if last => {
                let target = target(fd)?;
                return walk.found(name, Some(target));
            }
            WalkStep::There(fd, stat) => {
                if !is(&stat, libc::S_IFDIR) {
                    return Err(Errno::ENOTDIR);
                }
                walk.at = fd;
            }
        }
    }
}

/// Resolves an absolute path in one openat2(2) call, where no magic link is on it. Returns the
/// file and its canonical path.
///
/// # Errors
/// ELOOP where a magic link (`/proc/PID/fd/1`) is on the path, which would be the supervisor's;
/// ENOSYS or EPERM where openat2(2) is not available; every other errno of the kernel for the
/// path.
pub fn at_once(path: &Path, follow: bool) -> Result<(Target, PathBuf), Errno> {
    let flags = if follow { OFlag::O_PATH | OFlag::O_CLOEXEC } else { nofollow() };
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let target = target(openat2(AT_FDCWD, path, how)?)?;
    let canonical = path_of(&target.fd)?;
    // `/proc/self` resolves to the supervisor too.
    if canonical.starts_with("/proc") { Err(Errno::ELOOP) } else { Ok((target, canonical)) }
}

/// The file that an O_PATH descriptor is open on.
///
/// # Errors
/// Whatever fstat(2) answers.
pub fn target(fd: OwnedFd) -> Result<Target, Errno> {
    let stat = fstat(&fd)?;
    let kind = FileKind::of_mode(stat.st_mode);
    let id = FileId { device: stat.st_dev, inode: stat.st_ino };
    Ok(Target { fd, id, kind, mode: stat.st_mode & 0o7777 })
}

struct PathWalk<'a> {
    caller: &'a Caller,
    at: OwnedFd,
    links: usize,
}

enum WalkStep {
    Missing,
    Link(OsString, FileStat),
    Magic(OsString, OwnedFd),
    Stream(OsString, Stream, OwnedFd),
    There(OwnedFd, FileStat),
}

impl PathWalk<'_> {
    /// Whether this is the caller's root, which has no parent.
    fn is_at(&self, root: &Path) -> Result<bool, Errno> {
        let (root, here) = (nix::sys::stat::stat(root)?, fstat(&self.at)?);
        Ok((root.st_dev, root.st_ino) == (here.st_dev, here.st_ino))
    }

    /// fs.protected_symlinks: in a sticky world-writable directory like /tmp, a link of another user
    /// is not followed. The kernel cannot check this here, since links are read one by one.
    fn may_follow(&self, link: &FileStat) -> Result<(), Errno> {
        const FOR_ALL: u32 = libc::S_ISVTX | libc::S_IWOTH;
        let directory = fstat(&self.at)?;
        let [.., uid] = self.caller.uids;
        let strange = directory.st_mode & FOR_ALL == FOR_ALL
            && link.st_uid != uid.as_raw()
            && link.st_uid != directory.st_uid;
        if strange && are_protected() { Err(Errno::EACCES) } else { Ok(()) }
    }

    fn enter(&self, name: &OsStr) -> Result<WalkStep, Errno> {
        let fd = match openat(&self.at, name, nofollow(), Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(WalkStep::Missing),
            Err(errno @ (Errno::EACCES | Errno::EPERM)) => return self.own(name, errno),
            Err(errno) => return Err(errno),
        };
        let stat = fstat(&fd)?;
        if !is(&stat, libc::S_IFLNK) {
            return Ok(WalkStep::There(fd, stat));
        }
        let text = match readlinkat(&fd, "") {
            Ok(text) => text,
            Err(errno @ (Errno::EACCES | Errno::EPERM)) => return self.own(name, errno),
            Err(errno) => return Err(errno),
        };
        if !on_proc(&fd) {
            return Ok(WalkStep::Link(text, stat));
        }
        if fstat(&self.at)?.st_ino == PROC_ROOT {
            let text = match name.as_bytes() {
                b"self" => self.caller.tgid.to_string().into(),
                b"thread-self" => format!("{}/task/{}", self.caller.tgid, self.caller.tid).into(),
                _ => text,
            };
            return Ok(WalkStep::Link(text, stat));
        }
        if text.as_bytes().starts_with(b"/") || text.as_bytes().contains(&b':') {
            let fd = openat(&self.at, name, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
            return self.magic_link(name, text, fd);
        }
        Ok(WalkStep::Link(text, stat))
    }

    /// A magic link: to the supervisor the kernel shows its own too, and to the caller none of them.
    fn magic_link(&self, name: &OsStr, text: OsString, fd: OwnedFd) -> Result<WalkStep, Errno> {
        match process_of(&path_of(&self.at)?) {
            Some((process, is_fd)) if process == Pid::own() && process != self.caller.tgid => {
                let stream = name.to_str().filter(|_| is_fd).and_then(Stream::named);
                Ok(WalkStep::Stream(text, stream.ok_or(Errno::EACCES)?, fd))
            }
            _ => Ok(WalkStep::Magic(text, fd)),
        }
    }

    /// Opens a link in the caller's own directory of /proc. The kernel follows it for the caller,
    /// but not for the supervisor where the caller is not dumpable.
    fn own(&self, name: &OsStr, errno: Errno) -> Result<WalkStep, Errno> {
        let Caller { tgid, tid, .. } = *self.caller;
        let here = path_of(&self.at)?;
        let own = [format!("/proc/{tgid}"), format!("/proc/{tgid}/task/{tid}")];
        let Some(within) = own.iter().rev().find_map(|own| here.strip_prefix(own).ok()) else {
            return Err(errno);
        };
        let number = name.to_str().and_then(|name| name.parse().ok());
        let wanted = match (within.as_os_str().as_bytes(), name.as_bytes(), number) {
            (b"fd", _, Some(fd)) => HandedItem::Descriptor(fd),
            (b"", b"cwd", _) => HandedItem::Working,
            (b"", b"root", _) => HandedItem::Root,
            _ => return Err(UNREADABLE),
        };
        let handed = self.caller.handed.as_ref().ok_or(UNREADABLE)?;
        match handed.name(wanted) {
            // A pipe or a socket, which has no path.
            Ok(name) if !name.is_absolute() => {
                Ok(WalkStep::Magic(name.into_os_string(), nix::unistd::dup(self.at.as_fd())?))
            }
            Ok(_) => {
                let fd = handed.descriptor(wanted)?;
                Ok(WalkStep::Magic(path_of(&fd)?.into_os_string(), fd))
            }
            Err(Errno::EBADF) => Ok(WalkStep::Missing),
            Err(errno) => Err(errno),
        }
    }

    fn found(self, name: OsString, target: Option<Target>) -> Result<Found, Errno> {
        let canonical = path_of(&self.at)?.join(&name);
        Ok(Found { parent: self.at, name, canonical, target, magic: false, stream: None })
    }

    fn itself(self) -> Result<Found, Errno> {
        let canonical = path_of(&self.at)?;
        let fd = openat(&self.at, ".", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).or_else(|errno| {
            // The start is no directory: a descriptor named by an empty path.
            if errno == Errno::ENOTDIR { nix::unistd::dup(self.at.as_fd()) } else { Err(errno) }
        })?;
        let target = target(fd)?;
        Ok(Found {
            parent: self.at,
            name: ".".into(),
            canonical,
            target: Some(target),
            magic: false,
            stream: None,
        })
    }

    fn magic(self, name: OsString, text: &OsStr, fd: OwnedFd) -> Result<Found, Errno> {
        let target = target(fd)?;
        Ok(Found {
            parent: self.at,
            name,
            canonical: text.into(),
            target: Some(target),
            magic: true,
            stream: None,
        })
    }
}

/// Whether fs.protected_symlinks is on; true where it cannot be read.
fn are_protected() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    let read = || std::fs::read("/proc/sys/fs/protected_symlinks");
    *ON.get_or_init(|| read().map_or(true, |text| !text.starts_with(b"0")))
}

/// The names of a path, last first; a trailing slash requires a directory, which becomes `.`.
fn components(bytes: &[u8]) -> Vec<OsString> {
    let mut names: Vec<_> = bytes
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| OsStr::from_bytes(name).to_owned())
        .collect();
    names.reverse();
    names
}

fn directory() -> OFlag {
    OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC
}

fn nofollow() -> OFlag {
    OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

fn is(stat: &FileStat, kind: u32) -> bool {
    stat.st_mode & libc::S_IFMT == kind
}

fn on_proc(fd: &OwnedFd) -> bool {
    nix::sys::statfs::fstatfs(fd)
        .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::PROC_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Pid, Tid, Uid};

    fn me() -> Caller {
        Caller::of(Pid::own().first_thread()).expect("own status")
    }

    fn go(path: &str, follow: bool) -> Result<Found, Errno> {
        let path = Path::new(path);
        let root = Path::new("/");
        resolve(&me(), start(&me(), libc::AT_FDCWD, path, root)?, path, follow, root)
    }

    fn tempdir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("remit-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        dir.canonicalize().expect("it is there")
    }

    #[test]
    fn links_are_followed_and_missing_names_are_found_in_their_directory() {
        let dir = tempdir("resolve");
        std::fs::create_dir(dir.join("real")).expect("a directory");
        std::fs::write(dir.join("real/file"), "x").expect("a file");
        let link = |to: &str, name: &str| {
            drop(std::fs::remove_file(dir.join(name)));
            std::os::unix::fs::symlink(to, dir.join(name)).expect("a link");
        };
        link("real", "dir");
        link("dir/../dir/file", "file");
        link("loop", "loop");
        let at = |name: &str| dir.join(name).to_string_lossy().into_owned();

        let found = go(&at("file"), true).expect("through links");
        assert_eq!(found.canonical, dir.join("real/file"));
        assert_eq!(found.target.map(|target| target.kind), Some(FileKind::Regular));
        assert_eq!(go(&at("file"), false).expect("the link itself").canonical, dir.join("file"));
        let missing = go(&at("dir/./new"), true).expect("its directory is there");
        assert_eq!((missing.canonical, missing.target.is_none()), (dir.join("real/new"), true));
        assert_eq!(go(&at("loop"), true).map(|_| ()), Err(Errno::ELOOP));
        assert_eq!(go(&at("none/x"), true).map(|_| ()), Err(Errno::ENOENT));
        assert_eq!(go(&at("file/x"), true).map(|_| ()), Err(Errno::ENOTDIR));
        assert_eq!(go("/", true).expect("the root").canonical, Path::new("/"));
        std::fs::remove_dir_all(dir).expect("cleaned up");
    }

    #[test]
    fn at_once_leads_where_name_by_name_does_and_by_no_link_of_a_process() {
        let dir = tempdir("at-once");
        std::fs::write(dir.join("file"), "x").expect("a file");
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, dir.join(name)).expect("a link");
            dir.join(name)
        };
        let (good, own) = (link("file", "good"), link("/proc/self/status", "own"));
        let magic = link("/proc/self/exe", "magic");

        let (target, canonical) = at_once(&good, true).expect("through a link");
        let slow = go(&good.to_string_lossy(), true).expect("through a link");
        assert_eq!(Some(target.id), slow.target.map(|target| target.id));
        assert_eq!(canonical, slow.canonical);
        let (target, canonical) = at_once(&good, false).expect("the link itself");
        assert_eq!((target.kind, canonical), (FileKind::Other, good));
        for path in [own, magic] {
            assert_eq!(at_once(&path, true).map(|_| ()), Err(Errno::ELOOP), "{}", path.display());
        }
        assert_eq!(at_once(&dir.join("none"), true).map(|_| ()), Err(Errno::ENOENT));
        std::fs::remove_dir_all(dir).expect("cleaned up");
    }

    #[test]
    fn a_strangers_link_in_a_directory_for_all_is_not_followed() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempdir("sticky");
        std::os::unix::fs::symlink("/etc/passwd", dir.join("link")).expect("a link");
        let path = dir.join("link");
        let stranger = Caller { uids: [Uid::from_raw(54321); 4], ..me() };
        let go = |caller: &Caller| {
            let start = start(caller, libc::AT_FDCWD, &path, Path::new("/"))?;
            resolve(caller, start, &path, true, Path::new("/")).map(|found| found.canonical)
        };
        assert!(go(&stranger).is_ok(), "only its owner may write to the directory");
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o1777)).expect("chmod");
        let owned = std::os::unix::fs::chown(&dir, Some(12345), None);
        assert!(go(&me()).is_ok(), "one's own link is followed");
        if owned.is_ok() {
            let refused = go(&stranger) == Err(Errno::EACCES);
            assert_eq!(refused, are_protected(), "as the kernel does");
        }
        std::fs::remove_dir_all(&dir).expect("cleaned up");
    }

    #[test]
    fn proc_is_the_callers() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a child");
        let caller = Caller::of(Tid::from_raw(child.id() as i32)).expect("its status");
        let root = Path::new("/");
        let path = Path::new("/proc/self/status");
        let found = resolve(&caller, start(&caller, 0, path, root).expect("the root"), path, true, root);
        assert_eq!(found.expect("it").canonical, Path::new(&format!("/proc/{}/status", child.id())));
        let exe = Path::new("/proc/thread-self/exe");
        let at = start(&caller, 0, exe, root).expect("the root");
        let found = resolve(&caller, at, exe, true, root).expect("exe");
        assert!(found.magic && found.canonical.ends_with("sleep"), "{:?}", found.canonical);
        child.kill().and_then(|()| child.wait()).expect("ended");
    }
}
