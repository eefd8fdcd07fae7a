//! The entries of a tar archive, one after the other (POSIX pax, GNU tar's long names). The crate
//! `tar` reads the fields of a header; the stream is read here, since the crate keeps extended
//! headers of any length in memory, and fills the holes of sparse files with as many bytes as a
//! header claims.

use std::io::{self, ErrorKind};

use tar::{EntryType, Header};

use super::stream::{ByteStream, Section};

const BLOCK: u64 = 512;
/// The longest name or extended header, in bytes.
const LONGEST_EXTENSION: u64 = 1 << 20;
/// The longest path, in bytes (PATH_MAX).
const LONGEST_PATH: usize = 4096;

/// Why the next entry cannot be read.
#[derive(Debug)]
pub(super) enum EntryError {
    /// The stream ends early, or cannot be read or decompressed.
    Read(io::Error),
    /// It is no header of a tar archive, or one that no image has.
    Malformed(&'static str),
    /// The entry of this name is one that no image has.
    Refused(Vec<u8>, &'static str),
}

impl From<io::Error> for EntryError {
    fn from(error: io::Error) -> EntryError {
        EntryError::Read(error)
    }
}

/// The header of an entry.
#[derive(Debug)]
pub(super) struct TarEntry {
    /// Its path without `/` and `.` at the beginning; empty for the root itself. It has no `..`.
    pub name: Vec<u8>,
    pub kind: EntryType,
    /// The size of its content, in bytes.
    pub size: u64,
    /// Where its content begins, from the beginning of the stream.
    pub offset: u64,
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    /// Seconds since 1970.
    pub modified: i64,
    /// The target of a link, as it was written.
    pub link: Vec<u8>,
}

/// Reads a tar archive from a stream.
pub(super) struct TarEntries<S> {
    stream: S,
    /// The offset of the next header.
    next: u64,
    /// What is left of the content of the last entry, with its padding.
    ahead: u64,
}

/// What extended headers say of the next entry.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    modified: Option<i64>,
}

impl<S: ByteStream> TarEntries<S> {
    pub(super) fn new(stream: S) -> TarEntries<S> {
        TarEntries { stream, next: 0, ahead: 0 }
    }

    /// The stream, behind the last entry that was read.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// The next entry; none at the end of the archive, which is a block of zeros or the end of
    /// the stream.
    ///
    /// # Errors
    /// It cannot be read, or is no entry of an image.
    pub(super) fn next(&mut self) -> Result<Option<TarEntry>, EntryError> {
        let mut extended = Extended::default();
        loop {
            self.pass_content()?;
            let Some(header) = self.header()? else {
                let pending = extended.path.is_some() || extended.link.is_some() || extended.size.is_some();
                return if pending { Err(cut()) } else { Ok(None) };
            };
            let kind = header.entry_type();
            let size = header.entry_size().map_err(|_| EntryError::Malformed("a size that is no number"))?;
            match kind {
                EntryType::GNULongName => extended.path = Some(text(self.extension(size)?)),
                EntryType::GNULongLink => extended.link = Some(text(self.extension(size)?)),
                EntryType::XHeader => {
                    let records = self.extension(size)?;
                    extended.read(&records)?;
                }
                EntryType::XGlobalHeader => {
                    // Git and some builders write a comment; nothing of it is about an entry.
                    self.extension(size)?;
                }
                EntryType::GNUSparse => {
                    let name = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
                    return Err(EntryError::Refused(name, SPARSE));
                }
                _ => return self.entry(&header, extended, size).map(Some),
            }
        }
    }

    /// The content of the entry that was read last.
    pub(super) fn content(&mut self, entry: &TarEntry) -> Content<'_, S> {
        let length = self.ahead.min(entry.size);
        Content { section: Section::new(&mut self.stream, length), ahead: &mut self.ahead }
    }

    fn entry(&mut self, header: &Header, extended: Extended, size: u64) -> Result<TarEntry, EntryError> {
        let written = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let name = normal(&written)?;
        // Before POSIX a directory was a file whose name ends with a slash.
        let kind = match header.entry_type() {
            EntryType::Regular if header.as_bytes()[156] == 0 && written.ends_with(b"/") => {
                EntryType::Directory
            }
            kind => kind,
        };
        // Some archives write the size of the target for a link; its content is not there.
        let size = if has_content(kind) { extended.size.unwrap_or(size) } else { 0 };
        let padded = size.checked_next_multiple_of(BLOCK).filter(|padded| *padded < 1 << 62);
        self.ahead = padded.ok_or(EntryError::Malformed("a size beyond any file"))?;
        let offset = self.next;
        self.next += self.ahead;
        let link = extended.link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
        let link = link.unwrap_or_default();
        if link.len() > LONGEST_PATH || link.contains(&0) {
            return Err(EntryError::Refused(written, "has a target that is no path"));
        }
        let uid = extended.uid.or_else(|| header.uid().ok()).unwrap_or(0);
        let uid = u32::try_from(uid)
            .map_err(|_| EntryError::Refused(written.clone(), "has an owner that is no user id"))?;
        Ok(TarEntry {
            name,
            kind,
            size,
            offset,
            mode: header.mode().unwrap_or(0) & 0o7777,
            uid,
            modified: extended.modified.or_else(|| i64::try_from(header.mtime().ok()?).ok()).unwrap_or(0),
            link,
        })
    }

