//! The enforcer: a [handler](crate::notify::server::NotificationHandler) of the notification server that
//! decides each notified call by the [policy](crate::policy), carries the decision out, and
//! has the [tracer](crate::tracer) verify what an exec has started. Its thread never waits for
//! the first thread, and the first thread never for it.
//!
//! What was read of the caller is valid only while the caller still waits, so the notification id
//! is checked before every answer that depends on it. An answer of "continue" enforces nothing by
//! itself: the kernel decides again (see
//! [`policy`](crate::policy)).

#![forbid(unsafe_code)]

mod change;
mod code;
mod conclude;
mod conclusion;
mod data;
mod deferred_calls;
mod deferred_socket_ops;
mod exec;
mod files;
mod fork;
pub mod inodes;
mod install_descriptor;
mod moves;
mod numbers;
mod perform;
mod report;
mod serve;
pub mod socket_registry;
mod sockets;
mod startup;
mod streams;
mod watched;

pub use startup::StartupWatch;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use crate::enforcer::inodes::Inodes;
use crate::enforcer::socket_registry::{Socket, SocketRegistry};
use crate::event::EventWriter;
use crate::filter::Access;
use crate::ids::Pid;
use crate::image::{FileId, Time};
use crate::init::request::{InitRequest, RequestSender, Worker};
use crate::notify::caller::{Caller, Identity, Memory};
use crate::notify::listener::Listener;
use crate::notify::memory_cache::MemoryCache;
use crate::notify::server::NotificationServer;
use crate::notify::unreadable::UNREADABLE;
use crate::plan::{PR_SET_DUMPABLE, ProgramIndex};
use crate::policy::call::{Call, Ids};
use crate::policy::{Denial, PolicyEngine};
use crate::processes::forks::Forks;
use crate::processes::proc_fs::LiveProcFs;
use crate::processes::programs::ProgramTable;
use crate::sys::seccomp::NotificationId;
use crate::syscalls::{self, Handler};
use crate::tracer::{Operation, Tracer};
use deferred_calls::{DeferredCalls, LeasedFile};
use install_descriptor::CallerLatency;
use sockets::DeferredSocketOp;

/// The decision on a call.
enum Decision {
    /// The kernel continues it.
    Continue,
    /// It fails with the errno that the kernel would have answered: no violation.
    Fail(Errno),
    /// The file would become longer than the caller's RLIMIT_FSIZE: EFBIG, and SIGXFSZ.
    ExceedsFileSize,
    /// The supervisor performed it, and this is its return value.
    Value(i64),
    /// The supervisor opened this file for it; and whether it has the close-on-exec flag.
    Opened(OwnedFd, bool),
    /// The supervisor made this socket, and has a copy; and whether it has the close-on-exec flag.
    MadeSocket(Socket, bool),
    /// It is decided once a lease on this file has been released.
    AwaitLease(LeasedFile),
    /// A thread of its own performs this, and answers then.
    Defer(Box<DeferredSocketOp>),
    /// The kernel continues it, traced.
    Trace(Operation),
    /// It is denied: errno, event, and the action of `on_violation`.
    Deny(Box<Denial>),
    /// The kernel continues it and will refuse it; it is only reported.
    Report(Box<Denial>),
    /// The caller's memory or descriptors could not be read.
    CallerUnreadable,
}

/// The worker of an enforced or audited run: an [`Enforcer`] that has no listener yet.
pub struct EnforcerWorker {
    /// The policy with its lookups.
    pub rules: Arc<PolicyEngine>,
    /// Verifies what an exec has started, where a rule needs that.
    pub tracer: Option<Tracer>,
    /// The document of the profile in force, for hints.
    pub document: String,
    /// Where events go.
    pub writer: Arc<EventWriter>,
    /// Violations are only observed.
    pub audit: bool,
    /// Only a kill interrupts the wait for an answer (WAIT_KILLABLE_RECV, Linux 5.19).
    pub killable: bool,
    /// Variables that the container was started with and that enforcing would have removed at
    /// the launch: no process inside has set them.
    pub inherited: Vec<Vec<u8>>,
    /// The launched process, whose first exec is the supervisor's own.
    pub app: Pid,
    /// The process that is the app by now (`--follow`).
    pub app_now: Arc<AtomicI32>,
    /// The entry that COMMAND is.
    pub entry: ProgramIndex,
    /// The supervisor's own ids, to take on a caller's and return.
    pub identity: Identity,
    /// The start-up, where it has an end.
    pub startup: Option<StartupWatch>,
    /// The inodes that rights on tracked names are for, as they are at the start.
    pub inodes: Inodes,
}

