//! A learning run: the app as it is, with no_new_privs and a filter that notifies, and
//! the journal of what it does.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;

use caps::Capability;

use super::error::StartupError;
use super::init::Init;
use super::options::Options;
use super::start::{self, Started};
use super::variables::CheckedVariables;
use crate::enforce::launch::Confinement;
use crate::event::{ModeInForce, ModeSource, Sink, redact};
use crate::ids::Pid;
use crate::image::fingerprint::Fingerprint;
use crate::init::event_loop::Supervision;
use crate::init::tracees::Tracees;
use crate::journal::line::{self, Outer};
use crate::journal::{DEFAULT, Journal, JournalDestination};
use crate::notify::caller::Identity;
use crate::plan::learn::Watched;
use crate::plan::{NotifyTransport, Plan};
use crate::policy::PolicyEngine;
use crate::profile::{Mode, RunAs, capability_word, in_order};
use crate::readiness::notify_socket::{self, NotifySocket};
use crate::recorder::reads::{self, Gap, Watches};
use crate::recorder::{Launch, ObservationSources, RecorderWorker};
use crate::sys::{self, CallError};
use crate::tracer::Tracer;

/// Launches the app for a learning run.
pub(super) fn launch(
    options: &Options,
    mut init: Init,
    run_as: Option<RunAs>,
    said_by: ModeSource,
) -> Result<Started, StartupError> {
    // Read before the filter of this start is in force.
    let filtered = sys::prctl::is_filtered();
    let denied = if filtered { sys::syscall_probe::refused_by_runtime() } else { Vec::new() };
    let environment = start::environment(options, None, Vec::new(), Vec::new(), true)?;
    let (kernel, host) = (&environment.kernel, &environment.host);
    if let Err(why) = &kernel.notify {
        return Err(StartupError::NoListener(*why));
    }
    let changes_user = [Capability::CAP_SETUID, Capability::CAP_SETGID];
    if changes_user.iter().any(|capability| host.permitted.contains(capability)) {
        Identity::probe().map_err(CallError::of("file-system ids"))?;
    }
    let to = destination(options);
    // Before directories are watched: this one is not.
    to.prepare()?;
    // Where this is not PID 1 of a container, the watches would report other containers' opens.
    let alone = std::process::id() == 1;
    let watches = if options.exact || !alone { None } else { watches(&to) };
    let fingerprint = Fingerprint::of(&init.found, start::release());
    let glibc = fingerprint.libc.as_deref().is_some_and(|libc| libc.starts_with("glibc"));
    let watched = Watched { exact: options.exact, reads: watches.is_none(), glibc };
    let unwatched = crate::plan::learn::unwatched(kernel, watched);
    let plan = Plan::learning(kernel, host, run_as, watched);
    let killable = kernel.notify.as_ref().is_ok_and(|notify| notify.wait_killable);
    let variables = init.environment.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let inherited = variables.clone().map(|(name, value)| [name, b"=", value].concat()).collect();
    let rules = Arc::new(PolicyEngine::new(&plan).started_with(variables));
    let tracer = tracer(&plan, &rules, killable);
    let notify_socket = open_notify_socket(&mut init)?;
    let sources = ObservationSources { reads: watches, notify_socket, rules, inherited, tracer, killable };
    let confinement = Confinement::prepare(&plan)?;
    let app = init.app(options, &CheckedVariables::default(), environment.signals, None)?;
    let args: Vec<String> = options.command.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let capabilities = in_order(&host.permitted).into_iter().map(capability_word).collect();
    let outer =
        Outer { seccomp: filtered, capabilities, denied: denied.into_iter().map(str::to_owned).collect() };
    let first = line::Start {
        journal: line::VERSION,
        run: String::new(),
        command: redact::secrets(&args),
        label: options.label.clone(),
        exact: options.exact,
        unwatched: Some(unwatched.into_iter().map(str::to_owned).collect()),
        fingerprint,
        outer,
    };
    let lines = init.closed(options, &app);
    init.prepare(options, true)?;
    // Last of all that can fail: a run that did not start leaves no journal.
    let journal = Arc::new(Journal::create(&to, &args[0], first)?);
    let file = init.found.clone();
    let (child, watch) = start::launch(&app, &confinement, &plan, &init.inherited, |child| {
        let app_now = Arc::new(AtomicI32::new(child.pid));
        let launch = Launch { app: Pid::from_raw(child.pid), app_now, file: file.clone(), args };
        watch(options, &plan, said_by, environment.sink, journal, launch, sources)
    })?;
    let watch = Supervision { lines, ..watch };
    Ok(Started { child, signals: environment.descriptor, watch, file })
}

