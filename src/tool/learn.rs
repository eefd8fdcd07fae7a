//! `remit learn`: a run, and the profile in one go.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::unistd::AccessFlags;
use serde_json::json;

use super::build::{self, Making, profile_file};
use super::session::{RunEnd, Session, Until};
use super::shim::Shim;
use super::staged::put_all;
use super::{Format, ToolError, VerbOutput, VerbResult};

/// The arguments of `remit learn`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  remit learn -o app.json -- /bin/ls /\n  remit learn --label smoke --keep runs -o \
                  app.json -- /bin/ls /\n\n\
                  The app's standard output goes to standard error, and signals are handed on to it.\n\n\
                  Exit codes: 0 built, 1 the run ended badly, so that no profile is made of it, 2 bad input, or it \
                  did not start."
)]
pub(super) struct LearnArguments {
    /// The profile to write, NAME.json unless named, which then must not be there; its evidence
    /// goes beside it
    #[arg(short = 'o', long, value_name = "PROFILE")]
    output: Option<PathBuf>,
    /// What the run does, for the report: reload, backup, upgrade
    #[arg(long, value_name = "L")]
    label: Option<String>,
    /// Watch every call, those too that need no watching; slower
    #[arg(long)]
    exact: bool,
    /// Keep the journals in a directory, and build from all that it holds; without it the
    /// journal goes once the profile is there
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    until: Until,
    /// The shim; by default remit-init beside remit, or in PATH
    #[arg(long, value_name = "FILE")]
    shim: Option<PathBuf>,
    #[command(flatten)]
    making: Making,
    /// What to run
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(arguments: &LearnArguments) -> VerbResult {
    // All errors that need no run come before it.
    let output = output(arguments)?;
    for profile in [&arguments.making.base, &arguments.making.overlay].into_iter().flatten() {
        profile_file(profile)?;
    }
    let shim = Shim::find(arguments.shim.as_deref())?;
    let mut journals = Journals::at(arguments.keep.as_deref())?;
    let session = Session::begin()?;
    let mut options: Vec<OsString> =
        vec!["--mode".into(), "learn".into(), "--learn-dir".into(), journals.directory.clone().into()];
    if arguments.exact {
        options.push("--exact".into());
    }
    if let Some(label) = &arguments.label {
        options.extend(["--label".into(), label.into()]);
    }
    // The work begins once the app is ready: it belongs to serving, not to start-up.
    let until = Until { ready: true, ..arguments.until.clone() };
    let ended = shim.run(&session, &options, &arguments.command, &until)?;
    let new = journals.left()?;
    if new.is_empty() {
        return Err(no_journal(&ended, &journals.directory));
    }
    // The journals stay until the profile is built.
    journals.keep = true;
    let fault = ended.fault().filter(|_| !arguments.making.accept_unclean);
    if let Some(fault) = fault {
        return Ok(unclean(arguments, &fault, &new));
    }
    let not_built =
        |error| ToolError::NotBuilt { error: Box::new(error), journals: journals.directory.clone() };
    let mut answer =
        build::build(&[journals.directory.clone()], &output, &arguments.making).map_err(not_built)?;
    // A run is not lost where stdout cannot be written.
    put_all(std::mem::take(&mut answer.files)).map_err(not_built)?;
    journals.keep = arguments.keep.is_some();
    Ok(answer)
}

/// The path of the profile. An existing file is replaced only where `-o` names it.
fn output(arguments: &LearnArguments) -> Result<PathBuf, ToolError> {
    if let Some(output) = &arguments.output {
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        return match nix::unistd::access(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
            Ok(()) => Ok(output.clone()),
            Err(errno) => Err(ToolError::Output { path: output.clone(), errno }),
        };
    }
    let command = Path::new(&arguments.command[0]).file_name();
    let name = arguments.making.name.clone().map(OsString::from).or(command.map(OsString::from));
    let mut name = name.ok_or(ToolError::NoName)?;
    name.push(".json");
    let output = PathBuf::from(name);
    match fs::symlink_metadata(&output) {
        Ok(_) => Err(ToolError::OutputExists(output)),
        Err(_) => Ok(output),
    }
}

fn unclean(arguments: &LearnArguments, fault: &str, new: &[PathBuf]) -> VerbOutput {
    let journals: Vec<String> = new.iter().map(|path| path.display().to_string()).collect();
    let text = match arguments.making.format {
        Format::Json => json!({ "fault": fault, "journals": journals }).to_string(),
        Format::Text => format!(
            "no profile: {fault}, and what such a run does not show is missing in it; --accept-unclean takes it \
             all the same\n  its journal: {}\n",
            journals.join(", ")
        ),
    };
    VerbOutput::plain(text, 1)
}

fn no_journal(ended: &RunEnd, directory: &Path) -> ToolError {
    match ended.how.code() {
        125..=127 => ToolError::NotStarted(ended.how),
        _ => ToolError::NoJournal { directory: directory.to_owned(), how: ended.how },
    }
}

/// The directory of the runs' journals.
struct Journals {
    directory: PathBuf,
    before: BTreeSet<PathBuf>,
    /// Do not remove the directory on drop.
    keep: bool,
}

impl Journals {
    fn at(named: Option<&Path>) -> Result<Journals, ToolError> {
        let (directory, made) = match named {
            Some(path) => {
                let path = std::path::absolute(path).map_err(|error| failed(path, error))?;
                let made = fs::create_dir_all(&path);
                (path, made)
            }
            // For this user alone: a journal has the arguments of programs.
            None => {
                let path = std::env::temp_dir().join(format!("remit-learn-{}", std::process::id()));
                let made = DirBuilder::new().mode(0o700).create(&path);
                (path, made)
            }
        };
        made.map_err(|error| ToolError::NoDirectory { path: directory.clone(), error })?;
        let mut journals = Journals { directory, before: BTreeSet::new(), keep: named.is_some() };
        journals.before = journals.all()?;
        Ok(journals)
    }

    fn all(&self) -> Result<BTreeSet<PathBuf>, ToolError> {
        let entries = fs::read_dir(&self.directory).map_err(|error| failed(&self.directory, error))?;
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        Ok(paths.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect())
    }

    /// The journals that the run has written.
    fn left(&self) -> Result<Vec<PathBuf>, ToolError> {
        Ok(self.all()?.difference(&self.before).cloned().collect())
    }
}

impl Drop for Journals {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.directory)
        {
            super::print_error(&format!("learn: {} is left behind: {error}", self.directory.display()));
        }
    }
}

fn failed(path: &Path, error: std::io::Error) -> ToolError {
    ToolError::File { path: path.to_owned(), error }
}
