//! PID 1: signals, reaping, the terminal, the end of the container. It knows nothing of seccomp.

#![forbid(unsafe_code)]

pub mod descendants;
pub mod event_loop;
pub mod log_dialect;
pub mod pid_file;
pub mod request;
pub mod state;
pub mod tracees;