impl Worker for EnforcerWorker {
    fn run(mut self: Box<Self>, listener: Arc<OwnedFd>, requests: RequestSender) {
        if let Some(tracer) = &mut self.tracer {
            tracer.start(self.app, Arc::clone(&listener));
        }
        Enforcer::new(*self, Listener::new(listener), requests).run();
    }
}

/// Decides notified calls by a policy.
struct Enforcer {
    listener: Listener,
    requests: RequestSender,
    rules: Arc<PolicyEngine>,
    tracer: Option<Tracer>,
    document: String,
    writer: Arc<EventWriter>,
    audit: bool,
    killable: bool,
    inherited: Vec<Vec<u8>>,
    app: Pid,
    app_now: Arc<AtomicI32>,
    entry: ProgramIndex,
    identity: Identity,
    /// The sockets that the supervisor has made for the app.
    sockets: Arc<Mutex<SocketRegistry>>,
    startup: Option<StartupWatch>,
    memory: Remembered,
}

/// What is remembered between calls.
#[derive(Default)]
struct Remembered {
    /// The profile as a value, from the first hint on.
    document: OnceCell<serde_json::Value>,
    programs: ProgramTable,
    memory_cache: MemoryCache,
    /// The inodes that rights on tracked names are for.
    inodes: RefCell<Inodes>,
    /// Directories below those of programs, and whether they belong to the user that asked: when they
    /// had last changed when they were looked at, and whether they are data.
    data: RefCell<HashMap<(FileId, bool), (Time, bool)>>,
    launched: bool,
    loaders: HashMap<FileId, bool>,
    /// As many processes as there are at most, with pending forks.
    processes: u32,
    forks: Forks,
    latency: CallerLatency,
    deferred: DeferredCalls,
    /// The notified call that is being decided.
    waiting: NotificationId,
}

impl Enforcer {
    fn new(worker: EnforcerWorker, listener: Listener, requests: RequestSender) -> Enforcer {
        let EnforcerWorker { rules, tracer, document, writer, audit, killable, inherited, .. } = worker;
        let EnforcerWorker { app, app_now, entry, identity, startup, inodes, .. } = worker;
        Enforcer {
            listener,
            requests,
            rules,
            tracer,
            document,
            writer,
            audit,
            killable,
            inherited,
            app,
            app_now,
            entry,
            identity,
            sockets: Arc::default(),
            startup,
            memory: Remembered { inodes: RefCell::new(inodes), ..Remembered::default() },
        }
    }

    /// Serves notified calls until no process uses the filter any more, or until the listener
    /// fails: then it is closed, so that no caller waits for ever.
    fn run(mut self) {
        self.raise_limit();
        if let Err(error) = NotificationServer::new(&mut self).run() {
            (self.requests)(InitRequest::Failed(error));
        }
        // The parent of a process that has ended can reap it only once this thread has waited
        // for the ends of the traced threads, which from Linux 6.11 on come after the filter's.
        if let Some(tracer) = self.into_tracer() {
            tracer.reap_for_ever();
        }
    }

    /// Drops all but the tracer: the listener, sockets and files are closed.
    fn into_tracer(self) -> Option<Tracer> {
        self.tracer
    }

    /// The copies of sockets may need more descriptors than a soft limit grants. The app was
    /// forked before, with its own.
    fn raise_limit(&self) {
        if !self.rules.policy().makes_sockets {
            return;
        }
        match crate::sys::process::raise_limit(libc::RLIMIT_NOFILE) {
            Ok(limit) => self.sockets.lock().unwrap_or_else(PoisonError::into_inner).limit(limit),
            Err(errno) => tracing::debug!(%errno, "the limit on descriptors stays"),
        }
    }

