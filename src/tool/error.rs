//! Why a verb has no answer.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use nix::errno::Errno;

use super::check::CheckError;
use super::process_end::ProcessEnd;
use super::ready::READY;
use crate::enforce;
use crate::enforce::source::{FileFault, LoadError, beside};
use crate::exchange::ConversionError;
use crate::filter;
use crate::image::archive::ImageError;
use crate::image::why;
use crate::kernel::{ParseReleaseError, Release};
use crate::learn::{InputFault, Unusable};
use crate::plan::PlanError;
use crate::profile::{ReadError, embedded};
use crate::reach::compare::OtherArch;
use crate::reach::{ReachError, ReachFileFault};
use crate::review::item::UnknownItem;
use crate::sys::{CallError, signal};

/// Why a verb has no answer: one line.
#[derive(Debug)]
pub(super) enum ToolError {
    /// A system call failed.
    Call(CallError),
    /// This environment cannot be examined, or a confinement not be prepared.
    Enforce(enforce::Error),
    /// A profile cannot be loaded.
    Profile(LoadError),
    /// A profile of `remit profiles` is not embedded in the shim.
    OnlyReady(String),
    /// A profile that the tool has made is none.
    Made(ReadError),
    /// Journals, evidence or events cannot be used.
    Learn(Unusable),
    /// A check has no answer.
    Check(CheckError),
    /// An image cannot be read.
    Image(ImageError),
    /// There is no plan of a profile.
    Plan {
        /// What messages call the profile.
        profile: String,
        error: PlanError,
    },
    /// The filter of a plan, which is printed with it, cannot be compiled.
    Filter {
        /// What messages call the profile.
        profile: String,
        error: filter::FilterError,
    },
    /// A profile cannot be written in a foreign format, or be made of one.
    Exchange {
        /// What messages call the file or profile.
        name: String,
        error: ConversionError,
    },
    /// The value of an option of `remit import` is not of its form.
    Option(ConversionError),
    /// A directory that an export would replace has a file that no export writes.
    NotOwnDirectory { path: PathBuf, name: OsString },
    /// A file or directory cannot be opened, read or made.
    File { path: PathBuf, error: io::Error },
    /// What `remit build` was given cannot be opened or read.
    Input { path: PathBuf, error: io::Error },
    /// A directory cannot be made.
    NoDirectory { path: PathBuf, error: io::Error },
    /// A file cannot be written.
    Write { path: PathBuf, error: io::Error },
    /// A path has no last part that could be a file's name.
    NoFileName(PathBuf),
    /// A path is not UTF-8, as that of a profile has to be.
    NotUtf8(PathBuf),
    /// A directory has no journal.
    NoJournals(PathBuf),
    /// A profile has no evidence beside it.
    NoEvidence(PathBuf),
    /// A proposal would be written over the profile that it is for.
    Itself(PathBuf),
    /// A file to write is one that is read.
    IsInput(PathBuf),
    /// No profile of `remit profiles` has this name.
    NoProfile(String),
    /// The value of `--kernel` is no release.
    Kernel(ParseReleaseError),
    /// The kernel of `--kernel` is older than a plan can be made for.
    OldKernel(Release),
    /// This kernel cannot be examined.
    ThisKernel(enforce::Error),
    /// The working directory, which COMMAND is relative to, is not known.
    Command { word: String, error: io::Error },
    /// COMMAND, or another program, is in no directory of PATH.
    NotInPath(String),
    /// COMMAND has no last part that could name a profile.
    NoName,
    /// The profile cannot be written where it is to be.
    Output { path: PathBuf, errno: Errno },
    /// The profile is there already, and was not named.
    OutputExists(PathBuf),
    /// stdin is among files that are followed.
    FollowedStdin,
    /// The shim ended before the app began.
    NotStarted(ProcessEnd),
    /// The shim left no journal.
    NoJournal { directory: PathBuf, how: ProcessEnd },
    /// There is no profile of what a run has left.
    NotBuilt { error: Box<ToolError>, journals: PathBuf },
    /// The shim that was named cannot be examined.
    Shim { path: PathBuf, error: io::Error },
    /// The shim that was named may not be executed.
    NoExecutable(PathBuf),
    /// There is no shim.
    NoShim,
    /// A word of a command line, or a variable, holds a NUL byte.
    Nul(OsString),
    /// COMMAND or its environment holds a NUL byte.
    CommandNul,
    /// A script did not end with 0.
    Script {
        /// The option that names it.
        option: &'static str,
        script: OsString,
        how: ProcessEnd,
    },
    /// A signal ended the drop test.
    Interrupted(i32),
    /// The first run of the drop test did not start.
    NoFullRun,
    /// COMMAND cannot be traced.
    NotTraced(Errno),
    /// There is no directory for the profiles of the drop test: the last one that was tried.
    NoFolder(Option<(PathBuf, io::Error)>),
    /// What `remit explain` was given is no item of a profile.
    Item(UnknownItem),
    /// A log has no violation where one was named.
    Event { path: PathBuf, line: Option<u64>, what: String },
    /// A report cannot be written from its templates.
    Report(String),
    /// The self-test could not be done.
    SelfTest(SelfTestError),
    /// A program cannot be analysed.
    Reach {
        /// The image in which it was looked for; none for this machine.
        image: Option<String>,
        error: ReachError,
    },
    /// A file of `--reach` is no answer of `remit reach`.
    ReachFile { path: PathBuf, error: ReachFileFault },
    /// What is reachable was found for another architecture.
    OtherArch(OtherArch),
    /// `--complete` cannot add to a profile, and why.
    Complete(String),
    /// A profile names no program by path that is there.
    NoProgram(String),
    /// Interpreters of a script are scripts themselves, more of them than the kernel goes through.
    Interpreters(PathBuf),
}

