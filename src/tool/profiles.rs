//! `remit profiles`: the embedded profiles.

use super::{Format, ToolError, VerbOutput, VerbResult};
use crate::profile::embedded;

/// The arguments of `remit profiles`.
#[derive(clap::Args)]
pub(super) struct ProfilesArguments {
    /// Print this one, as a start for one's own
    name: Option<String>,
    /// How to print the list; a profile is JSON in any case
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &ProfilesArguments) -> VerbResult {
    let names = embedded::NAMES;
    match (&arguments.name, arguments.format) {
        (Some(name), _) => match embedded::named(name) {
            Some(text) => VerbOutput::success(text),
            None => Err(ToolError::NoProfile(name.clone())),
        },
        (None, Format::Text) => VerbOutput::success(names.join("\n")),
        (None, Format::Json) => VerbOutput::success(serde_json::to_string(&names).unwrap_or_default()),
    }
}
