//! Stops and ends of traced threads.
//!
//! The kernel reports them to the thread that traces. But of PID 1's own children, the app and
//! orphans, the first thread receives the reports as well, and whichever thread waits first
//! takes one: the first thread passes on what it took. And SIGCHLD, which is the process's,
//! comes to either: the one that receives it and leaves a report wakes the other.

use std::time::Duration;

use nix::errno::Errno;

use super::Tracer;
use super::attach::{self, TracedThread};
use super::mailbox::TracerMessage;
use super::state::{PtraceStop, TracerEvent};
use crate::ids::Tid;
use crate::notify::listener;
use crate::procfs::processes;
use crate::sys::process::{self, StateChange};
use crate::sys::ptrace;

impl Tracer {
    /// Handles the messages of the first thread and of the examiner. Nothing of it waits.
    pub fn handle_messages(&mut self) {
        for message in self.mailbox.take() {
            match message {
                TracerMessage::Examined { pid, id, verdict } => {
                    self.handle(TracerEvent::Examined { pid, id, verdict });
                }
                TracerMessage::Stopped { tid, signal, event } => self.stopped(tid, signal, event),
                TracerMessage::Ended(pid) => self.ended(pid.first_thread()),
            }
        }
    }

    /// Takes every report on traced threads. Whether one was reaped: then the first thread has
    /// to wait for children, since it may be the parent of that process by now.
    pub fn wait_for_tracees(&mut self) -> bool {
        if let Err(errno) = listener::drain(self.wake_fd()) {
            tracing::error!(%errno, "the tracer's eventfd");
        }
        self.handle_messages();
        let mut reaped = false;
        loop {
            match process::peek_waitable() {
                Ok(Some((_, false))) => self.take_stop(),
                Ok(Some((pid, true))) if processes::is_no_child(Tid::from_raw(pid), self.pid1) => {
                    reaped |= self.reap(Tid::from_raw(pid));
                }
                // The first thread has to reap and announce it: other reports come after it.
                Ok(Some(_)) => return self.reap_others() || reaped,
                Ok(None) | Err(Errno::ECHILD) => return reaped,
                Err(errno) => {
                    tracing::error!(%errno, "wait");
                    return reaped;
                }
            }
        }
    }

    fn take_stop(&mut self) {
        let stop = process::take_stop();
        // The thread that had this tid before may have been reaped meanwhile.
        self.handle_messages();
        if let Ok(Some((tid, signal, event))) = stop {
            self.stopped(Tid::from_raw(tid), signal, event);
        }
    }

    fn reap_others(&mut self) -> bool {
        let pid1 = self.pid1;
        let others = self.table.tids().into_iter().filter(|tid| processes::is_no_child(*tid, pid1));
        others.filter(|tid| self.reap(*tid)).count() > 0
    }

    fn reap(&mut self, tid: Tid) -> bool {
        let change = process::reap(tid.as_raw());
        self.handle_messages();
        match change {
            Some(StateChange::Stopped(signal, event)) => self.stopped(tid, signal, event),
            Some(StateChange::Exited(_) | StateChange::Signalled(_)) => self.ended(tid),
            None => {}
        }
        matches!(change, Some(StateChange::Exited(_) | StateChange::Signalled(_)))
    }

    /// A stop, of the tracer's own report or of the first thread's. The thread is in it still
    /// where the kernel gives its message; otherwise it was killed, and may be reaped already.
    fn stopped(&mut self, tid: Tid, signal: i32, event: i32) {
        let Ok(message) = ptrace::event_message(tid.as_raw()) else { return };
        let other = Tid::from_raw(message);
        let stop = match event {
            // Before the hand-outs: the thread may have had another tid.
            ptrace::EVENT_EXEC => {
                [other, tid].into_iter().for_each(|tid| self.forget_hand_out(tid));
                return self.handle(TracerEvent::Stopped { tid, stop: PtraceStop::Exec { former: other } });
            }
            _ if self.continues_hand_out(tid, signal, event) => return,
            event if ptrace::EVENTS_CHILD.contains(&event) => {
                let is_new = !self.table.has(other);
                let pid = is_new.then(|| attach::thread_of_ours(other)).flatten().map(|thread| thread.pid);
                PtraceStop::Fork { child: other, pid }
            }
            ptrace::EVENT_STOP if signal == libc::SIGTRAP => PtraceStop::Trap,
            ptrace::EVENT_STOP => PtraceStop::Group(signal),
            0 => PtraceStop::Signal(signal),
            _ => PtraceStop::Other,
        };
        if !self.table.has(tid) && event == ptrace::EVENT_STOP {
            // One that was killed meanwhile is not continued.
            let Some(TracedThread { pid, maker }) = attach::thread_of_ours(tid) else { return };
            return self.handle(TracerEvent::FirstStop { tid, pid, maker, stop });
        }
        self.handle(TracerEvent::Stopped { tid, stop });
    }

    fn ended(&mut self, tid: Tid) {
        self.forget_hand_out(tid);
        self.handle(TracerEvent::Ended(tid));
    }

    /// Answers no more calls: the kernel answers those that still wait with ENOSYS once every
    /// copy of the listener is closed. What is in flight is still verified.
    /// It does not return: traced threads may end after their filter did, and while their tracer,
    /// a thread of the pool, exists, the kernel reaps none of them.
    pub fn reap_for_ever(mut self) -> ! {
        self.listener = None;
        self.handle(TracerEvent::ListenerClosed);
        loop {
            self.wait_for_tracees();
            self.reports.clear();
            // Every SIGCHLD is the first thread's now, which wakes this one.
            if let Err(errno) = listener::wait_for_wakeup(self.mailbox.wake_fd()) {
                tracing::error!(%errno, "ppoll");
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}
