//! Why a text is not converted.

use std::fmt;
use std::path::PathBuf;
use std::str::Utf8Error;

use super::MAX_BYTES;
use crate::profile::ReadError;

/// The error of a conversion. Displays as one line; the caller puts the name of the file and a colon
/// in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConversionError {
    /// The text has more than [`MAX_BYTES`] bytes.
    TooLong(usize),
    /// The text is not UTF-8.
    NotUtf8(Utf8Error),
    /// The text is empty.
    Empty {
        /// What is expected in it.
        expected: &'static str,
    },
    /// The text is not of the format, and what was found or is expected.
    NotFormat {
        /// What it would have to be, such as `YAML that can be read`.
        format: &'static str,
        /// What the reader says, and where.
        why: String,
    },
    /// A rule of an AppArmor profile is not as apparmor.d(5) has it.
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// A value is not as the format has it, or not one that a profile can express.
    Value {
        /// JSON Pointer of the value; empty for the whole document.
        pointer: String,
        /// What it is, and what was expected.
        what: String,
    },
    /// None or several of what is converted are there, and none is named, or one that is not there.
    NotOne {
        /// JSON Pointer of where they would be; empty for the whole document.
        pointer: &'static str,
        /// What they are: `container`, `profile`. The option that names one is called the same.
        what: &'static str,
        /// The name that the option has.
        wanted: Option<String>,
        /// Those that are there.
        names: Vec<String>,
    },
    /// No program is COMMAND's; these are known.
    NoCommand(Vec<PathBuf>),
    /// Several programs may be COMMAND.
    SeveralCommands,
    /// A profile has more bytes than a ConfigMap takes.
    TooLongForConfigMap {
        /// Its bytes.
        bytes: usize,
        /// The bytes of a ConfigMap.
        most: usize,
    },
    /// A text is no name of a Kubernetes object (RFC 1123, a subdomain).
    ObjectName(String),
    /// The value of an option is not of its form.
    Option {
        /// The option.
        flag: &'static str,
        /// The value, and what was expected.
        what: String,
    },
    /// The result is no profile that can be read.
    NotProfile(ReadError),
}

impl ConversionError {
    /// A value at a place of the document.
    pub(super) fn value(pointer: impl Into<String>, what: impl Into<String>) -> ConversionError {
        ConversionError::Value { pointer: pointer.into(), what: what.into() }
    }
}

impl fmt::Display for ConversionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConversionError::TooLong(bytes) => write!(f, "has {bytes} bytes; at most {MAX_BYTES} are read"),
            ConversionError::NotUtf8(error) => write!(f, "is not UTF-8: {error}"),
            ConversionError::Empty { expected } => write!(f, "is empty; expected {expected}"),
            ConversionError::NotFormat { format, why } => write!(f, "is no {format}: {why}"),
            ConversionError::Syntax { line, what } => write!(f, "line {line}: {what}"),
            ConversionError::Value { pointer, what } => {
                let at = if pointer.is_empty() { "" } else { ": " };
                write!(f, "{pointer}{at}{what}")
            }
            ConversionError::NotOne { pointer, what, wanted, names } => {
                let at = if pointer.is_empty() { "" } else { ": " };
                match wanted {
                    _ if names.is_empty() => write!(f, "{pointer}{at}has no {what}"),
                    Some(name) => {
                        write!(f, "{pointer}{at}has no {what} {name:?}; it has {}", names.join(", "))
                    }
                    None => {
                        write!(
                            f,
                            "{pointer}{at}has several {what}s; name one by --{what}: {}",
                            names.join(", ")
                        )
                    }
                }
            }
            ConversionError::NoCommand(programs) => match programs.first() {
                None => {
                    f.write_str("names no program; name the one that the container starts by --entry PATH")
                }
                Some(one) => write!(
                    f,
                    "does not say which program the container starts; name it by --entry PATH, such as {}",
                    one.display()
                ),
            },
            ConversionError::SeveralCommands => {
                f.write_str("has several programs that may be COMMAND; name it and its arguments after --")
            }
            ConversionError::TooLongForConfigMap { bytes, most } => write!(
                f,
                "the profile has {bytes} bytes, and a ConfigMap at most {most}; put it into the image"
            ),
            ConversionError::ObjectName(name) => write!(
                f,
                "{name:?} is no name in Kubernetes; expected a-z, 0-9, \"-\" and \".\", give another by --name"
            ),
            ConversionError::Option { flag, what } => write!(f, "{flag}: {what}"),
            ConversionError::NotProfile(error) => write!(f, "does not make a profile: {error}"),
        }
    }
}

impl std::error::Error for ConversionError {}
