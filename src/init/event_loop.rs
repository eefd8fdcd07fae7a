//! PID 1's event loop. It waits for signals, during the launch also for the launch's socket,
//! passes each input to the [state machine](crate::init::state), and performs the actions that
//! it returns. The worker queues its requests in a list and sends SIGCHLD to this thread.
//!
//! This thread reaps the children of the process, and makes no call that may block: events are
//! queued for the event writer, and the worker decides notified calls.

mod acts;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};

use crate::enforce::launch::{Child, Failure, LaunchMessage};
use crate::event::{Event, EventWriter, ExitEvent, Process, SignalName, StartEvent, Status, StopEvent};
use crate::ids::{Pid, Tid};
use crate::init::descendants;
use crate::init::log_dialect::{InitEvent, LogDialect};
use crate::init::request::{InitRequest, RequestSender};
use crate::init::state::{InitAction, InitInput, InitRules, InitState, StopCause, Terminal};
use crate::init::tracees::Tracees;
use crate::journal::Journal;
use crate::procfs::processes;
use crate::sys::CallError;
use crate::sys::memory;
use crate::sys::process::{self, StateChange};
use crate::sys::signal::{self, Mask, Received};
use crate::sys::threads;

/// The options of the init.
pub struct InitOptions {
    /// The rules of its state machine.
    pub rules: InitRules,
    /// Forward signals to the app's process group (tini's `-g`).
    pub group: bool,
    /// Log each orphan that is reaped (tini's `-w`).
    pub warn_reaped: bool,
    /// The dialect of its messages.
    pub dialect: LogDialect,
    /// argv\[0\] of the app, for messages.
    pub name: String,
}

/// What the loop needs to supervise a confined app.
pub struct Supervision {
    /// The writer of events.
    pub writer: Arc<EventWriter>,
    /// The start event, written once the confinement is in force.
    pub start: StartEvent,
    /// Takes state changes of tracees, where a rule needs the post-exec verification.
    pub tracees: Option<Arc<dyn Tracees>>,
    /// Makes the worker's job from the filter's listener.
    pub worker: Box<dyn FnOnce(Arc<OwnedFd>, RequestSender) -> WorkerJob>,
    /// The journal of a learning run.
    pub journal: Option<Arc<Journal>>,
}

/// The job of the worker: it answers notified calls, in a thread of its own.
pub type WorkerJob = Box<dyn FnOnce() + Send>;

/// The time from the end of the launch until its memory is freed.
const SETTLED: Duration = Duration::from_millis(100);

/// What the loop waits for.
enum EventSources {
    /// Signals alone, by rt_sigtimedwait(2): a signalfd would wake this thread for each SIGCHLD
    /// that the kernel sends to another thread. The messages of an unconfined launch are read
    /// when the app has ended.
    Signals,
    /// Signals and the launch's socket.
    Launch { signals: OwnedFd },
}

struct EventLoop {
    /// The pid of this process.
    me: Pid,
    state: InitState,
    child: Child,
    launched: bool,
    /// When the launch's memory is freed; `None` once it is.
    settles: Option<Instant>,
    failed: Option<Failure>,
    /// Why the messages of a confined app's launch cannot be read.
    launch_unknown: Option<Errno>,
    /// Why the worker has ended.
    worker_failed: Option<Failure>,
    sources: EventSources,
    requests: Arc<Mutex<Vec<InitRequest>>>,
    deadline: Option<Instant>,
    options: InitOptions,
    supervision: Option<Supervision>,
    writer: Option<Arc<EventWriter>>,
    /// Events that wait for the start event, which is always the first.
    early: Vec<Event>,
    journal: Option<Arc<Journal>>,
    /// Dropped when the tracer has ended.
    tracees: Option<Weak<dyn Tracees>>,
    app_end: Option<Status>,
    killed: u64,
    /// A refused signal to the app was already logged as a warning.
    forbidden: bool,
    exit: Option<u8>,
}

