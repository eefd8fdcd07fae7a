//! The entries of a tar archive, one after the other (POSIX pax, GNU tar's long names). The crate
//! `tar` reads the fields of a header; the stream is read here, since the crate keeps extended
//! headers of any length in memory, and fills the holes of sparse files with as many bytes as a
//! header claims.

use std::io::{self, ErrorKind};

use tar::{EntryType, Header};

use super::error::EntryError;
use super::extended::{Extended, SPARSE};
use super::stream::{ByteStream, Section};

const BLOCK: u64 = 512;
/// The longest name or extended header, in bytes.
const LONGEST_EXTENSION: u64 = 1 << 20;
/// The longest path, in bytes (PATH_MAX).
const LONGEST_PATH: usize = 4096;

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
    /// It cannot be read, or is no entry of an image, or one that readers of archives take for
    /// different ones.
    pub(super) fn next(&mut self) -> Result<Option<TarEntry>, EntryError> {
        let mut extended = Extended::default();
        loop {
            self.pass_content()?;
            let Some(header) = self.header()? else {
                return if extended.is_pending() { Err(cut()) } else { Ok(None) };
            };
            let kind = header.entry_type();
            let size = header.entry_size().map_err(|_| EntryError::Malformed("a size that is no number"))?;
            match kind {
                EntryType::GNULongName => extended.long_name(self.extension(size)?)?,
                EntryType::GNULongLink => extended.long_link(self.extension(size)?)?,
                EntryType::XHeader => extended.pax(&self.extension(size)?)?,
                EntryType::XGlobalHeader => {
                    // Git and some builders write a comment; nothing of it is about an entry.
                    let records = self.extension(size)?;
                    extended.global(&header.path_bytes(), &records)?;
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
        if extended.overlay {
            return Err(EntryError::Refused(written, OVERLAY));
        }
        if header.entry_type() == EntryType::Continuous {
            // Docker and containerd refuse it, and others take it for a file.
            return Err(EntryError::Refused(written, KIND));
        }
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
            return self.end().map(|()| None);
        }
        // The sum of all bytes, with blanks in the place of the sum itself.
        let sum: u32 = block.iter().enumerate().fold(0, |sum, (at, byte)| {
            sum + if (148..156).contains(&at) { u32::from(b' ') } else { u32::from(*byte) }
        });
        if header.cksum().ok() != Some(sum) {
            return Err(EntryError::Malformed(NO_HEADER));
        }
        one_name(header.as_bytes()).map_err(EntryError::Malformed)?;
        Ok(Some(header))
    }

    /// Passes the second block of zeros, behind which nothing is read. Behind one block of zeros
    /// some read on, and others refuse the archive.
    fn end(&mut self) -> Result<(), EntryError> {
        if self.stream.fill_buf()?.is_empty() {
            return Ok(());
        }
        let mut block = [0; BLOCK as usize];
        io::Read::read_exact(&mut self.stream, &mut block)?;
        self.next += BLOCK;
        match block.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(EntryError::Malformed("an entry behind a block of zeros, which ends an archive")),
        }
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

/// What another file than a tar archive begins with.
pub(super) const NO_HEADER: &str = "a block that is no header: its checksum differs";
/// An entry of a kind that runtimes do not unpack.
pub(super) const KIND: &str = "is an entry of a kind that no image has";
const OVERLAY: &str = "has an extended attribute of overlay file systems, by which some runtimes hide or replace files; pack it again without it";

/// Requires that every reader takes the same part of a header for the name. Go's archive/tar, with
/// which Docker and containerd read, knows more forms than others.
fn one_name(header: &[u8]) -> Result<(), &'static str> {
    let (magic, version) = (&header[257..263], &header[263..265]);
    if magic == b"ustar\0" {
        if &header[508..512] == b"tar\0" {
            return Err(
                "a header of star(1), whose names runtimes read differently; pack it with another tar",
            );
        }
        if version != b"00" {
            return Err(
                "a header of an unknown version of ustar, whose names runtimes read differently; pack it again",
            );
        }
    } else if magic == b"ustar " && version == b" \0" {
        // Where these times are no numbers, Go takes what stands there for the beginning of the name.
        let times = [&header[345..357], &header[357..369]];
        if !times.iter().all(|time| time[0] == 0 || is_number(time)) {
            return Err(
                "a header of GNU tar with times that are no numbers, whose names runtimes read differently; pack it again",
            );
        }
    }
    Ok(())
}

/// Whether a field of a header is a number, in octal or binary.
fn is_number(field: &[u8]) -> bool {
    match field[0] {
        0x80 => field[1..4].iter().all(|byte| *byte == 0),
        0xff => field[1..4].iter().all(|byte| *byte == 0xff),
        _ => {
            let text = field.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
            text.iter().all(|byte| (b'0'..=b'7').contains(byte))
        }
    }
}

/// Whether content follows the header of an entry of this kind, whatever its size says.
fn has_content(kind: EntryType) -> bool {
    use EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
    !matches!(kind, Link | Symlink | Char | Block | Directory | Fifo)
}

fn cut() -> EntryError {
    EntryError::Read(ErrorKind::UnexpectedEof.into())
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

/// The path of an entry, for messages.
pub(super) fn lossy(name: &[u8]) -> String {
    if name.is_empty() { "/".to_owned() } else { String::from_utf8_lossy(name).into_owned() }
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
