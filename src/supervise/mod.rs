//! What stays as PID 1: the loop that waits, forwards and reaps, and the worker
//! that answers notified calls.

pub mod caller;
pub mod descendants;
pub mod families;
pub mod judge;
pub mod resolve;
pub mod run;
pub mod state;
pub mod verdict;
