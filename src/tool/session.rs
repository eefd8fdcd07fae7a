//! A run of COMMAND from outside: it is started, worked on, stopped, and waited for, with
//! the signals that come meanwhile handed on to it.

use std::ffi::{CString, OsStr, OsString};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::error::Error;
use crate::profile;
use crate::sys::process::{Change, Side};
use crate::sys::signal::{self, Mask};
use crate::sys::{self, CallError};

/// How long a run that was told to end has before it is killed: longer than any init
/// gives its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a run that says when it is ready has to say so: not every app listens.
const STARTUP: Duration = Duration::from_secs(5);

/// What makes a run of something that does not end by itself.
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
    /// The run says when its start-up is over, and until then it is not worked on.
    #[arg(skip)]
    pub ready: bool,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl How {
    /// The exit code that a shell has for it.
    pub fn code(self) -> i32 {
        match self {
            How::Code(code) => code,
            How::Signal(signal) => 128 + signal,
        }
    }
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            How::Code(code) => write!(f, "with exit code {code}"),
            How::Signal(signal) => write!(f, "by signal {}", signal::name(*signal)),
        }
    }
}

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Its work was done.
    Work,
    /// Its time was over.
    Span,
    /// A signal that ends things was sent to the tool.
    Signal(i32),
}

/// What became of a run.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub how: How,
    pub stop: Option<Stop>,
    /// How its work ended.
    pub work: Option<How>,
    /// It ended before its work was done.
    pub work_cut: bool,
    /// It did not end in time and was killed.
    pub killed: bool,
    /// What it wrote to its pipe.
    pub said: Vec<u8>,
}

impl Ended {
    /// Why the run proves little; none where it ended as it should.
    pub fn fault(&self) -> Option<String> {
        if self.killed {
            return Some("it did not end when it was told to, and was killed".to_owned());
        }
        if let Some(how) = self.work.filter(|how| *how != How::Code(0)) {
            return Some(format!("its work ended {how}"));
        }
        if self.work_cut && self.stop.is_none() {
            return Some(format!("it ended {} before its work was done", self.how));
        }
        // Who is told to end may end by that very signal.
        let told = match self.stop {
            Some(Stop::Signal(signal)) => Some(signal),
            Some(_) => Some(libc::SIGTERM),
            None => None,
        };
        let told = told.is_some_and(|signal| self.how.code() == 128 + signal);
        (self.how.code() != 0 && !told).then(|| format!("it ended {}", self.how))
    }
}

/// Looks at the stops of a run that is traced.
pub(super) trait Witness {
    /// A thread stopped, and has to be let go on.
    fn stopped(&mut self, tid: i32, signal: i32, event: i32);
    /// Whether COMMAND has been executed.
    fn started(&self) -> bool;
    /// A process or a seized thread ended.
    fn gone(&mut self, tid: i32);
    /// The app has ended; what is left of its kin has to end as well.
    fn finish(&mut self);
}

/// The signals of this process, taken for all runs that it makes.
pub(super) struct Session {
    signals: OwnedFd,
    mask: Mask,
}

/// A program to start.
pub(super) struct Start<'a> {
    pub program: &'a OsStr,
    /// All arguments, the name first.
    pub arguments: Vec<OsString>,
    /// Variables that it does not get.
    pub without: &'a [&'a str],
    /// A descriptor that it inherits.
    pub keeps: Option<&'a OwnedFd>,
    /// Standard output goes to standard error: the answer is alone on the former.
    pub aside: bool,
    /// A process group of its own.
    pub group: bool,
}

impl Session {
    /// Takes the signals.
    ///
    /// # Errors
    /// The call that failed.
    pub fn begin() -> Result<Session, CallError> {
        let mask = signal::set_mask(Mask::ALL).map_err(CallError::of("sigprocmask"))?;
        signal::default_sigchld().map_err(CallError::of("sigaction"))?;
        let signals = signal::descriptor(Mask::ALL).map_err(CallError::of("signalfd"))?;
        Ok(Session { signals, mask })
    }

