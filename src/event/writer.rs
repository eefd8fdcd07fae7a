//! The writer: a thread of its own that writes what others record. Whoever
//! records never waits for the sink; when that is slow, full or dead, events are
//! lost by count, and the count is written as soon as it works again.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;

use super::flood::FloodLimiter;
use super::model::{DroppedEvent, Event, PolicyId, StartEvent, line};
use super::queue::{Item, Queue};
use super::redact::{self, Redaction};
use super::sink::{Level, Outlet, Sink, lost_connection};
use crate::sys::threads;

const MOST_LINES: usize = 1024;
const MOST_BYTES: usize = 256 * 1024;
/// A sink that fails is tried again after this, then after twice as long, …
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// … up to this.
const LAST_RETRY: Duration = Duration::from_secs(5);
/// An inherited pipe whose reader is gone will hardly come back.
const HOPELESS_RETRY: Duration = Duration::from_secs(60);

/// Why events are lost while the sink takes them, but not fast enough.
const SLOW: &str = "sink slow";

/// Records events. Shared by reference between threads.
#[derive(Debug)]
pub struct EventWriter {
    shared: Arc<Shared>,
    level: Level,
    policy: PolicyId,
    redaction: Redaction,
    beginning: Beginning,
}

/// How the events of a start begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// What all events of this start carry: 32 hex digits that nobody else knows.
    pub nonce: String,
    /// The start event is written at whatever level.
    pub is_written: bool,
    /// Others write to the sink as well, so that the start event has to be there before the
    /// app is.
    pub is_waited_for: bool,
}

/// So long the start waits for a sink that does not take its first line.
const FIRST_LINE: Duration = Duration::from_secs(1);

/// Events that [`EventWriter::close`] could not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritten {
    /// How many.
    pub count: u64,
    /// Why.
    pub why: String,
}

impl std::fmt::Display for Unwritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} events could not be written: {}", self.count, self.why)
    }
}

impl EventWriter {
    /// Makes it ready; its thread starts with the first event. All signals have to be
    /// blocked before, so that none is delivered to it.
    pub fn start(
        sink: Sink,
        level: Level,
        policy: PolicyId,
        redaction: Redaction,
        beginning: Beginning,
    ) -> EventWriter {
        EventWriter::over(sink, level, policy, redaction, beginning)
    }

    fn over(
        sink: impl Outlet,
        level: Level,
        policy: PolicyId,
        redaction: Redaction,
        beginning: Beginning,
    ) -> EventWriter {
        let format = LineFormat::Events { policy: policy.clone(), nonce: beginning.nonce.clone(), seq: 0 };
        let shared = Shared::start(EVENTS, sink, format);
        EventWriter { shared, level, policy, redaction, beginning }
    }

    /// Takes the start event. Where it has to come before all that the app writes, it is
    /// written when this returns, unless the sink does not take it for a second.
    pub fn begin(&self, start: StartEvent) {
        self.record(Event::Start(start));
        if self.beginning.is_waited_for && !self.shared.is_idle_within(FIRST_LINE) {
            tracing::debug!("the start event is not written yet, so that others may write before it");
        }
    }

    /// Whether everything is written, so that an event nobody would read need not
    /// be put together.
    pub fn wants_all(&self) -> bool {
        self.level == Level::All
    }

    /// Takes an event. It never waits for the sink, and never fails: what cannot
    /// be kept is counted.
    pub fn record(&self, mut event: Event) {
        let begins = self.beginning.is_written && matches!(event, Event::Start(_));
        if self.level == Level::Violation && !begins && !event.matters() {
            return;
        }
        redact::bound(&mut event, self.redaction);
        if let Event::Violation(violation) = event {
            if violation.summary.is_some() {
                return self.put(&Event::Violation(violation));
            }
            let mut state = self.shared.lock();
            let idle = state.limiter.due().is_none();
            let told = state.limiter.record(Instant::now(), violation);
            drop(state);
            if idle && told.is_none() {
                // The writer has to learn of its new deadline.
                self.shared.wake();
            }
            return told.into_iter().for_each(|violation| self.put(&Event::Violation(violation)));
        }
        if matches!(event, Event::Stop(_)) {
            // What is held back comes before it: the stop is the last event.
            let suppressed = self.shared.lock().limiter.flush(Instant::now());
            suppressed.into_iter().for_each(|violation| self.put(&Event::Violation(violation)));
        }
        self.put(&event);
    }

    /// Writes what is held back and queued, for at most `timeout`. What is recorded
    /// afterwards is lost.
    ///
    /// # Errors
    /// How much could not be written in that time; the thread is left to hang.
    pub fn close(&self, timeout: Duration) -> Result<(), Unwritten> {
        self.shared.close(timeout)
    }

