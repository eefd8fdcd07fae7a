//! PID 1's rules, pure: what happens becomes what is to be done.
//!
//! The app runs until it ends, is told to and does not in time, or the policy stops it;
//! then everyone who is left is told to end, has the grace to do so, and is killed. The
//! loop waits, asks this state, and acts.
//!
//! **How long.** The grace begins when the app ends. Where a grace was asked for it is
//! the whole time from the TERM that tells the container to end, and is over for the app
//! too; where none was, the app has as long as whoever stops the container gives it, as
//! it would with tini, and only those who have left its session or lost their parent are
//! told once the usual grace is over, before the engine's own KILL.

use std::collections::BTreeMap;
use std::time::Duration;

pub use crate::enforce::launch::Terminal;
use crate::sys::process::Change;
use crate::sys::signal::Received;

/// How the init behaves, as it was asked to.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How long those who are left have to end; none was asked for where it is `None`.
    pub grace: Option<Duration>,
    /// How long a TERM is kept back, so that a load balancer sends nothing more.
    pub drain: Duration,
    /// Exit codes that become 0 (tini's `-e`).
    pub remap: Vec<u8>,
    /// Signals that are forwarded as another one, or as 0 not at all (dumb-init's `-r`).
    pub rewrite: BTreeMap<i32, i32>,
    /// What the app shares with the init.
    pub terminal: Terminal,
    /// A signal that asks what the init sees, and is not forwarded.
    pub status: Option<i32>,
    /// Nobody would continue the init once it has stopped: it is PID 1, or leads its
    /// session.
    pub unattended: bool,
}

/// How long those who are left have where nobody says: less than Docker's ten seconds.
pub const USUAL_GRACE: Duration = Duration::from_secs(8);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A signal came for PID 1; SIGCHLD is not among these.
    Signal(Received),
    /// A child ended and was reaped.
    Reaped(i32, Change),
    /// A child was stopped by this signal.
    Stopped(i32, i32),
    /// All that ended has been reaped, and others are left.
    Others,
    /// All that ended has been reaped, and no child is left.
    Alone,
    /// The time that was asked for is over.
    Timeout,
    /// A violation ends the container (`on_violation: stop`).
    Violation,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the signal to the app, or to its group.
    Forward(Received),
    /// Say that a signal was dropped.
    Drop(i32),
    /// Say what the init sees: zombies and who owes their wait, the stuck.
    Report,
    /// Stop, as the app has.
    Suspend,
    /// Put the app into the foreground, where the init is in it.
    Foreground,
    /// Put the app into the foreground and continue it.
    Resume,
    /// TERM to what is left of the app's session, as dumb-init does.
    TerminateSession,
    /// TERM and CONT to every descendant that has left the app's session or lost its
    /// parent.
    TerminateDetached,
    /// TERM and CONT to every descendant.
    TerminateAll,
    /// KILL to every descendant.
    KillAll,
    /// Wake up after so long, unless all ends before.
    Wait(Duration),
    /// End with this code.
    Exit(u8),
}

/// How the container ends, for the last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The app ended by itself.
    Ended,
    /// The app ended after this signal had been forwarded.
    Signal(i32),
    /// A violation stopped it.
    Violation,
}

/// After the kill: how long is waited for the dead to be reaped. A process that is
/// stuck in the kernel does not hold the container.
const AFTER_KILL: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// A TERM is kept back.
    Draining(Received),
    /// The app was told to end, and the grace has begun.
    Told,
    /// The app has ended; whether anybody is left is not known yet. The grace that was
    /// asked for may have begun before.
    Ended {
        begun: bool,
    },
    Terminating,
    Killing,
}

/// Where the supervisor stands.
#[derive(Clone, Debug)]
pub struct State {
    app: i32,
    rules: Rules,
    phase: Phase,
    code: u8,
    told: Option<i32>,
    violated: bool,
    /// A stop was asked for by a signal, so that the app is not continued from it.
    stop_forwarded: bool,
    /// The terminal's SIGTSTP came for the group that app and init share.
    stop_from_terminal: bool,
    /// The app has stopped, and the init was not continued since.
    app_stopped: bool,
    /// Reaped while the container was ending, for the last event.
    pub ended: u32,
    /// Whether anyone outlived the grace.
    pub killed: bool,
}

impl State {
    /// The app has been started.
    pub fn new(app: i32, rules: Rules) -> State {
        State {
            app,
            rules,
            phase: Phase::Running,
            code: 0,
            told: None,
            violated: false,
            stop_forwarded: false,
            stop_from_terminal: false,
            app_stopped: false,
            ended: 0,
            killed: false,
        }
    }

    /// Why the container ends.
    pub fn why(&self) -> Why {
        match self.told {
            _ if self.violated => Why::Violation,
            Some(signal) => Why::Signal(signal),
            None => Why::Ended,
        }
    }

