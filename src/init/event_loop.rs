//! PID 1's loop: it waits for signals, by which the worker tells that it wants something
//! too, and at first for the launch's socket; what happens goes to the
//! [state](crate::init::state), and what it answers is done here.
//!
//! This thread buries our own children, and it does nothing that may block: events
//! are queued for the writer, decisions are the worker's.

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
use crate::sys::memory;
use crate::sys::process::{self, StateChange};
use crate::sys::signal::{self, Mask, Received};
use crate::sys::threads;

/// How the init behaves.
pub struct InitOptions {
    /// What it makes of what happens.
    pub rules: InitRules,
    /// Signals go to the app's whole group.
    pub group: bool,
    /// Reaped orphans are stop_signal.
    pub warn_reaped: bool,
    /// In whose words it tells what it sees.
    pub dialect: LogDialect,
    /// What the app was called, to be stop_signal.
    pub name: String,
}

/// What only a confined app needs.
pub struct Supervision {
    /// Where events go.
    pub writer: Arc<EventWriter>,
    /// The start event, written once the confinement is in force.
    pub start: StartEvent,
    /// Where the check after the exec is told what was seen here, where a rule needs it.
    pub tracees: Option<Arc<dyn Tracees>>,
    /// Makes the worker, once the listener is there.
    pub worker: Box<dyn FnOnce(Arc<OwnedFd>, RequestSender) -> WorkerJob>,
    /// Where a learning run is written.
    pub journal: Option<Arc<Journal>>,
}

/// What answers notified calls, in a thread of its own.
pub type WorkerJob = Box<dyn FnOnce() + Send>;

/// So long after it the launch is over, and what it needed can be given back.
const SETTLED: Duration = Duration::from_millis(100);

/// What the loop waits for.
enum EventSources {
    /// Signals alone, and nothing is opened for it: a descriptor of signals would wake this
    /// thread for every SIGCHLD that another is given. How a launch that nothing is confined
    /// for went is heard once the app has ended.
    Signals,
    /// Signals and the launch's socket.
    Launch { signals: OwnedFd },
}

struct EventLoop {
    /// This process.
    me: Pid,
    state: InitState,
    child: Child,
    launched: bool,
    /// When what the launch needed is given back, until it has been.
    settles: Option<Instant>,
    failed: Option<Failure>,
    /// StopCause it is not known how the launch of a confined app went.
    launch_unknown: Option<Errno>,
    /// StopCause the worker has ended, until it is known what the launch came to.
    worker_failed: Option<Failure>,
    sources: EventSources,
    requests: Arc<Mutex<Vec<InitRequest>>>,
    deadline: Option<Instant>,
    options: InitOptions,
    supervision: Option<Supervision>,
    writer: Option<Arc<EventWriter>>,
    /// Events from before the start event, which is always the first.
    early: Vec<Event>,
    journal: Option<Arc<Journal>>,
    /// None once the check has ended.
    tracees: Option<Weak<dyn Tracees>>,
    app_end: Option<Status>,
    killed: u64,
    /// That the app may not be signalled has been said.
    forbidden: bool,
    exit: Option<u8>,
}

/// Supervises until the container ends, and answers with its exit code.
///
/// # Errors
/// The launch failed: the step and its errno; or the loop itself, and the app has
/// been killed. Nothing runs any more.
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
        tracing::error!(%errno, "the app could not be ended");
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
    this.turn()
}

/// StopCause there is no exit code of the app's.
#[derive(Debug)]
pub enum RunError {
    /// A step of the launch failed in the child.
    Launch(Failure),
    /// The loop's own descriptors could not be made.
    Loop(Errno),
    /// The app has ended, and how its launch went could not be read.
    LaunchUnknown(Errno),
}

impl From<Errno> for RunError {
    fn from(errno: Errno) -> RunError {
        RunError::Loop(errno)
    }
}

