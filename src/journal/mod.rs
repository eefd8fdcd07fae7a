//! The journal: one file a run, written by one thread. Observations wait in a bounded queue: a slow
//! disk loses lines, which are counted, and never delays the app or PID 1 for long.
//!
//! [`line`] and [`observation`] are the format; `remit build` reads it with the same types. A line
//! is one write. A line that a full disk cuts is truncated before the next one, so every line
//! begins at the start of a line, and the file is whole whenever the machine stops.

#![forbid(unsafe_code)]

mod destination;
mod ending;
mod error;
pub mod line;
mod line_writer;
pub mod observation;
pub mod run;

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use self::destination::{DEFAULT, JournalDestination};
pub use self::ending::Progress;
use self::ending::{Ending, ending};
pub use self::error::JournalError;
use self::line::{End, Line, Observed, RunSummary, Start};
use self::line_writer::{JournalOutput, LineWriter};
use self::observation::{Observation, Phase, What};
use crate::event::{SignalName, Status};
use crate::image::packages;
use crate::sys;

/// The capacity of the queue, in lines and bytes.
const CAPACITY: (usize, usize) = (4096, 1 << 20);
/// The longest that a line waits for room. While the queue stays full, later lines do not wait.
const ROOM_TIMEOUT: Duration = Duration::from_millis(50);
/// The time after which written lines are synced.
const SYNC: Duration = Duration::from_secs(1);

/// An open journal, whose first line is written.
#[derive(Debug)]
pub struct Journal {
    /// The run's name.
    pub run: String,
    state: Mutex<QueueState>,
    /// Signalled when there is something to write.
    work: Condvar,
    /// Signalled when the queue has room again.
    room: Condvar,
    /// Signalled when nothing more is observed, and when the thread has written all.
    over: Condvar,
}

#[derive(Debug)]
struct QueueState {
    items: VecDeque<QueuedLine>,
    bytes: usize,
    dropped: u64,
    /// The queue is full and a line has waited in vain: no line waits until there is room.
    stalled: bool,
    /// The number of times that the disk accepted lines again after lines were lost.
    recoveries: u64,
    progress: Progress,
    began: Instant,
    /// The signals that were queued, by phase.
    signals: BTreeSet<(bool, i32)>,
    /// Executed programs, loaders and interpreters, whose packages the last line names.
    executed: BTreeSet<PathBuf>,
    /// All observations are queued.
    observed: bool,
    /// The last line; its counts and packages are set when it is written.
    end: Option<End>,
    over: bool,
    /// The writer, until the thread takes it.
    writer: Option<LineWriter<Box<dyn JournalOutput>>>,
}

/// A queued line.
#[derive(Debug)]
struct QueuedLine {
    line: Observed,
    /// The length of its text in bytes.
    length: usize,
    /// A program's file, whose digest becomes part of the line.
    file: Option<File>,
}

/// The next task of the thread.
enum Task {
    Write(QueuedLine),
    Sync,
    /// Write the last line, with the packages of these files.
    End(End, BTreeSet<PathBuf>),
}

impl Journal {
    /// Creates the journal of a run of `command`, and writes its first line, which gets the run's
    /// name.
    ///
    /// # Errors
    /// The journal cannot be created, or its first line not be written.
    pub fn create(to: &JournalDestination, command: &str, mut start: Start) -> Result<Journal, JournalError> {
        let (run, output) = to.open(command)?;
        let mut writer = LineWriter::new(output);
        start.run.clone_from(&run);
        writer.write(&start.text()).and_then(|()| writer.sync()).map_err(|error| to.unwritable(&error))?;
        Ok(Journal::over(run, writer))
    }

    fn over(run: String, writer: LineWriter<Box<dyn JournalOutput>>) -> Journal {
        let state = QueueState {
            items: VecDeque::new(),
            bytes: 0,
            dropped: 0,
            stalled: false,
            recoveries: 0,
            progress: Progress::Launched,
            began: Instant::now(),
            signals: BTreeSet::new(),
            executed: BTreeSet::new(),
            observed: false,
            end: None,
            over: false,
            writer: Some(writer),
        };
        Journal {
            run,
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            over: Condvar::new(),
        }
    }

