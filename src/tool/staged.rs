//! Output files: whole, or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::ToolError;

/// A file that is written beside its place. Dropped, it is removed again.
pub(super) struct StagedFile {
    new: PathBuf,
    path: PathBuf,
}

impl StagedFile {
    /// Writes the text to the disk, under another name.
    pub fn write(path: &Path, text: &str) -> Result<StagedFile, ToolError> {
        let mut name = OsString::from(".");
        name.push(path.file_name().ok_or_else(|| ToolError::NoFileName(path.to_owned()))?);
        name.push(format!(".{}", std::process::id()));
        let staged = StagedFile { new: path.with_file_name(name), path: path.to_owned() };
        let written = File::create(&staged.new)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(|error| ToolError::Write { path: path.to_owned(), error })?;
        Ok(staged)
    }

    /// Puts the file in its place.
    pub fn put(self) -> Result<(), ToolError> {
        fs::rename(&self.new, &self.path)
            .map_err(|error| ToolError::Write { path: self.path.clone(), error })
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // After the rename there is none of this name.
        drop(fs::remove_file(&self.new));
    }
}
