//! The init: what is done for every app, confined or not; with `--mode off`, all that is done.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use caps::Capability;
use nix::unistd::Pid;

use super::command::{CommandError, CommandFault};
use super::dialect::Dialect;
use super::error::StartupError;
use super::options::Options;
use super::users::RunAsError;
use super::variables::CheckedVariables;
use crate::enforce::launch::{self, Command, Failure, Terminal};
use crate::event::Destination;
use crate::init::event_loop::{self, RunError};
use crate::init::log_dialect::{InitEvent, LogDialect};
use crate::init::state::InitRules;
use crate::profile::RunAs;
use crate::sys::descriptors::Inherited;
use crate::sys::signal::{self, Mask};
use crate::sys::{self, CallError};

/// What the app is started from.
pub(super) struct Init {
    /// The file that COMMAND is.
    pub found: PathBuf,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Descriptors from 3 on that were open at the start.
    pub inherited: Inherited,
    /// The process that started this one.
    pub parent: Pid,
}

/// The signal mask, and whether SIGCHLD was ignored, when this process was started.
#[derive(Clone, Copy)]
pub(super) struct Signals {
    mask: Mask,
    sigchld_ignored: bool,
}

impl Init {
    /// Checks that each descriptor of `--keep-fd` is there to be kept, and no other's than the app's.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check_keep_fds(&self, options: &Options) -> Result<(), StartupError> {
        for fd in options.keep_fds.iter().copied() {
            if !self.inherited.has(fd) {
                return Err(StartupError::NotInherited(fd));
            }
            if options.events == Destination::Fd(fd) {
                return Err(StartupError::EventsDescriptor(fd));
            }
        }
        Ok(())
    }

    /// A line for each descriptor that a confined app is not given; none for /dev/null.
    pub fn closed(&self, options: &Options, command: &Command) -> Vec<String> {
        let is_given = |fd: i32| fd < 3 + command.listen_fds as i32 || command.keep_fds.contains(&fd);
        let closed = self
            .inherited
            .open()
            .into_iter()
            .filter(|&fd| !is_given(fd) && options.events != Destination::Fd(fd));
        let lines = closed.filter_map(|fd| {
            let file = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
            let matters = file != Path::new("/dev/null");
            matters.then(|| {
                format!("descriptor {fd} ({file:?}) is closed for the app; --keep-fd {fd} hands it over")
            })
        });
        lines.collect()
    }

    /// `--mode off`: the init, and nothing else.
    pub fn run(&self, options: &Options, run_as: Option<RunAs>) -> Result<u8, StartupError> {
        let run_as = run_as.filter(|ids| !is_us(ids));
        if run_as.is_some() {
            may_change_user()?;
        }
        let signals = take_signals()?;
        let command = self.app(options, &CheckedVariables::default(), signals, run_as)?;
        self.prepare(options, options.subreaper)?;
        let child = launch::launch(&command, None)?;
        if let Err(why) = launch::settle(None, &self.inherited) {
            return Err(abandon(child.pid, why.into()));
        }
        finish(event_loop::run(child, behaviour(options), None), options, &self.found)
    }

    /// Sets this process up before it forks: parent-death signal, subreaper, terminal.
    ///
    /// # Errors
    /// The call and its errno.
    pub fn prepare(&self, options: &Options, subreaper: bool) -> Result<(), CallError> {
        if let Some(signal) = options.parent_death {
            sys::prctl::set_parent_death_signal(signal).map_err(CallError::of("PR_SET_PDEATHSIG"))?;
            // It ended before the signal was set, which is sent all the same.
            if nix::unistd::getppid() != self.parent {
                let me = nix::unistd::getpid().as_raw();
                sys::signal::send(me, signal).map_err(CallError::of("kill"))?;
            }
        }
        let dialect = log_dialect(options);
        if subreaper {
            sys::prctl::set_subreaper().map_err(CallError::of("PR_SET_CHILD_SUBREAPER"))?;
            dialect.log(InitEvent::Subreaper);
        } else if options.dialect != Dialect::DumbInit && !reaps()? {
            dialect.log(InitEvent::NoReaper);
        }
        if options.terminal == Terminal::Session {
            give_up_terminal(dialect);
        }
        Ok(())
    }

    /// The value of a variable of the environment.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        self.environment.iter().find(|(variable, _)| variable == name).map(|(_, value)| value.clone())
    }

    /// Sets a variable of the app's environment.
    pub fn set_variable(&mut self, name: &str, value: OsString) {
        self.environment.retain(|(variable, _)| variable != name);
        self.environment.push((name.into(), value));
    }

    /// The app's arguments, environment and attributes.
    pub fn app(
        &self,
        options: &Options,
        checked: &CheckedVariables,
        signals: Signals,
        run_as: Option<RunAs>,
    ) -> Result<Command, StartupError> {
        let c_string = |bytes: Vec<u8>, what| CString::new(bytes).map_err(|_| StartupError::Nul(what));
        let argv = options.command.iter().map(|arg| c_string(arg.as_bytes().to_vec(), "an argument"));
        let given =
            self.environment.iter().filter_map(|(name, value)| Some((name, checked.value(name, value)?)));
        let variables = given.map(|(name, value)| {
            let mut text = name.clone().into_vec();
            text.push(b'=');
            text.extend_from_slice(value.as_bytes());
            c_string(text, "the environment")
        });
        let variable = |wanted: &str| {
            let found = self.environment.iter().find(|(name, _)| name == wanted);
            found.and_then(|(_, value)| value.to_str()?.parse::<u32>().ok())
        };
        let ours = variable("LISTEN_PID") == Some(std::process::id());
        // Not more than were inherited from 3 on without a gap, whatever the value of LISTEN_FDS is.
        let in_a_row = self.inherited.in_a_row();
        Ok(Command {
            program: c_string(self.found.as_os_str().as_bytes().to_vec(), "COMMAND")?,
            argv: argv.collect::<Result<_, _>>()?,
            environment: variables.collect::<Result<_, _>>()?,
            mask: signals.mask,
            ignore_sigchld: signals.sigchld_ignored,
            ignore_sigpipe: sys::signal::sigpipe_was_ignored(),
            keep_fds: options.keep_fds.clone(),
            listen_fds: if ours { variable("LISTEN_FDS").unwrap_or(0).min(in_a_row) } else { 0 },
            terminal: options.terminal,
            run_as,
            parent_death: options.parent_death,
        })
    }
}

