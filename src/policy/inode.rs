//! The inodes to which a right applies.
//!
//! Landlock's rules belong to inodes. Where no rule can express a grant on a name (a file that
//! did not exist at the start, or was replaced since), the supervisor opens the file by that name;
//! and without Landlock all rights belong to names. So this rule applies:
//!
//! **No inode gains a right by being moved to a granted name.** A right on a file itself, to read,
//! write or control it, applies to the inode that was there at the start, to one that the
//! supervisor has created under that name, and to one that it has moved or linked there from a
//! name on which the app had the right already. A right on a name, to create or remove it, applies
//! to the name: a process that moves a file there may remove it from its old name.
//!
//! Only changes by processes inside matter. A name, or a directory, that no grant around it lets
//! be created or removed keeps its inode, or gets another one from outside the container, which is
//! trusted: those are decided by their names. The others are **tracked**: the supervisor creates
//! the files there, and compares the inode with the known ones when the name is used. To check the
//! call that moves a file would not do: another thread can change the paths of a rename that
//! continues.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags, make_bitflags};

use super::PolicyEngine;
use crate::image::{FileId, directory, is_beneath};
use crate::plan::{FileGrant, Policy};
use crate::profile::Rights;

/// Whether the inodes that a path leads over are those of the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Granted directories above the path, or the path itself, whose names lead to another inode.
    pub exchanged: Vec<PathBuf>,
    /// The rights that the inode at a tracked name has.
    pub owned: Rights,
}

impl Standing {
    /// Every inode is that of the plan.
    pub const ALL: Standing = Standing { exchanged: Vec::new(), owned: Rights::ON_FILE };

    /// Whether the name of this directory leads to another inode.
    pub fn is_exchanged(&self, place: &Path) -> bool {
        self.exchanged.iter().any(|exchanged| exchanged == place)
    }
}

const NAMES: Rights = Rights::CREATE.union(Rights::REMOVE);

/// Whether `other`, around `grant`, lets a process inside move another inode, which has fewer
/// rights from `other` alone, to the name of `grant`.
fn exposes(other: &FileGrant, grant: &FileGrant) -> bool {
    !other.rights.contains(grant.rights.intersection(Rights::ON_FILE))
        && !other
            .except
            .iter()
            .any(|except| is_beneath(&grant.path, except) || is_beneath(except, &grant.path))
}

/// The grants on whose names another inode may be moved by another grant around them.
pub(super) fn exposed(policy: &Policy) -> Vec<&FileGrant> {
    let mut around: HashMap<&OsStr, Vec<&FileGrant>> = HashMap::new();
    for grant in policy.files.iter().filter(|grant| !grant.exact && grant.rights.intersects(NAMES)) {
        around.entry(grant.path.as_os_str()).or_default().push(grant);
    }
    // Grants in one directory follow each other.
    let (mut last, mut others) = (None, Vec::new());
    let mut exposed = Vec::new();
    for grant in &policy.files {
        let directory = directory(&grant.path).map(Path::as_os_str);
        if directory != last {
            last = directory;
            let above = grant.path.ancestors().skip(1);
            others = above.filter_map(|above| around.get(above.as_os_str())).flatten().collect();
        }
        if others.iter().any(|other| exposes(other, grant)) {
            exposed.push(grant);
        }
    }
    exposed
}

/// The tracked names, with the rights on the files there.
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
    let mut movable = BTreeSet::new();
    movable.extend(directories.filter_map(|grant| Some((grant.path.clone(), grant.id?))));
    movable.into_iter().collect()
}

/// What a file gains by a move, for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KernelGain {
    /// Nothing: Landlock allows the move.
    Nothing,
    /// It may be executed, and is no program for that: the policy asks whether it came with the image.
    ExecuteAlone,
    /// Rights that it must not gain.
    Rights,
}

impl PolicyEngine {
    /// Whether a right on the file at this path belongs to single inodes.
    pub fn tracks(&self, path: &Path) -> bool {
        self.tracked.contains_key(path)
    }

    /// The rights that the profile has for this one name, where it is tracked.
    pub fn tracked_rights(&self, path: &Path) -> Rights {
        self.tracked.get(path).copied().unwrap_or(Rights::NONE)
    }

    /// Every tracked name that existed at the start, with its inode.
    pub fn tracked_files(&self) -> impl Iterator<Item = (&Path, FileId)> {
        let exact = self.policy.files.iter().filter(|grant| grant.exact && self.tracks(&grant.path));
        exact.filter_map(|grant| Some((grant.path.as_path(), grant.id?)))
    }

    /// Whether the supervisor creates and moves the files at this path.
    pub fn performs_at(&self, path: &Path) -> bool {
        self.policy.performs && self.tracks(path)
    }

    /// The directories above a path, or itself, that may have been exchanged, with the
    /// inodes that they were at the start.
    pub fn movable_above<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (&'a Path, FileId)> {
        let above = self.movable.iter().filter(move |(place, _)| is_beneath(path, place));
        above.map(|(place, id)| (place.as_path(), *id))
    }

    /// What the kernel would let be done with an inode under its new name beyond what the profile grants
    /// under the old one. Landlock refuses such a move (EXDEV); it does not see what the supervisor moves.
    /// To be executed is nothing gained where only files of the image are programs: a move sets the time by
    /// which that is known.
    pub fn gained(&self, old: &Path, id: FileId, granted: Rights, new: &Path) -> KernelGain {
        const ON_FILE: BitFlags<AccessFs> =
            make_bitflags!(AccessFs::{Execute | ReadFile | ReadDir | WriteFile | Truncate | IoctlDev});
        let above = |path: &Path| {
            let rules = path.ancestors().skip(1).filter_map(|place| self.rules.get(place));
            rules.fold(BitFlags::EMPTY, |all, (_, rights)| all | *rights)
        };
        let own = self.rules.get(old).filter(|(other, _)| *other == id).map(|(_, rights)| *rights);
        let table = [
            (Rights::READ, AccessFs::ReadFile.into()),
            (Rights::LIST, AccessFs::ReadDir.into()),
            (Rights::WRITE, make_bitflags!(AccessFs::{WriteFile | Truncate})),
            (Rights::IOCTL, AccessFs::IoctlDev.into()),
        ];
        let granted = table.into_iter().filter(|(right, _)| granted.contains(*right));
        let had = granted.fold(above(old) | own.unwrap_or_default(), |all, (_, rights)| all | rights);
        let gained = (above(new) & self.handled & ON_FILE) & !had;
        match () {
            () if gained.is_empty() => KernelGain::Nothing,
            () if gained == AccessFs::Execute && self.asks_for_origin(new) => KernelGain::ExecuteAlone,
            () => KernelGain::Rights,
        }
    }
}
