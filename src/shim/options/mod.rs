//! The command line and the environment: a flag beats the environment, which beats the profile.
//! As tini or dumb-init the shim takes their options, and its own long options too.

mod error;
mod text;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

pub use self::error::{UsageError, ValueFault};
pub use self::text::HELP;
use super::dialect::Dialect;
use super::error::StartupError;
use crate::enforce::launch::Terminal;
use crate::event::{Destination, Level, ModeSource, Redaction};
use crate::profile::{self, Mode};

/// The options of a run, by flags and the environment.
pub struct Options {
    /// The init that it behaves as.
    pub dialect: Dialect,
    /// The profile that was named.
    pub profile: Option<OsString>,
    /// The mode that was named, and whether by a flag or by the environment.
    pub mode: Option<(Mode, ModeSource)>,
    /// Where events go.
    pub events: Destination,
    /// Whether a flag or the environment named that destination.
    pub events_named: bool,
    /// Which events are written.
    pub level: Level,
    /// How arguments are redacted in events.
    pub redaction: Redaction,
    /// Where a learning run is written: a directory, or `-` for stderr.
    pub learn_dir: Option<OsString>,
    /// The workload of a learning run.
    pub label: Option<String>,
    /// A learning run watches every call.
    pub exact: bool,
    /// Inherited descriptors that the app is given.
    pub keep_fds: Vec<i32>,
    /// The file that names the process to go on with when the app's first one has ended.
    pub follow: Option<PathBuf>,
    /// The user that the app runs as: `USER[:GROUP]`.
    pub run_as: Option<String>,
    /// The time between SIGTERM and SIGKILL, where it was named.
    pub grace: Option<Duration>,
    /// How long a SIGTERM is delayed before it is forwarded.
    pub drain: Duration,
    /// Be a subreaper.
    pub subreaper: bool,
    /// Signals are sent to the app's process group.
    pub group: bool,
    /// Whether the app shares the init's session and process group.
    pub terminal: Terminal,
    /// Signals that are forwarded as others, or as 0 not at all.
    pub rewrite: BTreeMap<i32, i32>,
    /// The signal that has the init log its zombies and stuck processes.
    pub status: Option<i32>,
    /// The signal that the app gets when its parent ends (PR_SET_PDEATHSIG).
    pub parent_death: Option<i32>,
    /// Exit codes that become 0.
    pub remap: Vec<u8>,
    /// Each reaped orphan is logged.
    pub warn_reaped: bool,
    /// How much is logged: 0 is errors and warnings.
    pub verbosity: usize,
    /// COMMAND and its arguments.
    pub command: Vec<OsString>,
}

/// What the command line has remit-init do: run COMMAND, or print a text.
pub enum CommandLine {
    /// Run COMMAND with these options.
    Run(Box<Options>),
    /// Print this text on stdout and exit with 0.
    Print(String),
    /// Print this text on stderr, as dumb-init does, and exit with 0.
    PrintError(String),
    /// Print what can be enforced here.
    Doctor {
        /// Print it as JSON, and not as text.
        json: bool,
    },
}

type EnvLookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The init to behave as: by `--as` where that is the first option, else by `argv[0]`.
///
/// # Errors
/// The name of `--as` is not known.
pub fn dialect(args: &mut Vec<OsString>) -> Result<Dialect, StartupError> {
    let called = args.first().map_or(Dialect::Remit, |name| Dialect::of(name));
    let Some(first) = args.get(1).and_then(|arg| arg.to_str()) else { return Ok(called) };
    let (taken, name) = match first.strip_prefix("--as") {
        Some("") => (2, args.get(2).map(|name| name.to_string_lossy().into_owned())),
        Some(rest) if rest.starts_with('=') => (1, Some(rest[1..].to_owned())),
        _ => return Ok(called),
    };
    let dialect = name.as_deref().and_then(Dialect::named).ok_or_else(|| {
        let name = name.unwrap_or_default();
        StartupError::Usage(UsageError::Dialect(name))
    })?;
    args.drain(1..=taken);
    Ok(dialect)
}

