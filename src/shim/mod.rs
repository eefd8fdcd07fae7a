//! The shim, as a story: read the command line, find COMMAND, load the profile, look
//! at the place, plan, prepare, launch, supervise.
//!
//! Up to the launch every failure ends with one line and its exit code, and nothing
//! has been applied. From the launch on the supervisor does not die before the
//! container does.

pub mod command;
pub mod options;

use std::ffi::{CString, OsString};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::command::CommandError;
use self::options::{Asked, Options};
use crate::enforce::launch::{self, Command, Confinement, Failure};
use crate::enforce::source::{self, Loaded};
use crate::enforce::{place, probe};
use crate::event::{self, LayerName, ModeInForce, Process, Scribe, Sink, Source, Start};
use crate::image::live::Live;
use crate::plan::{Layer, LayerState, Plan};
use crate::profile::{Fallback, Mode};
use crate::supervise::caller::Identity;
use crate::supervise::judge::{Judge, Remembered};
use crate::supervise::run::{self, RunError, Watch};
use crate::supervise::verdict::{Rulebook, program::Target};
use crate::sys;
use crate::sys::signal::Mask;

/// The shim or the profile failed.
const FAILED: u8 = 125;
/// COMMAND cannot be executed, or is not allowed.
const NOT_EXECUTABLE: u8 = 126;
/// COMMAND is not there.
const NOT_FOUND: u8 = 127;

/// Why the app was not run: the exit code, and the line that says why.
struct Refused(u8, String);

impl From<String> for Refused {
    fn from(text: String) -> Refused {
        Refused(FAILED, text)
    }
}

impl From<CommandError> for Refused {
    fn from(error: CommandError) -> Refused {
        match error {
            CommandError::NotFound(text) => Refused(NOT_FOUND, text),
            CommandError::NotExecutable(text) => Refused(NOT_EXECUTABLE, text),
        }
    }
}

