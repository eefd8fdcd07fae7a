//! Why a check or an approval has no answer.

use std::fmt;
use std::path::PathBuf;

use crate::gate::ImageFault;
use crate::image::why;
use crate::profile::ReadError;

/// Why a check has no answer: one line.
#[derive(Debug)]
pub(in crate::tool) enum CheckError {
    /// A file that a person writes is none of its format.
    Format { path: PathBuf, error: ReadError },
    /// `--require` has neither a tier nor a file.
    NoRequirements { word: String, error: std::io::Error },
    /// An item of `--output` has no format that is known.
    NoFormat { item: String, nearest: Option<&'static str> },
    /// An item of `--output` has no file.
    NoTarget(String),
    /// Two items of `--output` have one file.
    SameTarget(PathBuf),
    /// A file of `--output` is a directory.
    IsDirectory(PathBuf),
    /// A directory of `--run` holds no run.
    NoRuns(PathBuf),
    /// `--reach image` without an image.
    NoImage,
    /// The image is for a machine or system that remit does not know.
    Platform { image: String, os: String, architecture: String },
    /// A file of the image cannot be looked at.
    Image(ImageFault),
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckError::Format { path, error } => write!(f, "{}:{error}", path.display()),
            CheckError::NoRequirements { word, error } => write!(
                f,
                "--require {word}: {}; expected minimal, elevated, regulated or a requirements file (remit check \
                 --print-tier elevated prints one)",
                why(error)
            ),
            CheckError::NoFormat { item, nearest } => {
                write!(f, "--output {item}: is no format; ")?;
                match nearest {
                    Some(nearest) => write!(f, "did you mean {nearest}?"),
                    None => f.write_str("expected text, github, sarif, json, markdown or junit, with =FILE"),
                }
            }
            CheckError::NoTarget(item) => {
                write!(f, "--output {item}: names no file; expected a file, or - for stdout")
            }
            CheckError::SameTarget(path) => {
                write!(
                    f,
                    "--output: two formats would be written to {}; name a file for each",
                    path.display()
                )
            }
            CheckError::IsDirectory(path) => {
                write!(f, "--output: {} is a directory; name a file", path.display())
            }
            CheckError::NoRuns(path) => {
                write!(f, "--run {}: holds no journal and no event file (*.jsonl)", path.display())
            }
            CheckError::NoImage => {
                f.write_str("--reach image: no image is named; name it with --image, or a file for --reach")
            }
            CheckError::Platform { image, os, architecture } => write!(
                f,
                "--image {image}: its config has os {os:?} and architecture {architecture:?}; expected \"linux\", and \"amd64\" \
                 or \"arm64\""
            ),
            CheckError::Image(fault) => {
                write!(f, "--image: {} in the image: {}", fault.path.display(), why(&fault.error))
            }
        }
    }
}
