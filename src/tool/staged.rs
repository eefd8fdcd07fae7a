//! Output files: whole, or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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
    /// What is written to a device or FIFO.
    Bytes(Vec<u8>),
}

impl StagedFile {
    /// Writes to the disk, under another name.
    pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<StagedFile, ToolError> {
        let failed = |error| ToolError::Write { path: path.to_owned(), error };
        let content = content.as_ref();
        let end = end(path);
        let earlier = fs::metadata(&end).ok();
        if earlier.as_ref().is_some_and(|found| !found.is_file()) {
            let content = StagedContent::Bytes(content.to_owned());
            return Ok(StagedFile { path: path.to_owned(), content });
        }
        let mut name = OsString::from(".");
        name.push(end.file_name().ok_or_else(|| ToolError::NoFileName(path.to_owned()))?);
        // A name that could be guessed could be a link that another user made.
        name.push(format!(".{:016x}", RandomState::new().hash_one(())));
        let new = end.with_file_name(name);
        let mode = if earlier.is_some() { 0o600 } else { 0o666 };
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&new).map_err(failed)?;
        let staged = StagedFile { path: path.to_owned(), content: StagedContent::Beside(new, end) };
        file.write_all(content)
            .and_then(|()| earlier.map_or(Ok(()), |earlier| file.set_permissions(earlier.permissions())))
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        Ok(staged)
    }

    /// Puts the file in its place.
    pub fn put(self) -> Result<(), ToolError> {
        let done = match &self.content {
            StagedContent::Beside(new, end) => fs::rename(new, end),
            StagedContent::Bytes(bytes) => {
                File::options().write(true).open(&self.path).and_then(|mut file| file.write_all(bytes))
            }
        };
        done.map_err(|error| ToolError::Write { path: self.path.clone(), error })
    }
}

/// Writes a file: the whole new content, or the old file stays.
pub(super) fn put(path: &Path, content: impl AsRef<[u8]>) -> Result<(), ToolError> {
    StagedFile::write(path, content)?.put()
}

/// Puts several in their places: devices and FIFOs first, since their writing may fail.
pub(super) fn put_all(files: Vec<StagedFile>) -> Result<(), ToolError> {
    let is_beside = |file: &StagedFile| matches!(file.content, StagedContent::Beside(..));
    let (files, others): (Vec<StagedFile>, Vec<StagedFile>) = files.into_iter().partition(is_beside);
    others.into_iter().chain(files).try_for_each(StagedFile::put)
}

/// Refuses a file to write that is read too, by whatever name.
pub(super) fn refuse_inputs<'p>(
    outputs: impl IntoIterator<Item = &'p Path>,
    inputs: impl IntoIterator<Item = &'p Path>,
) -> Result<(), ToolError> {
    let identity = |path: &Path| {
        let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some((found.dev(), found.ino()))
    };
    let inputs: Vec<_> = inputs.into_iter().filter_map(identity).collect();
    let is_input = |path: &&Path| identity(path).is_some_and(|own| inputs.contains(&own));
    match outputs.into_iter().find(is_input) {
        Some(path) => Err(ToolError::IsInput(path.to_owned())),
        None => Ok(()),
    }
}

/// The file that is written: the one that a link leads to is replaced, and not the link.
pub(super) fn end(path: &Path) -> PathBuf {
    let in_directory = || {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = fs::canonicalize(parent.unwrap_or(Path::new("."))).ok()?;
        Some(directory.join(path.file_name()?))
    };
    fs::canonicalize(path).ok().or_else(in_directory).unwrap_or_else(|| path.to_owned())
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
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};

    #[test]
    fn a_link_and_what_is_no_regular_file_stay_what_they_are() {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str| place.path().join(name);
        fs::write(path("real"), "before").expect("a file");
        std::os::unix::fs::symlink("real", path("link")).expect("a link");
        let put = |path: &Path| put(path, "after");
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
    /// A link of the name that the process could be guessed to write under leads nowhere else.
    #[test]
    fn a_link_that_waits_for_the_file_is_not_followed() {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str| place.path().join(name);
        fs::write(path("victim"), "before").expect("a file");
        let guessed = path(&format!(".out.{}", std::process::id()));
        std::os::unix::fs::symlink("victim", &guessed).expect("a link");
        put(&path("out"), "after").expect("written");
        assert_eq!(fs::read_to_string(path("victim")).expect("a file"), "before");
        assert_eq!(fs::read_to_string(path("out")).expect("a file"), "after");
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_mode() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("out");
        for mode in [0o600, 0o640, 0o444] {
            fs::write(&path, "before").expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            put(&path, "after").expect("written");
            let found = fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(
                (found & 0o7777, fs::read_to_string(&path).expect("a file").as_str()),
                (mode, "after")
            );
            fs::remove_file(&path).expect("removed");
        }
    }
}
