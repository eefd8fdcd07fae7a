//! A start by a profile, enforced or audited: the plan, the launch, and the supervisor that
//! decides about calls.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;

use super::command::CommandFault;
use super::error::StartupError;
use super::init::Init;
use super::learned;
use super::next_start::NextStart;
use super::options::Options;
use super::start::{self, Started};
use super::variables::CheckedVariables;
use crate::enforce::births;
use crate::enforce::launch::{Child, Confinement};
use crate::enforce::source::Loaded;
use crate::enforcer::inodes::Inodes;
use crate::enforcer::{self, EnforcerWorker};
use crate::event::{self, ModeInForce, ModeSource, Sink, StartEvent, VariableFault};
use crate::ids::Pid;
use crate::image::digest::digest;
use crate::image::{Executable, ImageFiles};
use crate::init::event_loop::Supervision;
use crate::init::tracees::Tracees;
use crate::notify::caller::Identity;
use crate::plan::{Plan, ProgramIndex, first_process};
use crate::policy::{PolicyEngine, program::Called, program::ExecTarget};
use crate::profile::{Fallback, FileEntry, FileGroup, Mode, Profile, RunAs};
use crate::readiness::notify_socket;
use crate::sys::{self, CallError};
use crate::tracer::Tracer;

/// What a confined start needs.
pub(super) struct LaunchContext<'a> {
    pub files: &'a dyn ImageFiles,
    pub loaded: Loaded,
    /// `argv[0]` of this program.
    pub called_as: Option<PathBuf>,
    /// The variable PATH.
    pub path: Option<OsString>,
    pub mode: Mode,
    pub said_by: ModeSource,
    /// The user of `--run-as`.
    pub run_as: Option<RunAs>,
    pub init: Init,
}

/// Launches the confined app. What only the launch needed is freed when this returns.
pub(super) fn launch(options: &Options, mut this: LaunchContext<'_>) -> Result<Started, StartupError> {
    let next = NextStart {
        options,
        loaded: &this.loaded,
        called_as: this.called_as.as_deref(),
        path: this.path.take(),
        found: &this.init.found,
        files: this.files,
    };
    let (guarded, links) = (next.guarded(), next.links());
    let run_as = this.run_as.take();
    let by_option = run_as.is_some();
    if let Some(ids) = run_as {
        replace_user(&mut this.loaded.document.profile, ids);
    }
    let unlike = this.loaded.path.as_deref().map(learned::environment_mismatches).unwrap_or_default();
    let embedded = this.loaded.path.is_none();
    let found = Some(this.init.found.clone());
    let mut environment = start::environment(options, found, guarded, links, embedded)?;
    if !embedded && asks_for_origin(&this.loaded.document.profile) {
        environment.host.births = births::read(&environment.host.mounts, Some(&this.init.found));
    }
    let plan = plan(&this, &environment, by_option)?;
    let variables = this.init.environment.iter();
    let variables = variables.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let rules = Arc::new(PolicyEngine::new(&plan).started_with(variables));
    let entry = entry(options, &plan, &rules, &this)?;
    let startup = startup(&plan, &mut this.init)?;
    let confinement = Confinement::prepare(&plan)?;
    let checked = CheckedVariables::of(&this.init.environment, &plan, &rules);
    let command = this.init.app(options, &checked, environment.signals, None)?;
    let lines = checked.lines.into_iter().chain(this.init.closed(options, &command)).collect();
    this.init.prepare(options, true)?;
    let inherited = std::mem::take(&mut this.init.inherited);
    let (child, watch) = start::launch(&command, &confinement, &plan, &inherited, |child| {
        let identity = Identity::own().map_err(CallError::of("the supervisor's own credentials"))?;
        make_threads(&plan, child, identity.clone())?;
        let prepared = Prepared { rules, entry, startup, unlike, dropped: checked.said, lines, identity };
        watch(options, &mut this, &plan, prepared, environment.sink, child.pid)
    })?;
    Ok(Started { child, signals: environment.descriptor, watch, file: this.init.found })
}

/// Replaces the profile's user by that of `--run-as`. Capabilities that the profile
/// grants to root are not granted to a user that it does not name.
fn replace_user(profile: &mut Profile, ids: RunAs) {
    if !ids.user.is_root() && profile.run_as.is_none() {
        profile.capabilities.clear();
    }
    profile.run_as = Some(ids);
}

/// Whether a profile has a rule on what came with the image.
fn asks_for_origin(profile: &Profile) -> bool {
    profile.programs.iter().any(|program| program.from_image)
        || profile
            .files
            .iter()
            .any(|entry| matches!(entry, FileEntry::Group(group) if group.what == FileGroup::Elsewhere))
}

/// The plan, where this environment can enforce what the profile requires.
fn plan(
    this: &LaunchContext<'_>,
    environment: &start::Environment,
    by_option: bool,
) -> Result<Plan, StartupError> {
    let Loaded { document, source, .. } = &this.loaded;
    let plan = Plan::new(&document.profile, &environment.kernel, &environment.host, this.files, this.mode);
    let plan = plan.map_err(|error| match by_option && error.pointer == "/run_as" {
        true => StartupError::PlannedUser(error),
        false => StartupError::Plan { profile: source.clone(), error },
    })?;
    if let Some(refusal) = plan.refusal() {
        return Err(StartupError::MissingFeatures(refusal));
    }
    for note in &plan.not_followed {
        tracing::warn!("profile {source}: {note}");
    }
    if let Some(advice) = first_process::advice(&this.init.found, this.files) {
        tracing::warn!("{advice}");
    }
    if plan.kernel.notify.is_ok() && plan.has_other_users() {
        Identity::probe().map_err(CallError::of("file-system ids"))?;
    }
    Ok(plan)
}

