//! Has a traced thread hand out what the kernel shows to its process alone.
//!
//! The thread waits for the answer to a notified call. It is given one end of a pair of
//! sockets, asked to stop, and answered: so it stops before it goes back to its program
//! (PTRACE_EVENT_STOP). There its registers are kept, its signals blocked, and it makes the
//! calls of a [`Script`] by the instruction that made the notified one. Then its registers
//! are put back so that it makes that call again, which is decided with what was sent.
//!
//! Nothing here waits: each stop is one step. A call of the script that the filter notifies
//! is let go on at once ([`Tracer::makes`]). Other threads of the process can disturb all
//! this, by its descriptors and its memory; so they may have the call refused, or lie about
//! a process that is their own.
//!
//! Below Linux 5.19 the interrupt itself ends the wait for the answer, and so does any
//! signal: the thread may have stopped elsewhere by then, and is let go on as it is. Else it
//! is given its end of the sockets only once its signals are blocked, while it waits for the
//! answer to the same call again.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;

use super::script::{Call, Script, Way, calling, is_at};
use super::{Tracer, gone_or};
use crate::ids::Tid;
use crate::kernel::Arch;
use crate::notify::handed::{CHUNK, Given, Handed, Wanted};
use crate::notify::unreadable::UNREADABLE;
use crate::policy;
use crate::sys::ptrace::{self, AtCall, Registers};
use crate::sys::seccomp::{self, Answer};
use crate::sys::socket;

/// A notified call: its number and its registers.
pub type Notified = (u32, [u64; 6]);

/// A thread that is handing something out.
#[derive(Debug)]
pub(super) struct Handing {
    /// Our end, once the thread has its own.
    ours: Option<OwnedFd>,
    /// It makes the notified call again, to be given its end.
    asks: bool,
    wanted: Wanted,
    way: Way,
    script: Script,
    stage: Stage,
    /// The call that is to be decided, and where the instruction ends that makes it.
    notified: Notified,
    end: u64,
    /// Its own registers and signal mask, once it has stopped.
    own: Option<(Registers, u64)>,
    /// Its group was stopped meanwhile.
    stays: bool,
    /// It may have another root, at which its names begin.
    moves: bool,
    handed: Arc<Handed>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not stopped yet.
    Awaited,
    /// It is to make this call.
    Entering(Call),
    /// It makes it.
    Within(Call),
}

