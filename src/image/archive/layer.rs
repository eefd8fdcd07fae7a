//! One layer: what it adds, replaces and removes. Of the content of a file only what is needed
//! stays: how it is executed, and the text of a package database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufRead, Read};

use tar::EntryType;

use super::content::{Capture, executable};
use super::entries::{TarEntries, TarEntry, normal};
use super::error::ImageError;
use super::manifest::LayerPart;
use super::members::MemberReader;
use super::stream::{ByteStream, Compression, Hashing, Meter, decompressed};
use crate::image::{Executable, packages};
use crate::kernel::Arch;

/// The most that is read of an image, all layers together.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Entries.
    pub entries: usize,
    /// Bytes of names and of targets of links.
    pub names: usize,
    /// Bytes of package databases.
    pub text: u64,
    /// The bytes that an archive may unpack to whatever its size.
    pub unpacked: u64,
}

/// More than the largest images have.
pub(super) const LIMITS: Limits =
    Limits { entries: 2_000_000, names: 512 << 20, text: 256 << 20, unpacked: 1 << 30 };

/// What a layer has at a path.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub kind: NodeKind,
    /// Permission bits.
    pub mode: u16,
    pub owner: u32,
    /// Seconds since 1970.
    pub modified: i64,
    /// Names with the same number are one file.
    pub inode: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    Directory,
    Regular(Place),
    Symlink(Box<[u8]>),
    /// One more name for a file of a lower layer.
    HardLink(Box<[u8]>),
    Device,
    /// A FIFO.
    Other,
}

/// Where the content of a file is: in which layer, and where in it, uncompressed, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub layer: u16,
    pub offset: u64,
    pub size: u64,
}

/// The content of a layer.
#[derive(Debug, Default)]
pub(super) struct ImageLayer {
    pub nodes: BTreeMap<Box<[u8]>, Node>,
    /// What lower layers have at these paths is removed.
    pub whiteouts: BTreeSet<Vec<u8>>,
    /// What lower layers have in these directories is removed.
    pub opaque: BTreeSet<Vec<u8>>,
}

/// What is remembered of the files of all layers, by inode.
#[derive(Debug, Default)]
pub(super) struct FileFacts {
    /// How files are executed that can be.
    pub executables: HashMap<u64, Executable>,
    /// The texts of package databases.
    pub texts: HashMap<u64, String>,
}

/// Reads layers, and counts what all of them have.
pub(super) struct LayerReader<'p> {
    pub facts: FileFacts,
    arch: Arch,
    limits: Limits,
    capture: Capture,
    entries: usize,
    names: usize,
    text: u64,
    progress: &'p mut dyn FnMut(),
}

