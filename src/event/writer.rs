//! The event writer. Recording puts an event into a queue and never waits for the sink; a thread
//! writes the queue. While the sink is slow, full or dead, events are dropped and counted, and
//! the count is written as soon as the sink works again.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;

use super::flood::FloodLimiter;
use super::model::{DroppedEvent, Event, PolicyId, StartEvent, line};
use super::queue::{Queue, QueueItem};
use super::redact::{self, Redaction};
use super::sink::{Level, Outlet, Sink, lost_connection};
use crate::sys::threads;
use crate::visible::counted;

const MOST_LINES: usize = 1024;
const MOST_BYTES: usize = 256 * 1024;
/// The time to the first retry of a failed sink; each further one takes twice as long.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest time between two retries.
const LAST_RETRY: Duration = Duration::from_secs(5);
/// The time between two retries of an inherited pipe whose reader is gone.
const BROKEN_PIPE_RETRY: Duration = Duration::from_secs(60);

/// The reason in `dropped` while the sink works, but too slowly.
const SLOW: &str = "sink slow";

/// Records events. Threads share it by reference.
#[derive(Debug)]
pub struct EventWriter {
    shared: Arc<Shared>,
    level: Level,
    policy: PolicyId,
    redaction: Redaction,
    beginning: Beginning,
}

/// How the event stream of a start begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The nonce of all events of this start: 32 random hex digits.
    pub nonce: String,
    /// The start event is written at every level.
    pub is_written: bool,
    /// The app can write to the sink too, so the start event has to be written before the app
    /// runs.
    pub is_waited_for: bool,
}

/// How long the start waits for the sink to take the first line.
const FIRST_LINE: Duration = Duration::from_secs(1);

/// Events that [`EventWriter::close`] could not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritten {
    /// The number of events.
    pub count: u64,
    /// Why they were not written.
    pub why: String,
}

impl std::fmt::Display for Unwritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} not written: {}", counted(self.count, "event"), self.why)
    }
}

impl EventWriter {
    /// Makes a writer; its thread starts with the first event. All signals have to be blocked
    /// before, so that none is delivered to the thread.
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

    /// Records the start event. Where the app can write to the sink too, this returns once the
    /// event is written, or after a second.
    pub fn begin(&self, start: StartEvent) {
        self.record(Event::Start(start));
        if self.beginning.is_waited_for && !self.shared.is_idle_within(FIRST_LINE) {
            tracing::debug!("the start event is not written yet; the app may write before it");
        }
    }

    /// Whether the level is [`Level::All`]. At the other level a caller need not collect the
    /// fields of an ordinary event.
    pub fn wants_all(&self) -> bool {
        self.level == Level::All
    }

    /// Queues an event. It never waits for the sink and never fails: an event that does not fit
    /// is counted as lost.
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
            let written = state.limiter.record(Instant::now(), violation);
            drop(state);
            if idle && written.is_none() {
                // The writing thread has a new deadline.
                self.shared.wake();
            }
            return written.into_iter().for_each(|violation| self.put(&Event::Violation(violation)));
        }
        if matches!(event, Event::Stop(_)) {
            // Suppressed violations come first: the stop is the last event.
            let suppressed = self.shared.lock().limiter.flush(Instant::now());
            suppressed.into_iter().for_each(|violation| self.put(&Event::Violation(violation)));
        }
        self.put(&event);
    }

    /// Writes suppressed and queued events, for at most `timeout`. Events that are recorded later
    /// are lost.
    ///
    /// # Errors
    /// The number of events that were not written in that time. The thread may still block in the
    /// sink.
    pub fn close(&self, timeout: Duration) -> Result<(), Unwritten> {
        self.shared.close(timeout)
    }

    fn put(&self, event: &Event) {
        let text = event.tail(SystemTime::now(), &self.policy);
        self.shared.lock().push(text, 1);
        self.shared.wake();
    }
}

/// The queue, and the state that recording threads and the writing thread share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<WriterState>,
    /// Wakes the writing thread.
    work: Condvar,
    /// Signals that the writing thread has ended.
    over: Condvar,
    /// Signals that the queue is empty and written.
    idle: Condvar,
    /// Starts the writing thread; `None` once it runs.
    thread: Mutex<Option<Starter>>,
}

/// Starts the writing thread. It may be called again after a failure.
struct Starter(Box<dyn Fn() -> io::Result<()> + Send>);

impl std::fmt::Debug for Starter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Starter")
    }
}

#[derive(Debug)]
struct WriterState {
    queue: Queue,
    limiter: FloodLimiter,
    /// Why the sink or its thread does not work, while it does not.
    trouble: Option<String>,
    /// How many events the line that is being written stands for.
    in_hand: u64,
    closing: bool,
    over: bool,
}

impl WriterState {
    fn push(&mut self, text: String, stands_for: u64) {
        let why = self.trouble.as_deref().unwrap_or(SLOW);
        self.queue.push(text, stands_for, why);
    }
}

/// Runs a job in a thread.
pub(super) type RunInThread = fn(Box<dyn FnOnce() + Send>) -> io::Result<()>;
/// A thread is reserved for events, whatever the app does.
const EVENTS: RunInThread = |writes| threads::run_reserved("events", writes);
pub(super) const DIAGNOSTICS: RunInThread = |writes| threads::run("log", writes);

