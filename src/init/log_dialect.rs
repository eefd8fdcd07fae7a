//! The messages of the init. Its own are diagnostics. In the place of tini and dumb-init
//! they go to the same descriptor with the same prefix, and those that scripts, manuals
//! and the two programs' own tests quote have the same words (tini 0.19, dumb-init 1.2.5).

use std::fmt;

use nix::errno::Errno;
use tracing::Level;

use crate::event::log;
use crate::sys::process::StateChange;
use crate::sys::signal;

/// In whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogDialect {
    /// Its own.
    Own,
    /// tini's, with its level of verbosity: 1 is warnings, and 4 all.
    Tini(usize),
    /// dumb-init's, where it is asked to debug.
    DumbInit {
        /// Say anything at all.
        debug: bool,
    },
}

/// What is seen.
#[derive(Clone, Copy, Debug)]
pub enum InitEvent<'a> {
    /// The app has been started.
    Spawned(&'a str, i32),
    /// It has a session of its own.
    OwnSession,
    /// Orphans come to the init.
    Subreaper,
    /// They do not.
    NoReaper,
    /// The init gave the terminal up.
    TerminalGivenUp,
    /// There is none to give up.
    TerminalNotGivenUp(Errno),
    /// A signal that came of giving it up.
    HandOffSignal(i32),
    /// A signal came.
    Received(i32),
    /// It will be another one.
    Translated(i32, i32),
    /// It was sent on.
    Forwarded(i32),
    /// It was not.
    Dropped(i32),
    /// There was nobody to send it to.
    AppGone,
    /// The init stops, as its app has.
    Suspending,
    /// A child was reaped.
    Reaped(i32, StateChange),
    /// It was the app.
    AppEnded(StateChange),
    /// `-w`: an orphan was.
    Orphan(i32),
    /// No child is left, or none has ended.
    NothingToReap {
        /// None is left at all.
        alone: bool,
    },
    /// The container ends with this code.
    Goodbye(u8),
    /// What is wrong with somebody else, or what was done about it.
    Note(&'a str),
}

const STDOUT: i32 = 1;
const STDERR: i32 = 2;

impl LogDialect {
    /// Says it, if it is asked for, and never waits for whoever should read it.
    pub fn log(self, event: InitEvent<'_>) {
        // A level first: most of what happens is told to nobody, and costs no words.
        let line = match self {
            LogDialect::Own => return own(event),
            LogDialect::Tini(verbosity) if tini_level(event) <= verbosity => Some(tini(event)),
            LogDialect::DumbInit { debug: true } => dumb_init(event),
            LogDialect::Tini(_) | LogDialect::DumbInit { debug: false } => None,
        };
        let Some(line) = line else { return };
        let (to, line) = match self {
            LogDialect::Tini(_) => {
                let (name, to) = TINI_LEVELS[tini_level(event)];
                (to, format!("[{name} tini ({})] {line}", std::process::id()))
            }
            _ => (STDERR, format!("[dumb-init] {line}")),
        };
        log::write_without_waiting(to, line);
    }

    /// Whether anybody wants to know what is left at the end.
    pub fn logs_remaining(self) -> bool {
        match self {
            LogDialect::Own => tracing::enabled!(Level::INFO),
            LogDialect::Tini(verbosity) => verbosity > 1,
            LogDialect::DumbInit { debug } => debug,
        }
    }
}

/// One call a level: each is a place in the program with a record of its own.
fn own(event: InitEvent<'_>) {
    match own_level(event) {
        Level::WARN => tracing::warn!("{}", OwnMessage(event)),
        Level::INFO => tracing::info!("{}", OwnMessage(event)),
        Level::DEBUG => tracing::debug!("{}", OwnMessage(event)),
        _ => tracing::trace!("{}", OwnMessage(event)),
    }
}

fn own_level(event: InitEvent<'_>) -> Level {
    match event {
        InitEvent::Orphan(_) => Level::WARN,
        InitEvent::Spawned(..) | InitEvent::NoReaper | InitEvent::AppEnded(_) | InitEvent::Note(_) => {
            Level::INFO
        }
        InitEvent::Received(_) | InitEvent::NothingToReap { .. } => Level::TRACE,
        _ => Level::DEBUG,
    }
}

/// A event in our own words, found only where somebody reads them.
struct OwnMessage<'a>(InitEvent<'a>);

impl fmt::Display for OwnMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = signal::name;
        match self.0 {
            InitEvent::Spawned(program, pid) => write!(f, "started {program} pid={pid}"),
            InitEvent::OwnSession => f.write_str("the app has a session of its own"),
            InitEvent::Subreaper => f.write_str("is a subreaper"),
            InitEvent::NoReaper => f.write_str("orphans do not come here: be PID 1, or use -s"),
            InitEvent::TerminalGivenUp => f.write_str("the terminal is the app's"),
            InitEvent::TerminalNotGivenUp(errno) => write!(f, "no terminal to give to the app: {errno}"),
            InitEvent::HandOffSignal(number) => {
                write!(f, "{} came of the terminal, and is not forwarded", name(number))
            }
            InitEvent::Received(number) => write!(f, "received {}", name(number)),
            InitEvent::Translated(from, to) => write!(f, "{} becomes {}", name(from), name(to)),
            InitEvent::Forwarded(number) => write!(f, "forwarded {}", name(number)),
            InitEvent::Dropped(number) => write!(f, "{} is not forwarded", name(number)),
            InitEvent::AppGone => f.write_str("the app had ended when the signal came"),
            InitEvent::Suspending => f.write_str("stopped along with the app"),
            InitEvent::Reaped(pid, change) => write!(f, "reaped {pid} code={}", code(change)),
            InitEvent::AppEnded(StateChange::Signalled(by)) => write!(f, "the app was ended by {}", name(by)),
            InitEvent::AppEnded(change) => write!(f, "the app ended code={}", code(change)),
            InitEvent::Orphan(pid) => write!(f, "an orphan was reaped pid={pid}"),
            InitEvent::NothingToReap { alone: true } => f.write_str("no child is left"),
            InitEvent::NothingToReap { alone: false } => f.write_str("no other child has ended"),
            InitEvent::Goodbye(code) => write!(f, "ends code={code}"),
            InitEvent::Note(text) => f.write_str(text),
        }
    }
}

