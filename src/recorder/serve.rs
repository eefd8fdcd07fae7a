//! The recorder as a handler of the notification server.

use nix::errno::Errno;

use super::calls::{self, Kind};
use super::{CallObservations, Recorder, StandIn};
use crate::notify::caller::Caller;
use crate::notify::listener::{Listener, WaitSet};
use crate::notify::server::{HandlerStep, Notification, NotificationHandler};
use crate::processes::proc_fs::LiveProcFs;
use crate::readiness::notify_socket::NotifySocket;
use crate::sys::CallError;
use crate::sys::seccomp::{self, Answer, NotificationId};
use crate::sys::signal::Mask;
use crate::tracer::Tracer;

/// What was observed of a call, and its caller.
pub struct ObservedCall {
    kind: Kind,
    /// `None` where nothing had to be known of it, or it is gone.
    caller: Option<Caller>,
    observed: CallObservations,
}

impl NotificationHandler for Recorder {
    type Decision = ObservedCall;

    fn listener(&self) -> &Listener {
        &self.listener
    }

    fn wait_set(&self) -> WaitSet<'_> {
        let descriptors = self.notify_socket.iter().flat_map(NotifySocket::fds).collect();
        let mailbox = self.tracer.as_ref().map(Tracer::wake_fd);
        let mask = if mailbox.is_some() { Mask::ALL_BUT_CHILD } else { Mask::ALL };
        WaitSet { mailbox, descriptors, timeout: self.timeout(), mask }
    }

    fn before_wait(&mut self) -> Result<(), CallError> {
        self.apply_reports();
        Ok(())
    }

    fn follow_startup(&mut self) {
        self.advance_startup();
    }

    fn woken(&mut self, interrupted: bool) {
        self.follow_tracees(interrupted);
    }

    fn before_call(&mut self) {
        // The caller may have the pid of a process that the first thread has reaped.
        self.apply_reports();
        self.advance_startup();
    }

    /// Observes the call before it continues.
    fn decide(&mut self, notification: &Notification) -> HandlerStep<ObservedCall> {
        let Notification { request, call } = notification;
        let (tid, notified) = (notification.tid(), (call.number, call.args));
        // A call of a hand-out, for which the supervisor has written the thread's registers.
        if self.tracer.as_ref().is_some_and(|tracer| tracer.is_hand_out_call(tid, notified)) {
            return HandlerStep::Answer(Answer::Continue);
        }
        if let Some(wanted) = self.tracer.as_ref().and_then(|tracer| tracer.wants_socket(tid, notified)) {
            let given = self.gives_wanted_socket(request, wanted);
            return if given {
                HandlerStep::Deferred
            } else {
                HandlerStep::Answer(Answer::Fail(Errno::EINTR))
            };
        }
        let kind = Kind::of(call);
        if kind.is_recorded_once()
            && !Recorder::changes_visibility(call)
            && self.deduplicator.knows_call(call.number, kind, calls::identity(call, kind))
        {
            return HandlerStep::Answer(Answer::Continue);
        }
        let Ok(mut caller) = notification.caller() else {
            // The caller is gone: the call is recorded without it.
            return HandlerStep::Decided(ObservedCall {
                kind,
                caller: None,
                observed: CallObservations::default(),
            });
        };
        caller.handed = self.tracer.as_mut().and_then(|tracer| tracer.handed(tid, notified));
        self.note_process(&caller, kind);
        let mut observed = self.look(call, kind, &caller, notification.id());
        if self.deduplicator.lacks_program(call.number, calls::identity(call, kind)) {
            observed.program = self.program(&caller);
        }
        if self.has_handed_out(request, &caller) {
            return HandlerStep::Deferred;
        }
        self.note_unread(call, kind, &caller, &mut observed);
        self.note_numbers(&caller, &mut observed);
        if caller.handed.is_some() {
            self.tracer.iter_mut().for_each(|tracer| tracer.forget_handed(tid));
        }
        HandlerStep::Decided(ObservedCall { kind, caller: Some(caller), observed })
    }

    /// Records the call and always lets it continue, since learning never changes what the app does. The
    /// answer comes last: a process that goes on may end, and its parent, whose next call waits to be
    /// received meanwhile, would get SIGCHLD.
    fn finish(&mut self, notification: &Notification, decided: ObservedCall) -> Result<(), CallError> {
        let ObservedCall { kind, caller, mut observed } = decided;
        let call = &notification.call;
        let mut traced = false;
        if let Some(caller) = &caller {
            if let Some(operation) = Recorder::operation(call, caller, observed.runs_unreadable) {
                // Its program, while it can be read.
                self.program(caller);
                if let Some(parent) = caller.vfork_parent() {
                    self.program(&parent);
                }
                traced = self.continues_traced(notification, operation, caller);
            }
            if let Some((now, next, image)) = observed.exec.take() {
                self.memory_cache.exec_continues(caller);
                self.programs.exec_continues(caller, now, next, image, &LiveProcFs(&self.identity));
            }
        }
        let stand_in = observed.answer.take();
        self.record(call, kind, observed);
        if traced { Ok(()) } else { self.answer(notification.id(), stand_in) }
    }
}

impl Recorder {
    /// Lets a call continue, but for those that the kernel would refuse for the supervisor's sake.
    fn answer(&self, id: NotificationId, stand_in: Option<StandIn>) -> Result<(), CallError> {
        let answer = match stand_in {
            None => Answer::Continue,
            Some(StandIn::Fails(errno)) => Answer::Fail(errno),
            Some(StandIn::Opened(fd, close)) => {
                match seccomp::answer_with_descriptor(&self.listener, id, &fd, close) {
                    Ok(_) => return Ok(()),
                    Err(errno) => Answer::Fail(errno),
                }
            }
        };
        self.listener.answer(id, answer)
    }
}
