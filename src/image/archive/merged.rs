//! The files of an image: its layers over one another, as a container would see them. Links are
//! resolved in this tree, so none leads out of it.
//!
//! Runtimes put layers together by different means: overlay file systems, copies, and tar archives
//! that are unpacked into one directory. A layer that is not the same image for all of them is
//! refused. No link of a lower layer is followed where a layer is put, so each entry costs as much as
//! its name is long.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Bound::{Included, Unbounded};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::layer::{ContentFacts, ImageLayer, LayerChange, LayerNode, NodeKind};
use super::no_regular;
use crate::ids::Uid;
use crate::image::{Executable, FileId, FileInfo, FileKind, ImageFiles, ListedName, MAX_LINKS};

/// The longest path without links, in bytes (PATH_MAX).
const LONGEST_PATH: usize = 4096;

/// The files of an image.
#[derive(Debug)]
pub(super) struct MergedFiles {
    root: MergedNode,
    nodes: BTreeMap<NodeKey, MergedNode>,
    /// How many names a file has that has several.
    links: HashMap<u64, u64>,
    facts: ContentFacts,
    /// The number of the next directory.
    next: u32,
    /// The inode of the next directory that no layer has an entry for.
    next_inode: u64,
    /// How many files and directories may still be put.
    left: usize,
    /// The number of the layer that is put, from 1.
    layer: u32,
    /// Where this layer has whiteouts.
    whiteouts: HashSet<NodeKey>,
}

/// The number of the directory, most significant byte first, and the name in it: what is in one
/// directory is one range.
type NodeKey = Box<[u8]>;

#[derive(Debug)]
struct MergedNode {
    node: LayerNode,
    /// The number of a directory.
    number: u32,
    /// The last layer that has an entry here or beneath.
    layer: u32,
}

/// Why a layer does not go over those below it.
pub(super) struct MergeError {
    pub path: Vec<u8>,
    pub fault: MergeFault,
}

/// What is wrong with an entry of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MergeFault {
    /// A hard link to a file that is in no layer.
    HardLink,
    /// A hard link to a directory.
    HardLinkToDirectory,
    /// A hard link to a path with a symbolic link in it.
    HardLinkBehindLink,
    /// Its directory is a file.
    BelowFile,
    /// Its directory is a symbolic link.
    BehindLink,
    /// A whiteout in a directory that is a symbolic link.
    WhiteoutBehindLink,
    /// Its layer has another entry of this path.
    Twice,
    /// Its layer has a whiteout of it, or it is a whiteout of what its layer has.
    WhitedOut,
    /// There are more files and directories than are read.
    TooMany,
}

impl MergeFault {
    pub fn text(self) -> &'static str {
        match self {
            MergeFault::HardLink => "is a hard link to a file that is in no layer; save the image again",
            MergeFault::HardLinkToDirectory => "is a hard link to a directory",
            MergeFault::HardLinkBehindLink => {
                "is a hard link to a path behind a symbolic link, which runtimes follow differently; build the layer with the path without links"
            }
            MergeFault::BelowFile => "stands below a file that is no directory",
            MergeFault::BehindLink => {
                "stands behind a symbolic link, which runtimes follow or replace by a directory; build the layer with the path without links"
            }
            MergeFault::WhiteoutBehindLink => {
                "is removed by a whiteout behind a symbolic link, which runtimes follow or replace by a directory; build the layer with the path without links"
            }
            MergeFault::Twice => {
                "is twice in its layer, and runtimes differ in the one that they take; build the layer again"
            }
            MergeFault::WhitedOut => {
                "is in its layer beside a whiteout that removes it, of which runtimes take different ones; build the layer again"
            }
            MergeFault::TooMany => "is more than is read",
        }
    }
}

/// A directory while a path is followed: its number, and how much of the path's text leads to it.
type PathStep = (u32, usize);

impl MergedFiles {
    /// An image with nothing but its root, of at most so many files and directories.
    pub(super) fn new(most: usize) -> MergedFiles {
        let root = MergedNode { node: implied(1 << 32), number: 0, layer: 0 };
        MergedFiles {
            root,
            nodes: BTreeMap::new(),
            links: HashMap::new(),
            facts: ContentFacts::default(),
            next: 1,
            next_inode: (1 << 32) + 1,
            left: most,
            layer: 0,
            whiteouts: HashSet::new(),
        }
    }

