//! Has a traced thread hand out what the kernel shows to its process alone.
//!
//! The thread waits for the answer to a notified call. It is given one end of a pair of
//! sockets, a stop is requested, and the call is answered: so the thread stops before it
//! returns to its program (PTRACE_EVENT_STOP). There its registers are saved and its signals
//! blocked, and it makes the calls of a [script] by the instruction that made the notified
//! one. Then its registers are restored so that it makes that call again, which is decided
//! with what was sent.
//!
//! Nothing here waits: each stop is one step of a pure [state]. A call of the script that the
//! filter notifies is continued at once ([`Tracer::is_hand_out_call`]). Other threads of the
//! process can disturb all this, by its descriptors and its memory; so they may have the call
//! refused, or lie about a process that is their own.
//!
//! Below Linux 5.19 the interrupt itself ends the wait for the answer, and so does any signal:
//! the thread may have stopped elsewhere by then, and is left as it is. Otherwise it is given
//! its end of the sockets only once its signals are blocked, while it waits for the answer to
//! the same call again.

mod script;
mod state;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;

use self::script::{SEND, Way, calling, is_at};
use self::state::{HandOutAction, HandOutState, HandOutStop};
use super::{Tracer, log_unless_gone};
use crate::ids::Tid;
use crate::kernel::Arch;
use crate::notify::handed::{CHUNK, Given, Handed, HandedItem};
use crate::notify::unreadable::UNREADABLE;
use crate::policy;
use crate::sys::ptrace::{self, Registers};
use crate::sys::seccomp::{self, Answer};
use crate::sys::socket;

/// A notified call: its number and its arguments.
pub type Notified = (u32, [u64; 6]);

/// A thread that hands something out.
#[derive(Debug)]
pub(super) struct HandOut {
    state: HandOutState,
    /// The supervisor's end of the sockets, once the thread has its own.
    ours: Option<OwnedFd>,
    /// The call that is decided afterwards, and where the instruction ends that makes it.
    notified: Notified,
    instruction_end: u64,
    /// Its own registers and signal mask, once it has stopped.
    saved: Option<(Registers, u64)>,
    /// The thread may have another root, at which its names begin.
    may_have_other_root: bool,
    handed: Arc<Handed>,
}

/// What becomes of a hand-out after a stop.
enum Next {
    Stop,
    End(Result<Given, Errno>),
    Abandon,
}

impl Tracer {
    /// What a thread hands out for a call; none for one that is not traced.
    pub fn handed(&mut self, tid: Tid, notified: Notified) -> Option<Arc<Handed>> {
        if !self.table.has(tid) {
            return None;
        }
        match self.handed.get(&tid) {
            Some((call, handed)) if *call == notified => Some(Arc::clone(handed)),
            _ => {
                let handed = Arc::<Handed>::default();
                self.handed.insert(tid, (notified, Arc::clone(&handed)));
                Some(handed)
            }
        }
    }

    /// A thread's call is decided: what it handed out may be different at its next one.
    pub fn forget_handed(&mut self, tid: Tid) {
        self.handed.remove(&tid);
    }

    /// Whether a notified call is one that a thread makes to hand something out.
    pub fn is_hand_out_call(&self, tid: Tid, notified: Notified) -> bool {
        self.hand_outs.get(&tid).is_some_and(|hand_out| hand_out.state.makes(notified))
    }

    /// What a thread is to hand out that makes this call to be given its end of the sockets.
    pub fn wants_socket(&self, tid: Tid, notified: Notified) -> Option<HandedItem> {
        let state = &self.hand_outs.get(&tid)?.state;
        state.wants_socket(notified).then(|| state.wanted())
    }

