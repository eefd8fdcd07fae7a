//! The end of start-up: sd_notify(3), sockets that listen, a delay.

pub mod listening;
pub mod notify_socket;
pub mod startup;
