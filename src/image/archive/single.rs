//! The content of single files of an archive, in any order. A layer is unpacked once, into a file without
//! a name (open(2), O_TMPFILE) in the directory for temporary files, which ends with this process, and
//! its digest is verified again: the archive may be written to meanwhile. Where none can be made, a
//! layer that lies plain in a plain archive is read where it is, and the beginning of another is unpacked
//! again for each file. Memory is that of the file alone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use super::layer::{ContentPlace, LIMITS};
use super::members::{ArchiveFile, MemberRange};
use super::stream::{ByteStream, Compression, Hashing, Meter, Section, decompressed};

/// A layer of an archive.
#[derive(Debug)]
pub(super) struct LayerPlace {
    /// For messages.
    pub place: String,
    /// Where it is in the archive.
    pub member: MemberRange,
    pub compression: Compression,
    /// The digest of the layer, uncompressed.
    pub diff_id: String,
}

/// Layers that were unpacked, by number; none where there is no place for one.
#[derive(Debug, Default)]
pub(super) struct UnpackedLayers(RefCell<BTreeMap<u16, Option<File>>>);

impl UnpackedLayers {
    /// The bytes at a place of a layer.
    ///
    /// # Errors
    /// The archive cannot be read, or the layer is another one than before.
    pub(super) fn read(
        &self,
        archive: &ArchiveFile,
        place: ContentPlace,
        layer: &LayerPlace,
    ) -> io::Result<Vec<u8>> {
        let length = usize::try_from(place.size).map_err(|_| ErrorKind::OutOfMemory)?;
        let mut unpacked = self.0.borrow_mut();
        let file = match unpacked.entry(place.layer) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(unpack(archive, layer)?),
        };
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

/// A layer in a file without a name; none where there is no place for one.
fn unpack(archive: &ArchiveFile, layer: &LayerPlace) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE);
    let Ok(mut file) = options.open(std::env::temp_dir()) else { return Ok(None) };
    let digest = with_layer(archive, layer, &mut |stream| {
        let mut stream = Hashing::new(stream);
        io::copy(&mut stream, &mut file)?;
        stream.finish()
    });
    match digest {
        Ok((digest, _)) if digest == layer.diff_id => Ok(Some(file)),
        Ok(_) => Err(io::Error::other("the archive was changed while it was read; try again")),
        Err(_) => Ok(None),
    }
}

/// Hands on the bytes of a layer, unpacked.
fn with_layer<T>(
    archive: &ArchiveFile,
    LayerPlace { member, compression, .. }: &LayerPlace,
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