/// Supervises until the container ends, and returns its exit code.
///
/// # Errors
/// The launch failed, with the step and its errno; or the loop failed, and the app was killed.
/// No process of the app is left.
pub fn run(
    child: Child,
    options: InitOptions,
    supervision: Option<(OwnedFd, Supervision)>,
) -> Result<u8, RunError> {
    let app = child.pid;
    let ended = supervise(child, options, supervision);
    if let Err(RunError::Loop(_)) = ended
        && let Err(errno) = signal::send(app, libc::SIGKILL)
    {
        tracing::error!(%errno, "the app could not be killed");
    }
    ended
}

fn supervise(
    child: Child,
    options: InitOptions,
    supervision: Option<(OwnedFd, Supervision)>,
) -> Result<u8, RunError> {
    options.dialect.log(InitEvent::Spawned(&options.name, child.pid));
    if options.rules.terminal == Terminal::Session {
        options.dialect.log(InitEvent::OwnSession);
    }
    let (sources, supervision) = match supervision {
        Some((signals, supervision)) => {
            signal::interrupt_by_children()?;
            (EventSources::Launch { signals }, Some(supervision))
        }
        None => (EventSources::Signals, None),
    };
    let mut this = EventLoop {
        me: Pid::own(),
        state: InitState::new(child.pid, options.rules.clone()),
        writer: supervision.as_ref().map(|supervision| Arc::clone(&supervision.writer)),
        early: Vec::new(),
        journal: supervision.as_ref().and_then(|supervision| supervision.journal.clone()),
        child,
        launched: false,
        settles: matches!(sources, EventSources::Signals).then(|| Instant::now() + SETTLED),
        failed: None,
        launch_unknown: None,
        worker_failed: None,
        sources,
        requests: Arc::default(),
        deadline: None,
        options,
        supervision,
        tracees: None,
        app_end: None,
        killed: 0,
        forbidden: false,
        exit: None,
    };
    this.run()
}

/// Why there is no exit code of the app.
#[derive(Debug)]
pub enum RunError {
    /// A step of the launch failed in the child.
    Launch(Failure),
    /// The loop's own descriptors could not be made.
    Loop(Errno),
    /// The app has ended, and the messages of its launch could not be read.
    LaunchUnknown(Errno),
}

impl From<Errno> for RunError {
    fn from(errno: Errno) -> RunError {
        RunError::Loop(errno)
    }
}

impl EventLoop {
    fn run(&mut self) -> Result<u8, RunError> {
        loop {
            let happened = match self.sources {
                EventSources::Signals => self.await_signal()?,
                EventSources::Launch { .. } => self.await_launch()?,
            };
            if self.settles.is_some_and(|at| Instant::now() >= at) {
                self.trim_memory();
                // Wait again at once, before many pages are mapped again.
                if !happened {
                    continue;
                }
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.deadline = None;
                self.step(&InitInput::Timeout);
            }
            if let Some(errno) = self.launch_unknown {
                return Err(RunError::LaunchUnknown(errno));
            }
            if let Some(code) = self.exit {
                return match self.failed.take() {
                    // Without a worker the notified exec fails with ENOSYS; the worker's error is
                    // the cause.
                    Some(failure) if failure.exec => {
                        Err(RunError::Launch(self.worker_failed.take().unwrap_or(failure)))
                    }
                    Some(failure) => Err(RunError::Launch(failure)),
                    None => {
                        self.options.dialect.log(InitEvent::Goodbye(code));
                        self.finish();
                        Ok(code)
                    }
                };
            }
        }
    }

    /// Waits for one signal or the timeout, and returns whether a signal came.
    fn await_signal(&mut self) -> Result<bool, Errno> {
        let received = signal::wait(signal::Mask::ALL, self.timeout())?;
        if let Some(received) = received {
            self.receive(received);
        }
        Ok(received.is_some())
    }