    /// The mask that the tool was started with, which its children get.
    pub fn mask(&self) -> Mask {
        self.mask
    }

    /// Starts a program.
    ///
    /// # Errors
    /// A NUL byte, or fork(2) failed. That it cannot be executed shows as exit code 127.
    pub fn start(&self, start: &Start<'_>) -> Result<i32, Error> {
        let text = |bytes: &OsStr| CString::new(bytes.as_bytes()).map_err(|_| Error::Nul(bytes.to_owned()));
        let program = text(start.program)?;
        let arguments = start.arguments.iter().map(|one| text(one)).collect::<Result<Vec<_>, _>>()?;
        let kept = std::env::vars_os().filter(|(name, _)| !start.without.iter().any(|not| name == not));
        let environment = kept.map(|(name, value)| {
            let whole = [name.into_vec(), b"=".to_vec(), value.into_vec()].concat();
            text(&OsString::from_vec(whole))
        });
        let environment = environment.collect::<Result<Vec<_>, _>>()?;
        match sys::process::fork().map_err(CallError::of("fork"))? {
            Side::Parent(pid) => Ok(pid),
            Side::Child => {
                let errno = self.become_it(start, &program, &arguments, &environment);
                super::complain(&format!("{}: {errno}", start.program.display()));
                sys::process::exit_now(127)
            }
        }
    }

    /// The child's side; it returns only what failed.
    fn become_it(
        &self,
        start: &Start<'_>,
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
    pub fn script(&self, option: &'static str, script: &OsStr) -> Result<(), Error> {
        let pid = self.shell(script)?;
        let ended = self.wait(pid, None, &Until::default(), None)?;
        match ended.how {
            How::Code(0) => Ok(()),
            how => Err(Error::Script { option, script: script.to_owned(), how }),
        }
    }

    fn shell(&self, script: &OsStr) -> Result<i32, Error> {
        let arguments = ["sh".into(), "-c".into(), script.to_owned()];
        self.start(&Start {
            program: OsStr::new("/bin/sh"),
            arguments: arguments.into(),
            without: &[],
            keeps: None,
            aside: true,
            group: true,
        })
    }

    /// Waits for the end of a process that was started, and reads what it writes to `pipe`.
    /// Once the app runs, which the first line there says or the witness, it does what `until`
    /// says: before, who stands before the app could be ended in its place.
    ///
    /// # Errors
    /// Waiting or reading failed, or the work was not started.
    pub fn wait(
        &self,
        pid: i32,
        pipe: Option<OwnedFd>,
        until: &Until,
        mut witness: Option<&mut dyn Witness>,
    ) -> Result<Ended, Error> {
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
            run.children(&mut witness)?;
            let runs = witness.as_ref().map_or(!run.said.is_empty(), |witness| witness.started());
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
                if let Some(witness) = &mut witness {
                    witness.finish();
                }
                // Whoever wrote has ended; what is left there is read.
                if let Some(open) = &mut pipe {
                    drain(open, &mut run.said)?;
                }
                let Running { stop, work_ended: work, work_cut, killed, said, .. } = run;
                return Ok(Ended { how, stop, work, work_cut, killed, said });
            }
        }
    }

    fn sleep(&self, pipe: Option<&std::fs::File>, until: Option<Instant>) -> Result<(), CallError> {
        let mut waits = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        waits.extend(pipe.map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        let left = until.map(|end| end.saturating_duration_since(Instant::now()));
        // A millisecond more, or the last one would be asked for again and again.
        let left = left.map(|left| PollTimeout::try_from(left + Duration::from_millis(1)));
        let timeout = left.map_or(PollTimeout::NONE, |left| left.unwrap_or(PollTimeout::MAX));
        match poll(&mut waits, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(CallError { call: "poll", errno }),
        }
    }

    /// Hands on what was sent to the tool.
    fn signals(&self, run: &mut Running) -> Result<(), CallError> {
        while let Some(got) = signal::next(&self.signals).map_err(CallError::of("signalfd"))? {
            match got.signal {
                libc::SIGCHLD | libc::SIGPIPE => {}
                // The terminal's own are for all in its group, the run's init included.
                libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU | libc::SIGCONT => {}
                ends @ (libc::SIGTERM | libc::SIGINT | libc::SIGQUIT) => run.tell(ends, Stop::Signal(ends)),
                other => run.send(other),
            }
        }
        Ok(())
    }
}

