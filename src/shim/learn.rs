//! A learning run: the app as it is, with no_new_privs and a filter that notifies, and
//! the journal that is written of it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use caps::Capability;

use super::init::{self, Init};
use super::options::Options;
use super::refusal::Refused;
use super::{abandon, layer, release};
use crate::enforce::launch::{self, Child, Confinement};
use crate::enforce::{place, probe};
use crate::event::{self, ModeInForce, Process, Scribe, Sink, Source, Start, redact};
use crate::ids::Pid;
use crate::init::event_loop::Watch;
use crate::journal::start::{Fingerprint, First, Outer};
use crate::journal::{DEFAULT, Journal, To};
use crate::notify::caller::Identity;
use crate::plan::learn::Watched;
use crate::plan::{NotifyTransport, Plan};
use crate::profile::{Mode, RunAs, in_order};
use crate::readiness::notify_socket::{self, Ears};
use crate::recorder::reads::{self, Blind, Watches};
use crate::recorder::{Eyes, Launch, Recording};
use crate::sys;
use crate::sys::signal::Mask;

/// Launches it.
pub(super) fn launched(
    options: &Options,
    init: &mut Init,
    run_as: Option<RunAs>,
    said_by: Source,
) -> Result<(Child, OwnedFd, Watch), Refused> {
    let place = place::here(None, Vec::new(), Vec::new(), true)?;
    // Asked before a filter of ours is in force.
    let filtered = sys::prctl::is_filtered();
    let denied = if filtered { sys::asked::refused_unseen() } else { Vec::new() };
    let sink = Sink::open(&options.events, sys::descriptors::duplicate)?;
    let signals = init::take_signals()?;
    let descriptor = sys::signal::descriptor(Mask::ALL).map_err(|errno| format!("signalfd: {errno}"))?;
    let kernel = probe::kernel()?;
    if let Err(why) = &kernel.notify {
        return Err(format!(
            "learning needs a seccomp listener ({why}); run it where there is one (Linux 5.10, and nobody outside \
             who has it already), or take on the init alone with --mode off"
        )
        .into());
    }
    let changes_user = [Capability::CAP_SETUID, Capability::CAP_SETGID];
    if changes_user.iter().any(|capability| place.permitted.contains(capability)) {
        Identity::probe().map_err(|errno| format!("file-system ids: {errno}"))?;
    }
    let to = match &options.learn_dir {
        None => To::Directory(DEFAULT.into()),
        Some(name) if name == "-" => To::Stderr,
        Some(name) => To::Directory(std::path::absolute(name).unwrap_or_else(|_| name.into())),
    };
    // Before directories are watched, of which this is none.
    to.prepare()?;
    // Elsewhere than in a container of one's own everybody's opens would be told.
    let alone = std::process::id() == 1;
    let watches = if options.exact || !alone { None } else { watches(&to) };
    let watched = Watched { exact: options.exact, reads: watches.is_none() };
    let ears = ears(init)?;
    let plan = Plan::learning(&kernel, &place, run_as, watched);
    let confinement = Confinement::prepare(&plan)?;
    let app = init.app(options, [&[]; 2], signals, None)?;
    let args: Vec<String> = options.command.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let capabilities = in_order(&place.permitted).iter().map(word).collect();
    let outer = Outer { seccomp: filtered, capabilities, denied };
    let fingerprint = Fingerprint::of(&init.found, release());
    let first = First::new(redact::secrets(&args), options.label.clone(), options.exact, fingerprint, outer);
    // The last of all that can fail: a run that did not begin leaves no journal.
    init.prepare(options, true)?;
    let journal = Arc::new(Journal::create(&to, &args[0], |run| first.line(run))?);
    let child = launch::launch(&app, Some(&confinement))?;
    let settled = launch::settle(Some(&plan), &init.inherited);
    let launch = Launch { app: Pid::from_raw(child.pid), file: init.found.clone(), args };
    let eyes = Eyes { reads: watches, ears };
    let watch = settled.and_then(|()| watch(options, &plan, said_by, sink, journal, launch, eyes));
    match watch {
        Ok(watch) => Ok((child, descriptor, watch)),
        Err(why) => Err(abandon(child.pid, why)),
    }
}

/// Where the app says that it is ready, if whoever started the container asks for that: it
/// is heard here, and passed on.
fn ears(init: &mut Init) -> Result<Option<Ears>, String> {
    let Some(outer) = init.variable(notify_socket::VARIABLE).filter(|outer| !outer.is_empty()) else {
        return Ok(None);
    };
    let ears = Ears::open(NotifyTransport::AbstractSocket, Some(&outer))?;
    init.set_variable(notify_socket::VARIABLE, ears.value());
    Ok(Some(ears))
}

fn word(capability: &Capability) -> String {
    capability.to_string().trim_start_matches("CAP_").to_ascii_lowercase()
}

/// A watch on every directory, so that files which are read need no notification; none
/// where these cannot be had for all.
fn watches(to: &To) -> Option<Watches> {
    let skip = match to {
        To::Directory(directory) => vec![directory.clone()],
        To::Stderr => Vec::new(),
    };
    let watches = Watches::new(&reads::Place { skip, ..reads::Place::default() });
    let watches = watches.inspect_err(|errno| tracing::debug!(%errno, "no watches: every open is notified"));
    watches.ok().filter(|watches| !watches.blind().iter().any(|blind| matches!(blind, Blind::Full { .. })))
}

/// What the supervisor needs to watch and to tell.
fn watch(
    options: &Options,
    plan: &Plan,
    said_by: Source,
    sink: Sink,
    journal: Arc<Journal>,
    launch: Launch,
    eyes: Eyes,
) -> Result<Watch, String> {
    // No profile is in force.
    let policy = event::Policy { name: plan.name.clone(), digest: String::new() };
    let scribe =
        Arc::new(Scribe::start(sink, options.level, policy, options.redaction, super::beginning(options)?));
    event::log::in_background()?;
    journal.start()?;
    let identity = Identity::own().map_err(|errno| format!("own ids: {errno}"))?;
    let start = Start {
        profile: String::new(),
        mode: ModeInForce { value: Mode::Learn, source: said_by },
        kernel: release(),
        arch: plan.kernel.arch,
        layers: plan.layers().into_iter().filter_map(layer).collect(),
        process: Process {
            pid: launch.app.as_raw() as u32,
            parent_pid: Some(std::process::id()),
            uid: Some(plan.run_as.as_ref().map_or_else(nix::unistd::geteuid, |ids| ids.user).as_raw()),
            executable: Some(event::Executable { path: launch.file.clone() }),
            args: Some(launch.args.clone()),
        },
        degraded: false,
        unlike: Vec::new(),
    };
    let kept = Arc::clone(&journal);
    Ok(Watch {
        scribe,
        start,
        tracees: None,
        worker: Box::new(move |listener, requests| {
            let recording = Recording::new(listener, requests, journal, launch, identity, eyes);
            Box::new(move || recording.run())
        }),
        journal: Some(kept),
    })
}
