//! The worker that answers notified calls: receive, find out, ask the rulebook,
//! answer, and follow what has to be looked at afterwards ([`trace`](crate::tracer)). It
//! never waits for the first thread, and the first thread never for it.
//!
//! Whatever was read of the caller is worth something only while the caller still
//! waits, so the id is checked before every answer that rests on it. An answer of
//! "continue" guards nothing by itself: the kernel decides again (see
//! [`verdict`](crate::policy)).

mod change;
mod code;
mod conclude;
mod conclusion;
mod deeds;
mod exec;
mod files;
mod fork;
mod hand_over;
pub mod inodes;
mod later;
mod numbers;
mod perform;
mod report;
pub mod socket_registry;
mod sockets;
mod startup;
mod watched;

pub use startup::Watch;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::enforcer::inodes::Inodes;
use crate::enforcer::socket_registry::{Held, Socket};
use crate::event::Scribe;
use crate::filter::Access;
use crate::ids::{Pid, Tid};
use crate::image::FileId;
use crate::init::request::{Bell, Request};
use crate::kernel::Arch;
use crate::notify::caller::{Caller, Identity, Memory};
use crate::notify::listener;
use crate::notify::memory_cache::Kept;
use crate::notify::unreadable::UNREADABLE;
use crate::plan::PR_SET_DUMPABLE;
use crate::policy::call::{Call, Ids};
use crate::policy::network::Direction;
use crate::policy::{Refusal, Rulebook};
use crate::processes::forks::Forks;
use crate::processes::table::Families;
use crate::readiness::notify_socket::Ears;
use crate::sys::seccomp::{self, Answer, NotificationId};
use crate::sys::signal::Mask;
use crate::syscalls;
use crate::tracer::{Tracer, What};
use conclusion::Conclusion;
use hand_over::Pace;
use later::{Later, Leased};
use sockets::Deed;

/// What becomes of a call.
enum Outcome {
    /// The kernel goes on with it.
    Continue,
    /// It fails as the kernel would have let it fail: no violation.
    Fail(Errno),
    /// The file would become longer than the caller's RLIMIT_FSIZE: EFBIG, and SIGXFSZ.
    Exceeds,
    /// The supervisor did it, and this is its value.
    Done(i64),
    /// The supervisor opened it; and whether it closes at an exec.
    Opened(OwnedFd, bool),
    /// The supervisor made this socket, and has a copy; and whether it closes at an exec.
    Made(Socket, bool),
    /// It is decided once a file has no lease.
    Wait(Leased),
    /// The supervisor does it, however long that takes, and answers then.
    Delegate(Box<Deed>),
    /// The kernel goes on with it, and what comes of it is looked at.
    Watch(What),
    /// It is refused.
    Refuse(Box<Refusal>),
    /// The kernel will refuse it by itself; it is only told.
    Tell(Box<Refusal>),
    /// The caller could not be read.
    Unread,
}

/// The worker's state.
pub struct Judge {
    /// The filter's listener.
    pub listener: Arc<OwnedFd>,
    /// What is decided by.
    pub rules: Arc<Rulebook>,
    /// Looks at what was executed, where a rule needs it.
    pub tracer: Option<Tracer>,
    /// The document of the profile in force, for hints.
    pub document: String,
    /// Where events go.
    pub scribe: Arc<Scribe>,
    /// Violations are only observed.
    pub audit: bool,
    /// The wait for an answer is broken by nothing but a kill (Linux 5.19).
    pub killable: bool,
    /// Variables that enforcing would have taken out at the launch: nobody inside gave
    /// them to whoever has them.
    pub inherited: Vec<Vec<u8>>,
    /// The launched process, whose first exec is the supervisor's own.
    pub app: Pid,
    /// The entry that COMMAND is.
    pub entry: usize,
    /// Where the first thread is asked.
    pub requests: Bell,
    /// The supervisor's ids, for looking and acting as the caller and back.
    pub identity: Identity,
    /// The sockets that are made here.
    pub held: Arc<Mutex<Held>>,
    /// The start-up, where it has an end.
    pub startup: Option<Watch>,
    /// What is remembered between calls.
    pub memory: Remembered,
}

/// What is remembered between calls.
#[derive(Default)]
pub struct Remembered {
    /// The profile as a value, from the first hint on.
    document: OnceCell<serde_json::Value>,
    families: Families,
    kept: Kept,
    /// The inodes that rights on tracked names are for.
    inodes: RefCell<Inodes>,
    launched: bool,
    loaders: HashMap<FileId, bool>,
    /// As many processes as there are at most, with pending forks.
    processes: u32,
    forks: Forks,
    pace: Pace,
    later: Later,
    /// The notified call that is being decided.
    waiting: NotificationId,
}

