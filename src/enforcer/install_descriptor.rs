//! Descriptors that the supervisor puts into a caller's table.
//!
//! The caller does that itself, in the kernel, so the thread that hands one over waits until
//! the caller has run. The deciding thread does so for a caller that the scheduler runs as
//! readily as itself: it is woken for it, and that takes microseconds. For any other, and
//! for every thread of a process that was late (its control group may have no time left, or
//! another thread changed its policy in between), a [thread of its own](super::deferred_calls) waits.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::Enforcer;
use super::conclusion::NewDescriptor;
use super::deferred_calls::{For, Then};
use super::serve::DecidedCall;
use crate::enforcer::socket_registry::SocketRegistry;
use crate::ids::Pid;
use crate::notify::caller::Caller;
use crate::notify::handed::HandedItem;
use crate::notify::server::HandlerStep;
use crate::policy::call::Call;
use crate::sys::process::{self, SchedRank};
use crate::sys::seccomp::{self, Answer, NotificationId, Request};
use crate::sys::socket;
use crate::syscalls::Handler;

/// A caller that takes longer to run is late.
const LATE: Duration = Duration::from_millis(50);
/// A late caller is remembered for so many times as long as it took: the deciding thread waits
/// for one process for at most that part of the time.
const REMEMBERED: u32 = 50;
/// When so many were late, a thread hands over to every process.
const MANY: usize = 2;

/// How soon callers run once they are woken, by process.
#[derive(Default)]
pub(super) struct CallerLatency {
    /// The scheduling rank of this thread.
    own: Option<SchedRank>,
    /// The processes that were late, and until when that is remembered.
    late: HashMap<Pid, Instant>,
    /// Whether the caller at hand is slow.
    at_hand: bool,
}

impl CallerLatency {
    /// Whether a caller may take long before it runs.
    fn is_slow(&mut self, caller: Result<SchedRank, Errno>, process: Pid, now: Instant) -> bool {
        if !self.late.is_empty() {
            self.late.retain(|_, until| *until > now);
            if self.late.len() >= MANY || self.late.contains_key(&process) {
                return true;
            }
        }
        let own = *self.own.get_or_insert_with(|| process::sched_rank(0).unwrap_or(SchedRank::Normal(0)));
        // Where a filter refuses sched_getattr(2), only lateness shows it.
        caller.is_ok_and(|caller| caller < own)
    }

    /// How long a process took to run.
    fn took(&mut self, process: Pid, begun: Instant, now: Instant) {
        let took = now.duration_since(begun);
        if took >= LATE {
            self.late.insert(process, now + took * REMEMBERED);
        }
    }
}

impl Enforcer {
    /// Hands a descriptor over as the answer to a call.
    pub(super) fn install_descriptor(
        &mut self,
        request: &Request,
        handed: NewDescriptor,
    ) -> Result<(), Errno> {
        let (id, process) = (request.id, handed.process);
        if !self.memory.latency.at_hand {
            let begun = Instant::now();
            // What a file's descriptor is of counts as open, and as locked, until all are closed.
            let answered = if self.killable && handed.socket.is_none() {
                handed.put(&self.listener, id, &self.sockets)
            } else {
                handed.give(&self.listener, id, &self.sockets)
            };
            self.memory.latency.took(process, begun, Instant::now());
            return answered;
        }
        let (listener, registry) = (self.listener.clone(), Arc::clone(&self.sockets));
        let killable = self.killable;
        let started = self.memory.deferred.start(For::Caller, move || {
            let given = if killable {
                handed.put(&listener, id, &registry)
            } else {
                handed.give(&listener, id, &registry)
            };
            match given {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => tracing::error!(%errno, "handing a descriptor over"),
            }
            Then::Nothing
        });
        started.or_else(|errno| {
            tracing::error!(%errno, "no thread can hand a descriptor over");
            seccomp::answer(&self.listener, id, Answer::Fail(Errno::ENOMEM))
        })
    }

