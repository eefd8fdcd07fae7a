//! Diagnostics: a small `tracing` subscriber that writes one line each to stderr,
//! `remit-init: warn: message key=value`.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Level, Metadata};

use super::scribe::{Shared, Unwritten, Voice};
use super::sink::{Destination, Sink};

/// The thread that writes, once there is one.
static BACKGROUND: OnceLock<Arc<Shared>> = OnceLock::new();

/// Starts writing diagnostics of `level` and above, at once and by whoever has
/// something to say.
///
/// # Errors
/// When stderr is closed, or somebody installed a subscriber before.
pub fn install(level: Level) -> Result<(), String> {
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    let stderr =
        stderr.map_err(|error| format!("log: stderr cannot be written: {error}; leave descriptor 2 open"))?;
    tracing::subscriber::set_global_default(Log { level, stderr: File::from(stderr) })
        .map_err(|_| "log: diagnostics have been installed before; install them once".to_owned())
}

/// How much `-v` asks for: none is warnings, then info, debug, trace.
pub fn level(times: usize) -> Level {
    [Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE][times.min(3)]
}

/// From now on a thread writes: nobody else may hang in a stderr that nobody
/// reads. To be called once the app runs, with all signals blocked.
///
/// # Errors
/// One line, when there is no stderr.
pub fn in_background() -> Result<(), String> {
    let sink = Sink::open(&Destination::Stderr, |_| Err(io::ErrorKind::Unsupported.into()))?;
    let shared = Shared::start("log", sink, Voice::Diagnostics);
    BACKGROUND.set(shared).map_err(|_| "log: it is in the background already; ask once".to_owned())
}

/// Writes what is queued, for at most `timeout`.
///
/// # Errors
/// How many lines could not be written.
pub fn close(timeout: Duration) -> Result<(), Unwritten> {
    BACKGROUND.get().map_or(Ok(()), |shared| shared.close(timeout))
}

struct Log {
    level: Level,
    stderr: File,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.level
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
        // There is nobody left to tell of a stderr that fails.
        let _gone = (&self.stderr).write_all(line.as_bytes());
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
        for c in text.chars() {
            if c.is_control() { self.0.extend(c.escape_default()) } else { self.0.push(c) }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
