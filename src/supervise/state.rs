//! PID 1's rules, pure: what happens becomes what is to be done.
//!
//! The app runs until it ends or the policy stops it; then everyone who is left is
//! told to end, has the grace to do so, and is killed. The loop waits, asks this
//! state, and acts.

use std::time::Duration;

use crate::sys::process::Change;
use crate::sys::signal::Received;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A signal came for PID 1; SIGCHLD is not among these.
    Signal(Received),
    /// A child ended and was reaped.
    Reaped(i32, Change),
    /// All that ended has been reaped, and others are left.
    Others,
    /// All that ended has been reaped, and no child is left.
    Alone,
    /// The grace, or the wait after the kill, is over.
    Timeout,
    /// A violation ends the container (`on_violation: stop`).
    Violation,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the signal to the app, or to its group.
    Forward(Received),
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
    /// The app has ended; whether anybody is left is not known yet.
    Ended,
    Terminating,
    Killing,
}

/// Where the supervisor stands.
#[derive(Clone, Debug)]
pub struct State {
    app: i32,
    grace: Duration,
    remap: Vec<u8>,
    phase: Phase,
    code: u8,
    told: Option<i32>,
    violated: bool,
    /// Reaped while the container was ending, for the last event.
    pub ended: u32,
    /// Whether anyone outlived the grace.
    pub killed: bool,
}

impl State {
    /// The app has been started; `remap` are exit codes that become 0 (tini's `-e`).
    pub fn new(app: i32, grace: Duration, remap: Vec<u8>) -> State {
        State {
            app,
            grace,
            remap,
            phase: Phase::Running,
            code: 0,
            told: None,
            violated: false,
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

    /// What follows from what happened.
    pub fn step(&mut self, input: &Input) -> Vec<Action> {
        match (self.phase, input) {
            (Phase::Running, Input::Signal(signal)) => self.forward(*signal),
            (Phase::Running, Input::Reaped(pid, change)) if *pid == self.app => {
                self.code = self.exit_code(*change);
                self.phase = Phase::Ended;
                Vec::new()
            }
            (Phase::Ended, Input::Others) => {
                self.phase = Phase::Terminating;
                vec![Action::TerminateAll, Action::Wait(self.grace)]
            }
            (Phase::Ended | Phase::Terminating | Phase::Killing, Input::Reaped(pid, change)) => {
                self.ended += 1;
                if *pid == self.app && !self.violated {
                    self.code = self.exit_code(*change);
                }
                Vec::new()
            }
            (Phase::Ended | Phase::Terminating | Phase::Killing, Input::Alone) => {
                vec![Action::Exit(self.code)]
            }
            (Phase::Terminating, Input::Timeout) => self.kill_all(),
            (Phase::Killing, Input::Timeout) => vec![Action::Exit(self.code)],
            (Phase::Running | Phase::Ended | Phase::Terminating, Input::Violation) => {
                self.violated = true;
                self.code = 128 + libc::SIGKILL as u8;
                self.kill_all()
            }
            // Nobody but the app decides when a running container ends; signals
            // that come while it ends have nothing to add.
            (Phase::Running, Input::Reaped(..) | Input::Others | Input::Alone | Input::Timeout)
            | (Phase::Ended, Input::Timeout)
            | (Phase::Ended | Phase::Terminating | Phase::Killing, Input::Signal(_))
            | (Phase::Terminating | Phase::Killing, Input::Others)
            | (Phase::Killing, Input::Violation) => Vec::new(),
        }
    }

    fn forward(&mut self, signal: Received) -> Vec<Action> {
        // The terminal stops a background reader; that is not for the app.
        if matches!(signal.signal, libc::SIGTTIN | libc::SIGTTOU) {
            return Vec::new();
        }
        if matches!(signal.signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT) {
            self.told = Some(signal.signal);
        }
        vec![Action::Forward(signal)]
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
        if self.remap.contains(&code) { 0 } else { code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(signal: i32) -> Input {
        Input::Signal(Received { signal, code: 0, sender: 0, value: 0 })
    }

    fn started() -> State {
        State::new(7, Duration::from_secs(8), vec![143])
    }

    #[test]
    fn every_signal_is_forwarded_but_the_terminal_stops() {
        let mut state = started();
        for n in (1..=64).filter(|n| ![libc::SIGTTIN, libc::SIGTTOU].contains(n)) {
            assert!(matches!(state.step(&signal(n))[..], [Action::Forward(r)] if r.signal == n), "{n}");
        }
        assert_eq!(state.step(&signal(libc::SIGTTIN)), []);
        assert_eq!(state.step(&signal(libc::SIGTTOU)), []);
    }

    #[test]
    fn the_app_ends_and_the_rest_has_the_grace() {
        let mut state = started();
        assert_eq!(state.step(&Input::Reaped(9, Change::Exited(1))), [], "an orphan changes nothing");
        assert_eq!(state.step(&Input::Others), []);
        assert_eq!(state.step(&Input::Reaped(7, Change::Exited(3))), []);
        assert_eq!(state.step(&Input::Others), [Action::TerminateAll, Action::Wait(Duration::from_secs(8))]);
        assert_eq!(state.step(&Input::Reaped(11, Change::Signalled(15))), []);
        assert_eq!(state.step(&Input::Others), [], "they are told once");
        assert_eq!(state.step(&Input::Alone), [Action::Exit(3)]);
        assert_eq!((state.ended, state.killed, state.why()), (1, false, Why::Ended));
    }

    #[test]
    fn nobody_is_looked_for_where_nobody_is_left() {
        let mut state = started();
        state.step(&Input::Reaped(7, Change::Exited(0)));
        assert_eq!(state.step(&Input::Alone), [Action::Exit(0)]);
    }

    #[test]
    fn who_outlives_the_grace_is_killed_and_who_outlives_that_is_left() {
        let mut state = started();
        state.step(&Input::Reaped(7, Change::Signalled(11)));
        state.step(&Input::Others);
        assert_eq!(state.step(&Input::Timeout), [Action::KillAll, Action::Wait(AFTER_KILL)]);
        assert!(state.killed);
        assert_eq!(state.step(&Input::Timeout), [Action::Exit(128 + 11)]);
    }

    #[test]
    fn a_violation_kills_and_its_code_stays() {
        let mut state = started();
        assert_eq!(state.step(&Input::Violation), [Action::KillAll, Action::Wait(AFTER_KILL)]);
        state.step(&Input::Reaped(7, Change::Exited(0)));
        assert_eq!(state.step(&Input::Alone), [Action::Exit(137)]);
        assert_eq!(state.why(), Why::Violation);
    }

    #[test]
    fn codes_are_remapped_and_the_signal_is_remembered() {
        let mut state = started();
        state.step(&signal(libc::SIGTERM));
        state.step(&Input::Reaped(7, Change::Signalled(libc::SIGTERM)));
        assert_eq!(state.step(&Input::Alone), [Action::Exit(0)]);
        assert_eq!(state.why(), Why::Signal(libc::SIGTERM));
    }
}