    /// Starts the thread that writes, with all signals blocked; after the launch, since fork(2)
    /// copies only the calling thread.
    ///
    /// # Errors
    /// [`JournalError::Thread`].
    pub fn start(self: &Arc<Journal>) -> Result<(), JournalError> {
        let Some(writer) = self.lock().writer.take() else { return Ok(()) };
        let this = Arc::clone(self);
        let write = move || {
            if let Err(errno) = sys::signal::block_all() {
                tracing::warn!(%errno, "a thread takes signals that are the app's");
            }
            this.write(writer);
        };
        let spawned = std::thread::Builder::new().name("journal".into()).stack_size(256 << 10).spawn(write);
        spawned.map(drop).map_err(|error| JournalError::Thread(sys::errno(&error)))
    }

    /// The time since the launch of the app.
    pub fn now(&self) -> Duration {
        self.lock().began.elapsed()
    }

    /// Queues a line, with a program's file whose digest belongs to it. Returns false where the
    /// line was dropped.
    pub fn put(&self, line: Observed, file: Option<File>) -> bool {
        let item = QueuedLine::new(line, file);
        let mut state = self.lock();
        if !state.has_room(item.length) && !state.stalled && state.end.is_none() {
            let is_full = |state: &mut QueueState| !state.has_room(item.length);
            let waited = self.room.wait_timeout_while(state, ROOM_TIMEOUT, is_full);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.stalled = !state.has_room(item.length);
        }
        self.push(&mut state, item)
    }

    /// Queues an item without waiting.
    fn push(&self, state: &mut QueueState, item: QueuedLine) -> bool {
        if state.end.is_some() || !state.has_room(item.length) {
            state.dropped += 1;
            return false;
        }
        state.bytes += item.length;
        state.items.push_back(item);
        self.work.notify_one();
        true
    }

    /// Records the progress of the app.
    pub fn progress(&self, progress: Progress) {
        let mut state = self.lock();
        state.progress = state.progress.max(progress);
    }

    /// The number of times that lines were lost and the disk then accepted lines again: lines queued
    /// before such a time may not be written.
    pub fn recoveries(&self) -> u64 {
        self.lock().recoveries
    }

    /// Remembers files that were executed, or loaded or used as an interpreter by an exec.
    pub fn executed(&self, files: &[&str]) {
        const MOST: usize = 4096;
        /// Files of packages have shorter paths; the app may execute any number of longer ones.
        const LONGEST: usize = 512;
        let mut state = self.lock();
        let room = MOST - state.executed.len();
        let files = files.iter().filter(|file| (1..=LONGEST).contains(&file.len()));
        state.executed.extend(files.take(room).map(PathBuf::from));
    }

    /// Queues a signal that was forwarded. Never waits.
    pub fn signal(&self, signal: SignalName) {
        let mut state = self.lock();
        let ready = state.progress == Progress::Ready;
        if !state.signals.insert((ready, signal.0)) {
            return;
        }
        let phase = if ready { Phase::Serving } else { Phase::Startup };
        let observation = Observation::ok(What::Signal { signal: signal.to_string() });
        let line = Observed::new(state.began.elapsed(), phase, observation);
        self.push(&mut state, QueuedLine::new(line, None));
    }

    /// Nothing more will be observed.
    pub fn observed(&self) {
        self.lock().observed = true;
        self.over.notify_all();
    }

