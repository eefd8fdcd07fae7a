//! Which inode a right is for.
//!
//! The kernel's own rules belong to inodes. What is granted on one name and no rule can
//! say (a file that did not exist at the start, or that was replaced since) the supervisor
//! opens by that name; and without Landlock all rights are names' alone. So the rule that
//! holds here:
//!
//! **No inode gains a right by coming to be found under a granted name.** A right on a
//! file itself, to read, write or control it, is for the inode that was there at the
//! start, for one that the supervisor has made under that name, and for one that it has
//! moved or linked there from where the app had the right already. A right on a name, to
//! make or remove it, is the name's: whoever brings something there may remove it from
//! where it was.
//!
//! Only what somebody inside can bring about has to be heeded. A name, or a directory,
//! that no grant around it lets be made or removed keeps what is there, or gets something
//! else from outside the container, which is trusted: those are judged by their names.
//! The others are **tracked**: what is made there the supervisor makes, and what is there
//! is compared with what it knows, when it is used. To look at the call that moves it
//! would not do: another thread can exchange the paths of a rename that goes on.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags, make_bitflags};

use super::PolicyEngine;
use crate::image::{FileId, is_beneath};
use crate::plan::{FileGrant, Policy};
use crate::profile::Rights;

/// What is known of the inodes that a path leads over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Granted directories above it, or itself, by whose names another inode is found.
    pub exchanged: Vec<PathBuf>,
    /// Of what is at a tracked name, the rights that are for this inode.
    pub owned: Rights,
}

impl Standing {
    /// Every inode is the one that was planned.
    pub const ALL: Standing = Standing { exchanged: Vec::new(), owned: Rights::ON_FILE };

    /// Whether another inode is found by the name of this directory.
    pub fn is_exchanged(&self, place: &Path) -> bool {
        self.exchanged.iter().any(|exchanged| exchanged == place)
    }
}

const NAMES: Rights = Rights::CREATE.union(Rights::REMOVE);

/// Whether `other`, around `grant`, lets somebody inside give the name of `grant` to
/// another inode, which has fewer rights from `other` alone.
fn exposes(other: &FileGrant, grant: &FileGrant) -> bool {
    !other.rights.contains(grant.rights.intersection(Rights::ON_FILE))
        && !other
            .except
            .iter()
            .any(|except| is_beneath(&grant.path, except) || is_beneath(except, &grant.path))
}

/// The grants whose names another one, around them, exposes.
pub(super) fn exposed(policy: &Policy) -> Vec<&FileGrant> {
    let mut around: HashMap<&OsStr, Vec<&FileGrant>> = HashMap::new();
    for grant in policy.files.iter().filter(|grant| !grant.exact && grant.rights.intersects(NAMES)) {
        around.entry(grant.path.as_os_str()).or_default().push(grant);
    }
    let is_exposed = |grant: &&FileGrant| {
        let mut others =
            grant.path.ancestors().skip(1).filter_map(|above| around.get(above.as_os_str())).flatten();
        others.any(|other| exposes(other, grant))
    };
    policy.files.iter().filter(is_exposed).collect()
}

/// The names that are tracked, with the rights on what is there.
pub(super) fn tracked(exposed: &[&FileGrant]) -> HashMap<PathBuf, Rights> {
    let mut tracked = HashMap::new();
    for grant in exposed.iter().filter(|grant| grant.exact) {
        let rights: &mut Rights = tracked.entry(grant.path.clone()).or_insert(Rights::NONE);
        *rights = rights.union(grant.rights.intersection(Rights::ON_FILE));
    }
    tracked
}

/// The granted directories that may be exchanged.
pub(super) fn movable(exposed: &[&FileGrant]) -> Vec<(PathBuf, FileId)> {
    let directories = exposed.iter().filter(|grant| !grant.exact);
    let mut movable: Vec<_> = directories.filter_map(|grant| Some((grant.path.clone(), grant.id?))).collect();
    movable.sort();
    movable.dedup();
    movable
}

impl PolicyEngine {
    /// Whether a right on what is at this path is for single inodes.
    pub fn tracks(&self, path: &Path) -> bool {
        self.tracked.contains_key(path)
    }

    /// The rights that the profile has for this one name, where it is tracked.
    pub fn tracked_rights(&self, path: &Path) -> Rights {
        self.tracked.get(path).copied().unwrap_or(Rights::NONE)
    }

    /// Every tracked name that was there at the start, with its inode.
    pub fn tracked_files(&self) -> impl Iterator<Item = (&Path, FileId)> {
        let exact = self.policy.files.iter().filter(|grant| grant.exact && self.tracks(&grant.path));
        exact.filter_map(|grant| Some((grant.path.as_path(), grant.id?)))
    }

    /// Whether what comes to be at this path is made and moved there by the supervisor.
    pub fn performs_at(&self, path: &Path) -> bool {
        self.policy.performs && self.tracks(path)
    }

    /// The directories above a path, or itself, that may have been exchanged, with the
    /// inodes that they were at the start.
    pub fn movable_above<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (&'a Path, FileId)> {
        let above = self.movable.iter().filter(move |(place, _)| is_beneath(path, place));
        above.map(|(place, id)| (place.as_path(), *id))
    }

    /// Whether the kernel would let more be done with an inode under its new name than the
    /// profile grants under the old one. Landlock refuses such a move; it does not see
    /// what the supervisor moves.
    pub fn widens(&self, old: &Path, id: FileId, granted: Rights, new: &Path) -> bool {
        const ON_FILE: BitFlags<AccessFs> =
            make_bitflags!(AccessFs::{Execute | ReadFile | ReadDir | WriteFile | Truncate | IoctlDev});
        let above = |path: &Path| {
            let rules = path.ancestors().skip(1).filter_map(|place| self.rules.get(place));
            rules.fold(BitFlags::EMPTY, |all, (_, rights)| all | *rights)
        };
        let own = self.rules.get(old).filter(|(other, _)| *other == id).map(|(_, rights)| *rights);
        let table = [
            (Rights::READ, make_bitflags!(AccessFs::{ReadFile | ReadDir})),
            (Rights::WRITE, make_bitflags!(AccessFs::{WriteFile | Truncate})),
            (Rights::IOCTL, AccessFs::IoctlDev.into()),
        ];
        let granted = table.into_iter().filter(|(right, _)| granted.contains(*right));
        let had = granted.fold(above(old) | own.unwrap_or_default(), |all, (_, rights)| all | rights);
        !((above(new) & self.handled & ON_FILE) & !had).is_empty()
    }
}
