//! `remit build`: from journals to a profile, with its evidence.

mod gather;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use self::gather::{Gathered, gather};
use super::progress::ProgressLine;
use super::reach::{self, ReachSource};
use super::staged::{StagedFile, refuse_inputs};
use super::{Format, ToolError, VerbOutput, VerbResult, named_file};
use crate::enforce::source::{self, beside};
use crate::image::archive;
use crate::image::live::Live;
use crate::kernel::Arch;
use crate::learn::{self, Decided, Learned, Observations, Wanted, evidence, libraries};
use crate::profile::{self, nearest};
use crate::reach::completion::{self, CLASSES};

/// The arguments of `remit build`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  remit build journals -o built.json\n\nExit codes: 0 built, 2 bad input."
)]
pub(super) struct BuildArguments {
    /// Journals, directories of journals (*.jsonl), evidence files, or profiles with theirs
    #[arg(required = true, value_name = "JOURNAL")]
    journals: Vec<PathBuf>,
    /// The profile to write; its evidence goes beside it, as P.evidence.json for P.json
    #[arg(short = 'o', long, value_name = "PROFILE")]
    output: PathBuf,
    #[command(flatten)]
    making: Making,
}

/// How a profile is made of journals.
#[derive(clap::Args)]
pub(super) struct Making {
    /// A profile to continue: what it grants stays, its settings hold, and what was removed from
    /// it by hand stays removed
    #[arg(long, value_name = "P")]
    pub base: Option<PathBuf>,
    /// A profile with the last word: its entry stands in the place of the same one, and may be narrower
    #[arg(long, value_name = "P")]
    pub overlay: Option<PathBuf>,
    /// A behaviour that has to have been seen: signal:HUP, label:backup, program:/bin/gzip,
    /// listen:tcp/80, connect:tcp/53, syscall:fsync, capability:chown
    #[arg(long, value_name = "E", value_delimiter = ',')]
    expect: Vec<String>,
    /// Classes of harmless calls to add where programs can make them: reachable:error-paths,
    /// reachable:signals, reachable:threads; --reach or --image says what they can make
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    complete: Vec<String>,
    #[command(flatten)]
    reach: ReachSource,
    /// Take runs that ended badly, or whose journal is cut, as well
    #[arg(long)]
    pub accept_unclean: bool,
    /// Hold each program to the content that it had
    #[arg(long)]
    digests: bool,
    /// The profile's name; by default that of the runs
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How to print the report
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

pub(super) fn run(arguments: &BuildArguments) -> VerbResult {
    build(&arguments.journals, &arguments.output, &arguments.making)
}

/// Builds a profile from these inputs.
pub(super) fn build(journals: &[PathBuf], output: &Path, arguments: &Making) -> VerbResult {
    let beside = beside(output);
    // A profile may be continued in its place, with the evidence beside it; a journal is never replaced.
    let is_journal = |path: &&Path| path.extension().is_none_or(|end| end != "json");
    refuse_inputs([output, &beside], journals.iter().map(PathBuf::as_path).filter(is_journal))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let bar = ProgressLine::bytes("reading journals");
    let gathered = gather(journals, arguments.accept_unclean, threads, &|done, all| bar.set(done, all))?;
    drop(bar);
    let Gathered { mut observations, mut removed, mut notes, journals } = gathered;
    observations.settle();
    if let Some(image) = arguments.reach.image() {
        notes.extend(add_digests(image, &journals, &mut observations)?);
    }
    let base = arguments.base.as_deref().map(profile_file).transpose()?;
    if let (Some(document), Some(path)) = (&base, &arguments.base)
        && let Some(known) = evidence_of(path)?
    {
        removed.extend(known.removed);
        removed.extend(known.granted.difference(&learn::keys(&document.profile)).cloned());
    }
    let overlay = arguments.overlay.as_deref().map(profile_file).transpose()?;
    let continues_groups = base.as_ref().is_some_and(|document| !document.profile.syscalls.exact);
    let wanted = Wanted { name: arguments.name.clone(), digests: arguments.digests, continues_groups };
    let mut learned = learn::build(&observations, &wanted);
    complete(&mut learned, &observations, arguments)?;
    notes.extend(learned.notes.iter().cloned());
    // What the base or the overlay grants again is no longer removed.
    for granted in [&base, &overlay].into_iter().flatten() {
        for key in learn::keys(&granted.profile) {
            removed.remove(&key);
        }
    }
    let decided = Decided {
        removed,
        base: base.map(|document| document.profile),
        overlay: overlay.map(|document| document.profile),
    };
    let (profile, text) = learn::compose(learned.profile.clone(), &decided)?;
    let document = profile::read(text.as_bytes()).map_err(ToolError::Made)?;
    let rules = learn::by_pointer(&profile, &learned.reasons);
    let report = super::learned::BuildReport::new(
        &observations,
        &profile,
        &learned.reasons,
        &rules,
        &arguments.expect,
        notes,
    )?;
    let written = evidence::write(
        &document.digest,
        &observations,
        &rules,
        &report.confidence(),
        &decided.removed,
        &learned.notes,
    );
    let files = [StagedFile::write(output, &text)?, StagedFile::write(&beside, &written)?];
    let text = match arguments.format {
        Format::Text => report.text(output, &beside),
        Format::Json => report.json().to_string(),
    };
    Ok(VerbOutput::plain(text, 0).with(files))
}

/// Adds the digests of the libraries that these runs loaded. Returns the notes for the user.
fn add_digests(
    image: &OsStr,
    runs: &BTreeSet<String>,
    observations: &mut Observations,
) -> Result<Option<String>, ToolError> {
    let learned = observations.runs().first().and_then(|run| run.fingerprint.arch.parse().ok());
    let bar = ProgressLine::bytes("reading the image");
    let image = archive::open(image, learned.unwrap_or(Arch::THIS), &mut |done, all| bar.set(done, all))?;
    let paths = libraries::to_hash(observations);
    let digests = image.digests(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
    drop(bar);
    let missing = libraries::add_digests(observations, runs, image.name(), &digests)?;
    let missing: Vec<String> = missing.into_iter().collect();
    Ok((!missing.is_empty()).then(|| {
        format!("{} has no such files, which runs loaded as libraries: {}", image.name(), missing.join(", "))
    }))
}

/// Adds the classes of `--complete`.
fn complete(learned: &mut Learned, observations: &Observations, arguments: &Making) -> Result<(), ToolError> {
    let fault = |what: String| Err(ToolError::Complete(what));
    let mut classes = Vec::new();
    for name in &arguments.complete {
        match completion::class(name) {
            Some(class) => classes.push(class),
            None => {
                let names: Vec<&str> = CLASSES.iter().map(|class| class.name).collect();
                let near = nearest(name, names.iter().copied());
                let near = near.map(|near| format!("did you mean {near}?"));
                let near = near.unwrap_or_else(|| format!("expected {}", names.join(", ")));
                return fault(format!("{name} is no class; {near}"));
            }
        }
    }
    let profile = &learned.profile;
    let arch = observations.learned_calls().arch.unwrap_or(Arch::THIS);
    if classes.is_empty() {
        return if arguments.reach.file().is_some() {
            fault("no class is named; --reach is for it".to_owned())
        } else {
            Ok(())
        };
    }
    if !profile.syscalls.exact {
        return fault("the profile is not exact, so groups have these calls already".to_owned());
    }
    let Some(found) = arguments.reach.find(profile, arch)? else {
        return fault(
            "what the programs can call is not known; name its file with --reach, or the image with --image"
                .to_owned(),
        );
    };
    let compared = reach::compare(&profile.name, profile, Some(observations.learned_calls()), &found)?;
    if let Some(missing) = compared.missing.first() {
        return fault(format!(
            "{missing} was not looked into; `remit reach --profile` looks into all programs of a profile"
        ));
    }
    learn::complete(learned, &classes, &found);
    learned.notes.extend(compared.alarm_sentence());
    Ok(())
}

/// Reads a profile from a file.
pub(super) fn profile_file(path: &Path) -> Result<profile::Document, ToolError> {
    let name = path.to_str().ok_or_else(|| ToolError::NotUtf8(path.to_owned()))?;
    Ok(source::named_file(name, &Live)?.document)
}

/// The evidence beside a profile, if there is one.
fn evidence_of(profile: &Path) -> Result<Option<evidence::Evidence>, ToolError> {
    let path = beside(profile);
    match named_file::read(&path) {
        Ok(bytes) => Ok(Some(evidence::read(&path.display().to_string(), &bytes)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ToolError::File { path, error }),
    }
}
