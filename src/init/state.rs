//! The rules of PID 1 as a pure state machine: an input gives actions.
//!
//! The app runs until it exits, outlives the grace period after a SIGTERM, or is stopped by the
//! policy. Then the remaining processes get SIGTERM, and after the grace period SIGKILL. The
//! event loop waits, steps this machine, and performs the actions.
//!
//! **Grace period.** It begins when the app exits. Where `--grace` sets it, it begins with the
//! SIGTERM that stops the container, and applies to the app too. Otherwise the engine's stop
//! timeout applies to the app, as with tini, and processes that have left its session or lost
//! their parent get SIGTERM after [`USUAL_GRACE`], before the engine's SIGKILL.

use std::collections::BTreeMap;
use std::time::Duration;

pub use crate::enforce::launch::Terminal;
use crate::sys::process::StateChange;
use crate::sys::signal::Received;

/// The rules of the init, from its options.
#[derive(Clone, Debug)]
pub struct InitRules {
    /// The grace period (`--grace`); `None` where it is not set.
    pub grace: Option<Duration>,
    /// How long a SIGTERM is delayed, so that a load balancer stops sending requests.
    pub drain: Duration,
    /// Exit codes that become 0 (tini's `-e`).
    pub remap: Vec<u8>,
    /// Signals that are forwarded as another one, or with 0 not at all (dumb-init's `-r`).
    pub rewrite: BTreeMap<i32, i32>,
    /// The session and process group of the app.
    pub terminal: Terminal,
    /// The signal that writes the status report, and is not forwarded.
    pub status: Option<i32>,
    /// The init's process group is orphaned: it is PID 1, or leads its session, so that no parent would
    /// continue it once it has stopped.
    pub is_orphaned: bool,
}

/// The grace period unless it is set: less than Docker's stop timeout of ten seconds.
pub const USUAL_GRACE: Duration = Duration::from_secs(8);

/// An input of the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitInput {
    /// The init received a signal other than SIGCHLD.
    Signal(Received),
    /// A child was reaped: its pid, and how it ended.
    Reaped(i32, StateChange),
    /// A child was stopped: its pid, and the signal.
    Stopped(i32, i32),
    /// All ended children are reaped, and others are left.
    Others,
    /// All ended children are reaped, and none is left.
    Alone,
    /// The time of [`InitAction::Wait`] is over.
    Timeout,
    /// A violation ends the container (`on_violation: stop`).
    Violation,
}

/// An action that the event loop performs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitAction {
    /// Send the signal to the app, or to its group.
    Forward(Received),
    /// Log that a signal was dropped.
    Drop(i32),
    /// Write the status report: zombies, processes in uninterruptible sleep.
    Report,
    /// Stop the init, as the app has stopped.
    Suspend,
    /// Put the app into the foreground, where the init is in it.
    Foreground,
    /// Put the app into the foreground and continue it.
    Resume,
    /// Send SIGTERM to what is left of the app's session, as dumb-init does.
    TerminateSession,
    /// Send SIGTERM and SIGCONT to every descendant that has left the app's session or lost its
    /// parent.
    TerminateDetached,
    /// Send SIGTERM and SIGCONT to every descendant.
    TerminateAll,
    /// Send SIGKILL to every descendant.
    KillAll,
    /// Step with [`InitInput::Timeout`] after this time, unless the container ends before.
    Wait(Duration),
    /// Exit with this code.
    Exit(u8),
}

/// Why the container stops, for the stop event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// The app ended without a signal of the init.
    Ended,
    /// The app ended after this signal had been forwarded.
    Signal(i32),
    /// A violation stopped the container.
    Violation,
}

/// How long the init waits after SIGKILL to reap. A process in uninterruptible sleep does not
/// delay the container's end further.
const AFTER_KILL: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InitPhase {
    Running,
    /// A SIGTERM is delayed.
    Draining(Received),
    /// The SIGTERM was forwarded, and the grace period has begun.
    Terminated,
    /// The app has ended; whether other processes are left is not known yet. `begun`: the grace
    /// period began before, with the SIGTERM.
    Ended {
        begun: bool,
    },
    Terminating,
    Killing,
}

