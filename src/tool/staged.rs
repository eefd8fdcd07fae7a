//! Output files: whole, or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::ToolError;

/// A file that is written beside its place. Dropped, it is removed again. What is no regular file,
/// such as /dev/stdout or a FIFO, is written in its place: it must not be replaced.
pub(super) struct StagedFile {
    /// The name that was given.
    path: PathBuf,
    content: StagedContent,
}

enum StagedContent {
    /// On the disk under the first name, to be renamed to the second.
    Beside(PathBuf, PathBuf),
    /// Text for a device or FIFO.
    Text(String),
}

impl StagedFile {
    /// Writes the text to the disk, under another name.
    pub fn write(path: &Path, text: &str) -> Result<StagedFile, ToolError> {
        let failed = |error| ToolError::Write { path: path.to_owned(), error };
        // The file that a link leads to is replaced, and not the link.
        let end = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&end).is_ok_and(|found| !found.is_file()) {
            let content = StagedContent::Text(text.to_owned());
            return Ok(StagedFile { path: path.to_owned(), content });
        }
        let mut name = OsString::from(".");
        name.push(end.file_name().ok_or_else(|| ToolError::NoFileName(path.to_owned()))?);
        name.push(format!(".{}", std::process::id()));
        let new = end.with_file_name(name);
        let staged = StagedFile { path: path.to_owned(), content: StagedContent::Beside(new.clone(), end) };
        File::create(&new)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(failed)?;
        Ok(staged)
    }

    /// Puts the file in its place.
    pub fn put(self) -> Result<(), ToolError> {
        let done = match &self.content {
            StagedContent::Beside(new, end) => fs::rename(new, end),
            StagedContent::Text(text) => File::options()
                .write(true)
                .open(&self.path)
                .and_then(|mut file| file.write_all(text.as_bytes())),
        };
        done.map_err(|error| ToolError::Write { path: self.path.clone(), error })
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if let StagedContent::Beside(new, _) = &self.content {
            // After the rename there is none of this name.
            drop(fs::remove_file(new));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileTypeExt;

    #[test]
    fn a_link_and_what_is_no_regular_file_stay_what_they_are() {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str| place.path().join(name);
        fs::write(path("real"), "before").expect("a file");
        std::os::unix::fs::symlink("real", path("link")).expect("a link");
        let put = |path: &Path| StagedFile::write(path, "after").and_then(StagedFile::put);
        put(&path("link")).expect("written");
        assert!(fs::symlink_metadata(path("link")).expect("there").is_symlink());
        assert_eq!(fs::read_to_string(path("real")).expect("a file"), "after");
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("a FIFO");
        let reader = std::thread::spawn({
            let fifo = path("fifo");
            move || fs::read_to_string(fifo).expect("read")
        });
        put(&path("fifo")).expect("written");
        assert_eq!(reader.join().expect("it ended"), "after");
        assert!(fs::symlink_metadata(path("fifo")).expect("there").file_type().is_fifo());
        drop(StagedFile::write(&path("new"), "text").expect("staged"));
        assert_eq!(fs::read_dir(place.path()).expect("listed").count(), 3, "nothing is left");
    }
}
