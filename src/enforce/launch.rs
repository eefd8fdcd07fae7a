//! The launch. Everything that can fail is prepared first; then comes the fork,
//! and the child performs the plan's steps in order, the last of which is the exec.
//!
//! The child sends the filter's listener through a socket pair, or the step that failed and its
//! errno. The socket is closed by the exec, so its end of file reports that the app runs.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use caps::Capability;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
use nix::sys::stat::Mode;

use super::error::Error;
use super::listener_handoff;
use super::ruleset::ruleset;
use super::threads::{complete, template};
use crate::filter::{Insn, Template, compile, compile_without_notifier};
use crate::plan::{Plan, ResourceLimit, Step};
use crate::profile::RunAs;
use crate::sys::credentials::CapSets;
use crate::sys::descriptors::Inherited;
use crate::sys::process::Side;
use crate::sys::signal::Mask;
use crate::sys::{self, CallError};

/// What the app is started with; the same with and without confinement.
pub struct Command {
    /// The file to execute, found by PATH.
    pub program: CString,
    /// argv, the first the name as it was given.
    pub argv: Vec<CString>,
    /// The whole environment.
    pub environment: Vec<CString>,
    /// The signal mask that the shim was started with.
    pub mask: Mask,
    /// SIGCHLD was inherited as ignored.
    pub ignore_sigchld: bool,
    /// SIGPIPE was inherited as ignored.
    pub ignore_sigpipe: bool,
    /// How many descriptors from 3 on are handed over (LISTEN_FDS).
    pub listen_fds: u32,
    /// Other inherited descriptors that are handed over.
    pub keep_fds: Vec<RawFd>,
    /// What of the terminal the app gets.
    pub terminal: Terminal,
    /// Ids that an unconfined app takes on; a confined one's are its plan's.
    pub run_as: Option<RunAs>,
    /// The signal that the app gets when its parent ends (tini's `-p`).
    pub parent_death: Option<i32>,
}

/// What the app shares with the init, and so where the terminal's signals go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// A group of its own in the init's session, in the foreground if the init was: as
    /// tini has it.
    Group,
    /// A session of its own, which takes the terminal over: as dumb-init has it.
    Session,
    /// All: the init's session and group, as `dumb-init -c` has it.
    Shared,
}

/// The confinement, prepared: nothing in it can still be found wrong.
pub struct Confinement {
    pub(super) steps: Vec<Step>,
    ruleset: Option<OwnedFd>,
    filter: Template,
    wait_killable: bool,
    /// The token by which the filter allows the launch's sendmsg, where it notifies others.
    token: Option<[u64; 3]>,
}

/// A step that failed in the child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step, as the plan prints it.
    pub step: String,
    /// The exec itself failed.
    pub exec: bool,
    /// The errno of the call that failed.
    pub errno: Errno,
}

/// A message from the child.
pub enum LaunchMessage {
    /// The listener of its filter.
    Listener(OwnedFd),
    /// A step failed; the child has ended.
    Failed(Failure),
    /// The socket is closed: the child has executed the app, or has ended.
    Closed,
}

/// The child, and the socket that it reports its launch on.
pub struct Child {
    /// Its pid, which stays the app's.
    pub pid: i32,
    /// The supervisor's end of the socket pair that the child writes to.
    pub socket: OwnedFd,
    steps: Vec<String>,
}

impl Confinement {
    /// Steps that need no ruleset, and a filter without a listener.
    pub(super) fn without_notifier(steps: Vec<Step>, filter: Vec<Insn>) -> Confinement {
        let filter = Template::complete(filter);
        Confinement { steps, ruleset: None, filter, wait_killable: false, token: None }
    }

    /// Compiles the filter and builds the Landlock ruleset of a plan.
    ///
    /// # Errors
    /// A path that has gone since it was planned, a filter over the kernel's size, a call that
    /// the kernel refused.
    pub fn prepare(plan: &Plan) -> Result<Confinement, Error> {
        let notify = plan.kernel.notify.as_ref();
        let token = listener_handoff::notifies_sendmsg(&plan.filter).then(sys::process::random).transpose();
        let token = token.map_err(CallError::of("getrandom"))?;
        Ok(Confinement {
            steps: plan.steps(),
            ruleset: plan.landlock.as_ref().map(ruleset).transpose()?,
            filter: match notify {
                Ok(_) => match token {
                    Some(token) => {
                        template(plan, &listener_handoff::allowed_by(&plan.filter, token), compile)
                    }
                    None => template(plan, &plan.filter, compile),
                },
                Err(_) => template(plan, &plan.lasting_filter(), compile_without_notifier),
            }?,
            wait_killable: notify.is_ok_and(|notify| notify.wait_killable),
            token,
        })
    }
}

