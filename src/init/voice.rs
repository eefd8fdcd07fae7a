//! The messages of the init. Its own are diagnostics. In the place of tini and dumb-init
//! they go to the same descriptor with the same prefix, and those that scripts, manuals
//! and the two programs' own tests quote have the same words (tini 0.19, dumb-init 1.2.5).

use std::fmt;

use nix::errno::Errno;
use tracing::Level;

use crate::event::log;
use crate::sys::process::Change;
use crate::sys::signal;

/// In whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
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
pub enum Sight<'a> {
    /// The app has been started.
    Spawned(&'a str, i32),
    /// It has a session of its own.
    OwnSession,
    /// Orphans come to the init.
    Subreaper,
    /// They do not.
    NoReaper,
    /// The init gave the terminal up.
    GaveTerminalUp,
    /// There is none to give up.
    KeptTerminal(Errno),
    /// A signal that came of giving it up.
    HandOff(i32),
    /// A signal came.
    Received(i32),
    /// It will be another one.
    Translated(i32, i32),
    /// It was sent on.
    Forwarded(i32),
    /// It was not.
    Dropped(i32),
    /// There was nobody to send it to.
    Dead,
    /// The init stops, as its app has.
    Suspending,
    /// A child was reaped.
    Reaped(i32, Change),
    /// It was the app.
    AppEnded(Change),
    /// `-w`: an orphan was.
    Orphan(i32),
    /// No child is left, or none has ended.
    NobodyToReap {
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

impl Voice {
    /// Says it, if it is asked for, and never waits for whoever should read it.
    pub fn tell(self, sight: Sight<'_>) {
        // A level first: most of what happens is told to nobody, and costs no words.
        let line = match self {
            Voice::Own => return own(sight),
            Voice::Tini(verbosity) if tini_level(sight) <= verbosity => Some(tini(sight)),
            Voice::DumbInit { debug: true } => dumb_init(sight),
            Voice::Tini(_) | Voice::DumbInit { debug: false } => None,
        };
        let Some(line) = line else { return };
        let (to, line) = match self {
            Voice::Tini(_) => {
                let (name, to) = TINI_LEVELS[tini_level(sight)];
                (to, format!("[{name} tini ({})] {line}", std::process::id()))
            }
            _ => (STDERR, format!("[dumb-init] {line}")),
        };
        log::write_without_waiting(to, line);
    }

    /// Whether anybody wants to know what is left at the end.
    pub fn is_curious(self) -> bool {
        match self {
            Voice::Own => tracing::enabled!(Level::INFO),
            Voice::Tini(verbosity) => verbosity > 1,
            Voice::DumbInit { debug } => debug,
        }
    }
}

/// One call a level: each is a place in the program with a record of its own.
fn own(sight: Sight<'_>) {
    match own_level(sight) {
        Level::WARN => tracing::warn!("{}", Words(sight)),
        Level::INFO => tracing::info!("{}", Words(sight)),
        Level::DEBUG => tracing::debug!("{}", Words(sight)),
        _ => tracing::trace!("{}", Words(sight)),
    }
}

fn own_level(sight: Sight<'_>) -> Level {
    match sight {
        Sight::Orphan(_) => Level::WARN,
        Sight::Spawned(..) | Sight::NoReaper | Sight::AppEnded(_) | Sight::Note(_) => Level::INFO,
        Sight::Received(_) | Sight::NobodyToReap { .. } => Level::TRACE,
        _ => Level::DEBUG,
    }
}

/// A sight in our own words, found only where somebody reads them.
struct Words<'a>(Sight<'a>);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = signal::name;
        match self.0 {
            Sight::Spawned(program, pid) => write!(f, "started {program} pid={pid}"),
            Sight::OwnSession => f.write_str("the app has a session of its own"),
            Sight::Subreaper => f.write_str("is a subreaper"),
            Sight::NoReaper => f.write_str("orphans do not come here: be PID 1, or use -s"),
            Sight::GaveTerminalUp => f.write_str("the terminal is the app's"),
            Sight::KeptTerminal(errno) => write!(f, "no terminal to give to the app: {errno}"),
            Sight::HandOff(number) => {
                write!(f, "{} came of the terminal, and is not forwarded", name(number))
            }
            Sight::Received(number) => write!(f, "received {}", name(number)),
            Sight::Translated(from, to) => write!(f, "{} becomes {}", name(from), name(to)),
            Sight::Forwarded(number) => write!(f, "forwarded {}", name(number)),
            Sight::Dropped(number) => write!(f, "{} is not forwarded", name(number)),
            Sight::Dead => f.write_str("the app had ended when the signal came"),
            Sight::Suspending => f.write_str("stopped along with the app"),
            Sight::Reaped(pid, change) => write!(f, "reaped {pid} code={}", code(change)),
            Sight::AppEnded(Change::Signalled(by)) => write!(f, "the app was ended by {}", name(by)),
            Sight::AppEnded(change) => write!(f, "the app ended code={}", code(change)),
            Sight::Orphan(pid) => write!(f, "an orphan was reaped pid={pid}"),
            Sight::NobodyToReap { alone: true } => f.write_str("no child is left"),
            Sight::NobodyToReap { alone: false } => f.write_str("no other child has ended"),
            Sight::Goodbye(code) => write!(f, "ends code={code}"),
            Sight::Note(text) => f.write_str(text),
        }
    }
}

