//! `libraries`: the files and directories that a program's code may be mapped from,
//! found once, at start. What may be mapped may be read, and nobody inside may change it.

use std::path::PathBuf;

use super::error::seen;
use super::{Libraries, PlanError};
use crate::image::{FileInfo, FileKind, ImageFiles};

/// A file or a directory that code may be mapped from.
#[derive(Debug)]
pub(super) struct Library {
    pub look: FileInfo,
    /// JSON Pointer of the list that names it.
    pub because: String,
}

/// The files and directories at the paths of one entry. Images differ in what they have of `/lib32` and
/// its like, so that what is not there is no error: nothing is mapped from it.
pub(super) fn find(
    listed: &[PathBuf],
    pointer: &str,
    files: &dyn ImageFiles,
    notes: &mut Vec<String>,
) -> Result<Vec<Library>, PlanError> {
    let mut found: Vec<Library> = Vec::new();
    for (index, path) in listed.iter().enumerate() {
        let at = format!("{pointer}/libraries/{index}");
        match seen(files.stat(path), path, &at)? {
            Some(look) if matches!(look.kind, FileKind::Regular | FileKind::Directory) => {
                // `/lib` is `/usr/lib` on most systems.
                if found.iter().all(|other| other.look.canonical != look.canonical) {
                    found.push(Library { look, because: format!("{pointer}/libraries") });
                }
            }
            Some(_) => {
                let text = format!("`{}` is neither a file nor a directory", path.display());
                return Err(PlanError::at(at, text));
            }
            None => {
                notes.push(format!("{at}: {} is not there, so nothing is mapped from it", path.display()))
            }
        }
    }
    Ok(found)
}

/// The same in the form that the supervisor decides by.
pub(super) fn of(found: &[Library]) -> Libraries {
    let mut libraries = Libraries::default();
    for Library { look, .. } in found {
        match look.kind {
            FileKind::Directory => libraries.directories.push(look.canonical.clone()),
            _ => libraries.files.push((look.id, look.canonical.clone())),
        }
    }
    libraries
}
