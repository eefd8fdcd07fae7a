//! Bytes that are read once, from first to last: a part of a file, hashed and decompressed on the
//! way, with a limit on what may come of them.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use sha2::{Digest, Sha256};

use crate::hex;

/// The size of a buffer, in bytes: it stays in the processor's cache.
const BUFFER: usize = 128 << 10;

/// Bytes from first to last.
pub(super) trait ByteStream: BufRead {
    /// Passes over `count` bytes.
    ///
    /// # Errors
    /// They cannot be read; `UnexpectedEof` where there are fewer.
    fn skip(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let here = self.fill_buf()?.len();
            if here == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let step = usize::try_from(count).unwrap_or(usize::MAX).min(here);
            self.consume(step);
            count -= step as u64;
        }
        Ok(())
    }
}

impl<R: Read> ByteStream for BufReader<R> {}
impl<S: ByteStream + ?Sized> ByteStream for Box<S> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        (**self).skip(count)
    }
}

/// A file from one offset to its end. What is skipped is not read.
pub(super) struct FileStream<'f> {
    file: &'f File,
    /// The offset of the end of what the buffer has.
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    /// How much of the buffer is consumed.
    used: usize,
    meter: &'f Meter,
}

impl<'f> FileStream<'f> {
    pub(super) fn new(file: &'f File, end: u64, meter: &'f Meter) -> FileStream<'f> {
        FileStream { file, at: 0, end, buffer: Vec::new(), used: 0, meter }
    }
}

impl Read for FileStream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for FileStream<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.buffer.len() {
            let length = (self.end - self.at).min(BUFFER as u64) as usize;
            self.buffer.resize(length, 0);
            self.used = 0;
            let read = loop {
                match self.file.read_at(&mut self.buffer, self.at) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            if read? == 0 && length > 0 {
                // It became shorter while it was read.
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.at += self.buffer.len() as u64;
            self.meter.position.set(self.at);
        }
        Ok(&self.buffer[self.used..])
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }
}

impl ByteStream for FileStream<'_> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        let buffered = (self.buffer.len() - self.used) as u64;
        if count <= buffered {
            self.used += count as usize;
            return Ok(());
        }
        let to = self.at.checked_add(count - buffered).filter(|to| *to <= self.end);
        self.at = to.ok_or(ErrorKind::UnexpectedEof)?;
        self.buffer.clear();
        self.used = 0;
        Ok(())
    }
}

/// The first `left` bytes of a stream. An end before is an error.
pub(super) struct Section<'s, S: ?Sized> {
    stream: &'s mut S,
    left: u64,
}

impl<'s, S: ByteStream + ?Sized> Section<'s, S> {
    pub(super) fn new(stream: &'s mut S, length: u64) -> Section<'s, S> {
        Section { stream, left: length }
    }
}

impl<S: ByteStream + ?Sized> Read for Section<'_, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl<S: ByteStream + ?Sized> BufRead for Section<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let all = self.stream.fill_buf()?;
        if all.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(&all[..all.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))])
    }

    fn consume(&mut self, count: usize) {
        self.left -= count as u64;
        self.stream.consume(count);
    }
}

impl<S: ByteStream + ?Sized> ByteStream for Section<'_, S> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        if count > self.left {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.stream.skip(count)?;
        self.left -= count;
        Ok(())
    }
}

/// Hashes what is read through it, each buffer once.
pub(super) struct Hashing<S> {
    stream: S,
    hash: Sha256,
    /// How much of the stream's buffer is hashed.
    hashed: usize,
    /// How many bytes were consumed.
    length: u64,
}

impl<S: BufRead> Hashing<S> {
    pub(super) fn new(stream: S) -> Hashing<S> {
        Hashing { stream, hash: Sha256::new(), hashed: 0, length: 0 }
    }

    /// Reads the rest; returns the digest of all, in lower-case hex, and the number of bytes.
    ///
    /// # Errors
    /// The rest cannot be read.
    pub(super) fn finish(mut self) -> io::Result<(String, u64)> {
        loop {
            let here = self.fill_buf()?.len();
            if here == 0 {
                return Ok((hex::lower(&self.hash.finalize()), self.length));
            }
            self.consume(here);
        }
    }
}

