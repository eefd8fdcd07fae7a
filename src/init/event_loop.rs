//! PID 1's loop: it waits for signals, by which the worker tells that it wants something
//! too, and at first for the launch's socket; what happens goes to the
//! [state](crate::init::state), and what it answers is done here.
//!
//! This thread buries our own children, and it does nothing that may block: events
//! are queued for the scribe, decisions are the worker's.

mod acts;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};

use crate::enforce::launch::{Child, Failure, Word};
use crate::event::{Event, Exit, Process, Scribe, SignalName, Start, Status, Stop};
use crate::ids::{Pid, Tid};
use crate::init::descendants;
use crate::init::request::{Bell, Request};
use crate::init::state::{Action, Input, Rules, State, Terminal, Why};
use crate::init::tracees::Tracees;
use crate::init::voice::{Sight, Voice};
use crate::journal::Journal;
use crate::procfs::processes;
use crate::sys::CallError;
use crate::sys::memory;
use crate::sys::process::{self, Change};
use crate::sys::signal::{self, Mask, Received};
use crate::sys::threads;

/// How the init behaves.
pub struct Options {
    /// What it makes of what happens.
    pub rules: Rules,
    /// Signals go to the app's whole group.
    pub group: bool,
    /// Reaped orphans are told.
    pub warn_reaped: bool,
    /// In whose words it tells what it sees.
    pub voice: Voice,
    /// What the app was called, to be told.
    pub name: String,
}

/// What only a confined app needs.
pub struct Watch {
    /// Where events go.
    pub scribe: Arc<Scribe>,
    /// The start event, written once the confinement is in force.
    pub start: Start,
    /// Where the check after the exec is told what was seen here, where a rule needs it.
    pub tracees: Option<Arc<dyn Tracees>>,
    /// Makes the worker, once the listener is there.
    pub worker: Box<dyn FnOnce(Arc<OwnedFd>, Bell) -> Worker>,
    /// Where a learning run is written.
    pub journal: Option<Arc<Journal>>,
}

/// What answers notified calls, in a thread of its own.
pub type Worker = Box<dyn FnOnce() + Send>;

/// So long after it the launch is over, and what it needed can be given back.
const SETTLED: Duration = Duration::from_millis(100);

/// What the loop waits for.
enum Ears {
    /// Signals alone, and nothing is opened for it: a descriptor of signals would wake this
    /// thread for every SIGCHLD that another is given. How a launch that nothing is confined
    /// for went is heard once the app has ended.
    Signals,
    /// Signals and the launch's socket.
    Launch { signals: OwnedFd },
}

