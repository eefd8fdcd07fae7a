//! The actions of the loop: signals to the app and to remaining processes, job control, reports.

use nix::errno::Errno;

use super::EventLoop;
use crate::event::{Event, SignalEvent, SignalName, log};
use crate::ids::Pid;
use crate::init::descendants;
use crate::init::log_dialect::{InitEvent, LogDialect};
use crate::init::state::InitInput;
use crate::procfs::processes;
use crate::sys::signal::{self, Received};
use crate::sys::terminal;

impl EventLoop {
    /// The target of signals for the app, for kill(2): its pid, or its process group.
    fn target(&self) -> i32 {
        if self.options.group { -self.app_group } else { self.child.pid }
    }

    /// Forwards a signal to the app or its group, with its queued value. It is no error of the
    /// init if the process is gone or may not be signalled.
    pub(super) fn forward(&mut self, received: Received, input: &InitInput) {
        let (app, signal, dialect) = (self.child.pid, received.signal, self.options.dialect);
        if let InitInput::Signal(came) = input
            && came.signal != signal
        {
            dialect.log(InitEvent::Translated(came.signal, signal));
        }
        let sent = match received.code {
            libc::SI_QUEUE if self.options.group => self.queue_to_group(received),
            libc::SI_QUEUE => queue(app, received),
            _ => signal::send(self.target(), signal),
        };
        match sent {
            Ok(()) => dialect.log(InitEvent::Forwarded(signal)),
            Err(Errno::ESRCH) => dialect.log(InitEvent::AppGone),
            Err(errno) if !self.forbidden => {
                self.forbidden = true;
                tracing::warn!(signal = signal::name(signal), %errno, "could not be forwarded; further failures are logged at level debug");
            }
            Err(errno) => tracing::debug!(signal = signal::name(signal), %errno, "could not be forwarded"),
        }
        // A stopped app handles SIGTERM only once it is continued.
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
        self.record(Event::Signal(SignalEvent { signal: SignalName(signal), to }));
    }

    /// Queues a signal with its value to each process of the app's group: sigqueue(3) takes no
    /// group.
    fn queue_to_group(&self, received: Received) -> Result<(), Errno> {
        let app = self.app();
        let all = processes::all(self.me).unwrap_or_default();
        for one in all.iter().filter(|seen| seen.group == self.app_group && seen.pid != app && seen.lives()) {
            match queue(one.pid.as_raw(), received) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => tracing::debug!(pid = %one.pid, %errno, "could not be forwarded"),
            }
        }
        queue(app.as_raw(), received)
    }

    /// In the place of dumb-init: sends SIGTERM to what is left of the app's session.
    pub(super) fn terminate_session(&self) {
        if !matches!(self.options.dialect, LogDialect::DumbInit { .. }) {
            return;
        }
        let rewritten = self.options.rules.rewrite.get(&libc::SIGTERM).copied();
        let signal = rewritten.unwrap_or(libc::SIGTERM);
        if let Some(other) = rewritten {
            self.options.dialect.log(InitEvent::Translated(libc::SIGTERM, other));
        }
        if signal == 0 {
            return self.options.dialect.log(InitEvent::Dropped(libc::SIGTERM));
        }
        // Without a group there is no target: the app's pid is reaped.
        if self.options.group {
            match signal::send(self.target(), signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => tracing::warn!(%errno, "SIGTERM could not be sent to the app's group"),
            }
        }
        self.options.dialect.log(InitEvent::Forwarded(signal));
    }

    /// Stops this process, until its parent continues it. PID 1 cannot be stopped.
    pub(super) fn suspend(&self) {
        self.options.dialect.log(InitEvent::Suspending);
        if let Err(errno) = signal::send(self.me.as_raw(), libc::SIGSTOP) {
            tracing::warn!(%errno, "could not stop along with the app");
        }
    }

    /// Puts the app into the foreground of the terminal, where the init is in it.
    pub(super) fn foreground(&self) {
        if terminal::foreground() == Some(terminal::group()) {
            self.take_foreground();
        }
    }

    fn take_foreground(&self) -> bool {
        let taken = terminal::set_foreground(self.app_group);
        if let Err(errno) = taken {
            tracing::debug!(%errno, "the terminal could not be given to the app");
        }
        taken.is_ok()
    }

    /// Continues the app after a stop by the terminal, with the terminal: in the background it
    /// would only stop again.
    pub(super) fn resume(&self) {
        let app = self.app_group;
        if (terminal::foreground() == Some(app) || self.take_foreground())
            && let Err(errno) = signal::send(-app, libc::SIGCONT)
        {
            tracing::warn!(%errno, "the stopped app could not be continued");
        }
    }

    /// Writes the status report (`--status`): zombies and processes that no signal reaches.
    pub(super) fn report(&self) {
        let all = match processes::all(self.me) {
            Ok(all) => all,
            Err(errno) => return tracing::warn!(%errno, "the processes could not be listed"),
        };
        let living = all.iter().filter(|seen| seen.lives()).count();
        let troubles = descendants::troubles(self.me, &all);
        log::report(&format!("living: {living}, in trouble: {}", troubles.len()));
        troubles.iter().for_each(|trouble| log::report(trouble));
    }

    /// Logs the remaining processes and their troubles, where the dialect's level includes that.
    pub(super) fn log_remaining(&self, what: &str) {
        if !self.options.dialect.logs_remaining() {
            return;
        }
        let all = processes::all(self.me).unwrap_or_default();
        for seen in all.iter().filter(|seen| seen.lives()) {
            let line = format!("{} ({}, {}) {what}", seen.pid, seen.name, seen.state);
            self.options.dialect.log(InitEvent::Note(&line));
        }
        descendants::troubles(self.me, &all)
            .iter()
            .for_each(|line| self.options.dialect.log(InitEvent::Note(line)));
    }
}

/// Queues a signal with its value. Where the queue of the app's user is full
/// (RLIMIT_SIGPENDING), sends it without one.
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
