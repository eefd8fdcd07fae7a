//! The irreversible part: look at this place, prepare everything that can fail,
//! fork, and perform the plan's steps in the child.

#![forbid(unsafe_code)]

pub mod examine;
mod hand_over;
pub mod launch;
pub mod place;
pub mod probe;
pub mod source;
mod threads;
pub mod traced;
