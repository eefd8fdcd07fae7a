//! The archive as a file: its members by name, and their content. A plain archive is read where a
//! member lies; a compressed one from its beginning, forward where that is enough.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, Read};
use std::mem::discriminant;
use std::ops::Bound::{Excluded, Unbounded};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tar::EntryType;

use super::entries::{NO_HEADER, TarEntries, lossy, normal};
use super::error::{EntryError, ImageError};
use super::stream::{ByteStream, Compression, FileStream, Meter, Section, decompressed};

/// The most members of an archive, and bytes of their names.
const MOST_MEMBERS: usize = 200_000;
const MOST_NAMES: usize = 64 << 20;
/// The longest JSON document of an archive, in bytes.
const LONGEST_DOCUMENT: u64 = 16 << 20;
/// The longest member of a compressed archive that is remembered when members are listed, and all
/// of them together, in bytes: documents are read without another pass.
const REMEMBERED: (u64, usize) = (1 << 20, 32 << 20);

/// Where the content of a member is in the (unpacked) archive, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MemberRange {
    pub offset: u64,
    pub size: u64,
}

/// An archive that is open.
#[derive(Debug)]
pub(super) struct ArchiveFile {
    path: PathBuf,
    file: File,
    /// Its length in bytes.
    length: u64,
    compression: Compression,
    stamp: WriteStamp,
}

/// What changes when a file is written to: its length, st_mtime and st_ctime, which the kernel alone
/// sets. With them the file itself, by st_dev and st_ino.
type WriteStamp = (u64, [i64; 4], [u64; 2]);

fn stamp(found: &Metadata) -> WriteStamp {
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
    (found.len(), times, [found.dev(), found.ino()])
}

impl ArchiveFile {
    /// An archive of this regular file.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn new(path: &Path, file: File, found: &Metadata) -> Result<ArchiveFile, ImageError> {
        let mut beginning = [0; 4];
        let meter = Meter::new(found.len(), 0);
        let mut from = FileStream::new(&file, found.len().min(4), &meter);
        let read =
            from.read(&mut beginning).map_err(|error| ImageError::File { path: path.into(), error })?;
        drop(from);
        let compression = Compression::of(&beginning[..read]);
        Ok(ArchiveFile { path: path.into(), file, length: found.len(), compression, stamp: stamp(found) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The name for messages.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Its length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Reads members.
    pub(super) fn reader<'a>(&'a self, meter: &'a Meter) -> MemberReader<'a> {
        MemberReader { archive: self, meter, stream: None }
    }

    /// The bytes of the archive, unpacked, from the first one.
    fn unpacked<'a>(&'a self, meter: &'a Meter) -> UnpackedStream<'a> {
        let file = FileStream::new(&self.file, self.length, meter);
        let stream: Box<dyn ByteStream + 'a> = match self.compression {
            Compression::None => Box::new(file),
            compression => decompressed(file, compression, meter),
        };
        UnpackedStream { stream, at: 0 }
    }

    /// Whether the file is still the one that was opened.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn unchanged(&self) -> Result<(), ImageError> {
        match self.file.metadata() {
            Ok(found) if stamp(&found) == self.stamp => Ok(()),
            _ => Err(ImageError::Changed(self.path.clone())),
        }
    }

    /// Lists the members.
    ///
    /// # Errors
    /// It is no tar archive, is cut, or has too many members.
    pub(super) fn members(&self, meter: &Meter) -> Result<Members, ImageError> {
        let place = self.name();
        let mut members = Members::default();
        let mut entries = TarEntries::new(self.unpacked(meter));
        let (mut remembered, mut names) = (0, 0);
        let mut last = Vec::new();
        loop {
            let failed = |error| ImageError::of_entry(&place, &last, error);
            let Some(entry) = entries.next().map_err(|error| match error {
                // Not even one entry: another kind of file.
                EntryError::Read(_) | EntryError::Malformed(NO_HEADER) if last.is_empty() => {
                    ImageError::NotAnImage { path: self.path.clone(), found: "is no tar archive" }
                }
                error => failed(error),
            })?
            else {
                members.one_way(&place)?;
                return Ok(members);
            };
            let found = match entry.kind {
                EntryType::Regular => {
                    MemberKind::File(MemberRange { offset: entry.offset, size: entry.size })
                }
                EntryType::Symlink => {
                    let directory = entry.name.rsplitn(2, |byte| *byte == b'/').nth(1).unwrap_or_default();
                    MemberKind::Link(beside(directory, &entry.link))
                }
                EntryType::Link => MemberKind::Link(normal(&entry.link).ok()),
                EntryType::Directory => MemberKind::Directory,
                _ => MemberKind::Other,
            };
            if let MemberKind::File(member) = &found
                && self.compression != Compression::None
                && member.size <= REMEMBERED.0
                && remembered + member.size as usize <= REMEMBERED.1
            {
                let mut bytes = Vec::new();
                let mut content = entries.content(&entry);
                content.read_to_end(&mut bytes).map_err(ImageError::reading(&place))?;
                remembered += bytes.len();
                members.remembered.insert(*member, bytes);
            }
            names += entry.name.len() + entry.link.len();
            let what = if members.by_name.len() == MOST_MEMBERS {
                format!("more than {MOST_MEMBERS} files")
            } else if names > MOST_NAMES {
                format!("more than {MOST_NAMES} bytes of names of files")
            } else {
                members.add(&place, entry.name.clone(), found)?;
                last = entry.name;
                continue;
            };
            return Err(ImageError::TooLarge { place, what });
        }
    }
}

