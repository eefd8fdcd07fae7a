//! `remit man`: the manual pages, one of the tool and one of each verb.

use std::fs;
use std::path::PathBuf;

use clap_mangen::Man;

use super::staged::put;
use super::{ToolError, VerbOutput, VerbResult};

/// The arguments of `remit man`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  remit man man1

Exit codes: 0 written, 2 bad input.")]
pub(super) struct ManArguments {
    /// The directory to write them to, made where it is not there: man(1) finds those in a man1 of
    /// MANPATH
    directory: PathBuf,
}

pub(super) fn run(arguments: &ManArguments, mut command: clap::Command) -> VerbResult {
    let directory = &arguments.directory;
    command.build();
    let failed = |error| ToolError::Write { path: directory.clone(), error };
    fs::create_dir_all(directory)
        .map_err(|error| ToolError::NoDirectory { path: directory.clone(), error })?;
    for (name, text) in pages(&command).map_err(failed)? {
        put(&directory.join(name), &text)?;
    }
    VerbOutput::success("")
}

/// The pages of a command and of those below it, each with its file's name.
fn pages(command: &clap::Command) -> std::io::Result<Vec<(String, String)>> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render(&mut page)?;
    let mut pages = vec![(man.get_filename(), String::from_utf8_lossy(&page).into_owned())];
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        pages.extend(self::pages(verb)?);
    }
    Ok(pages)
}
