//! The files of an image, or of this machine, with their content.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::super::ToolError;
use super::super::progress::ProgressLine;
use crate::image::archive::{self, ReadImage};
use crate::image::live::Live;
use crate::image::{Executable, FileInfo, ImageFiles, ListedName, Trail};
use crate::kernel::Arch;
use crate::reach::libraries::{FileContent, FileSource};
use crate::reach::object::MOST_BYTES;

/// Where programs and libraries are looked for.
pub(in crate::tool) enum ProgramFiles<'i> {
    /// This machine.
    Machine,
    /// An image that `--image` names.
    Image(Box<ReadImage>),
    /// An image that was read already.
    Known(&'i ReadImage),
}

impl ProgramFiles<'_> {
    /// An image: a directory, or an archive; of one for several architectures that of this.
    pub fn open(image: &OsStr, arch: Arch) -> Result<ProgramFiles<'static>, ToolError> {
        let bar = ProgressLine::bytes("reading the image");
        let image = archive::open(image, arch, &mut |done, all| bar.set(done, all))?;
        Ok(ProgramFiles::Image(Box::new(image)))
    }

    /// The image; none for this machine.
    pub fn image(&self) -> Option<&ReadImage> {
        match self {
            ProgramFiles::Machine => None,
            ProgramFiles::Image(image) => Some(image),
            ProgramFiles::Known(image) => Some(image),
        }
    }

    fn files(&self) -> &dyn ImageFiles {
        match self.image() {
            Some(image) => image,
            None => &Live,
        }
    }
}

/// The content of a file of this machine. A FIFO does not block.
fn read(path: &Path) -> io::Result<Option<(PathBuf, Vec<u8>)>> {
    let path = Live.trail(path).end;
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    let too_large =
        |length: u64| io::Error::other(format!("has {length} bytes, and {MOST_BYTES} are read at most"));
    if metadata.len() > MOST_BYTES {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(Some((path, bytes)))
}

impl FileSource for ProgramFiles<'_> {
    fn read(&self, path: &Path) -> io::Result<Option<FileContent>> {
        let found = match self.image() {
            Some(image) => image.content(path, MOST_BYTES)?,
            None => read(path)?,
        };
        Ok(found.map(|(path, bytes)| FileContent { path, bytes }))
    }

    fn list(&self, directory: &Path) -> Vec<OsString> {
        let names = ImageFiles::list(self, directory).unwrap_or_default();
        names.into_iter().map(|(name, _)| name).collect()
    }
}

impl ImageFiles for ProgramFiles<'_> {
    fn stat(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        self.files().stat(path)
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        self.files().read_link(path)
    }

    fn trail(&self, path: &Path) -> Trail {
        self.files().trail(path)
    }

    fn executable(&self, path: &Path) -> io::Result<Executable> {
        self.files().executable(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<ListedName>> {
        self.files().list(path)
    }
}
