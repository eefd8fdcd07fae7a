//! How a file is executed, found while it passes by. An ELF file's dynamic section stands at its
//! end and the strings that it names at its beginning, so the beginning stays, to a limit.

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use super::stream::ByteStream;
use crate::image::Executable;
use crate::image::elf::{self, ReadAt};
use crate::kernel::Arch;

/// What is read of every ELF file, in bytes: headers, and the name of the loader.
const FIRST: u64 = 4 << 10;
/// The most that stays of the beginning of a file, in bytes. The strings of a loader and of
/// musl's and glibc's C library are in it; a library with a longer beginning is none of these.
const MOST: u64 = 1 << 20;
/// The longest part behind it that stays, in bytes.
const LONGEST_PART: u64 = 64 << 10;

/// What stays of the file that passes by. It is used again for the next one.
#[derive(Debug, Default)]
pub(super) struct Capture {
    head: Vec<u8>,
    /// One part behind the beginning, and its offset.
    part: (u64, Vec<u8>),
    /// The part that was looked for and is not there: offset and length.
    wanted: Cell<Option<(u64, u64)>>,
}

impl ReadAt for Capture {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let pieces = [(0, self.head.as_slice()), (self.part.0, &self.part.1)];
        let here = pieces.iter().find_map(|(from, bytes)| {
            let into = offset.checked_sub(*from)?;
            (into < bytes.len() as u64).then(|| bytes.read_at(into, length))
        });
        let bytes = here.transpose()?.unwrap_or_default();
        if bytes.len() < length {
            self.wanted.set(Some((offset, length as u64)));
        }
        Ok(bytes)
    }
}

/// How the file is executed that a stream begins, of this size in bytes.
///
/// # Errors
/// The stream cannot be read.
pub(super) fn executable(
    content: &mut impl ByteStream,
    size: u64,
    arch: Arch,
    capture: &mut Capture,
) -> io::Result<Executable> {
    capture.head.clear();
    capture.part = (0, Vec::new());
    let is_elf = match content.fill_buf()? {
        [b'#', ..] => false,
        [0x7f, ..] => true,
        _ => return Ok(Executable::Unknown),
    };
    take(content, FIRST.min(size), &mut capture.head)?;
    for _ in 0..2 {
        capture.wanted.set(None);
        let found = elf::executable(capture, arch)?;
        let Some((from, length)) = capture.wanted.get().filter(|_| is_elf) else { return Ok(found) };
        // What the file does not have is found to be missing, as on disk.
        let end = from.saturating_add(length.min(LONGEST_PART)).min(size);
        if from >= end || !capture.extend(content, from, end)? {
            return Ok(found);
        }
    }
    capture.wanted.set(None);
    elf::executable(capture, arch)
}

impl Capture {
    /// Reads on, so that the part is there; false where it has passed by.
    fn extend(&mut self, content: &mut impl ByteStream, from: u64, end: u64) -> io::Result<bool> {
        let at = self.head.len() as u64;
        if self.part.0 > 0 || from < at && end <= at {
            return Ok(false);
        }
        let head = if end <= MOST { end } else { from.min(MOST).max(at) };
        take(content, head - at, &mut self.head)?;
        if end > head {
            let from = from.max(head);
            content.skip(from - head)?;
            let mut part = Vec::new();
            take(content, end - from, &mut part)?;
            self.part = (from, part);
        }
        Ok(true)
    }
}

fn take(content: &mut impl BufRead, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
    content.take(length).read_to_end(into)?;
    Ok(())
}
