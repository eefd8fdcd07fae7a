//! What stays as PID 1: the loop that waits, forwards and reaps, and the worker
//! that answers notified calls.

#![forbid(unsafe_code)]

pub mod asked;
pub mod caller;
pub mod descendants;
pub mod families;
pub mod forks;
pub mod handed;
pub mod held;
pub mod inodes;
pub mod judge;
pub mod kept;
pub mod listener;
pub mod listening;
pub mod maps;
pub mod notify;
pub mod reach;
pub mod ready;
pub mod record;
pub mod resolve;
pub mod run;
pub mod state;
pub mod trace;
pub mod verdict;
pub mod voice;