/// Blocks every signal, for this thread and all that it will start.
///
/// # Errors
/// The call and its errno.
pub(super) fn take_signals() -> Result<Signals, CallError> {
    let mask = sys::signal::set_mask(Mask::ALL).map_err(CallError::of("sigprocmask"))?;
    let sigchld_ignored = sys::signal::default_sigchld().map_err(CallError::of("sigaction"))?;
    sys::process::can_wait().map_err(CallError::of("wait4, waitid"))?;
    sys::signal::can_wait().map_err(CallError::of("rt_sigtimedwait"))?;
    Ok(Signals { mask, sigchld_ignored })
}

/// Whether the ids are those that this process has.
fn is_us(ids: &RunAs) -> bool {
    (ids.user, ids.group) == (nix::unistd::getuid(), nix::unistd::getgid())
}

fn may_change_user() -> Result<(), StartupError> {
    let sets = sys::credentials::capget().map_err(CallError::of("capget"))?;
    let has = |capability: Capability| sets.effective & capability.bitmask() != 0;
    if has(Capability::CAP_SETUID) && has(Capability::CAP_SETGID) {
        return Ok(());
    }
    Err(RunAsError::NotPermitted.into())
}

/// Whether orphans are reparented to this process.
fn reaps() -> Result<bool, CallError> {
    if std::process::id() == 1 {
        return Ok(true);
    }
    sys::prctl::is_subreaper().map_err(CallError::of("PR_GET_CHILD_SUBREAPER"))
}

