//! Calls that wait for an operation that may block, which the deciding thread must not do. A thread
//! of its own waits instead, at most [`AT_A_TIME`] of each kind; the calls beyond that are decided
//! in their order once one of those threads has ended.
//!
//! - A file with a lease (fcntl(2), F_SETLEASE) is opened once its holder has given the lease
//!   up, for which the kernel grants 45 seconds (/proc/sys/fs/lease-break-time). The
//!   supervisor opens with O_NONBLOCK whatever an app may hold a lease on; where the kernel
//!   then answers EWOULDBLOCK, a thread waits for the lease, and the call is decided anew.
//! - A descriptor is [installed](super::install_descriptor) once its caller has run, which a thread
//!   of a low priority may not do for seconds. The calls of such callers are decided
//!   last, too, so that they do not delay those of others.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::conclusion::Conclusion;
use super::{Decision, Enforcer};
use crate::notify::caller::Caller;
use crate::notify::handed::HandedItem;
use crate::notify::listener::{self};
use crate::notify::server::NotificationServer;
use crate::plan::LATER_THREADS;
use crate::procfs::link_to;
use crate::sys::seccomp::{Answer, NotificationId, Request};
use crate::sys::threads;
use crate::sys::{self, CallError};

/// The most threads of a kind that wait at a time.
const AT_A_TIME: usize = LATER_THREADS / 2;
/// One of the calls that wait is decided at least after so many others.
const OTHERS: u32 = 16;
/// From so many waiting calls on those are forgotten whose caller is gone.
const MANY: usize = 1024;

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// The end of a lease.
    Lease,
    /// A caller that has to run.
    Caller,
}

/// A file with a lease.
pub(super) struct LeasedFile {
    /// The file, by O_PATH.
    file: OwnedFd,
    /// How it is to be opened: O_RDONLY, O_WRONLY or O_RDWR.
    access: i32,
    /// With the caller's rights, or else the supervisor's.
    as_caller: bool,
}

impl LeasedFile {
    /// A file that the caller opens.
    pub fn opened(file: OwnedFd, flags: i32) -> LeasedFile {
        LeasedFile { file, access: flags & libc::O_ACCMODE, as_caller: true }
    }

    /// A program that the supervisor reads.
    pub fn read(file: OwnedFd) -> LeasedFile {
        LeasedFile { file, access: libc::O_RDONLY, as_caller: false }
    }

    fn open(&self, flags: i32) -> Result<File, Errno> {
        let path = link_to(&self.file);
        let mut options = File::options();
        options.read(self.access != libc::O_WRONLY).write(self.access != libc::O_RDONLY);
        options.custom_flags(flags | libc::O_NOCTTY).open(path).map_err(|error| sys::errno(&error))
    }
}

/// Opens a regular file for reading by its O_PATH descriptor, without waiting.
///
/// # Errors
/// EWOULDBLOCK where it has a lease; every other errno of open(2).
pub(super) fn open_now(file: &OwnedFd) -> Result<File, Errno> {
    let path = link_to(file);
    let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    opened.map_err(|error| sys::errno(&error))
}

/// The threads that wait, and the calls that are decided after them.
#[derive(Default)]
pub(super) struct DeferredCalls {
    completions: Option<Arc<CompletionQueue>>,
    lines: [CallQueue; 2],
    /// So many calls were decided before those that wait.
    others: u32,
    /// The call at hand has waited for its turn.
    pub in_turn: bool,
    /// A thread could not wait for what the call at hand waits for.
    pub in_vain: bool,
}

#[derive(Default)]
struct CallQueue {
    under_way: usize,
    waiting: VecDeque<Request>,
    /// From so many on those whose caller is gone are forgotten.
    next: usize,
}

/// What the threads that have ended report, and the eventfd that wakes the deciding thread.
struct CompletionQueue {
    ended: Mutex<Vec<Ended>>,
    wake_fd: EventFd,
}

struct Ended {
    line: For,
    then: Then,
}

/// What follows once a thread has waited.
pub(super) enum Then {
    /// The call is answered.
    Nothing,
    /// It is decided anew, while the file that had a lease is open.
    Decide(Request, Result<File, Errno>),
    /// The caller has the socket on which it [hands something out](crate::tracer).
    HandOut(Request, HandedItem, OwnedFd, Result<i32, Errno>),
}

