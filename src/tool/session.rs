//! A run of COMMAND: started, worked on by a script, stopped and reaped, with the signals that
//! the tool receives forwarded to it.

use std::ffi::{CString, OsStr, OsString};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::error::ToolError;
use super::process_end::ProcessEnd;
use crate::profile;
use crate::sys::process::{Side, StateChange};
use crate::sys::signal::{self, Mask};
use crate::sys::{self, CallError};

/// The time from SIGTERM to a run until it is killed: longer than the grace period of an init.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the tool waits for the `ready` event: not every app listens.
const STARTUP: Duration = Duration::from_secs(5);

/// The options that end the run of an app that does not exit by itself.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Until {
    /// Work on the app with SCRIPT, by /bin/sh -c, outside of its confinement; when that ends,
    /// the app is sent TERM. It begins once the run says that the app is ready, or else with the
    /// app, so it has to wait for an answer itself
    #[arg(long, value_name = "SCRIPT")]
    pub work: Option<OsString>,
    /// Send the app TERM after so long: 30s, 5m
    #[arg(long = "for", value_name = "DURATION", value_parser = profile::duration)]
    pub span: Option<Duration>,
    /// The run has a `ready` event, and the work begins after it.
    #[arg(skip)]
    pub ready: bool,
}

/// Why the tool stopped a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The work script has ended.
    Work,
    /// The time of `--for` was over.
    Span,
    /// The tool received SIGTERM, SIGINT or SIGQUIT.
    Signal(i32),
}

/// The end of a run.
#[derive(Clone, Debug)]
pub(super) struct RunEnd {
    pub how: ProcessEnd,
    pub stop: Option<StopReason>,
    /// How the work script ended.
    pub work: Option<ProcessEnd>,
    /// The app ended before the work script did.
    pub work_cut: bool,
    /// The run did not end in time and was killed.
    pub killed: bool,
    /// The bytes that it wrote to its pipe.
    pub said: Vec<u8>,
}

impl RunEnd {
    /// Why the run proves little; `None` where it ended normally.
    pub fn fault(&self) -> Option<String> {
        if self.killed {
            return Some("it did not end after SIGTERM, and was killed".to_owned());
        }
        if let Some(how) = self.work.filter(|how| *how != ProcessEnd::Code(0)) {
            return Some(format!("its work ended {how}"));
        }
        if self.work_cut && self.stop.is_none() {
            return Some(format!("it ended {} before its work was done", self.how));
        }
        // A run may end by the signal that stopped it.
        let sent = match self.stop {
            Some(StopReason::Signal(signal)) => Some(signal),
            Some(_) => Some(libc::SIGTERM),
            None => None,
        };
        let stopped = sent.is_some_and(|signal| self.how.code() == 128 + signal);
        (self.how.code() != 0 && !stopped).then(|| format!("it ended {}", self.how))
    }
}

/// Handles the ptrace stops of a traced run.
pub(super) trait StopHandler {
    /// A tracee stopped, by this signal and with this PTRACE_EVENT or 0, and has to be continued.
    fn stopped(&mut self, tid: i32, signal: i32, event: i32);
    /// Whether COMMAND has been executed.
    fn started(&self) -> bool;
    /// A process or a tracee ended.
    fn gone(&mut self, tid: i32);
    /// The app has ended; kills and reaps the remaining tracees.
    fn finish(&mut self);
}

/// The signals of this process, blocked and read from a signalfd for all of its runs.
pub(super) struct Session {
    signals: OwnedFd,
    mask: Mask,
}

/// A program to start.
pub(super) struct Spawn<'a> {
    pub program: &'a OsStr,
    /// All arguments, the name first.
    pub arguments: Vec<OsString>,
    /// Environment variables that it does not inherit.
    pub without: &'a [&'a str],
    /// A descriptor that it inherits.
    pub keeps: Option<&'a OwnedFd>,
    /// Its standard output goes to standard error, since stdout is for the tool's output.
    pub aside: bool,
    /// It gets a process group of its own.
    pub group: bool,
}

impl Session {
    /// Blocks all signals, and opens the signalfd.
    ///
    /// # Errors
    /// The call that failed, and its errno.
    pub fn begin() -> Result<Session, CallError> {
        let mask = signal::set_mask(Mask::ALL).map_err(CallError::of("sigprocmask"))?;
        signal::default_sigchld().map_err(CallError::of("sigaction"))?;
        let signals = signal::descriptor(Mask::ALL).map_err(CallError::of("signalfd"))?;
        Ok(Session { signals, mask })
    }

    /// The signal mask that the tool was started with, and that its children get.
    pub fn mask(&self) -> Mask {
        self.mask
    }