impl Remembered {
    /// Nothing yet but the inodes that are there at the start.
    pub fn with(inodes: Inodes) -> Remembered {
        Remembered { inodes: RefCell::new(inodes), ..Remembered::default() }
    }
}

impl Judge {
    /// Answers until nobody uses the filter any more, or until that cannot be done:
    /// then the listener is closed, so that nobody waits for ever.
    pub fn run(mut self) {
        listener::prepare(&self.listener);
        self.raise_limit();
        if let Err((what, errno)) = self.answer_all() {
            (self.requests)(Request::Failed(what, errno));
        }
        // The parent of a process that has ended can reap it only once this thread has waited
        // for the ends of the traced threads, which from Linux 6.11 on come after the filter's.
        if let Some(tracer) = self.give_up() {
            tracer.see_to_the_end();
        }
    }

    /// Closes all that is held.
    fn give_up(self) -> Option<Tracer> {
        self.tracer
    }

    /// The copies of sockets may need more descriptors than a soft limit grants. The app was
    /// forked before, with its own.
    fn raise_limit(&self) {
        if !self.rules.policy().makes_sockets {
            return;
        }
        match crate::sys::process::raise_limit(libc::RLIMIT_NOFILE) {
            Ok(limit) => self.held.lock().unwrap_or_else(PoisonError::into_inner).limit(limit),
            Err(errno) => tracing::debug!(%errno, "the limit on descriptors stays"),
        }
    }

