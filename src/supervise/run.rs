//! PID 1's loop: it waits for signals, and where it confines the app for the launch's
//! socket and the worker's requests too; what happens goes to the
//! [state](super::state), and what it answers is done here.
//!
//! Only this thread waits for children, and it does nothing that may block: events
//! are queued for the scribe, decisions are the worker's.

mod acts;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::descendants;
use super::judge::{Bell, Request};
use super::record::journal::Journal;
use super::state::{Action, Input, Rules, State, Terminal, Why};
use super::trace::{Seen, Tracer};
use super::voice::{Sight, Voice};
use crate::enforce::launch::{Child, Failure, Word};
use crate::event::{Event, Exit, Process, Scribe, SignalName, Start, Status, Stop};
use crate::sys::memory;
use crate::sys::process::{self, Change};
use crate::sys::signal::{self, Received};

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
    /// Looks at what was executed, where a rule needs it.
    pub tracer: Option<Tracer>,
    /// Makes the worker, once the listener is there.
    pub worker: Box<dyn FnOnce(Arc<OwnedFd>, Bell) -> Worker>,
    /// Where a learning run is written.
    pub journal: Option<Arc<Journal>>,
}

/// What answers notified calls, in a thread of its own.
pub type Worker = Box<dyn FnOnce() + Send>;

/// So long after it the launch is over, and what it needed can be given back.
const SETTLED: Duration = Duration::from_millis(100);

const SIGNALS: u64 = 0;
const LAUNCH: u64 = 1;
const WORKER: u64 = 2;

/// What the loop waits for.
enum Ears {
    /// Signals alone, and nothing is opened for it. How the launch went is heard once
    /// the app has ended.
    Signals,
    /// Signals, the launch's socket and the worker's bell.
    All { epoll: Epoll, signals: OwnedFd, worker: Arc<EventFd> },
}

struct Loop {
    /// This process.
    me: i32,
    state: State,
    child: Child,
    launched: bool,
    /// When what the launch needed is given back, until it has been.
    settles: Option<Instant>,
    failed: Option<Failure>,
    /// Why the worker has ended, until it is known what the launch came to.
    unanswered: Option<Failure>,
    ears: Ears,
    requests: Arc<Mutex<Option<Request>>>,
    deadline: Option<Instant>,
    options: Options,
    watch: Option<Watch>,
    scribe: Option<Arc<Scribe>>,
    journal: Option<Arc<Journal>>,
    tracer: Option<Tracer>,
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
        Some((signals, watch)) => (Ears::all(&child, signals)?, Some(watch)),
        None => (Ears::Signals, None),
    };
    let mut this = Loop {
        me: nix::unistd::getpid().as_raw(),
        state: State::new(child.pid, options.rules.clone()),
        scribe: watch.as_ref().map(|watch| Arc::clone(&watch.scribe)),
        journal: watch.as_ref().and_then(|watch| watch.journal.clone()),
        child,
        launched: false,
        settles: matches!(ears, Ears::Signals).then(|| Instant::now() + SETTLED),
        failed: None,
        unanswered: None,
        ears,
        requests: Arc::new(Mutex::new(None)),
        deadline: None,
        options,
        watch,
        tracer: None,
        app_end: None,
        killed: 0,
        forbidden: false,
        exit: None,
    };
    this.turn()
}

impl Ears {
    fn all(child: &Child, signals: OwnedFd) -> Result<Ears, Errno> {
        let worker = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let readable = |token| EpollEvent::new(EpollFlags::EPOLLIN, token);
        epoll.add(&signals, readable(SIGNALS))?;
        epoll.add(&child.socket, readable(LAUNCH))?;
        epoll.add(&worker, readable(WORKER))?;
        Ok(Ears::All { epoll, signals, worker: Arc::new(worker) })
    }
}

