//! Diagnostics: a small `tracing` subscriber that writes one line each to stderr,
//! `remit-init: warn: message key=value`.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, SFlag, fstat};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Level, Metadata};

use crate::visible;

use super::error::LogError;
use super::scribe::{DIAGNOSTICS, Shared, Unwritten, Voice};
use super::sink::{Destination, Sink};

/// The thread that writes, once there is one.
static BACKGROUND: OnceLock<Arc<Shared>> = OnceLock::new();

/// Starts writing diagnostics of `level` and above, at once and by whoever has
/// something to say.
///
/// # Errors
/// When stderr is closed, or somebody installed a subscriber before.
pub fn install(level: Level) -> Result<(), LogError> {
    let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(LogError::Stderr)?;
    tracing::subscriber::set_global_default(Log { level, stderr: File::from(stderr) })
        .map_err(|_| LogError::Installed)
}

/// How much `-v` asks for: none is warnings, then info, debug, trace.
pub fn level(times: usize) -> Level {
    [Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE][times.min(3)]
}

/// From now on a thread writes: nobody else may hang in a stderr that nobody
/// reads. To be called once the app runs, with all signals blocked.
///
/// # Errors
/// There is no stderr, or it is in the background already.
pub fn in_background() -> Result<(), LogError> {
    let sink = Sink::open(&Destination::Stderr, |_| Err(io::ErrorKind::Unsupported.into()));
    let sink = sink.map_err(LogError::Sink)?;
    let shared = Shared::start(DIAGNOSTICS, sink, Voice::Diagnostics);
    BACKGROUND.set(shared).map_err(|_| LogError::InBackground)
}

/// Writes what is queued, for at most `timeout`.
///
/// # Errors
/// How many lines could not be written.
pub fn close(timeout: Duration) -> Result<(), Unwritten> {
    BACKGROUND.get().map_or(Ok(()), |shared| shared.close(timeout))
}

/// Writes what somebody asked for by a signal, whatever the level.
pub fn report(text: &str) {
    let mut line = String::from("remit-init: ");
    line.push_str(&visible::line(text));
    write_without_waiting(2, line);
}

/// Writes a line to descriptor 1 or 2, if that takes it at once: whoever supervises waits
/// for no reader. Once there is a thread that writes, it does, and to stderr alone.
pub fn write_without_waiting(fd: RawFd, mut line: String) {
    if let Some(background) = BACKGROUND.get() {
        return background.say(line);
    }
    line.push('\n');
    match fd {
        1 => write_to(&io::stdout(), line.as_bytes()),
        _ => write_to(&io::stderr(), line.as_bytes()),
    }
}

/// As much as a pipe takes whole where it has any room (pipe(7), PIPE_BUF).
const WHOLE: usize = 4096;

/// There is nobody left to tell of a stderr that fails.
fn write_to(file: &impl AsFd, line: &[u8]) {
    let line = &line[..line.len().min(WHOLE)];
    let fd = file.as_fd();
    let Ok(found) = fstat(fd) else { return };
    let _gone = match SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFSOCK => {
            send(fd.as_raw_fd(), line, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL).map(drop)
        }
        // Not by the app's own description, which a flag would change for it too; and a
        // pipe that has room now may be filled by the app before it is written to.
        SFlag::S_IFIFO | SFlag::S_IFCHR => match unwaiting(fd) {
            Ok(anew) => nix::unistd::write(&anew, line).map(drop),
            // Another user's pipe, or no /proc.
            Err(_) if has_room(fd) => nix::unistd::write(fd, line).map(drop),
            Err(_) => return,
        },
        _ => nix::unistd::write(fd, line).map(drop),
    };
}

/// The same pipe or terminal, opened so that it is never waited for.
fn unwaiting(fd: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(path.as_str(), flags, Mode::empty())
}

fn has_room(fd: BorrowedFd<'_>) -> bool {
    matches!(poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], PollTimeout::ZERO), Ok(1))
}

struct Log {
    level: Level,
    stderr: File,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.is_span() && *metadata.level() <= self.level
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level))
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = line(event);
        if let Some(background) = BACKGROUND.get() {
            return background.say(line);
        }
        line.push('\n');
        write_to(&self.stderr, line.as_bytes());
    }

    // Spans are not used; whoever makes one gets a number and no more.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn line(event: &Event<'_>) -> String {
    let level = match *event.metadata().level() {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    };
    let mut words = Words { line: format!("remit-init: {level}: "), fields: String::new() };
    event.record(&mut words);
    words.line + &words.fields
}

/// The message, then the fields as they come.
struct Words {
    line: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = if field.name() == "message" {
            write!(OneLine(&mut self.line), "{value:?}")
        } else {
            write!(OneLine(&mut self.fields), " {}={value:?}", field.name())
        };
        debug_assert!(written.is_ok(), "a string takes all that is written");
    }
}

/// Keeps control characters out: what the app names must not make lines of its own.
struct OneLine<'a>(&'a mut String);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(&visible::line(text));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
