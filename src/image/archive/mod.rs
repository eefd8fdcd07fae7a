//! The files of an image that is not run: an unpacked directory, an archive of `docker save` or of
//! an OCI image layout, tar or compressed, its layers plain, gzip or zstd. Nothing that has a name is
//! written, nothing is executed, and nothing outside of the image is read.
//!
//! An archive is read once for its layers. Of the content of files stays how each is executed and
//! the texts of package databases; memory grows with the number of files. The digests of files are
//! computed on request, by reading these files again; so is the content of single files (`single`), for
//! which compressed layers are unpacked into files without a name.

#![forbid(unsafe_code)]

mod config;
mod content;
mod descriptor;
mod directory;
mod entries;
mod error;
mod extended;
mod json;
mod layer;
mod manifest;
mod members;
mod merged;
mod single;
mod stream;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub use self::config::ImageConfig;
use self::directory::Unpacked;
use self::entries::lossy;
pub use self::error::ImageError;
use self::layer::{ArchiveLimits, ContentPlace, LIMITS, LayerReader, NodeKind, verify};
use self::manifest::{Chooser, ImageParts, KnownDocuments, LayerPart};
use self::members::ArchiveFile;
use self::merged::{MergeFault, MergedFiles};
use self::single::{LayerPlace, UnpackedLayers};
use self::stream::{ByteStream, Compression, Hashing, Meter, Section, decompressed};
use super::packages::{self, Databases, Packages};
use super::{Executable, FileInfo, ImageFiles, ListedName, Trail};
use crate::kernel::Arch;

/// An image that was read.
#[derive(Debug)]
pub struct ReadImage {
    name: String,
    source: ImageSource,
}

#[derive(Debug)]
enum ImageSource {
    Directory(Unpacked),
    Archive(Box<Archived>),
}

/// An image of an archive.
#[derive(Debug)]
struct Archived {
    archive: ArchiveFile,
    files: MergedFiles,
    id: String,
    config: ImageConfig,
    /// By their number.
    layers: Vec<LayerPlace>,
    unpacked: UnpackedLayers,
}

/// Opens an image: a directory, or FILE or FILE#NAME:TAG for an archive; a name that begins with
/// `sha256:` is the digest of a config, or its beginning. Programs are read for this
/// architecture, and of an image for several it is the one of this. `progress` is called now and
/// then with the bytes that were read and those that there are.
///
/// # Errors
/// The image cannot be read, is not one, or has what no image has.
pub fn open(image: &OsStr, arch: Arch, progress: &mut dyn FnMut(u64, u64)) -> Result<ReadImage, ImageError> {
    let (path, wanted) = file_and_name(image);
    let failed = |error| ImageError::File { path: path.to_owned(), error };
    // A FIFO in its place must not block.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if found.is_dir() {
        if wanted.is_some() {
            return Err(ImageError::Kind(image.into()));
        }
        if path.join("oci-layout").is_file() && path.join("index.json").is_file() {
            return Err(ImageError::Layout(path.to_owned()));
        }
        let name = path.display().to_string();
        return Ok(ReadImage {
            name,
            source: ImageSource::Directory(Unpacked::new(OwnedFd::from(file), arch)),
        });
    }
    if !found.is_file() {
        return Err(ImageError::Kind(path.to_owned()));
    }
    let archive = ArchiveFile::new(path, file, &found)?;
    let wanted = wanted.map(OsStr::to_string_lossy);
    let (parts, archived) = read(archive, wanted.as_deref(), arch, LIMITS, progress)?;
    let name = format!("{}#{}", path.display(), parts.name);
    Ok(ReadImage { name, source: ImageSource::Archive(Box::new(archived)) })
}

/// A path, and the name behind `#` where no file has the whole for its name.
fn file_and_name(image: &OsStr) -> (&Path, Option<&OsStr>) {
    let bytes = image.as_bytes();
    match bytes.iter().rposition(|byte| *byte == b'#') {
        Some(at) if !Path::new(image).exists() => {
            (Path::new(OsStr::from_bytes(&bytes[..at])), Some(OsStr::from_bytes(&bytes[at + 1..])))
        }
        _ => (Path::new(image), None),
    }
}

