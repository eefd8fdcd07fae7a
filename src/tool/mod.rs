//! `remit`, the tool for developers and CI: one module a verb.

#![forbid(unsafe_code)]

mod amend;
mod build;
mod doctor;
mod error;
mod events;
mod learn;
mod learned;
mod plan;
mod process_end;
mod profiles;
mod progress;
mod ready;
mod self_test;
mod session;
mod shim;
mod source;
mod verify;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::{Parser, Subcommand, ValueEnum};

use self::error::ToolError;
pub use self::ready::{READY, ReadyProfile};
use crate::profile::schema;
use crate::visible;

/// Shows, before anything runs, what remit-init will do with a container.
#[derive(Parser)]
#[command(name = "remit", version, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done, 1 the answer is no, 2 bad input.")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print exactly what will be done with a profile, on this or another kernel
    ///
    /// Every system call, every Landlock rule with the entry that it serves, what is
    /// wider than the profile, what the kernel lacks and what that costs,
    /// capabilities, limits, and the steps of the launch.
    ///
    /// Programs and files are those of the place where it runs: run it in the
    /// image. The container is taken to be one with Docker's defaults: root,
    /// fourteen capabilities, the supervisor as PID 1.
    Plan(plan::PlanArguments),
    /// Say what can be enforced in this place, layer by layer, and how to get more
    ///
    /// It is judged by the plan that `baseline` would have here. In an image that holds
    /// only the shim, `remit-init --doctor` says the same.
    Doctor(doctor::DoctorArguments),
    /// Run COMMAND once, and make a profile of what it did
    ///
    /// The run is remit-init's, in learn mode: it changes nothing that the app does, but that
    /// set-user-ID and file capabilities do nothing. Then it is as `remit build` with its
    /// journal, and with those that --keep has kept. One run shows little: see the report's end.
    Learn(learn::LearnArguments),
    /// Build a profile, and its evidence, from the journals of learning runs
    ///
    /// Journals, directories of them, and what was built before: an evidence file, or a
    /// profile with its own beside it. The order makes no difference, nor does what was
    /// put together before; a run that is given twice counts once.
    Build(build::BuildArguments),
    /// Propose a profile that allows what the hints of violations ask for
    ///
    /// It prints what would be granted more, and never changes the profile itself. A
    /// hint that does not apply is said, and left out.
    Amend(amend::AmendArguments),
    /// Print the events of a log that are remit's own, and leave out those that the app may have
    /// written
    ///
    /// Each start draws a nonce that all its events carry. Where a log begins with a start event,
    /// lines with its nonce pass; otherwise nothing does, unless --nonce names a start.
    Events(events::EventsArguments),
    /// Run COMMAND and report what a profile would deny it, or what of the profile it needs
    ///
    /// The run is remit-init's, in audit mode: nothing is refused. With --drop-test the profile
    /// is enforced, in full and then without one thing at a time, and the errors that then show
    /// are compared; the app is traced where only the kernel knows of them.
    Verify(verify::VerifyArguments),
    /// List the profiles, or print one as it stands
    Profiles(profiles::ProfilesArguments),
    /// Print the profile format's JSON Schema
    Schema,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs, one JSON document
    Json,
}

/// The result of a verb: its output, or a one-line error.
type VerbResult = Result<VerbOutput, ToolError>;

/// The output of a verb, for stdout, and its exit code.
struct VerbOutput {
    text: String,
    code: u8,
}

impl VerbOutput {
    fn success(text: impl Into<String>) -> VerbResult {
        Ok(VerbOutput { text: text.into(), code: 0 })
    }
}

/// Runs the verb of the command line, and returns the exit code: 0, 1 when the answer is no, 2
/// for bad input.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Cli::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers; their text goes to stdout.
            let code = if error.use_stderr() { 2 } else { 0 };
            if code == 2 {
                eprint!("{}", visible::lines(&error.render().to_string()));
                return code;
            }
            return if error.print().is_ok() { code } else { 2 };
        }
    };
    let answer = match arguments.verb {
        Verb::Plan(arguments) => plan::run(&arguments),
        Verb::Doctor(arguments) => doctor::run(&arguments),
        Verb::Amend(arguments) => amend::run(&arguments),
        Verb::Events(arguments) => events::run(&arguments),
        Verb::Build(arguments) => build::run(&arguments),
        Verb::Learn(arguments) => learn::run(&arguments),
        Verb::Verify(arguments) => verify::run(&arguments),
        Verb::Profiles(arguments) => profiles::run(&arguments),
        Verb::Schema => VerbOutput::success(schema()),
    };
    match answer {
        Ok(output) => print(&output),
        Err(error) => {
            print_error(&error.to_string());
            2
        }
    }
}

/// Prints an error to stderr, as one line.
fn print_error(what: &str) {
    eprintln!("remit: {}", visible::line(what));
}

/// Prints the output, and returns the exit code. A closed pipe is no error.
fn print(output: &VerbOutput) -> u8 {
    let mut out = io::stdout().lock();
    let newline = if output.text.is_empty() || output.text.ends_with('\n') { "" } else { "\n" };
    match out
        .write_all(visible::lines(&output.text).as_bytes())
        .and_then(|()| out.write_all(newline.as_bytes()))
        .and_then(|()| out.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_error(&format!("cannot write the answer: {error}"));
            2
        }
        _ => output.code,
    }
}
