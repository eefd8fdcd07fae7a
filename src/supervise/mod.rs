//! What stays as PID 1: the loop that waits, forwards and reaps, and the worker
//! that answers notified calls.

pub mod caller;
pub mod resolve;
pub mod state;