    /// Waits during the launch, and handles all messages and signals that are pending. Returns
    /// whether there were any.
    fn await_launch(&mut self) -> Result<bool, RunError> {
        let EventSources::Launch { signals } = &self.sources else { return Ok(false) };
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [readable(signals.as_fd()), readable(self.child.socket.as_fd())];
        match signal::poll(&mut fds, self.timeout(), Mask::ALL) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // The messages first: the child's end must not be handled before its reason.
        self.read_launch_messages()?;
        self.take_signals();
        Ok(true)
    }

    fn timeout(&self) -> Option<Duration> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let settles = self.settles.map(|at| at.saturating_duration_since(Instant::now()));
        left.into_iter().chain(settles).min()
    }

    /// Frees the launch's memory, once.
    fn trim_memory(&mut self) {
        self.settles = None;
        if let Err(errno) = memory::trim_memory() {
            tracing::debug!(%errno, "the memory of the launch could not be freed");
        }
    }

    /// Reads all pending messages of the child. An error ends the loop: without the listener no
    /// call can be answered.
    fn read_launch_messages(&mut self) -> Result<(), RunError> {
        loop {
            match self.child.read_message() {
                Ok(LaunchMessage::Listener(listener)) => self.start_worker(listener),
                Ok(LaunchMessage::Failed(failure)) => self.failed = Some(failure),
                Ok(LaunchMessage::Closed) => {
                    self.launched = true;
                    if matches!(self.sources, EventSources::Launch { .. }) {
                        self.settles = Some(Instant::now() + SETTLED);
                        self.take_signals();
                        self.sources = EventSources::Signals;
                    }
                    self.begin_without_listener();
                    self.report_worker_failed();
                    return Ok(());
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Logs that the worker has ended: from now on every notified call fails with ENOSYS. While
    /// the launch runs it is not logged, since it may be why the app's own exec fails.
    fn report_worker_failed(&self) {
        if let Some(Failure { step, errno, .. }) = &self.worker_failed
            && self.launched
            && self.failed.is_none()
        {
            tracing::error!(%errno, "{step} failed: notified calls cannot be answered any more, and fail with ENOSYS");
        }
    }

    /// Writes the start event, since the filter is in force, and starts the worker. Without a
    /// worker every notified call would wait for ever, so the container is stopped.
    fn start_worker(&mut self, listener: OwnedFd) {
        let Some(supervision) = self.supervision.take() else { return };
        self.begin(&supervision.writer, supervision.start);
        let (queue, me) = (Arc::clone(&self.requests), self.me);
        let requests = Box::new(move |request| {
            let mut pending = queue.lock().unwrap_or_else(PoisonError::into_inner);
            // A repeated request is handled once.
            if !pending.contains(&request) {
                pending.push(request);
            }
            drop(pending);
            if let Err(errno) = signal::send_thread(me.as_raw(), me.as_raw(), libc::SIGCHLD) {
                tracing::error!(%errno, "the first thread could not be woken");
            }
        });
        let listener = Arc::new(listener);
        self.tracees = supervision.tracees.as_ref().map(Arc::downgrade);
        let worker = (supervision.worker)(listener, requests);
        memory::share_one_heap();
        let started = threads::run_reserved("worker", worker);
        if let Err(error) = started {
            tracing::error!(%error, "the worker could not be started; the app is killed");
            self.step(&InitInput::Violation);
        }
    }

    /// Writes the start event once the app runs, where there is no listener.
    fn begin_without_listener(&mut self) {
        if self.failed.is_none()
            && let Some(supervision) = self.supervision.take()
        {
            self.begin(&supervision.writer, supervision.start);
        }
    }

    fn begin(&mut self, writer: &EventWriter, start: StartEvent) {
        writer.begin(start);
        self.early.drain(..).for_each(|event| writer.record(event));
    }

    /// Records an event, after the start event if that was not written yet. A launch that fails
    /// has no events.
    fn record(&mut self, event: Event) {
        let Some(writer) = &self.writer else { return };
        if self.supervision.is_some() {
            self.early.push(event);
        } else {
            writer.record(event);
        }
    }

    fn take_signals(&mut self) {
        loop {
            let EventSources::Launch { signals } = &self.sources else { return };
            match signal::next(signals) {
                Ok(Some(received)) => self.receive(received),
                Ok(None) => return,
                Err(errno) => {
                    tracing::error!(%errno, "signals cannot be read");
                    return;
                }
            }
        }
    }

    /// Handles the worker's requests.
    fn take_requests(&mut self) {
        let pending = std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner));
        for request in pending {
            match request {
                InitRequest::Stop => self.step(&InitInput::Violation),
                InitRequest::Stopped(pid, signal) => self.step(&InitInput::Stopped(pid, signal)),
                // The caller reaps next.
                InitRequest::Children => {}
                InitRequest::Failed(CallError { call, errno }) => {
                    let step = format!("notification: {call}");
                    self.worker_failed = Some(Failure { step, exec: false, errno });
                    self.report_worker_failed();
                }
            }
        }
    }

    fn receive(&mut self, received: Received) {
        if received.signal == libc::SIGCHLD {
            self.children();
        } else {
            self.options.dialect.log(InitEvent::Received(received.signal));
            self.step(&InitInput::Signal(received));
        }
    }

    /// Handles SIGCHLD: a child or a tracee has changed state, or the worker has a request.
    fn children(&mut self) {
        self.options.dialect.log(InitEvent::Received(libc::SIGCHLD));
        self.take_requests();
        self.reap();
        if let Some(tracees) = self.tracees()
            && process::has_waitable()
        {
            tracees.changed();
        }
    }

    /// Reaps until no child is waitable: one SIGCHLD may stand for several.
    fn reap(&mut self) {
        loop {
            let changed = match self.tracees() {
                None => process::wait_any(),
                Some(tracees) => next_of_ours(&*tracees),
            };
            match changed {
                // The PTRACE_EVENT stop of a tracee is for its tracer.
                Ok(Some((pid, StateChange::Stopped(signal, 0)))) => {
                    self.step(&InitInput::Stopped(pid, signal))
                }
                Ok(Some((_, StateChange::Stopped(..)))) => {}
                Ok(Some((pid, change))) => {
                    self.report_exit(pid, change);
                    self.step(&InitInput::Reaped(pid, change));
                }
                Ok(None) => {
                    self.options.dialect.log(InitEvent::NothingToReap { alone: false });
                    return self.step(&InitInput::Others);
                }
                Err(Errno::ECHILD) => {
                    self.options.dialect.log(InitEvent::NothingToReap { alone: true });
                    return self.step(&InitInput::Alone);
                }
                Err(errno) => {
                    tracing::error!(%errno, "wait");
                    return;
                }
            }
        }
    }

    fn app(&self) -> Pid {
        Pid::from_raw(self.child.pid)
    }

    /// Where state changes of tracees go; `None` once the tracer has ended.
    fn tracees(&self) -> Option<Arc<dyn Tracees>> {
        self.tracees.as_ref()?.upgrade()
    }

    fn step(&mut self, input: &InitInput) {
        for action in self.state.step(input) {
            match action {
                InitAction::Forward(received) => self.forward(received, input),
                InitAction::Drop(signal) => {
                    self.options.dialect.log(InitEvent::Translated(signal, 0));
                    self.options.dialect.log(InitEvent::Dropped(signal));
                }
                InitAction::Report => self.report(),
                InitAction::Suspend => self.suspend(),
                InitAction::Foreground => self.foreground(),
                InitAction::Resume => self.resume(),
                InitAction::TerminateSession => self.terminate_session(),
                InitAction::TerminateDetached => descendants::terminate_detached(self.me, self.app()),
                InitAction::TerminateAll => {
                    self.log_remaining("gets SIGTERM");
                    descendants::terminate(self.me);
                }
                InitAction::KillAll => {
                    // From now on tracees are reaped here too, in case the tracer is blocked.
                    self.tracees = None;
                    self.log_remaining("is killed after the grace");
                    self.killed += descendants::kill_all(self.me, self.app());
                }
                InitAction::Wait(time) => self.deadline = Some(Instant::now() + time),
                InitAction::Exit(code) => self.exit = Some(code),
            }
        }
    }

    fn report_exit(&mut self, pid: i32, change: StateChange) {
        let status = match change {
            StateChange::Signalled(signal) => Status::Signal(SignalName(signal)),
            StateChange::Exited(code) => Status::Code(code),
            StateChange::Stopped(..) => return,
        };
        self.options.dialect.log(InitEvent::Reaped(pid, change));
        if pid == self.child.pid {
            // Without the launch's socket among the sources, its messages are still unread.
            if !self.launched
                && let Err(error) = self.read_launch_messages()
            {
                match error {
                    // It is not known whether its filter is in force, so there is no start event.
                    RunError::Loop(errno) if self.supervision.is_some() => self.launch_unknown = Some(errno),
                    error => tracing::error!(?error, "the messages of the launch could not be read"),
                }
            }
            self.app_end = Some(status);
            self.options.dialect.log(InitEvent::AppEnded(change));
        } else if self.options.warn_reaped {
            self.options.dialect.log(InitEvent::Orphan(pid));
        }
        if self.failed.is_none() {
            let process = Process { pid: pid as u32, ..Process::default() };
            self.record(Event::Exit(ExitEvent { process, exit: Some(status) }));
        }
    }

    /// Records the stop event, and waits up to two seconds until events, journal and diagnostics
    /// are written.
    fn finish(&mut self) {
        const TIMEOUT: Duration = Duration::from_secs(2);
        let Some(writer) = &self.writer else { return };
        if let Some(journal) = &self.journal {
            let stop_signal = match self.state.why() {
                StopCause::Signal(signal) => Some(signal),
                StopCause::Ended | StopCause::Violation => None,
            };
            let exit = self.app_end.unwrap_or(Status::Code(0));
            let remapped = self.options.rules.remap.iter().map(|code| i32::from(*code));
            journal.end(exit, stop_signal, &remapped.collect::<Vec<_>>(), TIMEOUT);
        }
        let why = match self.state.why() {
            StopCause::Ended => "the app ended".into(),
            StopCause::Signal(signal) => format!("signal {}", signal::name(signal)).into(),
            StopCause::Violation => "a violation, and on_violation is stop".into(),
        };
        let abnormal = self.state.why() == StopCause::Violation || self.killed > 0;
        let exit = self.app_end.unwrap_or(Status::Code(0));
        let ended = u64::from(self.state.ended);
        if abnormal {
            crate::event::termination(&format!("remit-init: {why}; {} killed", self.killed));
        }
        writer.record(Event::Stop(StopEvent { exit, ended, killed: self.killed, why, abnormal }));
        if let Err(unwritten) = writer.close(TIMEOUT) {
            tracing::warn!("{unwritten}; check the destination of --events or REMIT_EVENTS");
        }
        // Where stderr fails, the termination log may work.
        if let Err(unwritten) = crate::event::log::close(TIMEOUT) {
            crate::event::termination(&format!("remit-init: {unwritten}"));
        }
    }
}

/// The next child of the process that has ended or stopped. The tracer, which may trace it, gets
/// an end before the child is reaped, and every ptrace stop.
fn next_of_ours(tracees: &dyn Tracees) -> Result<Option<(i32, StateChange)>, Errno> {
    while let Some((pid, ended)) = process::peek_waitable()? {
        let change = if ended {
            tracees.ended(pid);
            process::reap(pid).map(|change| (pid, change))
        } else {
            let stop = process::take_stop().ok().flatten();
            stop.map(|(pid, signal, event)| (pid, StateChange::Stopped(signal, event)))
        };
        match change {
            Some((pid, StateChange::Stopped(signal, event)))
                if event != 0 || processes::tracer(Tid::from_raw(pid)).is_some() =>
            {
                tracees.stopped(pid, signal, event);
            }
            Some(ours) => return Ok(Some(ours)),
            // The tracer took it first.
            None => {}
        }
    }
    Ok(None)
}
