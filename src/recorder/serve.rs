//! The recorder as a handler of the notification server.

use super::calls::{self, Kind};
use super::{CallObservations, Recording};
use crate::notify::listener::{Listener, WaitSet};
use crate::notify::server::{Handler, Notification, Step};
use crate::processes::proc_fs::LiveProcFs;
use crate::readiness::notify_socket::Ears;
use crate::sys::CallError;
use crate::sys::seccomp::Answer;
use crate::sys::signal::Mask;

impl Handler for Recording {
    type Decision = (Kind, CallObservations);

    fn listener(&self) -> &Listener {
        &self.listener
    }

    fn wait_set(&self) -> WaitSet<'_> {
        let descriptors = self.ears.iter().flat_map(Ears::fds).collect();
        WaitSet { mailbox: None, descriptors, timeout: self.timeout(), mask: Mask::ALL }
    }

    fn follow_startup(&mut self) {
        self.advance_startup();
    }

    /// Observes the call before it goes on.
    fn decide(&mut self, notification: &Notification) -> Step<(Kind, CallObservations)> {
        let call = &notification.call;
        let kind = Kind::of(call);
        if kind.is_told_once() && self.recorder.knows_call(call.number, kind, calls::identity(call, kind)) {
            return Step::Answer(Answer::Continue);
        }
        let sight = match kind {
            Kind::Plain => CallObservations::default(),
            _ => match notification.caller() {
                Ok(caller) => self.look(call, kind, &caller, notification.id()),
                // It is gone, or nothing is known of it: it was made all the same.
                Err(_) => CallObservations::default(),
            },
        };
        Step::Decided((kind, sight))
    }

    /// Lets the call go on, always: learning never changes what the app does. Then it is
    /// written.
    fn finish(
        &mut self,
        notification: &Notification,
        (kind, mut sight): (Kind, CallObservations),
    ) -> Result<(), CallError> {
        if let Some((now, next, image)) = sight.exec.take()
            && let Ok(caller) = notification.caller()
        {
            self.kept.executes(&caller);
            self.programs.exec_continues(&caller, now, next, image, &LiveProcFs(&self.identity));
        }
        self.listener.answer(notification.id(), Answer::Continue)?;
        self.record(&notification.call, kind, sight);
        Ok(())
    }
}