    /// Has a caller hand out what is missing for the decision, if it can: its call is decided
    /// then. It is given a socket for that; where a signal would break its wait meanwhile,
    /// once it makes its call again with its signals blocked.
    pub(super) fn has_handed_out(&mut self, request: &Request, caller: &Caller) -> bool {
        let wanted = caller.handed.as_ref().and_then(|handed| handed.take_wanted());
        let (Some(wanted), false) = (wanted, self.memory.deferred.in_vain) else { return false };
        if !self.tracer.as_mut().is_some_and(|tracer| tracer.can_hand_out(caller.tid)) {
            return false;
        }
        if self.killable {
            self.gives_socket(request, wanted, caller)
        } else {
            self.hands_out(request, wanted, None)
        }
    }

    /// Answers a call that a thread makes again to get the socket of a hand-out.
    pub(super) fn answer_socket_request(
        &mut self,
        request: &Request,
        wanted: HandedItem,
        caller: &Caller,
    ) -> HandlerStep<DecidedCall> {
        if self.gives_socket(request, wanted, caller) {
            HandlerStep::Deferred
        } else {
            HandlerStep::Answer(Answer::Fail(Errno::EINTR))
        }
    }

    /// Gives a caller a socket, for which it has to run, to hand something out on.
    fn gives_socket(&mut self, request: &Request, wanted: HandedItem, caller: &Caller) -> bool {
        if self.memory.deferred.in_vain {
            return false;
        }
        let process = caller.tgid;
        if self.memory.latency.is_slow(process::sched_rank(caller.tid.as_raw()), process, Instant::now()) {
            return self.hands_out_later(request, wanted);
        }
        let begun = Instant::now();
        let socket = match self.give_socket(request) {
            Ok(given) => given,
            Err(errno) => {
                tracing::debug!(tid = %caller.tid, %errno, "is given no socket");
                return false;
            }
        };
        self.memory.latency.took(process, begun, Instant::now());
        self.hands_out(request, wanted, Some(socket))
    }

    /// One end of a pair of sockets, of which the caller gets the other: by which number.
    fn give_socket(&self, request: &Request) -> Result<(OwnedFd, i32), Errno> {
        let (ours, theirs) = socket::pair()?;
        Ok((ours, seccomp::put_descriptor(&self.listener, request.id, &theirs, true)?))
    }

    /// The same where the caller may take its time before it runs.
    fn hands_out_later(&mut self, request: &Request, wanted: HandedItem) -> bool {
        let (listener, request) = (self.listener.clone(), *request);
        let deferred = &mut self.memory.deferred;
        if deferred.is_full(For::Caller) {
            let waits = |id| listener.is_valid(id) != Ok(false);
            deferred.postpone(For::Caller, request, waits);
            return true;
        }
        let started = socket::pair().and_then(|(ours, theirs)| {
            deferred.start(For::Caller, move || {
                let theirs = seccomp::put_descriptor(&listener, request.id, &theirs, true);
                Then::HandOut(request, wanted, ours, theirs)
            })
        });
        if let Err(errno) = started {
            tracing::error!(%errno, "no thread can give a caller a socket");
        }
        started.is_ok()
    }

    /// The caller begins to hand out: on a socket, of which this is our end and the number by
    /// which it has its own.
    pub(super) fn hands_out(
        &mut self,
        request: &Request,
        wanted: HandedItem,
        socket: Option<(OwnedFd, i32)>,
    ) -> bool {
        let Some(tracer) = &mut self.tracer else { return false };
        let begun = match socket {
            Some((ours, theirs)) if !self.killable => {
                tracer.set_socket(request, ours, theirs);
                Ok(())
            }
            socket => tracer.start_hand_out(request, wanted, socket),
        };
        if let Err(errno) = begun {
            tracing::debug!(tid = request.pid, %errno, "hands nothing out");
        }
        begun.is_ok()
    }

    /// Whether a call that may end in handing over waits for its turn, undecided, since its
    /// caller is slow.
    pub(super) fn is_postponed(&mut self, request: &Request, call: &Call, caller: &Caller) -> bool {
        let may_install = matches!(call.handler(), Handler::Open | Handler::Socket | Handler::Memfd);
        let latency = &mut self.memory.latency;
        latency.at_hand = may_install
            && latency.is_slow(process::sched_rank(caller.tid.as_raw()), caller.tgid, Instant::now());
        let postponed = latency.at_hand && !self.memory.deferred.in_turn;
        if postponed {
            let listener = &self.listener;
            let waits = |id| listener.is_valid(id) != Ok(false);
            self.memory.deferred.postpone(For::Caller, *request, waits);
        }
        postponed
    }
}

