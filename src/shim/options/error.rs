//! What is wrong with the command line, or with a variable that stands for an option.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::event::SettingError;
use crate::profile::TextError;
use crate::shim::dialect::Dialect;

/// What is wrong: one line that says what was expected.
#[derive(Debug)]
pub enum UsageError {
    /// There is no COMMAND.
    NoCommand,
    /// `--as` comes behind another option.
    AsNotFirst,
    /// The name of `--as` is not that of a [`Dialect`].
    Dialect(String),
    /// There is no such option.
    Option {
        /// The option, with its dashes.
        flag: String,
        /// The option whose name is nearest to it, without dashes.
        nearest: Option<&'static str>,
    },
    /// The parser cannot read the command line.
    Parser(lexopt::Error),
    /// An option or a variable has an invalid value.
    Value {
        /// The option, with its dashes, or the variable.
        option: &'static str,
        /// What is wrong with it.
        fault: ValueFault,
    },
    /// An option has an invalid value, and the message is tini's.
    OfTini {
        /// The option, with its dashes.
        option: &'static str,
        /// The value on the command line.
        value: OsString,
    },
    /// A setting of events has an invalid value.
    Events(SettingError),
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueFault {
    /// It is no format of `--doctor`.
    Format(String),
    /// It is no mode.
    Mode(String),
    /// It is no label of a workload.
    Label(String),
    /// It is no switch.
    Switch(String),
    /// It is no number of a descriptor from 3 on.
    Descriptor(String),
    /// It is no absolute path.
    PidFile(PathBuf),
    /// It is no duration; the message of the profile's reader.
    Duration(TextError),
    /// It is no signal.
    Signal {
        /// The value on the command line.
        text: String,
        /// The signal whose name is nearest to it.
        nearest: Option<String>,
    },
    /// It is no pair of signals.
    Rewrite(String),
    /// It is a signal that dumb-init does not have.
    Above31(i32),
    /// It is no exit code.
    Code(String),
    /// It is no level of verbosity.
    Verbosity(String),
    /// It is empty where a directory is expected.
    NoDirectory,
}

impl UsageError {
    /// Whether an init of this dialect would have refused it too. A fault in a setting that only
    /// remit-init has fails with remit-init's exit code.
    pub fn is_of(&self, dialect: Dialect) -> bool {
        let own = matches!(
            self,
            UsageError::Value {
                fault: ValueFault::Mode(_)
                    | ValueFault::Label(_)
                    | ValueFault::Switch(_)
                    | ValueFault::Descriptor(_)
                    | ValueFault::PidFile(_),
                ..
            }
        );
        dialect != Dialect::Remit && !own
    }
}

/// The most bytes that a label has.
pub(super) const LONGEST_LABEL: usize = 64;

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::NoCommand => {
                f.write_str("no COMMAND; expected remit-init [options] [--] COMMAND [ARG...], see --help")
            }
            UsageError::AsNotFirst => f.write_str("--as: has to be the first option of all"),
            UsageError::Dialect(name) => {
                write!(f, "--as: unknown name `{name}`; expected remit-init, tini or dumb-init")
            }
            UsageError::Option { flag, nearest } => {
                write!(f, "{flag} is no option; ")?;
                if let Some(word) = nearest {
                    write!(f, "did you mean --{word}? ")?;
                }
                f.write_str("see --help, or put -- before COMMAND")
            }
            UsageError::Parser(error) => write!(f, "{error}; see --help"),
            UsageError::Value { option, fault } => write!(f, "{option}: {fault}"),
            UsageError::OfTini { option, value } => {
                write!(f, "Not a valid option for {option}: {}", value.display())
            }
            UsageError::Events(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UsageError {}

impl fmt::Display for ValueFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueFault::Format(text) => write!(f, "`{text}` is no format; expected text or json"),
            ValueFault::Mode(text) => {
                write!(f, "invalid mode `{text}`; expected enforce, audit, learn or off")
            }
            ValueFault::Label(text) => write!(
                f,
                "`{}` is no label; expected a word of at most {LONGEST_LABEL} bytes without a comma, such as \
                 backup",
                text.escape_debug()
            ),
            ValueFault::Descriptor(text) => {
                write!(f, "`{}` is no descriptor; expected a number from 3 on", text.escape_debug())
            }
            ValueFault::PidFile(path) => write!(f, "{path:?} is no absolute path, such as /run/nginx.pid"),
            ValueFault::Switch(text) => write!(f, "`{text}` is no switch; expected 1 or 0"),
            ValueFault::Duration(why) => why.fmt(f),
            ValueFault::Signal { text, nearest } => {
                write!(f, "`{text}` is no signal; ")?;
                if let Some(name) = nearest {
                    write!(f, "did you mean {name}? ")?;
                }
                f.write_str("expected a name such as TERM or RTMIN+3, or a number 1 to 64")
            }
            ValueFault::Rewrite(text) => write!(
                f,
                "`{text}` is no rewriting; expected SIGNAL:SIGNAL, such as TERM:QUIT or 15:3, or SIGNAL:0"
            ),
            ValueFault::Above31(signal) => write!(f, "{signal} is above 31"),
            ValueFault::Code(text) => write!(f, "`{text}` is no exit code; expected a number 0 to 255"),
            ValueFault::Verbosity(text) => write!(f, "`{text}` is no level; expected 0 to 3"),
            ValueFault::NoDirectory => f.write_str("it is empty; name a directory, or `-` for stderr"),
        }
    }
}
