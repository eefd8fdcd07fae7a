//! A single permission of a profile, and what is printed with it.

use std::path::PathBuf;

use super::conditions::RegisterTest;
use super::support::Support;
use crate::ids::Uid;
use crate::profile::{
    ArgPattern, Capability, Endpoint, Mode, OnViolation, ProgramPlace, Ready, Rights, RunAs,
};

/// One permission of a profile, as a review prints it.
#[derive(Clone, Debug)]
pub struct Permission {
    /// What is permitted.
    pub what: Permitted,
    /// JSON Pointer of the entry that permits it. Where a section is absent and its absence permits
    /// it, the section's pointer; the document's (empty) where no section has to do with it.
    pub pointer: String,
    /// The group or section by which the entry permits it: `@core`, `@runtime`, `files`.
    pub through: Option<&'static str>,
    /// Line in the profile's text, from 1: of the entry, or of the nearest part of its pointer that
    /// is there.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// One plain sentence. It may have text of the profile: escape it where it is printed.
    pub sentence: String,
    /// How much an attacker gains by it.
    pub risk: RiskLevel,
    /// Why the risk is what it is.
    pub risk_reason: String,
    /// The author's reason.
    pub why: Option<String>,
    /// The runs that needed it, where there is an evidence file.
    pub support: Option<Support>,
}

/// How much an attacker who controls a process gains, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RiskLevel {
    /// Next to nothing.
    Low,
    /// A step further inside the container, or data of the app.
    Moderate,
    /// Tools, persistence, other hosts, or a large part of the kernel.
    High,
    /// A way out of the container, or no confinement at all.
    Critical,
}

impl RiskLevel {
    /// Every level, from least to most.
    pub const ALL: [RiskLevel; 4] =
        [RiskLevel::Low, RiskLevel::Moderate, RiskLevel::High, RiskLevel::Critical];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            RiskLevel::Low => "low",
            RiskLevel::Moderate => "moderate",
            RiskLevel::High => "high",
            RiskLevel::Critical => "critical",
        }
    }
}

/// An entry of `programs`, or a program that an entry with `beneath` covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramKey {
    /// The file, or the directory.
    pub path: PathBuf,
    /// Every file below the directory that has no entry of its own.
    pub beneath: bool,
    /// One applet of a multi-call binary; `None`: the file by whatever name it is called.
    pub applet: Option<String>,
}

impl ProgramKey {
    /// The key of an entry.
    pub fn of(program: &crate::profile::Program) -> ProgramKey {
        ProgramKey {
            path: program.place.path().to_owned(),
            beneath: matches!(program.place, ProgramPlace::Beneath(_)),
            applet: program.applet.clone(),
        }
    }
}

/// A limit of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitName {
    /// Processes in the container.
    Processes,
    /// RLIMIT_NOFILE.
    OpenFiles,
    /// RLIMIT_FSIZE, in bytes.
    FileSize,
    /// RLIMIT_CORE, in bytes.
    Core,
}

impl LimitName {
    /// Its key in `limits`.
    pub const fn word(self) -> &'static str {
        match self {
            LimitName::Processes => "processes",
            LimitName::OpenFiles => "open_files",
            LimitName::FileSize => "file_size",
            LimitName::Core => "core",
        }
    }
}

