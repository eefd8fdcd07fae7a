//! The progress of long work, on stderr where that is a terminal that can show it. Elsewhere
//! nothing is written.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line that says how far the work is. It is removed when this is dropped.
pub(super) struct ProgressLine(ProgressBar);

impl ProgressLine {
    /// Of work on bytes; `what` says what is done.
    pub(super) fn bytes(what: &'static str) -> ProgressLine {
        // No colours: NO_COLOR has nothing to take away.
        const LINE: &str = "{msg} [{bar:30}] {bytes} of {total_bytes}, {eta} left";
        let visible = is_visible(io::stderr().is_terminal(), std::env::var_os("TERM").as_deref());
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target).with_message(what);
        if let Ok(style) = ProgressStyle::with_template(LINE) {
            bar.set_style(style.progress_chars("##-"));
        }
        ProgressLine(bar)
    }

    /// So many bytes are done, of so many; from any thread.
    pub(super) fn set(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }
}

impl Drop for ProgressLine {
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
        let progress = ProgressLine::bytes("reading");
        progress.set(1, 2);
    }
}
