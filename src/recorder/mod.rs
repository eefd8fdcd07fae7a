//! Learning: the worker that lets every notified call continue and records it.
//!
//! It observes a call before it continues, since later a name may lead to another file, records what it
//! observed, and then answers: the call continues, whatever was observed, except an open of the app's
//! streams at /proc/1/fd, which the supervisor answers with a descriptor or an errno. The call's result is
//! not known, so the predictable errors are recorded: a name that does not exist, a capability that the
//! caller lacks.

#![forbid(unsafe_code)]

mod address;
pub mod calls;
mod deduplicate;
mod exec;
mod files;
pub mod mounts;
mod network;
mod own_names;
mod process;
mod programs;
mod reading;
pub mod reads;
mod serve;
mod unreadable;

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::Duration;

use caps::Capability;
use nix::errno::Errno;

use self::calls::Kind;
use self::deduplicate::Deduplicator;
use self::mounts::Mounts;
use self::programs::{ProcessPrograms, ProgramName};
use self::reading::ReadObserver;
use self::reads::{Gap, Watcher, Watches};
use crate::event::ErrnoName;
use crate::ids::Pid;
use crate::init::request::{InitRequest, RequestSender, Worker};
use crate::journal::observation::{Observation, What};
use crate::journal::{Journal, Progress};
use crate::notify::caller::{Caller, Identity, Memory};
use crate::notify::capabilities;
use crate::notify::listener::Listener;
use crate::notify::memory_cache::MemoryCache;
use crate::notify::path_resolver::PathResolver;
use crate::notify::server::NotificationServer;
use crate::notify::unreadable::UNREADABLE;
use crate::policy::PolicyEngine;
use crate::policy::call::Call;
use crate::processes::proc_fs::LiveProcFs;
use crate::procfs::mountinfo;
use crate::readiness::notify_socket::NotifySocket;
use crate::readiness::startup::{ReadyCondition, StartupInput, StartupOutput, StartupState};
use crate::sys::seccomp::NotificationId;
use crate::syscalls::Handler;
use crate::tracer::Tracer;

/// The launch of the app: its exec is made by the supervisor's child.
pub struct Launch {
    /// The app's first process.
    pub app: Pid,
    /// The process that is the app by now (`--follow`).
    pub app_now: Arc<AtomicI32>,
    /// The path of COMMAND's file.
    pub file: PathBuf,
    /// Its arguments, COMMAND first.
    pub args: Vec<String>,
}

/// The worker of a learning run: a [`Recorder`] that has no listener yet.
pub struct RecorderWorker {
    /// Where observations go.
    pub journal: Arc<Journal>,
    /// The launch, whose exec is the first observation.
    pub launch: Launch,
    /// The supervisor's own ids, to take on a caller's and return.
    pub identity: Identity,
    /// What is observed besides notified calls.
    pub sources: ObservationSources,
}

impl Worker for RecorderWorker {
    fn run(mut self: Box<Self>, listener: Arc<OwnedFd>, requests: RequestSender) {
        if let Some(tracer) = &mut self.sources.tracer {
            tracer.start(self.launch.app, Arc::clone(&listener));
        }
        Recorder::new(*self, Listener::new(listener), requests).run();
    }
}

/// Observes notified calls and lets each continue.
struct Recorder {
    listener: Listener,
    requests: RequestSender,
    journal: Arc<Journal>,
    /// The process that is the app by now.
    app: Arc<AtomicI32>,
    launch: Option<Launch>,
    identity: Identity,
    mounts: Mounts,
    /// ip_unprivileged_port_start: the first port that needs no capability.
    first_port: u16,
    /// Reports files that are read, where not every open is notified.
    reads: Option<Watcher>,
    deduplicator: Deduplicator,
    recoveries: u64,
    rules: Arc<PolicyEngine>,
    /// The variables that the container was started with.
    inherited: Vec<Vec<u8>>,
    /// Traces processes before they become unreadable, where that is possible.
    tracer: Option<Tracer>,
    /// Only a kill interrupts the wait for an answer (WAIT_KILLABLE_RECV, Linux 5.19).
    killable: bool,
    programs: ProcessPrograms,
    memory_cache: MemoryCache,
    startup: StartupState,
    /// NOTIFY_SOCKET, where readiness is reported by it.
    notify_socket: Option<NotifySocket>,
    /// Inodes of the sockets that were passed to listen(2).
    sockets: Vec<u64>,
    /// TCP ports that the app named in bind(2).
    bound: Vec<u16>,
    /// Names with numbers that were compared with those of their processes.
    compared: HashSet<u64>,
    /// A process may have changed its root (chroot(2)).
    moves: bool,
    /// A lower bound on the number of live processes.
    alive: u32,
    /// The most live processes counted.
    most: u32,
    /// Programs whose digest was recorded or queued.
    digests: Vec<crate::image::FileId>,
}

