//! `remit reach`: which system calls programs can make, by their machine code.

mod analysis;
mod files;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(super) use self::analysis::{ReachSource, compare, of_profile, read};
pub(super) use self::files::ProgramFiles;
use super::{Format, ToolError, VerbOutput, VerbResult, named_file, source};
use crate::enforce::source::beside;
use crate::kernel::Arch;
use crate::learn::evidence;
use crate::reach::compare::LearnedCalls;
use crate::reach::{GapKind, ReachGap};

/// The arguments of `remit reach`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  remit reach /bin/true\n  remit reach --profile profile.json\n\nExit codes: 0 done, 1 a \
                  learned call is not reachable, 2 bad input."
)]
pub(super) struct ReachArguments {
    /// Programs, by path or by PATH; by default those of the profile
    #[arg(required_unless_present = "profile", value_name = "PROGRAM")]
    programs: Vec<PathBuf>,
    /// The image in which programs and libraries are, instead of this machine: an unpacked directory, or an
    /// archive of `docker save` or of OCI
    #[arg(long, value_name = "DIR|TAR")]
    image: Option<OsString>,
    /// Which image of an archive for several architectures: x86_64 or aarch64; this machine's by default
    #[arg(long, value_name = "ARCH", requires = "image")]
    arch: Option<Arch>,
    /// A profile to compare with, and its evidence where that is beside it
    #[arg(long, value_name = "P")]
    profile: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &ReachArguments) -> VerbResult {
    let files = match &arguments.image {
        Some(image) => ProgramFiles::open(image, arguments.arch.unwrap_or(Arch::THIS))?,
        None => ProgramFiles::Machine,
    };
    let mut programs = Vec::new();
    for program in &arguments.programs {
        programs.push(analysis::find(&files, program)?);
    }
    let command = programs.first().cloned().unwrap_or_else(|| PathBuf::from("/bin/sh"));
    let profile =
        arguments.profile.as_deref().map(|word| source::named(word, &command, &files)).transpose()?;
    let document = profile.as_ref().map(|named| &named.loaded.document.profile);
    let mut found = match document {
        Some(profile) if programs.is_empty() => of_profile(&files, profile, &profile.name)?,
        _ => {
            let mut gaps = BTreeSet::new();
            let libraries =
                document.map(|profile| analysis::mapped(profile, &files, &mut gaps)).unwrap_or_default();
            let found = analysis::of_programs(&files, programs, &libraries, &mut gaps)?;
            let Some(mut found) = found else { return Err(ToolError::NoProgram("--profile".to_owned())) };
            if found.calls.contains_key("execve") {
                let what = "can execute other programs, which are not looked into unless they are named too";
                gaps.insert(ReachGap::new(GapKind::Executes, found.programs.join(", "), what));
            }
            found.gaps.extend(gaps);
            found
        }
    };
    found.named.extend(arguments.programs.iter().map(|program| program.display().to_string()));
    let comparison = match &profile {
        Some(named) => {
            let learned = match named.loaded.path.as_deref().map(beside) {
                Some(path) => learned(&path)?,
                None => None,
            };
            Some(compare(&named.name, &named.loaded.document.profile, learned, &found)?)
        }
        None => None,
    };
    let alarm = comparison.as_ref().is_some_and(|one| !one.alarms.is_empty());
    let text = match arguments.format {
        Format::Text => found.text(comparison.as_ref()),
        Format::Json => found.json(comparison.as_ref()).to_string(),
    };
    Ok(VerbOutput::plain(text, u8::from(alarm)))
}

/// The calls of an evidence file, where it is there.
pub(super) fn learned(path: &Path) -> Result<Option<LearnedCalls>, ToolError> {
    let bytes = match named_file::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ToolError::File { path: path.into(), error }),
    };
    let evidence = evidence::read(&path.display().to_string(), &bytes)?;
    Ok(Some(evidence.observations.learned_calls()))
}
