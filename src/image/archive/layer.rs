//! One layer: what it adds, replaces and removes. Of the content of a file only what is needed
//! stays: how it is executed, and the text of a package database.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt;

use tar::EntryType;

use super::content::{Capture, executable};
use super::entries::{KIND, TarEntries, TarEntry, lossy, normal};
use super::error::ImageError;
use super::manifest::LayerPart;
use super::members::MemberReader;
use super::stream::{ByteStream, Compression, Hashing, Meter, decompressed};
use crate::image::{Executable, FileKind, packages};
use crate::kernel::Arch;

/// The most that is read of an image, all layers together.
#[derive(Clone, Copy)]
pub(super) struct ArchiveLimits {
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
pub(super) const LIMITS: ArchiveLimits =
    ArchiveLimits { entries: 2_000_000, names: 512 << 20, text: 256 << 20, unpacked: 1 << 30 };

/// What a layer has at a path.
#[derive(Clone, Debug)]
pub(super) struct LayerNode {
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
    Regular(ContentPlace),
    Symlink(Box<[u8]>),
    /// One more name for a file that is there already.
    HardLink(Box<[u8]>),
    Device,
    /// A FIFO.
    Other,
}

impl NodeKind {
    /// The type of the file; `None` for a symbolic link.
    pub fn of_file(&self) -> Option<FileKind> {
        match self {
            NodeKind::Symlink(_) => None,
            NodeKind::Directory => Some(FileKind::Directory),
            NodeKind::Regular(_) => Some(FileKind::Regular),
            NodeKind::Device => Some(FileKind::Device),
            NodeKind::HardLink(_) | NodeKind::Other => Some(FileKind::Other),
        }
    }
}

/// Where the content of a file is: in which layer, and where in it, uncompressed, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContentPlace {
    pub layer: u16,
    pub offset: u64,
    pub size: u64,
}

/// The content of a layer: paths and what stands there, in its own order.
#[derive(Debug, Default)]
pub(super) struct ImageLayer(pub Vec<(Box<[u8]>, LayerChange)>);

/// What an entry of a layer does at its path.
#[derive(Clone, Debug)]
pub(super) enum LayerChange {
    Put(LayerNode),
    /// What lower layers have at the path is removed.
    Whiteout,
    /// What lower layers have in the directory is removed.
    Opaque,
}

/// What is remembered of the files of all layers, by inode.
#[derive(Debug, Default)]
pub(super) struct ContentFacts {
    /// How files are executed that can be.
    pub executables: HashMap<u64, Executable>,
    /// The texts of package databases.
    pub texts: HashMap<u64, String>,
}

/// Reads layers, and counts what all of them have.
pub(super) struct LayerReader<'p> {
    pub facts: ContentFacts,
    arch: Arch,
    limits: ArchiveLimits,
    capture: Capture,
    entries: usize,
    names: usize,
    text: u64,
    progress: &'p mut dyn FnMut(),
}

impl<'p> LayerReader<'p> {
    /// Reads for this architecture; `progress` is called now and then.
    pub(super) fn new(arch: Arch, limits: ArchiveLimits, progress: &'p mut dyn FnMut()) -> LayerReader<'p> {
        LayerReader {
            facts: ContentFacts::default(),
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
        if self.entries > self.limits.entries {
            return Err(too_many(place, self.limits.entries));
        }
        if self.names > self.limits.names {
            let what = format!("more than {} bytes of names in its layers", self.limits.names);
            return Err(ImageError::TooLarge { place: place.to_owned(), what });
        }
        Ok(())
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
                b".wh..opq" => layer.0.push((directory.into(), LayerChange::Opaque)),
                // AUFS's own files.
                _ if hidden.starts_with(b".wh.") => {}
                b"" | b"." | b".." => return Err(EntryFault::Refused("is a whiteout of no name")),
                _ => {
                    let mut path = entry.name[..at].to_vec();
                    path.extend_from_slice(hidden);
                    layer.0.push((path.into(), LayerChange::Whiteout));
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
            EntryType::Regular => {
                NodeKind::Regular(ContentPlace { layer: number, offset: entry.offset, size: entry.size })
            }
            EntryType::Link => {
                let target = normal(&entry.link).map_err(|_| {
                    EntryFault::Refused("is a hard link to a path that leads out of the image")
                })?;
                NodeKind::HardLink(target.into())
            }
            _ => return Err(EntryFault::Refused(KIND)),
        };
        if entry.name.is_empty() && kind != NodeKind::Directory {
            return Err(EntryFault::Refused("stands in the place of the root, which is a directory"));
        }
        if matches!(kind, NodeKind::Regular(_)) {
            self.content(inode, entries, entry)?;
        }
        let mode = (entry.mode & 0o7777) as u16;
        let node = LayerNode { kind, mode, owner: entry.uid, modified: entry.modified, inode };
        layer.0.push((entry.name.clone().into(), LayerChange::Put(node)));
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
            bytes.shrink_to_fit();
            self.facts.texts.insert(inode, text(bytes));
            return Ok(());
        }
        let how = executable(&mut content, entry.size, self.arch, &mut self.capture)?;
        if let Executable::Dynamic(path) | Executable::Script(path, _) = &how {
            self.names += path.as_os_str().as_bytes().len();
        }
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

/// An image with more entries than are read, those of directories that come with others among them.
pub(super) fn too_many(place: &str, most: usize) -> ImageError {
    ImageError::TooLarge { place: place.to_owned(), what: format!("more than {most} entries in its layers") }
}

/// Text in the memory that has it already: a database is large, and what is no UTF-8 in it becomes `?`.
pub(super) fn text(mut bytes: Vec<u8>) -> String {
    let mut from = 0;
    while let Err(error) = std::str::from_utf8(&bytes[from..]) {
        let at = from + error.valid_up_to();
        from = error.error_len().map_or(bytes.len(), |length| at + length);
        bytes[at..from].fill(b'?');
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// Compares a digest with the one that is expected, if one is.
///
/// # Errors
/// They differ.
pub(super) fn verify(place: &str, expected: Option<&str>, found: String) -> Result<(), ImageError> {
    match expected {
        Some(expected) if expected != found => {
            Err(ImageError::Digest { place: place.to_owned(), expected: expected.to_owned(), found })
        }
        _ => Ok(()),
    }
}
