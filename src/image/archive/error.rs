//! Why an image cannot be read: one line each.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use super::stream::RATIO;
use crate::image::why;

/// Why an image cannot be read.
#[derive(Debug)]
pub enum ImageError {
    /// A file or directory cannot be opened or read.
    File {
        /// The path of the archive or directory.
        path: PathBuf,
        /// The error of the kernel or of the decompressor.
        error: io::Error,
    },
    /// It is neither a directory nor a regular file.
    Kind(PathBuf),
    /// The directory is an OCI image layout, not the files of an image.
    Layout(PathBuf),
    /// It is no archive, or one without an image.
    NotAnImage {
        /// The path of the archive or directory.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// A part of the archive cannot be read.
    Read {
        /// The archive, and where in it.
        place: String,
        /// The error of the kernel or of the decompressor.
        error: io::Error,
    },
    /// A part of the archive is not what the format asks for.
    Malformed {
        /// The archive, and where in it.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file that the manifest names is not in the archive.
    Missing {
        /// The archive, and where in it.
        place: String,
        /// The name of the file.
        member: String,
    },
    /// The content has another digest than the manifest says.
    Digest {
        /// The archive, and where in it.
        place: String,
        /// The digest in the manifest or config, in hexadecimal.
        expected: String,
        /// The digest of the content, in hexadecimal.
        found: String,
    },
    /// More than is read.
    TooLarge {
        /// The archive, and where in it.
        place: String,
        /// What there is too much of.
        what: String,
    },
    /// There are several images, and none was chosen.
    Several {
        /// The path of the archive or directory.
        path: PathBuf,
        /// The names of the images.
        names: Vec<String>,
    },
    /// No image has the name.
    NoSuchImage {
        /// The path of the archive or directory.
        path: PathBuf,
        /// The name that no image has.
        name: String,
        /// The names of the images.
        names: Vec<String>,
    },
    /// There is no image for this architecture.
    NoPlatform {
        /// The archive, and where in it.
        place: String,
        /// The architecture as images name it.
        wanted: &'static str,
        /// What there is, as `linux/arm64`.
        platforms: Vec<String>,
    },
    /// The archive was changed while it was read.
    Changed(PathBuf),
}

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

impl ImageError {
    /// For the errors of one entry's place.
    pub(super) fn of_entry(place: &str, after: &[u8], error: EntryError) -> ImageError {
        match error {
            EntryError::Read(error) => {
                let after = String::from_utf8_lossy(after);
                let place =
                    if after.is_empty() { place.to_owned() } else { format!("{place}: after {after}") };
                ImageError::Read { place, error }
            }
            EntryError::Malformed(what) => {
                ImageError::Malformed { place: place.to_owned(), what: format!("has {what}") }
            }
            EntryError::Refused(name, what) => {
                let place = format!("{place}: {}", String::from_utf8_lossy(&name));
                ImageError::Malformed { place, what: what.to_owned() }
            }
        }
    }

    /// For `map_err` behind reading what is at this place.
    pub(super) fn reading(place: &str) -> impl FnOnce(io::Error) -> ImageError {
        let place = place.to_owned();
        move |error| ImageError::Read { place, error }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageError::File { path, error } => {
                write!(f, "{}: {}", path.display(), why(error))?;
                if error.kind() == ErrorKind::NotFound {
                    f.write_str("; expected an unpacked image or an archive of docker save or OCI")?;
                }
                Ok(())
            }
            ImageError::Kind(path) => write!(
                f,
                "{}: is neither a directory nor a regular file; save the image to a file first (docker save -o FILE)",
                path.display()
            ),
            ImageError::Layout(path) => write!(
                f,
                "{0}: is an OCI image layout and not an unpacked image; pack it: tar -C {0} -cf image.tar .",
                path.display()
            ),
            ImageError::NotAnImage { path, found } => write!(
                f,
                "{}: {found}; expected an archive of docker save (manifest.json) or OCI (index.json)",
                path.display()
            ),
            ImageError::Read { place, error } => match error.kind() {
                ErrorKind::UnexpectedEof => write!(f, "{place}: is cut; save the image again"),
                ErrorKind::QuotaExceeded => write!(
                    f,
                    "{place}: unpacks to more than 1 GiB and {RATIO} times the archive's size, which no image does"
                ),
                ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::Other => {
                    write!(f, "{place}: cannot be unpacked: {error}; save the image again")
                }
                _ => write!(f, "{place}: cannot be read: {}", why(error)),
            },
            ImageError::Malformed { place, what } => write!(f, "{place}: {what}"),
            ImageError::Missing { place, member } => {
                write!(f, "{place}: names {member}, which is not in the archive; save the image again")
            }
            ImageError::Digest { place, expected, found } => write!(
                f,
                "{place}: has the digest sha256:{found}, expected sha256:{expected}; the archive is damaged or was changed"
            ),
            ImageError::TooLarge { place, what } => {
                write!(f, "{place}: has {what}, more than is read of an image")
            }
            ImageError::Several { path, names } => write!(
                f,
                "{0}: has {1} images; choose one: {0}#{2}",
                path.display(),
                names.len(),
                listed(names).join(&format!(", {}#", path.display()))
            ),
            ImageError::NoSuchImage { path, name, names } => {
                write!(f, "{}: has no image {name}; it has {}", path.display(), listed(names).join(", "))
            }
            ImageError::NoPlatform { place, wanted, platforms } => write!(
                f,
                "{place}: has no image for linux/{wanted}; it has {}",
                if platforms.is_empty() { "none".to_owned() } else { listed(platforms).join(", ") }
            ),
            ImageError::Changed(path) => {
                write!(f, "{}: was changed while it was read; try again", path.display())
            }
        }
    }
}

/// The first names of a list.
fn listed(names: &[String]) -> Vec<&str> {
    const MOST: usize = 20;
    let more = (names.len() > MOST).then_some("…");
    names.iter().take(MOST).map(String::as_str).chain(more).collect()
}

impl std::error::Error for ImageError {}
