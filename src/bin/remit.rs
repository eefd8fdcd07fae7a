//! `remit`: shows what a profile will do, before anything runs.

use std::process::ExitCode;

use remit::kernel::{Arch, Kernel};

fn main() -> ExitCode {
    ExitCode::from(remit::tool::run(std::env::args_os(), &this_kernel))
}

/// This machine's kernel, as a stock one of its release would be.
fn this_kernel() -> Result<Kernel, String> {
    let path = "/proc/sys/kernel/osrelease";
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    Ok(Kernel::stock(text.trim().parse()?, Arch::THIS))
}