/// 128+n for a signal.
fn code(change: Change) -> i32 {
    match change {
        Change::Exited(code) => code,
        Change::Signalled(signal) => 128 + signal,
        Change::Stopped(..) => 128,
    }
}

/// tini's levels: a name, and where it is said.
const TINI_LEVELS: [(&str, i32); 5] =
    [("FATAL", STDERR), ("WARN ", STDERR), ("INFO ", STDOUT), ("DEBUG", STDOUT), ("TRACE", STDOUT)];
const WARN: usize = 1;
const INFO: usize = 2;
const DEBUG: usize = 3;
const TRACE: usize = 4;

fn tini_level(sight: Sight<'_>) -> usize {
    match sight {
        Sight::Dead | Sight::Orphan(_) | Sight::NoReaper => WARN,
        Sight::Spawned(..) | Sight::AppEnded(_) | Sight::Note(_) => INFO,
        Sight::Received(_) | Sight::Reaped(..) => DEBUG,
        _ => TRACE,
    }
}

/// In tini's words, where they are known for it, and else in our own.
fn tini(sight: Sight<'_>) -> String {
    let named = signal::description;
    match sight {
        Sight::Spawned(program, pid) => format!("Spawned child process '{program}' with pid '{pid}'"),
        Sight::Received(libc::SIGCHLD) => "Received SIGCHLD".to_owned(),
        Sight::Received(number) => format!("Passing signal: '{}'", named(number)),
        Sight::Dead => "Child was dead when forwarding signal".to_owned(),
        Sight::Reaped(pid, _) => format!("Reaped child with pid: '{pid}'"),
        Sight::AppEnded(Change::Signalled(by)) => {
            format!("Main child exited with signal (with signal '{}')", named(by))
        }
        Sight::AppEnded(change) => format!("Main child exited normally (with status '{}')", code(change)),
        Sight::Orphan(pid) => format!("Reaped zombie process with pid={pid}"),
        Sight::NoReaper => NO_REAPER.to_owned(),
        other => Words(other).to_string(),
    }
}

const NO_REAPER: &str = "\
Tini is not running as PID 1 and isn't registered as a child subreaper.
Zombie processes will not be re-parented to Tini, so zombie reaping won't work.
To fix the problem, use the -s option or set the environment variable TINI_SUBREAPER to \
register Tini as a child subreaper, or run Tini as PID 1.";

/// In dumb-init's words, where its tests look for them, and else in our own; nothing
/// where it says nothing, since its tests look for the whole of what it says.
fn dumb_init(sight: Sight<'_>) -> Option<String> {
    Some(match sight {
        Sight::Spawned(_, pid) => format!("Child spawned with PID {pid}."),
        Sight::OwnSession => "setsid complete.".to_owned(),
        Sight::HandOff(number) => format!("Ignoring tty hand-off signal {number}."),
        Sight::Received(number) => format!("Received signal {number}."),
        Sight::Forwarded(number) => format!("Forwarded signal {number} to children."),
        Sight::Reaped(pid, Change::Exited(code)) => {
            format!("A child with PID {pid} exited with exit status {code}.")
        }
        Sight::Goodbye(code) => format!("Child exited with status {code}. Goodbye."),
        Sight::Subreaper
        | Sight::NoReaper
        | Sight::Dead
        | Sight::AppEnded(_)
        | Sight::Orphan(_)
        | Sight::NobodyToReap { .. } => return None,
        other => Words(other).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_words_of_the_replaced_init_where_it_is_quoted() {
        let killed = Sight::Reaped(7, Change::Signalled(9));
        let exited = Sight::Reaped(7, Change::Exited(3));
        for (sight, as_tini, as_dumb_init) in [
            (Sight::Spawned("sh", 7), "Spawned child process 'sh' with pid '7'", "Child spawned with PID 7."),
            (Sight::Received(15), "Passing signal: 'Terminated'", "Received signal 15."),
            (exited, "Reaped child with pid: '7'", "A child with PID 7 exited with exit status 3."),
            (killed, "Reaped child with pid: '7'", "reaped 7 code=137"),
            (Sight::Translated(1, 10), "HUP becomes USR1", "HUP becomes USR1"),
        ] {
            assert_eq!(tini(sight), as_tini);
            assert_eq!(dumb_init(sight).as_deref(), Some(as_dumb_init));
        }
        assert_eq!(dumb_init(Sight::Orphan(3)), None);
        assert_eq!(tini(Sight::Orphan(3)), "Reaped zombie process with pid=3");
        assert_eq!(tini_level(Sight::Orphan(3)), WARN);
    }
}
