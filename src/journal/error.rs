//! Why a run has no journal.

use std::fmt;
use std::path::PathBuf;

use nix::errno::Errno;

/// Why a journal cannot be created. Displayed as one line, with the advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalError {
    /// The directory, or a file in it, cannot be created or written.
    Directory {
        /// The directory of journals.
        path: PathBuf,
        /// The errno of mkdir(2), open(2) or write(2).
        errno: Errno,
    },
    /// Descriptor 2 cannot be duplicated: it is closed.
    Stderr(Errno),
    /// Descriptor 2 cannot be written.
    WriteStderr(Errno),
    /// getrandom(2) failed.
    Random(Errno),
    /// The thread that writes cannot be started.
    Thread(Errno),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("learning: ")?;
        match self {
            JournalError::Directory { path, errno } => {
                let (path, why, advice) = (path.display(), errno.desc(), advice(*errno));
                write!(f, "a journal cannot be written into {path}: {why}; {advice}")
            }
            JournalError::Stderr(errno) => write!(f, "stderr: {errno}; name a directory"),
            JournalError::WriteStderr(errno) => {
                write!(f, "stderr cannot be written: {errno}; name a directory")
            }
            JournalError::Random(errno) => write!(f, "getrandom: {errno}"),
            JournalError::Thread(errno) => write!(f, "a thread: {errno}"),
        }
    }
}

impl std::error::Error for JournalError {}

/// What to do about a directory that cannot be written.
fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT => "mount a volume there, or name another with --learn-dir (`-` writes to stderr)",
        Errno::ENOTDIR => "name a directory with --learn-dir (`-` writes to stderr)",
        Errno::EACCES | Errno::EPERM => {
            "let the user that starts remit-init write there, or name another with --learn-dir (`-` writes to stderr)"
        }
        Errno::EROFS => {
            "mount a writable volume there, or name another with --learn-dir (`-` writes to stderr)"
        }
        Errno::ENOSPC | Errno::EDQUOT => {
            "make room there, or name another with --learn-dir (`-` writes to stderr)"
        }
        _ => "name another with --learn-dir (`-` writes to stderr)",
    }
}
