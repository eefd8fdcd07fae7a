//! PID 1's loop: one epoll over signals, the launch's socket and the worker's
//! requests; what happens goes to the [state](super::state), and what it answers is
//! done here.
//!
//! Only this thread waits for children, and it does nothing that may block: events
//! are queued for the scribe, decisions are the worker's.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::descendants;
use super::judge::{Bell, Judge, Request};
use super::state::{Action, Input, State, Why};
use crate::enforce::launch::{Child, Failure, Word};
use crate::event::{Event, Exit, Process, Scribe, Signal, SignalName, Start, Status, Stop};
use crate::sys::process::{self, Change};
use crate::sys::signal::{self, Received};

/// How the init behaves.
pub struct Options {
    /// How long those who are left have to end.
    pub grace: Duration,
    /// Exit codes that become 0.
    pub remap: Vec<u8>,
    /// Signals go to the app's whole group.
    pub group: bool,
    /// Reaped orphans are told.
    pub warn_reaped: bool,
}

/// What only a confined app needs.
pub struct Watch {
    /// Where events go.
    pub scribe: Arc<Scribe>,
    /// The start event, written once the confinement is in force.
    pub start: Start,
    /// Makes the worker, once the listener is there.
    pub judge: Box<dyn FnOnce(OwnedFd, Bell) -> Judge>,
}

const SIGNALS: u64 = 0;
const LAUNCH: u64 = 1;
const WORKER: u64 = 2;

struct Loop {
    state: State,
    child: Child,
    launched: bool,
    failed: Option<Failure>,
    signals: OwnedFd,
    epoll: Epoll,
    worker: Arc<EventFd>,
    stop: Arc<AtomicBool>,
    deadline: Option<Instant>,
    options: Options,
    watch: Option<Watch>,
    scribe: Option<Arc<Scribe>>,
    app_end: Option<Status>,
    killed: u64,
    exit: Option<u8>,
}

/// Supervises until the container ends, and answers with its exit code.
///
/// # Errors
/// The launch failed: the step and its errno; or the loop itself, and the app has
/// been killed. Nothing runs any more.
pub fn run(child: Child, signals: OwnedFd, options: Options, watch: Option<Watch>) -> Result<u8, RunError> {
    let app = child.pid;
    let ended = supervise(child, signals, options, watch);
    if let Err(RunError::Loop(_)) = ended
        && let Err(errno) = signal::send(app, libc::SIGKILL)
    {
        tracing::error!(%errno, "the app could not be ended");
    }
    ended
}

