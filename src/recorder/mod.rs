//! Learning: the worker that lets every notified call go on and writes down what it was.
//!
//! It looks first, since afterwards a name is another file's or nobody's; then the call
//! goes on, whatever was seen or could not be; and then it is written. What the call came
//! to is not seen, so what can be told beforehand is told: a name that is not there, a
//! right that the caller lacks.

#![forbid(unsafe_code)]

mod address;
pub mod calls;
mod deduplicate;
mod exec;
mod files;
pub mod mounts;
mod network;
mod process;
mod programs;
mod reading;
pub mod reads;
mod serve;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use caps::Capability;
use nix::errno::Errno;

use self::calls::Kind;
use self::deduplicate::Deduplicator;
use self::mounts::Mounts;
use self::programs::{Name, Programs};
use self::reading::ReadObserver;
use self::reads::{Gap, Watcher, Watches};
use crate::event::ErrnoName;
use crate::ids::Pid;
use crate::init::request::{InitRequest, RequestSender};
use crate::journal::observation::{Observation, What};
use crate::journal::{Journal, Progress};
use crate::notify::caller::{Caller, Identity, Memory};
use crate::notify::capabilities;
use crate::notify::listener::Listener;
use crate::notify::memory_cache::MemoryCache;
use crate::notify::path_resolver::PathResolver;
use crate::notify::server::NotificationServer;
use crate::notify::unreadable::UNREADABLE;
use crate::policy::call::Call;
use crate::processes::proc_fs::LiveProcFs;
use crate::procfs::mountinfo;
use crate::readiness::notify_socket::NotifySocket;
use crate::readiness::startup::{ReadyCondition, Startup, StartupInput, StartupOutput};
use crate::sys::seccomp::NotificationId;
use crate::syscalls::Handler;

/// The launch, whose exec is the supervisor's own.
pub struct Launch {
    /// The process.
    pub app: Pid,
    /// COMMAND's file.
    pub file: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// Observes notified calls and lets each continue.
pub struct Recorder {
    listener: Listener,
    requests: RequestSender,
    journal: Arc<Journal>,
    launch: Option<Launch>,
    identity: Identity,
    mounts: Mounts,
    /// The first port that everybody may bind.
    first_port: u16,
    /// Tells of files that are read, where not every open is notified.
    reads: Option<Watcher>,
    deduplicator: Deduplicator,
    recoveries: u64,
    programs: Programs,
    memory_cache: MemoryCache,
    startup: Startup,
    /// Where the app says that it is ready, if it was asked to.
    notify_socket: Option<NotifySocket>,
    /// Sockets that were listened on, by inode.
    sockets: Vec<u64>,
    /// A process may have another root.
    moves: bool,
    /// At least so many processes are alive.
    alive: u32,
    /// The most that were counted.
    most: u32,
    /// Programs whose digest is in the journal or on its way.
    digests: Vec<crate::image::FileId>,
}

/// What a learning run observes besides notified calls.
#[derive(Default)]
pub struct ObservationSources {
    /// Files that are read, where not every open is notified.
    pub reads: Option<Watches>,
    /// Where the app says that it is ready, if it was asked to.
    pub notify_socket: Option<NotifySocket>,
}

/// What was observed of a call before it continues.
#[derive(Default)]
pub struct CallObservations {
    observations: Vec<Observation>,
    /// A program that was not digested yet, which belongs to the first of them.
    file: Option<File>,
    /// An exec that continues.
    exec: Option<(Name, Name, crate::image::FileId)>,
}

impl Recorder {
    /// Begins: the app is about to be executed.
    pub fn new(
        listener: Arc<OwnedFd>,
        requests: RequestSender,
        journal: Arc<Journal>,
        launch: Launch,
        identity: Identity,
        sources: ObservationSources,
    ) -> Recorder {
        let is_file = |path: &str| std::fs::metadata(path).is_ok_and(|found| !found.is_dir());
        let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        let mounts = Mounts::new(&mountinfo::read().unwrap_or_default(), is_file);
        let reads = sources.reads.and_then(|watches| watched(watches, &journal, &mounts));
        // Who asks for the app's word has it: a guess would come before.
        let when = if sources.notify_socket.is_some() {
            ReadyCondition::Notified
        } else {
            ReadyCondition::Listening
        };
        Recorder {
            listener: Listener::new(listener),
            requests,
            journal,
            launch: Some(launch),
            identity,
            mounts,
            first_port: first.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024),
            reads,
            deduplicator: Deduplicator::default(),
            recoveries: 0,
            programs: Programs::default(),
            memory_cache: MemoryCache::default(),
            startup: Startup::new(when),
            notify_socket: sources.notify_socket,
            sockets: Vec::new(),
            moves: false,
            alive: 1,
            most: 0,
            digests: Vec::new(),
        }
    }

    /// Lets calls go on and writes them down until no process uses the filter any more.
    /// Where the listener fails the kernel answers ENOSYS to every caller that waits, and the
    /// first thread is asked to report it.
    pub fn run(mut self) {
        self.count(1);
        if let Err(error) = NotificationServer::new(&mut self).run() {
            (self.requests)(InitRequest::Failed(error));
        }
        if let Some(reads) = self.reads.take() {
            reads.finish();
        }
        self.journal.observed();
    }

