//! The notification server and its parts: receiving a notified call, identifying the caller,
//! decoding its arguments, resolving its path (seccomp_unotify(2)).

#![forbid(unsafe_code)]

pub mod caller;
pub mod capabilities;
pub mod handed;
pub mod image;
pub mod listener;
pub mod maps;
pub mod memory_cache;
pub mod path_resolver;
pub mod reopen;
pub mod resolve;
pub mod server;
pub mod settled;
pub mod stream;
pub mod syscall_args;
pub mod unreadable;
