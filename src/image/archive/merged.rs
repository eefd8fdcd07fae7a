//! The files of an image: its layers over one another, as a container would see them. Links are
//! resolved in this tree, so none leads out of it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::layer::{ContentFacts, ImageLayer, LayerNode, NodeKind};
use crate::ids::Uid;
use crate::image::{Executable, FileId, FileInfo, FileKind, ImageFiles, MAX_LINKS};

/// The files of an image.
#[derive(Debug)]
pub(super) struct MergedFiles {
    /// By path, without the first `/`; the root is empty. Everything above a node is there.
    nodes: BTreeMap<Box<[u8]>, LayerNode>,
    /// How many names a file has that has several.
    links: HashMap<u64, u64>,
    facts: ContentFacts,
    /// The number of the next directory that no layer has an entry for.
    next: u64,
}

/// Why a layer does not go over those below it.
pub(super) struct MergeError {
    pub path: Vec<u8>,
    pub fault: MergeFault,
}

/// What is wrong with an entry of a layer.
pub(super) enum MergeFault {
    /// A hard link to a file that is in no layer.
    HardLink,
    /// Its directory is behind a loop of links.
    Loop,
    /// Its directory is a file.
    BelowFile,
}

impl MergeFault {
    pub fn text(&self) -> &'static str {
        match self {
            MergeFault::HardLink => "is a hard link to a file that is in no layer; save the image again",
            MergeFault::Loop => "stands behind a loop of symbolic links",
            MergeFault::BelowFile => "stands below a file that is no directory",
        }
    }
}

impl MergedFiles {
    /// An image with nothing but its root.
    pub(super) fn new() -> MergedFiles {
        let mut files = MergedFiles {
            nodes: BTreeMap::new(),
            links: HashMap::new(),
            facts: ContentFacts::default(),
            next: 1 << 32,
        };
        files.implied(b"");
        files
    }

    /// Puts a layer over what is there.
    ///
    /// # Errors
    /// An entry stands below a file, or is a hard link to nothing.
    pub(super) fn apply(&mut self, layer: ImageLayer) -> Result<(), MergeError> {
        for directory in &layer.opaque {
            if let Ok(Some(path)) = self.followed(directory) {
                self.remove_beneath(&path);
            }
        }
        for path in &layer.whiteouts {
            let (directory, name) = split(path);
            if let Ok(Some(directory)) = self.followed(directory) {
                let path = joined(&directory, name);
                self.remove_beneath(&path);
                self.nodes.remove(&*path);
            }
        }
        // In the order of the entries: a link leads to what came before it.
        let mut entries: Vec<_> = layer.nodes.into_iter().collect();
        entries.sort_unstable_by_key(|(_, (number, _))| *number);
        let mut hard_links = Vec::new();
        for (path, (_, node)) in entries {
            match node.kind {
                NodeKind::HardLink(target) => hard_links.push((path, target)),
                _ => self.put(&path, node)?,
            }
        }
        for (path, target) in hard_links {
            let (directory, name) = split(&target);
            let found = self.followed(directory).ok().flatten().map(|directory| joined(&directory, name));
            match found.and_then(|target| self.nodes.get(&*target)) {
                Some(node) if node.kind != NodeKind::Directory => {
                    let node = node.clone();
                    self.put(&path, node)?;
                }
                _ => {
                    return Err(MergeError { path: path.into(), fault: MergeFault::HardLink });
                }
            }
        }
        Ok(())
    }

    /// After the last layer: what is remembered of the files that are still there.
    pub(super) fn settle(&mut self, mut facts: ContentFacts) {
        let mut links = HashMap::new();
        for node in self.nodes.values().filter(|node| node.kind != NodeKind::Directory) {
            *links.entry(node.inode).or_insert(0) += 1;
        }
        facts.executables.retain(|inode, _| links.contains_key(inode));
        facts.texts.retain(|inode, _| links.contains_key(inode));
        facts.executables.shrink_to_fit();
        links.retain(|_, count| *count > 1);
        links.shrink_to_fit();
        self.links = links;
        self.facts = facts;
    }

    fn put(&mut self, path: &[u8], node: LayerNode) -> Result<(), MergeError> {
        let (directory, name) = split(path);
        let directory = self.made(directory).map_err(|fault| MergeError { path: path.into(), fault })?;
        let path = joined(&directory, name);
        let over = self.nodes.get(&*path).map(|below| &below.kind);
        if node.kind != NodeKind::Directory || over.is_some_and(|over| *over != NodeKind::Directory) {
            self.remove_beneath(&path);
        }
        self.nodes.insert(path.into(), node);
        Ok(())
    }

    /// The path, without links, of a directory; it is made where it is missing, as runtimes do.
    fn made(&mut self, directory: &[u8]) -> Result<Vec<u8>, MergeFault> {
        // Mostly it is there, and no link is on the way: then its own path is.
        if matches!(self.nodes.get(directory), Some(node) if node.kind == NodeKind::Directory) {
            return Ok(directory.to_vec());
        }
        let mut at = Vec::new();
        let mut links = 0;
        let mut ahead = reversed(directory);
        while let Some(name) = ahead.pop() {
            if name == b".." {
                at = split(&at).0.to_vec();
                continue;
            }
            let path = joined(&at, &name);
            match self.nodes.get(&*path).map(|node| &node.kind) {
                Some(NodeKind::Directory) => at = path,
                Some(NodeKind::Symlink(_)) if links == MAX_LINKS => return Err(MergeFault::Loop),
                Some(NodeKind::Symlink(target)) => {
                    links += 1;
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    ahead.append(&mut reversed(target));
                }
                Some(_) => return Err(MergeFault::BelowFile),
                None => {
                    self.implied(&path);
                    at = path;
                }
            }
        }
        Ok(at)
    }