/// What a learning run observes besides notified calls.
pub struct ObservationSources {
    /// The watches for files that are read, where not every open is notified.
    pub reads: Option<Watches>,
    /// NOTIFY_SOCKET, where readiness is reported by it.
    pub notify_socket: Option<NotifySocket>,
    /// What a profile without any settings refuses.
    pub rules: Arc<PolicyEngine>,
    /// The variables that the container was started with, each `NAME=VALUE`.
    pub inherited: Vec<Vec<u8>>,
    /// Traces processes before they become unreadable, where that is possible.
    pub tracer: Option<Tracer>,
    /// Only a kill interrupts the wait for an answer (WAIT_KILLABLE_RECV, Linux 5.19).
    pub killable: bool,
}

/// What was observed of a call before it continues.
#[derive(Default)]
pub struct CallObservations {
    observations: Vec<Observation>,
    /// The program that made the call, where none was recorded yet.
    program: String,
    /// A program to digest, which belongs to the first observation.
    file: Option<File>,
    /// The answer to the call, which the kernel would refuse only for the supervisor's sake.
    answer: Option<StandIn>,
    /// An exec that continues: the parent, the program and its image.
    exec: Option<(ProgramName, ProgramName, crate::image::FileId)>,
    /// The program that is executed cannot be read by its caller, so the process will not be
    /// dumpable.
    runs_unreadable: bool,
}

/// The answer to a call that concerns the supervisor in the app's place: what the app would get,
/// if it were PID 1 itself.
pub enum StandIn {
    /// A descriptor, and whether it has the close-on-exec flag.
    Opened(OwnedFd, bool),
    /// The call fails.
    Fails(Errno),
}

