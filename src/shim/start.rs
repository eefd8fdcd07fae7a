//! What an enforcing start and a learning one have in common: how the environment is
//! examined, the app launched, and its supervisor made ready to write events.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::StartupError;
use super::init::{self, Signals, abandon};
use super::options::Options;
use crate::enforce::launch::{self, Child, Command, Confinement};
use crate::enforce::{host, probe};
use crate::event::{
    self, Beginning, Destination, EventWriter, LayerName, ModeInForce, Process, Sink, StartEvent,
};
use crate::init::event_loop::{self, Supervision};
use crate::kernel::Kernel;
use crate::plan::{Host, Layer, LayerState, Plan};
use crate::sys::descriptors::{self, Inherited};
use crate::sys::signal::{self, Mask};
use crate::sys::{self, CallError};

/// What a start has before there is a plan.
pub(super) struct Environment {
    pub host: Host,
    pub kernel: Kernel,
    pub sink: Sink,
    pub signals: Signals,
    /// The signalfd that the supervisor reads its signals from.
    pub descriptor: OwnedFd,
}

/// Examines the environment, opens the destination of events and blocks all signals.
///
/// The destination is opened before the plan, which protects the file of one that has just
/// been made; its thread starts after the launch, since a fork takes only one thread along.
pub(super) fn environment(
    options: &Options,
    command: Option<PathBuf>,
    guarded: Vec<(&'static str, PathBuf)>,
    links: Vec<(&'static str, PathBuf)>,
    embedded: bool,
) -> Result<Environment, StartupError> {
    let mut host = host::here(command, guarded, links, embedded)?;
    if let Destination::Unix(path) = &options.events {
        host.event_socket = Some(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone()));
    }
    let sink = Sink::open(&options.events, descriptors::duplicate)?;
    let signals = init::take_signals()?;
    let descriptor = signal::descriptor(Mask::ALL).map_err(CallError::of("signalfd"))?;
    Ok(Environment { host, kernel: probe::kernel()?, sink, signals, descriptor })
}

/// An app that has been launched, and what supervises it.
pub(super) struct Started {
    pub child: Child,
    /// The signalfd that the supervisor reads its signals from.
    pub signals: OwnedFd,
    pub watch: Supervision,
    /// The file that COMMAND is.
    pub file: PathBuf,
}

impl Started {
    /// Supervises the app until it ends, and returns the exit code.
    pub fn supervise(self, options: &Options) -> Result<u8, StartupError> {
        let ended = event_loop::run(self.child, init::behaviour(options), Some((self.signals, self.watch)));
        init::finish(ended, options, &self.file)
    }
}

/// Launches the app and makes its supervisor by `watch`; if that fails, the app is killed.
pub(super) fn launch(
    command: &Command,
    confinement: &Confinement,
    plan: &Plan,
    inherited: &Inherited,
    watch: impl FnOnce(&Child) -> Result<Supervision, StartupError>,
) -> Result<(Child, Supervision), StartupError> {
    let child = launch::launch(command, Some(confinement))?;
    let settled = launch::settle(Some(plan), inherited).map_err(StartupError::from);
    match settled.and_then(|()| watch(&child)) {
        Ok(watch) => Ok((child, watch)),
        Err(error) => Err(abandon(child.pid, error)),
    }
}

/// Starts what writes events; from now on diagnostics are written in the background too.
pub(super) fn writer(
    options: &Options,
    plan: &Plan,
    digest: String,
    sink: Sink,
) -> Result<Arc<EventWriter>, StartupError> {
    let policy = event::PolicyId { name: plan.name.clone(), digest };
    let writer = EventWriter::start(sink, options.level, policy, options.redaction, beginning(options)?);
    event::log::in_background()?;
    Ok(Arc::new(writer))
}

/// The `start` event of an app without a profile.
pub(super) fn event(plan: &Plan, mode: ModeInForce, app: i32, file: &Path, args: Vec<String>) -> StartEvent {
    StartEvent {
        profile: String::new(),
        mode,
        kernel: release(),
        arch: plan.kernel.arch,
        layers: plan.layers().into_iter().filter_map(layer).collect(),
        process: Process {
            pid: app as u32,
            parent_pid: Some(std::process::id()),
            uid: Some(plan.run_as.as_ref().map_or_else(nix::unistd::geteuid, |ids| ids.user).as_raw()),
            executable: Some(event::ExecutablePath { path: file.to_owned() }),
            args: Some(args),
        },
        degraded: false,
        unlike: Vec::new(),
        dropped: Vec::new(),
    }
}

/// A new nonce, and whether the start event comes first. The child, which is to be the app,
/// was forked before, so that not even its memory had the nonce.
fn beginning(options: &Options) -> Result<Beginning, CallError> {
    let [high, low, _] = sys::process::random().map_err(CallError::of("getrandom"))?;
    let is_shared = matches!(options.events, Destination::Stderr | Destination::Fd(_));
    let is_written = options.events_named || options.level == event::Level::All;
    Ok(Beginning {
        nonce: format!("{high:016x}{low:016x}"),
        is_written,
        is_waited_for: is_written && is_shared,
    })
}

fn layer(layer: Layer) -> Option<event::LayerReport> {
    let state = match layer.state {
        LayerState::Active => event::LayerReportState::Active,
        LayerState::Degraded => event::LayerReportState::Degraded,
        LayerState::Unavailable => event::LayerReportState::Unavailable,
    };
    let detail = (!layer.detail.is_empty()).then_some(layer.detail);
    Some(event::LayerReport { layer: LayerName::of(layer.layer)?, state, detail })
}

/// The kernel's release, as uname(2) has it.
pub(super) fn release() -> String {
    nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}
