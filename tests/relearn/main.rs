//! What was learned in one container is enforced in another: no denial, no event, the same output and
//! exit code. The two have no process number, no host name and no order of start in common.

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod support;

mod commands;
mod fresh;
mod processes;
