//! Why no plan can be made.

use std::path::Path;
use std::{fmt, io};

use crate::image::{FileInfo, why};

/// A profile that cannot be honoured in this place, said in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// JSON Pointer of the entry that cannot be honoured; empty where the place
    /// and not the profile is at fault.
    pub pointer: String,
    /// What is wrong, and what to do.
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

/// The result of a lookup in the image, with its failure as an error at `pointer`.
pub(super) fn seen(
    look: io::Result<Option<FileInfo>>,
    path: &Path,
    pointer: &str,
) -> Result<Option<FileInfo>, PlanError> {
    look.map_err(|error| {
        PlanError::at(pointer, format!("cannot look at `{}`: {}", path.display(), why(&error)))
    })
}
