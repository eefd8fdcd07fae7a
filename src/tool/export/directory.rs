//! A directory of files that is written whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::exchange::kubernetes::{ComponentFile, file_names};
use crate::tool::ToolError;

/// Writes a directory of these files: a new one takes the name, or the place of an earlier one that
/// has no other files.
pub(super) fn put(path: &Path, files: &[ComponentFile]) -> Result<(), ToolError> {
    let failed = |error| ToolError::Write { path: path.to_owned(), error };
    let replaces = match fs::read_dir(path) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.map_err(failed)?.file_name();
                if !file_names().iter().any(|known| name == *known) {
                    return Err(ToolError::NotOwnDirectory { path: path.to_owned(), name });
                }
            }
            true
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(failed(error)),
    };
    let new = beside(path)?;
    let done = fill(&new, files).and_then(|()| {
        let flags = if replaces { RenameFlags::RENAME_EXCHANGE } else { RenameFlags::RENAME_NOREPLACE };
        renameat2(AT_FDCWD, &new, AT_FDCWD, path, flags).map_err(io::Error::from)?;
        sync(new.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    });
    // What is there now is of no use: an incomplete directory, or the earlier one.
    if done.is_err() || replaces {
        drop(fs::remove_dir_all(&new));
    }
    done.map_err(failed)
}

/// A name beside the directory's own.
fn beside(path: &Path) -> Result<PathBuf, ToolError> {
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or_else(|| ToolError::NoFileName(path.to_owned()))?);
    name.push(format!(".{}", std::process::id()));
    Ok(path.with_file_name(name))
}

fn fill(directory: &Path, files: &[ComponentFile]) -> io::Result<()> {
    fs::create_dir(directory)?;
    for file in files {
        let mut new = File::create_new(directory.join(file.name))?;
        new.write_all(file.text.as_bytes())?;
        new.sync_all()?;
    }
    sync(directory)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
