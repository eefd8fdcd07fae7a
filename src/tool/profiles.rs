//! `remit profiles`: the embedded profiles, and those that are ready to be copied into an image.

use std::fmt::Write as _;

use serde_json::json;

use super::ready::READY;
use super::{Format, ToolError, VerbOutput, VerbResult};
use crate::profile::embedded;

/// The arguments of `remit profiles`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  remit profiles\n  remit profiles nginx > nginx.json\n\nExit codes: 0 printed, 2 \
                        bad input."
)]
pub(super) struct ProfilesArguments {
    /// Print this one, as a start for one's own
    name: Option<String>,
    /// How to print the list; a profile is JSON in any case
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &ProfilesArguments) -> VerbResult {
    match (&arguments.name, arguments.format) {
        (Some(name), _) => match named(name) {
            Some(text) => VerbOutput::success(text),
            None => Err(ToolError::NoProfile(name.clone())),
        },
        (None, Format::Text) => VerbOutput::success(list()),
        (None, Format::Json) => {
            let embedded = embedded::NAMES.map(|name| json!({ "name": name, "embedded": true }));
            let ready = READY
                .iter()
                .map(|ready| json!({ "name": ready.name, "embedded": false, "tested": ready.tested }));
            let all: Vec<_> = embedded.into_iter().chain(ready).collect();
            VerbOutput::success(serde_json::to_string(&all).unwrap_or_default())
        }
    }
}

fn named(name: &str) -> Option<&'static str> {
    embedded::named(name).or_else(|| Some(READY.iter().find(|ready| ready.name == name)?.text))
}

/// The names, one a line, those of the shim first; of the others, with what they were tested.
fn list() -> String {
    let mut list = embedded::NAMES.join("\n");
    for ready in &READY {
        // A string takes all.
        let _ = write!(list, "\n{:<12} {}", ready.name, ready.tested);
    }
    list
}
