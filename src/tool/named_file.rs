//! The files that a command line names: regular ones, or what a pipe of the shell gives, as `<(…)`. What is
//! no such file is refused before it is read: a FIFO would wait for a writer, a device may have no end.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::statfs::{FsType, fstatfs};

/// The file system of pipes without a name (linux/magic.h).
const PIPEFS: FsType = FsType(0x5049_5045);

/// The most bytes of a file that is read as a whole: the evidence of a great many runs has some ten million.
const MOST_BYTES: u64 = 1 << 30;

/// Opens what has the name, without waiting for a writer.
fn open_at_once(path: &Path) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    match metadata.is_dir() {
        true => Err(Errno::EISDIR.into()),
        false => Ok((file, metadata)),
    }
}

/// Opens a regular file for reading, and nothing else.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    match open_at_once(path)? {
        (file, metadata) if metadata.is_file() => Ok(file),
        _ => Err(io::Error::other(NotRegular)),
    }
}

/// Opens a file for reading.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let (file, metadata) = open_at_once(path)?;
    let is_pipe = metadata.file_type().is_fifo() && fstatfs(&file)?.filesystem_type() == PIPEFS;
    if !metadata.is_file() && !is_pipe && !is_null(&metadata) {
        return Err(io::Error::other(NotRegular));
    }
    // Non-blocking was for the open alone.
    let flags = OFlag::from_bits_retain(fcntl(file.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(file.as_fd(), FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(file)
}

/// Reads a file as a whole.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    if file.metadata()?.len() <= MOST_BYTES {
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 <= MOST_BYTES {
            return Ok(bytes);
        }
    }
    Err(io::Error::other(TooLong))
}

/// Whether no line can be expected of what has this name: a device that is not the empty one.
pub(super) fn refuse_device(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(found) => {
            let kind = found.file_type();
            let is_device = kind.is_block_device() || kind.is_char_device() && !is_null(&found);
            if is_device { Err(io::Error::other(NotRegular)) } else { Ok(()) }
        }
        // The open says why.
        Err(_) => Ok(()),
    }
}

/// Whether what has this name is there, and no regular file.
pub(super) fn is_of_another_type(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// Whether it is /dev/null, the empty file.
fn is_null(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == libc::makedev(1, 3)
}

/// What has the name is a FIFO, a device or a socket.
#[derive(Debug)]
struct NotRegular;

impl fmt::Display for NotRegular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is no regular file; write the content into one and name that")
    }
}

impl std::error::Error for NotRegular {}

/// A file has more than [`MOST_BYTES`].
#[derive(Debug)]
struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "has more than {} MiB, which is the most that is read; name another file", MOST_BYTES >> 20)
    }
}

impl std::error::Error for TooLong {}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let place = tempfile::tempdir().expect("a folder");
        let path = |name: &str| place.path().join(name);
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        std::os::unix::fs::symlink("/dev/zero", path("link")).expect("a link");
        for name in ["fifo", "link", "/dev/zero", "/dev/full"] {
            let error = read(&path(name)).expect_err(name).to_string();
            assert!(error.contains("is no regular file"), "{name}: {error}");
        }
        for (name, refused) in [("fifo", false), ("none", false), ("/dev/null", false), ("link", true)] {
            assert_eq!(refuse_device(&path(name)).is_err(), refused, "{name}");
        }
        assert_eq!(read(place.path()).expect_err("a directory").kind(), io::ErrorKind::IsADirectory);
        assert_eq!(read(&path("none")).expect_err("none").kind(), io::ErrorKind::NotFound);
        assert_eq!(read(Path::new("/dev/null")).expect("empty"), b"");
    }

    #[test]
    fn a_file_is_read_up_to_a_length() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("file");
        std::fs::write(&path, "text").expect("written");
        assert_eq!(read(&path).expect("read"), b"text");
        File::options()
            .write(true)
            .open(&path)
            .expect("it is there")
            .set_len(MOST_BYTES + 1)
            .expect("a hole");
        assert!(read(&path).expect_err("too long").to_string().contains("1024 MiB"));
    }

    /// As with `<(…)`: the writer may be slow, so that nothing is there at first.
    #[test]
    fn a_pipe_of_the_shell_is_read_to_its_end() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let slow = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            writer.write_all(b"text").expect("written");
        });
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        assert_eq!(read(Path::new(&path)).expect("read"), b"text");
        slow.join().expect("it wrote");
    }
}
