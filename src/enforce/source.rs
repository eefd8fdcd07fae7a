//! Where a profile comes from: the one named, else `/etc/remit/profile.json`, else
//! `baseline`.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::image::live::Live;
use crate::image::{self, Executable, ImageFiles};
use crate::profile::embedded::{self, Around};
use crate::profile::{self, Document};

/// Where a profile lies when none is named.
pub const DEFAULT: &str = "/etc/remit/profile.json";

/// A profile, read, and where it came from.
pub struct Loaded {
    /// As it was read.
    pub document: Document,
    /// Its file; none when it is embedded.
    pub path: Option<PathBuf>,
    /// Names whose change by the app would decide which profile the next start reads, or
    /// what it takes for programs, each with the word that a message has for it.
    pub links: Vec<(&'static str, PathBuf)>,
    /// What events and messages call it.
    pub source: String,
}

/// Reads the profile for this command.
///
/// # Errors
/// One line with the file's name: it is missing, unreadable, a directory, too
/// large, not what the digest says, or not valid.
pub fn load(named: Option<&OsStr>, command: &Path, files: &dyn ImageFiles) -> Result<Loaded, String> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let Some(name) = named else {
        return match std::fs::symlink_metadata(DEFAULT) {
            Ok(_) => from_file(Path::new(DEFAULT), None),
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => {
                let mut loaded = from_name("baseline", command, files)?;
                loaded.links.extend(reserved(Path::new(DEFAULT), files));
                Ok(loaded)
            }
            Err(error) => Err(format!("{DEFAULT}: cannot be looked at: {}", image::why(&error))),
        };
    };
    let text = name.to_string_lossy();
    if text.contains('/') { named_file(&text) } else { from_name(&text, command, files) }
}

/// Reads a profile's file; `FILE@sha256:HEX` refuses any other content.
///
/// # Errors
/// As [`load`].
pub fn named_file(text: &str) -> Result<Loaded, String> {
    match text.split_once("@sha256:") {
        Some((path, digest)) => from_file(Path::new(path), Some(digest)),
        None => from_file(Path::new(text), None),
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
pub fn from_name(name: &str, command: &Path, files: &dyn ImageFiles) -> Result<Loaded, String> {
    // A directory that cannot be listed holds no program that could be found.
    let beside = || image::beside(files, command).unwrap_or_default();
    let exists = |path: &Path| matches!(files.stat(path), Ok(Some(_)));
    let interpreter = |path: &Path| match files.executable(path) {
        Ok(Executable::Script(interpreter, _)) => Some(interpreter),
        _ => None,
    };
    let around = Around { command, beside: &beside, interpreter: &interpreter, exists: &exists };
    let document =
        embedded::expand(name, &around).map_err(|error| format!("profile {name}: {}", error.message))?;
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

fn from_file(path: &Path, digest: Option<&str>) -> Result<Loaded, String> {
    let name = path.display();
    if let Some(wanted) = digest
        && (wanted.len() != 64 || !wanted.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    {
        return Err(format!(
            "profile {name}: sha256:{wanted} is no digest; expected 64 lower-case hexadecimal digits, as sha256sum prints them"
        ));
    }
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("profile {name}: not found; mount it there, or name an embedded one such as baseline")
        }
        std::io::ErrorKind::IsADirectory => {
            format!("profile {name}: is a directory; name the file in it")
        }
        std::io::ErrorKind::PermissionDenied => {
            let why = image::why(&error);
            format!(
                "profile {name}: may not be read: {why}; make it readable for the user that starts remit-init"
            )
        }
        _ => {
            format!("profile {name}: cannot be read: {}; name a file that can", image::why(&error))
        }
    };
    // Non-blocking only for the open: a FIFO that nobody writes must not hold the start.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(failed)?;
    let kind = file.metadata().map_err(failed)?;
    if !kind.is_dir() && !kind.is_file() {
        return Err(format!("profile {name}: is no regular file; write the profile into one and name that"));
    }
    // One byte more than is allowed is enough to know that it is too long; how long
    // it really is, its metadata says.
    let length = kind.len();
    if kind.is_file() && length > profile::MAX_BYTES as u64 {
        return Err(format!(
            "profile {name}: is {length} bytes long; a profile has at most {} MiB",
            profile::MAX_BYTES >> 20
        ));
    }
    let mut text = Vec::with_capacity(length as usize + 1);
    file.take(profile::MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    let document = profile::read(&text).map_err(|error| format!("profile {name}:{error}"))?;
    if let Some(wanted) = digest
        && document.digest.trim_start_matches("sha256:") != wanted
    {
        return Err(format!(
            "profile {name}: its digest is {}, and sha256:{wanted} was demanded; approve the new one or restore the old",
            document.digest
        ));
    }
    let named = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let links = Live.trail(&named).links.into_iter();
    let links = links.map(|link| ("a link to the profile", link)).collect();
    // A relative name would mean another file once the supervisor is at /.
    let path = std::fs::canonicalize(path).map_err(failed)?;
    Ok(Loaded { document, source: path.display().to_string(), path: Some(path), links })
}
