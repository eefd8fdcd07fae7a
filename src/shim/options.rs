//! The command line and the environment: a flag beats the environment, which beats
//! the profile.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::event::{Destination, Level, Redaction, Source};
use crate::profile::{Mode, RunAs};

/// What `-l` prints.
const LICENSE: &str = "\
remit is licensed under the Apache License, Version 2.0, provided \"AS IS\", without
warranties or conditions of any kind: https://www.apache.org/licenses/LICENSE-2.0
";

/// What `--help` prints. Every flag stands here, and a test holds it against the
/// README.
pub const HELP: &str = "\
remit-init: confine the app to its intent profile, and be its PID 1

Usage: remit-init [options] [--] COMMAND [ARG...]

Options end at COMMAND, or at --.

Confinement:
  --profile FILE|NAME   the intent profile: a file has a slash in its name, an
                        embedded one (baseline, strict, nginx, static) none;
                        FILE@sha256:HEX refuses any other content (REMIT_PROFILE)
  --mode MODE           enforce, audit or off (REMIT_MODE)
  --events DEST         where events go: stderr, a file, fd:N or unix:PATH
                        (REMIT_EVENTS)
  --run-as UID[:GID]    take on these ids, whatever the profile says
  --grace DURATION      how long those who are left have to end before they are
                        killed, once the app has ended: 500ms, 8s (the default), 2m

Init, as tini has it:
  -s                    be a subreaper (TINI_SUBREAPER); always when confining
  -g                    send signals to the app's process group
                        (TINI_KILL_PROCESS_GROUP)
  -p SIGNAL             the app gets this signal when remit-init dies
  -e CODE               this exit code becomes 0; may be repeated
  -w                    say when an orphan is reaped
  -v                    say more; may be repeated (TINI_VERBOSITY)
  -l                    print the licence
  -h, --help            print this
  --version             print the version

The profile is the one named, else /etc/remit/profile.json, else baseline. Called
as tini, docker-init or dumb-init with nothing named, nobody is confined.
REMIT_EVENTS_LEVEL (violation, all) and REMIT_EVENTS_ARGS (full, none) decide what
events hold.

Exit codes: the app's own; 128+n when signal n ended it; 125 when remit-init or the
profile failed; 126 when COMMAND cannot be executed or is not allowed; 127 when it
is not there.
";

/// What was asked for.
pub struct Options {
    /// The profile that was named.
    pub profile: Option<OsString>,
    /// The mode that was named, and by whom.
    pub mode: Option<(Mode, Source)>,
    /// Where events go.
    pub events: Destination,
    /// Which are written.
    pub level: Level,
    /// What becomes of arguments in events.
    pub redaction: Redaction,
    /// Ids to take on.
    pub run_as: Option<RunAs>,
    /// The grace at the end.
    pub grace: Duration,
    /// Be a subreaper.
    pub subreaper: bool,
    /// Signals go to the group.
    pub group: bool,
    /// The parent-death signal.
    pub parent_death: Option<i32>,
    /// Exit codes that become 0.
    pub remap: Vec<u8>,
    /// Reaped orphans are told.
    pub warn_reaped: bool,
    /// How much is told.
    pub verbosity: usize,
    /// COMMAND and its arguments.
    pub command: Vec<OsString>,
}

/// What the command line asks for: a run, or only a text.
pub enum Asked {
    /// Run the command.
    Run(Box<Options>),
    /// Print this, and end well.
    Print(String),
}

