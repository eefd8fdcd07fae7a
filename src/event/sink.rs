//! Where events go: the destination of `--events`, and its open descriptor.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::error::{SettingError, SinkError};

/// `--events DEST` or `REMIT_EVENTS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Descriptor 2, which the app shares.
    Stderr,
    /// A file that events are appended to; it is created if it is missing.
    File(PathBuf),
    /// A descriptor that remit was started with.
    Fd(RawFd),
    /// A listening unix stream socket.
    Unix(PathBuf),
}

/// The level of events that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Violations, lost events, and abnormal starts, execs, exits and stops ([`Event::matters`]).
    ///
    /// [`Event::matters`]: super::Event::matters
    Violation,
    /// All events.
    All,
}

impl Level {
    /// Reads `REMIT_EVENTS_LEVEL`.
    ///
    /// # Errors
    /// The text is neither of the two words.
    pub fn parse(text: &str) -> Result<Level, SettingError> {
        match text {
            "violation" => Ok(Level::Violation),
            "all" => Ok(Level::All),
            other => Err(SettingError::Level(other.to_owned())),
        }
    }
}

impl Destination {
    /// Reads `stderr`, a path, `fd:N` or `unix:PATH`.
    ///
    /// # Errors
    /// The text has none of these forms.
    pub fn parse(text: &OsStr) -> Result<Destination, SettingError> {
        let bytes = text.as_bytes();
        let shown = || text.to_string_lossy().into_owned();
        if bytes == b"stderr" {
            return Ok(Destination::Stderr);
        }
        if let Some(number) = bytes.strip_prefix(b"fd:") {
            let number = str::from_utf8(number).ok().filter(|n| n.bytes().all(|c| c.is_ascii_digit()));
            let number = number.and_then(|number| number.parse().ok()).map(Destination::Fd);
            return number.ok_or_else(|| SettingError::Descriptor(shown()));
        }
        if let Some(path) = bytes.strip_prefix(b"unix:") {
            let path = PathBuf::from(OsStr::from_bytes(path));
            // sockaddr_un has room for 108 bytes with the last one zero.
            return if path.is_absolute() && path.as_os_str().len() < 108 {
                Ok(Destination::Unix(path))
            } else {
                Err(SettingError::Socket(shown()))
            };
        }
        // `err` or `stdout` would otherwise become a file of that name.
        if !bytes.contains(&b'/') {
            return Err(SettingError::Destination(shown()));
        }
        Ok(Destination::File(PathBuf::from(text)))
    }

    /// The level unless one is set: [`Level::Violation`] on stderr, which people read.
    pub fn default_level(&self) -> Level {
        if *self == Destination::Stderr { Level::Violation } else { Level::All }
    }

    /// The path that the app must not be able to write or replace.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Destination::File(path) | Destination::Unix(path) => Some(path),
            Destination::Stderr | Destination::Fd(_) => None,
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Stderr => f.write_str("stderr"),
            Destination::File(path) => write!(f, "{}", path.display()),
            Destination::Fd(number) => write!(f, "fd:{number}"),
            Destination::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The operations that the writer needs of a sink.
pub(super) trait Outlet: Send + 'static {
    /// Writes once, repeated where a signal interrupts it, and returns the number of bytes. It
    /// waits where the descriptor is non-blocking: the app may have set that on descriptor 2.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether it was inherited, so that it cannot be opened again.
    fn is_inherited(&self) -> bool;

    /// Reconnects after the error `broken`, where that can help. `Ok(true)`: a line that was
    /// written in part is lost with the old connection, and has to be written again.
    fn revive(&mut self, broken: &io::Error) -> io::Result<bool>;
}

/// An open destination. Only one thread writes to it, and may block there.
#[derive(Debug)]
pub struct Sink {
    file: File,
    destination: Destination,
}

impl Sink {
    /// Opens it. `duplicate` makes a close-on-exec copy of an inherited descriptor above 2.
    ///
    /// # Errors
    /// What could not be opened, and why.
    pub fn open(
        destination: &Destination,
        duplicate: impl FnOnce(RawFd) -> io::Result<OwnedFd>,
    ) -> Result<Sink, SinkError> {
        let file = match destination {
            // Not through std's handle: its lock would be held while a write hangs.
            Destination::Stderr => {
                io::stderr().as_fd().try_clone_to_owned().map(File::from).map_err(SinkError::Stderr)
            }
            Destination::Fd(number) => descriptor(*number, duplicate),
            Destination::File(path) => regular(path),
            Destination::Unix(path) => {
                connect(path).map_err(|error| SinkError::Connect { path: path.clone(), error })
            }
        }?;
        Ok(Sink { file, destination: destination.clone() })
    }
}

impl Outlet for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.file.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut waits = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
                    match poll(&mut waits, PollTimeout::NONE) {
                        Ok(_) | Err(Errno::EINTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                result => return result,
            }
        }
    }

    fn is_inherited(&self) -> bool {
        matches!(self.destination, Destination::Stderr | Destination::Fd(_))
    }

    fn revive(&mut self, broken: &io::Error) -> io::Result<bool> {
        if !lost_connection(broken) {
            return Ok(false);
        }
        if let Destination::Unix(path) = &self.destination {
            self.file = connect(path)?;
        }
        Ok(true)
    }
}

/// Whether the error means that the other end is gone.
pub(super) fn lost_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
            | ErrorKind::ConnectionRefused
            | ErrorKind::NotFound
    )
}

fn descriptor(
    number: RawFd,
    duplicate: impl FnOnce(RawFd) -> io::Result<OwnedFd>,
) -> Result<File, SinkError> {
    let unwritable = |error| SinkError::Descriptor { number, error };
    let file = match number {
        0 => io::stdin().as_fd().try_clone_to_owned(),
        1 => io::stdout().as_fd().try_clone_to_owned(),
        2 => io::stderr().as_fd().try_clone_to_owned(),
        _ => duplicate(number),
    };
    let file = file.map(File::from).map_err(unwritable)?;
    let flags = fcntl(&file, FcntlArg::F_GETFL).map_err(|errno| unwritable(errno.into()))?;
    if OFlag::from_bits_retain(flags) & OFlag::O_ACCMODE == OFlag::O_RDONLY {
        return Err(SinkError::ReadOnly(number));
    }
    Ok(file)
}

fn regular(path: &Path) -> Result<File, SinkError> {
    let name = || path.to_owned();
    // Non-blocking only while it is opened: a FIFO without a reader must not block
    // the start of the container.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened =
        OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags.bits()).open(path);
    let file = opened.map_err(|error| match path.is_dir() {
        true => SinkError::Directory { path: name(), error },
        false => SinkError::Open { path: name(), error },
    })?;
    let kind = file.metadata().map_err(|error| SinkError::Examine { path: name(), error })?.file_type();
    if kind.is_block_device() {
        return Err(SinkError::BlockDevice(name()));
    }
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))
        .map_err(|errno| SinkError::Blocking { path: name(), errno })?;
    Ok(file)
}

fn connect(path: &Path) -> io::Result<File> {
    UnixStream::connect(path).map(|stream| File::from(OwnedFd::from(stream)))
}

#[cfg(test)]
mod tests;
