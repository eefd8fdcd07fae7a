//! `remit amend`: from the hints of violations to a proposed profile.

use std::io::BufReader;
use std::path::PathBuf;

use serde_json::json;

use super::build::profile_file;
use super::check::without_digest;
use super::staged::{StagedFile, refuse_inputs};
use super::{Format, ToolError, VerbOutput, VerbResult, named_file};
use crate::learn::amend::Amendment;
use crate::visible;

/// The arguments of `remit amend`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  remit amend profile.json events.jsonl -o proposal.json\n\nExit codes: 0 proposed, \
                        also where nothing is to be added, 2 bad input."
)]
pub(super) struct AmendArguments {
    /// The profile that was in force
    profile: PathBuf,
    /// Event files, or a container's stderr with them
    #[arg(required = true, value_name = "EVENTS")]
    events: Vec<PathBuf>,
    /// The proposal to write; the profile itself is never changed
    #[arg(short = 'o', long, value_name = "NEW")]
    output: PathBuf,
    /// Take only events with this nonce, which is in a start's first event; by default the one
    /// with which the log begins
    #[arg(long, value_name = "NONCE")]
    nonce: Vec<String>,
    /// How to print the difference
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// The most lines on hints that were left out.
const MOST_LEFT_OUT: usize = 100;

pub(super) fn run(arguments: &AmendArguments) -> VerbResult {
    let document = profile_file(&arguments.profile)?;
    let output = || [&*arguments.output];
    refuse_inputs(output(), [&*without_digest(&arguments.profile)])
        .map_err(|_| ToolError::Itself(arguments.output.clone()))?;
    refuse_inputs(output(), arguments.events.iter().map(PathBuf::as_path))?;
    let mut amendment = Amendment::of(&document, &arguments.nonce);
    for path in &arguments.events {
        let name = path.display().to_string();
        let opened = named_file::open(path).map_err(|error| ToolError::File { path: path.clone(), error })?;
        amendment.take(&name, BufReader::new(opened))?;
    }
    let found = amendment.finish()?;
    let proposal = StagedFile::write(&arguments.output, &found.text)?;
    let output = arguments.output.display().to_string();
    if arguments.format == Format::Json {
        let side = |added| -> Vec<&String> {
            found.changes.iter().filter(|one| one.is_added == added).map(|one| &one.what).collect()
        };
        let answer = json!({
            "proposed": output,
            "hints": found.hints,
            "added": side(true),
            "removed": side(false),
            "left_out": found.left_out,
            "notes": found.notes,
        });
        return Ok(VerbOutput::plain(answer.to_string(), 0).with([proposal]));
    }
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&visible::line(&line));
        text.push('\n');
    };
    line(match found.changes.len() {
        0 => format!("{output}: nothing to add"),
        _ => format!("{output}: a proposal, of {} hints", found.hints),
    });
    for change in &found.changes {
        line(format!("{} {}", if change.is_added { '+' } else { '-' }, change.what));
    }
    for left in found.left_out.iter().take(MOST_LEFT_OUT) {
        line(format!("left out: {left}"));
    }
    if found.left_out.len() > MOST_LEFT_OUT {
        let more = found.left_out.len() - MOST_LEFT_OUT;
        line(format!("left out: {more} more (--format json lists all)"));
    }
    for note in &found.notes {
        line(format!("note: {note}"));
    }
    Ok(VerbOutput::plain(text, 0).with([proposal]))
}
