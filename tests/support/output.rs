//! What a container writes, line by line, and waiting for it.

use std::io::BufRead;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What it wrote, line by line.
#[derive(Default)]
pub struct Output {
    state: Mutex<Lines>,
    changed: Condvar,
}

/// The lines so far.
#[derive(Default)]
pub struct Lines {
    /// Of stdout.
    pub out: Vec<String>,
    /// Of stderr.
    pub err: Vec<String>,
    /// How many of the two streams are at their end.
    pub ended: u8,
}

impl Output {
    /// The lines; a reader that panicked has left them whole.
    pub fn lines(&self) -> MutexGuard<'_, Lines> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `found` says of the lines, as soon as it does; none when it says
    /// nothing for so long, or when the container has ended without it.
    pub fn within<T>(&self, patience: Duration, found: impl Fn(&Lines) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut state = self.lines();
        loop {
            let value = found(&state);
            let left = deadline.saturating_duration_since(Instant::now());
            if value.is_some() || left.is_zero() || state.ended == 2 {
                return value;
            }
            state = self.wait(state, left);
        }
    }

    fn wait<'a>(&self, lines: MutexGuard<'a, Lines>, patience: Duration) -> MutexGuard<'a, Lines> {
        self.changed.wait_timeout(lines, patience).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Lines {
    /// All of it, for a failure's message.
    pub fn text(&self) -> String {
        let end = if self.ended == 2 { "--- ended" } else { "--- still runs" };
        format!("--- stdout\n{}\n--- stderr\n{}\n{end}", self.out.join("\n"), self.err.join("\n"))
    }
}

/// Reads a stream to its end in a thread of its own.
pub fn follow(
    output: &Arc<Output>,
    lines: impl BufRead + Send + 'static,
    into: fn(&mut Lines) -> &mut Vec<String>,
) {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        for line in lines.split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).into_owned();
            into(&mut output.lines()).push(line);
            output.changed.notify_all();
        }
        output.lines().ended += 1;
        output.changed.notify_all();
    });
}