    /// Whether the app has not ended.
    pub fn app_runs(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Draining(_) | Phase::Told)
    }

    /// What follows from what happened.
    pub fn step(&mut self, input: &Input) -> Vec<Action> {
        match input {
            Input::Signal(signal) if Some(signal.signal) == self.rules.status => vec![Action::Report],
            Input::Signal(signal) if self.app_runs() => self.signal(*signal),
            // Signals that come while the container ends have nothing to add.
            Input::Signal(_) => Vec::new(),
            Input::Stopped(pid, signal) if *pid == self.app && self.app_runs() => self.stopped(*signal),
            Input::Stopped(..) => Vec::new(),
            Input::Reaped(pid, change) => self.reaped(*pid, *change),
            Input::Others => match self.phase {
                Phase::Ended { begun } => {
                    self.phase = Phase::Terminating;
                    let wait = (!begun).then_some(Action::Wait(self.grace()));
                    [Action::TerminateAll].into_iter().chain(wait).collect()
                }
                _ => Vec::new(),
            },
            // Nobody but the app decides when a running container ends.
            Input::Alone if self.app_runs() => Vec::new(),
            Input::Alone => vec![Action::Exit(self.code)],
            Input::Timeout => self.timeout(),
            Input::Violation if self.phase == Phase::Killing => Vec::new(),
            Input::Violation => {
                self.violated = true;
                self.code = 128 + libc::SIGKILL as u8;
                self.kill_all()
            }
        }
    }

    fn grace(&self) -> Duration {
        self.rules.grace.unwrap_or(USUAL_GRACE)
    }

    fn signal(&mut self, signal: Received) -> Vec<Action> {
        let named = signal.signal;
        // The terminal stops and interrupts the whole foreground group: who shares the
        // init's has had it already.
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
            // It is the init that is in the background, or alone in the foreground.
            Terminal::Group if job_control && named != libc::SIGTSTP => return Vec::new(),
            Terminal::Group if job_control && signal.code == libc::SI_KERNEL && self.rules.unattended => {
                return Vec::new();
            }
            Terminal::Group if named == libc::SIGCONT => {
                self.stop_forwarded = false;
                return vec![Action::Foreground, Action::Forward(signal)];
            }
            _ => {}
        }
        let stop = match self.rules.terminal {
            Terminal::Session if job_control => libc::SIGSTOP,
            _ => named,
        };
        let forwarded = self.rules.rewrite.get(&named).copied().unwrap_or(stop);
        if forwarded == 0 {
            return vec![Action::Drop(named)];
        }
        let signal = Received { signal: forwarded, ..signal };
        match named {
            libc::SIGTERM => return self.terminate(signal),
            libc::SIGINT | libc::SIGQUIT => self.told = Some(named),
            libc::SIGTSTP | libc::SIGSTOP => self.stop_forwarded = true,
            _ => {}
        }
        let mut actions = vec![Action::Forward(signal)];
        if job_control && self.rules.terminal != Terminal::Group {
            actions.extend(self.suspend());
        }
        actions
    }

    /// The container is to end. A second TERM does not wait for the drain.
    fn terminate(&mut self, signal: Received) -> Vec<Action> {
        self.told = Some(libc::SIGTERM);
        if self.phase == Phase::Running && !self.rules.drain.is_zero() {
            self.phase = Phase::Draining(signal);
            return vec![Action::Wait(self.rules.drain)];
        }
        let begins = self.phase != Phase::Told;
        self.phase = Phase::Told;
        let wait = begins.then_some(Action::Wait(self.grace()));
        [Action::Forward(signal)].into_iter().chain(wait).collect()
    }

    fn suspend(&self) -> Vec<Action> {
        if self.rules.unattended { Vec::new() } else { vec![Action::Suspend] }
    }

    /// The init stops after the app that shares its group. The shell reads the terminal
    /// again as soon as the init has stopped, and an app that is still in read(2) would
    /// take what is typed there.
    fn suspend_after_app(&mut self) -> Vec<Action> {
        if !(self.stop_from_terminal && self.app_stopped) {
            return Vec::new();
        }
        (self.stop_from_terminal, self.app_stopped) = (false, false);
        self.suspend()
    }

    /// The app has stopped, and its parent is who could continue it. In the session of
    /// a shell the init stops along, so that the shell takes the terminal back; where
    /// there is nobody, a Ctrl-Z must not stop the container for ever.
    fn stopped(&mut self, signal: i32) -> Vec<Action> {
        if self.rules.terminal == Terminal::Shared {
            self.app_stopped = true;
            return self.suspend_after_app();
        }
        let job_control = matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
        if self.rules.terminal != Terminal::Group || !job_control {
            return Vec::new();
        }
        match (self.rules.unattended, self.stop_forwarded) {
            (false, _) => vec![Action::Suspend],
            (true, false) => vec![Action::Resume],
            (true, true) => Vec::new(),
        }
    }

    fn reaped(&mut self, pid: i32, change: Change) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.app_runs() {
            if pid == self.app {
                self.code = self.exit_code(change);
                let begun = self.phase == Phase::Told && self.rules.grace.is_some();
                self.phase = Phase::Ended { begun };
                actions.push(Action::TerminateSession);
            }
            return actions;
        }
        self.ended += 1;
        if pid == self.app && !self.violated {
            self.code = self.exit_code(change);
        }
        actions
    }

    fn timeout(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Draining(signal) => self.terminate(signal),
            Phase::Told if self.rules.grace.is_none() => vec![Action::TerminateDetached],
            Phase::Told | Phase::Terminating | Phase::Ended { .. } => self.kill_all(),
            Phase::Killing => vec![Action::Exit(self.code)],
            Phase::Running => Vec::new(),
        }
    }

    fn kill_all(&mut self) -> Vec<Action> {
        self.phase = Phase::Killing;
        self.killed = true;
        vec![Action::KillAll, Action::Wait(AFTER_KILL)]
    }

    /// The app's own code, or 128+n for a signal; remapped ones become 0.
    fn exit_code(&self, change: Change) -> u8 {
        let code = match change {
            Change::Exited(code) => code as u8,
            Change::Signalled(signal) => 128 + signal as u8,
            Change::Stopped(..) => 128,
        };
        if self.rules.remap.contains(&code) { 0 } else { code }
    }
}

#[cfg(test)]
mod tests;
