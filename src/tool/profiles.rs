//! `remit profiles`: what the binaries carry.

use super::{Answer, Error, Format, Said};
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

pub(super) fn run(arguments: &Arguments) -> Answer {
    let names = embedded::NAMES;
    match (&arguments.name, arguments.format) {
        (Some(name), _) => match embedded::named(name) {
            Some(text) => Said::yes(text),
            None => Err(Error::NoProfile(name.clone())),
        },
        (None, Format::Text) => Said::yes(names.join("\n")),
        (None, Format::Json) => Said::yes(serde_json::to_string(&names).unwrap_or_default()),
    }
}