    /// Starts a program, and returns its pid.
    ///
    /// # Errors
    /// An argument holds a NUL byte, or fork(2) failed. A failed exec gives exit code 127.
    pub fn start(&self, start: &Spawn<'_>) -> Result<i32, ToolError> {
        let text =
            |bytes: &OsStr| CString::new(bytes.as_bytes()).map_err(|_| ToolError::Nul(bytes.to_owned()));
        let program = text(start.program)?;
        let arguments = start.arguments.iter().map(|one| text(one)).collect::<Result<Vec<_>, _>>()?;
        let variables = std::env::vars_os().filter(|(name, _)| !start.without.iter().any(|not| name == not));
        let environment = variables.map(|(name, value)| {
            let whole = [name.into_vec(), b"=".to_vec(), value.into_vec()].concat();
            text(&OsString::from_vec(whole))
        });
        let environment = environment.collect::<Result<Vec<_>, _>>()?;
        match sys::process::fork().map_err(CallError::of("fork"))? {
            Side::Parent(pid) => Ok(pid),
            Side::Child => {
                let errno = self.exec_child(start, &program, &arguments, &environment);
                super::print_error(&format!("{}: {errno}", start.program.display()));
                sys::process::exit_now(127)
            }
        }
    }

    /// Sets the child up and executes the program; it returns only the errno of a failure.
    fn exec_child(
        &self,
        start: &Spawn<'_>,
        program: &CString,
        arguments: &[CString],
        environment: &[CString],
    ) -> Errno {
        let all = || {
            if start.group {
                nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            }
            if start.aside {
                nix::unistd::dup2_stdout(std::io::stderr())?;
            }
            if let Some(fd) = start.keeps {
                sys::descriptors::keep_over_exec(fd.as_fd())?;
            }
            signal::set_ignored(libc::SIGPIPE, signal::sigpipe_was_ignored())?;
            signal::set_mask(self.mask)?;
            sys::process::execve(program, arguments, environment)
        };
        match all() {
            Ok(never) => match never {},
            Err(errno) => errno,
        }
    }

    /// Runs a script to its end.
    ///
    /// # Errors
    /// It was not started, or did not end with 0.
    pub fn script(&self, option: &'static str, script: &OsStr) -> Result<(), ToolError> {
        let pid = self.shell(script)?;
        let ended = self.wait(pid, None, &Until::default(), None)?;
        match ended.how {
            ProcessEnd::Code(0) => Ok(()),
            how => Err(ToolError::Script { option, script: script.to_owned(), how }),
        }
    }

    fn shell(&self, script: &OsStr) -> Result<i32, ToolError> {
        let arguments = ["sh".into(), "-c".into(), script.to_owned()];
        self.start(&Spawn {
            program: OsStr::new("/bin/sh"),
            arguments: arguments.into(),
            without: &[],
            keeps: None,
            aside: true,
            group: true,
        })
    }

    /// Waits for the end of a started process, and reads what it writes to `pipe`. Once the app
    /// runs, as the first line there or the handler shows, it starts the work and the clock of
    /// `until`: before, a SIGTERM could end the process that is still to execute the app.
    ///
    /// # Errors
    /// Waiting or reading failed, or the work was not started.
    pub fn wait(
        &self,
        pid: i32,
        pipe: Option<OwnedFd>,
        until: &Until,
        mut handler: Option<&mut dyn StopHandler>,
    ) -> Result<RunEnd, ToolError> {
        let mut run = Running { pid, ..Running::default() };
        let mut pipe = pipe.map(std::fs::File::from);
        loop {
            self.sleep(pipe.as_ref(), run.begins.into_iter().chain(run.until).min())?;
            if let Some(open) = &mut pipe
                && drain(open, &mut run.said)?
            {
                pipe = None;
            }
            self.signals(&mut run)?;
            run.children(&mut handler)?;
            let runs = handler.as_ref().map_or(!run.said.is_empty(), |handler| handler.started());
            if runs && run.ended.is_none() && run.may_begin(until.ready) {
                run.work = until.work.as_deref().map(|script| self.shell(script)).transpose()?;
                if run.stop.is_none() {
                    run.until = until.span.map(|span| Instant::now() + span);
                }
            }
            if run.ended.is_none() && run.until.is_some_and(|end| Instant::now() >= end) {
                run.time_is_over();
            }
            if let Some(how) = run.ended {
                run.end_work();
                // An app that ended early leaves work that was cut, or never began.
                run.work_cut |= until.work.is_some() && run.work_ended.is_none();
                if let Some(handler) = &mut handler {
                    handler.finish();
                }
                // The writer has ended; read the rest.
                if let Some(open) = &mut pipe {
                    drain(open, &mut run.said)?;
                }
                let Running { stop, work_ended: work, work_cut, killed, said, .. } = run;
                return Ok(RunEnd { how, stop, work, work_cut, killed, said });
            }
        }
    }