    fn pass_content(&mut self) -> Result<(), EntryError> {
        self.stream.skip(std::mem::take(&mut self.ahead))?;
        Ok(())
    }

    /// The next block as a header; none for zeros and at the end.
    fn header(&mut self) -> Result<Option<Header>, EntryError> {
        if self.stream.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        io::Read::read_exact(&mut self.stream, block)?;
        self.next += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The sum of all bytes, with blanks in the place of the sum itself.
        let sum: u32 = block.iter().enumerate().fold(0, |sum, (at, byte)| {
            sum + if (148..156).contains(&at) { u32::from(b' ') } else { u32::from(*byte) }
        });
        if header.cksum().ok() != Some(sum) {
            return Err(EntryError::Malformed("a block that is no header: its checksum differs"));
        }
        Ok(Some(header))
    }

    /// The content of an extended header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, EntryError> {
        if size > LONGEST_EXTENSION {
            return Err(EntryError::Malformed("an extended header longer than 1 MiB"));
        }
        let mut bytes = vec![0; size as usize];
        io::Read::read_exact(&mut self.stream, &mut bytes)?;
        let padding = size.next_multiple_of(BLOCK) - size;
        self.stream.skip(padding)?;
        self.next += size + padding;
        Ok(bytes)
    }
}

const SPARSE: &str = "is a sparse file; layers of images have none, so pack it again without --sparse";

/// Whether content follows the header of an entry of this kind, whatever its size says.
fn has_content(kind: EntryType) -> bool {
    use EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
    !matches!(kind, Link | Symlink | Char | Block | Directory | Fifo)
}

fn cut() -> EntryError {
    EntryError::Read(ErrorKind::UnexpectedEof.into())
}

/// The text of a GNU extension, which ends with NUL.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

impl Extended {
    /// Reads the records `LENGTH KEY=VALUE\n` of a pax header. A value may hold any byte, as
    /// extended attributes do.
    fn read(&mut self, mut records: &[u8]) -> Result<(), EntryError> {
        const BAD: EntryError = EntryError::Malformed("a pax header that is malformed");
        while !records.is_empty() && records[0] != 0 {
            let blank = records.iter().position(|byte| *byte == b' ').ok_or(BAD)?;
            let length =
                number(&records[..blank]).and_then(|length| usize::try_from(length).ok()).ok_or(BAD)?;
            let record = records.get(blank + 1..length).ok_or(BAD)?;
            let record = record.strip_suffix(b"\n").ok_or(BAD)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(BAD)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number(value).ok_or(BAD)?),
                b"uid" => self.uid = Some(number(value).ok_or(BAD)?),
                b"mtime" => {
                    let seconds = value.split(|byte| *byte == b'.').next().unwrap_or_default();
                    self.modified = std::str::from_utf8(seconds).ok().and_then(|text| text.parse().ok());
                }
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(EntryError::Refused(self.path.take().unwrap_or_default(), SPARSE));
                }
                _ => {}
            }
            records = &records[length..];
        }
        Ok(())
    }
}

/// A decimal number.
fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// A path as names, without what leads nowhere.
///
/// # Errors
/// It leads out of the archive, or is no path.
pub(super) fn normal(path: &[u8]) -> Result<Vec<u8>, EntryError> {
    let refused = |what| EntryError::Refused(path.to_vec(), what);
    if path.len() > LONGEST_PATH {
        return Err(EntryError::Refused(path[..64].to_vec(), "is longer than 4096 bytes"));
    }
    if path.contains(&0) {
        return Err(refused("has a NUL byte in its name"));
    }
    let mut names = Vec::with_capacity(path.len());
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err(refused("has `..` in its name, which may lead out of the image")),
            _ if name.len() > 255 => return Err(refused("has a name longer than 255 bytes")),
            name => {
                if !names.is_empty() {
                    names.push(b'/');
                }
                names.extend_from_slice(name);
            }
        }
    }
    Ok(names)
}

/// The content of one entry.
pub(super) struct Content<'e, S> {
    section: Section<'e, S>,
    /// What is left of the content with its padding.
    ahead: &'e mut u64,
}

impl<S: ByteStream> io::Read for Content<'_, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = io::Read::read(&mut io::BufRead::fill_buf(self)?, into)?;
        io::BufRead::consume(self, count);
        Ok(count)
    }
}

impl<S: ByteStream> io::BufRead for Content<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.section.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.section.consume(count);
        *self.ahead -= count as u64;
    }
}

impl<S: ByteStream> ByteStream for Content<'_, S> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        self.section.skip(count)?;
        *self.ahead -= count;
        Ok(())
    }
}