/// Forks and starts the app, confined when `confinement` says how.
///
/// # Errors
/// The call that failed and its errno; nothing was started.
pub fn launch(command: &Command, confinement: Option<&Confinement>) -> Result<Child, CallError> {
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    let (ours, theirs) = pair.map_err(CallError::of("socketpair"))?;
    if confinement.is_some() {
        // Before a child exists that could trace the supervisor or read its memory.
        sys::prctl::set_dumpable(false).map_err(CallError::of("PR_SET_DUMPABLE"))?;
    }
    let home = leave_directory().map_err(CallError::of("chdir /"))?;
    match sys::process::fork().map_err(CallError::of("fork"))? {
        Side::Parent(pid) => {
            if home.is_none()
                && let Err(errno) = nix::unistd::chdir("/")
            {
                tracing::warn!(%errno, "the working directory cannot be left");
            }
            let steps = confinement.map_or(Vec::new(), |c| c.steps.iter().map(Step::to_string).collect());
            Ok(Child { pid, socket: ours, steps })
        }
        Side::Child => {
            drop(ours);
            let (stage, errno) = match home.map_or(Ok(()), nix::unistd::fchdir) {
                Ok(()) => perform(command, confinement, &theirs),
                Err(errno) => (Stage::Before(0), errno),
            };
            let word = [stage.number().to_le_bytes(), (errno as i32).to_le_bytes()].concat();
            let sent = nix::unistd::write(&theirs, &word);
            sys::process::exit_now(if sent.is_ok() { 125 } else { 124 });
        }
    }
}

/// Leaves the working directory, before an app exists that could read the supervisor's, and
/// returns a descriptor of it for the app; none where it cannot be opened.
fn leave_directory() -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let home = open(".", flags, Mode::empty()).ok();
    if home.is_some() {
        nix::unistd::chdir("/")?;
    }
    Ok(home)
}

impl Child {
    /// Reads the child's next message, without waiting.
    ///
    /// # Errors
    /// EAGAIN where there is none yet; else as recvmsg(2).
    pub fn read_message(&self) -> Result<LaunchMessage, Errno> {
        match self.receive() {
            // It ended before it read the thread ids. The kernel reports that once, before the
            // message that it sent, which says why it ended (unix_release_sock).
            Err(Errno::ECONNRESET) => self.receive(),
            answer => answer,
        }
    }

    /// Sends the child the ids of the supervisor's threads. It waits for them, since its filter
    /// compares with them. A child that has ended has sent why.
    ///
    /// # Errors
    /// As send(2), but for EPIPE and ECONNRESET.
    pub fn send_thread_ids(&self, numbers: &[u32]) -> Result<(), Errno> {
        let word: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        match send(self.socket.as_raw_fd(), &word, MsgFlags::MSG_NOSIGNAL) {
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn receive(&self) -> Result<LaunchMessage, Errno> {
        let mut word = [0u8; 8];
        let sys::socket::Message { length, descriptors, .. } =
            sys::socket::receive(self.socket.as_fd(), &mut word)?;
        if let Some(listener) = descriptors.into_iter().next() {
            return Ok(LaunchMessage::Listener(listener));
        }
        if length < 8 {
            return Ok(LaunchMessage::Closed);
        }
        let number = |range: std::ops::Range<usize>| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&word[range]);
            i32::from_le_bytes(bytes)
        };
        let (stage, errno) = (Stage::of(number(0..4)), Errno::from_raw(number(4..8)));
        let step = match stage {
            Stage::Before(index) => BEFORE.get(index).map(|name| (*name).to_owned()),
            Stage::Step(index) => self.steps.get(index).cloned(),
            Stage::Exec => None,
        };
        Ok(LaunchMessage::Failed(Failure {
            exec: step.is_none(),
            step: step.unwrap_or("exec".to_owned()),
            errno,
        }))
    }
}

/// How far the child got.
#[derive(Clone, Copy)]
enum Stage {
    /// What every app is given, by its index in [`BEFORE`].
    Before(usize),
    /// A step of the plan, by its index.
    Step(usize),
    /// All was done but the exec.
    Exec,
}

/// What the child does before the plan's steps.
const BEFORE: [&str; 5] = [
    "working directory",
    "dumpable again",
    "process group and terminal",
    "ignored signals",
    "user, parent-death signal and signal mask",
];

impl Stage {
    fn number(self) -> i32 {
        match self {
            Stage::Before(index) => -1 - index as i32,
            Stage::Step(index) => index as i32,
            Stage::Exec => i32::MAX,
        }
    }

