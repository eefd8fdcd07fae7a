//! What can fail before events are written: how they are asked for, and where they go.

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;

use nix::errno::Errno;

/// A setting of events that is none: the text that stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingError {
    /// Of `REMIT_EVENTS_LEVEL`.
    Level(String),
    /// Of `REMIT_EVENTS_ARGS`.
    Redaction(String),
    /// A destination `fd:N` without a number.
    Descriptor(String),
    /// A destination `unix:PATH` whose path is relative or too long.
    Socket(String),
    /// A destination of no known form.
    Destination(String),
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingError::Level(text) => {
                write!(f, "REMIT_EVENTS_LEVEL: `{text}` is not a level; expected violation or all")
            }
            SettingError::Redaction(text) => {
                write!(f, "REMIT_EVENTS_ARGS: `{text}` is not known; expected full, none or default")
            }
            SettingError::Descriptor(text) => {
                write!(f, "events: `{text}` names no descriptor; expected fd: and a number, as fd:3")
            }
            SettingError::Socket(text) => write!(
                f,
                "events: `{text}` names no socket; expected unix: and an absolute path of at most 107 bytes"
            ),
            SettingError::Destination(text) => write!(
                f,
                "events: `{text}` is no destination; expected stderr, a path with a slash in it, fd:N or \
                 unix:PATH"
            ),
        }
    }
}

impl std::error::Error for SettingError {}

/// Why a destination cannot be opened: one line, which says what to do.
#[derive(Debug)]
pub enum SinkError {
    /// Descriptor 2 cannot be copied.
    Stderr(io::Error),
    /// A descriptor that was inherited cannot be copied or examined.
    Descriptor {
        /// The number of the descriptor.
        number: RawFd,
        /// Why.
        error: io::Error,
    },
    /// A descriptor that was inherited is open for reading only: its number.
    ReadOnly(RawFd),
    /// A socket cannot be connected to.
    Connect {
        /// The path of the destination.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A path is a directory.
    Directory {
        /// The path.
        path: PathBuf,
        /// The error of open(2).
        error: io::Error,
    },
    /// A file cannot be opened for appending.
    Open {
        /// The path of the destination.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file cannot be examined.
    Examine {
        /// The path of the destination.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A path is a block device.
    BlockDevice(PathBuf),
    /// Waiting for a file cannot be switched on.
    Blocking {
        /// The path of the destination.
        path: PathBuf,
        /// The error of fcntl(2).
        errno: Errno,
    },
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("events: ")?;
        match self {
            SinkError::Stderr(error) => {
                let cause = cause(error);
                write!(f, "stderr cannot be written: {cause}; leave descriptor 2 open or name a file")
            }
            SinkError::Descriptor { number, error } => not_written(*number, &cause(error), f),
            SinkError::ReadOnly(number) => not_written(*number, "it is open for reading only", f),
            SinkError::Connect { path, error } => write!(
                f,
                "cannot connect to the socket {}: {}; start its listener first, or name another destination",
                path.display(),
                cause(error)
            ),
            SinkError::Directory { path, error } => {
                not_opened(path, error, "it is a directory; name a file in it", f)
            }
            SinkError::Open { path, error } => not_opened(path, error, advice(error), f),
            SinkError::Examine { path, error } => write!(f, "cannot examine {}: {error}", path.display()),
            SinkError::BlockDevice(path) => write!(f, "{} is a block device; name a file", path.display()),
            SinkError::Blocking { path, errno } => {
                write!(f, "cannot make {} blocking: {errno}", path.display())
            }
        }
    }
}

impl std::error::Error for SinkError {}

fn not_written(number: RawFd, cause: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "descriptor {number} cannot be written: {cause}; start remit-init with it open for writing, as in \
         {number}>FILE"
    )
}

fn not_opened(
    path: &std::path::Path,
    error: &io::Error,
    advice: &str,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    write!(f, "cannot open {} for appending: {}; {advice}", path.display(), cause(error))
}

fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENXIO) => {
            "it is a FIFO without a reader, or a socket; start its reader first (unix:PATH is for sockets)"
        }
        Some(Errno::ENOENT) => "its directory is not there; create or mount that",
        Some(Errno::EACCES | Errno::EPERM) => {
            "give this user the right to write it, or name another destination"
        }
        Some(Errno::EROFS) => "the file system is read-only; mount a writable volume there, or use stderr",
        _ => "name another destination",
    }
}

/// The errno's own words, without the number that std puts behind them.
fn cause(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_owned())
}

/// Why diagnostics cannot be written: one line.
#[derive(Debug)]
pub enum LogError {
    /// Descriptor 2 cannot be copied.
    Stderr(io::Error),
    /// There is a subscriber already.
    Installed,
    /// Descriptor 2 cannot be written by a thread of its own.
    Sink(SinkError),
    /// A thread writes already.
    InBackground,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Stderr(error) => {
                write!(f, "log: stderr cannot be written: {error}; leave descriptor 2 open")
            }
            LogError::Installed => {
                f.write_str("log: diagnostics have been installed before; install them once")
            }
            LogError::Sink(error) => error.fmt(f),
            LogError::InBackground => f.write_str("log: it is in the background already; ask once"),
        }
    }
}

impl std::error::Error for LogError {}
