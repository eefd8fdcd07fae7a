//! Where a profile comes from: the one named, else `/etc/remit/profile.json`, else
//! `baseline`.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::image::trees::AppStart;
use crate::image::{self, Executable, ImageFiles};
use crate::profile::embedded::{self, Around};
use crate::profile::{self, Document, ReadError};

/// The profile that is read when none is named.
pub const DEFAULT: &str = "/etc/remit/profile.json";

/// A profile, read, and where it came from.
pub struct Loaded {
    /// As it was read.
    pub document: Document,
    /// The path of its file; none when it is embedded.
    pub path: Option<PathBuf>,
    /// Names whose change by the app would decide which profile the next start reads, or
    /// what it takes for programs, each with its description for a message.
    pub links: Vec<(&'static str, PathBuf)>,
    /// What events and messages call it.
    pub source: String,
}

/// Reads the profile for this command.
///
/// # Errors
/// The file is missing, unreadable, a directory, too large or no valid profile, or has another
/// digest.
pub fn load(named: Option<&OsStr>, start: &AppStart, files: &dyn ImageFiles) -> Result<Loaded, LoadError> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let Some(name) = named else {
        return match std::fs::symlink_metadata(DEFAULT) {
            Ok(_) => from_file(Path::new(DEFAULT), None, files),
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => {
                let mut loaded = from_name("baseline", start, files)?;
                loaded.links.extend(reserved(Path::new(DEFAULT), files));
                Ok(loaded)
            }
            Err(error) => Err(LoadError::Default(error)),
        };
    };
    let text = name.to_string_lossy();
    if text.contains('/') { named_file(&text, files) } else { from_name(&text, start, files) }
}

/// Reads a profile's file; `FILE@sha256:HEX` refuses any other content.
///
/// # Errors
/// As [`load`] for a file.
pub fn named_file(text: &str, files: &dyn ImageFiles) -> Result<Loaded, LoadError> {
    match text.split_once("@sha256:") {
        Some((path, digest)) => from_file(Path::new(path), Some(digest), files),
        None => from_file(Path::new(text), None, files),
    }
}

/// Where the evidence of a profile is: `P.evidence.json` for `P.json`.
pub fn beside(profile: &Path) -> PathBuf {
    let mut name: OsString = profile.file_stem().unwrap_or_default().to_owned();
    if profile.extension().is_none_or(|end| end != "json") {
        name = profile.file_name().unwrap_or_default().to_owned();
    }
    name.push(".evidence.json");
    profile.with_file_name(name)
}

/// An embedded profile as it is in force for this command.
///
/// # Errors
/// No profile has the name, or none can be made of it for this command.
pub fn from_name(name: &str, start: &AppStart, files: &dyn ImageFiles) -> Result<Loaded, LoadError> {
    // A directory that cannot be listed has no program that could be found.
    let beside = || image::beside(files, start.command).unwrap_or_default();
    let trees = || image::trees::trees(files, start);
    let exists = |path: &Path| matches!(files.stat(path), Ok(Some(_)));
    let interpreter = |path: &Path| match files.executable(path) {
        Ok(Executable::Script(interpreter, _)) => Some(interpreter),
        _ => None,
    };
    let around = Around {
        command: start.command,
        beside: &beside,
        trees: &trees,
        interpreter: &interpreter,
        exists: &exists,
    };
    let document = embedded::expand(name, &around)
        .map_err(|error| LoadError::Embedded { name: name.to_owned(), error })?;
    let places = if name == "baseline" { &embedded::PLACES[..] } else { &[] };
    let missing = places.iter().map(Path::new).filter(|path| !exists(path));
    let links = missing.flat_map(|path| reserved(path, files)).collect();
    Ok(Loaded { document, path: None, links, source: format!("embedded:{name}") })
}

/// A name that nothing has yet, and the links that lead there: what stood there at the next
/// start would be taken for a profile, or for programs.
fn reserved(path: &Path, files: &dyn ImageFiles) -> impl Iterator<Item = (&'static str, PathBuf)> {
    let trail = files.trail(path);
    trail.links.into_iter().chain([trail.end]).map(|name| ("what the next start would read", name))
}