    fn put(&self, event: &Event) {
        let text = event.tail(SystemTime::now(), &self.policy);
        self.shared.lock().push(text, 1);
        self.shared.wake();
    }
}

/// What is behind a queue: a line format, and a sink for them.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// There is something to do for the thread.
    work: Condvar,
    /// The thread has ended.
    over: Condvar,
    /// All is written.
    idle: Condvar,
    /// Starts the thread; nothing once it is there.
    thread: Mutex<Option<Starter>>,
}

/// Starts the thread that writes. What fails may be tried again.
struct Starter(Box<dyn Fn() -> io::Result<()> + Send>);

impl std::fmt::Debug for Starter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Starter")
    }
}

#[derive(Debug)]
struct State {
    queue: Queue,
    limiter: FloodLimiter,
    /// Why the sink does not take anything, while it does not.
    trouble: Option<String>,
    /// Events of the line that the thread is writing.
    in_hand: u64,
    closing: bool,
    over: bool,
}

impl State {
    fn push(&mut self, text: String, stands_for: u64) {
        let why = self.trouble.as_deref().unwrap_or(SLOW);
        self.queue.push(text, stands_for, why);
    }
}

/// Has a job done by a thread.
pub(super) type Run = fn(Box<dyn FnOnce() + Send>) -> io::Result<()>;
/// There is a thread for events whatever the app does.
const EVENTS: Run = |writes| threads::run_reserved("events", writes);
pub(super) const DIAGNOSTICS: Run = |writes| threads::run("log", writes);

/// How a line is made of what was queued.
#[derive(Debug)]
pub(super) enum LineFormat {
    /// Numbered, and losses are events too.
    Events { policy: PolicyId, nonce: String, seq: u64 },
    /// As it is.
    Diagnostics,
}

impl LineFormat {
    fn line(&mut self, item: &Item) -> String {
        match (self, item) {
            (LineFormat::Events { policy, nonce, seq }, item) => {
                *seq += 1;
                match item {
                    Item::Line { text, .. } => line(*seq, nonce, text),
                    Item::Lost { count, why } => {
                        let dropped = Event::Dropped(DroppedEvent { count: *count, why: why.clone().into() });
                        line(*seq, nonce, &dropped.tail(SystemTime::now(), policy))
                    }
                }
            }
            (LineFormat::Diagnostics, Item::Line { text, .. }) => format!("{text}\n"),
            (LineFormat::Diagnostics, Item::Lost { count, why }) => {
                format!("remit-init: warn: {count} lines like this were lost: {why}\n")
            }
        }
    }
}

impl Shared {
    /// The thread starts when there is something to write: most containers never have
    /// anything, and a launch has better things to do.
    pub(super) fn start(run: Run, sink: impl Outlet, format: LineFormat) -> Arc<Shared> {
        Arc::new_cyclic(|shared: &Weak<Shared>| Shared {
            state: Mutex::new(State {
                queue: Queue::new(MOST_LINES, MOST_BYTES),
                limiter: FloodLimiter::default(),
                trouble: None,
                in_hand: 0,
                closing: false,
                over: false,
            }),
            work: Condvar::new(),
            over: Condvar::new(),
            idle: Condvar::new(),
            thread: Mutex::new(Some(Self::thread(run, shared.clone(), sink, format))),
        })
    }

    fn thread(run: Run, shared: Weak<Shared>, sink: impl Outlet, format: LineFormat) -> Starter {
        let ends = Arc::new(Mutex::new(Some((sink, format))));
        Starter(Box::new(move || {
            let Some(shared) = shared.upgrade() else { return Ok(()) };
            let ends = Arc::clone(&ends);
            run(Box::new(move || {
                let ends = ends.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some((sink, format)) = ends else { return };
                WriterThread { shared, sink, format, rest: Vec::new(), written: 0, retry: FIRST_RETRY }.run();
            }))
        }))
    }

    /// There is something to write. While there can be no thread for it, the queue fills, and
    /// counts.
    fn wake(&self) {
        let thread = || self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        // Not under the lock: to start a thread may have something to say itself.
        let start = thread().take();
        if let Some(start) = start
            && let Err(error) = start.0()
        {
            // Before another may try it and have more luck.
            self.lock().trouble = Some(format!("no thread can be started: {error}"));
            *thread() = Some(start);
        }
        self.work.notify_one();
    }

    /// Queues a line as it is.
    pub(super) fn say(&self, text: String) {
        self.lock().push(text, 1);
        self.wake();
    }