    /// The caller of `request` has its end of the sockets by the descriptor `theirs`; `ours` is
    /// the other end. Its call is over.
    pub fn set_socket(&mut self, request: &seccomp::Request, ours: OwnedFd, theirs: i32) {
        let tid = Tid::from_raw(request.pid as i32);
        if self.wants_socket(tid, (request.data.nr as u32, request.data.args)).is_some()
            && let Some(hand_out) = self.hand_outs.get_mut(&tid)
        {
            hand_out.ours = Some(ours);
            hand_out.state.give_socket(theirs);
        }
        self.answer(request.id, Answer::Fail(Errno::EINTR));
    }

    /// Whether a thread can hand something out: it is traced, and does not do so already.
    pub fn can_hand_out(&self, tid: Tid) -> bool {
        self.traces(tid) && !self.hand_outs.contains_key(&tid)
    }

    /// Has a thread hand out something for its call, which it then makes again. It sends it on
    /// a socket: the supervisor's end, and the descriptor by which the thread has its own. Where
    /// it has none, it [makes its call](Tracer::wants_socket) to be given one.
    ///
    /// # Errors
    /// EPERM: it is not traced. ESRCH: it is gone. Its call still waits.
    pub fn start_hand_out(
        &mut self,
        request: &seccomp::Request,
        wanted: HandedItem,
        socket: Option<(OwnedFd, i32)>,
    ) -> Result<(), Errno> {
        let tid = Tid::from_raw(request.pid as i32);
        let notified = (request.data.nr as u32, request.data.args);
        if !self.can_hand_out(tid) {
            return Err(Errno::EPERM);
        }
        let handed = self.handed(tid, notified).ok_or(Errno::EPERM)?;
        ptrace::interrupt(tid.as_raw())?;
        let (ours, theirs) = socket.unzip();
        let hand_out = HandOut {
            state: HandOutState::new(wanted, self.way(), theirs, notified),
            ours,
            notified,
            instruction_end: request.data.instruction_pointer,
            saved: None,
            may_have_other_root: self.rules.roots_differ(),
            handed,
        };
        self.hand_outs.insert(tid, hand_out);
        // It does not return to its program with this.
        self.answer(request.id, Answer::Fail(Errno::EINTR));
        Ok(())
    }

    /// By a message where the filter allows every sendmsg: otherwise a message that is continued for
    /// the supervisor could be another one.
    fn way(&self) -> Way {
        let number = crate::syscalls::number(Arch::THIS, "sendmsg").unwrap_or_default();
        let call = policy::call::Call { name: Some("sendmsg"), number, args: [0, 0, SEND, 0, 0, 0] };
        if self.rules.goes_unnotified(&call) { Way::Message } else { Way::Name }
    }

    /// A thread ended or executed a program: it hands nothing out any more.
    pub(super) fn forget_hand_out(&mut self, tid: Tid) {
        self.hand_outs.remove(&tid);
        self.handed.remove(&tid);
    }

    /// A stop of a thread that hands something out; false for any other thread.
    pub(super) fn continues_hand_out(&mut self, tid: Tid, signal: i32, event: i32) -> bool {
        let Some(mut hand_out) = self.hand_outs.remove(&tid) else { return false };
        match hand_out.stopped(tid.as_raw(), signal, event) {
            Ok(Next::Stop) => drop(self.hand_outs.insert(tid, hand_out)),
            Ok(Next::End(given)) => hand_out.end(tid.as_raw(), given),
            Ok(Next::Abandon) => return false,
            // Its end is reported.
            Err(Errno::ESRCH) => {}
            Err(errno) => {
                tracing::debug!(%tid, %errno, "hands nothing out");
                hand_out.end(tid.as_raw(), Err(UNREADABLE));
            }
        }
        true
    }
}

