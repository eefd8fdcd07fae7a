//! The content of single files of an archive, in any order. A layer that lies plain in a plain archive is
//! read where it is. Another is unpacked once, into a file without a name (open(2), O_TMPFILE) in the
//! directory for temporary files, which ends with this process; where none can be made, its beginning
//! is unpacked again for each file. Memory is that of the file alone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use super::layer::{ContentPlace, LIMITS};
use super::members::{ArchiveFile, MemberRange};
use super::stream::{ByteStream, Compression, Meter, Section, decompressed};

/// A layer: its place for messages, where it is in the archive, and its compression.
pub(super) type LayerPlace = (String, MemberRange, Compression);

/// Layers that were unpacked, by number; none where there is no place for one.
#[derive(Debug, Default)]
pub(super) struct UnpackedLayers(RefCell<BTreeMap<u16, Option<File>>>);

impl UnpackedLayers {
    /// The bytes at a place of a layer.
    ///
    /// # Errors
    /// The archive cannot be read.
    pub(super) fn read(
        &self,
        archive: &ArchiveFile,
        place: ContentPlace,
        layer: &LayerPlace,
    ) -> io::Result<Vec<u8>> {
        let length = usize::try_from(place.size).map_err(|_| ErrorKind::OutOfMemory)?;
        if archive.is_plain() && layer.2 == Compression::None {
            return from_stream(archive, place, layer);
        }
        let mut unpacked = self.0.borrow_mut();
        let file = unpacked.entry(place.layer).or_insert_with(|| unpack(archive, layer).ok());
        let Some(file) = file else { return from_stream(archive, place, layer) };
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, place.offset)?;
        Ok(bytes)
    }
}

fn from_stream(archive: &ArchiveFile, place: ContentPlace, layer: &LayerPlace) -> io::Result<Vec<u8>> {
    with_layer(archive, layer, &mut |stream| {
        stream.skip(place.offset)?;
        let mut bytes = Vec::new();
        Section::new(stream, place.size).read_to_end(&mut bytes)?;
        Ok(bytes)
    })
}

fn unpack(archive: &ArchiveFile, layer: &LayerPlace) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE);
    let mut file = options.open(std::env::temp_dir())?;
    with_layer(archive, layer, &mut |stream| io::copy(stream, &mut file))?;
    Ok(file)
}

/// Hands on the bytes of a layer, unpacked.
fn with_layer<T>(
    archive: &ArchiveFile,
    (_, member, compression): &LayerPlace,
    read: &mut dyn FnMut(&mut dyn ByteStream) -> io::Result<T>,
) -> io::Result<T> {
    let (packed, meter) =
        (Meter::new(archive.length(), LIMITS.unpacked), Meter::new(archive.length(), LIMITS.unpacked));
    let mut reader = archive.reader(&packed);
    let mut content = reader.open(*member)?;
    match compression {
        Compression::None => read(&mut content),
        compression => read(&mut decompressed(content, *compression, &meter)),
    }
}
