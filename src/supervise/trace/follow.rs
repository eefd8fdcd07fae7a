//! Stops and ends of whoever is seized.
//!
//! The kernel shows them to the thread that has seized. But of PID 1's own children, the app
//! and orphans, the first thread sees them as well, and whichever waits first has them: it
//! tells of what it took. And SIGCHLD, which is the process's, comes to either: who was
//! given it and leaves something untaken rings for the other.

use std::time::Duration;

use nix::errno::Errno;

use super::desk::Word;
use super::{Outcome, Tracer, gone_or};
use crate::supervise::{descendants, listener};
use crate::sys::process::{self, Change};
use crate::sys::ptrace;
use crate::sys::signal::Mask;

impl Tracer {
    /// Does what it was told. Nothing of it waits for anybody.
    pub fn serve(&mut self) {
        for word in self.desk.take() {
            match word {
                Word::Examined(pid, id, verdict) => self.conclude(pid, id, verdict),
                Word::Stopped(pid, signal, event) => self.first_saw(pid, signal, event),
                Word::Ended(pid) => self.ended(pid),
            }
        }
    }

    /// Takes what has become of whoever is seized.
    pub fn follow(&mut self) {
        self.serve();
        loop {
            match process::changed() {
                // The first thread's to bury, and to tell of: others come after it.
                Ok(Some((pid, true))) if !descendants::is_no_child(pid, self.me) => {
                    return self.take_others();
                }
                Ok(Some((pid, _))) => self.take(pid),
                Ok(None) | Err(Errno::ECHILD) => return,
                Err(errno) => return tracing::error!(%errno, "wait"),
            }
        }
    }

    fn take_others(&mut self) {
        let me = self.me;
        let seized: Vec<i32> = self.seized.keys().copied().collect();
        seized.into_iter().filter(|tid| descendants::is_no_child(*tid, me)).for_each(|tid| self.take(tid));
    }

    fn take(&mut self, tid: i32) {
        let change = process::wait_for(tid);
        // Who had this number before may have been buried meanwhile.
        self.serve();
        match change {
            Some(Change::Stopped(signal, event)) => {
                self.tell_if_grouped(tid, signal, event);
                self.stopped(tid, signal, event);
            }
            Some(Change::Exited(_) | Change::Signalled(_)) => self.ended(tid),
            None => {}
        }
    }

    /// A stop that the first thread took: ours where it is one of a trace.
    fn first_saw(&mut self, pid: i32, signal: i32, event: i32) {
        if event == 0 && !self.seized.contains_key(&pid) {
            return self.outcomes.push(Outcome::Stopped { pid, signal });
        }
        self.tell_if_grouped(pid, signal, event);
        self.stopped(pid, signal, event);
    }

    /// Of the app, that its group was stopped has to be known.
    fn tell_if_grouped(&mut self, pid: i32, signal: i32, event: i32) {
        if pid == self.app && event == ptrace::EVENT_STOP && signal != libc::SIGTRAP {
            self.outcomes.push(Outcome::Stopped { pid, signal });
        }
    }

    fn ended(&mut self, pid: i32) {
        if self.seized.remove(&pid).is_some() {
            self.release_the_born();
        }
        let flies = |group: &super::Group| group.flight.as_ref().is_some_and(|flight| flight.tid == pid);
        let group = self.groups.iter().find(|(_, group)| flies(group)).map(|(tgid, _)| *tgid);
        if let Some(tgid) = group {
            self.over(tgid);
        }
        self.groups.remove(&pid);
    }

    /// A parent that was killed before its own stop says nothing of its children: nobody
    /// knows what these are, and they may go on and execute nothing.
    fn release_the_born(&mut self) {
        for (tid, hold) in self.seized.iter_mut().filter(|(_, hold)| **hold == super::Hold::Born) {
            *hold = super::Hold::Kept;
            gone_or(ptrace::go_on(*tid, 0), "let go on");
        }
    }

    /// Nobody answers calls any more: what still waits is answered ENOSYS by the kernel
    /// once every copy of the listener is closed, and what is in flight is judged still.
    /// It does not return: with this thread the seized would end.
    pub fn see_to_the_end(mut self) -> ! {
        self.listener = None;
        self.refused.clear();
        self.groups.values_mut().for_each(|group| group.queue.clear());
        loop {
            self.follow();
            self.outcomes.clear();
            if let Err(errno) = listener::wait_for_bell(self.desk.bell(), Mask::ALL_BUT_CHILD) {
                tracing::error!(%errno, "ppoll");
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}
