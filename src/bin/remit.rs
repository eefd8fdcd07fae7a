//! `remit`: shows what a profile will do, before anything runs.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(remit::tool::run(std::env::args_os()))
}
