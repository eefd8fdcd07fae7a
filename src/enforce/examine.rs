//! Examines the environment for `--doctor`, and tries a launch in it up to the exec.

use std::fmt;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::launch::{self, Command, Confinement, Failure, LaunchMessage};
use super::source::LoadError;
use super::{Error, host, probe, source};
use crate::doctor::{Diagnosis, Facts};
use crate::image::live::Live;
use crate::image::trees::AppStart;
use crate::kernel::Kernel;
use crate::plan::{Plan, PlanError, first_process};
use crate::profile::Mode;
use crate::sys::signal::Mask;
use crate::sys::{self, CallError};

/// What can be enforced here, by the plan that `baseline` has for this program. With `shim`
/// this program is protected as remit-init is.
pub fn here(shim: bool) -> Diagnosis {
    let kernel = probe::kernel();
    let (kernel, plan) = match kernel {
        Ok(kernel) => {
            let plan = tried(&kernel, shim);
            (Some(kernel), plan)
        }
        Err(error) => (None, Err(error.into())),
    };
    Diagnosis::new(&facts(), kernel, plan.as_ref().map_err(|error| error as &dyn fmt::Display))
}

/// The plan of `baseline`; where it lacks nothing, a launch by it is tried.
fn tried(kernel: &Kernel, shim: bool) -> Result<Plan, Unconfined> {
    let plan = baseline(kernel, shim)?;
    if plan.refusal().is_none() {
        rehearse(&plan)?;
    }
    Ok(plan)
}

/// Why nothing can be confined here.
enum Unconfined {
    /// The environment could not be examined, or the confinement not be prepared.
    Enforce(Error),
    /// This program's own path is not known.
    Program(Errno),
    /// There is no `baseline` for this program.
    Load(LoadError),
    /// `baseline` cannot be planned.
    Plan(PlanError),
    /// A step in the child failed.
    Step(Failure),
    /// The child was killed before it sent a message.
    Killed,
}

impl fmt::Display for Unconfined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unconfined::Enforce(error) => error.fmt(f),
            Unconfined::Program(errno) => write!(f, "/proc/self/exe: {errno}"),
            Unconfined::Load(error) => error.fmt(f),
            Unconfined::Plan(error) => write!(f, "baseline: {error}"),
            Unconfined::Step(failure) => write!(f, "step `{}` failed: {}", failure.step, failure.errno),
            Unconfined::Killed => f.write_str("the launch was ended from outside, by a filter that kills"),
        }
    }
}

impl From<Error> for Unconfined {
    fn from(error: Error) -> Unconfined {
        Unconfined::Enforce(error)
    }
}

impl From<CallError> for Unconfined {
    fn from(error: CallError) -> Unconfined {
        Unconfined::Enforce(Error::Call(error))
    }
}

fn baseline(kernel: &Kernel, shim: bool) -> Result<Plan, Unconfined> {
    let program = std::env::current_exe().map_err(|error| Unconfined::Program(sys::errno(&error)));
    let guarded = |program: &PathBuf| if shim { vec![("remit-init", program.clone())] } else { Vec::new() };
    // Without /proc the path of the program is not known; `host::here` reports that.
    let guarded = program.as_ref().map_or(Vec::new(), guarded);
    let mut host = host::here(program.as_ref().ok().cloned(), guarded, Vec::new(), true)?;
    let loaded = source::from_name("baseline", &AppStart::of(&program?), &Live).map_err(Unconfined::Load)?;
    host.links = loaded.links.clone();
    Plan::new(&loaded.document.profile, kernel, &host, &Live, Mode::Enforce).map_err(Unconfined::Plan)
}

/// Performs every step of the launch in a child, and an exec of `/`, which fails. Where the exec
/// is notified it is not answered.
fn rehearse(plan: &Plan) -> Result<(), Unconfined> {
    let confinement = Confinement::prepare(plan)?;
    let mask = sys::signal::set_mask(Mask::ALL).map_err(CallError::of("sigprocmask"))?;
    sys::process::can_wait().map_err(CallError::of("wait4, waitid"))?;
    sys::signal::can_wait().map_err(CallError::of("rt_sigtimedwait"))?;
    let nothing = Command {
        program: c"/".to_owned(),
        argv: Vec::new(),
        environment: Vec::new(),
        mask,
        ignore_sigchld: false,
        ignore_sigpipe: false,
        listen_fds: 0,
        keep_fds: Vec::new(),
        terminal: launch::Terminal::Shared,
        run_as: None,
        parent_death: None,
    };
    let child = launch::launch(&nothing, Some(&confinement))?;
    let mut ready = [PollFd::new(child.socket.as_fd(), PollFlags::POLLIN)];
    // No threads are made: the filter gets this process's pid in the place of each.
    let sent = child.send_thread_ids(&vec![std::process::id(); plan.threads_in_filter()]);
    let word = sent.and_then(|()| poll(&mut ready, PollTimeout::NONE)).and_then(|_| child.read_message());
    sys::signal::send(child.pid, libc::SIGKILL).map_err(CallError::of("kill"))?;
    waitpid(Pid::from_raw(child.pid), None).map_err(CallError::of("wait4, waitid"))?;
    sys::signal::set_mask(mask).map_err(CallError::of("sigprocmask"))?;
    match word {
        Ok(LaunchMessage::Listener(_) | LaunchMessage::Failed(Failure { exec: true, .. })) => Ok(()),
        Ok(LaunchMessage::Failed(failure)) => Err(Unconfined::Step(failure)),
        Ok(LaunchMessage::Closed) => Err(Unconfined::Killed),
        Err(errno) => Err(CallError::of("recvmsg")(errno).into()),
    }
}

fn facts() -> Facts {
    let filtered = sys::prctl::is_filtered();
    let name = nix::sys::utsname::uname().ok();
    Facts {
        pid: std::process::id(),
        uid: nix::unistd::geteuid().as_raw(),
        landlock: sys::landlock::version().err().map(|errno| format!("{errno:?}")),
        filtered,
        // Without a filter, a call that fails with ENOSYS is one that the kernel lacks.
        refused: if filtered { sys::syscall_probe::refused() } else { Vec::new() },
        no_new_privs: sys::prctl::no_new_privileges() == Ok(true),
        yama: probe::yama(),
        label: label(),
        gvisor: name.is_some_and(|name| {
            // The build date that every version of gVisor reports.
            const VERSION: &str = "Sun Jan 10 15:06:54 PST 2016";
            name.version().to_string_lossy().contains(VERSION)
        }),
        s6_overlay: first_process::has_s6_overlay(&Live),
        user_namespace: read("/proc/self/uid_map").is_some_and(|map| {
            let mut fields = map.split_whitespace();
            !(fields.next() == Some("0") && fields.next() == Some("0") && fields.next() == Some("4294967295"))
        }),
    }
}

/// The label that AppArmor or SELinux has for this process: a profile and its mode, or a
/// context.
fn label() -> Option<String> {
    let files = ["/proc/self/attr/apparmor/current", "/proc/self/attr/current"];
    files.into_iter().filter_map(read).find(|label| !label.is_empty() && label != "unconfined")
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim_end_matches(['\n', '\0']).to_owned())
}