    /// Waits until all is written, for at most so long. Whether it is.
    fn is_idle_within(&self, timeout: Duration) -> bool {
        let is_busy = |state: &mut State| !state.over && (state.in_hand > 0 || state.queue.stands_for() > 0);
        let waited = self.idle.wait_timeout_while(self.lock(), timeout, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close(&self, timeout: Duration) -> Result<(), Unwritten> {
        let is_started = self.thread.lock().unwrap_or_else(PoisonError::into_inner).is_none();
        let mut state = self.lock();
        state.closing = true;
        if is_started {
            self.work.notify_one();
            let waited = self.over.wait_timeout_while(state, timeout, |state| !state.over);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let suppressed = state.limiter.flush(Instant::now());
        let suppressed: u64 =
            suppressed.iter().filter_map(|violation| violation.summary).map(|summary| summary.count).sum();
        let count = state.queue.stands_for() + state.in_hand + suppressed;
        if count == 0 {
            return Ok(());
        }
        let why = state.trouble.clone().unwrap_or_else(|| SLOW.to_owned());
        Err(Unwritten { count, why })
    }
}

/// The thread's side.
struct WriterThread<S> {
    shared: Arc<Shared>,
    sink: S,
    format: LineFormat,
    /// The line in hand, and how much of it is written.
    rest: Vec<u8>,
    written: usize,
    retry: Duration,
}

impl<S: Outlet> WriterThread<S> {
    fn run(mut self) {
        // What kept it from starting. The thread that started this one comes too late for that:
        // it would clear an error of this one's first write.
        self.shared.lock().trouble = None;
        while self.next() {
            // A line is given up only at the end: until then it is in hand, and
            // the queue behind it fills and counts.
            while let Err(error) = self.write() {
                if !self.patience(&error) {
                    return self.finish();
                }
            }
        }
        self.finish();
    }

    /// Waits for the next line and takes it in hand; false when there will be none.
    fn next(&mut self) -> bool {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        state.in_hand = 0;
        loop {
            let now = Instant::now();
            let due = state.limiter.due();
            if due.is_some_and(|due| due <= now || state.closing) {
                state = self.tell_summaries(&shared, state, now);
            }
            if let Some(item) = state.queue.pop() {
                state.in_hand = item.stands_for();
                drop(state);
                self.rest = self.format.line(&item).into_bytes();
                self.written = 0;
                return true;
            }
            shared.idle.notify_all();
            if state.closing {
                return false;
            }
            state = match state.limiter.due() {
                Some(due) => {
                    let pause = due.saturating_duration_since(now);
                    shared.work.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
                }
                None => shared.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Puts what the limiter held back into the queue; made into text unlocked, for
    /// others are recording meanwhile.
    fn tell_summaries<'a>(
        &self,
        shared: &'a Shared,
        mut state: MutexGuard<'a, State>,
        now: Instant,
    ) -> MutexGuard<'a, State> {
        let summaries = state.limiter.flush(now);
        let LineFormat::Events { policy, .. } = &self.format else { return state };
        drop(state);
        let time = SystemTime::now();
        let lines: Vec<(String, u64)> = summaries
            .into_iter()
            .map(|violation| {
                let count = violation.summary.map_or(1, |summary| summary.count);
                (Event::Violation(violation).tail(time, policy), count)
            })
            .collect();
        let mut state = shared.lock();
        lines.into_iter().for_each(|(text, count)| state.push(text, count));
        state
    }

    /// Writes the rest of the line in hand.
    fn write(&mut self) -> io::Result<()> {
        while self.written < self.rest.len() {
            self.written += self.sink.write(&self.rest[self.written..])?;
        }
        if self.retry != FIRST_RETRY {
            self.retry = FIRST_RETRY;
            self.shared.lock().trouble = None;
        }
        Ok(())
    }

    /// After a failure: waits until it is worth trying again; false when remit
    /// ends and it was tried a last time.
    fn patience(&mut self, error: &io::Error) -> bool {
        let why = error.raw_os_error().map_or_else(
            || error.to_string(),
            |errno| {
                let errno = Errno::from_raw(errno);
                format!("{errno:?}: {}", errno.desc())
            },
        );
        let shared = self.shared.clone();
        let mut state = shared.lock();
        state.trouble = Some(format!("sink failed: {why}"));
        if state.closing {
            return false;
        }
        let pause =
            if lost_connection(error) && self.sink.is_inherited() { HOPELESS_RETRY } else { self.retry };
        self.retry = (self.retry * 2).min(LAST_RETRY);
        let waited = shared.work.wait_timeout_while(state, pause, |state| !state.closing);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        // Where it fails to connect, the write that follows fails as before.
        if self.sink.revive(error).unwrap_or(false) {
            self.written = 0;
        }
        true
    }

    fn finish(self) {
        self.shared.lock().over = true;
        self.shared.over.notify_all();
        self.shared.idle.notify_all();
    }
}

#[cfg(test)]
mod tests;
