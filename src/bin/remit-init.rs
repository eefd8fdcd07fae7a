//! The shim: the container's ENTRYPOINT.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(remit::shim::main(std::env::args_os(), std::env::vars_os()))
}
