//! `remit completions`: the words of the command line, for a shell.

use std::io::{self, Write};

use clap_complete::Shell;

use super::{ToolError, VerbOutput, VerbResult};

/// The arguments of `remit completions`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  remit completions bash > remit.bash

Exit codes: 0 printed, 2 bad input.")]
pub(super) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(arguments: &CompletionsArguments, mut command: clap::Command) -> VerbResult {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "remit", &mut script);
    // A script is for a shell, and may have tabs.
    let mut out = io::stdout().lock();
    match out.write_all(&script).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(ToolError::Write { path: "stdout".into(), error })
        }
        _ => VerbOutput::success(""),
    }
}