    /// Puts a layer over what is there.
    ///
    /// # Errors
    /// An entry cannot be put, or not all runtimes would put it so.
    pub(super) fn apply(&mut self, layer: &ImageLayer) -> Result<(), MergeError> {
        self.layer += 1;
        self.whiteouts.clear();
        for (path, change) in &layer.0 {
            let done = match change {
                LayerChange::Put(node) => self.put(path, node),
                LayerChange::Whiteout => self.whiteout(path),
                LayerChange::Opaque => self.opaque(path),
            };
            done.map_err(|fault| MergeError { path: path.to_vec(), fault })?;
        }
        Ok(())
    }

    /// After the last layer: what is remembered of the files that are still there.
    pub(super) fn settle(&mut self, mut facts: ContentFacts) {
        let mut links = HashMap::new();
        for MergedNode { node, .. } in self.nodes.values() {
            if node.kind != NodeKind::Directory {
                *links.entry(node.inode).or_insert(0) += 1;
            }
        }
        facts.executables.retain(|inode, _| links.contains_key(inode));
        facts.texts.retain(|inode, _| links.contains_key(inode));
        facts.executables.shrink_to_fit();
        links.retain(|_, count| *count > 1);
        links.shrink_to_fit();
        self.links = links;
        self.facts = facts;
        self.whiteouts = HashSet::new();
    }

    fn put(&mut self, path: &[u8], node: &LayerNode) -> Result<(), MergeFault> {
        let node = match &node.kind {
            NodeKind::HardLink(target) => self.linked(target)?,
            _ => node.clone(),
        };
        self.count()?;
        if path.is_empty() {
            self.root.node = node;
            return Ok(());
        }
        let (directory, name) = split(path);
        let key = key(self.made(directory, true)?, name);
        let is_directory = node.kind == NodeKind::Directory;
        if is_directory && self.whiteouts.contains(&key) {
            // A directory is merged with the lower one, unless the whiteout is seen.
            return Err(MergeFault::WhitedOut);
        }
        let below = self.nodes.get(&key).map(|below| (below.layer, below.number, &below.node.kind));
        let mut number = None;
        match below {
            Some((_, same, NodeKind::Directory)) if is_directory => number = Some(same),
            Some((layer, ..)) if layer == self.layer => return Err(MergeFault::Twice),
            Some((_, beneath, NodeKind::Directory)) => self.remove_beneath(beneath, None),
            _ => {}
        }
        let number = match number {
            Some(same) => same,
            None if is_directory => self.number(),
            None => 0,
        };
        self.nodes.insert(key, MergedNode { node, number, layer: self.layer });
        Ok(())
    }

