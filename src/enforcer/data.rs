//! Looks at a directory below a directory of programs: is it data? See [`policy::data`].
//!
//! What it was found to be is remembered. A directory of data stays one: what the app makes there
//! was made by the supervisor, which makes no code. One that is not data is read again when a
//! name in it has changed.
//!
//! [`policy::data`]: crate::policy::data

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::sys::stat::fstat;

use super::Enforcer;
use crate::image::{FileId, FileKind};
use crate::notify::caller::Caller;
use crate::notify::resolve::Found;
use crate::policy::data::{self, ListedEntry};
use crate::procfs::link_to;

/// A directory with more names is not treated as data.
const MOST: usize = 16 << 10;

impl Enforcer {
    /// Whether the supervisor may do for the caller what it wants with a name in a directory: that is
    /// data, and no directory is moved.
    pub(super) fn is_in_data(&self, found: &Found, makes: bool, caller: &Caller) -> bool {
        let own = found.name == ".";
        let Some(place) = (if own { Some(&*found.canonical) } else { found.canonical.parent() }) else {
            return false;
        };
        if found.magic
            || !self.rules.may_be_data(place)
            || self.is_mounted(&found.canonical)
            || self.rules.is_reserved(&found.canonical)
        {
            return false;
        }
        let Ok(stat) = fstat(&found.parent) else { return false };
        let [.., user] = caller.uids;
        let is_owned = !user.is_root() && stat.st_uid == user.as_raw();
        if !is_owned
            && (!data::is_named_for_data(place) || (makes && !own && !data::may_be_made(&found.name)))
        {
            return false;
        }
        let id = FileId { device: stat.st_dev, inode: stat.st_ino };
        let changed = (stat.st_ctime, stat.st_ctime_nsec as u32);
        let mut known = self.memory.data.borrow_mut();
        match known.get(&(id, is_owned)) {
            Some((_, true)) => return true,
            Some((then, false)) if *then == changed => return false,
            _ => {}
        }
        let is_data = entries(&found.parent).is_some_and(|entries| data::is_data(&entries, is_owned));
        if known.len() >= MOST {
            known.clear();
        }
        known.insert((id, is_owned), (changed, is_data));
        is_data
    }

    fn is_mounted(&self, path: &Path) -> bool {
        self.rules.policy().provenance.is_mount_point(path)
    }
}

/// What a directory has; `None` where that cannot be read, or is too much.
fn entries(directory: &OwnedFd) -> Option<Vec<ListedEntry>> {
    let path = link_to(directory);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(&path).ok()? {
        if entries.len() >= MOST {
            return None;
        }
        let name = entry.ok()?.file_name();
        let file = Path::new(&path).join(&name);
        let found = file.symlink_metadata().ok()?;
        let kind = (!found.is_symlink()).then(|| FileKind::of_mode(found.mode()));
        let start = if kind == Some(FileKind::Regular) { start(&file)? } else { [0; 4] };
        entries.push(ListedEntry { name: name.into_vec(), kind, mode: found.mode() & 0o7777, start });
    }
    Some(entries)
}

/// The first bytes of a file, or zeros where it has fewer.
fn start(path: &Path) -> Option<[u8; 4]> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let mut found = Vec::with_capacity(4);
    file.take(4).read_to_end(&mut found).ok()?;
    found.resize(4, 0);
    found.try_into().ok()
}
