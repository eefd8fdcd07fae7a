//! Where a journal is written: a new file in a directory, or stderr.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::JournalError;
use super::line_writer::{JournalOutput, Stderr};
use crate::sys;

/// The directory of journals where the option names none.
pub const DEFAULT: &str = "/var/lib/remit";

/// Where a journal is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalDestination {
    /// A new file in this directory.
    Directory(PathBuf),
    /// Descriptor 2, where the container's log is collected.
    Stderr,
}

impl JournalDestination {
    /// Creates the directory with mode 0700 where its parent exists: a journal has the arguments of
    /// programs.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn prepare(&self) -> Result<(), JournalError> {
        let JournalDestination::Directory(directory) = self else { return Ok(()) };
        match DirBuilder::new().mode(0o700).create(directory) {
            // If it exists and is no directory, opening the journal reports that.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(cannot(directory, &error)),
            _ => Ok(()),
        }
    }

    /// Opens a journal for a run of `command`. Returns the run's name and the output.
    ///
    /// # Errors
    /// Neither a file in the directory nor stderr can be opened, or there are no random numbers.
    pub(super) fn open(&self, command: &str) -> Result<(String, Box<dyn JournalOutput>), JournalError> {
        /// The number of names tried until one does not exist.
        const NAMES: u32 = 17;
        let stem = stem(command);
        let mut drawn = 0;
        loop {
            let run = format!("{stem}-{}-{}", compact(SystemTime::now()), random()?);
            let JournalDestination::Directory(directory) = self else {
                return Ok((run, Box::new(Stderr::open()?)));
            };
            drawn += 1;
            match new_file(directory, &run) {
                Ok(file) => return Ok((run, Box::new(file))),
                // Another replica uses this name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && drawn < NAMES => {}
                Err(error) => return Err(cannot(directory, &error)),
            }
        }
    }

    /// The error where the first line cannot be written.
    pub(super) fn unwritable(&self, error: &io::Error) -> JournalError {
        match self {
            JournalDestination::Stderr => JournalError::WriteStderr(sys::errno(error)),
            JournalDestination::Directory(directory) => cannot(directory, error),
        }
    }
}

/// Creates a new file, for appending.
fn new_file(directory: &Path, run: &str) -> io::Result<File> {
    let path = directory.join(format!("{run}.jsonl"));
    let file = File::options().append(true).create_new(true).mode(0o640).open(path)?;
    // fsync(2) of the directory makes the name survive a loss of power. If it fails, the journal is
    // written all the same.
    if let Err(error) = File::open(directory).and_then(|directory| directory.sync_all()) {
        tracing::debug!("learning: fsync of the directory: {}", sys::errno(&error));
    }
    Ok(file)
}

fn cannot(directory: &Path, error: &io::Error) -> JournalError {
    JournalError::Directory { path: directory.to_owned(), errno: sys::errno(error) }
}

/// COMMAND's base name with the characters that names of runs, files and profiles may have.
fn stem(command: &str) -> String {
    let name = command.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(allowed).take(64).collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() { "run".to_owned() } else { name.to_owned() }
}

/// A time in the form `20261122T100000Z`.
fn compact(time: SystemTime) -> String {
    let whole = crate::event::time::utc(time);
    let digits = whole.split('.').next().unwrap_or_default();
    format!("{}Z", digits.replace(['-', ':'], ""))
}

fn random() -> Result<String, JournalError> {
    let [number, ..] = sys::process::random().map_err(JournalError::Random)?;
    Ok(format!("{:08x}", number as u32))
}
