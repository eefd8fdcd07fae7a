//! The journal: one file a run, to which one thread writes. Whoever observes puts lines
//! into a bounded queue, so that a slow disk costs lines, which are counted, and never
//! keeps the app or PID 1 waiting for long.
//!
//! A line is one write. What is cut by a full disk is cut away again before the next
//! one, so that a line never begins in the middle of another, and what stands in the
//! file is whole whenever the machine stops.

#![forbid(unsafe_code)]

pub mod observation;
mod pen;
pub mod start;

use std::collections::{BTreeSet, VecDeque};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use serde::Serialize;

use self::observation::{Observation, Phase, What, line};
use self::pen::{Out, Pen, Stderr};
use crate::event::{SignalName, Status};
use crate::image::packages;
use crate::sys;

/// Where a journal lies where nobody says.
pub const DEFAULT: &str = "/var/lib/remit";

/// As many lines and bytes wait to be written.
const MOST: (usize, usize) = (4096, 1 << 20);
/// So long a line waits for room, once: as long as there is none, the next do not.
const PATIENCE: Duration = Duration::from_millis(50);
/// What was written is on the disk after so long.
const SYNC: Duration = Duration::from_secs(1);

/// Where a journal goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// A new file in this directory.
    Directory(PathBuf),
    /// Descriptor 2, for whoever collects what a container says.
    Stderr,
}

impl To {
    /// Makes the directory where its parent is there, for this process's user alone: a
    /// journal has the arguments of programs.
    ///
    /// # Errors
    /// One line: where it cannot be made, why, and what to do.
    pub fn prepare(&self) -> Result<(), String> {
        let To::Directory(directory) = self else { return Ok(()) };
        match DirBuilder::new().mode(0o700).create(directory) {
            // What is there and no directory, opening the journal finds out.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(cannot(directory, &error)),
            _ => Ok(()),
        }
    }
}

/// How far the app is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// It has been launched.
    Launched,
    /// It has taken a port or a name, and is not ready.
    Taking,
    /// Start-up is over.
    Ready,
}

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
    /// Nobody observes any more, or the thread has written all.
    over: Condvar,
}

#[derive(Debug)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    dropped: u64,
    /// Nobody waits for room any more, until there is some.
    stalled: bool,
    /// How often lines were lost, and then the disk took some again.
    recoveries: u64,
    progress: Progress,
    began: Instant,
    /// Signals that were written, by phase.
    signals: BTreeSet<(bool, i32)>,
    /// Programs, loaders and interpreters, whose packages the last line names.
    executed: BTreeSet<PathBuf>,
    /// All that was seen is in the queue.
    observed: bool,
    /// The end of the last line, from `"end":{` to `"lines":`.
    end: Option<String>,
    over: bool,
    /// The pen, until the thread takes it.
    pen: Option<Pen<Box<dyn Out>>>,
}

/// What waits to be written.
#[derive(Debug)]
struct Item {
    line: String,
    /// A program's file, whose digest becomes part of its line.
    file: Option<File>,
}