impl EventLoop {
    fn turn(&mut self) -> Result<u8, RunError> {
        loop {
            let happened = match self.sources {
                EventSources::Signals => self.await_signal()?,
                EventSources::Launch { .. } => self.await_launch()?,
            };
            if self.settles.is_some_and(|at| Instant::now() >= at) {
                self.trim_memory();
                // Back to sleep at once, before much is mapped again.
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
                    // An exec that nobody could answer is answered ENOSYS.
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

    /// One signal, or the end of the time; whether anything happened.
    fn await_signal(&mut self) -> Result<bool, Errno> {
        let received = signal::wait(signal::Mask::ALL, self.timeout())?;
        if let Some(received) = received {
            self.receive(received);
        }
        Ok(received.is_some())
    }

    /// All that waits by now, while the launch is not over.
    fn await_launch(&mut self) -> Result<bool, RunError> {
        let EventSources::Launch { signals } = &self.sources else { return Ok(false) };
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [readable(signals.as_fd()), readable(self.child.socket.as_fd())];
        match signal::poll(&mut fds, self.timeout(), Mask::ALL) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // The child's words first: its end must not be seen before its reason.
        self.read_launch_messages()?;
        self.take_signals();
        Ok(true)
    }

    fn timeout(&self) -> Option<Duration> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let settles = self.settles.map(|at| at.saturating_duration_since(Instant::now()));
        left.into_iter().chain(settles).min()
    }

    /// Once in a life, soon after the launch.
    fn trim_memory(&mut self) {
        self.settles = None;
        if let Err(errno) = memory::trim_memory() {
            tracing::debug!(%errno, "the memory of the launch is kept");
        }
    }

    /// Hears all that the child has said by now. Deaf to it nothing can be supervised.
    fn read_launch_messages(&mut self) -> Result<(), RunError> {
        loop {
            match self.child.read_message() {
                Ok(LaunchMessage::Listener(listener)) => self.supervise(listener),
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

    /// The worker has ended, and every notified call is answered ENOSYS: refused. The
    /// app's own exec may be among them, and then this is why it failed.
    fn report_worker_failed(&self) {
        if let Some(Failure { step, errno, .. }) = &self.worker_failed
            && self.launched
            && self.failed.is_none()
        {
            tracing::error!(%errno, "{step} failed; what has to be asked for is refused from now on");
        }
    }

    /// The filter is in force: say so, and answer what it notifies. Without its
    /// worker every notified call would wait for ever, so then the app is ended.
    fn supervise(&mut self, listener: OwnedFd) {
        let Some(supervision) = self.supervision.take() else { return };
        self.begin(&supervision.writer, supervision.start);
        let (asked, me) = (Arc::clone(&self.requests), self.me);
        let requests = Box::new(move |request| {
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            // As often as it is asked for it is done once.
            if !asked.contains(&request) {
                asked.push(request);
            }
            drop(asked);
            if let Err(errno) = signal::send_thread(me.as_raw(), me.as_raw(), libc::SIGCHLD) {
                tracing::error!(%errno, "the first thread could not be told");
            }
        });
        let listener = Arc::new(listener);
        self.tracees = supervision.tracees.as_ref().map(Arc::downgrade);
        let worker = (supervision.worker)(listener, requests);
        memory::share_one_heap();
        let started = threads::run_reserved("worker", worker);
        if let Err(error) = started {
            tracing::error!(%error, "no worker can be started; the app is ended");
            self.step(&InitInput::Violation);
        }
    }

    /// Where there is no listener, the start is told once the app runs.
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

    /// Records what happened; where the start event is still to come, after it. A launch that
    /// fails has no events.
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

    /// What the worker asks for.
    fn take_requests(&mut self) {
        let asked = std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner));
        for request in asked {
            match request {
                InitRequest::Stop => self.step(&InitInput::Violation),
                InitRequest::Stopped(pid, signal) => self.step(&InitInput::Stopped(pid, signal)),
                // That it was asked is why they are looked at next.
                InitRequest::Children => {}
                InitRequest::Failed(what, errno) => {
                    let step = format!("notification: {what}");
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

    /// SIGCHLD: children have changed, or who was seized, which is then the check's to see,
    /// or the worker asks for something.
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

    /// One SIGCHLD may stand for many: until there is none.
    fn reap(&mut self) {
        loop {
            let changed = match self.tracees() {
                None => process::wait_any(),
                Some(tracees) => next_of_ours(&*tracees),
            };
            match changed {
                // A traced one is stopped for its tracer.
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

    /// None once the worker has ended.
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
                    self.log_remaining("is told to end");
                    descendants::terminate(self.me);
                }
                InitAction::KillAll => {
                    // Who is seized is buried here as well now, should the check be held up.
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
            // What it said before its end was not heard yet where signals alone are.
            if !self.launched
                && let Err(error) = self.read_launch_messages()
            {
                match error {
                    // That its filter is in force is not known, so there is no start.
                    RunError::Loop(errno) if self.supervision.is_some() => self.launch_unknown = Some(errno),
                    error => tracing::error!(?error, "how the launch went is not known"),
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

    /// The last event, and a little time for it to be written.
    fn finish(&mut self) {
        const LAST_WORDS: Duration = Duration::from_secs(2);
        let Some(writer) = &self.writer else { return };
        if let Some(journal) = &self.journal {
            let stop_signal = match self.state.why() {
                StopCause::Signal(signal) => Some(signal),
                StopCause::Ended | StopCause::Violation => None,
            };
            let exit = self.app_end.unwrap_or(Status::Code(0));
            let remapped = self.options.rules.remap.iter().map(|code| i32::from(*code));
            journal.end(exit, stop_signal, &remapped.collect::<Vec<_>>(), LAST_WORDS);
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
        if let Err(unwritten) = writer.close(LAST_WORDS) {
            tracing::warn!("{unwritten}; look at what --events or REMIT_EVENTS names");
        }
        // What stderr does not take can be told in one place more.
        if let Err(unwritten) = crate::event::log::close(LAST_WORDS) {
            crate::event::termination(&format!("remit-init: {unwritten}"));
        }
    }
}

/// The next of our own children that has ended or was stopped. The check, which may have
/// seized it, is told of an end before it is buried, and of a stop for its tracer.
fn next_of_ours(tracees: &dyn Tracees) -> Result<Option<(i32, StateChange)>, Errno> {
    while let Some((pid, ended)) = process::peek_waitable()? {
        let change = if ended {
            tracees.ended(pid);
            process::reap(pid).map(|change| (pid, change))
        } else {
            let stop = process::next_stop().ok().flatten();
            stop.map(|(pid, signal, event)| (pid, StateChange::Stopped(signal, event)))
        };
        match change {
            Some((pid, StateChange::Stopped(signal, event)))
                if event != 0 || processes::tracer(Tid::from_raw(pid)).is_some() =>
            {
                tracees.stopped(pid, signal, event);
            }
            Some(ours) => return Ok(Some(ours)),
            // The check was first.
            None => {}
        }
    }
    Ok(None)
}