impl Recorder {
    /// Creates the recorder. The app's exec is a notified call, so it comes later.
    fn new(worker: RecorderWorker, listener: Listener, requests: RequestSender) -> Recorder {
        let RecorderWorker { journal, launch, identity, sources } = worker;
        let is_file = |path: &str| std::fs::metadata(path).is_ok_and(|found| !found.is_dir());
        let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        let mounts = Mounts::new(&mountinfo::read().unwrap_or_default(), is_file);
        let reads = sources.reads.and_then(|watches| watched(watches, &journal, &mounts));
        // With NOTIFY_SOCKET the app reports readiness; the listening check would come earlier.
        let when = if sources.notify_socket.is_some() {
            ReadyCondition::Notified
        } else {
            ReadyCondition::Listening
        };
        Recorder {
            listener,
            requests,
            journal,
            app: Arc::clone(&launch.app_now),
            launch: Some(launch),
            identity,
            mounts,
            first_port: first.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024),
            reads,
            deduplicator: Deduplicator::default(),
            recoveries: 0,
            rules: sources.rules,
            inherited: sources.inherited,
            tracer: sources.tracer,
            killable: sources.killable,
            programs: ProcessPrograms::default(),
            memory_cache: MemoryCache::default(),
            startup: StartupState::new(when),
            notify_socket: sources.notify_socket,
            sockets: Vec::new(),
            bound: Vec::new(),
            compared: HashSet::new(),
            moves: false,
            alive: 1,
            most: 0,
            digests: Vec::new(),
        }
    }

    /// Lets calls continue and records them until no process uses the filter any more. If the
    /// listener fails, the kernel answers ENOSYS to every waiting caller, and the recorder sends
    /// [`InitRequest::Failed`] to PID 1.
    fn run(mut self) {
        self.count(1);
        if let Err(error) = NotificationServer::new(&mut self).run() {
            (self.requests)(InitRequest::Failed(error));
        }
        if let Some(reads) = self.reads.take() {
            reads.finish();
        }
        self.journal.observed();
        // As in enforcing: only this thread can wait for the ends of threads that it traced.
        let Recorder { tracer, .. } = self;
        if let Some(tracer) = tracer {
            tracer.reap_for_ever();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        self.startup.deadline().map(|deadline| deadline.saturating_sub(self.journal.now()))
    }

    /// Handles a notify message or a timeout: start-up may be over.
    fn advance_startup(&mut self) {
        if self.notify_socket.as_mut().is_some_and(NotifySocket::poll_messages) {
            self.steps(StartupInput::Notified);
        }
        if self.startup.deadline().is_some_and(|deadline| self.journal.now() >= deadline) {
            self.steps(StartupInput::Timeout);
        }
    }

    fn steps(&mut self, input: StartupInput) {
        let mut output = self.startup.step(self.journal.now(), input);
        if output == Some(StartupOutput::ListSockets) {
            let listens = network::listens(&self.sockets);
            output = self.startup.step(self.journal.now(), StartupInput::Listed(listens));
        }
        if output == Some(StartupOutput::Ready) {
            self.write(Observation::ok(What::Ready { by: self.startup.when().word().into() }), None);
            self.deduplicator.serves();
            self.reads.iter().for_each(Watcher::mark);
            self.journal.progress(Progress::Ready);
        }
    }

    /// Reads what must be known before the call continues.
    fn look(&mut self, call: &Call, kind: Kind, caller: &Caller, id: NotificationId) -> CallObservations {
        match kind {
            Kind::Exec => return self.exec(call, caller),
            Kind::Open => return self.open(call, caller),
            Kind::Change => return CallObservations::of(self.change(call, caller)),
            Kind::Owner => return CallObservations::of(self.owner(call, caller)),
            Kind::Address => return CallObservations::of(self.address(call, caller)),
            Kind::Ioctl => return CallObservations::of(self.device(call, caller)),
            Kind::Listen => self.listen(call, caller),
            Kind::Memory => return CallObservations::of(self.memory(call, caller)),
            Kind::Kill => return CallObservations::of(self.kill(call, caller)),
            Kind::Limit => return CallObservations::of(self.limit(call, caller)),
            Kind::User => {
                // Opens the caller's memory while the kernel still allows it.
                let Recorder { memory_cache, identity, listener, .. } = self;
                memory_cache.open(caller, identity, || matches!(listener.is_valid(id), Ok(true)));
                return CallObservations::of(self.user(call, caller));
            }
            Kind::Privileged => return CallObservations::of(self.privileged(call, caller)),
            Kind::First | Kind::Plain => {}
        }
        CallObservations::default()
    }

    /// Records the observations, and that the call was made.
    fn record(&mut self, call: &Call, kind: Kind, observed: CallObservations) {
        match kind {
            Kind::Listen => self.taken(),
            Kind::Address if call.handler() == Handler::Bind => self.taken(),
            _ => {}
        }
        if call.handler() == Handler::Root {
            self.moves = true;
        }
        let capability_recorded =
            observed.observations.iter().any(|seen| matches!(seen.what, What::Capability { .. }));
        let mut file = observed.file;
        let mut result = None;
        for observation in observed.observations {
            // One call has one result.
            result = Some(observation.result.clone()).filter(|result| result != "ok").or(result);
            self.write(observation, file.take());
        }
        let identity = calls::identity(call, kind);
        let has_program = !observed.program.is_empty();
        let mut made = calls::observation(call, observed.program);
        if matches!(kind, Kind::User | Kind::Privileged | Kind::Owner)
            && let Some(result) = result.filter(|result| result == "EPERM")
        {
            made.result = result;
        }
        let settles = kind.settles(call, made.result == "ok", capability_recorded);
        if self.write(made, None) {
            if has_program {
                self.deduplicator.remember_program(call.number, identity);
            }
            if settles {
                self.deduplicator.remember_call(call.number, kind, identity);
            }
        }
    }

    /// Queues a new observation. Returns false where the journal dropped it.
    fn write(&mut self, observation: Observation, file: Option<File>) -> bool {
        let recoveries = self.journal.recoveries();
        if std::mem::replace(&mut self.recoveries, recoveries) != recoveries {
            self.deduplicator.forget();
            self.digests.clear();
        }
        let Some(new) = self.deduplicator.observe(self.journal.now(), &observation) else { return true };
        if let What::Exec { program, loader, interpreter, .. } = &observation.what {
            self.journal.executed(&[program, loader, interpreter]);
        }
        let written = self.journal.put(new.line, file);
        if written {
            self.deduplicator.remember(new.key);
        }
        written
    }

    /// Records that a process was forked, where this call is the first that is seen of its caller's. The
    /// first call of a C library also follows an exec: then the program is found out, since what the process
    /// forks may be the next to call, and is identified by the stack of that exec.
    fn note_process(&mut self, caller: &Caller, kind: Kind) {
        let proc_fs = LiveProcFs(&self.identity);
        let exactly = matches!(kind, Kind::First | Kind::Exec);
        // The app's first process is the supervisor's child until its exec.
        if self.launch.is_none() && !self.programs.has(caller, exactly, &proc_fs) {
            let parent = self.programs.of(caller, &proc_fs);
            self.forked(parent);
        } else if self.launch.is_none() && kind == Kind::First {
            self.programs.of(caller, &proc_fs);
        }
    }

    /// Records that a process of this program was forked.
    fn forked(&mut self, parent: ProgramName) {
        self.alive += 1;
        if self.alive > self.most {
            let now = crate::procfs::processes::count(Pid::own()).unwrap_or(self.most);
            self.count(now);
        }
        self.write(calls::fork(parent.path), None);
    }

    /// Records the number of live processes if it is the highest so far.
    fn count(&mut self, now: u32) {
        self.alive = now;
        if now > self.most {
            self.most = now;
            self.write(Observation::ok(What::Limit { limit: "processes".into(), value: now.into() }), None);
        }
    }

    fn taken(&mut self) {
        self.startup.step(self.journal.now(), StartupInput::Bound);
        self.journal.progress(Progress::Bound);
    }

    fn resolver(&self) -> PathResolver<'_> {
        PathResolver { identity: &self.identity, moves: self.moves }
    }

    /// A caller's memory, from the cache or to be opened.
    fn memory_of<'a>(&'a self, caller: &'a Caller) -> Memory<'a> {
        match self.memory_cache.get(caller) {
            Some(file) => Memory::opened(&self.identity, caller, file),
            None => Memory::of(&self.identity, caller),
        }
    }

    fn program(&mut self, caller: &Caller) -> String {
        self.programs.of(caller, &LiveProcFs(&self.identity)).path
    }

    /// The observation that a call needed a capability; EPERM where the caller lacks it.
    fn needed(&mut self, caller: &Caller, call: &Call, capability: Capability) -> Observation {
        let result = if capabilities::has(caller, capability) { "ok".to_owned() } else { "EPERM".to_owned() };
        let program = self.program(caller);
        let name = crate::profile::capability_word(capability);
        let call = call.name.unwrap_or_default().to_owned();
        Observation { what: What::Capability { program, capability: name, call }, result }
    }
}

