//! The tool's input: a profile by name or file, COMMAND by PATH.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::ToolError;
use super::ready::READY;
use crate::enforce::source::{self, Loaded};
use crate::image::ImageFiles;
use crate::image::trees::AppStart;
use crate::profile::{Profile, embedded};

/// A profile, with its name for messages.
pub(super) struct ProfileSource {
    pub name: String,
    pub profile: Profile,
    pub embedded: bool,
    /// See [`source::Loaded::links`].
    pub links: Vec<(&'static str, PathBuf)>,
}

/// A profile, with its name on the command line.
pub(super) struct NamedProfile {
    pub name: String,
    pub loaded: Loaded,
    pub embedded: bool,
}

impl NamedProfile {
    /// The argument for the shim's `--profile`, for which a file has a slash in its name.
    pub fn word(&self) -> OsString {
        let bare = !self.embedded && !self.name.contains('/');
        if bare { format!("./{}", self.name).into() } else { self.name.clone().into() }
    }
}

/// Reads a profile: a file when the word has a slash, ends in .json or is there;
/// an embedded one otherwise.
pub(super) fn read(word: &str, command: &Path, files: &dyn ImageFiles) -> Result<ProfileSource, ToolError> {
    let NamedProfile { name, loaded, embedded } = named(word, command, files)?;
    let links = loaded.links;
    Ok(ProfileSource { name, profile: loaded.document.profile, embedded, links })
}

/// Reads a profile, with its digest, path and links.
pub(super) fn named(word: &str, command: &Path, files: &dyn ImageFiles) -> Result<NamedProfile, ToolError> {
    let is_file = word.contains('/')
        || word.ends_with(".json")
        || (embedded::named(word).is_none() && Path::new(word).exists());
    if !is_file && embedded::named(word).is_none() && READY.iter().any(|ready| ready.name == word) {
        return Err(ToolError::OnlyReady(word.to_owned()));
    }
    let loaded = if is_file {
        source::named_file(word, files)?
    } else {
        source::from_name(word, &AppStart::of(command), files)?
    };
    Ok(NamedProfile { name: word.to_owned(), loaded, embedded: !is_file })
}

/// COMMAND as an absolute path, found by PATH where it has no slash.
pub(super) fn command(word: &str) -> Result<PathBuf, ToolError> {
    if word.contains('/') {
        return std::path::absolute(word)
            .map_err(|error| ToolError::Command { word: word.to_owned(), error });
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(word))
        .find(|candidate| candidate.is_absolute() && candidate.is_file())
        .ok_or_else(|| ToolError::NotInPath(word.to_owned()))
}