/// A run that goes on.
#[derive(Default)]
struct Running {
    pid: i32,
    /// The app's work has begun.
    begun: bool,
    /// When it begins at the latest.
    begins: Option<Instant>,
    work: Option<i32>,
    work_ended: Option<How>,
    work_cut: bool,
    until: Option<Instant>,
    stop: Option<Stop>,
    killed: bool,
    ended: Option<How>,
    said: Vec<u8>,
}

impl Running {
    /// Whether the app, which runs, may be worked on from now on; once.
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
        // It is our own child, not yet waited for: the number is its own, and where it has just
        // ended nothing is to be told.
        signal::send(self.pid, signal).unwrap_or_default();
    }

    /// Tells the run to end, and from then on waits for so long.
    fn tell(&mut self, signal: i32, stop: Stop) {
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
            self.tell(libc::SIGTERM, Stop::Span);
        }
    }

    /// Buries whoever ended, and shows the witness who stopped.
    fn children(&mut self, witness: &mut Option<&mut dyn Witness>) -> Result<(), CallError> {
        loop {
            let (pid, change) = match sys::process::wait_any() {
                Ok(Some(changed)) => changed,
                Ok(None) | Err(Errno::ECHILD) => return Ok(()),
                Err(errno) => return Err(CallError { call: "wait", errno }),
            };
            let how = match change {
                Change::Exited(code) => How::Code(code),
                Change::Signalled(signal) => How::Signal(signal),
                Change::Stopped(signal, event) => {
                    if let Some(witness) = witness {
                        witness.stopped(pid, signal, event);
                    }
                    continue;
                }
            };
            if let Some(witness) = witness {
                witness.gone(pid);
            }
            if pid == self.pid {
                self.ended = Some(how);
            } else if self.work == Some(pid) {
                self.work = None;
                self.work_ended = Some(how);
                if self.ended.is_none() && self.stop.is_none() {
                    self.tell(libc::SIGTERM, Stop::Work);
                }
            }
        }
    }

    /// The app is gone, and so is what the work was for.
    fn end_work(&mut self) {
        let Some(pid) = self.work.take() else { return };
        self.work_cut = true;
        // Its group too, which is the child's own; it may have just ended by itself.
        for target in [-pid, pid] {
            signal::send(target, libc::SIGKILL).unwrap_or_default();
        }
        bury(pid);
    }
}

/// A pipe that the started program may keep; its end that is read does not block.
pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd), CallError> {
    let (ours, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(CallError::of("pipe"))?;
    let flags = nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK);
    nix::fcntl::fcntl(&ours, flags).map_err(CallError::of("pipe"))?;
    Ok((ours, theirs))
}

/// Reads what is there, and says whether that was the end of it.
fn drain(pipe: &mut std::fs::File, into: &mut Vec<u8>) -> Result<bool, CallError> {
    // What was read before it would have blocked is in `into` already.
    match pipe.read_to_end(into) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(CallError { call: "the run's pipe", errno: sys::errno(&error) }),
    }
}

/// Waits for the end of a child that is about to end.
pub(super) fn bury(pid: i32) {
    while nix::sys::wait::waitpid(Pid::from_raw(pid), None) == Err(Errno::EINTR) {}
}
