//! The files of an unpacked image, or of this machine. A link in an image leads to what it names there.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::ToolError;
use crate::ids::Uid;
use crate::image::live::kind_of;
use crate::image::{Executable, FileId, FileInfo, ImageFiles, elf};
use crate::kernel::Arch;
use crate::reach::libraries::{FileContent, FileSource};
use crate::reach::object::MOST_BYTES;

/// The root directory of an image.
pub(super) struct ImageRoot {
    directory: PathBuf,
}

impl ImageRoot {
    /// An unpacked image.
    pub fn open(directory: &Path) -> Result<ImageRoot, ToolError> {
        let failed = |error| ToolError::ImageRoot { path: directory.into(), error };
        let directory = fs::canonicalize(directory).map_err(failed)?;
        if !fs::metadata(&directory).map_err(failed)?.is_dir() {
            return Err(failed(io::Error::from(ErrorKind::NotADirectory)));
        }
        Ok(ImageRoot { directory })
    }

    /// The files of this machine.
    pub fn machine() -> ImageRoot {
        ImageRoot { directory: "/".into() }
    }

    pub fn is_machine(&self) -> bool {
        self.directory == Path::new("/")
    }

    /// Where a path of the image is, all links resolved; and the path in the image.
    fn place(&self, path: &Path) -> (PathBuf, PathBuf) {
        let end = self.trail(path).end;
        (self.outside(&end), end)
    }

    fn outside(&self, path: &Path) -> PathBuf {
        self.directory.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Opens what is at a path; a FIFO does not block, and a link that is left is an error.
    fn file(&self, path: &Path) -> io::Result<(File, PathBuf)> {
        let (outside, end) = self.place(path);
        let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
        Ok((OpenOptions::new().read(true).custom_flags(flags).open(outside)?, end))
    }
}

/// Whether an error means that there is no such file.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(libc::ELOOP)
}

impl FileSource for ImageRoot {
    fn read(&self, path: &Path) -> io::Result<Option<FileContent>> {
        let (file, path) = match self.file(path) {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("is no regular file"));
        }
        let most = MOST_BYTES;
        let too_large =
            |length: u64| io::Error::other(format!("has {length} bytes, and {most} are read at most"));
        if metadata.len() > most {
            return Err(too_large(metadata.len()));
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        file.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(Some(FileContent { path, bytes }))
    }

    fn list(&self, directory: &Path) -> Vec<OsString> {
        let names = ImageFiles::list(self, directory).unwrap_or_default();
        names.into_iter().map(|(name, _)| name).collect()
    }
}

impl ImageFiles for ImageRoot {
    fn stat(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        let (outside, canonical) = self.place(path);
        let found = match fs::symlink_metadata(outside) {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(FileInfo {
            canonical,
            id: FileId { device: found.dev(), inode: found.ino() },
            kind: kind_of(found.file_type()),
            mode: found.mode() & 0o7777,
            links: found.nlink(),
            owner: Uid::from_raw(found.uid()),
            changed: (found.ctime(), found.ctime_nsec() as u32),
        }))
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        fs::read_link(self.outside(path)).ok()
    }

    fn executable(&self, path: &Path) -> io::Result<Executable> {
        let (file, _) = self.file(path)?;
        for arch in Arch::ALL {
            match elf::executable(&file, arch)? {
                Executable::Foreign(_) => {}
                found => return Ok(found),
            }
        }
        elf::executable(&file, Arch::THIS)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(OsString, bool)>> {
        let (outside, _) = self.place(path);
        let mut names = Vec::new();
        for entry in fs::read_dir(outside)? {
            let entry = entry?;
            names.push((entry.file_name(), entry.file_type()?.is_symlink()));
        }
        names.sort_unstable();
        Ok(names)
    }
}