/// What a profile permits by one grant, or by the absence of a restriction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permitted {
    /// Another mode than `enforce`: nothing is refused.
    Mode(Mode),
    /// `fallback: degrade`: it starts where the kernel lacks what the profile needs.
    Degrade,
    /// What does not follow on a violation: the process goes on (`deny`), or the container does
    /// (`kill`).
    GoOn(OnViolation),
    /// Refused reads are not reported.
    UnseenReads,
    /// Refused reads of secrets are not reported.
    UnseenSecrets,
    /// The ids of the app; `None`: those that the container was started with.
    RunAs(Option<RunAs>),
    /// A capability, an upper bound.
    Capability(Capability),
    /// A file, or each file below a directory, may be executed.
    Program(ProgramKey),
    /// COMMAND may be this program.
    Entry(ProgramKey),
    /// One program may execute another.
    Transition {
        /// The program that executes.
        from: ProgramKey,
        /// The program that is executed.
        to: ProgramKey,
    },
    /// Arguments after argv\[0\] (or the applet's name); `None`: any.
    Arguments(ProgramKey, Option<Vec<ArgPattern>>),
    /// The interpreter runs this script.
    Interpreter(ProgramKey, PathBuf),
    /// The content of a program, by its SHA-256 in hex; `None`: any that the file has at start.
    Content(ProgramKey, Option<String>),
    /// Below a directory, a file may be executed though it did not come with the image.
    NotOfImage(ProgramKey),
    /// A user as which the program may run; `None`: any.
    ProgramUser(ProgramKey, Option<Uid>),
    /// Live processes of the program; `None`: any number.
    Instances(ProgramKey, Option<u32>),
    /// A path from which it may map code; `None`: every file that it may read.
    Libraries(ProgramKey, Option<PathBuf>),
    /// One right on a path and all below it.
    File {
        /// The path.
        path: PathBuf,
        /// One right.
        right: Rights,
    },
    /// One right of `@elsewhere`: on all that exists at start but programs, /proc, /sys and /dev.
    Elsewhere(Rights),
    /// `@runtime`: the files that standard input, output and error are open on, by their names.
    StandardFiles,
    /// `@gpu`: the devices /dev/nvidia*, to read, write and control.
    NvidiaDevices,
    /// `@elsewhere`: devices that the engine passed in, and data below directories of programs.
    EngineDevices,
    /// Bind, or listen on, an endpoint.
    Listen(Endpoint),
    /// Connect to an endpoint.
    Connect(Endpoint),
    /// A system call.
    Call {
        /// Its name.
        call: &'static str,
        /// Alternatives for the registers, each a conjunction; an empty one: any arguments.
        alternatives: Vec<Vec<RegisterTest>>,
        /// The section that decides on what the call acts, whatever lists the call: `files`,
        /// `programs`, `network`, `memory`.
        decided_by: Option<&'static str>,
        /// It is refused once start-up is over.
        startup_only: bool,
    },
    /// Start-up, with the calls that only it has, lasts until this.
    StartupUntil(Ready),
    /// Memory may be writable and executable.
    WriteExecute,
    /// A limit; `None`: none, or the inherited one.
    Limit(LimitName, Option<u64>),
    /// A variable, or the beginning of its name and `*`, is neither dropped nor refused, whatever
    /// its value names.
    KeepVariable(String),
    /// A variable that the other profile drops is passed on. Only comparisons have it.
    PassVariable(String),
}

impl Permitted {
    /// The kind of the permission, as JSON has it: `file`, `transition`, `call`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Permitted::Mode(_) => "mode",
            Permitted::Degrade => "fallback",
            Permitted::GoOn(_) => "on_violation",
            Permitted::UnseenReads => "unseen_reads",
            Permitted::UnseenSecrets => "unseen_secrets",
            Permitted::RunAs(_) => "run_as",
            Permitted::Capability(_) => "capability",
            Permitted::Program(_) => "program",
            Permitted::Entry(_) => "entry",
            Permitted::Transition { .. } => "transition",
            Permitted::Arguments(..) => "arguments",
            Permitted::Interpreter(..) => "interpreter",
            Permitted::Content(..) => "content",
            Permitted::NotOfImage(_) => "not_of_image",
            Permitted::ProgramUser(..) => "user",
            Permitted::Instances(..) => "instances",
            Permitted::Libraries(..) => "libraries",
            Permitted::File { .. }
            | Permitted::Elsewhere(_)
            | Permitted::StandardFiles
            | Permitted::NvidiaDevices
            | Permitted::EngineDevices => "file",
            Permitted::Listen(_) => "listen",
            Permitted::Connect(_) => "connect",
            Permitted::Call { .. } => "call",
            Permitted::StartupUntil(_) => "startup",
            Permitted::WriteExecute => "memory",
            Permitted::Limit(..) => "limit",
            Permitted::KeepVariable(_) | Permitted::PassVariable(_) => "environment",
        }
    }
}