    fn of(number: i32) -> Stage {
        match number {
            i32::MAX => Stage::Exec,
            0.. => Stage::Step(number as usize),
            _ => Stage::Before((-1 - number) as usize),
        }
    }
}

/// The child's work; it returns only what failed.
fn perform(command: &Command, confinement: Option<&Confinement>, socket: &OwnedFd) -> (Stage, Errno) {
    if let Err(failed) = before(command, confinement.is_some()) {
        return failed;
    }
    for (index, step) in confinement.iter().flat_map(|c| c.steps.iter()).enumerate() {
        if let Some(Err(errno)) = confinement.map(|c| perform_step(step, c, command, socket)) {
            return (Stage::Step(index), errno);
        }
    }
    match sys::process::execve(&command.program, &command.argv, &environment(command)) {
        Ok(never) => match never {},
        Err(errno) => (Stage::Exec, errno),
    }
}

/// What comes before the plan's steps, in the order of [`BEFORE`].
fn before(command: &Command, confined: bool) -> Result<(), (Stage, Errno)> {
    let at = |index| move |errno| (Stage::Before(index), errno);
    if confined {
        // The supervisor's being undumpable was inherited, and is not for the app.
        sys::prctl::set_dumpable(true).map_err(at(1))?;
    }
    terminal(command.terminal).map_err(at(2))?;
    if command.ignore_sigchld {
        sys::signal::set_ignored(libc::SIGCHLD, true).map_err(at(3))?;
    }
    sys::signal::set_ignored(libc::SIGPIPE, command.ignore_sigpipe).map_err(at(3))?;
    if confined { Ok(()) } else { unconfined(command).map_err(at(4)) }
}

/// Performs one step, exactly as the plan prints it.
pub(super) fn perform_step(
    step: &Step,
    confinement: &Confinement,
    command: &Command,
    socket: &OwnedFd,
) -> Result<(), Errno> {
    match step {
        // Taken out when the environment was prepared.
        Step::Environment(_) => Ok(()),
        Step::Limit(ResourceLimit::SoftCore, value) => {
            sys::process::set_soft_limit(libc::RLIMIT_CORE, *value)
        }
        Step::Limit(limit, value) => sys::process::set_limit(resource(*limit), *value),
        Step::KeepCapabilities => sys::prctl::keep_capabilities(),
        Step::Bounding(drop) => drop_bounding(drop),
        Step::Groups(groups) => sys::credentials::setgroups(groups),
        Step::Group(gid) => sys::credentials::setresgid(*gid),
        Step::User(uid) => sys::credentials::setresuid(*uid),
        Step::SecureBits => lock_secure_bits(),
        Step::Capabilities(keep) => {
            let bits = keep.iter().fold(0, |bits, capability| bits | capability.bitmask());
            sys::credentials::capset(CapSets { effective: bits, permitted: bits, inheritable: bits })
        }
        Step::Ambient(raise) => {
            sys::prctl::clear_ambient()?;
            raise.iter().try_for_each(|capability| sys::prctl::raise_ambient(capability.index()))
        }
        Step::NoNewPrivileges => sys::prctl::set_no_new_privileges(),
        Step::ExecBits => {
            // RESTRICT_FILE, DENY_INTERACTIVE, and their locks (linux/securebits.h): no
            // capability is needed for these.
            const EXEC_BITS: u32 = 0b1111 << 8;
            sys::prctl::set_secure_bits(sys::prctl::secure_bits()? | EXEC_BITS)
        }
        Step::ParentDeathSignal => die_with_parent(command.parent_death.unwrap_or(libc::SIGKILL)),
        Step::Mdwe => sys::prctl::refuse_exec_gain(),
        // Those that are handed over were inherited, which is to say without the mark.
        Step::CloseOnExec => {
            sys::descriptors::close_on_exec_from(3 + command.listen_fds)?;
            command.keep_fds.iter().try_for_each(|fd| sys::descriptors::keep_inherited_over_exec(*fd))
        }
        Step::Landlock => confinement.ruleset.as_ref().map_or(Ok(()), sys::landlock::restrict_self),
        Step::Seccomp => {
            // The mask goes back first: afterwards every call is the filter's.
            let filter = complete(&confinement.filter, socket)?;
            sys::signal::set_mask(command.mask)?;
            let listener = sys::seccomp::load(&filter, confinement.wait_killable)?;
            sys::socket::send_descriptor(socket, &listener, confinement.token.unwrap_or_default())
        }
        Step::SeccompWithoutNotifier => {
            let filter = complete(&confinement.filter, socket)?;
            sys::signal::set_mask(command.mask)?;
            sys::seccomp::load_without_listener(&filter)
        }
        Step::Exec => Ok(()),
    }
}