impl<'p> LayerReader<'p> {
    /// Reads for this architecture; `progress` is called now and then.
    pub(super) fn new(arch: Arch, limits: Limits, progress: &'p mut dyn FnMut()) -> LayerReader<'p> {
        LayerReader {
            facts: FileFacts::default(),
            arch,
            limits,
            capture: Capture::default(),
            entries: 0,
            names: 0,
            text: 0,
            progress,
        }
    }

    /// Reads the layer of this number, and verifies its digests.
    ///
    /// # Errors
    /// It cannot be read, is not what the manifest says, or has what no image has.
    pub(super) fn read(
        &mut self,
        number: u16,
        part: &LayerPart,
        from: &mut MemberReader<'_>,
        meter: &Meter,
    ) -> Result<(ImageLayer, Compression), ImageError> {
        let place = &part.place;
        let failed = || ImageError::reading(place);
        let mut member = from.open(part.member).map_err(failed())?;
        let compression = Compression::of(member.fill_buf().map_err(failed())?);
        let (layer, diff_id) = if compression == Compression::None {
            self.uncompressed(number, place, Hashing::new(member))?
        } else {
            let mut blob = Hashing::new(member);
            let stream = decompressed(&mut blob, compression, meter);
            let read = self.uncompressed(number, place, Hashing::new(stream))?;
            let (found, _) = blob.finish().map_err(failed())?;
            verify(place, part.blob.as_deref(), found)?;
            read
        };
        verify(place, Some(&part.diff_id), diff_id.clone())?;
        if compression == Compression::None {
            verify(place, part.blob.as_deref(), diff_id)?;
        }
        Ok((layer, compression))
    }

    /// Reads a layer that is not compressed; also returns its digest.
    fn uncompressed(
        &mut self,
        number: u16,
        place: &str,
        stream: Hashing<impl BufRead>,
    ) -> Result<(ImageLayer, String), ImageError> {
        let mut layer = ImageLayer::default();
        let mut entries = TarEntries::new(stream);
        let mut last = Vec::new();
        let mut reported = 0;
        while let Some(entry) = entries.next().map_err(|error| ImageError::of_entry(place, &last, error))? {
            if entry.offset - reported > 8 << 20 {
                reported = entry.offset;
                (self.progress)();
            }
            self.count(place, &entry)?;
            self.entry(number, &mut layer, &mut entries, &entry).map_err(|fault| match fault {
                EntryFault::Read(error) => {
                    ImageError::Read { place: format!("{place}: {}", lossy(&entry.name)), error }
                }
                EntryFault::Refused(what) => ImageError::Malformed {
                    place: format!("{place}: {}", lossy(&entry.name)),
                    what: what.to_owned(),
                },
            })?;
            last = entry.name;
        }
        let (digest, _) = entries.into_inner().finish().map_err(ImageError::reading(place))?;
        (self.progress)();
        Ok((layer, digest))
    }

    fn count(&mut self, place: &str, entry: &TarEntry) -> Result<(), ImageError> {
        self.entries += 1;
        self.names += entry.name.len() + entry.link.len();
        let what = if self.entries > self.limits.entries {
            format!("more than {} entries in its layers", self.limits.entries)
        } else if self.names > self.limits.names {
            format!("more than {} bytes of names in its layers", self.limits.names)
        } else {
            return Ok(());
        };
        Err(ImageError::TooLarge { place: place.to_owned(), what })
    }

    fn entry<S: ByteStream>(
        &mut self,
        number: u16,
        layer: &mut ImageLayer,
        entries: &mut TarEntries<S>,
        entry: &TarEntry,
    ) -> Result<(), EntryFault> {
        let at = entry.name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (directory, name) = entry.name.split_at(at);
        if let Some(hidden) = name.strip_prefix(b".wh.") {
            let directory = directory.strip_suffix(b"/").unwrap_or(directory);
            match hidden {
                b".wh..opq" => drop(layer.opaque.insert(directory.to_vec())),
                // AUFS's own files.
                _ if hidden.starts_with(b".wh.") => {}
                b"" | b"." | b".." => return Err(EntryFault::Refused("is a whiteout of no name")),
                _ => {
                    let mut path = entry.name[..at].to_vec();
                    path.extend_from_slice(hidden);
                    layer.whiteouts.insert(path);
                }
            }
            return Ok(());
        }
        let inode = self.entries as u64;
        let kind = match entry.kind {
            EntryType::Directory => NodeKind::Directory,
            EntryType::Symlink => NodeKind::Symlink(entry.link.clone().into()),
            EntryType::Char | EntryType::Block => NodeKind::Device,
            EntryType::Fifo => NodeKind::Other,
            EntryType::Regular | EntryType::Continuous => {
                NodeKind::Regular(Place { layer: number, offset: entry.offset, size: entry.size })
            }
            EntryType::Link => {
                let target = normal(&entry.link).map_err(|_| {
                    EntryFault::Refused("is a hard link to a path that leads out of the image")
                })?;
                // In the same layer it stands before.
                if let Some(same) = layer.nodes.get(&*target) {
                    if same.kind == NodeKind::Directory {
                        return Err(EntryFault::Refused("is a hard link to a directory"));
                    }
                    let same = same.clone();
                    layer.nodes.insert(entry.name.clone().into(), same);
                    return Ok(());
                }
                NodeKind::HardLink(target.into())
            }
            _ => return Err(EntryFault::Refused("is an entry of a kind that no image has")),
        };
        if entry.name.is_empty() && kind != NodeKind::Directory {
            return Err(EntryFault::Refused("stands in the place of the root, which is a directory"));
        }
        if matches!(kind, NodeKind::Regular(_)) {
            self.content(inode, entries, entry)?;
        }
        let mode = (entry.mode & 0o7777) as u16;
        let node = Node { kind, mode, owner: entry.uid, modified: entry.modified, inode };
        layer.nodes.insert(entry.name.clone().into(), node);
        Ok(())
    }

    fn content<S: ByteStream>(
        &mut self,
        inode: u64,
        entries: &mut TarEntries<S>,
        entry: &TarEntry,
    ) -> Result<(), EntryFault> {
        let mut content = entries.content(entry);
        if packages::is_database(&entry.name) {
            self.text += entry.size;
            if self.text > self.limits.text {
                return Err(EntryFault::Refused(
                    "is a package database, and all of them are more than is read",
                ));
            }
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            self.facts.texts.insert(inode, String::from_utf8_lossy(&bytes).into_owned());
            return Ok(());
        }
        let how = executable(&mut content, entry.size, self.arch, &mut self.capture)?;
        if how != Executable::Unknown {
            self.facts.executables.insert(inode, how);
        }
        Ok(())
    }
}

/// Why one entry cannot be taken.
enum EntryFault {
    Read(io::Error),
    Refused(&'static str),
}

impl From<io::Error> for EntryFault {
    fn from(error: io::Error) -> EntryFault {
        EntryFault::Read(error)
    }
}

/// The path of an entry, for messages.
fn lossy(name: &[u8]) -> String {
    if name.is_empty() { "/".to_owned() } else { String::from_utf8_lossy(name).into_owned() }
}

fn verify(place: &str, expected: Option<&str>, found: String) -> Result<(), ImageError> {
    match expected {
        Some(expected) if expected != found => {
            Err(ImageError::Digest { place: place.to_owned(), expected: expected.to_owned(), found })
        }
        _ => Ok(()),
    }
}
