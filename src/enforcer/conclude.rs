//! Answers decided calls.

use std::sync::Arc;

use nix::errno::Errno;

use super::conclusion::{Conclusion, NewDescriptor};
use super::{Decision, Enforcer, InitRequest};
use crate::enforcer::socket_registry::Socket;
use crate::event::ActionTaken;
use crate::notify::caller::Caller;
use crate::notify::unreadable::UNREADABLE;
use crate::plan::PR_SET_DUMPABLE;
use crate::policy::Denial;
use crate::policy::call::Call;
use crate::profile::OnViolation;
use crate::sys::seccomp::{self, Answer, NotificationId};
use crate::sys::{process, signal};
use crate::syscalls::{self, Arg, Handler};

impl Enforcer {
    /// Turns a decision into an answer, once the notification was found valid.
    pub(super) fn conclude(&mut self, decision: Decision, call: &Call, caller: &Caller) -> Conclusion {
        match decision {
            Decision::Continue => Conclusion::Answer(Answer::Continue),
            Decision::Trace(what) => self.watch(what, caller),
            Decision::Defer(deferred) => self.delegate(*deferred, caller),
            Decision::CallerUnreadable | Decision::Fail(UNREADABLE) => {
                let refusal = self.rules.unreadable(call);
                self.refuse(&refusal, call, caller)
            }
            // Audit changes nothing of what the app does.
            Decision::Fail(_) | Decision::ExceedsFileSize if self.audit => {
                Conclusion::Answer(Answer::Continue)
            }
            Decision::ExceedsFileSize => Conclusion::ExceedsFileSize(caller.clone()),
            Decision::Fail(errno) => Conclusion::Answer(Answer::Fail(errno)),
            Decision::Value(value) => Conclusion::Answer(Answer::Value(value)),
            Decision::Opened(fd, close) => Conclusion::InstallDescriptor(NewDescriptor {
                fd: Arc::new(fd),
                close,
                process: caller.tgid,
                socket: None,
            }),
            Decision::MadeSocket(socket, close) => {
                let Socket { fd, inode, .. } = socket;
                Conclusion::InstallDescriptor(NewDescriptor {
                    fd,
                    close,
                    process: caller.tgid,
                    socket: Some(inode),
                })
            }
            // Where the kernel decides in the end, it waits for the lease itself.
            Decision::AwaitLease(_) => Conclusion::Answer(Answer::Continue),
            Decision::Report(refusal) => {
                self.report(&refusal, caller, self.action_by_kernel());
                Conclusion::Answer(Answer::Continue)
            }
            Decision::Deny(refusal) => self.refuse(&refusal, call, caller),
        }
    }

    /// A call that may truncate a file without a Landlock rule is never continued. openat2(2) fails with
    /// ENOSYS, so that libraries fall back to openat(2).
    pub(super) fn unless_it_truncates(
        &mut self,
        conclusion: Conclusion,
        call: &Call,
        caller: &Caller,
    ) -> Conclusion {
        match conclusion {
            Conclusion::Answer(Answer::Continue) if self.rules.never_continues(call) => {
                match call.argument(Arg::Flags) {
                    None if call.handler() == Handler::Open => {
                        Conclusion::Answer(Answer::Fail(Errno::ENOSYS))
                    }
                    _ => self.refuse(&self.rules.unreadable(call), call, caller),
                }
            }
            conclusion => conclusion,
        }
    }

    fn refuse(&mut self, refusal: &Denial, call: &Call, caller: &Caller) -> Conclusion {
        if self.audit {
            self.report(refusal, caller, ActionTaken::Observed);
            let name = call.name.unwrap_or_default();
            let hides = name == "prctl" && call.args[0] as u32 == PR_SET_DUMPABLE as u32;
            return match hides || syscalls::changes_user(name) {
                true => match self.hide(call, caller) {
                    Decision::Trace(what) => self.watch(what, caller),
                    _ => Conclusion::Answer(Answer::Continue),
                },
                false => Conclusion::Answer(Answer::Continue),
            };
        }
        match self.rules.policy().on_violation {
            OnViolation::Deny => {
                self.report(refusal, caller, ActionTaken::Denied);
                Conclusion::Answer(denied(refusal, call, caller))
            }
            OnViolation::Kill => {
                // Whether it may be killed is known before: the event comes first, since the container may
                // end with it.
                let may = self.signal_process(caller, 0);
                let action = if may.is_ok() { ActionTaken::Killed } else { ActionTaken::Denied };
                self.report(refusal, caller, action);
                if let Err(errno) = may.and_then(|()| self.signal_process(caller, libc::SIGKILL)) {
                    tracing::error!(pid = %caller.tgid, %errno, call = call.name, "could not be killed");
                }
                Conclusion::Answer(Answer::Fail(refusal.errno))
            }
            OnViolation::Stop => {
                self.report(refusal, caller, ActionTaken::Stopped);
                (self.requests)(InitRequest::Stop);
                // The caller waits for an answer until all processes are killed.
                Conclusion::Unanswered
            }
        }
    }

    /// Sends a signal to the caller's process, or with 0 checks that it may be sent. A caller that still waits
    /// after the pidfd was made is the process that it refers to; where the notification cannot be checked,
    /// nothing is sent, and the answer fails as well.
    fn signal_process(&self, caller: &Caller, signal: i32) -> Result<(), Errno> {
        let fd = process::pidfd(caller.tgid.as_raw())?;
        let send = || signal::send_pidfd(&fd, signal);
        if self.waits() == Ok(true) { caller.with_real_ids(send) } else { Ok(()) }
    }

    /// EFBIG and SIGXFSZ, which the kernel sends first. Where a signal breaks the wait for
    /// an answer, the call would begin anew after it: there the answer comes first.
    pub(super) fn exceeds_limit(&self, id: NotificationId, caller: &Caller) -> Result<(), Errno> {
        let signal = || {
            let (tgid, tid) = (caller.tgid.as_raw(), caller.tid.as_raw());
            if let Err(errno) = caller.with_real_ids(|| signal::send_thread(tgid, tid, libc::SIGXFSZ)) {
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

/// The answer to a denied call. setfsuid(2) and setfsgid(2) have no errno: they return the id as
/// it was before, which it still is.
fn denied(refusal: &Denial, call: &Call, caller: &Caller) -> Answer {
    match call.name {
        Some("setfsuid") => Answer::Value(caller.uids[3].as_raw().into()),
        Some("setfsgid") => Answer::Value(caller.gids[3].as_raw().into()),
        _ => Answer::Fail(refusal.errno),
    }
}
