//! The progress of long work, on stderr where that is a terminal that can show it. Elsewhere
//! nothing is written.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line that says how far the work is. It is removed when this is dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Of work on bytes, of which `what` says what it is.
    pub(super) fn bytes(what: &'static str) -> Progress {
        // No colours: NO_COLOR has nothing to take away.
        Progress::new(what, "{msg} {wide_bar} {bytes} of {total_bytes}, {eta} left")
    }

    /// Of work whose end is not known.
    pub(super) fn unbounded(what: &'static str) -> Progress {
        let progress = Progress::new(what, "{spinner} {msg}, {elapsed}");
        progress.0.enable_steady_tick(Duration::from_millis(200));
        progress
    }

    fn new(what: &'static str, template: &str) -> Progress {
        let visible = is_visible(io::stderr().is_terminal(), std::env::var_os("TERM").as_deref());
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target).with_message(what);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("##-").tick_chars("|/-\\ "));
        }
        Progress(bar)
    }

    /// So many bytes are done, of so many; from any thread.
    pub(super) fn set(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Whether a terminal can show a line that changes.
fn is_visible(is_terminal: bool, term: Option<&OsStr>) -> bool {
    is_terminal && term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_that_can_show_it_gets_it() {
        let shown = |is_terminal, term: &str| is_visible(is_terminal, Some(OsStr::new(term)));
        assert!(shown(true, "xterm-256color"));
        assert!(!shown(true, "dumb") && !shown(true, "") && !shown(false, "xterm"));
        assert!(!is_visible(true, None));
        // The tests' stderr is none, or it is: either way nothing fails.
        let progress = Progress::bytes("reading");
        progress.set(1, 2);
        Progress::unbounded("running");
    }
}