/// Gives the terminal up. The kernel sends a session leader that does so SIGHUP and SIGCONT,
/// which are not forwarded to the app.
fn give_up_terminal(dialect: LogDialect) {
    let leader = sys::terminal::leads_session();
    if let Err(errno) = sys::terminal::give_up() {
        return dialect.log(InitEvent::TerminalNotGivenUp(errno));
    }
    dialect.log(InitEvent::TerminalGivenUp);
    if leader {
        let hand_off = Mask::of(&[libc::SIGHUP, libc::SIGCONT]);
        while let Ok(Some(received)) = sys::signal::wait(hand_off, Some(std::time::Duration::ZERO)) {
            dialect.log(InitEvent::HandOffSignal(received.signal));
        }
    }
}

fn log_dialect(options: &Options) -> LogDialect {
    match options.dialect {
        Dialect::Remit => LogDialect::Own,
        Dialect::Tini => LogDialect::Tini(options.verbosity),
        Dialect::DumbInit => LogDialect::DumbInit { debug: options.verbosity > 0 },
    }
}

/// The options of the event loop.
pub(super) fn behaviour(options: &Options) -> event_loop::InitOptions {
    event_loop::InitOptions {
        rules: InitRules {
            grace: options.grace,
            drain: options.drain,
            remap: options.remap.clone(),
            rewrite: options.rewrite.clone(),
            terminal: options.terminal,
            status: options.status,
            is_orphaned: std::process::id() == 1 || sys::terminal::leads_session(),
        },
        group: options.group,
        warn_reaped: options.warn_reaped,
        follow: options.follow.clone(),
        dialect: log_dialect(options),
        name: options.command[0].to_string_lossy().into_owned(),
    }
}

/// The C library's execvp(3) executes a shell with a file that the kernel cannot execute, and so
/// do tini and dumb-init. As one of them, with `--mode off`, the shim does the same. A confined
/// app is never another program than was named.
///
/// # Errors
/// COMMAND cannot be executed, and is not run by a shell.
pub(super) fn by_a_shell(
    options: &mut Options,
    error: CommandError,
    off: bool,
) -> Result<PathBuf, StartupError> {
    const SHELL: &str = "/bin/sh";
    match &error.file {
        Some(file)
            if off
                && options.dialect != Dialect::Remit
                && matches!(*error.fault, CommandFault::Unknown(_)) =>
        {
            options.command.splice(..1, [SHELL.into(), file.clone().into()]);
            Ok(PathBuf::from(SHELL))
        }
        _ => {
            let name = options.command[0].to_string_lossy().into_owned();
            Err(StartupError::Command { name, error })
        }
    }
}

/// The exit code, or the line that says which step of the launch failed.
pub(super) fn finish(
    ended: Result<u8, RunError>,
    options: &Options,
    found: &Path,
) -> Result<u8, StartupError> {
    match ended {
        Ok(code) => Ok(code),
        Err(RunError::Loop(errno) | RunError::LaunchUnknown(errno)) => Err(StartupError::Supervising(errno)),
        Err(RunError::Launch(Failure { exec: true, errno, .. })) => {
            let name = options.command[0].to_string_lossy().into_owned();
            let error = CommandError {
                errno,
                file: None,
                fault: Box::new(CommandFault::Exec(found.to_owned(), errno)),
            };
            Err(StartupError::Command { name, error })
        }
        Err(RunError::Launch(failure)) => Err(StartupError::Step { file: found.to_owned(), failure }),
    }
}

/// Kills the child after a failure: it must not run without its supervisor.
pub(super) fn abandon(child: i32, error: StartupError) -> StartupError {
    match signal::send(child, libc::SIGKILL) {
        Ok(()) => error,
        Err(errno) => StartupError::NotKilled { error: Box::new(error), errno },
    }
}
