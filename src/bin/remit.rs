//! `remit`: the tool that plans, learns, builds and verifies profiles.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(remit::tool::run(std::env::args_os()))
}
