//! The formats of other tools: profiles written for a container runtime and for Kubernetes, and
//! profiles of other tools read. All of it is pure: text in, text out.
//!
//! A conversion never grants in silence what its source did not: what the result lacks, or has wider,
//! is an [`Omission`], and a remark that concerns no grant is a note.

#![forbid(unsafe_code)]

pub mod apparmor;
mod arguments;
mod error;
pub mod imported;
pub mod kubernetes;
pub mod kubescape;
pub mod oci;
pub mod runtime;
pub mod seccomp;
pub mod spo;
pub mod superset;
mod yaml;

use std::fmt;

pub use error::ConversionError;

/// A part of the source that the result does not have as it was, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Omission {
    /// Where it is in the source: a JSON Pointer, or a line.
    pub place: String,
    /// What it is, and what became of it.
    pub what: String,
}

impl Omission {
    /// An omission at this place.
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Omission {
        Omission { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Omission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// The result of a conversion.
#[derive(Clone, Debug)]
pub struct Converted<T> {
    /// What came of it.
    pub result: T,
    /// What was not carried over, or only wider, in the order of the source.
    pub omissions: Vec<Omission>,
    /// Remarks that are no loss.
    pub notes: Vec<String>,
}

/// The greatest file that is read, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
