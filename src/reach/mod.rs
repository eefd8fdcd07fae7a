//! `remit reach`: which system calls a program can make, by its machine code alone.
//!
//! An [`object`] is the ELF file as bytes; [`code`] decodes instructions; [`function`] looks at one
//! function, with the [`values`] of registers; [`graph`] has the calls between functions, [`query`] the
//! constants that callers pass; [`process`] loads what a program links and opens, through
//! [`libraries::FileSource`], so that all of it works on bytes. The answer is a [`Reach`]: more than the
//! program makes, never less, with its gaps named.

#![forbid(unsafe_code)]

mod calls;
pub mod code;
pub mod compare;
pub mod completion;
pub mod dangerous;
pub mod function;
pub mod graph;
mod interpreters;
pub mod libraries;
pub mod object;
mod print;
mod process;
pub mod query;
mod read;
mod report;
#[cfg(test)]
mod samples;
pub mod values;

use std::path::{Path, PathBuf};

pub use process::ReachError;
pub use read::{MOST_FILE_BYTES, ReachFileFault};
pub use report::{GapKind, ObjectSummary, Reach, ReachGap, ReachableCall};

use libraries::FileSource;

/// The system calls that a program can make, with the loader and the libraries that it links or may
/// open. `libraries` are more files that it may map.
///
/// # Errors
/// The program, its loader or a library cannot be read, or is nothing that can be analysed.
pub fn analyse(files: &dyn FileSource, program: &Path, libraries: &[PathBuf]) -> Result<Reach, ReachError> {
    let mut process = process::LoadedProcess::load(files, program)?;
    process.follow(libraries)?;
    Ok(calls::reach(process))
}

#[cfg(test)]
mod tests;
