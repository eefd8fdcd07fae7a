//! Why the app was not run, worded as the init writes it that the shim behaves as.

use std::fmt;
use std::path::PathBuf;

use nix::errno::Errno;

use super::command::{CommandError, CommandFault};
use super::dialect::Dialect;
use super::options::UsageError;
use super::users::RunAsError;
use crate::enforce::launch::Failure;
use crate::enforce::source::LoadError;
use crate::event::{LogError, SinkError};
use crate::journal::JournalError;
use crate::kernel::NoListener;
use crate::plan::PlanError;
use crate::readiness::notify_socket::NotifySocketError;
use crate::sys::CallError;
use crate::sys::threads::NotMade;
use crate::{enforce, sys, visible};

/// Why the app was not run.
#[derive(Debug)]
pub enum StartupError {
    /// The command line is wrong.
    Usage(UsageError),
    /// The command line is wrong, and this is the whole text that says so.
    Verbatim(String),
    /// COMMAND cannot be executed, or is not allowed.
    Command {
        /// The name on the command line.
        name: String,
        /// Why it cannot be executed.
        error: CommandError,
    },
    /// A system call failed.
    Call(CallError),
    /// The environment cannot be examined, or the confinement not be prepared.
    Enforce(enforce::Error),
    /// The profile cannot be loaded.
    Profile(LoadError),
    /// The user of `--run-as` cannot be resolved.
    RunAs(RunAsError),
    /// The profile cannot be planned here.
    Plan {
        /// What messages call the profile.
        profile: String,
        /// What cannot be planned, and why.
        error: PlanError,
    },
    /// The ids cannot be changed to those of `--run-as`.
    PlannedUser(PlanError),
    /// The kernel lacks what the profile needs: one line.
    MissingFeatures(String),
    /// stat(2) of the file of COMMAND failed.
    Stat {
        /// The file.
        file: PathBuf,
        /// What stat(2) returned.
        error: std::io::Error,
    },
    /// The file of COMMAND was removed since it was found.
    Gone(PathBuf),
    /// `--keep-fd` has a descriptor that is not open.
    NotInherited(i32),
    /// `--keep-fd` has the descriptor that events go to.
    EventsDescriptor(i32),
    /// This argument, or the environment, holds a NUL byte.
    Nul(&'static str),
    /// The destination of events cannot be opened.
    Events(SinkError),
    /// Diagnostics cannot be written in the background.
    Log(LogError),
    /// Learning needs a listener, which cannot be had.
    NoListener(NoListener),
    /// The threads of the supervisor cannot be made.
    Threads(NotMade),
    /// The journal of a learning run cannot be created.
    Journal(JournalError),
    /// The app's NOTIFY_SOCKET cannot be made.
    NotifySocket(NotifySocketError),
    /// A step in the child failed.
    Step {
        /// The file that COMMAND is.
        file: PathBuf,
        /// The step, and why.
        failure: Failure,
    },
    /// The supervisor cannot wait for signals, or not read whether the launch succeeded.
    Supervising(Errno),
    /// A step failed, and the app, which had been started, could not be killed after that.
    NotKilled {
        /// What had failed.
        error: Box<StartupError>,
        /// What kill(2) returned.
        errno: Errno,
    },
}

impl fmt::Display for StartupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartupError::Usage(error) => error.fmt(f),
            StartupError::Verbatim(text) | StartupError::MissingFeatures(text) => f.write_str(text),
            StartupError::Command { error, .. } => error.fault.fmt(f),
            StartupError::Call(error) => error.fmt(f),
            StartupError::Enforce(error) => error.fmt(f),
            StartupError::Profile(error) => error.fmt(f),
            StartupError::RunAs(error) => write!(f, "--run-as: {error}"),
            StartupError::Plan { profile, error } => write!(f, "profile {profile}: {error}"),
            StartupError::PlannedUser(error) => write!(f, "--run-as: {}", error.fault),
            StartupError::Stat { error, .. } => error.fmt(f),
            StartupError::Gone(file) => write!(f, "{}: has just gone", file.display()),
            StartupError::NotInherited(fd) => {
                write!(
                    f,
                    "--keep-fd {fd}: remit-init was started without this descriptor; open it, or leave it out"
                )
            }
            StartupError::EventsDescriptor(fd) => {
                write!(
                    f,
                    "--keep-fd {fd}: events go there, and the app may not write them; give it another one"
                )
            }
            StartupError::Nul(what) => write!(f, "{what} holds a NUL byte"),
            StartupError::Events(error) => error.fmt(f),
            StartupError::Log(error) => error.fmt(f),
            StartupError::Journal(error) => error.fmt(f),
            StartupError::NotifySocket(error) => error.fmt(f),
            StartupError::NoListener(why) => write!(
                f,
                "learning needs a seccomp listener ({why}); run it where there is one (Linux 5.10, and no \
                 listener of another process outside), or use the init alone with --mode off"
            ),
            StartupError::Threads(NotMade::Started(errno)) => {
                write!(f, "a thread cannot be started: {errno}; raise the container's limit of processes")
            }
            StartupError::Threads(NotMade::Listed(errno)) => {
                write!(f, "the supervisor's threads cannot be listed in /proc/self/task: {errno}")
            }
            StartupError::Step { file, failure } => {
                let (name, step, errno) = (file.display(), &failure.step, failure.errno);
                write!(f, "{name}: was not started: step `{step}` failed: {errno}")
            }
            StartupError::Supervising(errno) => write!(f, "supervising: {errno}"),
            StartupError::NotKilled { error, errno } => {
                write!(f, "{error}; and the app could not be ended: {errno}")
            }
        }
    }
}

