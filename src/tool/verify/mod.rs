//! `remit verify`: a run under audit, and what would have been denied; or, with
//! `--drop-test`, what of the profile a run needs.

mod denials;
mod drop_test;
mod drops;
mod failures;

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::json;

use self::denials::Denials;
use self::drops::GrantClass;
use super::session::{Session, Until};
use super::shim::Shim;
use super::source::{self, NamedProfile};
use super::staged::{put, refuse_inputs};
use super::{Format, ToolError, VerbOutput, VerbResult};
use crate::image::live::Live;

/// The arguments of `remit verify`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  remit verify profile.json -- /bin/true\n\n\
                  The app's standard output goes to standard error, and signals are handed on to it.\n\n\
                  Exit codes: 0 nothing would have been denied (--drop-test: all was needed), 1 something would \
                  (something was not), or the run ended badly, 2 bad input, or it did not start.")]
pub(super) struct VerifyArguments {
    /// A file (with a slash, or ending in .json) or the name of an embedded profile
    profile: String,
    /// Enforce instead, take one thing of the profile away at a time, and say by which error it
    /// shows. CLASSES: all but syscalls, unless named
    #[arg(long, value_enum, value_name = "CLASSES", num_args = 0.., require_equals = true, value_delimiter = ',')]
    drop_test: Option<Vec<GrantClass>>,
    /// What is refused on purpose, as the report names it: `file /d write`; may be repeated
    #[arg(long, value_name = "WHAT", conflicts_with = "drop_test")]
    accept: Vec<String>,
    #[command(flatten)]
    until: Until,
    /// Run this before each run, by /bin/sh -c, to bring the state back that the last one changed
    #[arg(long, value_name = "SCRIPT")]
    before: Option<OsString>,
    /// Keep the events in a file, for remit amend
    #[arg(long, value_name = "FILE", conflicts_with = "drop_test")]
    events: Option<PathBuf>,
    /// The shim; by default remit-init beside remit, or in PATH
    #[arg(long, value_name = "FILE")]
    shim: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// What to run
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(arguments: &VerifyArguments) -> VerbResult {
    let word = arguments.command[0].to_string_lossy();
    let command = source::command(&word)?;
    let named = source::named(&arguments.profile, &command, &Live)?;
    let shim = Shim::find(arguments.shim.as_deref())?;
    match &arguments.drop_test {
        Some(classes) => drop_test::run(arguments, classes, &named, &shim, &command),
        None => audit(arguments, &named, &shim),
    }
}

fn audit(arguments: &VerifyArguments, named: &NamedProfile, shim: &Shim) -> VerbResult {
    refuse_inputs(arguments.events.as_deref(), named.loaded.path.as_deref())?;
    let session = Session::begin()?;
    before(&session, arguments)?;
    let options = ["--mode".into(), "audit".into(), "--profile".into(), named.word()];
    let ready = named.loaded.document.profile.ready.is_some();
    let until = Until { ready, ..arguments.until.clone() };
    let ended = shim.run(&session, &options, &arguments.command, &until)?;
    let found = Denials::read(&ended.said, &named.loaded.document);
    if !found.started {
        return Err(ToolError::NotStarted(ended.how));
    }
    if let Some(path) = &arguments.events {
        put(path, &ended.said)?;
    }
    let report = found.report(&arguments.accept);
    let fault = ended.fault();
    let code = u8::from(!report.passes() || fault.is_some());
    let name = &named.loaded.document.profile.name;
    if arguments.format == Format::Json {
        let mut document = report.json();
        document["profile"] = json!(name);
        document["digest"] = json!(named.loaded.document.digest);
        document["fault"] = json!(fault);
        document["exit"] = json!(ended.how.code());
        return Ok(VerbOutput::plain(document.to_string(), code));
    }
    let mut text = format!("{} ({name}) in audit: ", arguments.profile);
    text += &report.text();
    if let Some(fault) = fault {
        text += &format!("\nthe run proves little: {fault}\n");
    }
    text += "\nWhat this run did not do, it does not show. A missing capability shows by its call where that is \
             not listed; by what the kernel refuses, in --drop-test.\n";
    if let Some(path) = &arguments.events {
        text += &format!(
            "To propose what is to be added: remit amend {} {} -o NEW\n",
            arguments.profile,
            path.display()
        );
    }
    Ok(VerbOutput::plain(text, code))
}

/// Runs the script of `--before`.
fn before(session: &Session, arguments: &VerifyArguments) -> Result<(), ToolError> {
    arguments.before.as_deref().map_or(Ok(()), |script| session.script("--before", script))
}
