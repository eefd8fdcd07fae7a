//! SIGCHLD: children that have ended are reaped, and state changes of tracees go to the tracer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::unistd::getpgid;

use super::{EventLoop, RunError};
use crate::event::{Event, ExitEvent, Process, SignalName, Status};
use crate::ids::Tid;
use crate::init::log_dialect::InitEvent;
use crate::init::pid_file;
use crate::init::state::InitInput;
use crate::init::tracees::Tracees;
use crate::procfs::processes;
use crate::sys::process::{self, StateChange};

impl EventLoop {
    /// Handles SIGCHLD: a child or a tracee has changed state, or the worker has a request.
    pub(super) fn children(&mut self) {
        self.options.dialect.log(InitEvent::Received(libc::SIGCHLD));
        self.take_requests();
        self.reap();
        if let Some(tracees) = self.tracees()
            && process::has_waitable()
        {
            tracees.changed();
        }
    }

    /// Reaps until no child is waitable: one SIGCHLD may stand for several.
    fn reap(&mut self) {
        loop {
            let changed = match self.tracees() {
                None => process::wait_any(),
                Some(tracees) => next_of_ours(&*tracees),
            };
            match changed {
                // The PTRACE_EVENT stop of a tracee is for its tracer.
                Ok(Some((pid, StateChange::Stopped(signal, 0)))) => {
                    self.step(&InitInput::Stopped(pid, signal))
                }
                Ok(Some((_, StateChange::Stopped(..)))) => {}
                Ok(Some((pid, change))) => {
                    self.report_exit(pid, change);
                    if pid == self.child.pid && self.follows() {
                        continue;
                    }
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

    fn report_exit(&mut self, pid: i32, change: StateChange) {
        let status = match change {
            StateChange::Signalled(signal) => Status::Signal(SignalName(signal)),
            StateChange::Exited(code) => Status::Code(code),
            StateChange::Stopped(..) => return,
        };
        self.options.dialect.log(InitEvent::Reaped(pid, change));
        if pid == self.child.pid {
            // Without the launch's socket among the sources, its messages are still unread.
            if !self.launched
                && let Err(error) = self.read_launch_messages()
            {
                match error {
                    // It is not known whether its filter is in force, so there is no start event.
                    RunError::Loop(errno) if self.supervision.is_some() => self.launch_unknown = Some(errno),
                    error => tracing::error!(?error, "the messages of the launch could not be read"),
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

    /// Whether the app that has just ended handed over to another process (`--follow`), which is
    /// the app from now on.
    fn follows(&mut self) -> bool {
        let next = match &self.options.follow {
            Some(file) if self.launched && self.state.may_follow() => pid_file::named_child(file),
            _ => None,
        };
        let Some(next) = next else { return false };
        self.options.dialect.log(InitEvent::Follows(next));
        self.state.follow(next);
        self.child.pid = next;
        self.app_group =
            getpgid(Some(nix::unistd::Pid::from_raw(next))).map_or(next, nix::unistd::Pid::as_raw);
        if let Some(app) = &self.app_pid {
            app.store(next, Ordering::Relaxed);
        }
        true
    }

    /// Where state changes of tracees go; `None` once the tracer has ended.
    pub(super) fn tracees(&self) -> Option<Arc<dyn Tracees>> {
        self.tracees.as_ref()?.upgrade()
    }
}

/// The next child of the process that has ended or stopped. The tracer, which may trace it, gets
/// an end before the child is reaped, and every ptrace stop.
fn next_of_ours(tracees: &dyn Tracees) -> Result<Option<(i32, StateChange)>, Errno> {
    while let Some((pid, ended)) = process::peek_waitable()? {
        let change = if ended {
            tracees.ended(pid);
            process::reap(pid).map(|change| (pid, change))
        } else {
            let stop = process::take_stop().ok().flatten();
            stop.map(|(pid, signal, event)| (pid, StateChange::Stopped(signal, event)))
        };
        match change {
            Some((pid, StateChange::Stopped(signal, event)))
                if event != 0 || processes::tracer(Tid::from_raw(pid)).is_some() =>
            {
                tracees.stopped(pid, signal, event);
            }
            Some(ours) => return Ok(Some(ours)),
            // The tracer took it first.
            None => {}
        }
    }
    Ok(None)
}