/// Reads one image of an archive.
fn read(
    archive: ArchiveFile,
    wanted: Option<&str>,
    arch: Arch,
    limits: ArchiveLimits,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(ImageParts, Archived), ImageError> {
    let meter = || Meter::new(archive.length(), limits.unpacked);
    let members = archive.members(&meter())?;
    let (packed, meter) = (meter(), meter());
    let mut reader = archive.reader(&packed);
    let parts = Chooser {
        archive: &archive,
        members: &members,
        reader: &mut reader,
        arch,
        known: KnownDocuments::default(),
    }
    .choose(wanted)?;

    // Where they lie in the archive, whatever their order: it is read forward only.
    let mut order: Vec<usize> = (0..parts.layers.len()).collect();
    order.sort_by_key(|number| parts.layers[*number].member);
    let mut report = || progress(packed.position(), archive.length());
    let mut layers = LayerReader::new(arch, limits, &mut report);
    let mut files = MergedFiles::new(limits.entries);
    let mut waiting = HashMap::new();
    let mut compressions = vec![Compression::None; parts.layers.len()];
    let mut next = 0;
    let mut last: Option<(&LayerPart, _, Compression)> = None;
    for number in order {
        let part = &parts.layers[number];
        let (layer, compression) = match &last {
            // One that is several times in the image is read once: its digests are known.
            Some((same, layer, compression)) if same.member == part.member => {
                verify(&part.place, Some(&part.diff_id), same.diff_id.clone())?;
                if same.blob.is_some() {
                    verify(&part.place, same.blob.as_deref(), part.blob.clone().unwrap_or_default())?;
                }
                (Rc::clone(layer), *compression)
            }
            _ => {
                let (layer, compression) = layers.read(number as u16, part, &mut reader, &meter)?;
                (Rc::new(layer), compression)
            }
        };
        compressions[number] = compression;
        last = Some((part, Rc::clone(&layer), compression));
        waiting.insert(number, layer);
        while let Some(layer) = waiting.remove(&next) {
            files.apply(&layer).map_err(|error| {
                let place = &parts.layers[next].place;
                match error.fault {
                    MergeFault::TooMany => layer::too_many(place, limits.entries),
                    fault => ImageError::Malformed {
                        place: format!("{place}: {}", lossy(&error.path)),
                        what: fault.text().to_owned(),
                    },
                }
            })?;
            next += 1;
        }
    }
    files.settle(layers.facts);
    drop(reader);
    archive.unchanged()?;
    progress(archive.length(), archive.length());
    let layers = parts.layers.iter().zip(compressions);
    let place = |(part, compression): (&LayerPart, Compression)| LayerPlace {
        place: part.place.clone(),
        member: part.member,
        compression,
        diff_id: part.diff_id.clone(),
    };
    let layers = layers.map(place).collect();
    let (id, config) = (parts.id.clone(), parts.config.clone());
    let archived = Archived { archive, files, id, config, layers, unpacked: UnpackedLayers::default() };
    Ok((parts, archived))
}

impl ReadImage {
    /// The name for messages: the directory, or the archive and the image in it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The config; none for a directory, which has none.
    pub fn config(&self) -> Option<&ImageConfig> {
        match &self.source {
            ImageSource::Directory(_) => None,
            ImageSource::Archive(image) => Some(&image.config),
        }
    }

    /// `sha256:` and the digest of the config, by which runtimes know the image; none for a
    /// directory.
    pub fn id(&self) -> Option<&str> {
        match &self.source {
            ImageSource::Directory(_) => None,
            ImageSource::Archive(image) => Some(&image.id),
        }
    }

    /// The SHA-256 of these files in lower-case hex, links followed; a path at which is no regular
    /// file is left out. Each layer of an archive is read again, once, as far as the last of them.
    ///
    /// # Errors
    /// A file cannot be read, or the archive was changed meanwhile.
    pub fn digests(&self, paths: &[&Path]) -> Result<BTreeMap<PathBuf, String>, ImageError> {
        match &self.source {
            ImageSource::Directory(files) => {
                let mut digests = BTreeMap::new();
                for path in paths {
                    let failed = |error| ImageError::File { path: path.to_path_buf(), error };
                    if let Some(digest) = files.digest(path).map_err(failed)? {
                        digests.insert(path.to_path_buf(), digest);
                    }
                }
                Ok(digests)
            }
            ImageSource::Archive(image) => image.digests(paths),
        }
    }

    /// The content of a regular file of at most `most` bytes, links followed, and its path without links;
    /// none where there is no file.
    ///
    /// # Errors
    /// It is no regular file, is larger, or cannot be read; or the archive was changed meanwhile.
    pub fn content(&self, path: &Path, most: u64) -> io::Result<Option<(PathBuf, Vec<u8>)>> {
        match &self.source {
            ImageSource::Directory(files) => files.content(path, most),
            ImageSource::Archive(image) => image.content(path, most),
        }
    }

    /// All packages that are installed, by the databases of dpkg and apk.
    ///
    /// # Errors
    /// A database of an archive cannot be read.
    pub fn installed(&self) -> Result<Packages, ImageError> {
        match &self.source {
            ImageSource::Directory(files) => Ok(packages::installed(files)),
            ImageSource::Archive(image) => image.packages(|databases| packages::installed(databases)),
        }
    }

    /// The packages that own these files.
    ///
    /// # Errors
    /// A database of an archive cannot be read.
    pub fn owners(&self, files: &[&Path]) -> Result<Packages, ImageError> {
        let paths = files.iter().copied();
        match &self.source {
            ImageSource::Directory(files) => Ok(packages::owners(files, paths)),
            ImageSource::Archive(image) => image.packages(|databases| packages::owners(databases, paths)),
        }
    }

    fn files(&self) -> &dyn ImageFiles {
        match &self.source {
            ImageSource::Directory(files) => files,
            ImageSource::Archive(image) => &image.files,
        }
    }
}

/// What is no regular file: its content is not read.
fn no_regular(what: &str) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, format!("is {what} and no regular file"))
}

