//! `remit reach`: which system calls programs can make, by their machine code.

mod files;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use self::files::ImageRoot;
use super::{Format, ToolError, VerbOutput, VerbResult, plan, source};
use crate::enforce::source::beside;
use crate::image::{Executable, ImageFiles};
use crate::kernel::{Kernel, Release};
use crate::learn::evidence;
use crate::plan::{Host, Plan};
use crate::profile::{Mode, Profile, ProgramPlace};
use crate::reach::compare::ReachComparison;
use crate::reach::{self, GapKind, Reach, ReachGap};

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
    /// The directory of an unpacked image, in which programs and libraries are; `/` unless given
    #[arg(long, value_name = "DIR")]
    image: Option<PathBuf>,
    /// A profile to compare with, and its evidence where that is beside it
    #[arg(long, value_name = "P")]
    profile: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// The directories in which programs of an image are looked for.
const PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// How many interpreters of interpreters the kernel goes through (BINPRM_MAX_RECURSION).
const MOST_INTERPRETERS: usize = 5;
/// The kernel for which the profile's calls are listed: one with all that a plan knows of.
const KERNEL: Release = Release::new(7, 0);

pub(super) fn run(arguments: &ReachArguments) -> VerbResult {
    let root = match &arguments.image {
        Some(directory) => ImageRoot::open(directory)?,
        None => ImageRoot::machine(),
    };
    let mut programs = Vec::new();
    for program in &arguments.programs {
        programs.push(find(&root, program)?);
    }
    let command = programs.first().cloned().unwrap_or_else(|| PathBuf::from("/bin/sh"));
    let profile =
        arguments.profile.as_deref().map(|word| source::named(word, &command, &root)).transpose()?;
    let of_profile = programs.is_empty();
    let mut gaps = BTreeSet::new();
    let mut libraries = Vec::new();
    if let Some(profile) = &profile {
        let profile = &profile.loaded.document.profile;
        libraries = mapped(profile, &root, &mut gaps);
        if of_profile {
            programs = listed_programs(profile, &root, &mut gaps);
            if programs.is_empty() {
                return Err(ToolError::NoProgram(profile.name.clone()));
            }
        }
    }
    let mut found: Option<Reach> = None;
    let mut known = BTreeSet::new();
    for program in programs {
        for program in with_interpreters(&root, program, &mut gaps)? {
            if !known.insert(root.trail(&program).end) {
                continue;
            }
            let one = reach::analyse(&root, &program, &libraries)?;
            match &mut found {
                Some(all) => all.join(one),
                None => found = Some(one),
            }
        }
    }
    let Some(mut found) = found else { return Err(ToolError::NoProgram("--profile".to_owned())) };
    if !of_profile && found.calls.contains_key("execve") {
        let what = "can execute other programs, which are not looked into unless they are named too";
        gaps.insert(ReachGap::new(GapKind::Executes, found.programs.join(", "), what));
    }
    found.gaps.extend(gaps);
    let comparison = match &profile {
        Some(named) => Some(compare(named, &command, &root, &found)?),
        None => None,
    };
    let alarm = comparison.as_ref().is_some_and(|one| !one.alarms.is_empty());
    let text = match arguments.format {
        Format::Text => found.text(comparison.as_ref()),
        Format::Json => found.json(comparison.as_ref()).to_string(),
    };
    Ok(VerbOutput::plain(text, u8::from(alarm)))
}

/// A program by its path, or by its name in a directory of PATH.
fn find(root: &ImageRoot, program: &Path) -> Result<PathBuf, ToolError> {
    let word = program.to_str().ok_or_else(|| ToolError::NotUtf8(program.into()))?;
    if root.is_machine() {
        return source::command(word);
    }
    if word.contains('/') {
        return Ok(Path::new("/").join(program));
    }
    by_path(root, word).ok_or_else(|| ToolError::NotInPath(word.to_owned()))
}

fn by_path(root: &ImageRoot, word: &str) -> Option<PathBuf> {
    let all = PATH.iter().map(|directory| Path::new(directory).join(word));
    all.into_iter().find(|path| matches!(root.stat(path), Ok(Some(_))))
}

