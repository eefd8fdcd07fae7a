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
use super::sink::{Destination, Sink};
use super::writer::{DIAGNOSTICS, LineFormat, Shared, Unwritten};

/// The queue of the writing thread, once there is one.
static BACKGROUND: OnceLock<Arc<Shared>> = OnceLock::new();

/// Installs the subscriber, which writes diagnostics of `level` and above, in the thread that
/// makes them.
///
/// # Errors
/// When stderr is closed or another subscriber is installed.
pub fn install(level: Level) -> Result<(), LogError> {
    let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(LogError::Stderr)?;
    tracing::subscriber::set_global_default(Log { level, stderr: File::from(stderr) })
        .map_err(|_| LogError::Installed)
}

/// The level for `-v`, given so many times: 0 is warnings, then info, debug, trace.
pub fn level(times: usize) -> Level {
    [Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE][times.min(3)]
}

/// Moves writing to a thread of its own, so that no other thread blocks on a full stderr. Call it
/// once the app runs, with all signals blocked.
///
/// # Errors
/// There is no stderr, or it is in the background already.
pub fn in_background() -> Result<(), LogError> {
    let sink = Sink::open(&Destination::Stderr, |_| Err(io::ErrorKind::Unsupported.into()));
    let sink = sink.map_err(LogError::Sink)?;
    let shared = Shared::start(DIAGNOSTICS, sink, LineFormat::Diagnostics);
    BACKGROUND.set(shared).map_err(|_| LogError::InBackground)
}

/// Writes the queued lines, for at most `timeout`.
///
/// # Errors
/// The number of lines that were not written in that time.
pub fn close(timeout: Duration) -> Result<(), Unwritten> {
    BACKGROUND.get().map_or(Ok(()), |shared| shared.close(timeout))
}

/// Writes a line of the status report (`--status`), at any level.
pub fn report(text: &str) {
    let mut line = String::from("remit-init: ");
    line.push_str(&visible::line(text));
    write_without_waiting(2, line);
}

/// Writes a line to descriptor 1 or 2 without blocking; a full pipe loses it. Once there is a
/// writing thread, the line goes to its queue, and to stderr.
pub fn write_without_waiting(fd: RawFd, mut line: String) {
    if let Some(background) = BACKGROUND.get() {
        return background.push_line(line);
    }
    line.push('\n');
    match fd {
        1 => write_to(&io::stdout(), line.as_bytes()),
        _ => write_to(&io::stderr(), line.as_bytes()),
    }
}

/// The most bytes that a pipe takes in one piece (pipe(7), PIPE_BUF).
const WHOLE: usize = 4096;

/// Writes a line without blocking. An error is dropped: stderr itself is where it would go.
fn write_to(file: &impl AsFd, line: &[u8]) {
    let line = &line[..line.len().min(WHOLE)];
    let fd = file.as_fd();
    let Ok(found) = fstat(fd) else { return };
    let _gone = match SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFSOCK => {
            send(fd.as_raw_fd(), line, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL).map(drop)
        }
        // O_NONBLOCK on the shared open file description would change it for the app too, and a
        // pipe that polls writable may be filled by the app before the write.
        SFlag::S_IFIFO | SFlag::S_IFCHR => match reopen_nonblocking(fd) {
            Ok(anew) => nix::unistd::write(&anew, line).map(drop),
            // Another user's pipe, or no /proc.
            Err(_) if has_room(fd) => nix::unistd::write(fd, line).map(drop),
            Err(_) => return,
        },
        _ => nix::unistd::write(fd, line).map(drop),
    };
}

/// Opens the same pipe or terminal again, non-blocking.
fn reopen_nonblocking(fd: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
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
            return background.push_line(line);
        }
        line.push('\n');
        write_to(&self.stderr, line.as_bytes());
    }

    // Spans are not used: each gets the same id.
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
    let mut builder = LineBuilder { line: format!("remit-init: {level}: "), fields: String::new() };
    event.record(&mut builder);
    builder.line + &builder.fields
}

/// A line under construction: the message, then the fields in their order.
struct LineBuilder {
    line: String,
    fields: String,
}

impl Visit for LineBuilder {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = if field.name() == "message" {
            write!(OneLine(&mut self.line), "{value:?}")
        } else {
            write!(OneLine(&mut self.fields), " {}={value:?}", field.name())
        };
        debug_assert!(written.is_ok(), "a string takes all that is written");
    }
}

/// Escapes control characters: a name that the app chose must not forge a line.
struct OneLine<'a>(&'a mut String);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(&visible::line(text));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
