//! The shim, as a story: read the command line, find COMMAND, load the profile, look
//! at the place, plan, prepare, launch, supervise.
//!
//! Up to the launch every failure ends with one line and its exit code, and nothing
//! has been applied. From the launch on the supervisor does not die before the
//! container does.

#![forbid(unsafe_code)]

pub mod command;
mod init;
mod learn;
mod learned;
mod next_start;
pub mod options;
pub mod refusal;
pub mod users;

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use self::command::Search;
use self::init::Init;
use self::next_start::NextStart;
use self::options::{Asked, Options};
use self::refusal::{Dialect, Refused};
use crate::enforce::launch::{self, Child, Confinement};
use crate::enforce::source::{self, Loaded};
use crate::enforce::{examine, place, probe};
use crate::enforcer::inodes::Inodes;
use crate::enforcer::{self, Judge, Remembered};
use crate::event::{
    self, Beginning, Destination, LayerName, ModeInForce, Process, Scribe, Sink, Source, Start,
};
use crate::ids::Pid;
use crate::image::digest::digest;
use crate::image::live::Live;
use crate::init::event_loop::{self, Watch};
use crate::init::tracees::Tracees;
use crate::notify::caller::Identity;
use crate::notify::listener::Listener;
use crate::plan::{Layer, LayerState, Plan, ProgramIndex};
use crate::policy::{Rulebook, program::Called, program::Target};
use crate::profile::{Fallback, Mode, RunAs};
use crate::readiness::notify_socket;
use crate::sys;
use crate::sys::descriptors::Inherited;
use crate::sys::signal::Mask;
use crate::sys::threads::NotMade;
use crate::tracer::Tracer;
use crate::visible;

/// Runs the shim and answers with its exit code.
pub fn main(
    args: impl Iterator<Item = OsString>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> u8 {
    let mut args: Vec<OsString> = args.collect();
    let environment: Vec<(OsString, OsString)> = environment.collect();
    let dialect = options::dialect(&mut args);
    let stands_in_for = *dialect.as_ref().unwrap_or(&Dialect::Remit);
    match dialect.and_then(|dialect| story(args, dialect, environment)) {
        Ok(code) => code,
        Err(refused) => {
            let (code, text) = refused.told(stands_in_for);
            say(&mut std::io::stderr(), &text);
            event::termination(text.trim_end());
            code
        }
    }
}

/// Says it where somebody listens; where nobody does, the exit code still tells.
fn say(to: &mut dyn Write, text: &str) {
    if let Err(error) = to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        tracing::debug!(%error, "nobody listens");
    }
}

fn story(
    args: Vec<OsString>,
    dialect: Dialect,
    mut environment: Vec<(OsString, OsString)>,
) -> Result<u8, Refused> {
    // Before anything is opened: what is open now was inherited.
    let inherited = Inherited::list();
    let parent = nix::unistd::getppid();
    let called_as = args.first().map(PathBuf::from);
    let variable =
        |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let path = variable("PATH");
    let mut options = match options::read(args, dialect, &variable)? {
        Asked::Print(text) => {
            say(&mut std::io::stdout(), &visible::lines(&text));
            return Ok(0);
        }
        Asked::PrintError(text) => {
            say(&mut std::io::stderr(), &visible::lines(&text));
            return Ok(0);
        }
        Asked::Doctor { json } => {
            let diagnosis = examine::here(true);
            let text = if json { format!("{}\n", diagnosis.to_value()) } else { diagnosis.to_string() };
            say(&mut std::io::stdout(), &visible::lines(&text));
            return Ok(diagnosis.verdict.code());
        }
        Asked::Run(options) => *options,
    };
    if let Err(why) = event::log::install(event::log::level(options.own_verbosity())) {
        // stderr is closed: there is nobody to tell.
        drop(why);
    }
    let user = options.run_as.as_deref().map(users::resolve).transpose()?;
    if let Some(user) = &user {
        environment.retain(|(name, _)| name != "HOME");
        environment.push(("HOME".into(), user.home.clone().into()));
    }
    let mode = mode_before_the_profile(&options);
    let off = matches!(mode, Some((Mode::Off, _)));
    let search = if off { Search::Anywhere } else { Search::Absolute };
    let found = match command::find(&options.command[0], path.clone(), search, &Live) {
        Ok(found) => found,
        Err(error) => init::by_a_shell(&mut options, error, off)?,
    };
    let run_as = user.map(|user| user.ids);
    let init = Init { found, environment, inherited, parent };
    if off {
        return init.run(&options, run_as);
    }
    if let Some((Mode::Learn, said_by)) = mode {
        // No profile is in force; but as whom the app runs, one that was named says.
        let named = options.profile.as_deref();
        let named = named.map(|name| source::load(Some(name), &init.found, &Live)).transpose()?;
        let run_as = run_as.or_else(|| named.and_then(|loaded| loaded.document.profile.run_as));
        return learned(&options, init, run_as, said_by);
    }
    let loaded = source::load(options.profile.as_deref(), &init.found, &Live)?;
    let (mode, said_by) = mode.unwrap_or((loaded.document.profile.mode, Source::Profile));
    match mode {
        Mode::Off => return init.run(&options, run_as),
        Mode::Learn => {
            return learned(&options, init, run_as.or(loaded.document.profile.run_as), said_by);
        }
        Mode::Enforce | Mode::Audit => {}
    }
    let at = init.found.clone();
    let next = NextStart {
        options: &options,
        loaded: &loaded,
        called_as: called_as.as_deref(),
        path,
        found: &at,
        files: &Live,
    };
    let (guarded, links) = (next.guarded(), next.links());
    let unlike = loaded.path.as_deref().map(learned::unlike).unwrap_or_default();
    let this = Confined { loaded, guarded, links, unlike, mode, said_by, run_as, init };
    let (child, signals, watch) = confined(&options, this)?;
    init::finish(event_loop::run(child, init::behaviour(&options), Some((signals, watch))), &options, &at)
}