/// A file that is larger than is read.
fn too_large(length: u64, most: u64) -> io::Error {
    io::Error::other(format!("has {length} bytes, and {most} are read at most"))
}

impl Archived {
    fn content(&self, path: &Path, most: u64) -> io::Result<Option<(PathBuf, Vec<u8>)>> {
        let Some((canonical, node)) = self.files.find(path)? else { return Ok(None) };
        let place = match node.kind {
            NodeKind::Regular(place) => place,
            NodeKind::Device => return Err(no_regular("a device")),
            NodeKind::Other => return Err(no_regular("a FIFO")),
            _ => return Err(io::Error::other("is no regular file")),
        };
        if place.size > most {
            return Err(too_large(place.size, most));
        }
        let bytes = self.unpacked.read(&self.archive, place, &self.layers[usize::from(place.layer)])?;
        self.archive.unchanged().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Some((canonical, bytes)))
    }

    /// What is found in the package databases.
    fn packages(&self, find: impl FnOnce(&ArchiveDatabases<'_>) -> Packages) -> Result<Packages, ImageError> {
        let databases = ArchiveDatabases { image: self, fault: RefCell::default() };
        let found = find(&databases);
        databases.fault.into_inner().map_or(Ok(found), Err)
    }

    fn digests(&self, paths: &[&Path]) -> Result<BTreeMap<PathBuf, String>, ImageError> {
        let mut wanted: BTreeMap<ContentPlace, Vec<&Path>> = BTreeMap::new();
        for path in paths {
            let found = self.files.find(path);
            let found = found.map_err(|error| ImageError::File { path: path.to_path_buf(), error })?;
            if let Some((_, node)) = found
                && let NodeKind::Regular(place) = node.kind
            {
                wanted.entry(place).or_default().push(path);
            }
        }
        let mut layers: Vec<u16> = wanted.keys().map(|place| place.layer).collect();
        layers.dedup();
        layers.sort_by_key(|number| self.layers[usize::from(*number)].member);
        let meter = || Meter::new(self.archive.length(), LIMITS.unpacked);
        let (packed, meter) = (meter(), meter());
        let mut reader = self.archive.reader(&packed);
        let mut digests = BTreeMap::new();
        for number in layers {
            let LayerPlace { place, member, compression, diff_id } = &self.layers[usize::from(number)];
            let failed = || ImageError::reading(place);
            let content = reader.open(*member).map_err(failed())?;
            let from = ContentPlace { layer: number, offset: 0, size: 0 };
            let files = wanted.range(from..).take_while(|(place, _)| place.layer == number);
            // All of the layer is hashed once more: what is read now is what was verified.
            let mut layer = Hashing::new(decompressed(content, *compression, &meter));
            digest_each(&mut layer, files, &mut digests).map_err(failed())?;
            let (found, _) = layer.finish().map_err(failed())?;
            verify(place, Some(diff_id), found)?;
        }
        self.archive.unchanged()?;
        Ok(digests)
    }
}

/// Adds the digests of these files of one layer, which are in the order of their offset.
fn digest_each<'p>(
    layer: &mut (impl ByteStream + ?Sized),
    files: impl Iterator<Item = (&'p ContentPlace, &'p Vec<&'p Path>)>,
    digests: &mut BTreeMap<PathBuf, String>,
) -> io::Result<()> {
    let mut at = 0;
    for (place, paths) in files {
        layer.skip(place.offset.checked_sub(at).ok_or(ErrorKind::InvalidData)?)?;
        let (digest, read) = Hashing::new(Section::new(layer, place.size)).finish()?;
        at = place.offset + read;
        digests.extend(paths.iter().map(|path| (path.to_path_buf(), digest.clone())));
    }
    Ok(())
}

/// The package databases of an archive.
struct ArchiveDatabases<'a> {
    image: &'a Archived,
    /// Why the first one that cannot be read cannot.
    fault: RefCell<Option<ImageError>>,
}

impl Databases for ArchiveDatabases<'_> {
    fn text(&self, path: &str) -> Option<Cow<'_, str>> {
        let path = Path::new("/").join(path);
        let (_, node) = self.image.files.find(&path).ok()??;
        if let Some(text) = self.image.files.text(node) {
            return Some(Cow::Borrowed(text));
        }
        // Behind a link it has another path in its layer, and its text was not taken.
        match self.image.content(&path, packages::MOST) {
            Ok(content) => content.map(|(_, bytes)| Cow::Owned(layer::text(bytes))),
            Err(error) => {
                self.fault.borrow_mut().get_or_insert(ImageError::File { path, error });
                None
            }
        }
    }

    fn names(&self, directory: &str) -> Vec<OsString> {
        let names = self.image.files.list(Path::new(directory)).unwrap_or_default();
        names.into_iter().map(|(name, _)| name).collect()
    }
}

impl ImageFiles for ReadImage {
    fn stat(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        self.files().stat(path)
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        self.files().read_link(path)
    }

    fn trail(&self, path: &Path) -> Trail {
        self.files().trail(path)
    }

    fn executable(&self, path: &Path) -> io::Result<Executable> {
        self.files().executable(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<ListedName>> {
        self.files().list(path)
    }
}
