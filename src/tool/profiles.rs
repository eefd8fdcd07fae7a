//! `remit profiles`: the embedded profiles.

use super::{Error, Format, Output, VerbResult};
use crate::profile::embedded;

/// The arguments of `remit profiles`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Print this one, as a start for one's own
    name: Option<String>,
    /// How to print the list; a profile is JSON in any case
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> VerbResult {
    let names = embedded::NAMES;
    match (&arguments.name, arguments.format) {
        (Some(name), _) => match embedded::named(name) {
            Some(text) => Output::success(text),
            None => Err(Error::NoProfile(name.clone())),
        },
        (None, Format::Text) => Output::success(names.join("\n")),
        (None, Format::Json) => Output::success(serde_json::to_string(&names).unwrap_or_default()),
    }
}