/// Prepares the supervisor's threads, and creates those whose ids the filter compares with.
fn make_threads(plan: &Plan, child: &Child, identity: Identity) -> Result<(), StartupError> {
    let other_users = plan.has_other_users();
    sys::threads::prepare(plan.threads(), move || identity.take_back(other_users));
    let numbers = sys::threads::make(plan.threads_in_filter()).map_err(StartupError::Threads)?;
    child.send_thread_ids(&numbers).map_err(CallError::of("the ids of threads"))?;
    // The child continues meanwhile.
    sys::threads::reserve().map_err(StartupError::Threads)
}

/// Checks that COMMAND is an entry of the profile, with the arguments and the content that the
/// entry has. No process inside exists yet that could race with this check or with the exec.
fn entry(
    options: &Options,
    plan: &Plan,
    rules: &PolicyEngine,
    this: &LaunchContext<'_>,
) -> Result<ProgramIndex, StartupError> {
    let stat = this.files.stat(&this.init.found);
    let stat = stat.map_err(|error| StartupError::Stat { file: this.init.found.clone(), error })?;
    let stat = stat.ok_or_else(|| StartupError::Gone(this.init.found.clone()))?;
    let loader = this.files.executable(&this.init.found).is_ok_and(|kind| kind == Executable::Loader);
    let named = this.init.found.clone();
    let target = ExecTarget { id: stat.id, canonical: stat.canonical, named, loader, of_image: true };
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
        let hint = refusal.want.map(|want| event::hint(&this.loaded.document.value(), &want));
        let fault = CommandFault::NotAllowed {
            file: this.init.found.clone(),
            rule: refusal.rule.into_owned(),
            profile: this.loaded.source.clone(),
            hint: hint.and_then(|hint| serde_json::to_string(&hint).ok()),
        };
        StartupError::not_allowed(this.init.found.display().to_string(), fault)
    })
}

/// Prepares to detect the end of the start-up, and sets the app's NOTIFY_SOCKET.
fn startup(plan: &Plan, init: &mut Init) -> Result<Option<enforcer::StartupWatch>, StartupError> {
    let outer = init.variable(notify_socket::VARIABLE);
    let watch = enforcer::StartupWatch::prepare(&plan.policy, outer.as_deref())
        .map_err(StartupError::NotifySocket)?;
    if let Some(notify_socket) = watch.as_ref().and_then(|watch| watch.notify_socket.as_ref()) {
        init.set_variable(notify_socket::VARIABLE, notify_socket.value());
    }
    Ok(watch)
}

/// What the supervisor decides by, and what its start event reports.
struct Prepared {
    rules: Arc<PolicyEngine>,
    entry: ProgramIndex,
    startup: Option<enforcer::StartupWatch>,
    /// How this environment differs from those where the profile was learned.
    unlike: Vec<String>,
    /// Variables of the loader that the app does not get.
    dropped: Vec<VariableFault>,
    /// The same, a line for each variable.
    lines: Vec<String>,
    identity: Identity,
}

/// Makes the supervisor, with its enforcer and its tracer.
fn watch(
    options: &Options,
    this: &mut LaunchContext<'_>,
    plan: &Plan,
    Prepared { rules, entry, startup, unlike, dropped, lines, identity }: Prepared,
    sink: Sink,
    app: i32,
) -> Result<Supervision, StartupError> {
    let digest = this.loaded.document.digest.clone();
    let writer = start::writer(options, plan, digest, sink)?;
    let args = options.command.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let mode = ModeInForce { value: this.mode, source: this.said_by };
    let start = StartEvent {
        profile: this.loaded.source.clone(),
        unlike,
        dropped,
        degraded: plan.fallback == Fallback::Degrade
            && plan.missing_features.iter().any(|lack| lack.required),
        ..start::event(plan, mode, app, &this.init.found, args)
    };
    let document = std::mem::take(&mut this.loaded.document.text);
    let audit = this.mode == Mode::Audit;
    let inherited =
        this.init.environment.iter().filter(|(name, _)| plan.policy.variable(name.as_bytes()).is_some());
    let inherited =
        inherited.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()).collect();
    let events = Arc::clone(&writer);
    let killable = plan.kernel.notify.as_ref().is_ok_and(|notify| notify.wait_killable);
    let tracer = plan.traces().then(|| Tracer::new(Arc::clone(&rules), killable));
    let tracer = match tracer.transpose() {
        Ok(tracer) => tracer,
        Err(errno) if plan.checks => return Err(CallError { call: "the tracer", errno }.into()),
        // Then a caller that cannot be read is denied.
        Err(errno) => {
            tracing::warn!(%errno, "no process can be traced");
            None
        }
    };
    let mailbox = tracer.as_ref().map(Tracer::mailbox);
    let app_now = Arc::new(AtomicI32::new(app));
    let inodes = Inodes::at_start(&rules).map_err(CallError::of("the files that are granted"))?;
    Ok(Supervision {
        writer,
        app: Arc::clone(&app_now),
        start,
        lines,
        tracees: mailbox.map(|mailbox| mailbox as Arc<dyn Tracees>),
        worker: Box::new(EnforcerWorker {
            rules,
            tracer,
            document,
            writer: events,
            audit,
            killable,
            inherited,
            app: Pid::from_raw(app),
            app_now,
            entry,
            identity,
            startup,
            inodes,
        }),
        journal: None,
    })
}
