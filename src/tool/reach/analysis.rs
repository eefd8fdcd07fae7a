//! What programs can call, for the verbs that compare a profile with it: read from a file, or found in
//! an image.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::super::{ToolError, named_file};
use super::files::ProgramFiles;
use crate::image::{Executable, FileKind, ImageFiles};
use crate::kernel::Arch;
use crate::profile::{Profile, ProgramPlace};
use crate::reach::compare::{ComparedProfile, LearnedCalls, ReachComparison, program_names};
use crate::reach::{self, GapKind, MOST_FILE_BYTES, Reach, ReachFileFault, ReachGap};
use crate::review::calls::AllowedCalls;

/// The directories in which programs of an image are looked for.
const PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// How many interpreters of interpreters the kernel goes through (BINPRM_MAX_RECURSION).
const MOST_INTERPRETERS: usize = 5;

/// What the programs of a profile can call: from a file, or found in an image.
#[derive(clap::Args)]
pub(in crate::tool) struct ReachSource {
    /// What the programs can call, as `remit reach --format json` wrote it
    #[arg(long, value_name = "FILE")]
    reach: Option<PathBuf>,
    /// The image, a directory or an archive of `docker save` or of OCI: in it is found what the programs can
    /// call; `build` adds the digests of the libraries that the runs loaded, which `remit check` compares
    #[arg(long, value_name = "DIR|TAR", conflicts_with = "reach")]
    image: Option<OsString>,
}

impl ReachSource {
    /// Whether one of the options is given.
    pub fn is_given(&self) -> bool {
        self.reach.is_some() || self.image.is_some()
    }

    /// The file of an answer.
    pub fn file(&self) -> Option<&PathBuf> {
        self.reach.as_ref()
    }

    /// The image.
    pub fn image(&self) -> Option<&OsStr> {
        self.image.as_deref()
    }

    /// What the profile's programs can call; none where neither option is given.
    pub fn find(&self, profile: &Profile, arch: Arch) -> Result<Option<Reach>, ToolError> {
        match (&self.reach, &self.image) {
            (Some(path), _) => read(path).map(Some),
            (None, Some(image)) => {
                Ok(Some(of_profile(&ProgramFiles::open(image, arch)?, profile, &profile.name)?))
            }
            (None, None) => Ok(None),
        }
    }
}