fn supervise(child: Child, signals: OwnedFd, options: Options, watch: Option<Watch>) -> Result<u8, RunError> {
    let worker = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let readable = |token| EpollEvent::new(EpollFlags::EPOLLIN, token);
    epoll.add(&signals, readable(SIGNALS))?;
    epoll.add(&child.socket, readable(LAUNCH))?;
    epoll.add(&worker, readable(WORKER))?;
    let mut this = Loop {
        state: State::new(child.pid, options.grace, options.remap.clone()),
        scribe: watch.as_ref().map(|watch| Arc::clone(&watch.scribe)),
        child,
        launched: false,
        failed: None,
        signals,
        epoll,
        worker: Arc::new(worker),
        stop: Arc::new(AtomicBool::new(false)),
        deadline: None,
        options,
        watch,
        app_end: None,
        killed: 0,
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
}

impl From<Errno> for RunError {
    fn from(errno: Errno) -> RunError {
        RunError::Loop(errno)
    }
}

impl Loop {
    fn turn(&mut self) -> Result<u8, RunError> {
        loop {
            let mut events = [EpollEvent::empty(); 4];
            match self.epoll.wait(&mut events, self.timeout()) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            // The child's words first: its end must not be seen before its reason.
            if !self.launched {
                self.hear();
            }
            self.take_signals();
            // The bell first, which is rung after what it is for was said: else it
            // might ring for ever for what was heard already.
            match self.worker.read() {
                Ok(_) | Err(Errno::EAGAIN) => {}
                Err(errno) => tracing::error!(%errno, "the worker's bell"),
            }
            if self.stop.swap(false, Ordering::AcqRel) {
                self.step(&Input::Violation);
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.deadline = None;
                self.step(&Input::Timeout);
            }
            if let Some(code) = self.exit {
                return match self.failed.take() {
                    Some(failure) => Err(RunError::Launch(failure)),
                    None => {
                        self.farewell();
                        Ok(code)
                    }
                };
            }
        }
    }

    fn timeout(&self) -> EpollTimeout {
        let Some(deadline) = self.deadline else { return EpollTimeout::NONE };
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, or the last millisecond would be spent in a spin.
        EpollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(EpollTimeout::MAX)
    }

    /// Hears all that the child has said by now.
    fn hear(&mut self) {
        loop {
            match self.child.hear() {
                Ok(Word::Listener(listener)) => self.watch(listener),
                Ok(Word::Failed(failure)) => self.failed = Some(failure),
                Ok(Word::Closed) => {
                    self.launched = true;
                    self.tell_start();
                    // At its end of file it would be readable for ever.
                    if let Err(errno) = self.epoll.delete(&self.child.socket) {
                        tracing::error!(%errno, "epoll");
                    }
                    return;
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Err(errno) => {
                    tracing::error!(%errno, "the launch cannot be heard");
                    return;
                }
            }
        }
    }

    /// The filter is in force: say so, and answer what it notifies. Without its
    /// worker every notified call would wait for ever, so then the app is ended.
    fn watch(&mut self, listener: OwnedFd) {
        let Some(watch) = self.watch.take() else { return };
        watch.scribe.record(Event::Start(watch.start));
        if let Err(errno) = crate::sys::seccomp::wake_up_synchronously(&listener) {
            tracing::debug!(%errno, "decisions wake the app the slow way");
        }
        let (worker, stop) = (Arc::clone(&self.worker), Arc::clone(&self.stop));
        let requests = Box::new(move |Request::Stop| {
            stop.store(true, Ordering::Release);
            if let Err(errno) = worker.write(1) {
                tracing::error!(%errno, "the container could not be asked to stop");
            }
        });
        let judge = (watch.judge)(listener, requests);
        process::share_one_heap();
        const STACK: usize = 256 * 1024;
        let spawned = std::thread::Builder::new().name("judge".into()).stack_size(STACK).spawn(move || {
            if let Err(errno) = signal::block_all() {
                tracing::warn!(%errno, "a thread takes signals that are the app's");
            }
            if let Err(errno) = process::take_short_turns() {
                tracing::debug!(%errno, "decisions take ordinary turns");
            }
            judge.run();
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
            match signal::next(&self.signals) {
                Ok(Some(received)) if received.signal == libc::SIGCHLD => self.reap(),
                Ok(Some(received)) => self.step(&Input::Signal(received)),
                Ok(None) => return,
                Err(errno) => {
                    tracing::error!(%errno, "signals cannot be read");
                    return;
                }
            }
        }
    }

    /// One SIGCHLD may stand for many: until there is none.
    fn reap(&mut self) {
        loop {
            match process::wait_any() {
                Ok(Some((_, Change::Stopped(..)))) => {}
                Ok(Some((pid, change))) => {
                    self.tell_end(pid, change);
                    self.step(&Input::Reaped(pid, change));
                }
                Ok(None) => return self.step(&Input::Others),
                Err(Errno::ECHILD) => return self.step(&Input::Alone),
                Err(errno) => {
                    tracing::error!(%errno, "wait");
                    return;
                }
            }
        }
    }

    fn step(&mut self, input: &Input) {
        for action in self.state.step(input) {
            match action {
                Action::Forward(received) => self.forward(received),
                Action::TerminateAll => {
                    let me = nix::unistd::getpid().as_raw();
                    descendants::signal_all(me, libc::SIGTERM);
                    descendants::signal_all(me, libc::SIGCONT);
                }
                Action::KillAll => {
                    let me = nix::unistd::getpid().as_raw();
                    self.killed += descendants::kill_all(me);
                }
                Action::Wait(time) => self.deadline = Some(Instant::now() + time),
                Action::Exit(code) => self.exit = Some(code),
            }
        }
    }

    /// To the app or its group; a value that was queued goes along. Neither a
    /// process that is gone nor one that may not be signalled is our end.
    fn forward(&mut self, received: Received) {
        let app = self.child.pid;
        let signal = received.signal;
        let target = if self.options.group { -app } else { app };
        let sent = if received.code == libc::SI_QUEUE && !self.options.group {
            signal::queue(app, signal, received.value)
        } else {
            signal::send(target, signal)
        };
        match sent {
            Ok(()) => tracing::debug!(signal = signal::name(signal), pid = target, "forwarded"),
            Err(Errno::ESRCH) => {}
            Err(errno) => tracing::warn!(signal = signal::name(signal), %errno, "could not be forwarded"),
        }
        // A stopped app would hear of its end only when someone continues it.
        if signal == libc::SIGTERM
            && descendants::is_stopped(app)
            && let Err(errno) = signal::send(target, libc::SIGCONT)
        {
            tracing::warn!(%errno, "the stopped app could not be continued");
        }
        if let Some(scribe) = &self.scribe {
            let to = if self.options.group { "group" } else { "app" };
            scribe.record(Event::Signal(Signal { signal: SignalName(signal), to }));
        }
    }

    fn tell_end(&mut self, pid: i32, change: Change) {
        let status = match change {
            Change::Signalled(signal) => Status::Signal(SignalName(signal)),
            Change::Exited(code) => Status::Code(code),
            Change::Stopped(..) => return,
        };
        if pid == self.child.pid {
            self.app_end = Some(status);
        } else if self.options.warn_reaped {
            tracing::warn!(pid, "an orphan was reaped");
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