impl std::error::Error for StartupError {}

impl From<UsageError> for StartupError {
    fn from(error: UsageError) -> StartupError {
        StartupError::Usage(error)
    }
}

impl From<JournalError> for StartupError {
    fn from(error: JournalError) -> StartupError {
        StartupError::Journal(error)
    }
}

impl From<CallError> for StartupError {
    fn from(error: CallError) -> StartupError {
        StartupError::Call(error)
    }
}

impl From<enforce::Error> for StartupError {
    fn from(error: enforce::Error) -> StartupError {
        StartupError::Enforce(error)
    }
}

impl From<LoadError> for StartupError {
    fn from(error: LoadError) -> StartupError {
        StartupError::Profile(error)
    }
}

impl From<RunAsError> for StartupError {
    fn from(error: RunAsError) -> StartupError {
        StartupError::RunAs(error)
    }
}

impl From<SinkError> for StartupError {
    fn from(error: SinkError) -> StartupError {
        StartupError::Events(error)
    }
}

impl From<LogError> for StartupError {
    fn from(error: LogError) -> StartupError {
        StartupError::Log(error)
    }
}

/// The shim or the profile failed.
const FAILED: u8 = 125;
/// COMMAND cannot be executed, or is not allowed.
const NOT_EXECUTABLE: u8 = 126;
/// COMMAND is not there.
const NOT_FOUND: u8 = 127;

impl StartupError {
    /// COMMAND is there and may not be executed.
    pub fn not_allowed(name: String, fault: CommandFault) -> StartupError {
        StartupError::Command {
            name,
            error: CommandError { errno: Errno::EACCES, file: None, fault: Box::new(fault) },
        }
    }

    /// The exit code of an init of this dialect.
    pub fn code(&self, dialect: Dialect) -> u8 {
        match (self, dialect) {
            (StartupError::Usage(error), _) if error.is_of(dialect) => 1,
            (StartupError::Verbatim(_), Dialect::Tini | Dialect::DumbInit) => 1,
            (StartupError::Command { .. }, Dialect::DumbInit) => 2,
            (StartupError::Command { error, .. }, _) => match error {
                CommandError { errno: Errno::ENOENT, file: None, .. } => NOT_FOUND,
                CommandError { errno: Errno::ENOENT, .. } if dialect == Dialect::Tini => NOT_FOUND,
                _ => NOT_EXECUTABLE,
            },
            _ => FAILED,
        }
    }

    /// What an init of this dialect writes to stderr.
    pub fn text(&self, dialect: Dialect) -> String {
        let text = match (self, dialect) {
            (StartupError::Verbatim(text), _) => return visible::lines(text).into_owned(),
            (StartupError::Command { name, error }, Dialect::Tini) => {
                format!("exec {name} failed: {}{}", sys::strerror(error.errno), detail(error))
            }
            (StartupError::Command { name, error }, Dialect::DumbInit) => {
                format!("{name}: {}{}", sys::strerror(error.errno), detail(error))
            }
            _ => self.to_string(),
        };
        // One line for a terminal, whatever a path in it holds.
        let line = visible::line(&text);
        let from = match dialect {
            Dialect::Remit => "remit-init:".to_owned(),
            Dialect::Tini => format!("[FATAL tini ({})]", std::process::id()),
            Dialect::DumbInit => "[dumb-init]".to_owned(),
        };
        format!("{from} {line}\n")
    }
}

/// What the errno alone does not say: which file is missing, or what to do.
fn detail(error: &CommandError) -> String {
    if error.errno == Errno::ENOENT && error.file.is_none() {
        return String::new();
    }
    format!(" ({})", error.fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shim::options::ValueFault;

    #[test]
    fn each_has_its_own_codes_and_words() {
        let written = |error: &StartupError, dialect| (error.code(dialect), error.text(dialect));
        let missing = |file: Option<&str>| {
            let missing = "/bin/bash".into();
            let fault = CommandFault::Needs { file: "/x".into(), role: "#! interpreter", missing };
            let file = file.map(Into::into);
            let error = CommandError { errno: Errno::ENOENT, file, fault: Box::new(fault) };
            StartupError::Command { name: "x".to_owned(), error }
        };
        let pid = std::process::id();
        assert_eq!(
            written(&missing(None), Dialect::Tini),
            (127, format!("[FATAL tini ({pid})] exec x failed: No such file or directory\n"))
        );
        let (code, text) = written(&missing(Some("/x")), Dialect::DumbInit);
        assert_eq!(code, 2);
        assert_eq!(
            text,
            "[dumb-init] x: No such file or directory (/x: its #! interpreter /bin/bash is not there; put it into the image)\n"
        );
        assert_eq!(missing(Some("/x")).code(Dialect::Tini), 127, "as execve(2) has it");
        assert_eq!(missing(Some("/x")).code(Dialect::Remit), 126, "it was found");
        assert_eq!(missing(None).code(Dialect::Remit), 127);
        let usage = StartupError::Usage(UsageError::Dialect("a\nb".to_owned()));
        let line = "remit-init: --as: unknown name `a\\nb`; expected remit-init, tini or dumb-init\n";
        assert_eq!(written(&usage, Dialect::Remit), (125, line.to_owned()));
        assert_eq!(usage.code(Dialect::DumbInit), 1);
        let mode = UsageError::Value { option: "--mode", fault: ValueFault::Mode("x".to_owned()) };
        assert_eq!(StartupError::Usage(mode).code(Dialect::Tini), 125, "tini has no modes");
        let failed = StartupError::MissingFeatures(String::new());
        assert_eq!(failed.code(Dialect::Tini), 125, "no app was tried");
    }
}
