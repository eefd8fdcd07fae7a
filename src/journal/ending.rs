//! How a run ended, which decides whether its journal shows all that the app does. Pure.

use std::time::Duration;

use crate::event::Status;

/// The progress of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// The app was launched.
    Launched,
    /// The app has bound a socket and is not ready.
    Bound,
    /// Start-up is over.
    Ready,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The app exited successfully, or by a stop signal that was sent to it.
    Clean,
    /// A stop signal ended the app before it was ready: the journal is incomplete.
    Early,
    /// The app exited with an error, or by a signal that was not sent from outside.
    Bad,
}

/// Classifies a run by the app's exit. `stopped` is the stop signal that was forwarded to it,
/// `remapped` are exit codes that count as 0.
pub(super) fn ending(
    exit: Status,
    stopped: Option<i32>,
    remapped: &[i32],
    progress: Progress,
    lasted: Duration,
) -> Ending {
    /// A run stopped sooner is too short to be complete.
    const SHORT: Duration = Duration::from_secs(1);
    let starts_up = match progress {
        Progress::Ready => false,
        Progress::Bound => true,
        Progress::Launched => lasted < SHORT,
    };
    let crash = |signal: i32| !matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGHUP);
    let well = match exit {
        Status::Code(code) if code == 0 || remapped.contains(&code) => true,
        // A shell exits with 128 + N where signal N ended its child.
        Status::Code(code) => stopped.is_some() && (code < 128 || !crash(code - 128)),
        Status::Signal(signal) => {
            remapped.contains(&(128 + signal.0)) || (stopped.is_some() && !crash(signal.0))
        }
    };
    match (well, stopped.is_some() && starts_up) {
        (false, _) => Ending::Bad,
        (true, true) => Ending::Early,
        (true, false) => Ending::Clean,
    }
}
