//! The journal: one file a run, to which one thread writes. Observations wait in a bounded
//! queue, so that a slow disk costs lines, which are counted, and never makes the app or
//! PID 1 wait for long.
//!
//! [`line`] and [`observation`] are the format; `remit build` reads what is written here by
//! the same types. A line is one write. What a full disk cuts is truncated before the next
//! line, so that no line begins in the middle of another, and the file is whole whenever the
//! machine stops.

#![forbid(unsafe_code)]

mod destination;
mod ending;
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

pub use self::destination::{DEFAULT, Destination};
pub use self::ending::Progress;
use self::ending::{Ending, ending};
use self::line::{End, Line, Observed, Start, Summary};
use self::line_writer::{LineWriter, Output};
use self::observation::{Observation, Phase, What};
use crate::event::{SignalName, Status};
use crate::image::packages;
use crate::sys;

/// So many lines and bytes wait to be written at most.
const CAPACITY: (usize, usize) = (4096, 1 << 20);
/// So long a line waits for room, once: as long as there is none, the next do not.
const ROOM_TIMEOUT: Duration = Duration::from_millis(50);
/// What was written is on the disk after so long.
const SYNC: Duration = Duration::from_secs(1);

/// A journal, opened: its first line is written.
#[derive(Debug)]
pub struct Journal {
    /// The run's name.
    pub run: String,
    state: Mutex<State>,
    /// There is something to write.
    work: Condvar,
    /// There is room again.
    room: Condvar,
    /// Nothing is observed any more, or the thread has written all.
    over: Condvar,
}

#[derive(Debug)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    dropped: u64,
    /// No line waits for room any more, until there is some.
    stalled: bool,
    /// How often lines were lost, and then the disk took some again.
    recoveries: u64,
    progress: Progress,
    began: Instant,
    /// Signals that were written, by phase.
    signals: BTreeSet<(bool, i32)>,
    /// Programs, loaders and interpreters, whose packages the last line names.
    executed: BTreeSet<PathBuf>,
    /// All that was observed is in the queue.
    observed: bool,
    /// The last line; its counts and packages are set before it is written.
    end: Option<End>,
    over: bool,
    /// The writer, until the thread takes it.
    writer: Option<LineWriter<Box<dyn Output>>>,
}

/// A line that waits to be written.
#[derive(Debug)]
struct Item {
    line: Observed,
    /// How long its text is.
    length: usize,
    /// A program's file, whose digest becomes part of the line.
    file: Option<File>,
}

/// What the thread has to do next.
enum Task {
    Write(Item),
    Sync,
    /// Write the last line, with the packages of these files.
    End(End, BTreeSet<PathBuf>),
}

impl Journal {
    /// Makes the journal of a run of `command`, and writes its first line, to which it gives
    /// the run's name.
    ///
    /// # Errors
    /// One line: where it cannot be written, why, and what to do.
    pub fn create(to: &Destination, command: &str, mut start: Start) -> Result<Journal, String> {
        let (run, output) = to.open(command)?;
        let mut writer = LineWriter::new(output);
        start.run.clone_from(&run);
        writer.write(&start.text()).and_then(|()| writer.sync()).map_err(|error| to.unwritable(&error))?;
        Ok(Journal::over(run, writer))
    }

