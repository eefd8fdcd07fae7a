//! `remit check`: the gate of a build.

mod error;
mod inputs;
mod outputs;

use std::ffi::OsString;
use std::path::PathBuf;

pub(super) use self::error::CheckError;
use self::inputs::CheckInputs;
pub(super) use self::inputs::without_digest;
use self::outputs::Outputs;
use super::staged::refuse_inputs;
use super::{ToolError, VerbOutput, VerbResult};
use crate::gate::{self, Requirements};
use crate::profile::Risk;

/// The arguments of `remit check`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  remit check nginx\n  remit check profile.json --run journals --require minimal\n\n\
                  Exit codes: 0 clean, 1 findings, 2 bad input, 3 inconclusive: something that was to be looked at \
                  could not be."
)]
pub(super) struct CheckArguments {
    /// A file (with a slash, ending in .json, or there), or a name of `remit profiles`
    #[arg(value_name = "PROFILE", required_unless_present = "print_tier")]
    profile: Option<String>,
    /// Its evidence; by default P.evidence.json beside P.json, where that is there
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// What this build's tests did: a journal, an event file, or a directory of such (*.jsonl); any
    /// number of times
    #[arg(long = "run", value_name = "FILE")]
    runs: Vec<PathBuf>,
    /// The previous profile: what it had as well is listed, and does not fail
    #[arg(long, value_name = "OLD")]
    against: Option<PathBuf>,
    /// The image: an unpacked directory, or an archive of `docker save` or of OCI
    #[arg(long, value_name = "DIR|TAR")]
    image: Option<OsString>,
    /// What the programs can call: a file that `remit reach --format json` wrote, or the word image, to find it
    /// in the image
    #[arg(long, value_name = "FILE|image")]
    reach: Option<PathBuf>,
    /// A requirements file, or a tier: minimal, elevated, regulated; by default the profile's `risk`
    #[arg(long, value_name = "FILE|TIER")]
    require: Option<String>,
    /// The lock file; by default P.lock.json beside P.json, where that is there
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// What to write: text, github, sarif, json, markdown or junit, each with a file, or - for stdout
    #[arg(long, value_name = "FORMAT=FILE", value_delimiter = ',', default_value = "text=-")]
    output: Vec<String>,
    /// Print the requirements of a tier, as a file to start from
    #[arg(long, value_name = "TIER", value_parser = ["minimal", "elevated", "regulated"])]
    print_tier: Option<String>,
}

/// The tier of this name.
fn tier(word: &str) -> Option<Risk> {
    Risk::NAMES.iter().find(|(_, name)| *name == word).map(|(tier, _)| *tier)
}

pub(super) fn run(arguments: &CheckArguments) -> VerbResult {
    if let Some(tier) = arguments.print_tier.as_deref().and_then(tier) {
        return VerbOutput::success(Requirements::tier_text(tier));
    }
    let outputs = Outputs::parse(&arguments.output)?;
    let inputs = CheckInputs::read(arguments)?;
    refuse_inputs(outputs.files(), inputs.files())?;
    let report = inputs
        .with_image(|input| gate::check(input).map_err(|fault| ToolError::from(CheckError::Image(fault))))?;
    let (text, files) = outputs.write(&report)?;
    Ok(VerbOutput::escaped(text, report.outcome().code()).with(files))
}
