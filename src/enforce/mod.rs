//! The irreversible part: examine the environment, prepare everything that can fail, fork, and
//! perform the plan's steps in the child.

#![forbid(unsafe_code)]

pub mod births;
mod error;
pub mod examine;
pub mod host;
pub mod launch;
mod listener_handoff;
pub mod probe;
mod ruleset;
pub mod source;
mod threads;
pub mod traced;

pub use error::Error;
pub use ruleset::RulesetError;