/// Reads an answer of `remit reach`.
pub(in crate::tool) fn read(path: &Path) -> Result<Reach, ToolError> {
    let failed = |error| ToolError::File { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    let file = named_file::open(path).map_err(failed)?;
    file.take(MOST_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    let fault = |error| ToolError::ReachFile { path: path.to_owned(), error };
    if bytes.len() as u64 > MOST_FILE_BYTES {
        return Err(fault(ReachFileFault::Format("it has more than 64 MiB".to_owned())));
    }
    Reach::read(&bytes).map_err(fault)
}

/// What the programs of a profile can call that are in these files.
pub(in crate::tool) fn of_profile(
    files: &ProgramFiles<'_>,
    profile: &Profile,
    name: &str,
) -> Result<Reach, ToolError> {
    let mut gaps = BTreeSet::new();
    let libraries = mapped(profile, files, &mut gaps);
    let programs = listed_programs(profile, files, &mut gaps);
    let found = of_programs(files, programs, &libraries, &mut gaps)?;
    let Some(mut found) = found else { return Err(ToolError::NoProgram(name.to_owned())) };
    found.gaps.extend(gaps);
    Ok(found)
}

/// What these programs can call; none where there is no program.
pub(super) fn of_programs(
    files: &ProgramFiles<'_>,
    programs: Vec<PathBuf>,
    libraries: &[PathBuf],
    gaps: &mut BTreeSet<ReachGap>,
) -> Result<Option<Reach>, ToolError> {
    let mut found: Option<Reach> = None;
    let mut known = BTreeSet::new();
    let mut named = BTreeSet::new();
    for program in programs {
        named.insert(program.display().to_string());
        for program in with_interpreters(files, program, gaps)? {
            named.insert(program.display().to_string());
            if !known.insert(files.trail(&program).end) {
                continue;
            }
            let image = files.image().map(|image| image.name().to_owned());
            let one = reach::analyse(files, &program, libraries)
                .map_err(|error| ToolError::Reach { image, error })?;
            match &mut found {
                Some(all) => all.join(one),
                None => found = Some(one),
            }
        }
    }
    if let Some(found) = &mut found {
        found.named.extend(named);
    }
    Ok(found)
}

/// The program of a word with or without a slash.
pub(super) fn find(files: &ProgramFiles<'_>, program: &Path) -> Result<PathBuf, ToolError> {
    let word = program.to_str().ok_or_else(|| ToolError::NotUtf8(program.into()))?;
    if files.image().is_none() {
        return super::super::source::command(word);
    }
    if word.contains('/') {
        return Ok(Path::new("/").join(program));
    }
    by_path(files, word).ok_or_else(|| ToolError::NotInPath(word.to_owned()))
}

fn by_path(files: &ProgramFiles<'_>, word: &str) -> Option<PathBuf> {
    let config = files.image().and_then(|image| image.config());
    let path = config.and_then(|config| config.env.iter().find_map(|one| one.strip_prefix("PATH=")));
    let own = path.map(|path| path.split(':').map(str::to_owned).collect::<Vec<_>>()).unwrap_or_default();
    let own = own.into_iter().filter(|directory| directory.starts_with('/'));
    let all = own.chain(PATH.map(str::to_owned)).map(|directory| Path::new(&directory).join(word));
    all.into_iter().find(|path| matches!(files.stat(path), Ok(Some(_))))
}

/// A program, or in the place of a script its interpreters.
fn with_interpreters(
    files: &ProgramFiles<'_>,
    program: PathBuf,
    gaps: &mut BTreeSet<ReachGap>,
) -> Result<Vec<PathBuf>, ToolError> {
    let (mut all, mut next) = (Vec::new(), program);
    for _ in 0..MOST_INTERPRETERS {
        let Ok(Executable::Script(interpreter, argument)) = files.executable(&next) else {
            all.push(next);
            return Ok(all);
        };
        let what = format!("is a script: its interpreter {} is looked into", interpreter.display());
        gaps.insert(ReachGap::new(GapKind::Assumption, next.display().to_string(), what));
        // env(1) executes what its first argument that is no option names.
        if interpreter.file_name().is_some_and(|name| name == "env") {
            let words = argument.as_deref().unwrap_or_default().split_whitespace();
            let mut names = words.filter(|word| !word.starts_with('-') && !word.contains('='));
            if let Some(found) = names.next().and_then(|word| by_path(files, word)) {
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
pub(super) fn listed_programs(
    profile: &Profile,
    files: &ProgramFiles<'_>,
    gaps: &mut BTreeSet<ReachGap>,
) -> Vec<PathBuf> {
    let mut programs = Vec::new();
    for entry in &profile.programs {
        match &entry.place {
            ProgramPlace::Beneath(directory) => {
                let what = "the profile allows every program below it, and none of them is looked into";
                gaps.insert(ReachGap::new(GapKind::Directory, directory.display().to_string(), what));
            }
            ProgramPlace::Path(path) if matches!(files.stat(path), Ok(Some(_))) => {
                programs.push(path.clone());
            }
            ProgramPlace::Path(path) => {
                let what = "the profile allows it, and it is not there";
                gaps.insert(ReachGap::new(GapKind::Assumption, path.display().to_string(), what));
            }
        }
    }
    programs
}

/// The libraries that a profile names by path.
pub(super) fn mapped(
    profile: &Profile,
    files: &ProgramFiles<'_>,
    gaps: &mut BTreeSet<ReachGap>,
) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    for path in profile.programs.iter().flat_map(|entry| entry.libraries.iter().flatten()) {
        match files.stat(path) {
            Ok(Some(info)) if info.kind == FileKind::Regular => {
                found.insert(path.clone());
            }
            Ok(Some(_)) => {
                let what = "the profile lets libraries below it be mapped; those that nothing names are not looked into";
                gaps.insert(ReachGap::new(GapKind::Library, path.display().to_string(), what));
            }
            _ => {}
        }
    }
    found.into_iter().collect()
}

/// A profile beside what its programs can call.
pub(in crate::tool) fn compare(
    name: &str,
    profile: &Profile,
    learned: Option<LearnedCalls>,
    found: &Reach,
) -> Result<ReachComparison, ToolError> {
    let listed = AllowedCalls::of(profile);
    let listed =
        listed.names().filter(|call| crate::syscalls::number(found.arch, call).is_some()).map(str::to_owned);
    // No program below a directory is looked into, so the directory counts as one that was not.
    let programs = profile.programs.iter().map(|entry| entry.place.path());
    let of = ComparedProfile {
        name: name.to_owned(),
        listed: listed.collect(),
        programs: program_names(programs),
        learned,
    };
    ReachComparison::new(of, found).map_err(ToolError::OtherArch)
}