impl HandOut {
    fn stopped(&mut self, tid: i32, signal: i32, event: i32) -> Result<Next, Errno> {
        let stop = match event {
            ptrace::EVENT_STOP => {
                let group = signal != libc::SIGTRAP;
                HandOutStop::Requested { group, at_call: self.is_at_call(tid) }
            }
            0 if signal == ptrace::CALL_ENDED => HandOutStop::Syscall(ptrace::syscall_info(tid)?),
            0 => HandOutStop::Signal(signal),
            _ => HandOutStop::Other,
        };
        for action in self.state.step(stop) {
            match action {
                HandOutAction::Save => {
                    self.saved = Some((ptrace::registers(tid)?, ptrace::signal_mask(tid)?));
                    ptrace::set_signal_mask(tid, u64::MAX)?;
                }
                HandOutAction::Make(call) => self.make(tid, &call)?,
                HandOutAction::ContToSyscall(signal) => ptrace::cont_to_syscall(tid, signal)?,
                HandOutAction::Cont(signal) => ptrace::cont(tid, signal)?,
                HandOutAction::Abandon => return Ok(Next::Abandon),
                HandOutAction::Finish => return Ok(Next::End(self.given())),
                HandOutAction::Fail => return Ok(Next::End(Err(UNREADABLE))),
            }
        }
        Ok(Next::Stop)
    }

    /// Whether it has stopped in its notified call, where that is not certain.
    fn is_at_call(&self, tid: i32) -> bool {
        let (number, args) = self.notified;
        !self.state.may_be_elsewhere()
            || ptrace::registers(tid)
                .map_or(true, |own| is_at(Arch::THIS, &own, self.instruction_end, number, args))
    }

    fn make(&self, tid: i32, call: &script::ScriptedCall) -> Result<(), Errno> {
        let Some((mut registers, _)) = self.saved else { return Err(Errno::EPROTO) };
        if !call.feed.is_empty() {
            let ours = self.ours.as_ref().ok_or(Errno::EPROTO)?;
            if nix::unistd::write(ours, &call.feed)? != call.feed.len() {
                return Err(Errno::EIO);
            }
        }
        calling(Arch::THIS, &mut registers, self.instruction_end, call.number, call.args);
        ptrace::set_registers(tid, &registers)?;
        ptrace::cont_to_syscall(tid, 0)
    }

    /// Receives what was sent.
    fn given(&self) -> Result<Given, Errno> {
        let ours = self.ours.as_ref().ok_or(UNREADABLE)?;
        match (self.state.sent(), self.state.wanted()) {
            (Ok(()), wanted) if self.state.is_text() => {
                let mut bytes = vec![0; CHUNK as usize];
                let read = nix::unistd::read(ours, &mut bytes).map_err(|_| UNREADABLE)?;
                bytes.truncate(read);
                if matches!(wanted, HandedItem::Memory(_)) {
                    return Ok(Given::Memory(bytes));
                }
                let name = PathBuf::from(OsString::from_vec(bytes));
                if self.may_have_other_root && name.is_absolute() {
                    Err(UNREADABLE)
                } else {
                    Ok(Given::Name(name))
                }
            }
            (Ok(()), _) => socket::receive_descriptor(ours).map(Given::Descriptor).map_err(|_| UNREADABLE),
            (Err(Errno::EFAULT), HandedItem::Memory(_)) => Err(Errno::EFAULT),
            (Err(Errno::EBADF), HandedItem::Descriptor(_)) => Err(Errno::EBADF),
            (Err(_), _) => Err(UNREADABLE),
        }
    }

    /// The thread makes its notified call again. Where its group was stopped meanwhile, it
    /// stops again first.
    fn end(self, tid: i32, given: Result<Given, Errno>) {
        self.handed.give(self.state.wanted(), given);
        let restore = || {
            if let Some((mut registers, mask)) = self.saved {
                let (number, args) = self.notified;
                calling(Arch::THIS, &mut registers, self.instruction_end, number, args);
                ptrace::set_registers(tid, &registers)?;
                ptrace::set_signal_mask(tid, mask)?;
            }
            ptrace::cont(tid, 0)?;
            if self.state.is_group_stopped() { ptrace::interrupt(tid) } else { Ok(()) }
        };
        log_unless_gone("restoring a thread", restore());
    }
}
