//! Lists directories, and decides which are on a file system with files.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::Place;
use crate::procfs::mountinfo::MountInfo;

/// Pseudo file systems: their content is made by the kernel, and opening it may cost or mount
/// something.
const PSEUDO: [&str; 20] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "efivarfs",
    "fusectl",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "resctrl",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// Directories of pseudo file systems in which runtimes look for their limits (a JVM, node, Go, redis):
/// these are watched, and none below them.
const OF_THE_KERNEL: [&str; 7] = [
    "/sys/class/net",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/cpu",
    "/sys/fs/cgroup/memory",
    "/sys/kernel/mm/transparent_hugepage",
];

/// Those that are there, and the directories of the network interfaces, to which links lead.
fn of_the_kernel() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = OF_THE_KERNEL.map(PathBuf::from).into();
    if let Ok(interfaces) = std::fs::read_dir(OF_THE_KERNEL[0]) {
        for interface in interfaces {
            all.extend(interface.and_then(|link| std::fs::canonicalize(link.path())));
        }
    }
    all.retain(|directory| directory.is_dir());
    all
}

/// The mount points that limit a walk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Nothing at or below these is watched.
    pub left_out: HashSet<PathBuf>,
    /// Mounts that are watched. A file may be one, as Docker's /etc/resolv.conf is: its directory is
    /// outside the container.
    pub mounts: Vec<PathBuf>,
}

impl Bounds {
    /// The mounts at and below the watched root.
    pub fn new(place: &Place, mounts: &[MountInfo]) -> Bounds {
        // A later mount covers an earlier one.
        let mut kinds = BTreeMap::new();
        kinds.extend(mounts.iter().map(|mount| (&mount.point, &*mount.kind)));
        let mut bounds = Bounds { left_out: place.skip.iter().cloned().collect(), mounts: Vec::new() };
        for (point, kind) in kinds {
            if PSEUDO.contains(&kind) {
                bounds.left_out.insert(point.clone());
            } else if point.starts_with(&place.root)
                && *point != place.root
                && !point.ancestors().any(|above| bounds.left_out.contains(above))
            {
                bounds.mounts.push(point.clone());
            }
        }
        bounds
    }
}

/// A directory, or a file that is a mount.
pub(super) struct FoundEntry {
    /// The index of its parent in the list; `None` where the name is the whole path.
    pub above: Option<usize>,
    pub name: OsString,
}

/// The result of a walk.
pub(super) struct Walk {
    /// Parents come before their children.
    pub found: Vec<FoundEntry>,
    /// Directories that cannot be listed, with the error.
    pub closed: Vec<(PathBuf, io::Error)>,
    /// The number of directories beyond [`Place::most`]; those below them are not counted.
    pub beyond: usize,
}

impl Walk {
    /// Lists every directory at or below the root, breadth first, across mounts and without following
    /// links.
    pub fn over(place: &Place, bounds: &Bounds) -> Walk {
        let top = FoundEntry { above: None, name: place.root.clone().into() };
        let mut walk = Walk { found: vec![top], closed: Vec::new(), beyond: 0 };
        let mut mounts: BTreeSet<&Path> = BTreeSet::new();
        mounts.extend(bounds.mounts.iter().map(|mount| &**mount));
        let mut next = 0;
        loop {
            while next < walk.found.len() {
                let path = walk.path(next);
                mounts.remove(&*path);
                walk.list(next, &path, place.most, bounds);
                next += 1;
            }
            // A mount that the walk does not reach: a directory above it cannot be listed, or it is a
            // file.
            let Some(mount) = mounts.pop_first() else {
                if place.root == Path::new("/") {
                    walk.found.extend(
                        of_the_kernel().into_iter().map(|name| FoundEntry { above: None, name: name.into() }),
                    );
                }
                return walk;
            };
            walk.found.push(FoundEntry { above: None, name: mount.into() });
        }
    }

