//! Servers as their official images start them: the entrypoint script, the change of user, the
//! init before it. Each is run free and under `baseline`, side by side: a client's real
//! work, a reload, a stop and a restart give the same output and the same exit code, and
//! there is no violation. docs/servers.md has the table, the rows that fail first.
//!
//! All share one root, which `.ci/servers` makes of Debian's packages, and the files of
//! `root` beside this file.

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod support;

mod compare;
mod container;
mod docs;
mod image;
mod profiles;
mod rows;
mod server;
mod stops;
