//! Builds a profile from journals: what runs did, generalised by class, with the evidence for every
//! line and the confidence in it.
//!
//! [`journal`] reads runs into [`Observations`], a set that can be joined with others in
//! any order; [`build()`] makes the profile of them; [`mod@evidence`] is the file beside
//! it, from which the observations are read back; [`confidence`] says what the next run
//! may meet, and [`amend`] turns the hints of events into a proposed profile. All of it
//! is pure, and the shim links none of it.

#![forbid(unsafe_code)]

pub mod amend;
mod build;
mod calls;
pub mod changes;
mod completion;
mod compose;
pub mod confidence;
pub mod curve;
mod error;
pub mod estimate;
pub mod evidence;
mod fact;
mod files;
mod grants;
pub mod journal;
pub mod libraries;
mod network;
mod observations;
mod runs;
pub mod volatile;

pub use build::{Learned, Reason, Wanted, build, by_pointer};
pub use completion::complete;
pub use compose::{Decided, compose};
pub use confidence::{Confidence, confidence};
pub use error::{InputFault, UncleanRun, Unusable};
pub use fact::{Did, EXAMPLES, Fact, Mount, Name, Seen};
pub use files::NEVER as NEVER_GRANTED;
pub use grants::{Grant, add, grants, keys, remove};
pub use network::NSCD;
pub use observations::Observations;
pub use runs::Runs;
