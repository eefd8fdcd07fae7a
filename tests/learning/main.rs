//! Learning runs of real programs in real containers: what is in the journal, and that
//! the profile which `remit build` makes of it lets the same run pass without a violation.

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

mod bad_input;
mod runs;
mod serving;
mod study;
mod troubles;
