//! What can be wrong with an input: a variant for each fault, with its arguments.

use std::{fmt, io};

use crate::image::why;
use crate::journal::line::{LineError, StartError};
use crate::kernel::ParseArchError;
use crate::profile::{LONGEST_PATH, ReadError};

/// Why an input cannot be used. Displayed as one line.
#[derive(Debug)]
pub struct Unusable {
    /// The input; `None` where the fault has its name.
    pub name: Option<String>,
    /// The number of the line.
    pub line: Option<u64>,
    /// The fault.
    pub fault: Box<InputFault>,
}

impl Unusable {
    /// The fault of a whole input.
    pub fn of(name: impl fmt::Display, fault: InputFault) -> Unusable {
        Unusable { name: Some(name.to_string()), line: None, fault: Box::new(fault) }
    }

    /// The fault of one line.
    pub(super) fn at(name: &str, line: u64, fault: InputFault) -> Unusable {
        Unusable { name: Some(name.to_owned()), line: Some(line), fault: Box::new(fault) }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            f.write_str(name)?;
            self.line.map_or(Ok(()), |line| write!(f, ":{line}"))?;
            f.write_str(": ")?;
        }
        self.fault.fmt(f)
    }
}

impl std::error::Error for Unusable {}

impl From<InputFault> for Unusable {
    fn from(fault: InputFault) -> Unusable {
        Unusable { name: None, line: None, fault: Box::new(fault) }
    }
}

/// A program that is another in an image than in a run.
#[derive(Debug)]
pub struct OtherContent {
    /// The run.
    pub run: String,
    /// The program.
    pub path: String,
    /// The digest of what the run executed.
    pub executed: String,
    /// The image.
    pub image: String,
    /// The digest of what the image has.
    pub found: String,
}

/// What is wrong with an input.
#[derive(Debug)]
pub enum InputFault {
    /// It cannot be read.
    Read(io::Error),
    /// A journal without a line.
    Empty,
    /// A line after the end of the run.
    AfterEnd,
    /// A line that is longer than a line of a journal.
    LongLine,
    /// A line that is none of a journal.
    Line(LineError),
    /// A first line that is none of a journal.
    Start(StartError),
    /// The architecture of the fingerprint is not known.
    Arch(ParseArchError),
    /// The first line has an empty command.
    NoCommand,
    /// An access to a file that is not known.
    Access(String),
    /// A change of the file tree that is not known.
    Change(String),
    /// A path that is not absolute, or not normal.
    Path(String),
    /// A path that is longer than one that a profile can name.
    LongPath,
    /// The journal of a run that ended badly.
    Unclean(UncleanRun),
    /// Two runs are from different architectures: the name and the architecture of each.
    Architectures([(String, String); 2]),
    /// Two runs are of different programs: the name and the program of each.
    Programs([(String, String); 2]),
    /// Two different runs have this name.
    SameName(String),
    /// A fact of the evidence cannot be read.
    Observations,
    /// Evidence of a version that is newer than this one.
    NewerEvidence {
        /// Its version.
        version: u64,
        /// The version that is read here.
        known: u64,
    },
    /// Evidence of a version that never was.
    EvidenceVersion(u64),
    /// A text that is no evidence.
    Evidence(serde_json::Error),
    /// A file of evidence without content.
    EmptyEvidence,
    /// A file of evidence that is no JSON object.
    NoObject,
    /// A program of a run has another content in the image.
    OtherImage(OtherContent),
    /// An expected behaviour that is none.
    Expected(String),
    /// The learned profile is not valid.
    Learned(ReadError),
    /// The amended profile is not valid.
    Amended(ReadError),
    /// A file without an event.
    NoEvents,
    /// A file that is neither a journal nor a file of events.
    NoRun,
}

