//! Where a path leads, and whether a process inside could change that: read once, from the
//! supervisor's root, and true for as long as the plan is in force.

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::fs::{FileType, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

use crate::image::MAX_LINKS;
use crate::notify::caller::{Caller, Identity};
use crate::plan::environment::named::{NamedPath, PathUse};
use crate::plan::mounts;
use crate::policy::PolicyEngine;
use crate::policy::started::NotYet;
use crate::policy::variables::{Places, Unsettled};
use crate::procfs::mountinfo::{self, MountInfo};
use crate::procfs::{self, errno, fdinfo};

/// The entries of a folder that are looked at for links.
const MOST_ENTRIES: usize = 8192;
/// The loader's own folders, where a library without a slash in its name is searched for last.
const LIBRARIES: [&str; 7] = [
    "/usr/local/lib",
    "/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
];

/// What is settled under a plan. The mounts are read when the first path is looked at.
pub struct Settled<'a> {
    pub(crate) rules: &'a PolicyEngine,
    /// The process that uses the paths has another root than the supervisor.
    other_root: bool,
    mounts: OnceCell<Option<Vec<MountInfo>>>,
}

/// What is at the end of a path.
pub struct SettledEnd {
    /// The path, links resolved.
    pub path: PathBuf,
    /// What is there; `None` where nothing is, and no process inside may make it.
    pub there: Option<Metadata>,
}