    /// Makes a directory that no layer has an entry for.
    fn implied(&mut self, path: &[u8]) {
        let node =
            LayerNode { kind: NodeKind::Directory, mode: 0o755, owner: 0, modified: 0, inode: self.next };
        self.next += 1;
        self.nodes.insert(path.into(), node);
    }

    fn remove_beneath(&mut self, directory: &[u8]) {
        let beneath: Vec<Box<[u8]>> = self.beneath(directory).map(|(path, _)| path.clone()).collect();
        for path in beneath {
            self.nodes.remove(&path);
        }
    }

    fn beneath<'f>(
        &'f self,
        directory: &[u8],
    ) -> impl Iterator<Item = (&'f Box<[u8]>, &'f LayerNode)> + use<'f> {
        let prefix = if directory.is_empty() { Vec::new() } else { [directory, b"/"].concat() };
        let from = Excluded(prefix.clone().into_boxed_slice());
        self.nodes.range((from, Unbounded)).take_while(move |(path, _)| path.starts_with(&prefix))
    }

    /// The path of a file without links; none where there is no file.
    fn followed(&self, path: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        let mut at = Vec::new();
        let mut links = 0;
        let mut ahead = reversed(path);
        while let Some(name) = ahead.pop() {
            // A file has nothing below it, not even `..`.
            if !matches!(self.nodes.get(&*at), Some(node) if node.kind == NodeKind::Directory) {
                return Ok(None);
            }
            if name == b".." {
                at = split(&at).0.to_vec();
                continue;
            }
            let path = joined(&at, &name);
            match self.nodes.get(&*path).map(|node| &node.kind) {
                None => return Ok(None),
                Some(NodeKind::Symlink(_)) if links == MAX_LINKS => return Err(Errno::ELOOP),
                Some(NodeKind::Symlink(target)) => {
                    links += 1;
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    ahead.append(&mut reversed(target));
                }
                Some(_) => at = path,
            }
        }
        Ok(Some(at))
    }

    /// The file at a path, links followed: its own path, and the file.
    pub(super) fn find(&self, path: &Path) -> io::Result<Option<(PathBuf, &LayerNode)>> {
        let Some(found) = self.followed(path.as_os_str().as_bytes())? else { return Ok(None) };
        let node = self.nodes.get(&*found);
        Ok(node.map(|node| (Path::new("/").join(OsString::from_vec(found)), node)))
    }

    /// The text of a package database; none where there is no such file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        let (_, node) = self.find(Path::new(path)).ok()??;
        self.facts.texts.get(&node.inode).map(String::as_str)
    }
}

/// The names of a path, the first one last; without those that lead nowhere.
fn reversed(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/').rev();
    names.filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec).collect()
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
            kind: match node.kind {
                NodeKind::Directory => FileKind::Directory,
                NodeKind::Regular(_) => FileKind::Regular,
                NodeKind::Device => FileKind::Device,
                NodeKind::Symlink(_) | NodeKind::HardLink(_) | NodeKind::Other => FileKind::Other,
            },
            mode: node.mode.into(),
            links: self.links.get(&node.inode).copied().unwrap_or(1),
            owner: Uid::from_raw(node.owner),
            changed: (node.modified, 0),
        }))
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        let path = path.as_os_str().as_bytes();
        let (directory, name) = split(path.strip_suffix(b"/").unwrap_or(path));
        let directory = self.followed(directory).ok()??;
        match &self.nodes.get(&*joined(&directory, name))?.kind {
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
            _ => Err(Errno::EACCES.into()),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(OsString, bool)>> {
        let directory = self.followed(path.as_os_str().as_bytes())?.ok_or(Errno::ENOENT)?;
        match self.nodes.get(&*directory).map(|node| &node.kind) {
            Some(NodeKind::Directory) => {}
            _ => return Err(Errno::ENOTDIR.into()),
        }
        let prefix = if directory.is_empty() { Vec::new() } else { [&*directory, b"/"].concat() };
        let mut names = Vec::new();
        let mut from = Excluded(prefix.clone().into_boxed_slice());
        while let Some((path, node)) = self.nodes.range((from, Unbounded)).next() {
            let Some(rest) = path.strip_prefix(&*prefix) else { break };
            from = match rest.iter().position(|byte| *byte == b'/') {
                // Behind everything beneath the child: `0` follows on `/`.
                Some(slash) => Included([&prefix, &rest[..slash], b"0"].concat().into()),
                None => {
                    names.push((
                        OsStr::from_bytes(rest).to_owned(),
                        matches!(node.kind, NodeKind::Symlink(_)),
                    ));
                    Excluded(path.clone())
                }
            };
        }
        names.sort_unstable();
        Ok(names)
    }
}