/// The target of a symbolic link in this directory; none where it leads out of the archive, or up
/// behind a name, which may be a link.
fn beside(directory: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut names: Vec<&[u8]> =
        directory.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
    if target.starts_with(b"/") {
        return None;
    }
    let mut is_up = true;
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if !is_up => return None,
            b".." => drop(names.pop()?),
            name => {
                is_up = false;
                names.push(name);
            }
        }
    }
    Some(names.join(&b'/'))
}

/// The members of an archive.
#[derive(Debug, Default)]
pub(super) struct Members {
    by_name: BTreeMap<Vec<u8>, MemberKind>,
    /// The content of small members, of a compressed archive.
    remembered: BTreeMap<MemberRange, Vec<u8>>,
}

#[derive(Debug, PartialEq)]
enum MemberKind {
    File(MemberRange),
    /// Another member; none for one that leads out of the archive.
    Link(Option<Vec<u8>>),
    Directory,
    /// A device or FIFO.
    Other,
    /// Several members have the name, and readers differ in the one that they take.
    Twice,
}

impl Members {
    /// Adds a member. Some readers take the first of two of a name, others the last.
    ///
    /// # Errors
    /// There is one of this name and of another kind.
    fn add(&mut self, place: &str, name: Vec<u8>, found: MemberKind) -> Result<(), ImageError> {
        match self.by_name.entry(name) {
            Entry::Vacant(new) => drop(new.insert(found)),
            Entry::Occupied(mut other) => {
                let is_same = |twice: &MemberKind| discriminant(twice) == discriminant(other.get());
                if found == MemberKind::Directory && is_same(&found) {
                    return Ok(());
                }
                let again = is_same(&MemberKind::Twice) && matches!(found, MemberKind::File(_));
                if !again && !is_same(&found) {
                    let place = format!("{place}: {}", lossy(other.key()));
                    let what = "is twice in the archive, as files of different kinds; save the image again";
                    return Err(ImageError::Malformed { place, what: what.to_owned() });
                }
                other.insert(MemberKind::Twice);
            }
        }
        Ok(())
    }

    /// Requires that a path leads to one member: that no member lies below one that is no directory.
    /// Some readers unpack the archive, and follow a link there.
    fn one_way(&self, place: &str) -> Result<(), ImageError> {
        for (name, _) in self.by_name.iter().filter(|(_, kind)| **kind != MemberKind::Directory) {
            let prefix = if name.is_empty() { Vec::new() } else { [name, &b"/"[..]].concat() };
            let mut behind = self.by_name.range::<[u8], _>((Excluded(&prefix[..]), Unbounded));
            if let Some((below, _)) = behind.next().filter(|(below, _)| below.starts_with(&prefix)) {
                return Err(ImageError::Malformed {
                    place: format!("{place}: {}", lossy(below)),
                    what: format!("lies below {}, which is no directory; save the image again", lossy(name)),
                });
            }
        }
        Ok(())
    }

    /// Whether there is a member of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.get(name.as_bytes()).is_some_and(|found| *found != MemberKind::Directory)
    }

    /// The member of this name, which `place` names.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub(super) fn find(&self, place: &str, name: &str) -> Result<MemberRange, ImageError> {
        let missing = || ImageError::Missing { place: place.to_owned(), member: name.to_owned() };
        let mut at = normal(name.as_bytes()).map_err(|_| missing())?;
        for _ in 0..8 {
            match self.by_name.get(&at) {
                Some(MemberKind::File(member)) => return Ok(*member),
                Some(MemberKind::Link(Some(to))) => at = to.clone(),
                Some(MemberKind::Twice) => {
                    return Err(ImageError::Malformed {
                        place: place.to_owned(),
                        what: format!("names {name}, which is twice in the archive; save the image again"),
                    });
                }
                _ => return Err(missing()),
            }
        }
        Err(missing())
    }

    /// The content of a JSON document.
    ///
    /// # Errors
    /// It is too long, or cannot be read.
    pub(super) fn document(
        &self,
        place: &str,
        member: MemberRange,
        reader: &mut MemberReader<'_>,
    ) -> Result<Vec<u8>, ImageError> {
        if let Some(bytes) = self.remembered.get(&member) {
            return Ok(bytes.clone());
        }
        if member.size > LONGEST_DOCUMENT {
            return Err(ImageError::TooLarge {
                place: place.to_owned(),
                what: "more than 16 MiB".to_owned(),
            });
        }
        let mut bytes = Vec::new();
        let mut content = reader.open(member).map_err(ImageError::reading(place))?;
        content.read_to_end(&mut bytes).map_err(ImageError::reading(place))?;
        Ok(bytes)
    }
}

/// Reads members of an archive.
pub(super) struct MemberReader<'a> {
    archive: &'a ArchiveFile,
    meter: &'a Meter,
    stream: Option<UnpackedStream<'a>>,
}

impl<'a> MemberReader<'a> {
    /// The content of a member.
    ///
    /// # Errors
    /// The archive cannot be read as far as its beginning.
    pub(super) fn open(&mut self, member: MemberRange) -> io::Result<Section<'_, UnpackedStream<'a>>> {
        if self.stream.as_ref().is_none_or(|stream| stream.at > member.offset) {
            self.stream = Some(self.archive.unpacked(self.meter));
        }
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotFound)?;
        stream.skip(member.offset - stream.at)?;
        Ok(Section::new(stream, member.size))
    }
}

/// A stream that knows how far it is.
pub(super) struct UnpackedStream<'a> {
    stream: Box<dyn ByteStream + 'a>,
    at: u64,
}

impl Read for UnpackedStream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(into)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl BufRead for UnpackedStream<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stream.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.at += count as u64;
        self.stream.consume(count);
    }
}

impl ByteStream for UnpackedStream<'_> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        self.stream.skip(count)?;
        self.at += count;
        Ok(())
    }
}
