//! `remit`: shows what a profile will do, before anything runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(remit::tool::run(std::env::args_os()))
}
