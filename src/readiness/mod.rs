//! The end of start-up: sd_notify(3), sockets that listen, a delay.

#![forbid(unsafe_code)]

pub mod listening;
pub mod notify_socket;
pub mod startup;