impl fmt::Display for InputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputFault::Read(error) => write!(f, "cannot be read: {}", why(error)),
            InputFault::Empty => f.write_str("is empty: the run never began"),
            InputFault::AfterEnd => {
                f.write_str("stands after the end of the run; a journal holds one run")
            }
            InputFault::LongLine => f.write_str("is longer than 1 MiB, so it is no line of a journal"),
            InputFault::Line(error) => error.fmt(f),
            InputFault::Start(error) => error.fmt(f),
            InputFault::Arch(error) => write!(f, "fingerprint: {error}"),
            InputFault::NoCommand => f.write_str("names no command"),
            InputFault::Access(access) => {
                write!(f, "access {access:?} is none; expected read, write, create, list or ioctl")
            }
            InputFault::Change(op) => write!(
                f,
                "op {op:?} is none; expected create, symlink, mknod, bind, mkdir, remove, truncate, rename, link, \
                 chmod, chown or utime"
            ),
            InputFault::Path(path) => write!(f, "path {path:?} is not absolute and normal"),
            InputFault::LongPath => write!(f, "has a path of more than {LONGEST_PATH} bytes"),
            InputFault::Unclean(run) => write!(
                f,
                "{run}; a profile of it would lack what comes later (remove it, or take it with --accept-unclean)"
            ),
            InputFault::Architectures([(first, arch), (run, other)]) => write!(
                f,
                "run {first} is from {arch}, run {run} from {other}; a profile is for one architecture, so build one for each"
            ),
            InputFault::Programs([(first, command), (run, other)]) => write!(
                f,
                "run {first} is of {command}, run {run} of {other}; build a profile for each program"
            ),
            InputFault::SameName(run) => write!(
                f,
                "two runs have the name {run}, and are not the same; rename one of them in its first line"
            ),
            InputFault::Observations => {
                f.write_str("has observations that cannot be read; build it again from the journals")
            }
            InputFault::NewerEvidence { version, known } => write!(
                f,
                "version {version} of the evidence is newer than this remit, which reads {known}; use a newer remit"
            ),
            InputFault::EvidenceVersion(version) => write!(f, "version {version} of the evidence never was"),
            InputFault::Evidence(error) => write!(f, "is no evidence file: {error}"),
            InputFault::EmptyEvidence => {
                f.write_str("is empty; expected an evidence file, as remit build writes it")
            }
            InputFault::NoObject => {
                f.write_str("is no evidence file; expected a JSON object, as remit build writes it")
            }
            InputFault::OtherImage(other) => {
                let OtherContent { run, path, executed, image, found } = other;
                write!(
                    f,
                    "run {run} executed {path} with the content {executed}, and {image} has {found}; name the image in \
                     which the runs were made"
                )
            }
            InputFault::Expected(behaviour) => write!(
                f,
                "--expect {behaviour}: is no behaviour; expected signal:, label:, program:, listen:, connect:, syscall: or \
                 capability: and what has to be seen"
            ),
            InputFault::Learned(error) => write!(f, "what was learned is no valid profile: {error}"),
            InputFault::Amended(error) => write!(f, "the amended profile is not valid: {error}"),
            InputFault::NoEvents => {
                f.write_str("has no event of remit; expected lines that begin {\"remit\":1")
            }
            InputFault::NoRun => f.write_str(
                "is neither a journal nor a file of events; expected a first line {\"journal\":1,…}, or lines that \
                 begin {\"remit\":1",
            ),
        }
    }
}

impl std::error::Error for InputFault {}

/// How a run ended badly.
#[derive(Debug)]
pub enum UncleanRun {
    /// Its journal has no end.
    NoEnd,
    /// It was stopped before it was ready, after so many milliseconds.
    BeforeReady(u64),
    /// It says so itself.
    Bad,
    /// Its last line has no count of the lines.
    Uncounted,
    /// Lines are missing.
    Lines {
        /// How many there are by its last line.
        written: u64,
        /// How many were read.
        read: u64,
    },
}

impl fmt::Display for UncleanRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UncleanRun::NoEnd => f.write_str("has no end: the run was killed, or is not over"),
            // In the form `0.8 s`.
            UncleanRun::BeforeReady(after) => {
                write!(f, "was stopped after {}.{} s, before it was ready", after / 1000, after / 100 % 10)
            }
            UncleanRun::Bad => f.write_str("ended badly"),
            UncleanRun::Uncounted => {
                f.write_str("does not say in its last line how many lines it has, so some may be missing")
            }
            UncleanRun::Lines { written, read } => {
                write!(f, "says that it has {written} lines, and has {read}")
            }
        }
    }
}