struct Loop {
    /// This process.
    me: Pid,
    state: State,
    child: Child,
    launched: bool,
    /// When what the launch needed is given back, until it has been.
    settles: Option<Instant>,
    failed: Option<Failure>,
    /// Why it is not known how the launch of a confined app went.
    unheard: Option<Errno>,
    /// Why the worker has ended, until it is known what the launch came to.
    unanswered: Option<Failure>,
    ears: Ears,
    requests: Arc<Mutex<Vec<Request>>>,
    deadline: Option<Instant>,
    options: Options,
    watch: Option<Watch>,
    scribe: Option<Arc<Scribe>>,
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
pub fn run(child: Child, options: Options, watch: Option<(OwnedFd, Watch)>) -> Result<u8, RunError> {
    let app = child.pid;
    let ended = supervise(child, options, watch);
    if let Err(RunError::Loop(_)) = ended
        && let Err(errno) = signal::send(app, libc::SIGKILL)
    {
        tracing::error!(%errno, "the app could not be ended");
    }
    ended
}

fn supervise(child: Child, options: Options, watch: Option<(OwnedFd, Watch)>) -> Result<u8, RunError> {
    options.voice.tell(Sight::Spawned(&options.name, child.pid));
    if options.rules.terminal == Terminal::Session {
        options.voice.tell(Sight::OwnSession);
    }
    let (ears, watch) = match watch {
        Some((signals, watch)) => {
            signal::interrupt_by_children()?;
            (Ears::Launch { signals }, Some(watch))
        }
        None => (Ears::Signals, None),
    };
    let mut this = Loop {
        me: Pid::own(),
        state: State::new(child.pid, options.rules.clone()),
        scribe: watch.as_ref().map(|watch| Arc::clone(&watch.scribe)),
        early: Vec::new(),
        journal: watch.as_ref().and_then(|watch| watch.journal.clone()),
        child,
        launched: false,
        settles: matches!(ears, Ears::Signals).then(|| Instant::now() + SETTLED),
        failed: None,
        unheard: None,
        unanswered: None,
        ears,
        requests: Arc::default(),
        deadline: None,
        options,
        watch,
        tracees: None,
        app_end: None,
        killed: 0,
        forbidden: false,
        exit: None,
    };
    this.turn()
}

/// Why there is no exit code of the app's.
#[derive(Debug)]
pub enum RunError {
    /// A step of the launch failed in the child.
    Launch(Failure),
    /// The loop's own descriptors could not be made.
    Loop(Errno),
    /// The app has ended, and how its launch went could not be read.
    Unheard(Errno),
}

impl From<Errno> for RunError {
    fn from(errno: Errno) -> RunError {
        RunError::Loop(errno)
    }
}

impl Loop {
    fn turn(&mut self) -> Result<u8, RunError> {
        loop {
            let happened = match self.ears {
                Ears::Signals => self.await_signal()?,
                Ears::Launch { .. } => self.await_launch()?,
            };
            if self.settles.is_some_and(|at| Instant::now() >= at) {
                self.give_back();
                // Back to sleep at once, before much is mapped again.
                if !happened {
                    continue;
                }
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.deadline = None;
                self.step(&Input::Timeout);
            }
            if let Some(errno) = self.unheard {
                return Err(RunError::Unheard(errno));
            }
            if let Some(code) = self.exit {
                return match self.failed.take() {
                    // An exec that nobody could answer is answered ENOSYS.
                    Some(failure) if failure.exec => {
                        Err(RunError::Launch(self.unanswered.take().unwrap_or(failure)))
                    }
                    Some(failure) => Err(RunError::Launch(failure)),
                    None => {
                        self.options.voice.tell(Sight::Goodbye(code));
                        self.farewell();
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
        let Ears::Launch { signals } = &self.ears else { return Ok(false) };
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [readable(signals.as_fd()), readable(self.child.socket.as_fd())];
        match signal::poll(&mut fds, self.timeout(), Mask::ALL) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // The child's words first: its end must not be seen before its reason.
        self.hear()?;
        self.take_signals();
        Ok(true)
    }

    fn timeout(&self) -> Option<Duration> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let settles = self.settles.map(|at| at.saturating_duration_since(Instant::now()));
        left.into_iter().chain(settles).min()
    }

    /// Once in a life, soon after the launch.
    fn give_back(&mut self) {
        self.settles = None;
        if let Err(errno) = memory::give_back() {
            tracing::debug!(%errno, "the memory of the launch is kept");
        }
    }

    /// Hears all that the child has said by now. Deaf to it nothing can be supervised.
    fn hear(&mut self) -> Result<(), RunError> {
        loop {
            match self.child.hear() {
                Ok(Word::Listener(listener)) => self.watch(listener),
                Ok(Word::Failed(failure)) => self.failed = Some(failure),
                Ok(Word::Closed) => {
                    self.launched = true;
                    if matches!(self.ears, Ears::Launch { .. }) {
                        self.settles = Some(Instant::now() + SETTLED);
                        self.take_signals();
                        self.ears = Ears::Signals;
                    }
                    self.tell_start();
                    self.tell_unanswered();
                    return Ok(());
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// The worker has ended, and every notified call is answered ENOSYS: refused. The
    /// app's own exec may be among them, and then this is why it failed.
    fn tell_unanswered(&self) {
        if let Some(Failure { step, errno, .. }) = &self.unanswered
            && self.launched
            && self.failed.is_none()
        {
            tracing::error!(%errno, "{step} failed; what has to be asked for is refused from now on");
        }
    }

    /// The filter is in force: say so, and answer what it notifies. Without its
    /// worker every notified call would wait for ever, so then the app is ended.
    fn watch(&mut self, listener: OwnedFd) {
        let Some(watch) = self.watch.take() else { return };
        self.begin(&watch.scribe, watch.start);
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
        self.tracees = watch.tracees.as_ref().map(Arc::downgrade);
        let worker = (watch.worker)(listener, requests);
        memory::share_one_heap();
        let started = threads::run_kept("worker", worker);
        if let Err(error) = started {
            tracing::error!(%error, "no worker can be started; the app is ended");
            self.step(&Input::Violation);
        }
    }

    /// Where there is no listener, the start is told once the app runs.
    fn tell_start(&mut self) {
        if self.failed.is_none()
            && let Some(watch) = self.watch.take()
        {
            self.begin(&watch.scribe, watch.start);
        }
    }

    fn begin(&mut self, scribe: &Scribe, start: Start) {
        scribe.begin(start);
        self.early.drain(..).for_each(|event| scribe.record(event));
    }

    /// Records what happened; where the start event is still to come, after it. A launch that
    /// fails has no events.
    fn record(&mut self, event: Event) {
        let Some(scribe) = &self.scribe else { return };
        if self.watch.is_some() {
            self.early.push(event);
        } else {
            scribe.record(event);
        }
    }

    fn take_signals(&mut self) {
        loop {
            let Ears::Launch { signals } = &self.ears else { return };
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
                Request::Stop => self.step(&Input::Violation),
                Request::Stopped(pid, signal) => self.step(&Input::Stopped(pid, signal)),
                // That it was asked is why they are looked at next.
                Request::Children => {}
                Request::Failed(CallError { call, errno }) => {
                    let step = format!("notification: {call}");
                    self.unanswered = Some(Failure { step, exec: false, errno });
                    self.tell_unanswered();
                }
            }
        }
    }

    fn receive(&mut self, received: Received) {
        if received.signal == libc::SIGCHLD {
            self.children();
        } else {
            self.options.voice.tell(Sight::Received(received.signal));
            self.step(&Input::Signal(received));
        }
    }

    /// SIGCHLD: children have changed, or who was seized, which is then the check's to see,
    /// or the worker asks for something.
    fn children(&mut self) {
        self.options.voice.tell(Sight::Received(libc::SIGCHLD));
        self.take_requests();
        self.reap();
        if let Some(tracees) = self.tracees()
            && process::anybody_changed()
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
                Ok(Some((pid, Change::Stopped(signal, 0)))) => self.step(&Input::Stopped(pid, signal)),
                Ok(Some((_, Change::Stopped(..)))) => {}
                Ok(Some((pid, change))) => {
                    self.tell_end(pid, change);
                    self.step(&Input::Reaped(pid, change));
                }
                Ok(None) => {
                    self.options.voice.tell(Sight::NobodyToReap { alone: false });
                    return self.step(&Input::Others);
                }
                Err(Errno::ECHILD) => {
                    self.options.voice.tell(Sight::NobodyToReap { alone: true });
                    return self.step(&Input::Alone);
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

    fn step(&mut self, input: &Input) {
        for action in self.state.step(input) {
            match action {
                Action::Forward(received) => self.forward(received, input),
                Action::Drop(signal) => {
                    self.options.voice.tell(Sight::Translated(signal, 0));
                    self.options.voice.tell(Sight::Dropped(signal));
                }
                Action::Report => self.report(),
                Action::Suspend => self.suspend(),
                Action::Foreground => self.foreground(),
                Action::Resume => self.resume(),
                Action::TerminateSession => self.terminate_session(),
                Action::TerminateDetached => descendants::terminate_detached(self.me, self.app()),
                Action::TerminateAll => {
                    self.tell_left("is told to end");
                    descendants::terminate(self.me);
                }
                Action::KillAll => {
                    // Who is seized is buried here as well now, should the check be held up.
                    self.tracees = None;
                    self.tell_left("is killed after the grace");
                    self.killed += descendants::kill_all(self.me, self.app());
                }
                Action::Wait(time) => self.deadline = Some(Instant::now() + time),
                Action::Exit(code) => self.exit = Some(code),
            }
        }
    }

    fn tell_end(&mut self, pid: i32, change: Change) {
        let status = match change {
            Change::Signalled(signal) => Status::Signal(SignalName(signal)),
            Change::Exited(code) => Status::Code(code),
            Change::Stopped(..) => return,
        };
        self.options.voice.tell(Sight::Reaped(pid, change));
        if pid == self.child.pid {
            // What it said before its end was not heard yet where signals alone are.
            if !self.launched
                && let Err(error) = self.hear()
            {
                match error {
                    // That its filter is in force is not known, so there is no start.
                    RunError::Loop(errno) if self.watch.is_some() => self.unheard = Some(errno),
                    error => tracing::error!(?error, "how the launch went is not known"),
                }
            }
            self.app_end = Some(status);
            self.options.voice.tell(Sight::AppEnded(change));
        } else if self.options.warn_reaped {
            self.options.voice.tell(Sight::Orphan(pid));
        }
        if self.failed.is_none() {
            let process = Process { pid: pid as u32, ..Process::default() };
            self.record(Event::Exit(Exit { process, exit: Some(status) }));
        }
    }

    /// The last event, and a little time for it to be written.
    fn farewell(&mut self) {
        const LAST_WORDS: Duration = Duration::from_secs(2);
        let Some(scribe) = &self.scribe else { return };
        if let Some(journal) = &self.journal {
            let told = match self.state.why() {
                Why::Signal(signal) => Some(signal),
                Why::Ended | Why::Violation => None,
            };
            let exit = self.app_end.unwrap_or(Status::Code(0));
            let remapped = self.options.rules.remap.iter().map(|code| i32::from(*code));
            journal.end(exit, told, &remapped.collect::<Vec<_>>(), LAST_WORDS);
        }
        let why = match self.state.why() {
            Why::Ended => "the app ended".into(),
            Why::Signal(signal) => format!("signal {}", signal::name(signal)).into(),
            Why::Violation => "a violation, and on_violation is stop".into(),
        };
        let abnormal = self.state.why() == Why::Violation || self.killed > 0;
        let exit = self.app_end.unwrap_or(Status::Code(0));
        let ended = u64::from(self.state.ended);
        if abnormal {
            crate::event::termination(&format!("remit-init: {why}; {} killed", self.killed));
        }
        scribe.record(Event::Stop(Stop { exit, ended, killed: self.killed, why, abnormal }));
        if let Err(unwritten) = scribe.close(LAST_WORDS) {
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
fn next_of_ours(tracees: &dyn Tracees) -> Result<Option<(i32, Change)>, Errno> {
    while let Some((pid, ended)) = process::changed()? {
        let change = if ended {
            tracees.ended(pid);
            process::bury(pid).map(|change| (pid, change))
        } else {
            let stop = process::next_stop().ok().flatten();
            stop.map(|(pid, signal, event)| (pid, Change::Stopped(signal, event)))
        };
        match change {
            Some((pid, Change::Stopped(signal, event)))
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