/// What the child does where the app is not confined.
fn unconfined(command: &Command) -> Result<(), Errno> {
    if let Some(ids) = &command.run_as {
        sys::credentials::setgroups(&ids.groups)?;
        sys::credentials::setresgid(ids.group)?;
        sys::credentials::setresuid(ids.user)?;
    }
    if let Some(signal) = command.parent_death {
        die_with_parent(signal)?;
    }
    sys::signal::set_mask(command.mask).map(drop)
}

/// Puts the app into the terminal's foreground, so that Ctrl-C reaches it and not the init.
/// Without a terminal nothing is done, and nothing where the init is in its background.
fn terminal(terminal: Terminal) -> Result<(), Errno> {
    match terminal {
        Terminal::Shared => return Ok(()),
        Terminal::Session => {
            sys::terminal::own_session()?;
            // EPERM where another session has the terminal (TIOCSCTTY in ioctl_tty(2)).
            if let Err(errno) = sys::terminal::acquire() {
                tracing::debug!(%errno, "the app has no terminal");
            }
            return Ok(());
        }
        Terminal::Group => {}
    }
    let in_front = sys::terminal::foreground() == Some(sys::terminal::group());
    sys::terminal::own_group()?;
    if !in_front {
        return Ok(());
    }
    match sys::terminal::set_foreground(sys::terminal::group()) {
        // It went away meanwhile, or a filter outside refuses it.
        Ok(()) | Err(Errno::ENOTTY | Errno::ENXIO | Errno::EBADF | Errno::EIO | Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Sets the parent-death signal. A change of ids clears it, so it is set after that. ESRCH where
/// the parent ended before it was set.
fn die_with_parent(signal: i32) -> Result<(), Errno> {
    let parent = nix::unistd::getppid();
    sys::prctl::set_parent_death_signal(signal)?;
    if nix::unistd::getppid() == parent { Ok(()) } else { Err(Errno::ESRCH) }
}

fn drop_bounding(drop: &[Capability]) -> Result<(), Errno> {
    drop.iter().try_for_each(|capability| sys::prctl::drop_bounding(capability.index()))
}

fn lock_secure_bits() -> Result<(), Errno> {
    const NOROOT_LOCKED: u32 = 1 << 1;
    const NO_SETUID_FIXUP_LOCKED: u32 = 1 << 3;
    let sets = sys::credentials::capget()?;
    // A change of user emptied the effective set; CAP_SETPCAP is needed once more.
    sys::credentials::capset(CapSets { effective: sets.permitted, ..sets })?;
    sys::prctl::set_secure_bits(sys::prctl::secure_bits()? | NOROOT_LOCKED | NO_SETUID_FIXUP_LOCKED)
}

const fn resource(limit: ResourceLimit) -> sys::process::Resource {
    match limit {
        ResourceLimit::OpenFiles => libc::RLIMIT_NOFILE,
        ResourceLimit::FileSize => libc::RLIMIT_FSIZE,
        ResourceLimit::Core | ResourceLimit::SoftCore => libc::RLIMIT_CORE,
    }
}

/// LISTEN_PID names the process that the descriptors are for, which is the app
/// and not the init that it was set for (sd_listen_fds(3)).
pub(super) fn environment(command: &Command) -> Vec<CString> {
    let ours = CString::new(format!("LISTEN_PID={}", nix::unistd::getpid())).unwrap_or_default();
    let rename = |variable: &CString| {
        if command.listen_fds > 0 && variable.as_bytes().starts_with(b"LISTEN_PID=") {
            ours.clone()
        } else {
            variable.clone()
        }
    };
    command.environment.iter().map(rename).collect()
}

/// Reduces the supervisor once the app has been launched: to its own capability sets, to umask 0,
/// and to the first three of the descriptors that it was started with.
///
/// # Errors
/// The call that failed and its errno.
pub fn settle(plan: Option<&Plan>, inherited: &Inherited) -> Result<(), CallError> {
    for reserved in [32, 33] {
        sys::signal::ignore_reserved(reserved).map_err(CallError::of("rt_sigaction"))?;
    }
    if let Some(plan) = plan {
        let bits = plan.capabilities.supervisor.iter().fold(0, |bits, cap| bits | cap.bitmask());
        sys::prctl::clear_ambient().map_err(CallError::of("ambient set"))?;
        sys::credentials::capset(CapSets { effective: bits, permitted: bits, inheritable: 0 })
            .map_err(CallError::of("capset"))?;
        sys::prctl::set_no_new_privileges().map_err(CallError::of("no_new_privs"))?;
        sys::process::clear_umask().map_err(CallError::of("umask"))?;
    }
    inherited.close();
    Ok(())
}

#[cfg(test)]
mod tests;