/// Runs the shim and answers with its exit code.
pub fn main(
    args: impl Iterator<Item = OsString>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> u8 {
    let args: Vec<OsString> = args.collect();
    let environment: Vec<(OsString, OsString)> = environment.collect();
    match story(args, &environment) {
        Ok(code) => code,
        Err(Refused(code, text)) => {
            // One line for a terminal, whatever a path in it holds.
            let text: String = text
                .chars()
                .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
                .collect();
            let line = format!("remit-init: {text}");
            say(&mut std::io::stderr(), &format!("{line}\n"));
            event::termination(&line);
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

fn story(args: Vec<OsString>, environment: &[(OsString, OsString)]) -> Result<u8, Refused> {
    // Before anything is opened: what is open now was inherited.
    let inherited = launch::inherited_descriptors();
    let variable =
        |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let called_as = args.first().map(PathBuf::from);
    let options = match options::read(args, &variable)? {
        Asked::Print(text) => {
            say(&mut std::io::stdout(), &text);
            return Ok(0);
        }
        Asked::Run(options) => *options,
    };
    if let Err(why) = event::log::install(event::log::level(options.verbosity)) {
        // stderr is closed: there is nobody to tell.
        drop(why);
    }
    let path = variable("PATH");
    let found = command::find(&options.command[0], path, &Live)?;
    let mode = mode_before_the_profile(&options, called_as.as_deref());
    if let Some((Mode::Off, _)) = mode {
        return only_init(&options, &found, environment, &inherited);
    }
    let loaded = source::load(options.profile.as_deref(), &found, &Live)?;
    let (mode, said_by) = mode.unwrap_or((loaded.document.profile.mode, Source::Profile));
    if mode == Mode::Off {
        return only_init(&options, &found, environment, &inherited);
    }
    confined(&options, Confined { loaded, mode, said_by, found, environment, inherited: &inherited })
}

/// What a flag, the environment or the name that it was called by says of the mode.
/// A drop-in for tini confines nobody by surprise.
fn mode_before_the_profile(options: &Options, called_as: Option<&Path>) -> Option<(Mode, Source)> {
    let name = called_as.and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let drop_in = matches!(name, "tini" | "tini-static" | "docker-init" | "dumb-init");
    match options.mode {
        None if drop_in && options.profile.is_none() => Some((Mode::Off, Source::Name)),
        mode => mode,
    }
}

/// `--mode off`: the init, and nothing else.
fn only_init(
    options: &Options,
    found: &Path,
    environment: &[(OsString, OsString)],
    inherited: &[i32],
) -> Result<u8, Refused> {
    if options.run_as.is_some() {
        return Err("--run-as: is not done in mode off yet; leave it out, or name a profile"
            .to_owned()
            .into());
    }
    if options.subreaper {
        subreaper()?;
    }
    let (signals, mask, ignored) = take_signals()?;
    let command = app(options, found, environment, &[], mask, ignored, inherited)?;
    let child = launch::launch(&command, None).map_err(|errno| format!("fork: {errno}"))?;
    if let Err(why) = launch::settle(None, inherited) {
        return Err(abandon(child.pid, why));
    }
    finish(run::run(child, signals, behaviour(options), None), found)
}

/// All that a confined run starts from.
struct Confined<'a> {
    loaded: Loaded,
    mode: Mode,
    said_by: Source,
    found: PathBuf,
    environment: &'a [(OsString, OsString)],
    inherited: &'a [i32],
}

fn confined(options: &Options, this: Confined) -> Result<u8, Refused> {
    let mut profile = this.loaded.document.profile.clone();
    if let Some(ids) = &options.run_as {
        profile.run_as = Some(ids.clone());
    }
    let embedded = this.loaded.path.is_none();
    let place = place::here(Some(this.found.clone()), guarded(options, &this.loaded), embedded)?;
    // Opened before the plan, which protects the file of one that has just been made;
    // its thread starts after the launch, since a fork takes only one thread along.
    let sink = Sink::open(&options.events, sys::process::duplicate)?;
    let (signals, mask, ignored) = take_signals()?;
    let kernel = probe::kernel()?;
    let plan = Plan::new(&profile, &kernel, &place, &Live, this.mode).map_err(|error| {
        if options.run_as.is_some() && error.pointer == "/run_as" {
            return format!("--run-as: {}", error.text);
        }
        format!("profile {}: {error}", this.loaded.source)
    })?;
    if let Some(refusal) = plan.refusal() {
        return Err(refusal.into());
    }
    let rules = Rulebook::new(&plan);
    let entry = entry(&rules, &this)?;
    let confinement = Confinement::prepare(&plan)?;
    let drop = &plan.environment_drop;
    let command = app(options, &this.found, this.environment, drop, mask, ignored, this.inherited)?;
    subreaper()?;
    let child = launch::launch(&command, Some(&confinement)).map_err(|errno| format!("fork: {errno}"))?;
    if let Err(why) = launch::settle(Some(&plan), this.inherited) {
        return Err(abandon(child.pid, why));
    }
    let watch = match watch(options, &this, &plan, rules, entry, sink, child.pid) {
        Ok(watch) => watch,
        Err(why) => return Err(abandon(child.pid, why)),
    };
    finish(run::run(child, signals, behaviour(options), Some(watch)), &this.found)
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

/// Files that the app must not be able to change.
fn guarded(options: &Options, loaded: &Loaded) -> Vec<(&'static str, PathBuf)> {
    let mut files = Vec::new();
    files.extend(loaded.path.clone().map(|path| ("the profile", path)));
    files.extend(std::fs::read_link("/proc/self/exe").ok().map(|path| ("remit-init", path)));
    let events = options.events.path().filter(|path| !is_device(path));
    files.extend(events.map(|path| ("the event file", path.to_owned())));
    files
}

/// What is written to /dev/null is nobody's to guard.
fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_char_device())
}

/// COMMAND has to be an entry of the profile.
fn entry(rules: &Rulebook, this: &Confined) -> Result<usize, Refused> {
    use crate::image::{Executable, Files};
    let look = Live.look(&this.found).map_err(io)?;
    let look = look.ok_or_else(|| Refused(NOT_FOUND, format!("{}: not found", this.found.display())))?;
    let loader = Live.executable(&this.found).is_ok_and(|kind| kind == Executable::Loader);
    let named = this.found.clone();
    let target = Target { id: look.id, canonical: look.canonical, named, loader };
    rules.command(&target).map_err(|refusal| {
        let hint = refusal
            .want
            .map(|want| event::hint(&this.loaded.document.value, &want))
            .and_then(|hint| serde_json::to_string(&hint).ok())
            .unwrap_or_default();
        Refused(
            NOT_EXECUTABLE,
            format!(
                "{}: is no entry of profile {}; name one, or apply {hint}",
                this.found.display(),
                this.loaded.source
            ),
        )
    })
}

/// What the supervisor needs to judge and to tell.
fn watch(
    options: &Options,
    this: &Confined,
    plan: &Plan,
    rules: Rulebook,
    entry: usize,
    sink: Sink,
    app: i32,
) -> Result<Watch, String> {
    let policy = event::Policy { name: plan.name.clone(), digest: this.loaded.document.digest.clone() };
    let scribe = Arc::new(Scribe::start(sink, options.level, policy, options.redaction));
    event::log::in_background()?;
    let identity = Identity::own().map_err(|errno| format!("own ids: {errno}"))?;
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
            uid: Some(plan.run_as.as_ref().map_or(nix::unistd::geteuid().as_raw(), |ids| ids.user)),
            executable: Some(event::Executable { path: this.found.clone() }),
            args: Some(args),
        },
        degraded: plan.fallback == Fallback::Degrade && plan.lacking.iter().any(|lack| lack.required),
    };
    let (document, audit) = (this.loaded.document.value.clone(), this.mode == Mode::Audit);
    let events = Arc::clone(&scribe);
    Ok(Watch {
        scribe,
        start,
        judge: Box::new(move |listener: OwnedFd, requests| Judge {
            listener,
            rules,
            document,
            scribe: events,
            audit,
            app,
            entry,
            requests,
            identity,
            memory: Remembered::default(),
        }),
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

fn subreaper() -> Result<(), String> {
    sys::process::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0)
        .map(drop)
        .map_err(|errno| format!("PR_SET_CHILD_SUBREAPER: {errno}"))
}

/// Blocks every signal, for this thread and all that it will start, and takes them
/// by a descriptor.
fn take_signals() -> Result<(OwnedFd, Mask, bool), String> {
    let failed = |what: &'static str| move |errno| format!("{what}: {errno}");
    let mask = sys::signal::set_mask(Mask::ALL).map_err(failed("sigprocmask"))?;
    let ignored = sys::signal::default_sigchld().map_err(failed("sigaction"))?;
    let signals = sys::signal::descriptor(Mask::ALL).map_err(failed("signalfd"))?;
    Ok((signals, mask, ignored))
}

/// The app's arguments, environment and attributes.
fn app(
    options: &Options,
    found: &Path,
    environment: &[(OsString, OsString)],
    drop: &[String],
    mask: Mask,
    ignore_sigchld: bool,
    inherited: &[i32],
) -> Result<Command, String> {
    let nul = |what: &str| format!("{what} holds a NUL byte");
    let c_string = |bytes: Vec<u8>, what: &str| CString::new(bytes).map_err(|_| nul(what));
    let dropped = |name: &OsString| {
        drop.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.as_bytes().starts_with(start.as_bytes()),
            None => name.as_bytes() == pattern.as_bytes(),
        })
    };
    let argv = options.command.iter().map(|arg| c_string(arg.as_bytes().to_vec(), "an argument"));
    let variables = environment.iter().filter(|(name, _)| !dropped(name)).map(|(name, value)| {
        let mut text = name.clone().into_vec();
        text.push(b'=');
        text.extend_from_slice(value.as_bytes());
        c_string(text, "the environment")
    });
    let variable = |wanted: &str| {
        let found = environment.iter().find(|(name, _)| name == wanted);
        found.and_then(|(_, value)| value.to_str()?.parse::<u32>().ok())
    };
    let ours = variable("LISTEN_PID") == Some(std::process::id());
    Ok(Command {
        program: c_string(found.as_os_str().as_bytes().to_vec(), "COMMAND")?,
        argv: argv.collect::<Result<_, _>>()?,
        environment: variables.collect::<Result<_, _>>()?,
        mask,
        ignore_sigchld,
        ignore_sigpipe: sys::signal::sigpipe_was_ignored(),
        listen_fds: if ours { variable("LISTEN_FDS").unwrap_or(0).min(in_a_row(inherited)) } else { 0 },
        own_group: true,
        parent_death: options.parent_death,
    })
}

/// How many descriptors were inherited from 3 on without a gap: more than these are
/// none of the app's, whatever LISTEN_FDS claims.
fn in_a_row(inherited: &[i32]) -> u32 {
    (3..).take_while(|fd| inherited.contains(fd)).count() as u32
}

fn behaviour(options: &Options) -> run::Options {
    run::Options {
        grace: options.grace,
        remap: options.remap.clone(),
        group: options.group,
        warn_reaped: options.warn_reaped,
    }
}

/// The exit code, or the line that says which step of the launch failed.
fn finish(ended: Result<u8, RunError>, found: &Path) -> Result<u8, Refused> {
    let name = found.display();
    match ended {
        Ok(code) => Ok(code),
        Err(RunError::Loop(errno)) => Err(format!("supervising: {errno}").into()),
        Err(RunError::Launch(Failure { exec: true, errno, .. })) => {
            let code = if errno == nix::errno::Errno::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE };
            Err(Refused(code, format!("{name}: cannot be executed: {errno}")))
        }
        Err(RunError::Launch(Failure { step, errno, .. })) => {
            Err(format!("{name}: was not started: step `{step}` failed: {errno}").into())
        }
    }
}
