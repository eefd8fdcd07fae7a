//! The notification server: one loop that receives notified calls one after the other, and decides,
//! checks and answers each (seccomp_unotify(2)).
//!
//! The enforcer and the recorder are [`NotificationHandler`]s of this loop. The trait has all that differs
//! between them: what wakes the loop besides a call, the deferred calls, the decision and the
//! answer.
//!
//! Until a notified call is received, a signal ends it, with EINTR where its handler has no SA_RESTART;
//! once it is received, only a kill does (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Linux 5.19). So all
//! calls that wait are received before one is decided, and again before it is answered: a process that
//! goes on may end, and its parent, whose fork waits, would get SIGCHLD.
//!
//! The order is the same for every call, and matters:
//!
//! 1. Results of other threads and of start-up are read before a call is decided.
//! 2. The call is decided by what is read of its caller.
//! 3. The notification is checked to be still valid. Only then does what was read by the caller's
//!    thread id belong to the caller, and not to a later thread with the same id.
//! 4. The decision is carried out and answered.

use std::collections::VecDeque;
use std::time::Duration;

use nix::errno::Errno;

use super::caller::Caller;
use super::listener::{Listener, WaitResult, WaitSet};
use crate::ids::Tid;
use crate::kernel::Arch;
use crate::policy::call::Call;
use crate::sys::CallError;
use crate::sys::seccomp::{Answer, NotificationId, Request};
use crate::syscalls;

/// A notified call, decoded.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The notification as the kernel gave it.
    pub request: Request,
    /// The call: its name, number and registers.
    pub call: Call,
}

impl Notification {
    /// Decodes a notification.
    pub fn new(request: &Request) -> Notification {
        let number = request.data.nr as u32;
        let name = syscalls::name(Arch::THIS, number);
        Notification { request: *request, call: Call { name, number, args: request.data.args } }
    }

    /// The notification's id, which the answer names.
    pub fn id(&self) -> NotificationId {
        self.request.id
    }

    /// The thread that calls.
    pub fn tid(&self) -> Tid {
        Tid::from_raw(self.request.pid as i32)
    }

    /// Identifies the caller, as the kernel describes it now.
    ///
    /// # Errors
    /// As [`Caller::of`].
    pub fn caller(&self) -> Result<Caller, Errno> {
        Caller::of(self.tid())
    }
}

/// The handler's result for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerStep<Decision> {
    /// The call is decided. The decision is carried out if the notification is still valid.
    Decided(Decision),
    /// The call is answered by its registers alone, so nothing has to be checked.
    Answer(Answer),
    /// The call is not answered now: another thread answers it, or it is decided later.
    Deferred,
}

/// Decides notified calls.
pub trait NotificationHandler {
    /// A decision about a call.
    type Decision;

    /// The filter's listener.
    fn listener(&self) -> &Listener;

    /// What the loop waits for besides a call.
    fn wait_set(&self) -> WaitSet<'_>;

    /// Handles the results of other threads, before the loop waits.
    ///
    /// # Errors
    /// A call that was decided because of it could not be answered.
    fn before_wait(&mut self) -> Result<(), CallError> {
        Ok(())
    }

    /// Handles messages on NOTIFY_SOCKET and the timeouts of start-up.
    fn follow_startup(&mut self);

    /// Called after the mailbox was written to, or a signal interrupted the wait.
    fn woken(&mut self, _interrupted: bool) {}

    /// Whether the next notified call comes before the deferred calls.
    fn takes_call(&mut self) -> bool {
        true
    }

    /// A call was received. Updates what must be known before it is decided.
    fn before_call(&mut self) {
        self.follow_startup();
    }

    /// Whether a deferred call can be decided while no call is notified.
    fn has_deferred(&self) -> bool {
        false
    }

    /// Decides the next deferred call.
    ///
    /// # Errors
    /// It could not be answered.
    fn handle_deferred(&mut self) -> Result<(), CallError> {
        Ok(())
    }

    /// Decides a call, by its registers and by what is read of its caller.
    fn decide(&mut self, notification: &Notification) -> HandlerStep<Self::Decision>;

    /// Carries a decision out and answers the call, whose notification was valid after the
    /// decision.
    ///
    /// # Errors
    /// The call could not be answered. A caller that is gone is no error.
    fn finish(&mut self, notification: &Notification, decision: Self::Decision) -> Result<(), CallError>;
}

/// The loop with its handler.
pub struct NotificationServer<'a, H> {
    handler: &'a mut H,
    /// Calls that were received and are not decided yet, the oldest first; `None` where a handler
    /// decides one call apart from the loop.
    received: Option<VecDeque<Request>>,
}