    fn timeout(&self) -> Option<Duration> {
        self.startup.deadline().map(|deadline| deadline.saturating_sub(self.journal.now()))
    }

    /// Time has passed, or the app has said something: start-up may be over.
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

    /// Finds out what has to be known before the call goes on.
    fn look(&mut self, call: &Call, kind: Kind, caller: &Caller, id: NotificationId) -> CallObservations {
        match kind {
            Kind::Exec => return self.exec(call, caller),
            Kind::Open => return CallObservations::of(self.open(call, caller)),
            Kind::Change => return CallObservations::of(self.change(call, caller)),
            Kind::Owner => return CallObservations::of(self.owner(call, caller)),
            Kind::Address => return CallObservations::of(self.address(call, caller)),
            Kind::Ioctl => return CallObservations::of(self.device(call, caller)),
            Kind::Listen => self.listen(call, caller),
            Kind::Memory => return CallObservations::of(self.memory(call, caller)),
            Kind::Kill => return CallObservations::of(self.kill(call, caller)),
            Kind::Limit => return CallObservations::of(self.limit(call, caller)),
            Kind::User => {
                // Who it is, while that can be seen.
                let Recorder { memory_cache, identity, listener, .. } = self;
                memory_cache.open(caller, identity, || matches!(listener.is_valid(id), Ok(true)));
                return CallObservations::of(self.user(call, caller));
            }
            Kind::Privileged => return CallObservations::of(self.privileged(call, caller)),
            // A child is told by its parent's stack, which has to be known by then.
            Kind::Fork => drop(self.programs.of(caller, &LiveProcFs(&self.identity))),
            Kind::Plain => {}
        }
        CallObservations::default()
    }

    /// Writes what was seen, and that the call was made.
    fn record(&mut self, call: &Call, kind: Kind, observed: CallObservations) {
        match kind {
            Kind::Fork => {
                self.alive += 1;
                if self.alive > self.most {
                    let now = crate::procfs::processes::count(Pid::own()).unwrap_or(self.most);
                    // The child may be there by now, or not yet.
                    self.count(now.max(1));
                }
            }
            Kind::Listen => self.taken(),
            Kind::Address if call.handler() == Handler::Bind => self.taken(),
            _ => {}
        }
        if call.handler() == Handler::Root {
            self.moves = true;
        }
        let told = observed.observations.iter().any(|seen| matches!(seen.what, What::Capability { .. }));
        let mut file = observed.file;
        let mut result = None;
        for observation in observed.observations {
            // One call has one result.
            result = Some(observation.result.clone()).filter(|result| result != "ok").or(result);
            self.write(observation, file.take());
        }
        let mut made = calls::observation(call);
        if matches!(kind, Kind::User | Kind::Privileged | Kind::Owner)
            && let Some(result) = result.filter(|result| result == "EPERM")
        {
            made.result = result;
        }
        let settles = kind.settles(call, made.result == "ok", told);
        if self.write(made, None) && settles {
            self.deduplicator.remember_call(call.number, kind, calls::identity(call, kind));
        }
    }

    /// Writes it where it is new. False where it was dropped.
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

    /// So many processes are alive.
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

    /// A caller's memory, kept or to be opened.
    fn memory_of<'a>(&'a self, caller: &'a Caller) -> Memory<'a> {
        match self.memory_cache.get(caller) {
            Some(file) => Memory::opened(&self.identity, caller, file),
            None => Memory::of(&self.identity, caller),
        }
    }

    fn program(&mut self, caller: &Caller) -> String {
        self.programs.of(caller, &LiveProcFs(&self.identity)).path
    }

    /// That a call needed a capability, which the caller has or has not.
    fn needed(&mut self, caller: &Caller, call: &Call, capability: Capability) -> Observation {
        let result = if capabilities::has(caller, capability) { "ok".to_owned() } else { "EPERM".to_owned() };
        let program = self.program(caller);
        let name = capability.to_string().trim_start_matches("CAP_").to_ascii_lowercase();
        let call = call.name.unwrap_or_default().to_owned();
        Observation { what: What::Capability { program, capability: name, call }, result }
    }
}

impl CallObservations {
    fn of(observations: Vec<Observation>) -> CallObservations {
        CallObservations { observations, ..CallObservations::default() }
    }
}

/// Has told what is opened from here on.
fn watched(watches: Watches, journal: &Arc<Journal>, mounts: &Mounts) -> Option<Watcher> {
    let mut reading = ReadObserver::new(Arc::clone(journal), mounts.clone());
    watches.gaps().iter().for_each(|blind| reading.blind(blind));
    let started = watches.start(move |told| reading.observe(told));
    started
        .inspect_err(|error| {
            let errno = crate::sys::errno(error);
            tracing::error!(%errno, "files that are read will not be in the journal");
            let mut reading = ReadObserver::new(Arc::clone(journal), mounts.clone());
            reading.blind(&Gap::Ended { errno });
        })
        .ok()
}

/// What is known beforehand of how a call ends.
fn result(errno: Option<Errno>) -> String {
    match errno {
        None => "ok".to_owned(),
        // What the kernel answers the supervisor, which reads it.
        Some(UNREADABLE) => ErrnoName(Errno::EACCES).to_string(),
        Some(errno) => ErrnoName(errno).to_string(),
    }
}
