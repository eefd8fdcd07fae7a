//! An invented image, for which tests and golden files plan.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Executable, FileId, FileInfo, FileKind, ImageFiles, ListedName, MAX_LINKS, Time};
use crate::ids::Uid;

/// Files that exist in memory only. Directories above a path come with it.
#[derive(Clone, Debug)]
pub struct ImageTree {
    nodes: BTreeMap<PathBuf, ImageNode>,
    next: u64,
    /// The inodes that have more names than one, and how many.
    links: BTreeMap<u64, u64>,
    /// Owners other than root, by inode.
    owners: BTreeMap<u64, Uid>,
    mounts: BTreeMap<u64, u64>,
    /// When inodes were changed, where that is not the first second.
    changes: BTreeMap<u64, Time>,
}

#[derive(Clone, Debug)]
enum ImageNode {
    There { inode: u64, kind: FileKind, mode: u32, how: Executable },
    Link(PathBuf),
}

impl ImageTree {
    /// An image with nothing in it but `/`.
    pub fn new() -> ImageTree {
        let mut tree = ImageTree {
            nodes: BTreeMap::new(),
            next: 1,
            links: BTreeMap::new(),
            owners: BTreeMap::new(),
            mounts: BTreeMap::new(),
            changes: BTreeMap::new(),
        };
        tree.put(Path::new("/"), FileKind::Directory, 0o755, Executable::Unknown);
        tree
    }

    /// With a directory.
    #[must_use]
    pub fn dir(mut self, path: &str) -> ImageTree {
        self.put(Path::new(path), FileKind::Directory, 0o755, Executable::Unknown);
        self
    }

    /// With a file of data.
    #[must_use]
    pub fn file(mut self, path: &str) -> ImageTree {
        self.put(Path::new(path), FileKind::Regular, 0o644, Executable::Unknown);
        self
    }

    /// With an executable file.
    #[must_use]
    pub fn program(mut self, path: &str, how: Executable) -> ImageTree {
        self.put(Path::new(path), FileKind::Regular, 0o755, how);
        self
    }

    /// With a device.
    #[must_use]
    pub fn device(mut self, path: &str) -> ImageTree {
        self.put(Path::new(path), FileKind::Device, 0o666, Executable::Unknown);
        self
    }

    /// With a symbolic link.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> ImageTree {
        self.above(Path::new(path));
        self.nodes.insert(path.into(), ImageNode::Link(target.into()));
        self
    }

    /// With one more name for a file that is already there.
    ///
    /// # Panics
    /// `existing` is not there.
    #[must_use]
    pub fn hard_link(mut self, path: &str, existing: &str) -> ImageTree {
        let node = self.nodes.get(Path::new(existing)).expect("a hard link is to a file that is there");
        let node = node.clone();
        if let ImageNode::There { inode, .. } = node {
            *self.links.entry(inode).or_insert(1) += 1;
        }
        self.above(Path::new(path));
        self.nodes.insert(path.into(), node);
        self
    }

    /// With another owner of a file that is there.
    #[must_use]
    pub fn owned(mut self, path: &str, owner: u32) -> ImageTree {
        self.owners.insert(self.inode(path), Uid::from_raw(owner));
        self
    }

    /// With a file that is there on another device.
    #[must_use]
    pub fn mounted(mut self, path: &str, device: u64) -> ImageTree {
        self.mounts.insert(self.inode(path), device);
        self
    }

    /// With a file that is there changed at this second.
    #[must_use]
    pub fn changed(mut self, path: &str, second: i64) -> ImageTree {
        self.changes.insert(self.inode(path), (second, 0));
        self
    }

    fn inode(&self, path: &str) -> u64 {
        match self.nodes.get(Path::new(path)) {
            Some(ImageNode::There { inode, .. }) => *inode,
            _ => panic!("{path} is not there"),
        }
    }

    fn put(&mut self, path: &Path, kind: FileKind, mode: u32, how: Executable) {
        self.above(path);
        let node = ImageNode::There { inode: self.next, kind, mode, how };
        self.next += 1;
        self.nodes.insert(path.to_owned(), node);
    }

    fn above(&mut self, path: &Path) {
        if let Some(parent) = path.parent()
            && !self.nodes.contains_key(parent)
        {
            self.put(parent, FileKind::Directory, 0o755, Executable::Unknown);
        }
    }

    /// Resolves a path: the path without links, and its node.
    fn resolve(&self, path: &Path, links: usize) -> io::Result<Option<(PathBuf, &ImageNode)>> {
        let mut at = PathBuf::from("/");
        let parts: Vec<_> = path.components().collect();
        for (index, part) in parts.iter().enumerate() {
            match part {
                Component::ParentDir => {
                    at.pop();
                    continue;
                }
                Component::Normal(name) => at.push(name),
                _ => continue,
            }
            match self.nodes.get(&at) {
                None => return Ok(None),
                Some(ImageNode::There { kind, .. }) => {
                    if *kind != FileKind::Directory && index + 1 < parts.len() {
                        return Ok(None);
                    }
                }
                Some(ImageNode::Link(_)) if links == 0 => {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                Some(ImageNode::Link(target)) => {
                    at.pop();
                    let rest: PathBuf = parts[index + 1..].iter().collect();
                    return self.resolve(&at.join(target).join(rest), links - 1);
                }
            }
        }
        Ok(self.nodes.get(&at).map(|node| (at.clone(), node)))
    }
}