/// Why there is no exit code of the app's.
#[derive(Debug)]
pub enum RunError {
    /// A step of the launch failed in the child.
    Launch(Failure),
    /// The loop's own descriptors could not be made.
    Loop(Errno),
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
                Ears::All { .. } => self.await_all()?,
            };
            if self.settles.is_some_and(|at| Instant::now() >= at) {
                self.give_back();
                // Back to sleep at once, before much is mapped again.
                if !happened {
                    continue;
                }
            }
            self.tracer.iter_mut().for_each(Tracer::serve);
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.deadline = None;
                self.step(&Input::Timeout);
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

    /// All that waits by now.
    fn await_all(&mut self) -> Result<bool, RunError> {
        let timeout = self.timeout().map(|left| {
            // Rounded up, or the last millisecond would be spent in a spin.
            EpollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(EpollTimeout::MAX)
        });
        let mut events = [EpollEvent::empty(); 4];
        let Ears::All { epoll, .. } = &self.ears else { return Ok(false) };
        let heard = match epoll.wait(&mut events, timeout.unwrap_or(EpollTimeout::NONE)) {
            Ok(heard) => heard,
            Err(Errno::EINTR) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        };
        if heard == 0 {
            return Ok(false);
        }
        // The child's words first: its end must not be seen before its reason.
        if !self.launched {
            self.hear()?;
        }
        self.take_signals();
        self.take_requests();
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
                    if matches!(self.ears, Ears::All { .. }) {
                        self.settles = Some(Instant::now() + SETTLED);
                    }
                    self.tell_start();
                    self.tell_unanswered();
                    // At its end of file it would be readable for ever.
                    if let Ears::All { epoll, .. } = &self.ears
                        && let Err(errno) = epoll.delete(&self.child.socket)
                    {
                        tracing::error!(%errno, "epoll");
                    }
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
        let Ears::All { worker, .. } = &self.ears else { return };
        let (worker, bell) = (Arc::clone(worker), Arc::clone(worker));
        let Some(watch) = self.watch.take() else { return };
        watch.scribe.record(Event::Start(watch.start));
        if let Err(errno) = crate::sys::seccomp::wake_up_synchronously(&listener) {
            tracing::debug!(%errno, "decisions wake the app the slow way");
        }
        let asked = Arc::clone(&self.requests);
        let requests = Box::new(move |request| {
            // A stop is not taken back.
            asked.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(request);
            if let Err(errno) = worker.write(1) {
                tracing::error!(%errno, "the first thread could not be told");
            }
        });
        let listener = Arc::new(listener);
        if let Some(mut tracer) = watch.tracer {
            tracer.begin(self.child.pid, Arc::clone(&listener), &bell);
            self.tracer = Some(tracer);
        }
        let worker = (watch.worker)(listener, requests);
        memory::share_one_heap();
        const STACK: usize = 256 * 1024;
        let spawned = std::thread::Builder::new().name("worker".into()).stack_size(STACK).spawn(move || {
            if let Err(errno) = signal::block_all() {
                tracing::warn!(%errno, "a thread takes signals that are the app's");
            }
            if let Err(errno) = process::take_short_turns() {
                tracing::debug!(%errno, "decisions take ordinary turns");
            }
            worker();
        });
        // With its first thread the C library unblocks the signals that it keeps for
        // itself, in this thread too.
        if let Err(errno) = signal::block_all() {
            tracing::warn!(%errno, "signals that are the app's may be lost");
        }
        if let Err(error) = spawned {
            tracing::error!(%error, "no worker can be started; the app is ended");
            self.step(&Input::Violation);
        }
    }

    /// Where there is no listener, the start is told once the app runs.
    fn tell_start(&mut self) {
        if self.failed.is_none()
            && let Some(watch) = self.watch.take()
        {
            watch.scribe.record(Event::Start(watch.start));
        }
    }

    fn take_signals(&mut self) {
        loop {
            let Ears::All { signals, .. } = &self.ears else { return };
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

    /// What the worker asks for. The bell first, which is rung after what it is for was
    /// said: else it might ring for ever for what was heard already.
    fn take_requests(&mut self) {
        let Ears::All { worker, .. } = &self.ears else { return };
        match worker.read() {
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(errno) => tracing::error!(%errno, "the worker's bell"),
        }
        let asked = self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        match asked {
            Some(Request::Stop) => self.step(&Input::Violation),
            Some(Request::Failed(what, errno)) => {
                self.tracer.iter_mut().for_each(Tracer::end);
                let step = format!("notification: {what}");
                self.unanswered = Some(Failure { step, exec: false, errno });
                self.tell_unanswered();
            }
            None => {}
        }
    }

    fn receive(&mut self, received: Received) {
        self.options.voice.tell(Sight::Received(received.signal));
        if received.signal == libc::SIGCHLD {
            self.reap();
        } else {
            self.step(&Input::Signal(received));
        }
    }

    /// One SIGCHLD may stand for many: until there is none.
    fn reap(&mut self) {
        loop {
            let ended = self.ended_first();
            let changed = process::wait_any();
            let seen = match (&changed, &mut self.tracer) {
                (Ok(Some((pid, change))), Some(tracer)) => {
                    let is_child = ended.filter(|(ended, _)| ended == pid).map(|(_, is_child)| is_child);
                    tracer.saw(*pid, *change, is_child)
                }
                _ => Seen::Nothing,
            };
            match changed {
                Ok(Some(_)) if seen == Seen::Own => {}
                Ok(Some((pid, _))) if let Seen::AppStopped(signal) = seen => {
                    self.step(&Input::Stopped(pid, signal));
                }
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

    /// Who has ended and is heard of next, and whether it is a child of ours: the end of
    /// who is seized is told to us as well as to its own parent. Nothing where nobody is.
    fn ended_first(&self) -> Option<(i32, bool)> {
        if !self.tracer.as_ref().is_some_and(Tracer::seizes) {
            return None;
        }
        process::ended().map(|pid| (pid, descendants::is_child(pid, self.me)))
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
                Action::TerminateDetached => descendants::terminate_detached(self.me, self.child.pid),
                Action::TerminateAll => {
                    self.tell_left("is told to end");
                    descendants::terminate(self.me);
                }
                Action::KillAll => {
                    self.tell_left("is killed after the grace");
                    self.killed += descendants::kill_all(self.me, self.child.pid);
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
                tracing::error!(?error, "how the launch went is not known");
            }
            self.app_end = Some(status);
            self.options.voice.tell(Sight::AppEnded(change));
        } else if self.options.warn_reaped {
            self.options.voice.tell(Sight::Orphan(pid));
        }
        if let Some(scribe) = &self.scribe
            && self.failed.is_none()
        {
            let process = Process { pid: pid as u32, ..Process::default() };
            scribe.record(Event::Exit(Exit { process, exit: Some(status) }));
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