/// Why the self-test could not be done.
#[derive(Debug)]
pub(super) enum SelfTestError {
    /// `--step` has a word that is none of its steps.
    Step,
    /// A part of it failed.
    Part { what: &'static str, errno: Errno },
    /// Its directory cannot be made.
    Folder { path: PathBuf, errno: Errno },
    /// Its child ended before it had tried all.
    Child {
        status: ExitStatus,
        /// The first line that it wrote to stderr.
        line: String,
    },
    /// Its child wrote no start event.
    NoStart,
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToolError::Call(error) => error.fmt(f),
            ToolError::Enforce(error) => error.fmt(f),
            // The shim's advice is for the image in which it runs.
            ToolError::Profile(LoadError::File { path, fault: FileFault::Unreadable(error) }) => {
                f.write_str("profile ")?;
                of_file(path, error, f)
            }
            ToolError::Profile(error) => error.fmt(f),
            ToolError::OnlyReady(name) => write!(
                f,
                "profile {name}: is not embedded, but one to be copied into an image; `remit profiles {name} \
                 >{name}.json` writes it, name that file"
            ),
            ToolError::Made(error) => error.fmt(f),
            ToolError::Learn(error) => error.fmt(f),
            ToolError::Check(error) => error.fmt(f),
            ToolError::Image(error) => write!(f, "--image: {error}"),
            ToolError::Plan { profile, error } => write!(f, "{profile}: {error}"),
            ToolError::Exchange { name, error } => write!(f, "{name}: {error}"),
            ToolError::Option(error) => write!(f, "{error}"),
            ToolError::NotOwnDirectory { path, name } => write!(
                f,
                "{}: has {}, which no export writes, and would be replaced; name another directory",
                path.display(),
                name.display()
            ),
            ToolError::Filter { profile, error } => write!(f, "{profile}: {error}"),
            ToolError::File { path, error } => of_file(path, error, f),
            ToolError::Input { path, error } if error.kind() == io::ErrorKind::NotFound => write!(
                f,
                "{}: not found; expected a journal, a folder of journals or a profile that was built",
                path.display()
            ),
            ToolError::Input { path, error } => of_file(path, error, f),
            ToolError::Write { path, error } => {
                write!(f, "{}: cannot be written: {}", path.display(), why(error))?;
                f.write_str(match error.kind() {
                    io::ErrorKind::NotFound => "; make its directory first",
                    io::ErrorKind::IsADirectory => "; name a file in it",
                    _ => "",
                })
            }
            ToolError::NoDirectory { path, error } if error.kind() == io::ErrorKind::AlreadyExists => {
                write!(f, "{}: is no directory; name one", path.display())
            }
            ToolError::NoDirectory { path, error } => {
                write!(f, "{}: no directory can be made there: {}", path.display(), why(error))
            }
            ToolError::NoFileName(path) => write!(f, "{}: is no name of a file", path.display()),
            ToolError::NotUtf8(path) => write!(f, "{}: its name is not UTF-8", path.display()),
            ToolError::NoJournals(path) => write!(f, "{}: holds no journal (*.jsonl)", path.display()),
            ToolError::NoEvidence(path) => {
                let beside = beside(path);
                write!(f, "{}: has no {} beside it, from which to build", path.display(), beside.display())
            }
            ToolError::Itself(path) => write!(
                f,
                "{}: is the profile itself; a proposal is a file of its own, to be looked at first",
                path.display()
            ),
            ToolError::IsInput(path) => {
                write!(f, "{}: is read too, and would be overwritten; name another file", path.display())
            }
            ToolError::NoProfile(name) => {
                let ready = READY.iter().map(|ready| ready.name);
                let all: Vec<&str> = embedded::NAMES.into_iter().chain(ready).collect();
                write!(f, "no profile is called `{name}`; there are {}", all.join(", "))
            }
            ToolError::Kernel(error) => write!(f, "--kernel: {error}"),
            ToolError::OldKernel(release) => {
                write!(f, "--kernel: {release} is too old; expected {} or later", Release::OLDEST)
            }
            ToolError::ThisKernel(error) => {
                write!(f, "--kernel this: {error}; name a release, such as 6.12")
            }
            ToolError::Command { word, error } => write!(f, "COMMAND `{word}`: {error}"),
            ToolError::NotInPath(word) => {
                write!(f, "`{word}` is in no directory of PATH; name its path, with a slash in it")
            }
            ToolError::NoName => f.write_str("COMMAND is no name of a program; name one"),
            ToolError::Output { path, errno } => {
                write!(f, "{}: no profile can be written there: {}", path.display(), errno.desc())?;
                f.write_str(if *errno == Errno::ENOENT { "; make its directory first" } else { "" })
            }
            ToolError::OutputExists(path) => write!(
                f,
                "{0}: is there already; -o {0} replaces it, --base {0} continues it under another name",
                path.display()
            ),
            ToolError::FollowedStdin => {
                f.write_str("--follow: - is stdin, which is read to its end by itself; name files or - alone")
            }
            ToolError::NotStarted(how) => {
                write!(f, "the run did not start: remit-init ended {how}, and says above why")
            }
            ToolError::NoJournal { directory, how } => write!(
                f,
                "{}: remit-init ended {how} and left no journal there; is it one that can learn?",
                directory.display()
            ),
            ToolError::NotBuilt { error, journals } => {
                write!(f, "{error}; the journals are in {}", journals.display())
            }
            ToolError::Shim { path, error } => write!(f, "--shim {}: {}", path.display(), why(error)),
            ToolError::NoExecutable(path) => {
                write!(f, "--shim {}: is no file that may be executed", path.display())
            }
            ToolError::NoShim => f.write_str(
                "remit-init is neither beside remit nor in a directory of PATH; name it with --shim FILE",
            ),
            ToolError::Nul(word) => write!(f, "{word:?} holds a NUL byte"),
            ToolError::CommandNul => f.write_str("COMMAND holds a NUL byte"),
            ToolError::Script { option, script, how } => {
                write!(f, "{option} `{}` ended {how}", script.display())
            }
            ToolError::Interrupted(by) => {
                write!(f, "--drop-test: ended by {}, before all was tried", signal::name(*by))
            }
            ToolError::NoFullRun => f.write_str("the full run did not start; what it says stands above"),
            ToolError::NotTraced(errno) => write!(
                f,
                "--drop-test: COMMAND cannot be traced here: {errno}; where ptrace(2) is refused, nothing sees \
                 what the kernel refuses"
            ),
            ToolError::NoFolder(tried) => {
                f.write_str("--drop-test: no place for its profiles: ")?;
                match tried {
                    Some((path, error)) => write!(f, "{}: {}", path.display(), why(error))?,
                    None => f.write_str("the app may write wherever it was tried")?,
                }
                f.write_str("; name one by TMPDIR")
            }
            ToolError::Item(error) => error.fmt(f),
            ToolError::Event { path, line: Some(line), what } => {
                write!(f, "{}:{line}: {what}", path.display())
            }
            ToolError::Event { path, line: None, what } => write!(f, "{}: {what}", path.display()),
            ToolError::Report(error) => write!(f, "the report cannot be written: {error}"),
            ToolError::SelfTest(error) => error.fmt(f),
            ToolError::Reach {
                image,
                error: error @ (ReachError::NoLibrary { .. } | ReachError::NoLoader { .. }),
            } => match image {
                Some(image) => write!(f, "{image}: {error}; name the image that the app runs in"),
                None => write!(f, "{error}; name the image by --image"),
            },
            ToolError::Reach { error, .. } => error.fmt(f),
            ToolError::ReachFile { path, error } => write!(f, "{}: {error}", path.display()),
            ToolError::OtherArch(error) => error.fmt(f),
            ToolError::Complete(what) => write!(f, "--complete: {what}"),
            ToolError::NoProgram(profile) => {
                write!(
                    f,
                    "profile {profile}: names no program by path that is there; name programs, or --image DIR|TAR"
                )
            }
            ToolError::Interpreters(path) => {
                write!(
                    f,
                    "{}: is a script whose interpreters are scripts; name the program that runs it",
                    path.display()
                )
            }
        }
    }
}