impl Tracer {
    /// What a thread hands out for a call; none for one that is not traced.
    pub fn handed(&mut self, tid: Tid, notified: Notified) -> Option<Arc<Handed>> {
        let tid = tid.as_raw();
        if !self.seized.contains_key(&tid) {
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

    /// A thread's call is decided: its next one may find other things there.
    pub fn decided(&mut self, tid: Tid) {
        let tid = tid.as_raw();
        self.handed.remove(&tid);
    }

    /// Whether a notified call is one that a thread makes to hand something out.
    pub fn makes(&self, tid: Tid, (number, args): Notified) -> bool {
        let tid = tid.as_raw();
        self.handings.get(&tid).is_some_and(|handing| {
            !handing.asks
                && matches!(&handing.stage, Stage::Within(call) if call.number == number && call.args == args)
        })
    }

    /// What a thread is to hand out that makes this call to be given its end of the sockets.
    pub fn asks(&self, tid: Tid, notified: Notified) -> Option<Wanted> {
        let tid = tid.as_raw();
        let handing = self.handings.get(&tid)?;
        let asks = handing.asks && handing.ours.is_none() && handing.notified == notified;
        (asks && matches!(handing.stage, Stage::Within(_))).then_some(handing.wanted)
    }

    /// It has it, by the number `theirs`; `ours` is the other end. Its call is over.
    pub fn has_socket(&mut self, request: &seccomp::Request, ours: OwnedFd, theirs: i32) {
        let tid = request.pid as i32;
        if self.asks(Tid::from_raw(tid), (request.data.nr as u32, request.data.args)).is_some()
            && let Some(handing) = self.handings.get_mut(&tid)
        {
            handing.ours = Some(ours);
            handing.script.on(theirs);
        }
        self.answer(request.id, Answer::Fail(Errno::EINTR));
    }

    /// Whether a thread can hand something out.
    pub fn may_hand_out(&mut self, tid: Tid) -> bool {
        let tid = tid.as_raw();
        self.is_seized(tid) && !self.handings.contains_key(&tid)
    }

    /// Has a thread hand out something for its call, which it then makes again. It sends it
    /// on a socket: our end, and the number by which it has its own; or else it
    /// [asks](Tracer::asks) for one first.
    ///
    /// # Errors
    /// It is not traced; its call still waits.
    pub fn hand_out(
        &mut self,
        request: &seccomp::Request,
        wanted: Wanted,
        socket: Option<(OwnedFd, i32)>,
    ) -> Result<(), Errno> {
        let tid = request.pid as i32;
        let notified = (request.data.nr as u32, request.data.args);
        if !self.may_hand_out(Tid::from_raw(tid)) {
            return Err(Errno::EPERM);
        }
        let handed = self.handed(Tid::from_raw(tid), notified).ok_or(Errno::EPERM)?;
        ptrace::interrupt(tid)?;
        let way = self.way();
        let (ours, theirs) = socket.map_or((None, -1), |(ours, theirs)| (Some(ours), theirs));
        let script = Script::new(wanted, way, theirs);
        let (stage, end) = (Stage::Awaited, request.data.instruction_pointer);
        let (own, stays, moves) = (None, false, self.rules.access("chroot").is_some());
        let asks = ours.is_none();
        let handing =
            Handing { ours, asks, wanted, way, script, stage, notified, end, own, stays, moves, handed };
        self.handings.insert(tid, handing);
        // It does not go back to its program with this.
        self.answer(request.id, Answer::Fail(Errno::EINTR));
        Ok(())
    }

    /// By a message where the filter lets every one through, whatever it is and to whomever:
    /// what is let go on for the supervisor's sake could be another one.
    fn way(&self) -> Way {
        let number = crate::syscalls::number(Arch::THIS, "sendmsg").unwrap_or_default();
        let call =
            policy::call::Call { name: Some("sendmsg"), number, args: [0, 0, super::script::SEND, 0, 0, 0] };
        if self.rules.goes_unasked(&call) { Way::Message } else { Way::Name }
    }

    /// A stop of a thread that hands something out; false for any other thread.
    pub(super) fn goes_on_handing(&mut self, tid: i32, signal: i32, event: i32) -> bool {
        let Some(mut handing) = self.handings.remove(&tid) else { return false };
        if handing.is_elsewhere(tid, event) {
            return false;
        }
        match handing.step(tid, signal, event) {
            Ok(false) => drop(self.handings.insert(tid, handing)),
            Ok(true) => {
                let given = handing.given();
                handing.end(tid, given);
            }
            // Its end is told.
            Err(Errno::ESRCH) => {}
            Err(errno) => {
                tracing::debug!(tid, %errno, "hands nothing out");
                handing.end(tid, Err(UNREADABLE));
            }
        }
        true
    }
}

impl Handing {
    /// Whether it has stopped outside of its call: a signal came first. If it makes the call
    /// again, that is another one to be decided.
    fn is_elsewhere(&self, tid: i32, event: i32) -> bool {
        let (number, args) = self.notified;
        self.asks
            && self.stage == Stage::Awaited
            && event == ptrace::EVENT_STOP
            && ptrace::registers(tid).is_ok_and(|own| !is_at(Arch::THIS, &own, self.end, number, args))
    }

    /// What follows a stop; whether the script is over.
    fn step(&mut self, tid: i32, signal: i32, event: i32) -> Result<bool, Errno> {
        let at_call = event == 0 && signal == ptrace::CALL_ENDED;
        match self.stage.clone() {
            Stage::Awaited if event == ptrace::EVENT_STOP => {
                self.stays = signal != libc::SIGTRAP;
                self.own = Some((ptrace::registers(tid)?, ptrace::signal_mask(tid)?));
                ptrace::set_signal_mask(tid, u64::MAX)?;
                if self.asks { self.ask(tid) } else { self.next(tid, Ok(0)) }
            }
            Stage::Entering(call) if at_call => match ptrace::at_call(tid)? {
                Some(AtCall::Begins(number, args)) if number == call.number && args == call.args => {
                    self.stage = Stage::Within(call);
                    ptrace::go_on_to_call(tid, 0).map(|()| false)
                }
                // Another thread has written something else there.
                _ => Err(Errno::EPROTO),
            },
            Stage::Within(call) if at_call => match ptrace::at_call(tid)? {
                Some(AtCall::Ended(_) | AtCall::Broken) if self.asks && self.ours.is_some() => {
                    self.asks = false;
                    self.next(tid, Ok(0))
                }
                // It is given none.
                Some(AtCall::Ended(_)) if self.asks => Ok(true),
                Some(AtCall::Ended(answer)) => self.next(tid, answer),
                // Its group was stopped. What the call reads it has been sent.
                Some(AtCall::Broken) => self.make(tid, Call { feed: Vec::new(), ..call }),
                _ => Err(Errno::EPROTO),
            },
            stage => {
                self.stays |= event == ptrace::EVENT_STOP && signal != libc::SIGTRAP;
                let signal = if event == 0 { signal } else { 0 };
                match stage {
                    Stage::Awaited => ptrace::go_on(tid, signal),
                    _ => ptrace::go_on_to_call(tid, signal),
                }
                .map(|()| false)
            }
        }
    }

    /// Makes it do the next call of the script.
    fn next(&mut self, tid: i32, answer: Result<i64, Errno>) -> Result<bool, Errno> {
        let Some(call) = self.script.next(answer) else { return Ok(true) };
        self.make(tid, call)
    }

    /// Makes it do the notified call again.
    fn ask(&mut self, tid: i32) -> Result<bool, Errno> {
        let (number, args) = self.notified;
        self.make(tid, Call { number, args, feed: Vec::new() })
    }

    fn make(&mut self, tid: i32, call: Call) -> Result<bool, Errno> {
        let Some((mut registers, _)) = self.own else { return Err(Errno::EPROTO) };
        if !call.feed.is_empty() {
            let ours = self.ours.as_ref().ok_or(Errno::EPROTO)?;
            if nix::unistd::write(ours, &call.feed)? != call.feed.len() {
                return Err(Errno::EIO);
            }
        }
        calling(Arch::THIS, &mut registers, self.end, call.number, call.args);
        ptrace::set_registers(tid, &registers)?;
        self.stage = Stage::Entering(call);
        ptrace::go_on_to_call(tid, 0).map(|()| false)
    }

    /// Whether what is sent are bytes.
    fn is_text(&self) -> bool {
        matches!(self.wanted, Wanted::Memory(_)) || self.way == Way::Name
    }

    /// What was sent.
    fn given(&self) -> Result<Given, Errno> {
        let ours = self.ours.as_ref().ok_or(UNREADABLE)?;
        match (self.script.sent(), self.wanted) {
            (Ok(()), _) if self.is_text() => {
                let mut bytes = vec![0; CHUNK as usize];
                let read = nix::unistd::read(ours, &mut bytes).map_err(|_| UNREADABLE)?;
                bytes.truncate(read);
                if matches!(self.wanted, Wanted::Memory(_)) {
                    return Ok(Given::Memory(bytes));
                }
                let name = PathBuf::from(OsString::from_vec(bytes));
                if self.moves && name.is_absolute() { Err(UNREADABLE) } else { Ok(Given::Name(name)) }
            }
            (Ok(()), _) => socket::receive_descriptor(ours).map(Given::Descriptor).map_err(|_| UNREADABLE),
            (Err(Errno::EFAULT), Wanted::Memory(_)) => Err(Errno::EFAULT),
            (Err(Errno::EBADF), Wanted::Descriptor(_)) => Err(Errno::EBADF),
            (Err(_), _) => Err(UNREADABLE),
        }
    }

    /// It makes its call again.
    fn end(self, tid: i32, given: Result<Given, Errno>) {
        self.handed.give(self.wanted, given);
        let back = || {
            if let Some((mut registers, mask)) = self.own {
                calling(Arch::THIS, &mut registers, self.end, self.notified.0, self.notified.1);
                ptrace::set_registers(tid, &registers)?;
                ptrace::set_signal_mask(tid, mask)?;
            }
            ptrace::go_on(tid, 0)?;
            if self.stays { ptrace::interrupt(tid) } else { Ok(()) }
        };
        gone_or(back(), "put back");
    }
}