impl Default for ImageTree {
    fn default() -> ImageTree {
        ImageTree::new()
    }
}

impl ImageFiles for ImageTree {
    fn stat(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        Ok(self.resolve(path, MAX_LINKS)?.and_then(|(canonical, node)| match node {
            ImageNode::There { inode, kind, mode, .. } => {
                let device = self.mounts.get(inode).copied().unwrap_or(1);
                let id = FileId { device, inode: *inode };
                let links = self.links.get(inode).copied().unwrap_or(1);
                let owner = self.owners.get(inode).copied().unwrap_or(Uid::from_raw(0));
                let changed = self.changes.get(inode).copied().unwrap_or_default();
                Some(FileInfo { canonical, id, kind: *kind, mode: *mode, links, owner, changed })
            }
            ImageNode::Link(_) => None,
        }))
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        match self.nodes.get(path) {
            Some(ImageNode::Link(target)) => Some(target.clone()),
            _ => None,
        }
    }

    fn executable(&self, path: &Path) -> io::Result<Executable> {
        match self.resolve(path, MAX_LINKS)? {
            Some((_, ImageNode::There { how, .. })) => Ok(how.clone()),
            _ => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<ListedName>> {
        let (at, _) =
            self.resolve(path, MAX_LINKS)?.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        let below = |(name, node): (&PathBuf, &ImageNode)| {
            let own = name.parent() == Some(&at);
            let kind = match node {
                ImageNode::Link(_) => None,
                ImageNode::There { kind, .. } => Some(*kind),
            };
            own.then(|| (name.file_name().unwrap_or_default().to_owned(), kind))
        };
        Ok(self.nodes.iter().filter_map(below).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_one_inode_and_loops_end() {
        let tree = ImageTree::new()
            .program("/usr/bin/busybox", Executable::Static)
            .link("/bin", "usr/bin")
            .link("/usr/bin/sh", "busybox")
            .hard_link("/usr/bin/ls", "/usr/bin/busybox")
            .link("/a", "/b")
            .link("/b", "/a");
        let look = |path: &str| tree.stat(Path::new(path)).expect("no loop").expect("is there");
        assert_eq!(look("/bin/sh").canonical, Path::new("/usr/bin/busybox"));
        assert_eq!(look("/bin/sh").id, look("/bin/ls").id);
        assert_eq!(look("/bin/../bin/ls").canonical, Path::new("/usr/bin/ls"));
        assert!(tree.stat(Path::new("/a")).is_err());
        assert_eq!(tree.stat(Path::new("/bin/sh/x")).expect("ENOTDIR"), None);
        let regular = Some(FileKind::Regular);
        let names: Vec<_> = tree.list(Path::new("/bin")).expect("listable").into_iter().collect();
        assert_eq!(names, [("busybox".into(), regular), ("ls".into(), regular), ("sh".into(), None)]);
    }
}