    fn over(run: String, writer: LineWriter<Box<dyn Output>>) -> Journal {
        let state = State {
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

    /// Starts the thread that writes; after the launch, since a fork takes only one
    /// thread along, and with all signals blocked.
    ///
    /// # Errors
    /// One line: no thread could be started.
    pub fn start(self: &Arc<Journal>) -> Result<(), String> {
        let Some(writer) = self.lock().writer.take() else { return Ok(()) };
        let this = Arc::clone(self);
        let write = move || {
            if let Err(errno) = sys::signal::block_all() {
                tracing::warn!(%errno, "a thread takes signals that are the app's");
            }
            this.write(writer);
        };
        let spawned = std::thread::Builder::new().name("journal".into()).stack_size(256 << 10).spawn(write);
        spawned.map(drop).map_err(|error| format!("learning: a thread: {}", sys::errno(&error)))
    }

    /// How long ago the app was launched.
    pub fn now(&self) -> Duration {
        self.lock().began.elapsed()
    }

    /// Puts a line into the queue, with a program's file whose digest belongs to it.
    /// False where it was dropped.
    pub fn put(&self, line: Observed, file: Option<File>) -> bool {
        let item = Item::new(line, file);
        let mut state = self.lock();
        if !state.has_room(item.length) && !state.stalled && state.end.is_none() {
            let is_full = |state: &mut State| !state.has_room(item.length);
            let waited = self.room.wait_timeout_while(state, ROOM_TIMEOUT, is_full);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.stalled = !state.has_room(item.length);
        }
        self.push(&mut state, item)
    }

    /// The same without waiting.
    fn push(&self, state: &mut State, item: Item) -> bool {
        if state.end.is_some() || !state.has_room(item.length) {
            state.dropped += 1;
            return false;
        }
        state.bytes += item.length;
        state.items.push_back(item);
        self.work.notify_one();
        true
    }

    /// The app is so far by now.
    pub fn progress(&self, progress: Progress) {
        let mut state = self.lock();
        state.progress = state.progress.max(progress);
    }

    /// How often lines were lost to a disk that took some again afterwards: what was
    /// remembered before to be written may not be.
    pub fn recoveries(&self) -> u64 {
        self.lock().recoveries
    }

    /// These files were executed, or for the sake of one that was.
    pub fn executed(&self, files: &[&str]) {
        const MOST: usize = 4096;
        /// No package has a longer path, and the app may have any number of them.
        const LONGEST: usize = 512;
        let mut state = self.lock();
        let room = MOST - state.executed.len();
        let files = files.iter().filter(|file| (1..=LONGEST).contains(&file.len()));
        state.executed.extend(files.take(room).map(PathBuf::from));
    }

    /// A signal was forwarded. Never waits.
    pub fn signal(&self, signal: SignalName) {
        let mut state = self.lock();
        let ready = state.progress == Progress::Ready;
        if !state.signals.insert((ready, signal.0)) {
            return;
        }
        let phase = if ready { Phase::Serving } else { Phase::Startup };
        let observation = Observation::ok(What::Signal { signal: signal.to_string() });
        let line = Observed::new(state.began.elapsed(), phase, observation);
        self.push(&mut state, Item::new(line, None));
    }

    /// Nothing more will be observed.
    pub fn observed(&self) {
        self.lock().observed = true;
        self.over.notify_all();
    }

    /// Writes the last line, and all that waits before it, for at most `timeout`.
    /// `stopped` is the stop signal that was forwarded, `remapped` are exit codes that
    /// count as 0.
    pub fn end(&self, exit: Status, stopped: Option<i32>, remapped: &[i32], timeout: Duration) {
        let until = Instant::now() + timeout;
        let state = self.lock();
        let (lasted, progress) = (state.began.elapsed(), state.progress);
        // The observer may be behind the app, which has ended.
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread's work.
    fn write(&self, mut writer: LineWriter<Box<dyn Output>>) {
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

    /// Waits for something to do; something was written that is not synced since `unsynced`.
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

/// Brings to the disk what was written.
fn sync(writer: &mut LineWriter<Box<dyn Output>>, unsynced: &mut Option<Instant>) {
    if let Err(error) = writer.sync() {
        tracing::debug!("learning: fdatasync: {}", sys::errno(&error));
    }
    *unsynced = None;
}

impl State {
    fn has_room(&self, length: usize) -> bool {
        // One that is longer than all the room there is has to be written all the same.
        self.items.is_empty() || (self.items.len() < CAPACITY.0 && self.bytes + length <= CAPACITY.1)
    }
}

impl Item {
    fn new(line: Observed, file: Option<File>) -> Item {
        let mut length = Length(0);
        // Nothing that is counted fails.
        let _ = serde_json::to_writer(&mut length, &line);
        Item { line, length: length.0, file }
    }

    /// The line's text, with the digest of its file: that takes its time, and the app does not
    /// wait for this thread.
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

/// The last line up to its counts.
fn last(exit: Status, ending: Ending, lasted: Duration) -> End {
    let summary = Summary {
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