impl<'a> Settled<'a> {
    /// For paths that are used from the supervisor's root.
    pub fn new(rules: &'a PolicyEngine) -> Settled<'a> {
        Settled { rules, other_root: false, mounts: OnceCell::new() }
    }

    /// For paths that a process uses, which may have changed its root.
    pub fn of(rules: &'a PolicyEngine, caller: &Caller, identity: &Identity) -> Settled<'a> {
        let other_root = rules.roots_differ() && !shares_root(caller, identity);
        Settled { other_root, ..Settled::new(rules) }
    }

    fn mounts(&self) -> Result<&[MountInfo], Unsettled> {
        let mounts = self.mounts.get_or_init(|| mountinfo::read().ok());
        mounts.as_deref().ok_or_else(|| Unsettled::Other("/proc/self/mountinfo".into()))
    }

    /// Where a path leads, if no process inside can make it lead elsewhere: no name on the way, of
    /// a link neither, may be made or removed under the plan, and none is a process's.
    ///
    /// # Errors
    /// Why it may lead elsewhere.
    pub fn end(&self, from: &Path, path: &Path) -> Result<SettledEnd, Unsettled> {
        if self.other_root {
            return Err(Unsettled::Root);
        }
        let mounts = self.mounts()?;
        let mut links = 0;
        let mut at = PathBuf::from("/");
        let mut rest: Vec<OsString> = Vec::new();
        let push = |rest: &mut Vec<OsString>, path: &Path| {
            let parts = path.components().rev().filter_map(|part| match part {
                Component::Normal(name) => Some(name.to_owned()),
                Component::ParentDir => Some("..".into()),
                _ => None,
            });
            rest.extend(parts);
        };
        push(&mut rest, path);
        push(&mut rest, from);
        while let Some(name) = rest.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            let here = at.join(&name);
            let is_procfs = || mounts::of(mounts, &here).is_some_and(|mount| mount.kind == "proc");
            if here.starts_with("/proc") || is_procfs() {
                return Err(Unsettled::Process(here));
            }
            if let Some(name) = names(mounts, &here).find(|name| self.rules.may_move(name)) {
                return Err(Unsettled::Name(name));
            }
            let found = match std::fs::symlink_metadata(&here).map_err(errno) {
                Ok(found) => found,
                Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(SettledEnd { path: here, there: None }),
                Err(_) => return Err(Unsettled::Other(here)),
            };
            if !found.is_symlink() {
                at = here;
                continue;
            }
            links += 1;
            let text = std::fs::read_link(&here).ok().filter(|_| links <= MAX_LINKS);
            let text = text.ok_or(Unsettled::Other(here))?;
            if text.is_absolute() {
                at = PathBuf::from("/");
            }
            push(&mut rest, &text);
        }
        let there = std::fs::symlink_metadata(&at).map_err(|_| Unsettled::Other(at.clone()))?;
        Ok(SettledEnd { path: at, there: Some(there) })
    }

    /// Whether what a path names is settled, with its content.
    ///
    /// # Errors
    /// Why it is not.
    pub fn path(&self, path: &Path, used: PathUse) -> Result<(), Unsettled> {
        let SettledEnd { path: end, there } = self.end(Path::new("/"), path)?;
        match there.map(|there| there.file_type()) {
            Some(kind) if kind.is_file() => self.file(&end),
            Some(kind) if kind.is_dir() => {
                self.within(&end, used)?;
                if used == PathUse::Libraries && LIBRARIES.iter().any(|folder| end == Path::new(folder)) {
                    // A library that a program needs is searched for here too, over the same links.
                    return Ok(());
                }
                self.links_in(&end, used)
            }
            Some(_) => Err(Unsettled::Other(end)),
            // With another ending it may be there.
            None if used == PathUse::Module => {
                let folder = end.parent().filter(|_| path.file_name() == end.file_name());
                self.path(folder.ok_or_else(|| Unsettled::Other(end.clone()))?, PathUse::All)
            }
            None => Ok(()),
        }
    }

    fn file(&self, path: &Path) -> Result<(), Unsettled> {
        if let Some(name) = names(self.mounts()?, path).find(|name| self.rules.may_write(name)) {
            return Err(Unsettled::Content(name));
        }
        written().into_iter().find(|open| open == path).map_or(Ok(()), |open| Err(Unsettled::Stream(open)))
    }

    fn within(&self, folder: &Path, used: PathUse) -> Result<(), Unsettled> {
        let mounts = self.mounts()?;
        for part in mounts::parts(mounts, folder) {
            for name in names(mounts, part) {
                if let Some(path) = self.rules.may_change_within(&name, used) {
                    return Err(Unsettled::Content(path));
                }
            }
        }
        let written = written().into_iter().find(|open| open.starts_with(folder));
        written.map_or(Ok(()), |open| Err(Unsettled::Stream(open)))
    }

    /// The links in a folder lead to what is settled as well.
    fn links_in(&self, folder: &Path, used: PathUse) -> Result<(), Unsettled> {
        let unread = || Unsettled::Other(folder.to_owned());
        let is_library = |name: &OsStr| name.as_bytes().windows(3).any(|three| three == b".so");
        for (index, entry) in std::fs::read_dir(folder).map_err(|_| unread())?.enumerate() {
            let entry = entry.ok().filter(|_| index < MOST_ENTRIES).ok_or_else(unread)?;
            let is_link = entry.file_type().is_ok_and(|kind: FileType| kind.is_symlink());
            if !is_link || (used == PathUse::Libraries && !is_library(&entry.file_name())) {
                continue;
            }
            let SettledEnd { path, there } = self.end(Path::new("/"), &entry.path())?;
            match there.map(|there| there.file_type()) {
                Some(kind) if kind.is_file() => self.file(&path)?,
                Some(kind) if kind.is_dir() => self.within(&path, PathUse::All)?,
                // A device or a socket holds no code.
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// A library that the loader finds in its own folders.
    fn soname(&self, name: &OsStr) -> Result<(), Unsettled> {
        let mut why = Unsettled::Other(name.into());
        for folder in LIBRARIES {
            let path = Path::new(folder).join(name);
            match self.end(Path::new("/"), &path) {
                Ok(SettledEnd { path, there: Some(there) }) if there.is_file() => return self.file(&path),
                Ok(_) => {}
                Err(unsettled) => why = unsettled,
            }
        }
        Err(why)
    }
}

impl Places for Settled<'_> {
    fn settled(&self, NamedPath { path, used }: NamedPath) -> Result<Result<(), Unsettled>, NotYet> {
        let text = OsStr::from_bytes(path);
        Ok(match used {
            PathUse::Soname => self.soname(text),
            used => self.path(Path::new(text), used),
        })
    }
}

/// Every path of one file: a folder may be mounted twice.
fn names(mounts: &[MountInfo], path: &Path) -> impl Iterator<Item = PathBuf> {
    std::iter::once(path.to_owned()).chain(mounts::other_names(mounts, path))
}

/// Whether a process has the supervisor's root.
pub fn shares_root(caller: &Caller, identity: &Identity) -> bool {
    let link = format!("/proc/{}/root", caller.tid);
    let theirs = identity.with_caller_fsids(caller, || std::fs::metadata(&link).map_err(errno));
    let id = |found: Metadata| (found.dev(), found.ino());
    theirs.is_ok_and(|theirs| std::fs::metadata("/").is_ok_and(|ours| id(ours) == id(theirs)))
}

/// The files that this process has open for writing: the event log, and standard output, which the
/// app has too.
fn written() -> Vec<PathBuf> {
    let writes = |fd: i32| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
        fdinfo::flags(&info)
            .is_none_or(|flags| flags & libc::O_PATH == 0 && flags & libc::O_ACCMODE != libc::O_RDONLY)
    };
    let open = procfs::numbers("/proc/self/fd").unwrap_or_default().into_iter();
    let named = open.filter_map(|fd| {
        let path =
            std::fs::read_link(format!("/proc/self/fd/{fd}")).ok().filter(|path| path.is_absolute())?;
        writes(fd).then_some(path)
    });
    named.collect()
}
