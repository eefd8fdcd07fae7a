//! `remit amend`: from the hints of violations to a proposed profile.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use serde_json::json;

use super::build::{profile_file, put};
use super::{Answer, Format, Said};
use crate::learn::amend::Amendment;

/// The arguments of `remit amend`.
#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 proposed, also where nothing is to be added, 2 bad input.")]
pub(super) struct Arguments {
    /// The profile that was in force
    profile: PathBuf,
    /// Event files, or a container's stderr with them
    #[arg(required = true, value_name = "EVENTS")]
    events: Vec<PathBuf>,
    /// The proposal to write; the profile itself is never changed
    #[arg(short = 'o', long, value_name = "NEW")]
    output: PathBuf,
    /// How to print the difference
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Answer {
    let document = profile_file(&arguments.profile)?;
    let same = |path: &PathBuf| path.canonicalize().ok();
    if same(&arguments.output).is_some_and(|path| Some(path) == same(&arguments.profile)) {
        return Err(format!(
            "{}: is the profile itself; a proposal is a file of its own, to be looked at first",
            arguments.output.display()
        ));
    }
    let mut amendment = Amendment::of(&document);
    for path in &arguments.events {
        let name = path.display().to_string();
        let failed = |error: std::io::Error| format!("{name}: {}", crate::image::why(&error));
        let input = BufReader::new(File::open(path).map_err(failed)?);
        amendment.take(&name, input).map_err(|error| error.to_string())?;
    }
    let found = amendment.finish().map_err(|error| error.to_string())?;
    put(&arguments.output, &found.text)?;
    let output = arguments.output.display().to_string();
    if arguments.format == Format::Json {
        let answer = json!({
            "proposed": output,
            "hints": found.hints,
            "added": found.added,
            "left_out": found.left_out,
        });
        return Said::yes(answer.to_string());
    }
    let mut text = match found.added.len() {
        0 => format!("{output}: nothing to add\n"),
        _ => format!("{output}: a proposal, of {} hints\n", found.hints),
    };
    for line in &found.added {
        text.push_str(&format!("+ {line}\n"));
    }
    for line in &found.left_out {
        text.push_str(&format!("left out: {line}\n"));
    }
    Said::yes(text)
}