/// The state of the init.
#[derive(Clone, Debug)]
pub struct InitState {
    app: i32,
    rules: InitRules,
    phase: InitPhase,
    code: u8,
    stop_signal: Option<i32>,
    violated: bool,
    /// A stop signal was forwarded, so the app is not continued from it.
    stop_forwarded: bool,
    /// The terminal's SIGTSTP came for the group that app and init share.
    stop_from_terminal: bool,
    /// The app has stopped, and the init was not continued since.
    app_stopped: bool,
    /// How many processes were reaped while the container was stopping, for the stop event.
    pub ended: u32,
    /// Whether SIGKILL was sent.
    pub killed: bool,
}

impl InitState {
    /// The state after the fork of the app.
    pub fn new(app: i32, rules: InitRules) -> InitState {
        InitState {
            app,
            rules,
            phase: InitPhase::Running,
            code: 0,
            stop_signal: None,
            violated: false,
            stop_forwarded: false,
            stop_from_terminal: false,
            app_stopped: false,
            ended: 0,
            killed: false,
        }
    }

    /// Why the container stops.
    pub fn why(&self) -> StopCause {
        match self.stop_signal {
            _ if self.violated => StopCause::Violation,
            Some(signal) => StopCause::Signal(signal),
            None => StopCause::Ended,
        }
    }

    /// Whether another process may become the app once it has ended: unless the container stops.
    pub fn may_follow(&self) -> bool {
        matches!(self.phase, InitPhase::Running | InitPhase::Draining(_))
    }

    /// Another child is the app from now on.
    pub fn follow(&mut self, app: i32) {
        (self.app, self.app_stopped, self.stop_forwarded) = (app, false, false);
    }

    /// Whether the app has not ended.
    pub fn app_runs(&self) -> bool {
        matches!(self.phase, InitPhase::Running | InitPhase::Draining(_) | InitPhase::Terminated)
    }

    /// Takes an input, and returns the actions to perform, in order.
    pub fn step(&mut self, input: &InitInput) -> Vec<InitAction> {
        match input {
            InitInput::Signal(signal) if Some(signal.signal) == self.rules.status => vec![InitAction::Report],
            InitInput::Signal(signal) if self.app_runs() => self.signal(*signal),
            // The container is stopping already.
            InitInput::Signal(_) => Vec::new(),
            InitInput::Stopped(pid, signal) if *pid == self.app && self.app_runs() => self.stopped(*signal),
            InitInput::Stopped(..) => Vec::new(),
            InitInput::Reaped(pid, change) => self.reaped(*pid, *change),
            InitInput::Others => match self.phase {
                InitPhase::Ended { begun } => {
                    self.phase = InitPhase::Terminating;
                    let wait = (!begun).then_some(InitAction::Wait(self.grace()));
                    [InitAction::TerminateAll].into_iter().chain(wait).collect()
                }
                _ => Vec::new(),
            },
            // While the app runs, only its own end stops the container.
            InitInput::Alone if self.app_runs() => Vec::new(),
            InitInput::Alone => vec![InitAction::Exit(self.code)],
            InitInput::Timeout => self.timeout(),
            InitInput::Violation if self.phase == InitPhase::Killing => Vec::new(),
            InitInput::Violation => {
                self.violated = true;
                self.code = 128 + libc::SIGKILL as u8;
                self.kill_all()
            }
        }
    }

    fn grace(&self) -> Duration {
        self.rules.grace.unwrap_or(USUAL_GRACE)
    }