/// The most calls that are received before one of them is decided.
const MOST_RECEIVED: usize = 256;

impl<'a, H: NotificationHandler> NotificationServer<'a, H> {
    /// Creates a server for this handler.
    pub fn new(handler: &'a mut H) -> NotificationServer<'a, H> {
        NotificationServer { handler, received: None }
    }

    /// Serves until no process uses the filter any more.
    ///
    /// # Errors
    /// The listener failed: no call can be answered any more.
    pub fn run(&mut self) -> Result<(), CallError> {
        self.handler.listener().prepare();
        self.received = Some(VecDeque::new());
        loop {
            self.handler.before_wait()?;
            let deferred = self.handler.has_deferred();
            let ready = self.wait(deferred || self.has_received())?;
            self.handler.follow_startup();
            if ready.mailbox || ready.signal {
                self.handler.woken(ready.signal);
            }
            if ready.call {
                self.receive_all()?;
            }
            if self.has_received() && self.handler.takes_call() {
                if let Some(request) = self.received.as_mut().and_then(VecDeque::pop_front) {
                    self.handler.before_call();
                    self.handle(&request)?;
                }
            } else if deferred {
                self.handler.handle_deferred()?;
            } else if ready.hung_up && !self.has_received() {
                return Ok(());
            }
        }
    }

    fn wait(&self, at_once: bool) -> Result<WaitResult, CallError> {
        let mut wait_set = self.handler.wait_set();
        if at_once {
            wait_set.timeout = Some(Duration::ZERO);
        }
        self.handler.listener().wait(wait_set)
    }

    fn has_received(&self) -> bool {
        self.received.as_ref().is_some_and(|received| !received.is_empty())
    }

    /// Receives the calls that wait.
    fn receive_all(&mut self) -> Result<(), CallError> {
        let Some(received) = &mut self.received else { return Ok(()) };
        let listener = self.handler.listener();
        while received.len() < MOST_RECEIVED && listener.has_call()? {
            received.extend(listener.receive()?);
        }
        Ok(())
    }

    /// Decides and answers one call.
    ///
    /// # Errors
    /// The listener failed. A caller that is gone is no error.
    pub fn handle(&mut self, request: &Request) -> Result<(), CallError> {
        let notification = Notification::new(request);
        let step = self.handler.decide(&notification);
        self.receive_all()?;
        match step {
            HandlerStep::Decided(decision) => {
                if self.handler.listener().is_valid(notification.id())? {
                    self.handler.finish(&notification, decision)?;
                }
                Ok(())
            }
            HandlerStep::Answer(answer) => self.handler.listener().answer(notification.id(), answer),
            HandlerStep::Deferred => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread;

    use nix::unistd::getppid;

    use super::*;
    use crate::sys::seccomp::{self, Instruction};
    use crate::sys::signal::Mask;

    /// Answers getppid(2) with 7, and defers the first of its calls.
    struct Counter {
        listener: Listener,
        deferred: Option<Request>,
        defers: bool,
        steps: Vec<&'static str>,
    }

    impl NotificationHandler for Counter {
        type Decision = Answer;

        fn listener(&self) -> &Listener {
            &self.listener
        }

        fn wait_set(&self) -> WaitSet<'_> {
            WaitSet { mailbox: None, descriptors: Vec::new(), timeout: None, mask: Mask::ALL }
        }

        fn follow_startup(&mut self) {}

        fn before_call(&mut self) {
            self.steps.push("before");
        }

        fn has_deferred(&self) -> bool {
            self.deferred.is_some()
        }

        fn handle_deferred(&mut self) -> Result<(), CallError> {
            self.steps.push("deferred");
            let request = self.deferred.take().expect("a call was put off");
            NotificationServer::new(self).handle(&request)
        }

        fn decide(&mut self, notification: &Notification) -> HandlerStep<Answer> {
            assert_eq!(notification.call.name, Some("getppid"));
            let caller = notification.caller().expect("the caller waits");
            assert_eq!((caller.tid, caller.tgid), (notification.tid(), crate::ids::Pid::own()));
            self.steps.push("decide");
            if std::mem::take(&mut self.defers) {
                self.deferred = Some(notification.request);
                return HandlerStep::Deferred;
            }
            HandlerStep::Decided(Answer::Value(7))
        }

        fn finish(&mut self, notification: &Notification, answer: Answer) -> Result<(), CallError> {
            self.steps.push("finish");
            self.listener.answer(notification.id(), answer)
        }
    }

    /// A filter that notifies getppid(2) and allows every other call.
    fn filter() -> [Instruction; 4] {
        let instruction = |code: u32, jt, jf, k| Instruction { code: code as u16, jt, jf, k };
        [
            instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_getppid as u32),
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ]
    }

    #[test]
    fn each_call_is_decided_checked_and_answered_until_no_thread_uses_the_filter() {
        let (send, listeners) = channel();
        let app = thread::spawn(move || {
            crate::sys::prctl::set_no_new_privileges().expect("no_new_privs");
            send.send(seccomp::load(&filter(), false).expect("a listener")).expect("the test receives");
            [getppid().as_raw(), getppid().as_raw()]
        });
        let listener = Listener::new(Arc::new(listeners.recv().expect("a listener")));
        let mut counter = Counter { listener, deferred: None, defers: true, steps: Vec::new() };
        assert_eq!(NotificationServer::new(&mut counter).run(), Ok(()));
        assert_eq!(app.join().expect("no panic"), [7, 7]);
        let first = ["before", "decide", "deferred", "decide", "finish"];
        assert_eq!(counter.steps, [&first[..], &["before", "decide", "finish"]].concat());
    }

    /// A second call that waits is received before the first is answered: from then on no signal
    /// ends it.
    #[test]
    fn what_waits_is_received_before_an_answer() {
        struct Both {
            counter: Counter,
            decided: usize,
            /// Lets the second thread make its call.
            second: std::sync::mpsc::Sender<()>,
        }
        impl NotificationHandler for Both {
            type Decision = Answer;
            fn listener(&self) -> &Listener {
                self.counter.listener()
            }
            fn wait_set(&self) -> WaitSet<'_> {
                self.counter.wait_set()
            }
            fn follow_startup(&mut self) {}
            fn decide(&mut self, notification: &Notification) -> HandlerStep<Answer> {
                self.decided += 1;
                if self.decided == 1 {
                    self.second.send(()).expect("the second thread waits");
                    assert!(self.listener().wait(self.wait_set()).expect("the second call").call);
                }
                self.counter.decide(notification)
            }
            fn finish(&mut self, notification: &Notification, answer: Answer) -> Result<(), CallError> {
                assert_eq!(self.listener().has_call(), Ok(false), "it is received");
                self.counter.finish(notification, answer)
            }
        }
        let ((send, listeners), (second, begin)) = (channel(), channel());
        let app = thread::spawn(move || {
            crate::sys::prctl::set_no_new_privileges().expect("no_new_privs");
            send.send(seccomp::load(&filter(), false).expect("a listener")).expect("the test receives");
            let second = thread::spawn(move || {
                begin.recv().expect("the first call is decided");
                getppid().as_raw()
            });
            [getppid().as_raw(), second.join().expect("no panic")]
        });
        let listener = Listener::new(Arc::new(listeners.recv().expect("a listener")));
        let counter = Counter { listener, deferred: None, defers: false, steps: Vec::new() };
        let mut both = Both { counter, decided: 0, second };
        assert_eq!(NotificationServer::new(&mut both).run(), Ok(()));
        assert_eq!((app.join().expect("no panic"), both.decided), ([7, 7], 2));
        assert_eq!(both.counter.steps, ["decide", "finish", "decide", "finish"]);
    }