fn of_file(path: &Path, error: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}: ", path.display())?;
    match error.kind() {
        io::ErrorKind::NotFound => f.write_str("not found; name a file that is there"),
        io::ErrorKind::IsADirectory => f.write_str("is a directory; name the file in it"),
        io::ErrorKind::NotADirectory => f.write_str("a part of its path is no directory; name a file"),
        io::ErrorKind::PermissionDenied => write!(f, "{}; make it readable for this user", why(error)),
        _ => f.write_str(&why(error)),
    }
}

impl fmt::Display for SelfTestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SelfTestError::Step => f.write_str("--step: is the self-test's own; leave it out"),
            SelfTestError::Part { what, errno } => write!(f, "self-test: {what}: {errno}"),
            SelfTestError::Folder { path, errno } => {
                write!(f, "self-test: {}: {errno}; name another folder by TMPDIR", path.display())
            }
            SelfTestError::Child { status, line } => {
                write!(f, "self-test: the child did not come through: {status}: {line}")
            }
            SelfTestError::NoStart => f.write_str("self-test: the child was started without a start event"),
        }
    }
}

impl std::error::Error for ToolError {}

impl From<CallError> for ToolError {
    fn from(error: CallError) -> ToolError {
        ToolError::Call(error)
    }
}

impl From<enforce::Error> for ToolError {
    fn from(error: enforce::Error) -> ToolError {
        ToolError::Enforce(error)
    }
}

impl From<LoadError> for ToolError {
    fn from(error: LoadError) -> ToolError {
        ToolError::Profile(error)
    }
}

impl From<InputFault> for ToolError {
    fn from(fault: InputFault) -> ToolError {
        ToolError::Learn(fault.into())
    }
}

impl From<Unusable> for ToolError {
    fn from(error: Unusable) -> ToolError {
        ToolError::Learn(error)
    }
}

impl From<CheckError> for ToolError {
    fn from(error: CheckError) -> ToolError {
        ToolError::Check(error)
    }
}

impl From<ImageError> for ToolError {
    fn from(error: ImageError) -> ToolError {
        ToolError::Image(error)
    }
}

impl From<SelfTestError> for ToolError {
    fn from(error: SelfTestError) -> ToolError {
        ToolError::SelfTest(error)
    }
}