    /// The file of a hard link, which this layer then has.
    fn linked(&mut self, target: &[u8]) -> Result<LayerNode, MergeFault> {
        let (directory, name) = split(target);
        if name.is_empty() {
            return Err(MergeFault::HardLinkToDirectory);
        }
        let mut at = 0;
        for part in names(directory) {
            let found = self.nodes.get_mut(&key(at, part)).ok_or(MergeFault::HardLink)?;
            match found.node.kind {
                NodeKind::Directory => at = found.number,
                NodeKind::Symlink(_) => return Err(MergeFault::HardLinkBehindLink),
                _ => return Err(MergeFault::HardLink),
            }
            found.layer = self.layer;
        }
        let found = self.nodes.get_mut(&key(at, name)).ok_or(MergeFault::HardLink)?;
        if found.node.kind == NodeKind::Directory {
            return Err(MergeFault::HardLinkToDirectory);
        }
        found.layer = self.layer;
        Ok(found.node.clone())
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<(), MergeFault> {
        let (directory, name) = split(path);
        let directory = self.made(directory, false).map_err(|fault| match fault {
            MergeFault::BehindLink => MergeFault::WhiteoutBehindLink,
            fault => fault,
        })?;
        let key = key(directory, name);
        if self.nodes.get(&key).is_some_and(|found| found.layer == self.layer) {
            return Err(MergeFault::WhitedOut);
        }
        if let Some(removed) = self.nodes.remove(&key)
            && removed.node.kind == NodeKind::Directory
        {
            self.remove_beneath(removed.number, None);
        }
        self.whiteouts.insert(key);
        Ok(())
    }

    fn opaque(&mut self, directory: &[u8]) -> Result<(), MergeFault> {
        let number = self.made(directory, false).map_err(|fault| match fault {
            MergeFault::BehindLink => MergeFault::WhiteoutBehindLink,
            fault => fault,
        })?;
        self.remove_beneath(number, Some(self.layer));
        Ok(())
    }

    /// The number of a directory. It is made where it is missing, as runtimes do. The only links that are
    /// followed are those of this layer to a directory that this layer has too: those lead to it
    /// wherever the layer is unpacked. A whiteout is never behind one.
    fn made(&mut self, directory: &[u8], follow: bool) -> Result<u32, MergeFault> {
        let mut at = 0;
        let mut way = directory.to_vec();
        let mut from = 0;
        let mut follow = follow;
        while from < way.len() {
            let end =
                way[from..].iter().position(|byte| *byte == b'/').map_or(way.len(), |slash| from + slash);
            let key = key(at, &way[from..end]);
            match self.nodes.get_mut(&key) {
                Some(found) if found.node.kind == NodeKind::Directory => {
                    found.layer = self.layer;
                    at = found.number;
                }
                Some(MergedNode {
                    node: LayerNode { kind: NodeKind::Symlink(target), .. }, layer, ..
                }) => {
                    if !follow || *layer != self.layer {
                        return Err(MergeFault::BehindLink);
                    }
                    let rest = way.get(end + 1..).unwrap_or_default();
                    let target = leads_to(split(&way[..end]).0, target).ok_or(MergeFault::BehindLink)?;
                    if !self.has_directory(&target) {
                        return Err(MergeFault::BehindLink);
                    }
                    way = joined(&target, rest);
                    (at, from, follow) = (0, 0, false);
                    continue;
                }
                Some(_) => return Err(MergeFault::BelowFile),
                None if self.whiteouts.contains(&key) => return Err(MergeFault::WhitedOut),
                None => at = self.imply(key)?,
            }
            from = end + 1;
        }
        Ok(at)
    }

    /// Whether this layer has a directory at this path, without a link on the way.
    fn has_directory(&self, path: &[u8]) -> bool {
        let mut at = 0;
        names(path).all(|name| match self.nodes.get(&key(at, name)) {
            Some(found) if found.node.kind == NodeKind::Directory && found.layer == self.layer => {
                at = found.number;
                true
            }
            _ => false,
        })
    }

    /// Makes a directory that no layer has an entry for.
    fn imply(&mut self, key: NodeKey) -> Result<u32, MergeFault> {
        self.count()?;
        let (node, number) = (implied(self.next_inode), self.number());
        self.next_inode += 1;
        self.nodes.insert(key, MergedNode { node, number, layer: self.layer });
        Ok(number)
    }

    fn count(&mut self) -> Result<(), MergeFault> {
        self.left = self.left.checked_sub(1).ok_or(MergeFault::TooMany)?;
        Ok(())
    }

    /// The number of a new directory. No more are made than may be put.
    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// Removes what is in a directory; not what this layer has there, if there is one.
    fn remove_beneath(&mut self, directory: u32, but: Option<u32>) {
        let mut ahead = vec![directory];
        while let Some(directory) = ahead.pop() {
            let mut removed = Vec::new();
            for (key, found) in self.within(directory) {
                if found.node.kind == NodeKind::Directory {
                    ahead.push(found.number);
                }
                if but != Some(found.layer) {
                    removed.push(key.clone());
                }
            }
            for key in removed {
                self.nodes.remove(&key);
            }
        }
    }

    /// What is in a directory, by name.
    fn within(&self, directory: u32) -> impl Iterator<Item = (&NodeKey, &MergedNode)> {
        let from = directory.to_be_bytes();
        let range = self.nodes.range::<[u8], _>((Included(&from[..]), Unbounded));
        range.take_while(move |(key, _)| key.starts_with(&from))
    }

    /// The file at a path, links followed, and its path without links; none where there is no file.
    fn followed(&self, path: &[u8]) -> Result<Option<(Vec<u8>, &MergedNode)>, Errno> {
        let mut found = &self.root;
        let mut end = Vec::new();
        // The directories above the file.
        let mut above: Vec<PathStep> = Vec::new();
        let mut links = 0;
        let mut ahead = reversed(path);
        while let Some(name) = ahead.pop() {
            // A file has nothing below it, not even `..`.
            if found.node.kind != NodeKind::Directory {
                return Ok(None);
            }
            if name == b".." {
                if let Some((_, length)) = above.pop() {
                    end.truncate(length);
                    found = self.last(&above, &end);
                }
                continue;
            }
            let Some(next) = self.nodes.get(&key(found.number, name)) else { return Ok(None) };
            if let NodeKind::Symlink(target) = &next.node.kind {
                if links == MAX_LINKS {
                    return Err(Errno::ELOOP);
                }
                links += 1;
                if target.starts_with(b"/") {
                    end.clear();
                    above.clear();
                    found = &self.root;
                }
                ahead.append(&mut reversed(target));
                continue;
            }
            above.push((found.number, end.len()));
            if !end.is_empty() {
                end.push(b'/');
            }
            end.extend_from_slice(name);
            if end.len() > LONGEST_PATH {
                return Err(Errno::ENAMETOOLONG);
            }
            found = next;
        }
        Ok(Some((end, found)))
    }

    /// The last directory of a path without links, whose own directories are these.
    fn last(&self, above: &[PathStep], path: &[u8]) -> &MergedNode {
        let found = above.last().and_then(|(number, _)| self.nodes.get(&key(*number, split(path).1)));
        found.unwrap_or(&self.root)
    }

    /// The file at a path, links followed: its own path, and the file.
    pub(super) fn find(&self, path: &Path) -> io::Result<Option<(PathBuf, &LayerNode)>> {
        let found = self.followed(path.as_os_str().as_bytes())?;
        Ok(found.map(|(path, found)| (Path::new("/").join(OsString::from_vec(path)), &found.node)))
    }

    /// The text of a package database; none where the file is none.
    pub(super) fn text(&self, node: &LayerNode) -> Option<&str> {
        self.facts.texts.get(&node.inode).map(String::as_str)
    }
}

/// A directory that no layer has an entry for.
fn implied(inode: u64) -> LayerNode {
    LayerNode { kind: NodeKind::Directory, mode: 0o755, owner: 0, modified: 0, inode }
}

fn key(directory: u32, name: &[u8]) -> NodeKey {
    [&directory.to_be_bytes(), name].concat().into()
}

/// The names of a path; without those that lead nowhere.
fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

/// The names of a path, the first one last.
fn reversed(path: &[u8]) -> Vec<&[u8]> {
    names(path).rev().collect()
}

/// Where a link in this directory leads; none where it goes up behind a name, which may be a link.
fn leads_to(directory: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut path: Vec<&[u8]> = match target.starts_with(b"/") {
        true => Vec::new(),
        false => names(directory).collect(),
    };
    let mut is_up = true;
    for name in names(target) {
        match name {
            b".." if !is_up => return None,
            // The root is above itself.
            b".." => drop(path.pop()),
            name => {
                is_up = false;
                path.push(name);
            }
        }
    }
    Some(path.join(&b'/'))
}

/// The directory and the last name of a path.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() || name.is_empty() {
        [directory, name].concat()
    } else {
        [directory, b"/", name].concat()
    }
}

