//! The shim, step by step: read the command line, find COMMAND, load the profile, examine the
//! environment, plan, prepare, launch, supervise.
//!
//! Up to the launch every failure ends with one line and its exit code, and nothing
//! has been applied. From the launch on the supervisor does not end before the
//! container does.

#![forbid(unsafe_code)]

pub mod command;
mod confine;
pub mod dialect;
mod error;
mod init;
mod learn;
mod learned;
mod next_start;
pub mod options;
mod start;
pub mod users;
mod variables;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

pub use self::error::StartupError;

use self::command::Search;
use self::confine::LaunchContext;
use self::dialect::Dialect;
use self::init::Init;
use self::options::{CommandLine, Options};
use crate::enforce::{examine, source};
use crate::event::{self, ModeSource};
use crate::image::snapshot::Snapshot;
use crate::image::trees::AppStart;
use crate::profile::Mode;
use crate::sys::descriptors::Inherited;
use crate::visible;

/// Runs the shim and returns its exit code.
pub fn main(
    args: impl Iterator<Item = OsString>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> u8 {
    let mut args: Vec<OsString> = args.collect();
    let environment: Vec<(OsString, OsString)> = environment.collect();
    let dialect = options::dialect(&mut args);
    let wording = *dialect.as_ref().unwrap_or(&Dialect::Remit);
    match dialect.and_then(|dialect| run(args, dialect, environment)) {
        Ok(code) => code,
        Err(error) => {
            let text = error.text(wording);
            say(&mut std::io::stderr(), &text);
            event::termination(text.trim_end());
            error.code(wording)
        }
    }
}

/// Writes a text. Where it cannot be written, the exit code still reports the failure.
fn say(to: &mut dyn Write, text: &str) {
    if let Err(error) = to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        tracing::debug!(%error, "a text could not be written");
    }
}

/// The steps of a start, one after the other.
fn run(
    args: Vec<OsString>,
    dialect: Dialect,
    mut environment: Vec<(OsString, OsString)>,
) -> Result<u8, StartupError> {
    // Before anything is opened: what is open now was inherited.
    let inherited = Inherited::list();
    let parent = nix::unistd::getppid();
    let called_as = args.first().map(PathBuf::from);
    let variable =
        |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let path = variable("PATH");
    let mut options = match options::read(args, dialect, &variable)? {
        CommandLine::Run(options) => *options,
        CommandLine::Print(text) => return Ok(print(&mut std::io::stdout(), &text)),
        CommandLine::PrintError(text) => return Ok(print(&mut std::io::stderr(), &text)),
        CommandLine::Doctor { json } => return Ok(doctor(json)),
    };
    if let Err(why) = event::log::install(event::log::level(options.own_verbosity())) {
        // stderr is closed: there is nowhere to report that.
        drop(why);
    }
    let user = options.run_as.as_deref().map(users::resolve).transpose()?;
    if let Some(user) = &user {
        environment.retain(|(name, _)| name != "HOME");
        environment.push(("HOME".into(), user.home.clone().into()));
    }
    let run_as = user.map(|user| user.ids);
    let mode = mode_before_the_profile(&options);
    let off = matches!(mode, Some((Mode::Off, _)));
    let files = Snapshot::default();
    let search = if off { Search::Anywhere } else { Search::Absolute };
    let found = match command::find(&options.command[0], path.clone(), search, &files) {
        Ok(found) => found,
        Err(error) => init::by_a_shell(&mut options, error, off)?,
    };
    let init = Init { found, environment, inherited, parent };
    init.check_keep_fds(&options)?;
    let directory = std::env::current_dir().ok();
    let start =
        AppStart { command: &init.found, args: &options.command[1..], directory: directory.as_deref() };
    let load = || source::load(options.profile.as_deref(), &start, &files);
    let launched = match mode {
        Some((Mode::Off, _)) => return init.run(&options, run_as),
        // No profile is in force, but the app gets the user of one that was named.
        Some((Mode::Learn, said_by)) => {
            let named = options.profile.is_some().then(load).transpose()?;
            let run_as = run_as.or_else(|| named.and_then(|loaded| loaded.document.profile.run_as));
            learn::launch(&options, init, run_as, said_by)
        }
        mode => {
            let loaded = load()?;
            let (mode, said_by) = mode.unwrap_or((loaded.document.profile.mode, ModeSource::Profile));
            match mode {
                Mode::Off => return init.run(&options, run_as),
                Mode::Learn => {
                    let run_as = run_as.or(loaded.document.profile.run_as);
                    learn::launch(&options, init, run_as, said_by)
                }
                Mode::Enforce | Mode::Audit => {
                    let files = &files;
                    let confined =
                        LaunchContext { files, loaded, called_as, path, mode, said_by, run_as, init };
                    confine::launch(&options, confined)
                }
            }
        }
    };
    drop(files);
    launched?.supervise(&options)
}

/// Prints a text in the place of a run, and returns the exit code.
fn print(to: &mut dyn Write, text: &str) -> u8 {
    say(to, &visible::lines(text));
    0
}

/// Prints what can be enforced here, and returns the exit code.
fn doctor(json: bool) -> u8 {
    let diagnosis = examine::here(true);
    let text = if json { format!("{}\n", diagnosis.to_value()) } else { diagnosis.to_string() };
    say(&mut std::io::stdout(), &visible::lines(&text));
    diagnosis.verdict.code()
}

/// The mode by a flag, the environment or `argv[0]`; none where the profile decides. In the place
/// of tini or dumb-init nothing is confined unless a profile or a mode is named.
fn mode_before_the_profile(options: &Options) -> Option<(Mode, ModeSource)> {
    match options.mode {
        None if options.dialect != Dialect::Remit && options.profile.is_none() => {
            Some((Mode::Off, ModeSource::Name))
        }
        mode => mode,
    }
}
