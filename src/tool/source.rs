//! Where the tool's input comes from: a profile by name or file, COMMAND by PATH.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::image::{Files, beside};
use crate::profile::{self, Document, MAX_BYTES, Profile, embedded};

/// A profile, and what messages call it.
pub(super) struct Source {
    pub name: String,
    pub profile: Profile,
    pub embedded: bool,
}

/// Reads a profile: a file when the word has a slash, ends in .json or is there;
/// an embedded one otherwise.
pub(super) fn read(word: &str, command: &Path, files: &dyn Files) -> Result<Source, String> {
    let is_file = word.contains('/')
        || word.ends_with(".json")
        || (embedded::named(word).is_none() && Path::new(word).exists());
    let document = if is_file { file(word)? } else { by_name(word, command, files)? };
    Ok(Source { name: word.to_owned(), profile: document.profile, embedded: !is_file })
}

fn file(path: &str) -> Result<Document, String> {
    let mut bytes = Vec::new();
    let most = MAX_BYTES as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(|error| format!("{path}: cannot read the profile: {error}"))?;
    profile::read(&bytes).map_err(|error| format!("{path}:{error}"))
}

fn by_name(name: &str, command: &Path, files: &dyn Files) -> Result<Document, String> {
    let beside = beside(files, command)
        .map_err(|error| format!("cannot list the directory of {}: {error}", command.display()))?;
    let exists = |path: &Path| files.look(path).is_ok_and(|look| look.is_some());
    let around = embedded::Around { command, beside: &beside, exists: &exists };
    embedded::expand(name, &around).map_err(|error| error.message)
}

/// COMMAND as an absolute path, found by PATH where it has no slash.
pub(super) fn command(word: &str) -> Result<PathBuf, String> {
    if word.contains('/') {
        return std::path::absolute(word).map_err(|error| format!("COMMAND `{word}`: {error}"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(word))
        .find(|candidate| candidate.is_absolute() && candidate.is_file())
        .ok_or_else(|| format!("COMMAND `{word}` is in no directory of PATH; name its path"))
}