impl ImageFiles for MergedFiles {
    fn stat(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        Ok(self.find(path)?.map(|(canonical, node)| FileInfo {
            canonical,
            id: FileId { device: 1, inode: node.inode },
            kind: node.kind.of_file().unwrap_or(FileKind::Other),
            mode: node.mode.into(),
            links: self.links.get(&node.inode).copied().unwrap_or(1),
            owner: Uid::from_raw(node.owner),
            changed: (node.modified, 0),
        }))
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        let path = path.as_os_str().as_bytes();
        let (directory, name) = split(path.strip_suffix(b"/").unwrap_or(path));
        let (_, directory) = self.followed(directory).ok()??;
        if directory.node.kind != NodeKind::Directory {
            return None;
        }
        match &self.nodes.get(&key(directory.number, name))?.node.kind {
            NodeKind::Symlink(target) => Some(OsStr::from_bytes(target).into()),
            _ => None,
        }
    }

    fn executable(&self, path: &Path) -> io::Result<Executable> {
        let (_, node) = self.find(path)?.ok_or(Errno::ENOENT)?;
        match node.kind {
            NodeKind::Regular(_) => {
                Ok(self.facts.executables.get(&node.inode).cloned().unwrap_or(Executable::Unknown))
            }
            NodeKind::Directory => Err(Errno::EISDIR.into()),
            NodeKind::Device => Err(no_regular("a device")),
            _ => Err(no_regular("a FIFO")),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<ListedName>> {
        let (_, directory) = self.followed(path.as_os_str().as_bytes())?.ok_or(Errno::ENOENT)?;
        if directory.node.kind != NodeKind::Directory {
            return Err(Errno::ENOTDIR.into());
        }
        let names = self.within(directory.number).map(|(key, found)| {
            let name = OsStr::from_bytes(&key[size_of::<u32>()..]).to_owned();
            (name, found.node.kind.of_file())
        });
        Ok(names.collect())
    }
}