fn learned(options: &Options, mut init: Init, run_as: Option<RunAs>, said_by: Source) -> Result<u8, Refused> {
    let (child, signals, watch) = learn::launched(options, &mut init, run_as, said_by)?;
    let at = init.found;
    init::finish(event_loop::run(child, init::behaviour(options), Some((signals, watch))), options, &at)
}

/// What a flag, the environment or the name that it was called by says of the mode.
/// A drop-in for tini confines nobody by surprise.
fn mode_before_the_profile(options: &Options) -> Option<(Mode, Source)> {
    match options.mode {
        None if options.dialect != Dialect::Remit && options.profile.is_none() => {
            Some((Mode::Off, Source::Name))
        }
        mode => mode,
    }
}

/// All that a confined run starts from.
struct Confined {
    loaded: Loaded,
    guarded: Vec<(&'static str, PathBuf)>,
    links: Vec<(&'static str, PathBuf)>,
    /// In what this place differs from those where the profile was learned.
    unlike: Vec<String>,
    mode: Mode,
    said_by: Source,
    run_as: Option<RunAs>,
    init: Init,
}

/// Launches it; what only the launch needed is freed with this.
fn confined(options: &Options, mut this: Confined) -> Result<(Child, OwnedFd, Watch), Refused> {
    let as_asked = this.run_as.is_some();
    if let Some(ids) = this.run_as.take() {
        let profile = &mut this.loaded.document.profile;
        // What a profile grants to root is not for a user that it knows nothing of.
        if !ids.user.is_root() && profile.run_as.is_none() {
            profile.capabilities.clear();
        }
        profile.run_as = Some(ids);
    }
    let embedded = this.loaded.path.is_none();
    let mut place = place::here(
        Some(this.init.found.clone()),
        std::mem::take(&mut this.guarded),
        std::mem::take(&mut this.links),
        embedded,
    )?;
    if let Destination::Unix(path) = &options.events {
        place.event_socket = Some(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone()));
    }
    // Opened before the plan, which protects the file of one that has just been made;
    // its thread starts after the launch, since a fork takes only one thread along.
    let sink = Sink::open(&options.events, sys::descriptors::duplicate)?;
    let signals = init::take_signals()?;
    let descriptor = sys::signal::descriptor(Mask::ALL).map_err(|errno| format!("signalfd: {errno}"))?;
    let kernel = probe::kernel()?;
    let plan =
        Plan::new(&this.loaded.document.profile, &kernel, &place, &Live, this.mode).map_err(|error| {
            if as_asked && error.pointer == "/run_as" {
                return format!("--run-as: {}", error.text);
            }
            format!("profile {}: {error}", this.loaded.source)
        })?;
    if let Some(refusal) = plan.refusal() {
        return Err(refusal.into());
    }
    for note in &plan.not_followed {
        tracing::warn!("profile {}: {note}", this.loaded.source);
    }
    if plan.kernel.notify.is_ok() && plan.has_other_users() {
        Identity::probe().map_err(|errno| format!("file-system ids: {errno}"))?;
    }
    let environment = this.init.environment.iter();
    let environment = environment.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let rules = Arc::new(Rulebook::new(&plan).started_with(environment));
    let entry = entry(options, &plan, &rules, &this)?;
    let startup = startup(&plan, &mut this.init)?;
    let confinement = Confinement::prepare(&plan)?;
    let drop = [&*plan.environment_drop, &*plan.policy.environment_keep];
    let command = this.init.app(options, drop, signals, None)?;
    this.init.prepare(options, true)?;
    let child = launch::launch(&command, Some(&confinement))?;
    if let Err(why) = launch::settle(Some(&plan), &this.init.inherited) {
        return Err(abandon(child.pid, why));
    }
    let own = Identity::own().map_err(|errno| format!("the supervisor's own credentials: {errno}"));
    let watched = own.and_then(|identity| {
        make_threads(&plan, &child, identity.clone())?;
        watch(options, &mut this, &plan, Judged { rules, entry, startup, identity }, sink, child.pid)
    });
    match watched {
        Ok(watch) => Ok((child, descriptor, watch)),
        Err(why) => Err(abandon(child.pid, why)),
    }
}

/// Makes ready the supervisor's threads, and makes them where the filter waits for their
/// numbers.
fn make_threads(plan: &Plan, child: &Child, identity: Identity) -> Result<(), String> {
    let other_users = plan.has_other_users();
    sys::threads::prepare(plan.threads(), move || identity.take_back(other_users));
    let numbers = sys::threads::make(plan.threads_in_filter()).map_err(|error| match error {
        NotMade::Started(errno) => {
            format!("a thread cannot be started: {errno}; raise the container's limit of processes")
        }
        NotMade::Listed(errno) => {
            format!("the supervisor's threads cannot be listed in /proc/self/task: {errno}")
        }
    })?;
    child.tell_threads(&numbers).map_err(|errno| format!("the numbers of threads: {errno}"))
}

fn io(error: std::io::Error) -> String {
    error.to_string()
}

/// The child waits for us or runs by itself; it must not outlive a failure.
fn abandon(child: i32, why: String) -> Refused {
    match sys::signal::send(child, libc::SIGKILL) {
        Ok(()) => why.into(),
        Err(errno) => format!("{why}; and the app could not be ended: {errno}").into(),
    }
}

/// COMMAND has to be an entry of the profile, called as that says and with its content.
/// Nobody inside is there yet who could race with this look, nor with the exec.
fn entry(options: &Options, plan: &Plan, rules: &Rulebook, this: &Confined) -> Result<ProgramIndex, Refused> {
    use crate::image::{Executable, Files};
    let look = Live.look(&this.init.found).map_err(io)?;
    let look = look.ok_or_else(|| format!("{}: has just gone", this.init.found.display()))?;
    let loader = Live.executable(&this.init.found).is_ok_and(|kind| kind == Executable::Loader);
    let named = this.init.found.clone();
    let target = Target { id: look.id, canonical: look.canonical, named, loader };
    let args: Vec<_> = options.command.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    let uid = plan.run_as.as_ref().map_or_else(nix::unistd::geteuid, |ids| ids.user);
    let called = Called { args: Some(&args), uids: Some([uid; 4]), ..Called::default() };
    let canonical = target.canonical.clone();
    let entry = rules.command(&target, called).and_then(|entry| match rules.digest(entry) {
        None => Ok(entry),
        Some(wanted) => {
            let found = std::fs::File::open(&canonical).ok().and_then(digest);
            let is_it = found.as_deref() == Some(wanted);
            if is_it { Ok(entry) } else { Err(rules.other_content(entry, found)) }
        }
    });
    entry.map_err(|refusal| {
        let what = match &*refusal.rule {
            "/programs" => "is no entry of".to_owned(),
            rule => format!("is not what {rule} says in"),
        };
        let hint = refusal
            .want
            .map(|want| event::hint(&this.loaded.document.value(), &want))
            .and_then(|hint| serde_json::to_string(&hint).ok())
            .map_or_else(|| "call it so".to_owned(), |hint| format!("name one, or apply {hint}"));
        Refused::not_allowed(
            this.init.found.display().to_string(),
            format!("{}: {what} profile {}; {hint}", this.init.found.display(), this.loaded.source),
        )
    })
}

/// What it takes to know when the start-up is over; the app is told where it says so.
fn startup(plan: &Plan, init: &mut Init) -> Result<Option<enforcer::Watch>, String> {
    let outer = init.variable(notify_socket::VARIABLE);
    let watch = enforcer::Watch::prepare(&plan.policy, outer.as_deref())?;
    if let Some(ears) = watch.as_ref().and_then(|watch| watch.ears.as_ref()) {
        init.set_variable(notify_socket::VARIABLE, ears.value());
    }
    Ok(watch)
}

/// What is judged by.
struct Judged {
    rules: Arc<Rulebook>,
    entry: ProgramIndex,
    startup: Option<enforcer::Watch>,
    identity: Identity,
}

/// What the supervisor needs to judge and to tell.
fn watch(
    options: &Options,
    this: &mut Confined,
    plan: &Plan,
    Judged { rules, entry, startup, identity }: Judged,
    sink: Sink,
    app: i32,
) -> Result<Watch, String> {
    let policy = event::Policy { name: plan.name.clone(), digest: this.loaded.document.digest.clone() };
    let scribe = Arc::new(Scribe::start(sink, options.level, policy, options.redaction, beginning(options)?));
    event::log::in_background()?;
    let args = options.command.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let start = Start {
        profile: this.loaded.source.clone(),
        mode: ModeInForce { value: this.mode, source: this.said_by },
        kernel: release(),
        arch: plan.kernel.arch,
        layers: plan.layers().into_iter().filter_map(layer).collect(),
        process: Process {
            pid: app as u32,
            parent_pid: Some(std::process::id()),
            uid: Some(plan.run_as.as_ref().map_or_else(nix::unistd::geteuid, |ids| ids.user).as_raw()),
            executable: Some(event::Executable { path: this.init.found.clone() }),
            args: Some(args),
        },
        unlike: std::mem::take(&mut this.unlike),
        degraded: plan.fallback == Fallback::Degrade
            && plan.missing_features.iter().any(|lack| lack.required),
    };
    let document = std::mem::take(&mut this.loaded.document.text);
    let audit = this.mode == Mode::Audit;
    let inherited =
        this.init.environment.iter().filter(|(name, _)| plan.policy.refuses_variable(name.as_bytes()));
    let inherited =
        inherited.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()).collect();
    let events = Arc::clone(&scribe);
    let killable = plan.kernel.notify.as_ref().is_ok_and(|notify| notify.wait_killable);
    let tracer = plan.traces().then(|| Tracer::new(Arc::clone(&rules), killable));
    let mut tracer = match tracer.transpose() {
        Ok(tracer) => tracer,
        Err(errno) if plan.checks => return Err(format!("the check after the exec: {errno}")),
        // Then who cannot be read is refused.
        Err(errno) => {
            tracing::warn!(%errno, "no process can be traced");
            None
        }
    };
    let desk = tracer.as_ref().map(Tracer::desk);
    let inodes = Inodes::at_start(&rules).map_err(|errno| format!("the files that are granted: {errno}"))?;
    Ok(Watch {
        scribe,
        start,
        tracees: desk.map(|desk| desk as Arc<dyn Tracees>),
        worker: Box::new(move |listener, requests| {
            if let Some(tracer) = &mut tracer {
                tracer.begin(app, Arc::clone(&listener));
            }
            let judge = Judge {
                listener: Listener::new(listener),
                rules,
                tracer,
                document,
                scribe: events,
                audit,
                killable,
                inherited,
                app: Pid::from_raw(app),
                entry,
                requests,
                identity,
                held: Arc::default(),
                startup,
                memory: Remembered::with(inodes),
            };
            Box::new(move || judge.run())
        }),
        journal: None,
    })
}

/// A new nonce, and whether the start event comes first. The child, which is to be the app,
/// was forked before, so that not even its memory had the nonce.
fn beginning(options: &Options) -> Result<Beginning, String> {
    let [high, low, _] = sys::process::random().map_err(|errno| format!("getrandom: {errno}"))?;
    let is_shared = matches!(options.events, Destination::Stderr | Destination::Fd(_));
    let is_written = options.events_named || options.level == event::Level::All;
    Ok(Beginning {
        nonce: format!("{high:016x}{low:016x}"),
        is_written,
        is_waited_for: is_written && is_shared,
    })
}

fn layer(layer: Layer) -> Option<event::Layer> {
    let state = match layer.state {
        LayerState::Active => event::LayerState::Active,
        LayerState::Degraded => event::LayerState::Degraded,
        LayerState::Unavailable => event::LayerState::Unavailable,
    };
    let detail = (!layer.detail.is_empty()).then_some(layer.detail);
    Some(event::Layer { layer: LayerName::of(layer.layer)?, state, detail })
}

fn release() -> String {
    nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}
