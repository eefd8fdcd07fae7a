//! Stops and ends of whoever is seized.
//!
//! The kernel shows them to the thread that has seized. But of PID 1's own children, the app
//! and orphans, the first thread sees them as well, and whichever waits first has them: it
//! tells of what it took. And SIGCHLD, which is the process's, comes to either: who was
//! given it and leaves something untaken rings for the other.

use std::time::Duration;

use nix::errno::Errno;

use super::desk::Word;
use super::{Tracer, gone_or};
use crate::notify::listener;
use crate::procfs::processes;
use crate::sys::process::{self, Change};
use crate::sys::ptrace;

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

    /// Takes what has become of whoever is seized; whether anybody was buried, whose end the
    /// first thread may wait for: one whose parent has ended since is a child of its own.
    pub fn follow(&mut self) -> bool {
        self.serve();
        let mut buried = false;
        loop {
            match process::peek_waitable() {
                Ok(Some((_, false))) => self.take_stop(),
                Ok(Some((pid, true))) if processes::is_no_child(pid, self.me) => {
                    buried |= self.bury(pid);
                }
                // The first thread's to bury, and to tell of: others come after it.
                Ok(Some(_)) => return self.bury_others() || buried,
                Ok(None) | Err(Errno::ECHILD) => return buried,
                Err(errno) => {
                    tracing::error!(%errno, "wait");
                    return buried;
                }
            }
        }
    }

    fn take_stop(&mut self) {
        let stop = process::take_stop();
        // Who had this number before may have been buried meanwhile.
        self.serve();
        if let Ok(Some((tid, signal, event))) = stop {
            self.stopped(tid, signal, event);
        }
    }

    fn bury_others(&mut self) -> bool {
        let me = self.me;
        let seized: Vec<i32> = self.seized.keys().copied().collect();
        let others = seized.into_iter().filter(|tid| processes::is_no_child(*tid, me));
        others.filter(|tid| self.bury(*tid)).count() > 0
    }

    fn bury(&mut self, tid: i32) -> bool {
        let change = process::reap(tid);
        self.serve();
        match change {
            Some(Change::Stopped(signal, event)) => self.stopped(tid, signal, event),
            Some(Change::Exited(_) | Change::Signalled(_)) => self.ended(tid),
            None => {}
        }
        matches!(change, Some(Change::Exited(_) | Change::Signalled(_)))
    }

    /// A stop that the first thread took, of one that was traced then.
    fn first_saw(&mut self, pid: i32, signal: i32, event: i32) {
        if event != 0 || self.seized.contains_key(&pid) {
            self.stopped(pid, signal, event);
        }
    }

    fn ended(&mut self, pid: i32) {
        self.handings.remove(&pid);
        self.handed.remove(&pid);
        if self.seized.remove(&pid).is_some() {
            self.release_the_born();
        }
        // A thread that was not the first has the first one's number once its exec is past
        // the point of no return, and its own is anybody's.
        let flight = self.groups.get(&pid).and_then(|group| group.flight.as_ref());
        if let Some(tid) = flight.map(|flight| flight.tid) {
            self.seized.remove(&tid);
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
            gone_or(ptrace::cont(*tid, 0), "let go on");
        }
    }

    /// Nobody answers calls any more: what still waits is answered ENOSYS by the kernel
    /// once every copy of the listener is closed, and what is in flight is judged still.
    /// It does not return: the ends of traced threads may come after their filter's end, and
    /// while their tracer, a thread of the pool, lives on, the kernel reaps none of them.
    pub fn see_to_the_end(mut self) -> ! {
        self.listener = None;
        self.refused.clear();
        self.groups.values_mut().for_each(|group| group.queue.clear());
        loop {
            self.follow();
            self.outcomes.clear();
            // Every SIGCHLD is the first thread's now, which rings.
            if let Err(errno) = listener::wait_for_bell(self.desk.bell()) {
                tracing::error!(%errno, "ppoll");
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}
