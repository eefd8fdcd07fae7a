//! `remit report`: what a profile allows, as one HTML file.

use std::path::{Path, PathBuf};

use super::check::without_digest;
use super::reach::{self, ReachSource};
use super::reviewed;
use super::staged::{StagedFile, refuse_inputs};
use super::{ToolError, VerbOutput, VerbResult, named_file};
use crate::enforce::source::beside;
use crate::event::lines::BoundedLines;
use crate::kernel::Arch;
use crate::learn::{InputFault, Unusable};
use crate::profile::Document;
use crate::report::{self, ReportEvidence, ReportInput, ViolationHistory};

/// The arguments of `remit report`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  remit report baseline -o report.html\n\n\
                  Exit codes: 0 written, 2 bad input.")]
pub(super) struct ReportArguments {
    /// A file (with a slash, or ending in .json) or the name of a profile of `remit profiles`
    profile: String,
    /// The evidence of the profile; by default P.evidence.json beside P.json, where that is there
    #[arg(long, value_name = "E")]
    evidence: Option<PathBuf>,
    /// Event files, or a container's stderr with events in it: the violations over time
    #[arg(long, value_name = "FILE", num_args = 1..)]
    events: Vec<PathBuf>,
    /// Take only events with this nonce, which is in a start's first event; by default the one
    /// with which the log begins
    #[arg(long, value_name = "NONCE")]
    nonce: Vec<String>,
    /// Another profile, with which this one is compared
    #[arg(long, value_name = "OLD")]
    against: Option<String>,
    #[command(flatten)]
    reach: ReachSource,
    /// The architecture of which system calls are counted: x86_64 or aarch64; this machine's by default
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    /// The HTML file to write; - is stdout
    #[arg(short = 'o', long, value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn run(arguments: &ReportArguments) -> VerbResult {
    let profiles = [Some(&arguments.profile), arguments.against.as_ref()];
    let profiles: Vec<PathBuf> =
        profiles.into_iter().flatten().map(|path| without_digest(Path::new(path))).collect();
    let evidence_file = arguments.evidence.clone().unwrap_or_else(|| beside(&profiles[0]));
    let read = profiles.iter().chain(&arguments.events).chain([&evidence_file]).chain(arguments.reach.file());
    refuse_inputs([&*arguments.output], read.map(PathBuf::as_path))?;
    let document = reviewed::profile(&arguments.profile)?.document;
    let against = arguments.against.as_deref().map(reviewed::profile).transpose()?;
    let evidence = evidence(arguments, &document)?;
    let mut violations = ViolationHistory::default();
    for path in &arguments.events {
        read_events(path, &arguments.nonce, &mut violations)?;
    }
    let profile = &document.profile;
    let learned = evidence.as_ref().map(|evidence| evidence.learned.clone());
    let arch = arguments.arch.or(learned.as_ref().and_then(|learned| learned.arch)).unwrap_or(Arch::THIS);
    let reach = arguments.reach.find(profile, arch)?;
    let reach =
        reach.map(|found| reach::compare(&arguments.profile, profile, learned, &found)).transpose()?;
    let input = ReportInput {
        source: &arguments.profile,
        document: &document,
        arch: arguments.arch.unwrap_or(Arch::THIS),
        evidence: evidence.as_ref(),
        violations: (!arguments.events.is_empty()).then_some(&violations),
        reach: reach.as_ref(),
        against: against.as_ref().map(|against| (&*against.name, &against.document)),
    };
    let html = report::html(&input).map_err(|error| ToolError::Report(error.to_string()))?;
    if arguments.output == Path::new("-") {
        return VerbOutput::success(html);
    }
    let file = StagedFile::write(&arguments.output, &html)?;
    let text = format!("{}: {} kB", arguments.output.display(), html.len().div_ceil(1000));
    Ok(VerbOutput::plain(text, 0).with([file]))
}

/// The evidence that was named, or that is beside the profile.
fn evidence(arguments: &ReportArguments, document: &Document) -> Result<Option<ReportEvidence>, ToolError> {
    let default = beside(Path::new(&arguments.profile));
    let path = arguments.evidence.as_ref().unwrap_or(&default);
    match named_file::read(path) {
        Ok(bytes) => Ok(Some(ReportEvidence::read(&path.display().to_string(), &bytes, document)?)),
        Err(error) if arguments.evidence.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(ToolError::File { path: path.clone(), error }),
    }
}

fn read_events(path: &Path, nonces: &[String], history: &mut ViolationHistory) -> Result<(), ToolError> {
    let name = path.display().to_string();
    let failed = |error| ToolError::File { path: path.to_owned(), error };
    let input = named_file::open(path).map_err(failed)?;
    let mut lines = BoundedLines::of(input).with_stdout(!nonces.is_empty());
    let mut file = history.begin(&name, nonces);
    while let Some((_, line)) = lines.next_event().map_err(failed)? {
        file.line(line);
    }
    if file.end() {
        return Ok(());
    }
    Err(Unusable::of(name, InputFault::NoEvents).into())
}
