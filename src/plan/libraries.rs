//! `libraries`: the files and directories from which a program's code may be mapped, looked up
//! once, at start. These files may be read, and no process inside may change them.

use std::path::PathBuf;

use super::error;
use super::{Libraries, PlanError, PlanFault};
use crate::image::{FileInfo, FileKind, ImageFiles};

/// A file or a directory from which code may be mapped.
#[derive(Debug)]
pub(super) struct Library {
    pub info: FileInfo,
    /// JSON Pointer of the list that names it.
    pub because: String,
}

/// The files and directories at the paths of one entry. Images differ in directories such as
/// `/lib32`, so a path that does not exist is no error: nothing is mapped from it.
pub(super) fn find(
    listed: &[PathBuf],
    pointer: &str,
    files: &dyn ImageFiles,
    notes: &mut Vec<String>,
) -> Result<Vec<Library>, PlanError> {
    let mut found: Vec<Library> = Vec::new();
    for (index, path) in listed.iter().enumerate() {
        let at = format!("{pointer}/libraries/{index}");
        match error::stat(files.stat(path), path, &at)? {
            Some(info) if matches!(info.kind, FileKind::Regular | FileKind::Directory) => {
                // `/lib` is `/usr/lib` on most systems.
                if found.iter().all(|other| other.info.canonical != info.canonical) {
                    found.push(Library { info, because: format!("{pointer}/libraries") });
                }
            }
            Some(_) => {
                return Err(PlanError::at(at, PlanFault::NotLibrary(path.clone())));
            }
            None => {
                notes.push(format!("{at}: {} is not there, so nothing is mapped from it", path.display()))
            }
        }
    }
    Ok(found)
}

/// The same in the form by which the supervisor decides.
pub(super) fn of(found: &[Library]) -> Libraries {
    let mut libraries = Libraries::default();
    for Library { info, .. } in found {
        match info.kind {
            FileKind::Directory => libraries.directories.push(info.canonical.clone()),
            _ => libraries.files.push((info.id, info.canonical.clone())),
        }
    }
    libraries
}