impl Journal {
    /// Makes the journal of a run of `command`, and writes its first line: what `first`
    /// makes of the run's name.
    ///
    /// # Errors
    /// One line: where it cannot be written, why, and what to do.
    pub fn create(to: &To, command: &str, first: impl Fn(&str) -> String) -> Result<Journal, String> {
        let stem = stem(command);
        let mut attempts = 0;
        let (run, out): (String, Box<dyn Out>) = loop {
            let run = format!("{stem}-{}-{}", compact(SystemTime::now()), random()?);
            match to {
                To::Stderr => break (run, Box::new(Stderr::open()?)),
                To::Directory(directory) => match new_file(directory, &run) {
                    Ok(file) => break (run, Box::new(file)),
                    // Another replica has just this name.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempts < 16 => {
                        attempts += 1;
                    }
                    Err(error) => return Err(cannot(directory, &error)),
                },
            }
        };
        let mut pen = Pen::new(out);
        pen.put(&first(&run)).and_then(|()| pen.sync()).map_err(|error| match to {
            To::Stderr => {
                format!("learning: stderr cannot be written: {}; name a directory", sys::errno(&error))
            }
            To::Directory(directory) => cannot(directory, &error),
        })?;
        Ok(Journal::over(run, pen))
    }

    fn over(run: String, pen: Pen<Box<dyn Out>>) -> Journal {
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
            pen: Some(pen),
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
        let Some(pen) = self.lock().pen.take() else { return Ok(()) };
        let this = Arc::clone(self);
        let write = move || {
            if let Err(errno) = sys::signal::block_all() {
                tracing::warn!(%errno, "a thread takes signals that are the app's");
            }
            this.write(pen);
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
    pub fn put(&self, line: String, file: Option<File>) -> bool {
        let mut state = self.lock();
        if !state.has_room(&line) && !state.stalled && state.end.is_none() {
            let waited = self.room.wait_timeout_while(state, PATIENCE, |state| !state.has_room(&line));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.stalled = !state.has_room(&line);
        }
        self.push(&mut state, line, file)
    }

    /// The same without waiting.
    fn push(&self, state: &mut State, line: String, file: Option<File>) -> bool {
        if state.end.is_some() || !state.has_room(&line) {
            state.dropped += 1;
            return false;
        }
        state.bytes += line.len();
        state.items.push_back(Item { line, file });
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
        let line = line(state.began.elapsed(), phase, &observation);
        self.push(&mut state, line, None);
    }

    /// Nothing more will be seen.
    pub fn observed(&self) {
        self.lock().observed = true;
        self.over.notify_all();
    }

    /// Writes the last line, and all that waits before it, for at most `timeout`.
    /// `told` is the stop signal that was forwarded, `remapped` are exit codes that
    /// count as 0.
    pub fn end(&self, exit: Status, told: Option<i32>, remapped: &[i32], timeout: Duration) {
        let until = Instant::now() + timeout;
        let state = self.lock();
        let (lasted, progress) = (state.began.elapsed(), state.progress);
        // Who observes may be behind the app, which has ended.
        let waited = self.over.wait_timeout_while(state, timeout, |state| !state.observed);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.end = Some(last(exit, ending(exit, told, remapped, progress, lasted), lasted));
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
    fn write(&self, mut pen: Pen<Box<dyn Out>>) {
        let (mut lines, mut failing) = (0u64, false);
        let mut unsynced: Option<Instant> = None;
        loop {
            let mut state = self.lock();
            let left = |since: Instant| SYNC.saturating_sub(since.elapsed());
            while state.items.is_empty()
                && state.end.is_none()
                && unsynced.is_none_or(|since| !left(since).is_zero())
            {
                state = match unsynced {
                    None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                    Some(since) => {
                        self.work.wait_timeout(state, left(since)).unwrap_or_else(PoisonError::into_inner).0
                    }
                };
            }
            let item = state.items.pop_front();
            let Some(item) = item else {
                let end = state.end.clone();
                let dropped = state.dropped;
                let executed = end.as_ref().map(|_| std::mem::take(&mut state.executed)).unwrap_or_default();
                drop(state);
                if let Some(end) = end {
                    let packages = packages::owners(Path::new("/"), executed.iter().map(PathBuf::as_path));
                    let packages = match serde_json::Value::Object(packages) {
                        none if none.as_object().is_some_and(serde_json::Map::is_empty) => String::new(),
                        packages => format!(",\"packages\":{packages}"),
                    };
                    let told = pen
                        .put(&format!("{end}\"lines\":{lines},\"dropped\":{dropped}{packages}}}}}"))
                        .and_then(|()| pen.sync());
                    if let Err(error) = told {
                        tracing::warn!("learning: the last line: {}", sys::errno(&error));
                    }
                    self.lock().over = true;
                    return self.over.notify_all();
                }
                if let Err(error) = pen.sync() {
                    tracing::debug!("learning: fdatasync: {}", sys::errno(&error));
                }
                unsynced = None;
                continue;
            };
            state.bytes -= item.line.len();
            state.stalled = false;
            self.room.notify_one();
            drop(state);
            match pen.put(&whole(item)) {
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
            }
            if unsynced.is_some_and(|since| since.elapsed() >= SYNC) {
                if let Err(error) = pen.sync() {
                    tracing::debug!("learning: fdatasync: {}", sys::errno(&error));
                }
                unsynced = None;
            }
        }
    }
}

impl State {
    fn has_room(&self, line: &str) -> bool {
        // One that is longer than all the room there is has to be written all the same.
        self.items.is_empty() || (self.items.len() < MOST.0 && self.bytes + line.len() <= MOST.1)
    }
}

/// A line with the digest of its file, which takes its time: the app does not wait.
fn whole(item: Item) -> String {
    let digest = item.file.and_then(crate::image::digest::digest);
    match (digest, item.line.strip_suffix('}')) {
        (Some(digest), Some(start)) => format!("{start},\"sha256\":\"sha256:{digest}\"}}"),
        _ => item.line,
    }
}

/// The last line up to its counts.
fn last(exit: Status, ending: Ending, lasted: Duration) -> String {
    #[derive(Serialize)]
    struct Last {
        exit: Status,
        clean: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        ready: Option<bool>,
    }
    let ready = (ending == Ending::Early).then_some(false);
    // Plain values: it cannot fail.
    let end =
        serde_json::to_string(&Last { exit, clean: ending == Ending::Clean, ready }).unwrap_or_default();
    let end = end.strip_suffix('}').unwrap_or(&end);
    format!("{{\"t\":{},\"end\":{end},", lasted.as_millis())
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// By itself and well, or by a stop signal that was sent to it.
    Clean,
    /// By a stop signal before it was ready: it has not shown what it does.
    Early,
    /// With an error, or by a signal that nobody outside sent.
    Bad,
}

fn ending(exit: Status, told: Option<i32>, remapped: &[i32], progress: Progress, lasted: Duration) -> Ending {
    /// An app that is stopped sooner cannot have done much.
    const SHORT: Duration = Duration::from_secs(1);
    let starts_up = match progress {
        Progress::Ready => false,
        Progress::Taking => true,
        Progress::Launched => lasted < SHORT,
    };
    let crash = |signal: i32| !matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGHUP);
    let well = match exit {
        Status::Code(code) if code == 0 || remapped.contains(&code) => true,
        // A shell tells so by which signal its child ended.
        Status::Code(code) => told.is_some() && (code < 128 || !crash(code - 128)),
        Status::Signal(signal) => {
            remapped.contains(&(128 + signal.0)) || (told.is_some() && !crash(signal.0))
        }
    };
    match (well, told.is_some() && starts_up) {
        (false, _) => Ending::Bad,
        (true, true) => Ending::Early,
        (true, false) => Ending::Clean,
    }
}

/// A file that nobody has made, for appending.
fn new_file(directory: &Path, run: &str) -> io::Result<File> {
    let path = directory.join(format!("{run}.jsonl"));
    let file = File::options().append(true).create_new(true).mode(0o640).open(path)?;
    // The name survives a loss of power too. What cannot be synced there is written all
    // the same.
    if let Err(error) = File::open(directory).and_then(|directory| directory.sync_all()) {
        tracing::debug!("learning: fsync of the directory: {}", sys::errno(&error));
    }
    Ok(file)
}

fn cannot(directory: &Path, error: &io::Error) -> String {
    let shown = directory.display();
    let advice = match sys::errno(error) {
        Errno::ENOENT => "mount a volume there, or name another with --learn-dir (`-` writes to stderr)",
        Errno::ENOTDIR => "name a directory with --learn-dir (`-` writes to stderr)",
        Errno::EACCES | Errno::EPERM => {
            "let the user that starts remit-init write there, or name another with --learn-dir (`-` writes to stderr)"
        }
        Errno::EROFS => {
            "mount a writable volume there, or name another with --learn-dir (`-` writes to stderr)"
        }
        Errno::ENOSPC | Errno::EDQUOT => {
            "make room there, or name another with --learn-dir (`-` writes to stderr)"
        }
        _ => "name another with --learn-dir (`-` writes to stderr)",
    };
    format!("learning: a journal cannot be written into {shown}: {}; {advice}", sys::errno(error).desc())
}

/// The name of COMMAND as runs, files and profiles may have it.
fn stem(command: &str) -> String {
    let name = command.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(allowed).take(64).collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() { "run".to_owned() } else { name.to_owned() }
}

/// `20261122T100000Z`.
fn compact(time: SystemTime) -> String {
    let whole = crate::event::time::utc(time);
    let digits = whole.split('.').next().unwrap_or_default();
    format!("{}Z", digits.replace(['-', ':'], ""))
}

fn random() -> Result<String, String> {
    let [number, ..] = sys::process::random().map_err(|errno| format!("learning: getrandom: {errno}"))?;
    Ok(format!("{:08x}", number as u32))
}

#[cfg(test)]
mod tests;
