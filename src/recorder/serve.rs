//! The recorder as a handler of the notification server.

use super::calls::{self, Kind};
use super::{CallObservations, Recorder};
use crate::notify::listener::{Listener, WaitSet};
use crate::notify::server::{HandlerStep, Notification, NotificationHandler};
use crate::processes::proc_fs::LiveProcFs;
use crate::readiness::notify_socket::NotifySocket;
use crate::sys::CallError;
use crate::sys::seccomp::Answer;
use crate::sys::signal::Mask;

impl NotificationHandler for Recorder {
    type Decision = (Kind, CallObservations);

    fn listener(&self) -> &Listener {
        &self.listener
    }

    fn wait_set(&self) -> WaitSet<'_> {
        let descriptors = self.notify_socket.iter().flat_map(NotifySocket::fds).collect();
        WaitSet { mailbox: None, descriptors, timeout: self.timeout(), mask: Mask::ALL }
    }

    fn follow_startup(&mut self) {
        self.advance_startup();
    }

    /// Observes the call before it continues.
    fn decide(&mut self, notification: &Notification) -> HandlerStep<(Kind, CallObservations)> {
        let call = &notification.call;
        let kind = Kind::of(call);
        if kind.is_recorded_once()
            && self.deduplicator.knows_call(call.number, kind, calls::identity(call, kind))
        {
            return HandlerStep::Answer(Answer::Continue);
        }
        let observed = match kind {
            Kind::Plain => CallObservations::default(),
            _ => match notification.caller() {
                Ok(caller) => self.look(call, kind, &caller, notification.id()),
                // The caller is gone or unreadable: the call is recorded without it.
                Err(_) => CallObservations::default(),
            },
        };
        HandlerStep::Decided((kind, observed))
    }

    /// Always lets the call continue, since learning never changes what the app does. Then records it.
    fn finish(
        &mut self,
        notification: &Notification,
        (kind, mut observed): (Kind, CallObservations),
    ) -> Result<(), CallError> {
        if let Some((now, next, image)) = observed.exec.take()
            && let Ok(caller) = notification.caller()
        {
            self.memory_cache.exec_continues(&caller);
            self.programs.exec_continues(&caller, now, next, image, &LiveProcFs(&self.identity));
        }
        self.listener.answer(notification.id(), Answer::Continue)?;
        self.record(&notification.call, kind, observed);
        Ok(())
    }
}
