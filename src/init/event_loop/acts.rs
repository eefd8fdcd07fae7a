//! What the loop does to the app, to those whom it leaves behind, and to itself.

use nix::errno::Errno;

use super::Loop;
use crate::event::{Event, Signal, SignalName, log};
use crate::ids::Pid;
use crate::init::descendants;
use crate::init::state::Input;
use crate::init::voice::{Sight, Voice};
use crate::procfs::processes;
use crate::sys::signal::{self, Received};
use crate::sys::terminal;

impl Loop {
    /// Whom a signal for the app is for, as kill(2) has it.
    fn target(&self) -> i32 {
        if self.options.group { -self.child.pid } else { self.child.pid }
    }

    /// To the app or its group; a value that was queued goes along. Neither a
    /// process that is gone nor one that may not be signalled is our end.
    pub(super) fn forward(&mut self, received: Received, input: &Input) {
        let (app, signal, voice) = (self.child.pid, received.signal, self.options.voice);
        if let Input::Signal(came) = input
            && came.signal != signal
        {
            voice.tell(Sight::Translated(came.signal, signal));
        }
        let sent = match received.code {
            libc::SI_QUEUE if self.options.group => self.queue_to_group(received),
            libc::SI_QUEUE => queue(app, received),
            _ => signal::send(self.target(), signal),
        };
        match sent {
            Ok(()) => voice.tell(Sight::Forwarded(signal)),
            Err(Errno::ESRCH) => voice.tell(Sight::Dead),
            Err(errno) if !self.forbidden => {
                self.forbidden = true;
                tracing::warn!(signal = signal::name(signal), %errno, "could not be forwarded; this is said once");
            }
            Err(errno) => tracing::debug!(signal = signal::name(signal), %errno, "could not be forwarded"),
        }
        // A stopped app would hear of its end only when someone continues it.
        if signal == libc::SIGTERM
            && processes::is_stopped(Pid::from_raw(app))
            && let Err(errno) = signal::send(self.target(), libc::SIGCONT)
        {
            tracing::warn!(%errno, "the stopped app could not be continued");
        }
        if let Some(journal) = &self.journal {
            journal.signal(SignalName(signal));
        }
        let to = if self.options.group { "group" } else { "app" };
        self.record(Event::Signal(Signal { signal: SignalName(signal), to }));
    }

    /// A value can only be queued to one process, so each of the group gets it.
    fn queue_to_group(&self, received: Received) -> Result<(), Errno> {
        let app = self.app();
        let all = processes::all(self.me).unwrap_or_default();
        for one in all.iter().filter(|seen| seen.group == app.as_raw() && seen.pid != app && seen.lives()) {
            match queue(one.pid.as_raw(), received) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => tracing::debug!(pid = %one.pid, %errno, "could not be forwarded"),
            }
        }
        queue(app.as_raw(), received)
    }

    /// dumb-init ends what is left of the app's session along with it.
    pub(super) fn terminate_session(&self) {
        if !matches!(self.options.voice, Voice::DumbInit { .. }) {
            return;
        }
        let rewritten = self.options.rules.rewrite.get(&libc::SIGTERM).copied();
        let signal = rewritten.unwrap_or(libc::SIGTERM);
        if let Some(other) = rewritten {
            self.options.voice.tell(Sight::Translated(libc::SIGTERM, other));
        }
        if signal == 0 {
            return self.options.voice.tell(Sight::Dropped(libc::SIGTERM));
        }
        // The app alone has no number any more that could be signalled.
        if self.options.group {
            match signal::send(self.target(), signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => tracing::warn!(%errno, "the app's group could not be told to end"),
            }
        }
        self.options.voice.tell(Sight::Forwarded(signal));
    }

    /// Stops this process, until whoever sees that continues it. PID 1 cannot be stopped.
    pub(super) fn suspend(&self) {
        self.options.voice.tell(Sight::Suspending);
        if let Err(errno) = signal::send(self.me.as_raw(), libc::SIGSTOP) {
            tracing::warn!(%errno, "could not stop along with the app");
        }
    }

    /// Where we are in the foreground of a terminal, the app is to be.
    pub(super) fn foreground(&self) {
        if terminal::foreground() == Some(terminal::group()) {
            self.take_foreground();
        }
    }

    fn take_foreground(&self) -> bool {
        let taken = terminal::set_foreground(self.child.pid);
        if let Err(errno) = taken {
            tracing::debug!(%errno, "the terminal could not be given to the app");
        }
        taken.is_ok()
    }

    /// Undoes a stop that the terminal asked for. Without the terminal the app would
    /// only stop again.
    pub(super) fn resume(&self) {
        let app = self.child.pid;
        if (terminal::foreground() == Some(app) || self.take_foreground())
            && let Err(errno) = signal::send(-app, libc::SIGCONT)
        {
            tracing::warn!(%errno, "the stopped app could not be continued");
        }
    }

    /// Says what is wrong with whom, asked by a signal.
    pub(super) fn report(&self) {
        let all = match processes::all(self.me) {
            Ok(all) => all,
            Err(errno) => return tracing::warn!(%errno, "the processes could not be looked at"),
        };
        let living = all.iter().filter(|seen| seen.lives()).count();
        let troubles = descendants::troubles(self.me, &all);
        log::report(&format!("living: {living}, in trouble: {}", troubles.len()));
        troubles.iter().for_each(|trouble| log::report(trouble));
    }

    /// Says to whoever is curious who is left, and what is wrong with them.
    pub(super) fn tell_left(&self, what: &str) {
        if !self.options.voice.is_curious() {
            return;
        }
        let all = processes::all(self.me).unwrap_or_default();
        for seen in all.iter().filter(|seen| seen.lives()) {
            let line = format!("{} ({}, {}) {what}", seen.pid, seen.name, seen.state);
            self.options.voice.tell(Sight::Note(&line));
        }
        descendants::troubles(self.me, &all)
            .iter()
            .for_each(|line| self.options.voice.tell(Sight::Note(line)));
    }
}

/// With its value. Where the queue of the app's user is full it goes without: a signal
/// that is merged is better than none.
fn queue(pid: i32, received: Received) -> Result<(), Errno> {
    match signal::queue(pid, received.signal, received.value) {
        Err(Errno::EAGAIN) => {
            tracing::warn!(
                pid,
                signal = signal::name(received.signal),
                "the queue is full; its value is lost"
            );
            signal::send(pid, received.signal)
        }
        answer => answer,
    }
}
