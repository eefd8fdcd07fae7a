//! The enforcer as a handler of the notification server: the descriptors that it polls, and the
//! steps of each call.

use std::time::Instant;

use nix::errno::Errno;

use super::conclusion::Conclusion;
use super::socket_registry::connections;
use super::startup::StartupWatch;
use super::{Decision, Enforcer};
use crate::notify::caller::Caller;
use crate::notify::listener::{Listener, WaitSet, answered};
use crate::notify::server::{HandlerStep, Notification, NotificationHandler};
use crate::notify::unreadable::UNREADABLE;
use crate::readiness::notify_socket::NotifySocket;
use crate::sys::CallError;
use crate::sys::seccomp::{self, Answer};
use crate::sys::signal::Mask;
use crate::tracer::Tracer;

/// A decided call: its caller, or why that could not be identified, and the decision.
pub struct DecidedCall {
    caller: Result<Caller, Errno>,
    decision: Decision,
}

impl NotificationHandler for Enforcer {
    type Decision = DecidedCall;

    fn listener(&self) -> &Listener {
        &self.listener
    }

    fn wait_set(&self) -> WaitSet<'_> {
        let notify_socket =
            self.startup.iter().filter_map(|watch| watch.notify_socket.as_ref()).flat_map(NotifySocket::fds);
        let mailbox = self.tracer.as_ref().map(Tracer::wake_fd);
        let makes = self.rules.policy().makes_sockets;
        let connections = makes.then(connections::wake_fd).flatten();
        let deadline = self.startup.as_ref().and_then(StartupWatch::deadline);
        WaitSet {
            mailbox,
            descriptors: notify_socket.chain(self.memory.deferred.wake_fd()).chain(connections).collect(),
            timeout: deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
            mask: if mailbox.is_some() { Mask::ALL_BUT_CHILD } else { Mask::ALL },
        }
    }

    fn before_wait(&mut self) -> Result<(), CallError> {
        self.apply_reports();
        if self.rules.policy().makes_sockets {
            self.registry().apply_connections();
        }
        self.decide_ended()
    }

    fn follow_startup(&mut self) {
        self.advance_startup();
    }

    fn woken(&mut self, interrupted: bool) {
        self.follow(interrupted);
    }

    fn takes_call(&mut self) -> bool {
        self.memory.deferred.lets_pass()
    }

    fn before_call(&mut self) {
        // The caller may have the pid of a process that the first thread has reaped.
        self.apply_reports();
        self.advance_startup();
    }

    fn has_deferred(&self) -> bool {
        self.memory.deferred.has_next()
    }

    fn handle_deferred(&mut self) -> Result<(), CallError> {
        self.decide_next()
    }

    fn decide(&mut self, notification: &Notification) -> HandlerStep<DecidedCall> {
        let Notification { request, call } = notification;
        let tid = notification.tid();
        self.memory.waiting = request.id;
        let notified = (call.number, call.args);
        // A call of a hand-out, for which the supervisor has written the thread's registers.
        if self.tracer.as_ref().is_some_and(|tracer| tracer.is_hand_out_call(tid, notified)) {
            return HandlerStep::Answer(Answer::Continue);
        }
        let wanted = self.tracer.as_ref().and_then(|tracer| tracer.wants_socket(tid, notified));
        match (notification.caller(), wanted) {
            (Ok(caller), Some(wanted)) => self.answer_socket_request(request, wanted, &caller),
            (Ok(mut caller), None) => {
                if self.is_postponed(request, call, &caller) {
                    return HandlerStep::Deferred;
                }
                caller.handed = self.tracer.as_mut().and_then(|tracer| tracer.handed(tid, notified));
                let decision = self.decide_call(call, &caller);
                HandlerStep::Decided(DecidedCall { caller: Ok(caller), decision })
            }
            (Err(errno), _) => {
                HandlerStep::Decided(DecidedCall { caller: Err(errno), decision: Decision::CallerUnreadable })
            }
        }
    }

    fn finish(&mut self, notification: &Notification, decision: DecidedCall) -> Result<(), CallError> {
        let Notification { request, call } = notification;
        let tid = notification.tid();
        let conclusion = match decision.caller {
            Ok(caller) => {
                let unread =
                    matches!(decision.decision, Decision::CallerUnreadable | Decision::Fail(UNREADABLE));
                if unread && (self.has_handed_out(request, &caller) || !self.waits()?) {
                    return Ok(());
                }
                let conclusion = match decision.decision {
                    Decision::AwaitLease(leased) => self.wait_for_lease(leased, request, &caller),
                    decision => {
                        if caller.handed.is_some() {
                            self.tracer.iter_mut().for_each(|tracer| tracer.forget_handed(tid));
                        }
                        self.conclude(decision, call, &caller)
                    }
                };
                self.unless_it_truncates(conclusion, call, &caller)
            }
            // Without /proc, or out of descriptors, nothing is known of the caller.
            Err(errno) => {
                tracing::error!(%tid, %errno, "a caller's status cannot be read");
                let caller = Caller::unknown(tid);
                let conclusion = self.conclude(decision.decision, call, &caller);
                self.unless_it_truncates(conclusion, call, &caller)
            }
        };
        answered(match conclusion {
            Conclusion::Answer(answer) => seccomp::answer(&self.listener, request.id, answer),
            Conclusion::ExceedsFileSize(caller) => self.exceeds_limit(request.id, &caller),
            Conclusion::InstallDescriptor(handed) => self.install_descriptor(request, handed),
            Conclusion::Unanswered => Ok(()),
        })
    }
}

impl Enforcer {
    /// Whether the caller of the call at hand still waits, so that what was read of its
    /// thread id was read of it.
    ///
    /// # Errors
    /// As [`Listener::is_valid`].
    pub(super) fn waits(&self) -> Result<bool, CallError> {
        self.listener.is_valid(self.memory.waiting)
    }
}