    #[test]
    fn a_decision_about_a_caller_that_is_gone_is_not_carried_out() {
        struct Killed(Counter);
        impl NotificationHandler for Killed {
            type Decision = ();
            fn listener(&self) -> &Listener {
                self.0.listener()
            }
            fn wait_set(&self) -> WaitSet<'_> {
                self.0.wait_set()
            }
            fn follow_startup(&mut self) {}
            fn decide(&mut self, notification: &Notification) -> HandlerStep<()> {
                // The thread continues, so its notification is no longer valid.
                self.0.listener.answer(notification.id(), Answer::Value(9)).expect("answered");
                HandlerStep::Decided(())
            }
            fn finish(&mut self, _: &Notification, (): ()) -> Result<(), CallError> {
                panic!("the notification is not valid any more")
            }
        }
        let (send, listeners) = channel();
        let app = thread::spawn(move || {
            crate::sys::prctl::set_no_new_privileges().expect("no_new_privs");
            send.send(seccomp::load(&filter(), false).expect("a listener")).expect("the test receives");
            getppid().as_raw()
        });
        let listener = Listener::new(Arc::new(listeners.recv().expect("a listener")));
        let counter = Counter { listener, deferred: None, defers: false, steps: Vec::new() };
        assert_eq!(NotificationServer::new(&mut Killed(counter)).run(), Ok(()));
        assert_eq!(app.join().expect("no panic"), 9);
    }
}