/// Reads argv and the environment.
///
/// # Errors
/// What is wrong and what was expected, worded as this dialect's init writes it.
pub fn read(args: Vec<OsString>, dialect: Dialect, env: EnvLookup<'_>) -> Result<CommandLine, StartupError> {
    // An empty variable is taken for an unset one, but for tini's two switches, which count when
    // they are set.
    let env: EnvLookup<'_> = &|name: &str| {
        let switch = matches!(name, "TINI_SUBREAPER" | "TINI_KILL_PROCESS_GROUP");
        env(name).filter(|value| switch || !value.is_empty())
    };
    let mut reading = OptionReader {
        options: Options::new(dialect, env)?,
        name: args.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        mode: None,
        events: None,
        separated: false,
    };
    let words = args.clone();
    let mut parser = lexopt::Parser::from_iter(args);
    while let Some(arg) = parser.next().map_err(|error| reading.wrong(error))? {
        let printed = match arg {
            Value(command) => {
                reading.options.command.push(command);
                let rest = parser.raw_args().map_err(|error| reading.wrong(error))?;
                reading.options.command.extend(rest);
                break;
            }
            Short(flag) => reading.short(flag, &mut parser)?,
            Long(flag) => {
                let flag = flag.to_owned();
                reading.long(&flag, &mut parser)?
            }
        };
        if let Some(printed) = printed {
            return Ok(printed);
        }
    }
    let before = words.len() - reading.options.command.len();
    reading.separated = words[..before].last().is_some_and(|word| word == "--");
    reading.end(env)
}

/// A command line that has been read in part.
struct OptionReader {
    options: Options,
    name: String,
    // The environment is not read where there is a flag, so an invalid value of it does not fail.
    mode: Option<(Mode, ModeSource)>,
    events: Option<OsString>,
    /// COMMAND came after `--`.
    separated: bool,
}

/// Every long option, to name the nearest of a mistyped one.
const LONG: [&str; 20] = [
    "profile",
    "mode",
    "events",
    "learn-dir",
    "label",
    "exact",
    "run-as",
    "keep-fd",
    "follow",
    "grace",
    "drain",
    "doctor",
    "status",
    "setsid",
    "rewrite",
    "single-child",
    "help",
    "version",
    "verbose",
    "as",
];

impl OptionReader {
    /// The last component of `argv[0]`.
    fn base_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    fn short(
        &mut self,
        flag: char,
        parser: &mut lexopt::Parser,
    ) -> Result<Option<CommandLine>, StartupError> {
        let dumb_init = self.options.dialect == Dialect::DumbInit;
        match flag {
            'h' => return Ok(Some(self.help())),
            'V' if dumb_init => return Ok(Some(CommandLine::PrintError(text::version(Dialect::DumbInit)))),
            'v' => self.options.verbosity += 1,
            'c' if self.options.dialect != Dialect::Tini => self.options.terminal = Terminal::Shared,
            'r' if self.options.dialect != Dialect::Tini => self.rewrite(parser)?,
            _ if dumb_init => return Err(self.unknown(&format!("-{flag}"))),
            's' => self.options.subreaper = true,
            'g' => self.options.group = true,
            'w' => self.options.warn_reaped = true,
            'l' => return Ok(Some(CommandLine::Print(text::LICENSE.to_owned()))),
            'p' => {
                let value = self.value(parser)?;
                let signal = values::signal("-p", &value);
                self.options.parent_death = Some(signal.map_err(|why| self.invalid("-p", &value, why))?);
            }
            'e' => {
                let value = self.value(parser)?;
                let code = values::code(&value).map_err(|why| self.invalid("-e", &value, why))?;
                self.options.remap.push(code);
            }
            _ => return Err(self.unknown(&format!("-{flag}"))),
        }
        Ok(None)
    }