fn from_file(path: &Path, digest: Option<&str>, files: &dyn ImageFiles) -> Result<Loaded, LoadError> {
    let wrong = |fault| LoadError::File { path: path.to_owned(), fault };
    let unreadable = |error| wrong(FileFault::Unreadable(error));
    if let Some(wanted) = digest
        && (wanted.len() != 64 || !wanted.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    {
        return Err(wrong(FileFault::NoDigest(wanted.to_owned())));
    }
    // Non-blocking for the open alone: a FIFO without a writer must not block the start.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(unreadable)?;
    let kind = file.metadata().map_err(unreadable)?;
    if !kind.is_dir() && !kind.is_file() {
        return Err(wrong(FileFault::NotRegular));
    }
    // One byte more than is allowed is enough to know that it is too long; how long
    // it really is, its metadata says.
    let length = kind.len();
    if kind.is_file() && length > profile::MAX_BYTES as u64 {
        return Err(wrong(FileFault::TooLong(length)));
    }
    let mut text = Vec::with_capacity(length as usize + 1);
    file.take(profile::MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
    let document = profile::read(&text).map_err(|error| wrong(FileFault::Invalid(error)))?;
    if let Some(wanted) = digest
        && document.digest.trim_start_matches("sha256:") != wanted
    {
        let (found, wanted) = (document.digest, wanted.to_owned());
        return Err(wrong(FileFault::OtherDigest { found, wanted }));
    }
    let named = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let links = files.trail(&named).links.into_iter();
    let links = links.map(|link| ("a link to the profile", link)).collect();
    // A relative name would mean another file once the supervisor is at /.
    let path = std::fs::canonicalize(path).map_err(unreadable)?;
    Ok(Loaded { document, source: path.display().to_string(), path: Some(path), links })
}

/// Why there is no profile: one line.
#[derive(Debug)]
pub enum LoadError {
    /// Whether [`DEFAULT`] is there cannot be known.
    Default(io::Error),
    /// There is no embedded profile of this name, or none can be made of it for the command.
    Embedded {
        /// The name of the embedded profile.
        name: String,
        /// What is wrong with the expanded profile.
        error: ReadError,
    },
    /// A file cannot be read as a profile.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// What is wrong with it.
        fault: FileFault,
    },
}

/// What is wrong with the file of a profile.
#[derive(Debug)]
pub enum FileFault {
    /// The text after `@sha256:` is no digest.
    NoDigest(String),
    /// It cannot be opened, read or resolved.
    Unreadable(io::Error),
    /// It is a device, a socket or a pipe.
    NotRegular,
    /// It has more than [`profile::MAX_BYTES`]; its length in bytes.
    TooLong(u64),
    /// Its text is no valid profile.
    Invalid(ReadError),
    /// It has another digest than was named.
    OtherDigest {
        /// Its digest, with the algorithm in front.
        found: String,
        /// The digest that was named, in hexadecimal.
        wanted: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Default(error) => write!(f, "{DEFAULT}: cannot be looked at: {}", image::why(error)),
            LoadError::Embedded { name, error } => write!(f, "profile {name}: {}", error.message),
            // Line and column follow the name without a space.
            LoadError::File { path, fault: FileFault::Invalid(error) } => {
                write!(f, "profile {}:{error}", path.display())
            }
            LoadError::File { path, fault } => write!(f, "profile {}: {fault}", path.display()),
        }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileFault::NoDigest(wanted) => write!(
                f,
                "sha256:{wanted} is no digest; expected 64 lower-case hexadecimal digits, as sha256sum \
                 prints them"
            ),
            FileFault::Unreadable(error) => unreadable(error, f),
            FileFault::NotRegular => {
                f.write_str("is no regular file; write the profile into one and name that")
            }
            FileFault::TooLong(length) => {
                let most = profile::MAX_BYTES >> 20;
                write!(f, "is {length} bytes long; a profile has at most {most} MiB")
            }
            FileFault::Invalid(error) => error.fmt(f),
            FileFault::OtherDigest { found, wanted } => write!(
                f,
                "its digest is {found}, and sha256:{wanted} was demanded; approve the new one or restore the \
                 old"
            ),
        }
    }
}

fn unreadable(error: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error.kind() {
        io::ErrorKind::NotFound => {
            f.write_str("not found; mount it there, or name an embedded one such as baseline")
        }
        io::ErrorKind::IsADirectory => f.write_str("is a directory; name the file in it"),
        io::ErrorKind::PermissionDenied => {
            let why = image::why(error);
            write!(f, "may not be read: {why}; make it readable for the user that starts remit-init")
        }
        _ => write!(f, "cannot be read: {}; name a file that can", image::why(error)),
    }
}

impl std::error::Error for LoadError {}