    fn signal(&mut self, signal: Received) -> Vec<InitAction> {
        let named = signal.signal;
        // The terminal signals the whole foreground group: an app in the init's group got the
        // signal already.
        let shared = self.rules.terminal == Terminal::Shared && signal.code == libc::SI_KERNEL;
        if shared && matches!(named, libc::SIGINT | libc::SIGQUIT | libc::SIGTSTP | libc::SIGWINCH) {
            self.stop_from_terminal |= named == libc::SIGTSTP;
            return self.suspend_after_app();
        }
        if named == libc::SIGCONT {
            (self.stop_from_terminal, self.app_stopped) = (false, false);
        }
        let job_control = matches!(named, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
        match self.rules.terminal {
            // The init itself is in the background, or alone in the foreground.
            Terminal::Group if job_control && named != libc::SIGTSTP => return Vec::new(),
            Terminal::Group if job_control && signal.code == libc::SI_KERNEL && self.rules.is_orphaned => {
                return Vec::new();
            }
            Terminal::Group if named == libc::SIGCONT => {
                self.stop_forwarded = false;
                return vec![InitAction::Foreground, InitAction::Forward(signal)];
            }
            _ => {}
        }
        let stop = match self.rules.terminal {
            Terminal::Session if job_control => libc::SIGSTOP,
            _ => named,
        };
        let forwarded = self.rules.rewrite.get(&named).copied().unwrap_or(stop);
        if forwarded == 0 {
            return vec![InitAction::Drop(named)];
        }
        let signal = Received { signal: forwarded, ..signal };
        match named {
            libc::SIGTERM => return self.terminate(signal),
            libc::SIGINT | libc::SIGQUIT => self.stop_signal = Some(named),
            libc::SIGTSTP | libc::SIGSTOP => self.stop_forwarded = true,
            _ => {}
        }
        let mut actions = vec![InitAction::Forward(signal)];
        if job_control && self.rules.terminal != Terminal::Group {
            actions.extend(self.suspend());
        }
        actions
    }

    /// Stops the container. A second SIGTERM ends the delay.
    fn terminate(&mut self, signal: Received) -> Vec<InitAction> {
        self.stop_signal = Some(libc::SIGTERM);
        if self.phase == InitPhase::Running && !self.rules.drain.is_zero() {
            self.phase = InitPhase::Draining(signal);
            return vec![InitAction::Wait(self.rules.drain)];
        }
        let begins = self.phase != InitPhase::Terminated;
        self.phase = InitPhase::Terminated;
        let wait = begins.then_some(InitAction::Wait(self.grace()));
        [InitAction::Forward(signal)].into_iter().chain(wait).collect()
    }

    fn suspend(&self) -> Vec<InitAction> {
        if self.rules.is_orphaned { Vec::new() } else { vec![InitAction::Suspend] }
    }

    /// The init stops after the app that shares its group. The shell reads the terminal
    /// again as soon as the init has stopped, and an app that is still in read(2) would take its
    /// input.
    fn suspend_after_app(&mut self) -> Vec<InitAction> {
        if !(self.stop_from_terminal && self.app_stopped) {
            return Vec::new();
        }
        (self.stop_from_terminal, self.app_stopped) = (false, false);
        self.suspend()
    }

    /// The app has stopped. In the session of a shell the init stops too, so that the shell takes
    /// the terminal back, and continues both. Without such a parent the app is continued: Ctrl-Z
    /// must not stop the container for ever.
    fn stopped(&mut self, signal: i32) -> Vec<InitAction> {
        if self.rules.terminal == Terminal::Shared {
            self.app_stopped = true;
            return self.suspend_after_app();
        }
        let job_control = matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
        if self.rules.terminal != Terminal::Group || !job_control {
            return Vec::new();
        }
        match (self.rules.is_orphaned, self.stop_forwarded) {
            (false, _) => vec![InitAction::Suspend],
            (true, false) => vec![InitAction::Resume],
            (true, true) => Vec::new(),
        }
    }

    fn reaped(&mut self, pid: i32, change: StateChange) -> Vec<InitAction> {
        let mut actions = Vec::new();
        if self.app_runs() {
            if pid == self.app {
                self.code = self.exit_code(change);
                let begun = self.phase == InitPhase::Terminated && self.rules.grace.is_some();
                self.phase = InitPhase::Ended { begun };
                actions.push(InitAction::TerminateSession);
            }
            return actions;
        }
        self.ended += 1;
        if pid == self.app && !self.violated {
            self.code = self.exit_code(change);
        }
        actions
    }

    fn timeout(&mut self) -> Vec<InitAction> {
        match self.phase {
            InitPhase::Draining(signal) => self.terminate(signal),
            InitPhase::Terminated if self.rules.grace.is_none() => vec![InitAction::TerminateDetached],
            InitPhase::Terminated | InitPhase::Terminating | InitPhase::Ended { .. } => self.kill_all(),
            InitPhase::Killing => vec![InitAction::Exit(self.code)],
            InitPhase::Running => Vec::new(),
        }
    }

    fn kill_all(&mut self) -> Vec<InitAction> {
        self.phase = InitPhase::Killing;
        self.killed = true;
        vec![InitAction::KillAll, InitAction::Wait(AFTER_KILL)]
    }

    /// The app's own code, or 128+n for a signal; remapped ones become 0.
    fn exit_code(&self, change: StateChange) -> u8 {
        let code = match change {
            StateChange::Exited(code) => code as u8,
            StateChange::Signalled(signal) => 128 + signal as u8,
            StateChange::Stopped(..) => 128,
        };
        if self.rules.remap.contains(&code) { 0 } else { code }
    }
}

#[cfg(test)]
mod tests;