    fn long(&mut self, flag: &str, parser: &mut lexopt::Parser) -> Result<Option<CommandLine>, StartupError> {
        let dumb_init = self.options.dialect == Dialect::DumbInit;
        match flag {
            "profile" => self.options.profile = Some(self.value(parser)?),
            "mode" => self.mode = Some((values::mode("--mode", &self.value(parser)?)?, ModeSource::Flag)),
            "events" => self.events = Some(self.value(parser)?),
            "learn-dir" => {
                let directory = self.value(parser)?;
                if directory.is_empty() {
                    let fault = ValueFault::NoDirectory;
                    let why = UsageError::Value { option: "--learn-dir", fault };
                    return Err(self.invalid("--learn-dir", &directory, why));
                }
                self.options.learn_dir = Some(directory);
            }
            "label" => self.options.label = Some(values::label("--label", &self.value(parser)?)?),
            "exact" => self.options.exact = true,
            "run-as" => self.options.run_as = Some(self.value(parser)?.to_string_lossy().into_owned()),
            "keep-fd" => {
                self.options.keep_fds.push(values::descriptor("--keep-fd", &self.value(parser)?)?);
            }
            "follow" => self.options.follow = Some(values::pid_file("--follow", self.value(parser)?)?),
            "grace" => self.options.grace = Some(values::duration("--grace", &self.value(parser)?)?),
            "drain" => self.options.drain = values::duration("--drain", &self.value(parser)?)?,
            "status" => self.options.status = Some(values::signal("--status", &self.value(parser)?)?),
            "setsid" => self.options.terminal = Terminal::Session,
            "doctor" => return Ok(Some(values::doctor(parser.optional_value())?)),
            "help" => return Ok(Some(self.help())),
            "version" if dumb_init => {
                return Ok(Some(CommandLine::PrintError(text::version(Dialect::DumbInit))));
            }
            "version" => return Ok(Some(CommandLine::Print(text::version(self.options.dialect)))),
            "single-child" => self.options.terminal = Terminal::Shared,
            "rewrite" => self.rewrite(parser)?,
            "verbose" => self.options.verbosity += 1,
            "as" => return Err(UsageError::AsNotFirst.into()),
            // getopt_long(3) takes what begins one name alone for that.
            start if dumb_init => match &LONG.iter().filter(|l| l.starts_with(start)).collect::<Vec<_>>()[..]
            {
                [whole] => return self.long(whole, parser),
                _ => return Err(self.unknown(&format!("--{start}"))),
            },
            _ => return Err(self.unknown(&format!("--{flag}"))),
        }
        Ok(None)
    }

    fn help(&self) -> CommandLine {
        match self.options.dialect {
            Dialect::Remit => CommandLine::Print(HELP.to_owned()),
            Dialect::Tini => CommandLine::Print(text::tini_usage(self.base_name())),
            Dialect::DumbInit => CommandLine::PrintError(text::dumb_init_help(&self.name)),
        }
    }

    fn value(&self, parser: &mut lexopt::Parser) -> Result<OsString, StartupError> {
        parser.value().map_err(|error| self.wrong(error))
    }

    fn rewrite(&mut self, parser: &mut lexopt::Parser) -> Result<(), StartupError> {
        let value = self.value(parser)?;
        let dialect = self.options.dialect;
        let (from, to) = values::rewrite(&value, dialect).map_err(|why| match dialect {
            Dialect::DumbInit => StartupError::Verbatim(text::DUMB_INIT_REWRITE.to_owned()),
            _ => StartupError::Usage(why),
        })?;
        self.options.rewrite.insert(from, to);
        Ok(())
    }

    /// An invalid value; as tini, with tini's message.
    fn invalid(&self, option: &'static str, value: &OsString, why: UsageError) -> StartupError {
        match self.options.dialect {
            Dialect::Tini => UsageError::OfTini { option, value: value.clone() }.into(),
            _ => why.into(),
        }
    }

    /// An unknown option.
    fn unknown(&self, flag: &str) -> StartupError {
        let name = &self.name;
        match (self.options.dialect, flag.strip_prefix("--")) {
            (Dialect::Remit, long) => {
                let nearest = long.and_then(|long| profile::nearest(long, LONG));
                UsageError::Option { flag: flag.to_owned(), nearest }.into()
            }
            (Dialect::Tini, long) => {
                let letter = if long.is_some() { "-" } else { flag.trim_start_matches('-') };
                let usage = text::tini_usage(self.base_name());
                StartupError::Verbatim(format!("{name}: invalid option -- '{letter}'\n{usage}"))
            }
            (Dialect::DumbInit, Some(_)) => {
                StartupError::Verbatim(format!("{name}: unrecognized option '{flag}'\n"))
            }
            (Dialect::DumbInit, None) => {
                let letter = flag.trim_start_matches('-');
                StartupError::Verbatim(format!("{name}: invalid option -- '{letter}'\n"))
            }
        }
    }

    /// An error of the parser.
    fn wrong(&self, error: lexopt::Error) -> StartupError {
        let name = &self.name;
        match (self.options.dialect, error) {
            (Dialect::Remit, error) => UsageError::Parser(error).into(),
            (dialect, lexopt::Error::MissingValue { option: Some(option) }) => {
                let letter = option.trim_start_matches('-');
                let usage = match dialect {
                    Dialect::Tini => text::tini_usage(self.base_name()),
                    _ => String::new(),
                };
                StartupError::Verbatim(format!("{name}: option requires an argument -- '{letter}'\n{usage}"))
            }
            (_, error) => StartupError::Verbatim(format!("{name}: {error}\n")),
        }
    }