    /// Reads what has to be known of a call, and decides it by the policy.
    fn decide_call(&mut self, call: &Call, caller: &Caller) -> Decision {
        let Some(name) = call.name else { return Decision::Deny(self.rules.unlisted(call)) };
        if call.handler() == Handler::Root {
            self.rules.root_changes();
        }
        if let Some(decision) = self.early(call, caller) {
            return decision;
        }
        let special = match call.handler() {
            Handler::Exec => {
                let decision = self.exec(call, caller);
                let goes_on = matches!(decision, Decision::Continue | Decision::Trace(_));
                if goes_on || (self.audit && !matches!(decision, Decision::AwaitLease(_))) {
                    self.memory.memory_cache.exec_continues(caller);
                }
                decision
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
        // A section of the profile may grant what its `syscalls` do not list.
        let decision = match special {
            Decision::Continue
            | Decision::Trace(_)
            | Decision::Value(_)
            | Decision::Opened(..)
            | Decision::MadeSocket(..)
            | Decision::AwaitLease(_)
            | Decision::Defer(_)
            | Decision::CallerUnreadable
                if self.rules.access(name).is_none() && !self.is_launch(caller) =>
            {
                Decision::Deny(self.rules.unlisted(call))
            }
            decision => decision,
        };
        match decision {
            Decision::Deny(refusal) => call.quiet().map_or(Decision::Deny(refusal), Decision::Fail),
            decision => decision,
        }
    }

    fn other(&self, call: &Call, caller: &Caller) -> Decision {
        let name = call.name.unwrap_or_default();
        let own = self.of_itself(call, caller);
        match self.rules.access(name) {
            None => Decision::Deny(self.rules.unlisted(call)),
            Some(_) if own.is_none() && self.reaches_supervisor(call) => {
                Decision::Deny(self.rules.signal(call))
            }
            Some(Access::When(_)) if !self.rules.lists(own.as_ref().unwrap_or(call)) => {
                Decision::Deny(self.rules.argument(call))
            }
            Some(_) => {
                let ids = Ids { uids: caller.uids, gids: caller.gids };
                let refused = syscalls::privileged(name)
                    .and_then(|capability| self.rules.capability(call, capability, &ids));
                // Without the profile the kernel would refuse it to this caller too.
                let Some(refusal) = refused.filter(|_| !is_unprivileged(caller)) else {
                    return Decision::Continue;
                };
                match self.may_change_owner(call, caller) {
                    Ok(Some(true)) => Decision::Continue,
                    Ok(_) => Decision::Report(refusal),
                    Err(errno) => unknown(errno),
                }
            }
        }
    }

    /// A set*id call. The process is traced first: afterwards it could not be.
    fn change_user(&mut self, call: &Call, caller: &Caller) -> Decision {
        let decision = self.other(call, caller);
        let ids = Ids { uids: caller.uids, gids: caller.gids };
        let Some(next) = ids.after(call) else { return decision };
        let entry = self.program_entry(caller);
        if next.uids != ids.uids
            && let Some(refusal) = self.rules.user(entry, next.uids)
        {
            return Decision::Deny(refusal);
        }
        if let Some(entry) = entry.filter(|_| next != ids) {
            self.memory.programs.set(caller.tgid, entry, &LiveProcFs(&self.identity));
        }
        match decision {
            Decision::Continue if next != ids => self.trace_first(Operation::BecomeUnreadable, caller),
            decision => decision,
        }
    }

    /// prctl(PR_SET_DUMPABLE): traced while it can be, as for a change of user.
    fn set_dumpable(&mut self, call: &Call, caller: &Caller) -> Decision {
        match self.rules.access("prctl") {
            None => return Decision::Deny(self.rules.unlisted(call)),
            Some(_) if !self.rules.may_set_dumpable(call) => {
                return Decision::Deny(self.rules.argument(call));
            }
            Some(_) => {}
        }
        self.hide(call, caller)
    }

    /// Continues a call after which its process may be unreadable.
    fn hide(&mut self, call: &Call, caller: &Caller) -> Decision {
        if call.name == Some("prctl") && call.args[1] != 0 {
            return self.trace_first(Operation::BecomeReadable, caller);
        }
        self.remember(caller);
        if let Some(parent) = caller.vfork_parent() {
            self.remember(&parent);
        }
        self.trace_first(Operation::BecomeUnreadable, caller)
    }

    /// What cannot be read of a process once it is unreadable.
    fn remember(&mut self, caller: &Caller) {
        self.keep(caller);
        if let Some(entry) = self.program_entry(caller) {
            self.memory.programs.set(caller.tgid, entry, &LiveProcFs(&self.identity));
        }
    }

    /// Has a process traced before its call continues. Without the post-exec verification the supervisor
    /// does not know when an exec is over. To attach during one would deadlock: PTRACE_SEIZE waits for the
    /// lock of the exec, and the exec waits for a traced thread to be reaped.
    fn trace_first(&mut self, operation: Operation, caller: &Caller) -> Decision {
        let traces =
            self.tracer.is_some() && (self.rules.checks() || !self.memory.memory_cache.is_executing(caller));
        if traces { Decision::Trace(operation) } else { Decision::Continue }
    }

    /// Opens the memory of a caller that is about to change its ids.
    fn keep(&mut self, caller: &Caller) {
        let Remembered { memory_cache, waiting, .. } = &mut self.memory;
        memory_cache.open(caller, &self.identity, || matches!(self.listener.is_valid(*waiting), Ok(true)));
    }

    /// A caller's memory: from the cache, or to be opened.
    fn memory_of<'a>(&'a self, caller: &'a Caller) -> Memory<'a> {
        match self.memory.memory_cache.get(caller) {
            Some(file) => Memory::opened(&self.identity, caller, file),
            None => Memory::of(&self.identity, caller),
        }
    }

    /// memfd_create(2). The file has no path that a rule could name, so it is made here, sealed
    /// against exec, and handed over. The name is read once, and the flags are in registers.
    /// MFD_EXEC is cleared: a program may still map the file.
    fn memfd(&self, call: &Call, caller: &Caller) -> Decision {
        const MFD_EXEC: u32 = 16;
        // Longer ones the kernel refuses (MFD_NAME_MAX_LEN).
        let name = self.memory_of(caller).path(call.args[0]);
        let name = name.and_then(|name| std::ffi::CString::new(name).map_err(|_| Errno::EINVAL));
        let flags = call.args[1] as u32;
        let made = name.and_then(|name| {
            let flags = (flags & !MFD_EXEC) | libc::MFD_CLOEXEC;
            self.identity.with_caller_creds(caller, || crate::sys::files::sealed_memfd(&name, flags))
        });
        match made {
            Ok(fd) => Decision::Opened(fd, flags & libc::MFD_CLOEXEC != 0),
            Err(errno) => Decision::Fail(errno),
        }
    }

    /// The entry that the caller's process is; `None` where it cannot be identified.
    fn program_entry(&mut self, caller: &Caller) -> Option<ProgramIndex> {
        self.memory.programs.entry(caller, &LiveProcFs(&self.identity), &*self.rules)
    }

    /// The process that is the app by now.
    fn current_app(&self) -> Pid {
        Pid::from_raw(self.app_now.load(Ordering::Relaxed))
    }

    fn is_launch(&self, caller: &Caller) -> bool {
        !self.memory.launched && caller.tgid == self.app
    }
}

/// Whether a caller has no capability, and no id by which it could have one.
fn is_unprivileged(caller: &Caller) -> bool {
    caller.effective == 0 && !caller.uids.iter().any(|uid| uid.is_root())
}

/// The decision on a call whose arguments could not be resolved: it fails as it would in the
/// kernel. It does not continue, since another thread could make it succeed there. A caller that
/// could not be read is decided about separately.
fn unknown(errno: Errno) -> Decision {
    match errno {
        UNREADABLE | Errno::EIO | Errno::ESRCH => Decision::CallerUnreadable,
        errno => Decision::Fail(errno),
    }
}

/// Descriptors or memory of the supervisor's own have run out.
const fn is_own_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)
}
