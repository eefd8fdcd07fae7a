//! PID 1's event loop. It waits for signals, during the launch also for the launch's socket,
//! passes each input to the [state machine](crate::init::state), and performs the actions that
//! it returns. The worker queues its requests in a list and sends SIGCHLD to this thread.
//!
//! This thread reaps the children of the process, and makes no call that may block: events are
//! queued for the event writer, and the worker decides notified calls.

mod acts;
mod events;
mod launch;
mod reap;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::AtomicI32;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::enforce::launch::{Child, Failure};
use crate::event::{Event, EventWriter, StartEvent, Status};
use crate::ids::Pid;
use crate::init::descendants;
use crate::init::log_dialect::{InitEvent, LogDialect};
use crate::init::request::{InitRequest, Worker};
use crate::init::state::{InitAction, InitInput, InitRules, InitState, Terminal};
use crate::init::tracees::Tracees;
use crate::journal::Journal;
use crate::sys::CallError;
use crate::sys::memory;
use crate::sys::signal::{self, Received};

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
    /// The file that names the process to go on with when the app has ended.
    pub follow: Option<PathBuf>,
    /// argv\[0\] of the app, for messages.
    pub name: String,
}

/// What the loop needs to supervise a confined app.
pub struct Supervision {
    /// The writer of events.
    pub writer: Arc<EventWriter>,
    /// The app's pid, which changes where the app hands over to another process (`--follow`).
    pub app: Arc<AtomicI32>,
    /// The start event, written once the confinement is in force.
    pub start: StartEvent,
    /// What a person has to know of the start, a line each, said once the app runs. A launch that
    /// fails says one line: why.
    pub lines: Vec<String>,
    /// Takes state changes of tracees, where a rule needs the post-exec verification.
    pub tracees: Option<Arc<dyn Tracees>>,
    /// Answers notified calls, in a thread of its own.
    pub worker: Box<dyn Worker>,
    /// The journal of a learning run.
    pub journal: Option<Arc<Journal>>,
}

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
    /// The app's process group.
    app_group: i32,
    /// The app's pid, for the worker.
    app_pid: Option<Arc<AtomicI32>>,
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
    /// Lines that are said once the app runs.
    lines: Vec<String>,
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
        app_group: child.pid,
        app_pid: supervision.as_ref().map(|supervision| Arc::clone(&supervision.app)),
        writer: supervision.as_ref().map(|supervision| Arc::clone(&supervision.writer)),
        early: Vec::new(),
        lines: Vec::new(),
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

    fn timeout(&self) -> Option<Duration> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let settles = self.settles.map(|at| at.saturating_duration_since(Instant::now()));
        left.into_iter().chain(settles).min()
    }

    fn receive(&mut self, received: Received) {
        if received.signal == libc::SIGCHLD {
            self.children();
        } else {
            self.options.dialect.log(InitEvent::Received(received.signal));
            self.step(&InitInput::Signal(received));
        }
    }

    /// Handles the worker's requests.
    fn take_requests(&mut self) {
        let pending = std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner));
        for request in pending {
            match request {
                InitRequest::Stop => self.step(&InitInput::Violation),
                InitRequest::Stopped(pid, signal) => self.step(&InitInput::Stopped(pid, signal)),
                InitRequest::Signal(received) => self.receive(received),
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

    fn app(&self) -> Pid {
        Pid::from_raw(self.child.pid)
    }

    /// Frees the launch's memory, once.
    fn trim_memory(&mut self) {
        self.settles = None;
        if let Err(errno) = memory::trim_memory() {
            tracing::debug!(%errno, "the memory of the launch could not be freed");
        }
    }
}