/// A program, or in the place of a script its interpreters.
fn with_interpreters(
    root: &ImageRoot,
    program: PathBuf,
    gaps: &mut BTreeSet<ReachGap>,
) -> Result<Vec<PathBuf>, ToolError> {
    let (mut all, mut next) = (Vec::new(), program);
    for _ in 0..MOST_INTERPRETERS {
        let Ok(Executable::Script(interpreter, argument)) = root.executable(&next) else {
            all.push(next);
            return Ok(all);
        };
        let what = format!("is a script: its interpreter {} is looked into", interpreter.display());
        gaps.insert(ReachGap::new(GapKind::Assumption, next.display().to_string(), what));
        // env(1) executes what its first argument that is no option names.
        if interpreter.file_name().is_some_and(|name| name == "env") {
            let words = argument.as_deref().unwrap_or_default().split_whitespace();
            let mut names = words.filter(|word| !word.starts_with('-') && !word.contains('='));
            if let Some(found) = names.next().and_then(|word| by_path(root, word)) {
                all.push(interpreter);
                next = found;
                continue;
            }
        }
        next = interpreter;
    }
    Err(ToolError::Interpreters(next))
}

/// The programs that a profile names by path and that are there.
fn listed_programs(profile: &Profile, root: &ImageRoot, gaps: &mut BTreeSet<ReachGap>) -> Vec<PathBuf> {
    let mut programs = Vec::new();
    for entry in &profile.programs {
        match &entry.place {
            ProgramPlace::Beneath(directory) => {
                let what = "the profile allows every program below it, and none of them is looked into";
                gaps.insert(ReachGap::new(GapKind::Directory, directory.display().to_string(), what));
            }
            ProgramPlace::Path(path) if matches!(root.stat(path), Ok(Some(_))) => programs.push(path.clone()),
            ProgramPlace::Path(path) => {
                let what = "the profile allows it, and it is not there";
                gaps.insert(ReachGap::new(GapKind::Assumption, path.display().to_string(), what));
            }
        }
    }
    programs
}

/// The libraries that a profile names by path.
fn mapped(profile: &Profile, root: &ImageRoot, gaps: &mut BTreeSet<ReachGap>) -> Vec<PathBuf> {
    let mut files = BTreeSet::new();
    for path in profile.programs.iter().flat_map(|entry| entry.libraries.iter().flatten()) {
        match root.stat(path) {
            Ok(Some(info)) if info.kind == crate::image::FileKind::Regular => {
                files.insert(path.clone());
            }
            Ok(Some(_)) => {
                let what = "the profile lets libraries below it be mapped; those that nothing names are not looked into";
                gaps.insert(ReachGap::new(GapKind::Library, path.display().to_string(), what));
            }
            _ => {}
        }
    }
    files.into_iter().collect()
}

fn compare(
    named: &source::NamedProfile,
    command: &Path,
    root: &ImageRoot,
    found: &Reach,
) -> Result<ReachComparison, ToolError> {
    let profile = &named.loaded.document.profile;
    let kernel = Kernel::stock(KERNEL, found.arch);
    let host = Host {
        command: Some(command.to_owned()),
        links: named.loaded.links.clone(),
        // What the image lacks of programs is said among the gaps, and is no error here.
        embedded: true,
        ..plan::container()
    };
    let plan = Plan::new(profile, &kernel, &host, root, Mode::Enforce)
        .map_err(|error| ToolError::Plan { profile: named.name.clone(), error })?;
    let listed = plan.filter.calls.keys().map(|call| (*call).to_owned()).collect();
    let learned = match named.loaded.path.as_deref().map(beside) {
        Some(path) => learned(&path)?,
        None => None,
    };
    Ok(ReachComparison::new(&named.name, listed, learned.as_ref(), found))
}

/// The calls of an evidence file, where it is there.
fn learned(path: &Path) -> Result<Option<BTreeSet<String>>, ToolError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ToolError::File { path: path.into(), error }),
    };
    let evidence = evidence::read(&path.display().to_string(), &bytes)?;
    let calls = evidence.observations.calls().into_iter().map(str::to_owned);
    Ok(Some(calls.collect()))
}