impl<S: BufRead> Read for Hashing<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl<S: BufRead> BufRead for Hashing<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let buffer = self.stream.fill_buf()?;
        if self.hashed < buffer.len() {
            self.hash.update(&buffer[self.hashed..]);
            self.hashed = buffer.len();
        }
        Ok(buffer)
    }

    fn consume(&mut self, count: usize) {
        self.hashed -= count;
        self.length += count as u64;
        self.stream.consume(count);
    }
}

// What is skipped is hashed too.
impl<S: BufRead> ByteStream for Hashing<S> {}

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// By the first four bytes (RFC 1952, RFC 8878 with its skippable frames).
    pub(super) fn of(beginning: &[u8]) -> Compression {
        match beginning {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

/// How far a file is read, and what may still come of compressed streams.
pub(super) struct Meter {
    /// The bytes that they may still unpack to, all together.
    left: Cell<u64>,
    /// The offset in the file that was read last.
    position: Cell<u64>,
}

/// The most that an archive unpacks to, by its own size: deflate reaches a thousand, layers
/// three.
pub(super) const RATIO: u64 = 200;

impl Meter {
    /// For an archive of this length in bytes, which may unpack to `always` whatever its length.
    pub(super) fn new(length: u64, always: u64) -> Meter {
        Meter { left: Cell::new(length.saturating_mul(RATIO).max(always)), position: Cell::new(0) }
    }

    /// How far the file was read, in bytes.
    pub(super) fn position(&self) -> u64 {
        self.position.get()
    }
}

/// A stream, decompressed. It yields no more than the meter has left.
pub(super) fn decompressed<'s>(
    stream: impl BufRead + 's,
    compression: Compression,
    meter: &'s Meter,
) -> Box<dyn ByteStream + 's> {
    fn limited<'s>(source: impl Read + 's, meter: &'s Meter) -> Box<dyn ByteStream + 's> {
        Box::new(BufReader::with_capacity(BUFFER, Limited { source, meter }))
    }
    match compression {
        Compression::None => Box::new(Uncompressed(stream)),
        Compression::Gzip => limited(MultiGzDecoder::new(stream), meter),
        Compression::Zstd => limited(ZstdFrames { source: stream, decoder: None }, meter),
    }
}

struct Uncompressed<S>(S);

impl<S: BufRead> Read for Uncompressed<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl<S: BufRead> BufRead for Uncompressed<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }
}

impl<S: BufRead> ByteStream for Uncompressed<S> {}

struct Limited<'s, R> {
    source: R,
    meter: &'s Meter,
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        let left = self.meter.left.get().checked_sub(count as u64);
        self.meter.left.set(left.ok_or(ErrorKind::QuotaExceeded)?);
        Ok(count)
    }
}

/// Zstandard frames one after the other: ruzstd decodes one. Its window is limited to 128 MiB.
struct ZstdFrames<S> {
    source: S,
    decoder: Option<FrameDecoder>,
}

impl<S: BufRead> ZstdFrames<S> {
    /// Begins the next frame; false at the end.
    fn begin(&mut self, decoder: &mut FrameDecoder) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(&mut (&mut self.source).take(length.into()), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error.to_string())),
            }
        }
    }
}

impl<S: BufRead> Read for ZstdFrames<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBlocks;
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None => {
                let mut decoder = FrameDecoder::new();
                if !self.begin(&mut decoder)? {
                    return Ok(0);
                }
                decoder
            }
        };
        loop {
            if decoder.can_collect() > 0 {
                let count = decoder.read(into)?;
                self.decoder = Some(decoder);
                return Ok(count);
            }
            if decoder.is_finished() {
                if !self.begin(&mut decoder)? {
                    self.decoder = Some(decoder);
                    return Ok(0);
                }
                continue;
            }
            decoder
                .decode_blocks(&mut self.source, UptoBlocks(1))
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
        }
    }
}
