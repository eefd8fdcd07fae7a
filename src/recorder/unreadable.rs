//! Processes that the kernel shows to no other one: one that changed its user or made itself
//! undumpable, and what it forks. As when enforcing, such a process is traced before, and hands out
//! itself what its calls name ([`tracer`](crate::tracer)). Where it cannot be traced, the journal
//! has a line for each of its calls that could not be read.

use std::os::fd::OwnedFd;

use nix::errno::Errno;

use super::calls::Kind;
use super::{CallObservations, Recorder};
use crate::ids::Pid;
use crate::init::request::InitRequest;
use crate::journal::observation::{Observation, What};
use crate::notify::caller::{Caller, Memory};
use crate::notify::handed::HandedItem;
use crate::notify::server::Notification;
use crate::notify::unreadable::UNREADABLE;
use crate::plan::PR_SET_DUMPABLE;
use crate::policy::call::{Call, Ids};
use crate::processes::proc_fs::LiveProcFs;
use crate::sys::seccomp::{self, Request};
use crate::sys::{process, socket};
use crate::syscalls::Handler;
use crate::tracer::{Operation, Report, TracedCall, Tracer};

impl Recorder {
    /// What a call does to its process that the tracer has to know before it continues.
    pub(super) fn operation(call: &Call, caller: &Caller, runs_unreadable: bool) -> Option<Operation> {
        match call.handler() {
            Handler::SetUid | Handler::SetGid => {
                let ids = Ids { uids: caller.uids, gids: caller.gids };
                ids.after(call).filter(|next| *next != ids).map(|_| Operation::BecomeUnreadable)
            }
            Handler::Prctl if call.args[0] as u32 == PR_SET_DUMPABLE as u32 => {
                let shows = call.args[1] != 0;
                Some(if shows { Operation::BecomeReadable } else { Operation::BecomeUnreadable })
            }
            Handler::Exec if runs_unreadable => Some(Operation::BecomeUnreadable),
            _ => None,
        }
    }

    /// Whether a call is one after which its process may be unreadable, or readable again.
    pub(super) fn changes_visibility(call: &Call) -> bool {
        match call.handler() {
            Handler::SetUid | Handler::SetGid => true,
            Handler::Prctl => call.args[0] as u32 == PR_SET_DUMPABLE as u32,
            _ => false,
        }
    }

    /// Continues a call traced. False where it is to be answered: nothing can be traced, or an exec
    /// is in flight in its process, for which attaching would wait.
    pub(super) fn continues_traced(
        &mut self,
        notification: &Notification,
        operation: Operation,
        caller: &Caller,
    ) -> bool {
        let Some(tracer) = self.tracer.as_mut().filter(|_| !self.memory_cache.is_executing(caller)) else {
            return false;
        };
        let caller = Caller { groups: Vec::new(), handed: None, ..caller.clone() };
        tracer.continue_traced(TracedCall { id: notification.id(), caller, operation });
        true
    }

    /// Takes what the kernel reports of traced threads. `interrupted` by SIGCHLD, which may have
    /// been for the first thread.
    pub(super) fn follow_tracees(&mut self, interrupted: bool) {
        let Some(tracer) = &mut self.tracer else { return };
        let reaped = tracer.wait_for_tracees();
        self.apply_reports();
        if reaped || (interrupted && process::has_waitable()) {
            (self.requests)(InitRequest::Children);
        }
    }

    /// Takes the tracer's reports before another call is observed: a fork that cannot be read is
    /// the program of the process that made it.
    pub(super) fn apply_reports(&mut self) {
        self.tracer.iter_mut().for_each(Tracer::handle_messages);
        let reports: Vec<Report> = self.tracer.iter_mut().flat_map(Tracer::take_reports).collect();
        for report in reports {
            match report {
                Report::Forked { child, parent } => {
                    let child = Pid::from_raw(child.as_raw());
                    let parent = self.programs.forked(child, parent, &LiveProcFs(&self.identity));
                    self.forked(parent);
                }
                Report::Stopped { pid, signal } => {
                    (self.requests)(InitRequest::Stopped(pid.as_raw(), signal));
                }
                // No exec is verified, and nothing is refused.
                Report::Executed { .. } | Report::Denied { .. } => {}
            }
        }
    }

    /// Has a traced caller hand out what its call needs to be read; its call is made again then.
    pub(super) fn has_handed_out(&mut self, request: &Request, caller: &Caller) -> bool {
        let wanted = caller.handed.as_ref().and_then(|handed| handed.take_wanted());
        let Some(wanted) = wanted else { return false };
        if !self.tracer.as_ref().is_some_and(|tracer| tracer.can_hand_out(caller.tid)) {
            return false;
        }
        // Below Linux 5.19 it gets its socket once its signals are blocked.
        let socket = self.killable.then(|| self.give_socket(request)).transpose();
        let Some(tracer) = &mut self.tracer else { return false };
        let begun = socket.and_then(|socket| tracer.start_hand_out(request, wanted, socket));
        if let Err(errno) = begun {
            tracing::debug!(tid = %caller.tid, %errno, "hands nothing out");
        }
        begun.is_ok()
    }

    /// Answers a call that a thread makes again to get the socket of a hand-out. False where it
    /// cannot be given one.
    pub(super) fn gives_wanted_socket(&mut self, request: &Request, _: HandedItem) -> bool {
        match (self.give_socket(request), &mut self.tracer) {
            (Ok((ours, theirs)), Some(tracer)) => {
                tracer.set_socket(request, ours, theirs);
                true
            }
            _ => false,
        }
    }

    /// One end of a pair of sockets, of which the caller gets the other: by which number.
    fn give_socket(&self, request: &Request) -> Result<(OwnedFd, i32), Errno> {
        let (ours, theirs) = socket::pair()?;
        Ok((ours, seccomp::put_descriptor(&self.listener, request.id, &theirs, true)?))
    }

    /// Adds the observation that a call's arguments could not be read, where that is so.
    pub(super) fn note_unread(
        &mut self,
        call: &Call,
        kind: Kind,
        caller: &Caller,
        observed: &mut CallObservations,
    ) {
        if !kind.reads_caller() {
            return;
        }
        let unread = match &caller.handed {
            Some(handed) => handed.is_incomplete(),
            // What a caller that can be read gave is whole.
            None if observed.is_whole() => false,
            None => {
                let memory = Memory::of(&self.identity, caller);
                self.memory_cache.get(caller).is_none() && memory.open().err() == Some(UNREADABLE)
            }
        };
        if unread {
            let path = self.program(caller);
            let why = format!("a process of user {} that cannot be read", caller.uids[1]);
            let call = call.name.unwrap_or_default().to_owned();
            tracing::warn!("not learned: {call} of {path}");
            observed.observations.push(Observation::ok(What::Gap { path, call, why }));
        }
    }
}