impl DeferredCalls {
    fn line(&mut self, line: For) -> &mut CallQueue {
        &mut self.lines[line as usize]
    }

    /// Whether no other thread may wait now.
    pub fn is_full(&self, line: For) -> bool {
        self.lines[line as usize].under_way >= AT_A_TIME
    }

    fn is_idle(&self) -> bool {
        self.lines.iter().all(|line| line.under_way == 0)
    }

    /// The eventfd that becomes readable when a thread has ended; none while there is no thread.
    pub fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.completions.as_ref().filter(|_| !self.is_idle()).map(|completions| completions.wake_fd.as_fd())
    }

    /// Starts a thread that waits.
    ///
    /// # Errors
    /// EAGAIN, ENOMEM, EMFILE where there is no room for it.
    pub fn start(&mut self, line: For, wait: impl FnOnce() -> Then + Send + 'static) -> Result<(), Errno> {
        let completions = match &self.completions {
            Some(completions) => Arc::clone(completions),
            None => {
                let wake_fd =
                    EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
                Arc::clone(
                    self.completions.insert(Arc::new(CompletionQueue { ended: Mutex::default(), wake_fd })),
                )
            }
        };
        let waits = move || {
            let then = wait();
            completions.ended.lock().unwrap_or_else(PoisonError::into_inner).push(Ended { line, then });
            if let Err(errno) = completions.wake_fd.write(1) {
                tracing::error!(%errno, "the deciding thread could not be woken");
            }
        };
        threads::run("later", waits).map_err(|error| sys::errno(&error))?;
        self.line(line).under_way += 1;
        Ok(())
    }

    /// Keeps a call until a thread of its kind has ended.
    pub fn postpone(&mut self, line: For, request: Request, waits: impl Fn(NotificationId) -> bool) {
        let line = self.line(line);
        line.waiting.push_back(request);
        if line.waiting.len() >= line.next.max(MANY) {
            line.waiting.retain(|request| waits(request.id));
            line.next = line.waiting.len() * 2;
        }
    }

    /// The threads that have ended since.
    fn ended(&mut self) -> Vec<Ended> {
        let Some(completions) = self.completions.as_ref().filter(|_| !self.is_idle()) else {
            return Vec::new();
        };
        if let Err(errno) = listener::drain(&completions.wake_fd) {
            tracing::error!(%errno, "the eventfd of the calls that wait");
        }
        let ended = std::mem::take(&mut *completions.ended.lock().unwrap_or_else(PoisonError::into_inner));
        ended.iter().for_each(|ended| self.line(ended.line).under_way -= 1);
        ended
    }

    /// Whether there is a call that may be decided once no other one is there.
    pub fn has_next(&self) -> bool {
        self.lines.iter().any(|line| line.under_way < AT_A_TIME && !line.waiting.is_empty())
    }

    /// Whether another call goes before those.
    pub fn lets_pass(&mut self) -> bool {
        self.others = if self.has_next() { self.others + 1 } else { 0 };
        self.others <= OTHERS
    }

    /// The next call whose turn has come.
    fn next(&mut self) -> Option<Request> {
        self.others = 0;
        let line =
            self.lines.iter_mut().find(|line| line.under_way < AT_A_TIME && !line.waiting.is_empty())?;
        let next = line.waiting.pop_front();
        if line.waiting.is_empty() {
            line.waiting.shrink_to(MANY);
        }
        next
    }
}

impl Enforcer {
    /// Decides the calls that need not wait any more.
    pub(super) fn decide_ended(&mut self) -> Result<(), CallError> {
        for Ended { then, .. } in self.memory.deferred.ended() {
            // The file stays open while the call is decided.
            let (request, _opened, in_vain) = match then {
                Then::Nothing => continue,
                Then::Decide(request, opened) => {
                    let in_vain = opened.is_err();
                    (request, opened.ok(), in_vain)
                }
                Then::HandOut(request, wanted, ours, theirs) => {
                    if theirs.is_ok_and(|theirs| self.hands_out(&request, wanted, Some((ours, theirs)))) {
                        continue;
                    }
                    (request, None, true)
                }
            };
            self.memory.deferred.in_vain = in_vain;
            let decided = self.decide_now(&request);
            self.memory.deferred.in_vain = false;
            decided?;
        }
        Ok(())
    }