/// Reads argv and the environment.
///
/// # Errors
/// One line: what was wrong and what was expected.
pub fn read(
    args: impl IntoIterator<Item = OsString>,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Asked, String> {
    let mut parser = lexopt::Parser::from_iter(args);
    // A variable that is set to nothing is one that nobody set; tini's two switches
    // count by being there.
    let env = &|name: &str| {
        let switch = matches!(name, "TINI_SUBREAPER" | "TINI_KILL_PROCESS_GROUP");
        env(name).filter(|value| switch || !value.is_empty())
    };
    let mut options = Options::from_environment(env)?;
    // The environment only speaks where no flag does, wrong or not.
    let mut mode = None;
    let mut events = None;
    while let Some(arg) = parser.next().map_err(wrong)? {
        match arg {
            Long("profile") => options.profile = Some(parser.value().map_err(wrong)?),
            Long("mode") => {
                mode = Some((read_mode("--mode", &parser.value().map_err(wrong)?)?, Source::Flag))
            }
            Long("events") => events = Some(parser.value().map_err(wrong)?),
            Long("run-as") => options.run_as = Some(read_ids(&parser.value().map_err(wrong)?)?),
            Long("grace") => options.grace = read_duration(&parser.value().map_err(wrong)?)?,
            Short('s') => options.subreaper = true,
            Short('g') => options.group = true,
            Short('p') => options.parent_death = Some(read_signal(&parser.value().map_err(wrong)?)?),
            Short('e') => options.remap.push(read_code(&parser.value().map_err(wrong)?)?),
            Short('w') => options.warn_reaped = true,
            Short('v') => options.verbosity += 1,
            Short('l') => return Ok(Asked::Print(LICENSE.to_owned())),
            Short('h') | Long("help") => return Ok(Asked::Print(HELP.to_owned())),
            Long("version") => {
                return Ok(Asked::Print(version(parser.bin_name().unwrap_or_default())));
            }
            Value(command) => {
                options.command.push(command);
                options.command.extend(parser.raw_args().map_err(wrong)?);
                break;
            }
            unknown => return Err(wrong(unknown.unexpected())),
        }
    }
    options.mode = match mode {
        Some(mode) => Some(mode),
        None => env("REMIT_MODE")
            .map(|v| Ok::<_, String>((read_mode("REMIT_MODE", &v)?, Source::Environment)))
            .transpose()?,
    };
    if let Some(destination) = events.or_else(|| env("REMIT_EVENTS")) {
        options.events = Destination::parse(&destination)?;
    }
    options.level = match env("REMIT_EVENTS_LEVEL") {
        Some(text) => Level::parse(&text.to_string_lossy())?,
        None => options.events.default_level(),
    };
    if options.command.is_empty() {
        return Err("no COMMAND; expected remit-init [options] [--] COMMAND [ARG...], see --help".to_owned());
    }
    Ok(Asked::Run(Box::new(options)))
}

impl Options {
    fn from_environment(env: &dyn Fn(&str) -> Option<OsString>) -> Result<Options, String> {
        let verbosity = env("TINI_VERBOSITY").map_or(Ok(0), |text| {
            text.to_string_lossy().parse::<usize>().map_err(|_| {
                format!("TINI_VERBOSITY: `{}` is no level; expected 0 to 3", text.to_string_lossy())
            })
        })?;
        let redaction = match env("REMIT_EVENTS_ARGS") {
            Some(text) => Redaction::parse(&text.to_string_lossy())?,
            None => Redaction::Secrets,
        };
        Ok(Options {
            profile: env("REMIT_PROFILE"),
            mode: None,
            events: Destination::Stderr,
            level: Level::Violation,
            redaction,
            run_as: None,
            grace: Duration::from_secs(8),
            subreaper: env("TINI_SUBREAPER").is_some(),
            group: env("TINI_KILL_PROCESS_GROUP").is_some(),
            parent_death: None,
            remap: Vec::new(),
            warn_reaped: false,
            verbosity,
            command: Vec::new(),
        })
    }

    /// A path to the profile, where one was named that is a file.
    pub fn profile_path(&self) -> Option<PathBuf> {
        let name = self.profile.as_ref()?;
        name.to_string_lossy().contains('/').then(|| PathBuf::from(name))
    }
}

/// The version; where tini stood, in the form that Docker reads of `docker-init`.
fn version(called_as: &str) -> String {
    const OWN: &str = concat!("remit-init ", env!("CARGO_PKG_VERSION"));
    match called_as.rsplit('/').next() {
        Some("tini" | "tini-static" | "docker-init") => format!("tini version 0.19.0 - {OWN}\n"),
        _ => format!("{OWN}\n"),
    }
}

fn wrong(error: lexopt::Error) -> String {
    format!("{error}; see --help")
}

fn read_mode(who: &str, text: &OsStr) -> Result<Mode, String> {
    match text.to_string_lossy().as_ref() {
        "enforce" => Ok(Mode::Enforce),
        "audit" => Ok(Mode::Audit),
        "learn" => Err(format!("{who}: `learn` is not there yet; expected enforce, audit or off")),
        "off" => Ok(Mode::Off),
        other => Err(format!("{who}: `{other}` is no mode; expected enforce, audit or off")),
    }
}

fn read_ids(text: &OsStr) -> Result<RunAs, String> {
    let text = text.to_string_lossy();
    let (user, group) = text.split_once(':').unwrap_or((&text, &text));
    let id = |part: &str| {
        part.parse::<u32>().ok().filter(|id| *id != u32::MAX).ok_or_else(|| {
            format!(
                "--run-as: `{text}` is no pair of ids; expected numbers, UID or UID:GID, such as 1000:1000"
            )
        })
    };
    Ok(RunAs { user: id(user)?, group: id(group)?, groups: Vec::new() })
}

fn read_duration(text: &OsStr) -> Result<Duration, String> {
    let text = text.to_string_lossy();
    crate::profile::duration(&text).map_err(|error| format!("--grace: {error}"))
}

fn read_signal(text: &OsStr) -> Result<i32, String> {
    let text = text.to_string_lossy();
    let name = text.trim_start_matches("SIG");
    (1..=64)
        .find(|signal| crate::sys::signal::name(*signal) == name || signal.to_string() == name)
        .ok_or_else(|| {
            format!("-p: `{text}` is no signal; expected a name such as SIGKILL or a number 1 to 64")
        })
}

fn read_code(text: &OsStr) -> Result<u8, String> {
    let text = text.to_string_lossy();
    text.parse().map_err(|_| format!("-e: `{text}` is no exit code; expected a number 0 to 255"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(args: &[&str], env: &[(&str, &str)]) -> Result<Options, String> {
        let args = ["remit-init"].iter().chain(args).map(OsString::from);
        let lookup =
            |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        match read(args, &lookup)? {
            Asked::Run(options) => Ok(*options),
            Asked::Print(text) => Err(text),
        }
    }

    #[test]
    fn options_end_at_the_command() {
        let options = asked(&["-sg", "-e", "143", "sh", "-c", "true", "--mode"], &[]).expect("read");
        assert!(options.subreaper && options.group);
        assert_eq!(options.remap, [143]);
        assert_eq!(options.command, ["sh", "-c", "true", "--mode"]);
        assert_eq!(asked(&["--", "-x"], &[]).expect("read").command, ["-x"]);
    }

    #[test]
    fn a_flag_beats_the_environment() {
        let env = [("REMIT_MODE", "audit"), ("REMIT_PROFILE", "strict"), ("REMIT_EVENTS", "/var/log/e")];
        let options = asked(&["true"], &env).expect("read");
        assert_eq!(options.mode, Some((Mode::Audit, Source::Environment)));
        assert_eq!(options.profile, Some("strict".into()));
        assert_eq!(options.level, Level::All);
        let options = asked(&["--mode", "off", "--profile=/p", "true"], &env).expect("read");
        assert_eq!(options.mode, Some((Mode::Off, Source::Flag)));
        assert_eq!(options.profile_path(), Some("/p".into()));
        assert!(asked(&["--mode", "off", "true"], &[("REMIT_MODE", "enforced")]).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (args, says) in [
            (&[][..], "no COMMAND"),
            (&["--mode", "enforced", "x"], "enforce, audit or off"),
            (&["--grace", "8", "x"], "8s"),
            (&["--run-as", "root", "x"], "UID:GID"),
            (&["--run-as", "4294967295", "x"], "UID:GID"),
            (&["-e", "256", "x"], "0 to 255"),
            (&["-p", "SIGFOO", "x"], "SIGKILL"),
            (&["--frob", "x"], "--frob"),
            (&["--profile"], "--profile"),
        ] {
            let error = asked(args, &[]).err().expect("refused");
            assert!(error.contains(says), "{args:?}: {error}");
        }
        assert_eq!(asked(&["-p", "KILL", "x"], &[]).expect("read").parent_death, Some(9));
    }
}