    /// Writes the queue and the last line, for at most `timeout`. `stopped` is the stop signal that
    /// was forwarded, `remapped` are exit codes that count as 0.
    pub fn end(&self, exit: Status, stopped: Option<i32>, remapped: &[i32], timeout: Duration) {
        let until = Instant::now() + timeout;
        let state = self.lock();
        let (lasted, progress) = (state.began.elapsed(), state.progress);
        // The recorder may still have calls to record after the app has ended.
        let waited = self.over.wait_timeout_while(state, timeout, |state| !state.observed);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.end = Some(last(exit, ending(exit, stopped, remapped, progress, lasted), lasted));
        self.work.notify_one();
        let (state, waited) = self
            .over
            .wait_timeout_while(state, until.saturating_duration_since(Instant::now()), |state| !state.over)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let left = state.items.len();
            tracing::warn!("learning: {left} observations could not be written in time; look at the disk");
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop of the thread.
    fn write(&self, mut writer: LineWriter<Box<dyn JournalOutput>>) {
        let (mut lines, mut failing) = (0u64, false);
        let mut unsynced: Option<Instant> = None;
        loop {
            match self.next(unsynced) {
                Task::Write(item) => match writer.write(&item.text()) {
                    Ok(()) => {
                        lines += 1;
                        unsynced.get_or_insert_with(Instant::now);
                        if std::mem::take(&mut failing) {
                            self.lock().recoveries += 1;
                        }
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!(
                                "learning: observations are lost: {}; give it room",
                                sys::errno(&error)
                            );
                        }
                        self.lock().dropped += 1;
                    }
                },
                Task::Sync => sync(&mut writer, &mut unsynced),
                Task::End(mut end, executed) => {
                    end.end.lines = Some(lines);
                    end.end.dropped = self.lock().dropped;
                    end.end.packages =
                        packages::owners(Path::new("/"), executed.iter().map(PathBuf::as_path));
                    let last = Line::End(end).text();
                    if let Err(error) = writer.write(&last).and_then(|()| writer.sync()) {
                        tracing::warn!("learning: the last line: {}", sys::errno(&error));
                    }
                    self.lock().over = true;
                    return self.over.notify_all();
                }
            }
            if unsynced.is_some_and(|since| since.elapsed() >= SYNC) {
                sync(&mut writer, &mut unsynced);
            }
        }
    }

    /// Waits for the next task; lines written since `unsynced` are not synced.
    fn next(&self, unsynced: Option<Instant>) -> Task {
        let left = |since: Instant| SYNC.saturating_sub(since.elapsed());
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                state.bytes -= item.length;
                state.stalled = false;
                self.room.notify_one();
                return Task::Write(item);
            }
            if let Some(end) = state.end.clone() {
                return Task::End(end, std::mem::take(&mut state.executed));
            }
            state = match unsynced {
                Some(since) if left(since).is_zero() => return Task::Sync,
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(since) => {
                    self.work.wait_timeout(state, left(since)).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// Syncs what was written.
fn sync(writer: &mut LineWriter<Box<dyn JournalOutput>>, unsynced: &mut Option<Instant>) {
    if let Err(error) = writer.sync() {
        tracing::debug!("learning: fdatasync: {}", sys::errno(&error));
    }
    *unsynced = None;
}

impl QueueState {
    fn has_room(&self, length: usize) -> bool {
        // A line that is longer than the capacity is queued alone.
        self.items.is_empty() || (self.items.len() < CAPACITY.0 && self.bytes + length <= CAPACITY.1)
    }
}

impl QueuedLine {
    fn new(line: Observed, file: Option<File>) -> QueuedLine {
        let mut length = Length(0);
        // Counting bytes cannot fail.
        let _ = serde_json::to_writer(&mut length, &line);
        QueuedLine { line, length: length.0, file }
    }

    /// The line's text, with the digest of its file: the thread calculates it, so that the app does
    /// not wait.
    fn text(mut self) -> String {
        let digest = self.file.and_then(crate::image::digest::digest);
        self.line.sha256 = digest.map(|digest| format!("sha256:{digest}"));
        Line::Observed(self.line).text()
    }
}

/// Counts the bytes that are written to it.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The last line without its counts.
fn last(exit: Status, ending: Ending, lasted: Duration) -> End {
    let summary = RunSummary {
        exit: Some(exit),
        clean: ending == Ending::Clean,
        ready: (ending == Ending::Early).then_some(false),
        lines: None,
        dropped: 0,
        packages: packages::Packages::new(),
    };
    End { t: lasted.as_millis() as u64, end: summary }
}

#[cfg(test)]
mod tests;