    fn sleep(&self, pipe: Option<&std::fs::File>, until: Option<Instant>) -> Result<(), CallError> {
        let mut waits = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        waits.extend(pipe.map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        let left = until.map(|end| end.saturating_duration_since(Instant::now()));
        // A millisecond more, since poll(2) rounds down and would spin in the last one.
        let left = left.map(|left| PollTimeout::try_from(left + Duration::from_millis(1)));
        let timeout = left.map_or(PollTimeout::NONE, |left| left.unwrap_or(PollTimeout::MAX));
        match poll(&mut waits, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(CallError { call: "poll", errno }),
        }
    }

    /// Forwards the signals that the tool received.
    fn signals(&self, run: &mut Running) -> Result<(), CallError> {
        while let Some(got) = signal::next(&self.signals).map_err(CallError::of("signalfd"))? {
            match got.signal {
                libc::SIGCHLD | libc::SIGPIPE => {}
                // The terminal sends these to the whole group, the run's init included.
                libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU | libc::SIGCONT => {}
                ends @ (libc::SIGTERM | libc::SIGINT | libc::SIGQUIT) => {
                    run.stop_by(ends, StopReason::Signal(ends))
                }
                other => run.send(other),
            }
        }
        Ok(())
    }
}

/// The state of a run.
#[derive(Default)]
struct Running {
    pid: i32,
    /// The work has begun.
    begun: bool,
    /// When the work begins at the latest.
    begins: Option<Instant>,
    work: Option<i32>,
    work_ended: Option<ProcessEnd>,
    work_cut: bool,
    until: Option<Instant>,
    stop: Option<StopReason>,
    killed: bool,
    ended: Option<ProcessEnd>,
    said: Vec<u8>,
}

impl Running {
    /// Whether the work is to begin now; true once. The app runs.
    fn may_begin(&mut self, once_ready: bool) -> bool {
        const READY: &[u8] = b"\"event\":\"ready\"";
        let latest = *self.begins.get_or_insert_with(|| Instant::now() + STARTUP);
        let ready = || self.said.windows(READY.len()).any(|window| window == READY);
        let begins = !self.begun && (!once_ready || ready() || Instant::now() >= latest);
        if self.begun || begins {
            self.begun = true;
            self.begins = None;
        }
        begins
    }

    fn send(&self, signal: i32) {
        // The child is not reaped yet, so the pid is its own. An error means that it has ended.
        signal::send(self.pid, signal).unwrap_or_default();
    }

    /// Sends a signal that stops the run, and sets the time until it is killed.
    fn stop_by(&mut self, signal: i32, stop: StopReason) {
        self.stop.get_or_insert(stop);
        self.until = Some(Instant::now() + PATIENCE);
        self.send(signal);
    }

    fn time_is_over(&mut self) {
        if self.stop.is_some() {
            self.killed = true;
            self.until = None;
            self.send(libc::SIGKILL);
        } else {
            self.stop_by(libc::SIGTERM, StopReason::Span);
        }
    }

    /// Reaps ended children, and passes stops to the handler.
    fn children(&mut self, handler: &mut Option<&mut dyn StopHandler>) -> Result<(), CallError> {
        loop {
            let (pid, change) = match sys::process::wait_any() {
                Ok(Some(changed)) => changed,
                Ok(None) | Err(Errno::ECHILD) => return Ok(()),
                Err(errno) => return Err(CallError { call: "wait", errno }),
            };
            let how = match change {
                StateChange::Exited(code) => ProcessEnd::Code(code),
                StateChange::Signalled(signal) => ProcessEnd::Signal(signal),
                StateChange::Stopped(signal, event) => {
                    if let Some(handler) = handler {
                        handler.stopped(pid, signal, event);
                    }
                    continue;
                }
            };
            if let Some(handler) = handler {
                handler.gone(pid);
            }
            if pid == self.pid {
                self.ended = Some(how);
            } else if self.work == Some(pid) {
                self.work = None;
                self.work_ended = Some(how);
                if self.ended.is_none() && self.stop.is_none() {
                    self.stop_by(libc::SIGTERM, StopReason::Work);
                }
            }
        }
    }

    /// Kills the work script, since the app has ended.
    fn end_work(&mut self) {
        let Some(pid) = self.work.take() else { return };
        self.work_cut = true;
        // Its process group too. An error means that it has ended.
        for target in [-pid, pid] {
            signal::send(target, libc::SIGKILL).unwrap_or_default();
        }
        reap(pid);
    }
}

/// A pipe for the started program; reading from it does not block.
pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd), CallError> {
    let (ours, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(CallError::of("pipe"))?;
    let flags = nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK);
    nix::fcntl::fcntl(&ours, flags).map_err(CallError::of("pipe"))?;
    Ok((ours, theirs))
}

/// Reads the available bytes, and returns whether the pipe is at its end.
fn drain(pipe: &mut std::fs::File, into: &mut Vec<u8>) -> Result<bool, CallError> {
    // What was read before it would have blocked is in `into` already.
    match pipe.read_to_end(into) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(CallError { call: "the run's pipe", errno: sys::errno(&error) }),
    }
}

/// Reaps a child that is about to end.
pub(super) fn reap(pid: i32) {
    while nix::sys::wait::waitpid(Pid::from_raw(pid), None) == Err(Errno::EINTR) {}
}
