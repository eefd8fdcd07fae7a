//! The archive as a file: its members by name, and their content. A plain archive is read where a
//! member lies; a compressed one from its beginning, forward where that is enough.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tar::EntryType;

use super::entries::{TarEntries, normal};
use super::error::ImageError;
use super::stream::{ByteStream, Compression, FileStream, Meter, Section, decompressed};

/// The most members of an archive.
const MOST_MEMBERS: usize = 200_000;
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

/// What changes when a file is written to: its length and st_mtime.
type WriteStamp = (u64, i64, i64);

fn stamp(found: &Metadata) -> WriteStamp {
    (found.len(), found.mtime(), found.mtime_nsec())
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

    /// Whether it is not compressed as a whole.
    pub(super) fn is_plain(&self) -> bool {
        self.compression == Compression::None
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
        let mut remembered = 0;
        let mut last = Vec::new();
        loop {
            let failed = |error| ImageError::of_entry(&place, &last, error);
            let Some(entry) = entries.next().map_err(|error| match last.is_empty() {
                // Not even one entry: another kind of file.
                true => ImageError::NotAnImage { path: self.path.clone(), found: "is no tar archive" },
                false => failed(error),
            })?
            else {
                return Ok(members);
            };
            let found = match entry.kind {
                EntryType::Regular | EntryType::Continuous => {
                    Some(MemberKind::File(MemberRange { offset: entry.offset, size: entry.size }))
                }
                EntryType::Symlink => {
                    let directory = entry.name.rsplitn(2, |byte| *byte == b'/').nth(1).unwrap_or_default();
                    Some(MemberKind::Link(beside(directory, &entry.link)))
                }
                EntryType::Link => Some(MemberKind::Link(normal(&entry.link).ok())),
                _ => None,
            };
            if let Some(MemberKind::File(member)) = &found
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
            if let Some(found) = found {
                if members.by_name.len() == MOST_MEMBERS {
                    return Err(ImageError::TooLarge {
                        place,
                        what: format!("more than {MOST_MEMBERS} files"),
                    });
                }
                members.add(entry.name.clone(), found);
            }
            last = entry.name;
        }
    }
}

/// The target of a symbolic link in this directory; none where it leads out of the archive.
fn beside(directory: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut names: Vec<&[u8]> =
        directory.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
    if target.starts_with(b"/") {
        return None;
    }
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()?),
            name => names.push(name),
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
    /// Several members have the name, and readers differ in the one that they take.
    Twice,
}

impl Members {
    fn add(&mut self, name: Vec<u8>, found: MemberKind) {
        self.by_name.entry(name).and_modify(|found| *found = MemberKind::Twice).or_insert(found);
    }

    /// Whether there is a member of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name.as_bytes())
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
