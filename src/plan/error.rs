//! The error of a profile for which no plan can be made.

use std::path::Path;
use std::{fmt, io};

use crate::image::{FileInfo, why};

/// A profile that cannot be enforced on this host, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// JSON Pointer of the entry that cannot be enforced; empty where the host and not the profile is
    /// the cause.
    pub pointer: String,
    /// The cause, and what to do about it.
    pub text: String,
}

impl PlanError {
    /// An error at an entry of the profile.
    pub(super) fn at(pointer: impl Into<String>, text: impl Into<String>) -> PlanError {
        PlanError { pointer: pointer.into(), text: text.into() }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.text)
    }
}

impl std::error::Error for PlanError {}

/// The result of a lookup in the image; a failure becomes an error at `pointer`.
pub(super) fn seen(
    look: io::Result<Option<FileInfo>>,
    path: &Path,
    pointer: &str,
) -> Result<Option<FileInfo>, PlanError> {
    look.map_err(|error| {
        PlanError::at(pointer, format!("cannot look at `{}`: {}", path.display(), why(&error)))
    })
}
