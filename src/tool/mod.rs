//! `remit`, the tool for developers and CI: one module a verb.

#![forbid(unsafe_code)]

mod amend;
mod approve;
mod build;
mod check;
mod completions;
mod diff;
mod doctor;
mod error;
mod events;
mod explain;
mod export;
mod exposure;
mod import;
mod learn;
mod learned;
mod man;
mod named_file;
mod plan;
mod process_end;
mod profiles;
mod progress;
mod reach;
mod ready;
mod remarks;
mod report;
mod reviewed;
mod self_test;
mod session;
mod shim;
mod source;
mod staged;
mod verify;
mod version;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use self::error::ToolError;
pub use self::ready::{READY, ReadyProfile};
use self::staged::StagedFile;
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
    /// It is decided by the plan that `baseline` would have here. In an image that holds
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
    /// Print the events of a log that are remit's own, live, summed up, as incidents or in another
    /// schema
    ///
    /// Lines that the app may have written are left out: each start draws a nonce that all its events
    /// carry. Where a log begins with a start event, lines with its nonce pass; otherwise nothing
    /// does, unless --nonce names a start.
    Events(events::EventsArguments),
    /// Check a profile against requirements, this build's runs, its image and the previous profile
    ///
    /// The gate of a build. It finds what a run did beyond the profile, grants that no run used,
    /// programs and packages that changed since they were learned, code that the app may change,
    /// shells without a reason, and what is wider than the requirements let. Each finding has its
    /// place, a reason, and where one exists the JSON Patch that mends it.
    Check(check::CheckArguments),
    /// Approve a profile as it is, in a lock file that `remit check` compares
    Approve(approve::ApproveArguments),
    /// Run COMMAND and report what a profile would deny it, or what of the profile it needs
    ///
    /// The run is remit-init's, in audit mode: nothing is refused. With --drop-test the profile
    /// is enforced, in full and then without one thing at a time, and the errors that then show
    /// are compared; the app is traced where only the kernel knows of them.
    Verify(verify::VerifyArguments),
    /// Say what one profile permits and another does not, by meaning
    ///
    /// The order of entries, reasons, and whether one entry or several grant something make no
    /// difference, nor does a group in the place of its members. The highest risk comes first, with
    /// the evidence where a file is beside the profile.
    Diff(diff::DiffArguments),
    /// Say in plain sentences what a profile permits and stops, why an item is there, what an event
    /// means
    ///
    /// Of a violation it says what happened, which rule was missing, whether it looks like an intrusion or
    /// a new feature and why, and the exact line that would allow it.
    Explain(explain::ExplainArguments),
    /// Rate a profile from 0 to 10, row by row, beside Docker's default and `baseline`
    Exposure(exposure::ExposureArguments),
    /// Write a profile in the format of a container runtime or of Kubernetes
    ///
    /// Each part of the profile that the format cannot have is a line on stderr. For a runtime the
    /// filter also has the calls that the runtime itself makes before the exec.
    Export(Box<export::ExportArguments>),
    /// Make a profile of what another tool knows: a seccomp profile, Kubescape's or AppArmor's
    ///
    /// Each part of the file that a profile cannot have, or has only wider, is a line on stderr.
    Import(Box<import::ImportArguments>),
    /// Write what a profile allows as one HTML file: for a browser, a phone, a printer
    ///
    /// Programs as a graph, files, network, capabilities, system calls beside Docker's, the evidence
    /// with its learning curve, violations over time, and the difference to another profile. The
    /// file loads nothing and runs nothing; no file of the image is looked at.
    Report(report::ReportArguments),
    /// Say which system calls programs can make, by their machine code, beside what a profile allows
    ///
    /// From the entry point through the libraries that are linked or may be opened: more calls than a
    /// program makes, and none fewer, but for the gaps that it names. See docs/reach.md.
    Reach(reach::ReachArguments),
    /// List the profiles, or print one as it stands
    Profiles(profiles::ProfilesArguments),
    /// Print the profile format's JSON Schema
    #[command(after_help = "Examples:\n  remit schema > profile.schema.json\n\nExit codes: 0 printed.")]
    Schema,
    /// Print a script that completes the words of this tool in a shell
    Completions(completions::CompletionsArguments),
    /// Write the manual pages of this tool and its verbs
    Man(man::ManArguments),
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

/// The output of a verb, for stdout, its files, and its exit code.
struct VerbOutput {
    text: String,
    /// They take their places once stdout has the text.
    files: Vec<StagedFile>,
    code: u8,
    /// No control character is in the text, but those of our own colours.
    is_escaped: bool,
}

impl VerbOutput {
    fn success(text: impl Into<String>) -> VerbResult {
        Ok(VerbOutput::plain(text.into(), 0))
    }

    /// Text that may hold any character.
    fn plain(text: String, code: u8) -> VerbOutput {
        VerbOutput { text, files: Vec::new(), code, is_escaped: false }
    }

    /// Text whose parts were escaped one by one, with colours between them.
    fn escaped(text: String, code: u8) -> VerbOutput {
        VerbOutput { text, files: Vec::new(), code, is_escaped: true }
    }

    /// With files that take their places where the text could be written.
    fn with(mut self, files: impl IntoIterator<Item = StagedFile>) -> VerbOutput {
        self.files.extend(files);
        self
    }
}

/// Runs the verb of the command line, and returns the exit code: 0, 1 when the answer is no, 2
/// for bad input.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Cli::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers; their text goes to stdout.
            if error.kind() == ErrorKind::DisplayVersion {
                return print(VerbOutput::plain(version::version(), 0));
            }
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
        Verb::Approve(arguments) => approve::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Events(arguments) => events::run(&arguments),
        Verb::Build(arguments) => build::run(&arguments),
        Verb::Learn(arguments) => learn::run(&arguments),
        Verb::Verify(arguments) => verify::run(&arguments),
        Verb::Diff(arguments) => diff::run(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Exposure(arguments) => exposure::run(&arguments),
        Verb::Export(arguments) => export::run(&arguments),
        Verb::Import(arguments) => import::run(&arguments),
        Verb::Report(arguments) => report::run(&arguments),
        Verb::Reach(arguments) => reach::run(&arguments),
        Verb::Profiles(arguments) => profiles::run(&arguments),
        Verb::Schema => VerbOutput::success(schema()),
        Verb::Completions(arguments) => completions::run(&arguments, Cli::command()),
        Verb::Man(arguments) => man::run(&arguments, Cli::command()),
    };
    match answer {
        Ok(output) => print(output),
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

/// Prints the output, puts its files in their places, and returns the exit code. A closed pipe is no
/// error.
fn print(output: VerbOutput) -> u8 {
    let mut out = io::stdout().lock();
    let newline = if output.text.is_empty() || output.text.ends_with('\n') { "" } else { "\n" };
    let text =
        if output.is_escaped { Cow::Borrowed(output.text.as_str()) } else { visible::lines(&output.text) };
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(newline.as_bytes()))
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_error(&format!("cannot write the answer: {error}"));
            return 2;
        }
        _ => {}
    }
    match staged::put_all(output.files) {
        Ok(()) => output.code,
        Err(error) => {
            print_error(&error.to_string());
            2
        }
    }
}