/// 128+n for a signal.
fn code(change: StateChange) -> i32 {
    match change {
        StateChange::Exited(code) => code,
        StateChange::Signalled(signal) => 128 + signal,
        StateChange::Stopped(..) => 128,
    }
}

/// tini's levels: a name, and where it is said.
const TINI_LEVELS: [(&str, i32); 5] =
    [("FATAL", STDERR), ("WARN ", STDERR), ("INFO ", STDOUT), ("DEBUG", STDOUT), ("TRACE", STDOUT)];
const WARN: usize = 1;
const INFO: usize = 2;
const DEBUG: usize = 3;
const TRACE: usize = 4;

fn tini_level(event: InitEvent<'_>) -> usize {
    match event {
        InitEvent::AppGone | InitEvent::Orphan(_) | InitEvent::NoReaper => WARN,
        InitEvent::Spawned(..) | InitEvent::AppEnded(_) | InitEvent::Note(_) => INFO,
        InitEvent::Received(_) | InitEvent::Reaped(..) => DEBUG,
        _ => TRACE,
    }
}

/// In tini's words, where they are known for it, and else in our own.
fn tini(event: InitEvent<'_>) -> String {
    let named = signal::description;
    match event {
        InitEvent::Spawned(program, pid) => format!("Spawned child process '{program}' with pid '{pid}'"),
        InitEvent::Received(libc::SIGCHLD) => "Received SIGCHLD".to_owned(),
        InitEvent::Received(number) => format!("Passing signal: '{}'", named(number)),
        InitEvent::AppGone => "Child was dead when forwarding signal".to_owned(),
        InitEvent::Reaped(pid, _) => format!("Reaped child with pid: '{pid}'"),
        InitEvent::AppEnded(StateChange::Signalled(by)) => {
            format!("Main child exited with signal (with signal '{}')", named(by))
        }
        InitEvent::AppEnded(change) => format!("Main child exited normally (with status '{}')", code(change)),
        InitEvent::Orphan(pid) => format!("Reaped zombie process with pid={pid}"),
        InitEvent::NoReaper => NO_REAPER.to_owned(),
        other => OwnMessage(other).to_string(),
    }
}

const NO_REAPER: &str = "\
Tini is not running as PID 1 and isn't registered as a child subreaper.
Zombie processes will not be re-parented to Tini, so zombie reaping won't work.
To fix the problem, use the -s option or set the environment variable TINI_SUBREAPER to \
register Tini as a child subreaper, or run Tini as PID 1.";

/// In dumb-init's words, where its tests look for them, and else in our own; nothing
/// where it says nothing, since its tests look for the whole of what it says.
fn dumb_init(event: InitEvent<'_>) -> Option<String> {
    Some(match event {
        InitEvent::Spawned(_, pid) => format!("Child spawned with PID {pid}."),
        InitEvent::OwnSession => "setsid complete.".to_owned(),
        InitEvent::HandOffSignal(number) => format!("Ignoring tty hand-off signal {number}."),
        InitEvent::Received(number) => format!("Received signal {number}."),
        InitEvent::Forwarded(number) => format!("Forwarded signal {number} to children."),
        InitEvent::Reaped(pid, StateChange::Exited(code)) => {
            format!("A child with PID {pid} exited with exit status {code}.")
        }
        InitEvent::Goodbye(code) => format!("Child exited with status {code}. Goodbye."),
        InitEvent::Subreaper
        | InitEvent::NoReaper
        | InitEvent::AppGone
        | InitEvent::AppEnded(_)
        | InitEvent::Orphan(_)
        | InitEvent::NothingToReap { .. } => return None,
        other => OwnMessage(other).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_words_of_the_replaced_init_where_it_is_quoted() {
        let killed = InitEvent::Reaped(7, StateChange::Signalled(9));
        let exited = InitEvent::Reaped(7, StateChange::Exited(3));
        for (event, as_tini, as_dumb_init) in [
            (
                InitEvent::Spawned("sh", 7),
                "Spawned child process 'sh' with pid '7'",
                "Child spawned with PID 7.",
            ),
            (InitEvent::Received(15), "Passing signal: 'Terminated'", "Received signal 15."),
            (exited, "Reaped child with pid: '7'", "A child with PID 7 exited with exit status 3."),
            (killed, "Reaped child with pid: '7'", "reaped 7 code=137"),
            (InitEvent::Translated(1, 10), "HUP becomes USR1", "HUP becomes USR1"),
        ] {
            assert_eq!(tini(event), as_tini);
            assert_eq!(dumb_init(event).as_deref(), Some(as_dumb_init));
        }
        assert_eq!(dumb_init(InitEvent::Orphan(3)), None);
        assert_eq!(tini(InitEvent::Orphan(3)), "Reaped zombie process with pid=3");
        assert_eq!(tini_level(InitEvent::Orphan(3)), WARN);
    }
}
