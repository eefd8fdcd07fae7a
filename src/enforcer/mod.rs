//! The worker that answers notified calls: receive, find out, ask the rulebook,
//! answer, and follow what has to be looked at afterwards ([`trace`](crate::tracer)). It
//! never waits for the first thread, and the first thread never for it.
//!
//! Whatever was read of the caller is worth something only while the caller still
//! waits, so the id is checked before every answer that rests on it. An answer of
//! "continue" guards nothing by itself: the kernel decides again (see
//! [`verdict`](crate::policy)).

#![forbid(unsafe_code)]

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
mod serve;
pub mod socket_registry;
mod sockets;
mod startup;
mod watched;

pub use startup::Watch;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use crate::enforcer::inodes::Inodes;
use crate::enforcer::socket_registry::{Held, Socket};
use crate::event::Scribe;
use crate::filter::Access;
use crate::ids::Pid;
use crate::image::FileId;
use crate::init::request::{Bell, Request};
use crate::notify::caller::{Caller, Identity, Memory};
use crate::notify::listener::Listener;
use crate::notify::memory_cache::Kept;
use crate::notify::server::NotificationServer;
use crate::notify::unreadable::UNREADABLE;
use crate::plan::{PR_SET_DUMPABLE, ProgramIndex};
use crate::policy::call::{Call, Ids};
use crate::policy::{Refusal, Rulebook};
use crate::processes::forks::Forks;
use crate::processes::proc_fs::LiveProcFs;
use crate::processes::programs::ProgramTable;
use crate::sys::seccomp::NotificationId;
use crate::syscalls::{self, Handler};
use crate::tracer::{Tracer, What};
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
    pub listener: Listener,
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
    pub entry: ProgramIndex,
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
    programs: ProgramTable,
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
    /// Serves notified calls until no process uses the filter any more, or until the listener
    /// fails: then it is closed, so that no caller waits for ever.
    pub fn run(mut self) {
        self.raise_limit();
        if let Err(error) = NotificationServer::new(&mut self).run() {
            (self.requests)(Request::Failed(error));
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

    /// Finds out what has to be known of a call, and asks the rulebook.
    fn judge(&mut self, call: &Call, caller: &Caller) -> Outcome {
        let Some(name) = call.name else { return Outcome::Refuse(self.rules.unlisted(call)) };
        if let Some(outcome) = self.early(call, caller) {
            return outcome;
        }
        let special = match call.handler() {
            Handler::Exec => {
                let outcome = self.exec(call, caller);
                let goes_on = matches!(outcome, Outcome::Continue | Outcome::Watch(_));
                if goes_on || (self.audit && !matches!(outcome, Outcome::Wait(_))) {
                    self.memory.kept.executes(caller);
                }
                outcome
            }
            Handler::Open => self.open(call, caller),
            Handler::Change(_) => self.change(call, caller),
            Handler::Bind | Handler::Connect => self.address(call, caller),
            Handler::Socket => self.socket(call, caller),
            Handler::Listen if self.rules.policy().makes_sockets => self.listen(call, caller),
            Handler::Signal | Handler::SignalThread | Handler::PidfdOpen => self.signal(call, caller),
            Handler::Map | Handler::Protect | Handler::Attach if self.rules.access(name).is_some() => {
                self.code(call, caller)
            }
            Handler::Fork => self.fork(call, caller),
            Handler::Prctl if call.args[0] as u32 == PR_SET_DUMPABLE as u32 => {
                self.set_dumpable(call, caller)
            }
            Handler::Memfd if self.rules.policy().seals_memfd => self.memfd(call, caller),
            Handler::SetUid | Handler::SetGid => {
                self.keep(caller);
                return self.change_user(call, caller);
            }
            Handler::Listen | Handler::Map | Handler::Protect | Handler::Attach => self.other(call, caller),
            Handler::Prctl | Handler::Memfd | Handler::Personality => self.other(call, caller),
            Handler::Send | Handler::Socketpair | Handler::SocketOption => self.other(call, caller),
            Handler::SignalPidfd | Handler::Schedule | Handler::Limit(_) => self.other(call, caller),
            Handler::SetGroups | Handler::Capset | Handler::Attribute(_) => self.other(call, caller),
            Handler::Ioctl | Handler::Root | Handler::NotImplemented => self.other(call, caller),
            Handler::Plain => self.other(call, caller),
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
        let entry = self.program_entry(caller);
        if next.uids != ids.uids
            && let Some(refusal) = self.rules.user(entry, next.uids)
        {
            return Outcome::Refuse(refusal);
        }
        if let Some(entry) = entry.filter(|_| next != ids) {
            self.memory.programs.set(caller.tgid, entry, &LiveProcFs(&self.identity));
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
        if let Some(entry) = self.program_entry(caller) {
            self.memory.programs.set(caller.tgid, entry, &LiveProcFs(&self.identity));
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
        kept.keep(caller, &self.identity, || matches!(self.listener.is_valid(*waiting), Ok(true)));
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

    /// The entry that the caller's process is; `None` where it cannot be identified.
    fn program_entry(&mut self, caller: &Caller) -> Option<ProgramIndex> {
        self.memory.programs.entry(caller, &LiveProcFs(&self.identity), &*self.rules)
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