    fn list(&mut self, at: usize, path: &Path, most: usize, bounds: &Bounds) {
        match list(path, usize::MAX) {
            Ok(Names { directories, .. }) => {
                for name in directories {
                    if bounds.left_out.contains(&path.join(&name)) {
                    } else if self.found.len() >= most {
                        self.beyond += 1;
                    } else {
                        self.found.push(FoundEntry { above: Some(at), name });
                    }
                }
            }
            // Removed by now, or a file mount.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => self.closed.push((path.into(), error)),
        }
    }

    /// The whole path of an entry.
    pub fn path(&self, at: usize) -> PathBuf {
        let above = |at: &usize| self.found[*at].above;
        let names: Vec<_> = std::iter::successors(Some(at), above).map(|at| &*self.found[at].name).collect();
        names.into_iter().rev().collect()
    }
}

/// The names in a directory.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The names of directories.
    pub directories: Vec<OsString>,
    /// The names of all other files.
    pub others: Vec<OsString>,
    /// The directory has more names than `most`.
    pub more: bool,
}

/// Lists up to `most` names of a directory.
pub(super) fn list(path: &Path, most: usize) -> io::Result<Names> {
    let mut names = Names::default();
    for (count, entry) in std::fs::read_dir(path)?.enumerate() {
        let entry = entry?;
        if count >= most {
            names.more = true;
            break;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => names.directories.push(entry.file_name()),
            // A name that was removed by now is left out.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(_) => names.others.push(entry.file_name()),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfs::mountinfo::parse;

    const MOUNTS: &[u8] = b"20 1 0:40 / / rw - overlay overlay rw\n\
        21 20 0:41 / /proc rw - proc proc rw\n\
        22 21 0:42 / /proc/kcore rw - tmpfs tmpfs rw\n\
        23 20 0:43 / /dev rw - tmpfs tmpfs rw\n\
        24 23 0:44 / /dev/pts rw - devpts devpts rw\n\
        25 20 8:1 /c/resolv.conf /etc/resolv.conf rw,relatime master:1 - ext4 /dev/sda1 rw\n\
        26 20 8:1 /v /data rw - ext4 /dev/sda1 rw\n\
        27 20 8:1 /j /var/lib/remit rw - ext4 /dev/sda1 rw\n\
        28 20 0:45 / /covered rw - sysfs sysfs rw\n\
        29 28 8:1 /w /covered rw - ext4 /dev/sda1 rw\n";

    #[test]
    fn pseudo_file_systems_and_what_is_not_wanted_are_left_out() {
        let place = Place { skip: vec!["/var/lib/remit".into()], ..Place::default() };
        let bounds = Bounds::new(&place, &parse(MOUNTS));
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(bounds.mounts, paths(&["/covered", "/data", "/dev", "/etc/resolv.conf"]));
        let left_out = paths(&["/proc", "/dev/pts", "/var/lib/remit"]);
        assert_eq!(bounds.left_out, left_out.into_iter().collect());
        let below = Place { root: "/dev".into(), ..Place::default() };
        assert_eq!(Bounds::new(&below, &parse(MOUNTS)).mounts, paths(&[]));
    }

    #[test]
    fn a_walk_is_over_no_link_the_nearest_first_and_says_what_is_beyond_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        for name in ["a/deep/er", "b", "skipped/x"] {
            std::fs::create_dir_all(root.join(name)).expect("a directory");
        }
        std::os::unix::fs::symlink("/usr", root.join("link")).expect("a link");
        let walk = |most| {
            let place = Place { root: root.into(), skip: vec![root.join("skipped")], most };
            let walk = Walk::over(&place, &Bounds::new(&place, &[]));
            let paths: Vec<_> = (0..walk.found.len())
                .map(|at| walk.path(at).strip_prefix(root).expect("inside").display().to_string())
                .collect();
            (paths, walk.beyond)
        };
        let (mut paths, beyond) = walk(100);
        paths[1..3].sort();
        assert_eq!((paths, beyond), (["", "a", "b", "a/deep", "a/deep/er"].map(String::from).to_vec(), 0));
        let (paths, beyond) = walk(2);
        assert_eq!((paths.len(), beyond > 0), (2, true));
    }
}
