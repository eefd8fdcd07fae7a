//! The messages of the init. Its own are diagnostics. In the place of tini and dumb-init
//! they go to the same descriptor with the same prefix, and those that scripts, manuals
//! and the two programs' own tests quote have the same words (tini 0.19, dumb-init 1.2.5).

use std::fmt;

use nix::errno::Errno;
use tracing::Level;

use crate::event::log;
use crate::sys::process::StateChange;
use crate::sys::signal;

/// The dialect of the messages: that of the init which remit-init replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogDialect {
    /// Remit's own diagnostics.
    Own,
    /// tini's messages, up to its verbosity: 1 is warnings, 4 is all.
    Tini(usize),
    /// dumb-init's messages.
    DumbInit {
        /// Its `-v`: without it dumb-init writes nothing.
        debug: bool,
    },
}

/// An event of the init that it may log.
#[derive(Clone, Copy, Debug)]
pub enum InitEvent<'a> {
    /// The app was started: its argv\[0\] and its pid.
    Spawned(&'a str, i32),
    /// The app has a session of its own.
    OwnSession,
    /// The init is a child subreaper (PR_SET_CHILD_SUBREAPER(2const)).
    Subreaper,
    /// Orphans are not reparented to the init: it is neither PID 1 nor a subreaper.
    NoReaper,
    /// The init gave its terminal up (ioctl_tty(2), TIOCNOTTY).
    TerminalGivenUp,
    /// The init has no terminal to give up: the errno.
    TerminalNotGivenUp(Errno),
    /// A signal that TIOCNOTTY sent, which is not forwarded.
    HandOffSignal(i32),
    /// The init received this signal.
    Received(i32),
    /// The first signal is forwarded as the second one.
    Translated(i32, i32),
    /// This signal was forwarded.
    Forwarded(i32),
    /// This signal was not forwarded.
    Dropped(i32),
    /// The app was gone when a signal was forwarded.
    AppGone,
    /// The init stops, as the app has stopped.
    Suspending,
    /// A child was reaped: its pid, and how it ended.
    Reaped(i32, StateChange),
    /// The app was reaped: how it ended.
    AppEnded(StateChange),
    /// The app has ended, and this child goes on in its place (`--follow`).
    Follows(i32),
    /// `-w`: an orphan with this pid was reaped.
    Orphan(i32),
    /// No child is waitable.
    NothingToReap {
        /// No child is left.
        alone: bool,
    },
    /// The init exits with this code.
    Goodbye(u8),
    /// A line on a remaining process.
    Note(&'a str),
}

const STDOUT: i32 = 1;
const STDERR: i32 = 2;

impl LogDialect {
    /// Logs an event where the level includes it, and never waits for a reader.
    pub fn log(self, event: InitEvent<'_>) {
        // The level first: most events are below it, and need no text.
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

    /// Whether the level includes the remaining processes at the end.
    pub fn logs_remaining(self) -> bool {
        match self {
            LogDialect::Own => tracing::enabled!(Level::INFO),
            LogDialect::Tini(verbosity) => verbosity > 1,
            LogDialect::DumbInit { debug } => debug,
        }
    }
}

/// One macro a level, since tracing has a static callsite for each.
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
        InitEvent::Spawned(..) | InitEvent::NoReaper | InitEvent::AppEnded(_) => Level::INFO,
        InitEvent::Follows(_) | InitEvent::Note(_) => Level::INFO,
        InitEvent::Received(_) | InitEvent::NothingToReap { .. } => Level::TRACE,
        _ => Level::DEBUG,
    }
}

/// Displays an event as remit's own message. The text is made only where it is written.
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
            InitEvent::Follows(pid) => write!(f, "the app goes on as pid={pid}"),
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
        InitEvent::Spawned(..) | InitEvent::AppEnded(_) | InitEvent::Follows(_) | InitEvent::Note(_) => INFO,
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