    fn end(mut self, env: EnvLookup<'_>) -> Result<CommandLine, StartupError> {
        self.options.mode = match self.mode {
            Some(mode) => Some(mode),
            None => env("REMIT_MODE")
                .map(|v| Ok::<_, UsageError>((values::mode("REMIT_MODE", &v)?, ModeSource::Environment)))
                .transpose()?,
        };
        if self.options.label.is_none() {
            self.options.label = env("REMIT_LABEL").map(|v| values::label("REMIT_LABEL", &v)).transpose()?;
        }
        if let Some(text) = env("REMIT_LEARN_EXACT") {
            self.options.exact |= values::switch("REMIT_LEARN_EXACT", &text)?;
        }
        if let Some(destination) = self.events.take().or_else(|| env("REMIT_EVENTS")) {
            self.options.events = Destination::parse(&destination).map_err(UsageError::Events)?;
            self.options.events_named = true;
        }
        self.options.level = match env("REMIT_EVENTS_LEVEL") {
            Some(text) => Level::parse(&text.to_string_lossy()).map_err(UsageError::Events)?,
            None => self.options.events.default_level(),
        };
        match self.options.dialect {
            Dialect::Remit if self.options.command.is_empty() => {
                return Err(UsageError::NoCommand.into());
            }
            Dialect::Tini if self.options.command.is_empty() => {
                return Err(StartupError::Verbatim(text::tini_usage(self.base_name())));
            }
            Dialect::DumbInit if self.options.command.is_empty() => {
                return Err(StartupError::Verbatim(text::dumb_init_usage(&self.name)));
            }
            Dialect::Tini if !self.separated && env("POSIXLY_CORRECT").is_none() => {
                separate(&mut self.options.command)
            }
            _ => {}
        }
        if self.options.terminal == Terminal::Session {
            self.options.group = true;
        }
        Ok(CommandLine::Run(Box::new(self.options)))
    }
}

/// tini's usage is `PROGRAM -- ARGS`: its getopt(3) takes the first `--` out, behind
/// PROGRAM too. Here only where nothing before it looks like an option, which tini would
/// have taken for its own.
fn separate(command: &mut Vec<OsString>) {
    let Some(at) = command.iter().position(|word| word == "--") else { return };
    let option = |word: &OsString| word.to_str().is_none_or(|word| word.starts_with('-'));
    if !command[..at].iter().any(option) {
        command.remove(at);
    }
}

impl Options {
    fn new(dialect: Dialect, env: EnvLookup<'_>) -> Result<Options, StartupError> {
        let redaction = match env("REMIT_EVENTS_ARGS") {
            Some(text) => Redaction::parse(&text.to_string_lossy()).map_err(UsageError::Events)?,
            None => Redaction::Secrets,
        };
        let tini = dialect != Dialect::DumbInit;
        let is = |name: &str, value: &str| !tini && env(name).is_some_and(|set| set == value);
        let verbosity = match env("TINI_VERBOSITY") {
            Some(text) if tini => values::verbosity(dialect, &text)?,
            _ => usize::from(dialect == Dialect::Tini || is("DUMB_INIT_DEBUG", "1")),
        };
        Ok(Options {
            dialect,
            profile: env("REMIT_PROFILE"),
            mode: None,
            events: Destination::Stderr,
            events_named: false,
            level: Level::Violation,
            redaction,
            learn_dir: env("REMIT_LEARN_DIR"),
            label: None,
            exact: false,
            keep_fds: Vec::new(),
            follow: None,
            run_as: None,
            grace: None,
            drain: Duration::ZERO,
            subreaper: tini && env("TINI_SUBREAPER").is_some(),
            group: tini && env("TINI_KILL_PROCESS_GROUP").is_some(),
            terminal: match dialect {
                Dialect::DumbInit if is("DUMB_INIT_SETSID", "0") => Terminal::Shared,
                Dialect::DumbInit => Terminal::Session,
                _ => Terminal::Group,
            },
            rewrite: BTreeMap::new(),
            status: None,
            parent_death: None,
            remap: Vec::new(),
            warn_reaped: false,
            verbosity,
            command: Vec::new(),
        })
    }

    /// How much of remit-init's own diagnostics is logged; as tini or dumb-init, errors and
    /// warnings alone.
    pub fn own_verbosity(&self) -> usize {
        match self.dialect {
            Dialect::Remit => self.verbosity,
            Dialect::Tini | Dialect::DumbInit => 0,
        }
    }
}

#[cfg(test)]
mod tests;