impl NewDescriptor {
    /// Answers once this thread has closed its own: the caller may be quicker than this
    /// thread, and finds a port taken, or a file open for writing, for that long.
    fn put(
        self,
        listener: &OwnedFd,
        id: NotificationId,
        registry: &Mutex<SocketRegistry>,
    ) -> Result<(), Errno> {
        let number = match seccomp::put_descriptor(listener, id, &*self.fd, self.close) {
            Ok(number) => number,
            Err(errno) => return self.failed(listener, id, registry, errno),
        };
        let NewDescriptor { fd, process, socket, .. } = self;
        drop(fd);
        registry.lock().unwrap_or_else(PoisonError::into_inner).installed(socket, process, number);
        seccomp::answer(listener, id, Answer::Value(number.into()))
    }

    /// Answers in the same step.
    fn give(
        &self,
        listener: &OwnedFd,
        id: NotificationId,
        registry: &Mutex<SocketRegistry>,
    ) -> Result<(), Errno> {
        let given = seccomp::answer_with_descriptor(listener, id, &*self.fd, self.close);
        match given {
            Ok(number) => {
                let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
                registry.installed(self.socket, self.process, number);
                Ok(())
            }
            Err(errno) => self.failed(listener, id, registry, errno),
        }
    }

    /// The caller's table is full, or it is gone; else it waits for an answer all the same.
    fn failed(
        &self,
        listener: &OwnedFd,
        id: NotificationId,
        registry: &Mutex<SocketRegistry>,
        errno: Errno,
    ) -> Result<(), Errno> {
        let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        self.socket.into_iter().for_each(|inode| registry.release(inode));
        drop(registry);
        seccomp::answer(listener, id, Answer::Fail(errno))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_of_lower_priority_is_slow() {
        let now = Instant::now();
        let mut latency = CallerLatency { own: Some(SchedRank::Normal(0)), ..CallerLatency::default() };
        let mut slow = |rank| latency.is_slow(rank, Pid::from_raw(7), now);
        for quick in [SchedRank::Realtime, SchedRank::Normal(0), SchedRank::Normal(20)] {
            assert!(!slow(Ok(quick)), "{quick:?}");
        }
        for rank in [SchedRank::Normal(-1), SchedRank::Normal(-19), SchedRank::Idle] {
            assert!(slow(Ok(rank)), "{rank:?}");
        }
        assert!(!slow(Err(Errno::EPERM)));
        // All of a container that is run with a nice value are alike.
        let mut latency = CallerLatency { own: Some(SchedRank::Normal(-10)), ..CallerLatency::default() };
        assert!(
            !latency.is_slow(Ok(SchedRank::Normal(-10)), Pid::from_raw(7), now)
                && latency.is_slow(Ok(SchedRank::Idle), Pid::from_raw(7), now)
        );
    }

    #[test]
    fn a_late_caller_is_slow_for_a_while_and_all_are_after_some() {
        let begun = Instant::now();
        let mut latency = CallerLatency { own: Some(SchedRank::Normal(0)), ..CallerLatency::default() };
        let quick = Ok(SchedRank::Normal(0));
        latency.took(Pid::from_raw(7), begun, begun + LATE / 2);
        assert!(!latency.is_slow(quick, Pid::from_raw(7), begun));
        latency.took(Pid::from_raw(7), begun, begun + LATE);
        assert!(
            latency.is_slow(quick, Pid::from_raw(7), begun + LATE)
                && !latency.is_slow(quick, Pid::from_raw(8), begun + LATE)
        );
        latency.took(Pid::from_raw(8), begun, begun + 2 * LATE);
        assert!(latency.is_slow(quick, Pid::from_raw(9), begun + 2 * LATE));
        assert!(!latency.is_slow(quick, Pid::from_raw(7), begun + LATE * (REMEMBERED + 1)));
        assert!(latency.is_slow(quick, Pid::from_raw(8), begun + LATE * (REMEMBERED + 1)));
        assert!(
            !latency.is_slow(quick, Pid::from_raw(8), begun + 2 * LATE * (REMEMBERED + 1))
                && latency.late.is_empty()
        );
    }
}