/// How a queued item becomes a line.
#[derive(Debug)]
pub(super) enum LineFormat {
    /// Lines are numbered (`seq`), and losses become `dropped` events.
    Events { policy: PolicyId, nonce: String, seq: u64 },
    /// Lines are written unchanged, and losses become a warning.
    Diagnostics,
}

impl LineFormat {
    fn line(&mut self, item: &QueueItem) -> String {
        match (self, item) {
            (LineFormat::Events { policy, nonce, seq }, item) => {
                *seq += 1;
                match item {
                    QueueItem::Line { text, .. } => line(*seq, nonce, text),
                    QueueItem::Lost { count, why } => {
                        let dropped = Event::Dropped(DroppedEvent { count: *count, why: why.clone().into() });
                        line(*seq, nonce, &dropped.tail(SystemTime::now(), policy))
                    }
                }
            }
            (LineFormat::Diagnostics, QueueItem::Line { text, .. }) => format!("{text}\n"),
            (LineFormat::Diagnostics, QueueItem::Lost { count, why }) => {
                format!("remit-init: warn: {} like this lost: {why}\n", counted(*count, "line"))
            }
        }
    }
}

impl Shared {
    /// Makes the queue. The thread starts with the first line: most containers write none, and
    /// the launch is shorter without it.
    pub(super) fn start(run: RunInThread, sink: impl Outlet, format: LineFormat) -> Arc<Shared> {
        Arc::new_cyclic(|shared: &Weak<Shared>| Shared {
            state: Mutex::new(WriterState {
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

    fn thread(run: RunInThread, shared: Weak<Shared>, sink: impl Outlet, format: LineFormat) -> Starter {
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

    /// Wakes the writing thread, or starts it. While no thread can be started, the queue fills, and
    /// counts what does not fit.
    fn wake(&self) {
        let thread = || self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        // Not under the lock: starting a thread may log a diagnostic.
        let start = thread().take();
        if let Some(start) = start
            && let Err(error) = start.0()
        {
            // Before another thread retries it.
            self.lock().trouble = Some(format!("no thread can be started: {error}"));
            *thread() = Some(start);
        }
        self.work.notify_one();
    }

    /// Queues a line, unchanged.
    pub(super) fn push_line(&self, text: String) {
        self.lock().push(text, 1);
        self.wake();
    }

    /// Waits until all lines are written, for at most `timeout`, and returns whether they are.
    fn is_idle_within(&self, timeout: Duration) -> bool {
        let is_busy =
            |state: &mut WriterState| !state.over && (state.in_hand > 0 || state.queue.stands_for() > 0);
        let waited = self.idle.wait_timeout_while(self.lock(), timeout, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, WriterState> {
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
        let suppressed: u64 = suppressed
            .iter()
            .filter_map(|violation| violation.summary.as_ref())
            .map(|summary| summary.count)
            .sum();
        let count = state.queue.stands_for() + state.in_hand + suppressed;
        if count == 0 {
            return Ok(());
        }
        let why = state.trouble.clone().unwrap_or_else(|| SLOW.to_owned());
        Err(Unwritten { count, why })
    }
}

/// The writing thread.
struct WriterThread<S> {
    shared: Arc<Shared>,
    sink: S,
    format: LineFormat,
    /// The line that is being written, and how many of its bytes are.
    rest: Vec<u8>,
    written: usize,
    retry: Duration,
}

impl<S: Outlet> WriterThread<S> {
    fn run(mut self) {
        // Clears the error of an earlier attempt to start it. The starting thread could do so too
        // late, and clear an error of the first write.
        self.shared.lock().trouble = None;
        while self.next() {
            // A line is dropped only at the end: until then it is retried, and the queue behind it
            // fills and counts.
            while let Err(error) = self.write() {
                if !self.wait_to_retry(&error) {
                    return self.finish();
                }
            }
        }
        self.finish();
    }

    /// Waits for the next line and takes it; false when the writer closes and none is left.
    fn next(&mut self) -> bool {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        state.in_hand = 0;
        loop {
            let now = Instant::now();
            let due = state.limiter.due();
            if due.is_some_and(|due| due <= now || state.closing) {
                state = self.queue_summaries(&shared, state, now);
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

    /// Queues the summaries of the flood limiter. Their text is made without the lock, so that
    /// other threads can record meanwhile.
    fn queue_summaries<'a>(
        &self,
        shared: &'a Shared,
        mut state: MutexGuard<'a, WriterState>,
        now: Instant,
    ) -> MutexGuard<'a, WriterState> {
        let summaries = state.limiter.flush(now);
        let LineFormat::Events { policy, .. } = &self.format else { return state };
        drop(state);
        let time = SystemTime::now();
        let lines: Vec<(String, u64)> = summaries
            .into_iter()
            .map(|violation| {
                let count = violation.summary.as_ref().map_or(1, |summary| summary.count);
                (Event::Violation(violation).tail(time, policy), count)
            })
            .collect();
        let mut state = shared.lock();
        lines.into_iter().for_each(|(text, count)| state.push(text, count));
        state
    }

    /// Writes the rest of the line.
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

    /// Waits after a failure until the next retry; false when the writer closes, so that there is
    /// none.
    fn wait_to_retry(&mut self, error: &io::Error) -> bool {
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
            if lost_connection(error) && self.sink.is_inherited() { BROKEN_PIPE_RETRY } else { self.retry };
        self.retry = (self.retry * 2).min(LAST_RETRY);
        let waited = shared.work.wait_timeout_while(state, pause, |state| !state.closing);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        // Where reconnecting fails, the next write fails as before.
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