    /// Decides the next call whose turn has come.
    pub(super) fn decide_next(&mut self) -> Result<(), CallError> {
        self.memory.deferred.next().map_or(Ok(()), |request| self.decide_now(&request))
    }

    fn decide_now(&mut self, request: &Request) -> Result<(), CallError> {
        // The caller may have ended meanwhile, and another thread may have its tid.
        if !self.listener.is_valid(request.id)? {
            return Ok(());
        }
        self.memory.deferred.in_turn = true;
        let decided = NotificationServer::new(self).handle(request);
        self.memory.deferred.in_turn = false;
        decided
    }

    /// A call waits for the end of a lease, as it would in the kernel.
    pub(super) fn wait_for_lease(
        &mut self,
        leased: LeasedFile,
        request: &Request,
        caller: &Caller,
    ) -> Conclusion {
        let deferred = &mut self.memory.deferred;
        // The file has no lease: the file system answered EAGAIN itself.
        if deferred.in_vain {
            return Conclusion::Answer(Answer::Fail(Errno::EAGAIN));
        }
        if deferred.is_full(For::Lease) {
            let listener = &self.listener;
            deferred.postpone(For::Lease, *request, |id| listener.is_valid(id) != Ok(false));
            return Conclusion::Unanswered;
        }
        let (identity, caller, request) = (self.identity.clone(), caller.clone(), *request);
        let started = deferred.start(For::Lease, move || {
            let opened = if leased.as_caller {
                identity.with_caller_creds(&caller, || leased.open(0))
            } else {
                leased.open(0)
            };
            Then::Decide(request, opened)
        });
        match started {
            Ok(()) => Conclusion::Unanswered,
            Err(errno) => {
                tracing::error!(%errno, "no thread can wait for a lease");
                Conclusion::Answer(Answer::Fail(Errno::EAGAIN))
            }
        }
    }
}

/// The decision on an open of a file that has a lease.
pub(super) fn leased(file: Option<crate::notify::resolve::Target>, flags: i32) -> Decision {
    match file {
        Some(file) => Decision::AwaitLease(LeasedFile::opened(file.fd, flags)),
        None => Decision::Fail(Errno::EWOULDBLOCK),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn request(id: u64) -> Request {
        Request {
            id: NotificationId::from_raw(id),
            pid: 1,
            data: libc::seccomp_data { nr: 0, arch: 0, instruction_pointer: 0, args: [0; 6] },
        }
    }

    #[test]
    fn so_many_wait_at_a_time_and_the_others_in_their_order() {
        let mut deferred = DeferredCalls::default();
        assert!(deferred.wake_fd().is_none() && deferred.next().is_none());
        let (go, gone) = channel::<()>();
        let gone = Arc::new(Mutex::new(gone));
        for _ in 0..AT_A_TIME {
            let gone = Arc::clone(&gone);
            let wait = move || {
                gone.lock().expect("no panic").recv().expect("a word");
                Then::Nothing
            };
            deferred.start(For::Caller, wait).expect("a thread");
        }
        assert!(
            deferred.is_full(For::Caller) && !deferred.is_full(For::Lease) && deferred.wake_fd().is_some()
        );
        deferred.postpone(For::Caller, request(1), |_| true);
        deferred.postpone(For::Caller, request(2), |_| true);
        assert!(deferred.next().is_none());
        // Those of the other kind do not wait for these.
        deferred.postpone(For::Lease, request(3), |_| true);
        assert_eq!(deferred.next().map(|next| next.id.as_raw()), Some(3));
        go.send(()).expect("a thread");
        while deferred.ended().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(deferred.next().map(|next| next.id.as_raw()), Some(1));
        (1..AT_A_TIME).for_each(|_| go.send(()).expect("a thread"));
        while !deferred.is_idle() {
            deferred.ended();
        }
        assert!(deferred.wake_fd().is_none());
    }

    #[test]
    fn callers_that_are_gone_take_no_room() {
        let mut deferred = DeferredCalls::default();
        for id in 0..10 * MANY as u64 {
            deferred.postpone(For::Lease, request(id), |id| id.as_raw().is_multiple_of(1000));
        }
        assert!(deferred.line(For::Lease).waiting.len() <= MANY);
        assert_eq!(deferred.next().map(|next| next.id.as_raw()), Some(0));
    }
}