impl CallObservations {
    fn of(observations: Vec<Observation>) -> CallObservations {
        CallObservations { observations, ..CallObservations::default() }
    }

    /// Whether what was to be read of the caller was read.
    fn is_whole(&self) -> bool {
        !self.observations.is_empty() && self.observations.iter().all(|one| one.result != "EACCES")
    }
}

/// Starts the watcher, which reports each file opened from now on.
fn watched(watches: Watches, journal: &Arc<Journal>, mounts: &Mounts) -> Option<Watcher> {
    let mut reading = ReadObserver::new(Arc::clone(journal), mounts.clone());
    watches.gaps().iter().for_each(|gap| reading.gap(gap));
    let started = watches.start(move |event| reading.observe(event));
    started
        .inspect_err(|error| {
            let errno = crate::sys::errno(error);
            tracing::error!(%errno, "files that are read will not be in the journal");
            let mut reading = ReadObserver::new(Arc::clone(journal), mounts.clone());
            reading.gap(&Gap::Ended { errno });
        })
        .ok()
}

/// The predicted result of a call, as the journal writes it.
fn result(errno: Option<Errno>) -> String {
    match errno {
        None => "ok".to_owned(),
        // The kernel refused the supervisor's own read of the caller.
        Some(UNREADABLE) => ErrnoName(Errno::EACCES).to_string(),
        Some(errno) => ErrnoName(errno).to_string(),
    }
}