/// Traces processes before they become unreadable. Where that is not possible, what they do is not
/// learned, and the journal says so of each call.
fn tracer(plan: &Plan, rules: &Arc<PolicyEngine>, killable: bool) -> Option<Tracer> {
    if !plan.traces() {
        let why = "a process that changes its user cannot be traced here; what it does then is not learned";
        tracing::warn!("{why}");
        return None;
    }
    let made = Tracer::new(Arc::clone(rules), killable);
    made.inspect_err(|errno| tracing::warn!(%errno, "no process can be traced")).ok()
}

/// Where the journal goes.
fn destination(options: &Options) -> JournalDestination {
    match &options.learn_dir {
        None => JournalDestination::Directory(DEFAULT.into()),
        Some(name) if name == "-" => JournalDestination::Stderr,
        Some(name) => {
            JournalDestination::Directory(std::path::absolute(name).unwrap_or_else(|_| name.into()))
        }
    }
}

/// Opens a socket for the app's NOTIFY_SOCKET, where the container was started with one: its
/// messages are read here and passed on.
fn open_notify_socket(init: &mut Init) -> Result<Option<NotifySocket>, StartupError> {
    let Some(outer) = init.variable(notify_socket::VARIABLE).filter(|outer| !outer.is_empty()) else {
        return Ok(None);
    };
    let notify_socket = NotifySocket::open(NotifyTransport::AbstractSocket, Some(&outer))
        .map_err(StartupError::NotifySocket)?;
    init.set_variable(notify_socket::VARIABLE, notify_socket.value());
    Ok(Some(notify_socket))
}

/// A watch on every directory, so that files which are read need no notification; none
/// where these cannot be had for all.
fn watches(to: &JournalDestination) -> Option<Watches> {
    let skip = match to {
        JournalDestination::Directory(directory) => vec![directory.clone()],
        JournalDestination::Stderr => Vec::new(),
    };
    let watches = Watches::new(&reads::Place { skip, ..reads::Place::default() });
    let watches = watches.inspect_err(|errno| tracing::debug!(%errno, "no watches: every open is notified"));
    watches.ok().filter(|watches| !watches.gaps().iter().any(|gap| matches!(gap, Gap::Full { .. })))
}

/// Makes the supervisor, with its recorder.
fn watch(
    options: &Options,
    plan: &Plan,
    said_by: ModeSource,
    sink: Sink,
    journal: Arc<Journal>,
    launch: Launch,
    sources: ObservationSources,
) -> Result<Supervision, StartupError> {
    // No profile is in force.
    let writer = start::writer(options, plan, String::new(), sink)?;
    journal.start()?;
    let identity = Identity::own().map_err(CallError::of("own ids"))?;
    let mode = ModeInForce { value: Mode::Learn, source: said_by };
    let start = start::event(plan, mode, launch.app.as_raw(), &launch.file, launch.args.clone());
    let same = Arc::clone(&journal);
    let mailbox = sources.tracer.as_ref().map(Tracer::mailbox);
    Ok(Supervision {
        lines: Vec::new(),
        writer,
        app: Arc::clone(&launch.app_now),
        start,
        tracees: mailbox.map(|mailbox| mailbox as Arc<dyn Tracees>),
        worker: Box::new(RecorderWorker { journal, launch, identity, sources }),
        journal: Some(same),
    })
}