    fn answer_all(&mut self) -> Result<(), Failed> {
        while self.wait()? {
            match seccomp::receive(&self.listener) {
                Ok(request) => {
                    // Who calls may have the number of one that the first thread has buried.
                    self.hear();
                    self.follow_startup();
                    self.handle(&request)?;
                }
                // The caller died, or a signal came: on to the next.
                Err(Errno::ENOENT | Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(("receiving a notified call", errno)),
            }
        }
        Ok(())
    }

    /// Waits for a call, and sees to whoever is seized meanwhile; false once there is nobody
    /// left who could make one.
    fn wait(&mut self) -> Result<bool, Failed> {
        loop {
            self.hear();
            self.decide_ended()?;
            let has_next = self.memory.later.has_next();
            let timeout = if has_next { Some(Duration::ZERO) } else { self.timeout() };
            let ears = self.startup.iter().filter_map(|watch| watch.ears.as_ref()).flat_map(Ears::fds);
            let ears = ears.chain(self.memory.later.bell());
            let bell = self.tracer.as_ref().map(Tracer::bell);
            let mask = if bell.is_some() { Mask::ALL_BUT_CHILD } else { Mask::ALL };
            let heard = listener::wait(&self.listener, bell, ears, timeout, mask)
                .map_err(|errno| ("waiting for a notified call", errno))?;
            self.follow_startup();
            if heard.bell || heard.signal {
                self.follow(heard.signal);
            }
            if heard.call && self.memory.later.lets_pass() {
                return Ok(true);
            }
            if has_next {
                self.decide_next()?;
                continue;
            }
            if heard.over {
                return Ok(false);
            }
        }
    }

    /// Until the clock brings something; for ever where it brings nothing.
    fn timeout(&self) -> Option<Duration> {
        let deadline = self.startup.as_ref().and_then(Watch::deadline);
        deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn handle(&mut self, request: &seccomp::Request) -> Result<(), Failed> {
        let call = Call {
            name: syscalls::name(Arch::THIS, request.data.nr as u32),
            number: request.data.nr as u32,
            args: request.data.args,
        };
        let tid = Tid::from_raw(request.pid as i32);
        self.memory.waiting = request.id;
        let notified = (call.number, call.args);
        let asks = self.tracer.as_ref().and_then(|tracer| tracer.asks(tid, notified));
        let outcome = match (Caller::of(tid), asks) {
            // It makes it for us, by what we put into its registers.
            _ if self.tracer.as_ref().is_some_and(|tracer| tracer.makes(tid, notified)) => {
                Conclusion::Answer(Answer::Continue)
            }
            (Ok(caller), Some(wanted)) => self.asked_for_socket(request, wanted, &caller),
            (Ok(mut caller), None) => {
                if self.is_postponed(request, &call, &caller) {
                    return Ok(());
                }
                caller.handed = self.tracer.as_mut().and_then(|tracer| tracer.handed(tid, notified));
                let outcome = self.judge(&call, &caller);
                if !self.waits()? {
                    return Ok(());
                }
                if matches!(outcome, Outcome::Unread | Outcome::Fail(UNREADABLE))
                    && (self.has_handed_out(request, &caller) || !self.waits()?)
                {
                    return Ok(());
                }
                match outcome {
                    Outcome::Wait(leased) => self.wait_for_lease(leased, request, &caller),
                    outcome => {
                        if caller.handed.is_some() {
                            self.tracer.iter_mut().for_each(|tracer| tracer.decided(tid));
                        }
                        self.conclude(outcome, &call, &caller)
                    }
                }
            }
            (Err(_), _) if !self.waits()? => return Ok(()),
            // Without /proc, or out of descriptors, nothing is known of the caller.
            (Err(errno), _) => {
                tracing::error!(%tid, %errno, "a caller's status cannot be read");
                self.conclude(Outcome::Unread, &call, &Caller::unknown(tid))
            }
        };
        let answered = match outcome {
            Conclusion::Answer(answer) => seccomp::answer(&self.listener, request.id, answer),
            Conclusion::Exceeds(caller) => self.exceeds_limit(request.id, &caller),
            Conclusion::Hand(handed) => self.hand_over(request, handed),
            Conclusion::Nothing => Ok(()),
        };
        match answered {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(("answering a notified call", errno)),
        }
    }

    /// Whether the caller still waits: then what was read of its thread id was
    /// read of it, and of no other that took the number over.
    fn waits(&self) -> Result<bool, Failed> {
        let valid = seccomp::still_valid(&self.listener, self.memory.waiting);
        valid.map_err(|errno| ("asking whether a notified call still waits", errno))
    }

    /// Finds out what has to be known of a call, and asks the rulebook.
    fn judge(&mut self, call: &Call, caller: &Caller) -> Outcome {
        let Some(name) = call.name else { return Outcome::Refuse(self.rules.unlisted(call)) };
        if let Some(outcome) = self.early(call, caller) {
            return outcome;
        }
        let special = match name {
            "execve" | "execveat" => {
                let outcome = self.exec(call, caller);
                let goes_on = matches!(outcome, Outcome::Continue | Outcome::Watch(_));
                if goes_on || (self.audit && !matches!(outcome, Outcome::Wait(_))) {
                    self.memory.kept.executes(caller);
                }
                outcome
            }
            "open" | "openat" | "openat2" | "creat" => self.open(call, caller),
            "mkdir" | "mkdirat" | "mknod" | "mknodat" | "symlink" | "symlinkat" | "link" | "linkat"
            | "unlink" | "unlinkat" | "rmdir" | "rename" | "renameat" | "renameat2" | "truncate" => {
                self.change(call, caller)
            }
            "bind" => self.address(call, caller, Direction::Listen),
            "connect" => self.address(call, caller, Direction::Connect),
            "socket" => self.socket(call, caller),
            "listen" if self.rules.policy().makes_sockets => self.listen(call, caller),
            "kill" | "tkill" | "tgkill" | "rt_sigqueueinfo" | "rt_tgsigqueueinfo" | "pidfd_open" => {
                self.signal(call, caller)
            }
            "mmap" | "mprotect" | "pkey_mprotect" | "shmat" if self.rules.access(name).is_some() => {
                self.code(call, caller)
            }
            "clone" | "fork" | "vfork" => self.fork(call, caller),
            "prctl" if call.args[0] as u32 == PR_SET_DUMPABLE as u32 => self.set_dumpable(call, caller),
            "memfd_create" if self.rules.policy().seals_memfd => self.memfd(call, caller),
            _ => {
                if syscalls::changes_user(name) {
                    self.keep(caller);
                    return self.change_user(call, caller);
                }
                self.other(call, caller)
            }
        };
        // A section may grant what no call of the profile reaches.
        match special {
            Outcome::Continue
            | Outcome::Watch(_)
            | Outcome::Done(_)
            | Outcome::Opened(..)
            | Outcome::Made(..)
            | Outcome::Wait(_)
            | Outcome::Delegate(_)
            | Outcome::Unread
                if self.rules.access(name).is_none() && !self.is_launch(caller) =>
            {
                Outcome::Refuse(self.rules.unlisted(call))
            }
            outcome => outcome,
        }
    }

    fn other(&self, call: &Call, caller: &Caller) -> Outcome {
        let name = call.name.unwrap_or_default();
        match self.rules.access(name) {
            None => Outcome::Refuse(self.rules.unlisted(call)),
            Some(_) if self.reaches_us(call) => Outcome::Refuse(self.rules.signal(call)),
            Some(Access::When(_)) if !self.rules.lists(call) => Outcome::Refuse(self.rules.argument(call)),
            Some(_) => {
                let ids = Ids { uids: caller.uids, gids: caller.gids };
                let refused = syscalls::privileged(name)
                    .and_then(|capability| self.rules.capability(call, capability, &ids));
                let Some(refusal) = refused else { return Outcome::Continue };
                match self.may_change_owner(call, caller) {
                    Ok(Some(true)) => Outcome::Continue,
                    Ok(_) => Outcome::Tell(refusal),
                    Err(errno) => unknown(errno),
                }
            }
        }
    }

    /// A set*id call. The process is traced first: afterwards it could not be.
    fn change_user(&mut self, call: &Call, caller: &Caller) -> Outcome {
        let outcome = self.other(call, caller);
        let ids = Ids { uids: caller.uids, gids: caller.gids };
        let Some(next) = ids.after(call) else { return outcome };
        let entry = self.memory.families.entry(caller, &self.identity, &self.rules);
        if next.uids != ids.uids
            && let Some(refusal) = self.rules.user(entry, next.uids)
        {
            return Outcome::Refuse(refusal);
        }
        if let Some(entry) = entry.filter(|_| next != ids) {
            self.memory.families.is(caller.tgid, entry);
        }
        match outcome {
            Outcome::Continue if next != ids => self.trace_first(What::User, caller),
            outcome => outcome,
        }
    }

    /// prctl(PR_SET_DUMPABLE): traced while it can be, as for a change of user.
    fn set_dumpable(&mut self, call: &Call, caller: &Caller) -> Outcome {
        match self.rules.access("prctl") {
            None => return Outcome::Refuse(self.rules.unlisted(call)),
            Some(_) if !self.rules.may_set_dumpable(call) => {
                return Outcome::Refuse(self.rules.argument(call));
            }
            Some(_) => {}
        }
        self.hide(call, caller)
    }

    /// Lets a call go on after which its process may be one that cannot be read.
    fn hide(&mut self, call: &Call, caller: &Caller) -> Outcome {
        if call.name == Some("prctl") && call.args[1] != 0 {
            return self.trace_first(What::Readable, caller);
        }
        self.keep(caller);
        if let Some(entry) = self.memory.families.entry(caller, &self.identity, &self.rules) {
            self.memory.families.is(caller.tgid, entry);
        }
        self.trace_first(What::User, caller)
    }

    /// Has a process traced before a call goes on. Where no exec is checked, none that is in
    /// flight is known to be over: to trace a thread then would wait for that exec, and the
    /// exec for a thread that is traced already.
    fn trace_first(&mut self, what: What, caller: &Caller) -> Outcome {
        let traces = self.tracer.is_some() && (self.rules.checks() || !self.memory.kept.is_executing(caller));
        if traces { Outcome::Watch(what) } else { Outcome::Continue }
    }

    /// Opens the memory of a caller that is about to change its ids.
    fn keep(&mut self, caller: &Caller) {
        let Remembered { kept, waiting, .. } = &mut self.memory;
        kept.keep(caller, &self.identity, || {
            matches!(seccomp::still_valid(&self.listener, *waiting), Ok(true))
        });
    }

    /// A caller's memory, kept or to be opened.
    fn memory_of<'a>(&'a self, caller: &'a Caller) -> Memory<'a> {
        match self.memory.kept.of(caller) {
            Some(file) => Memory::kept(&self.identity, caller, file),
            None => Memory::of(&self.identity, caller),
        }
    }

    /// A file in memory, which has no path to be held against: made here, sealed against
    /// being executed, and handed over. The name is read once, and flags are registers.
    /// MFD_EXEC asks for nothing that an honest program needs: it may still map it.
    fn memfd(&self, call: &Call, caller: &Caller) -> Outcome {
        const MFD_EXEC: u32 = 16;
        // Longer ones the kernel refuses (MFD_NAME_MAX_LEN).
        let name = self.memory_of(caller).path(call.args[0]);
        let name = name.and_then(|name| std::ffi::CString::new(name).map_err(|_| Errno::EINVAL));
        let flags = call.args[1] as u32;
        let made = name.and_then(|name| {
            let flags = (flags & !MFD_EXEC) | libc::MFD_CLOEXEC;
            self.identity.become_caller(caller, || crate::sys::files::sealed_memfd(&name, flags))
        });
        match made {
            Ok(fd) => Outcome::Opened(fd, flags & libc::MFD_CLOEXEC != 0),
            Err(errno) => Outcome::Fail(errno),
        }
    }

    fn is_launch(&self, caller: &Caller) -> bool {
        !self.memory.launched && caller.tgid == self.app
    }
}

/// What becomes of a call of which something could not be found out: it fails, as it would
/// in the kernel, which is not asked, since another thread could have it succeed there. A
/// caller that could not be read is another matter.
fn unknown(errno: Errno) -> Outcome {
    match errno {
        UNREADABLE | Errno::EIO | Errno::ESRCH => Outcome::Unread,
        errno => Outcome::Fail(errno),
    }
}

/// Descriptors or memory of the supervisor's own have run out.
const fn is_own_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)
}

/// What could not be done with the listener, and why.
type Failed = (&'static str, Errno);
