//! What a decided call is answered with.

use std::sync::Arc;

use nix::errno::Errno;

use super::conclusion::{Conclusion, Handed};
use super::{Judge, Outcome, Request};
use crate::enforcer::socket_registry::Socket;
use crate::event::Action;
use crate::notify::caller::Caller;
use crate::notify::unreadable::UNREADABLE;
use crate::plan::PR_SET_DUMPABLE;
use crate::policy::Refusal;
use crate::policy::call::Call;
use crate::profile::OnViolation;
use crate::sys::seccomp::{self, Answer, NotificationId};
use crate::sys::{process, signal};
use crate::syscalls;

impl Judge {
    /// Turns an outcome into an answer, once it is known that the caller waits.
    pub(super) fn conclude(&mut self, outcome: Outcome, call: &Call, caller: &Caller) -> Conclusion {
        match outcome {
            Outcome::Continue => Conclusion::Answer(Answer::Continue),
            Outcome::Watch(what) => self.watch(what, caller),
            Outcome::Delegate(deed) => self.delegate(*deed, caller),
            Outcome::Unread | Outcome::Fail(UNREADABLE) => {
                let refusal = self.rules.unreadable(call);
                self.refuse(&refusal, call, caller)
            }
            // Audit changes nothing of what the app does.
            Outcome::Fail(_) | Outcome::Exceeds if self.audit => Conclusion::Answer(Answer::Continue),
            Outcome::Exceeds => Conclusion::Exceeds(caller.clone()),
            Outcome::Fail(errno) => Conclusion::Answer(Answer::Fail(errno)),
            Outcome::Done(value) => Conclusion::Answer(Answer::Value(value)),
            Outcome::Opened(fd, close) => {
                Conclusion::Hand(Handed { fd: Arc::new(fd), close, process: caller.tgid, socket: None })
            }
            Outcome::Made(socket, close) => {
                let Socket { fd, inode, .. } = socket;
                Conclusion::Hand(Handed { fd, close, process: caller.tgid, socket: Some(inode) })
            }
            // Where it is the kernel that decides in the end, it waits as well.
            Outcome::Wait(_) => Conclusion::Answer(Answer::Continue),
            Outcome::Tell(refusal) => {
                self.report(&refusal, caller, self.told_action());
                Conclusion::Answer(Answer::Continue)
            }
            Outcome::Refuse(refusal) => self.refuse(&refusal, call, caller),
        }
    }

    fn refuse(&mut self, refusal: &Refusal, call: &Call, caller: &Caller) -> Conclusion {
        if self.audit {
            self.report(refusal, caller, Action::Observed);
            let name = call.name.unwrap_or_default();
            let hides = name == "prctl" && call.args[0] as u32 == PR_SET_DUMPABLE as u32;
            return match hides || syscalls::changes_user(name) {
                true => match self.hide(call, caller) {
                    Outcome::Watch(what) => self.watch(what, caller),
                    _ => Conclusion::Answer(Answer::Continue),
                },
                false => Conclusion::Answer(Answer::Continue),
            };
        }
        match self.rules.policy().on_violation {
            OnViolation::Deny => {
                self.report(refusal, caller, Action::Denied);
                Conclusion::Answer(denied(refusal, call, caller))
            }
            OnViolation::Kill => {
                self.report(refusal, caller, Action::Killed);
                // Who still waits after its pidfd was made is whom the pidfd names.
                let killed = process::pidfd(caller.tgid.as_raw()).and_then(|fd| {
                    // Where that cannot be asked, the answer that follows fails as well.
                    if self.waits() == Ok(true) { signal::send_pidfd(&fd, libc::SIGKILL) } else { Ok(()) }
                });
                if let Err(errno) = killed {
                    tracing::error!(pid = %caller.tgid, %errno, call = call.name, "could not be killed");
                }
                Conclusion::Answer(Answer::Fail(refusal.errno))
            }
            OnViolation::Stop => {
                self.report(refusal, caller, Action::Stopped);
                (self.requests)(Request::Stop);
                // It waits for an answer until it is killed with all the others.
                Conclusion::Nothing
            }
        }
    }

    /// EFBIG and SIGXFSZ, which the kernel sends first. Where a signal breaks the wait for
    /// an answer, the call would begin anew after it: there the answer comes first.
    pub(super) fn exceeds_limit(&self, id: NotificationId, caller: &Caller) -> Result<(), Errno> {
        let signal = || {
            if let Err(errno) = signal::send_thread(caller.tgid.as_raw(), caller.tid.as_raw(), libc::SIGXFSZ)
            {
                tracing::debug!(tid = %caller.tid, %errno, "SIGXFSZ could not be sent");
            }
        };
        let answer = || seccomp::answer(&self.listener, id, Answer::Fail(Errno::EFBIG));
        if self.killable {
            signal();
            return answer();
        }
        answer().map(|()| signal())
    }
}

/// What the caller of a refused call gets. setfsuid(2) and setfsgid(2) have no errno: they
/// answer the id as it was before, and refused it stays that.
fn denied(refusal: &Refusal, call: &Call, caller: &Caller) -> Answer {
    match call.name {
        Some("setfsuid") => Answer::Value(caller.uids[3].as_raw().into()),
        Some("setfsgid") => Answer::Value(caller.gids[3].as_raw().into()),
        _ => Answer::Fail(refusal.errno),
    }
}
