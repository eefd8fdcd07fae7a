//! The launch. Everything that can fail is prepared first; then comes the fork,
//! and the child performs the plan's steps in order, the last of which is the exec.
//!
//! One socket pair carries the child's side of the story: the filter's listener,
//! or the step that failed and why. It closes at the exec, so its end of file says
//! that the app runs.

use std::ffi::CString;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};

use caps::Capability;
use landlock::{
    BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope,
};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};
use nix::sys::stat::Mode;

use crate::filter::Insn;
use crate::plan::{Limit, Plan, Step};
use crate::sys;
use crate::sys::credentials::CapSets;
use crate::sys::process::Side;
use crate::sys::signal::Mask;

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
    /// The app gets a process group of its own and the terminal.
    pub own_group: bool,
    /// The signal that the app gets when its parent dies (tini's `-p`).
    pub parent_death: Option<i32>,
}

/// The confinement, prepared: nothing in it can still be found wrong.
pub struct Confinement {
    steps: Vec<Step>,
    ruleset: Option<OwnedFd>,
    filter: Vec<Insn>,
    wait_killable: bool,
}

/// A step that failed in the child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step, as the plan prints it.
    pub step: String,
    /// It was the exec itself.
    pub exec: bool,
    /// Why.
    pub errno: Errno,
}

/// What the child says through its socket.
pub enum Word {
    /// The listener of its filter.
    Listener(OwnedFd),
    /// A step failed; the child has ended.
    Failed(Failure),
    /// The socket is closed: it executes the app, or is dead.
    Closed,
}

/// The child, and the way to hear of it.
pub struct Child {
    /// Its pid, which stays the app's.
    pub pid: i32,
    /// Where its words come from.
    pub socket: OwnedFd,
    steps: Vec<String>,
}

impl Confinement {
    /// Compiles the filter and builds the Landlock ruleset of a plan.
    ///
    /// # Errors
    /// One sentence: a path that has gone since it was planned, a filter over the
    /// kernel's size, a call that the kernel refused.
    pub fn prepare(plan: &Plan) -> Result<Confinement, String> {
        let notify = plan.kernel.notify.as_ref();
        Ok(Confinement {
            steps: plan.steps(),
            ruleset: plan.landlock.as_ref().map(ruleset).transpose()?,
            filter: match notify {
                Ok(_) => crate::filter::compile(&plan.filter),
                Err(_) => crate::filter::compile_unattended(&plan.filter),
            }
            .map_err(|error| format!("filter: {error}"))?,
            wait_killable: notify.is_ok_and(|notify| notify.wait_killable),
        })
    }
}

/// Forks and starts the app, confined when `confinement` says how.
///
/// # Errors
/// The socket pair or the fork failed; nothing was started.
pub fn launch(command: &Command, confinement: Option<&Confinement>) -> Result<Child, Errno> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    if confinement.is_some() {
        // Before there is anybody who could trace or read the supervisor.
        sys::process::prctl(libc::PR_SET_DUMPABLE, 0, 0)?;
    }
    match sys::process::fork()? {
        Side::Parent(pid) => {
            let steps = confinement.map_or(Vec::new(), |c| c.steps.iter().map(Step::to_string).collect());
            Ok(Child { pid, socket: ours, steps })
        }
        Side::Child => {
            drop(ours);
            let (step, errno) = perform(command, confinement, &theirs);
            let word = [step.to_le_bytes(), (errno as i32).to_le_bytes()].concat();
            let told = nix::unistd::write(&theirs, &word);
            sys::process::exit_now(if told.is_ok() { 125 } else { 124 });
        }
    }
}

impl Child {
    /// The child's next word; never waited for.
    ///
    /// # Errors
    /// EAGAIN when it has said nothing more; recvmsg(2) failed.
    pub fn hear(&self) -> Result<Word, Errno> {
        let mut word = [0u8; 8];
        let mut buffer = nix::cmsg_space!(i32);
        let mut data = [IoSliceMut::new(&mut word)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<()>(self.socket.as_raw_fd(), &mut data, Some(&mut buffer), flags)?;
        let length = message.bytes;
        let mut listener = None;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control {
                listener = fds.first().copied();
            }
        }
        if let Some(fd) = listener {
            return Ok(Word::Listener(sys::process::received(fd)));
        }
        if length < 8 {
            return Ok(Word::Closed);
        }
        let number = |range: std::ops::Range<usize>| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&word[range]);
            i32::from_le_bytes(bytes)
        };
        let (index, errno) = (number(0..4) as usize, Errno::from_raw(number(4..8)));
        let step = self.steps.get(index).map_or("exec", String::as_str);
        Ok(Word::Failed(Failure { exec: step == "exec", step: step.to_owned(), errno }))
    }
}

/// The child's work; it returns only the step that failed, by its index.
fn perform(command: &Command, confinement: Option<&Confinement>, socket: &OwnedFd) -> (u32, Errno) {
    let exec = confinement.map_or(0, |c| c.steps.len() as u32 - 1);
    // The supervisor's being undumpable was inherited, and is not for the app.
    if confinement.is_some()
        && let Err(errno) = sys::process::prctl(libc::PR_SET_DUMPABLE, 1, 0)
    {
        return (exec, errno);
    }
    if let Err(errno) = terminal(command.own_group) {
        return (exec, errno);
    }
    if command.ignore_sigchld
        && let Err(errno) = sys::signal::set_ignored(libc::SIGCHLD, true)
    {
        return (exec, errno);
    }
    if let Err(errno) = sys::signal::set_ignored(libc::SIGPIPE, command.ignore_sigpipe) {
        return (exec, errno);
    }
    for (index, step) in confinement.iter().flat_map(|c| c.steps.iter()).enumerate() {
        if let Some(Err(errno)) = confinement.map(|c| perform_step(step, c, command, socket)) {
            return (index as u32, errno);
        }
    }
    if confinement.is_none()
        && let Err(errno) = unconfined(command)
    {
        return (exec, errno);
    }
    match sys::process::execve(&command.program, &command.argv, &environment(command)) {
        Ok(never) => match never {},
        Err(errno) => (exec, errno),
    }
}

/// Performs one step. What it does, the plan's list has already said.
fn perform_step(
    step: &Step,
    confinement: &Confinement,
    command: &Command,
    socket: &OwnedFd,
) -> Result<(), Errno> {
    match step {
        // Taken out when the environment was prepared.
        Step::Environment(_) => Ok(()),
        Step::Limit(limit, value) => sys::process::set_limit(resource(*limit), *value),
        Step::KeepCapabilities => sys::process::prctl(libc::PR_SET_KEEPCAPS, 1, 0).map(drop),
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
            sys::process::clear_ambient()?;
            raise.iter().try_for_each(|capability| sys::process::raise_ambient(capability.index()))
        }
        Step::NoNewPrivileges => sys::process::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop),
        Step::ParentDeathSignal => die_with_parent(command.parent_death.unwrap_or(libc::SIGKILL)),
        Step::Mdwe => {
            const PR_SET_MDWE: i32 = 65;
            const REFUSE_EXEC_GAIN: u64 = 1;
            sys::process::prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0).map(drop)
        }
        Step::CloseOnExec => {
            sys::process::mark_close_on_exec(3)?;
            (3..3 + command.listen_fds as i32).try_for_each(|fd| sys::process::set_close_on_exec(fd, false))
        }
        Step::Landlock => confinement.ruleset.as_ref().map_or(Ok(()), sys::landlock::restrict_self),
        Step::Seccomp => {
            // The mask goes back first: afterwards every call is the filter's.
            sys::signal::set_mask(command.mask)?;
            let listener = sys::seccomp::load(&confinement.filter, confinement.wait_killable)?;
            hand_over(socket, &listener)
        }
        Step::SeccompUnattended => {
            sys::signal::set_mask(command.mask)?;
            sys::seccomp::load_unattended(&confinement.filter)
        }
        Step::Exec => Ok(()),
    }
}

/// What an init that confines nobody still does in the child.
fn unconfined(command: &Command) -> Result<(), Errno> {
    if let Some(signal) = command.parent_death {
        die_with_parent(signal)?;
    }
    sys::signal::set_mask(command.mask).map(drop)
}

/// A process group of its own, and the terminal where there is one: so Ctrl-C
/// reaches the app and not the init. No terminal is no error.
fn terminal(own_group: bool) -> Result<(), Errno> {
    if !own_group {
        return Ok(());
    }
    sys::process::own_group()?;
    match sys::process::take_terminal(0) {
        // EPERM: another session's, or a filter outside refuses it.
        Ok(()) | Err(Errno::ENOTTY | Errno::ENXIO | Errno::EBADF | Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// The parent-death signal is set after the ids were taken on, which clears it;
/// and a parent that died meanwhile is looked for.
fn die_with_parent(signal: i32) -> Result<(), Errno> {
    let parent = nix::unistd::getppid();
    sys::process::prctl(libc::PR_SET_PDEATHSIG, signal as u64, 0)?;
    if nix::unistd::getppid() == parent { Ok(()) } else { Err(Errno::ESRCH) }
}

fn drop_bounding(drop: &[Capability]) -> Result<(), Errno> {
    for capability in drop {
        match sys::process::drop_bounding(capability.index()) {
            // The kernel is older than the capability, so nobody has it.
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn lock_secure_bits() -> Result<(), Errno> {
    const NOROOT_LOCKED: u64 = 1 << 1;
    const NO_SETUID_FIXUP_LOCKED: u64 = 1 << 3;
    let sets = sys::credentials::capget()?;
    // A change of user emptied the effective set; CAP_SETPCAP is needed once more.
    sys::credentials::capset(CapSets { effective: sets.permitted, ..sets })?;
    let now = sys::process::prctl(libc::PR_GET_SECUREBITS, 0, 0)? as u64;
    let locked = now | NOROOT_LOCKED | NO_SETUID_FIXUP_LOCKED;
    sys::process::prctl(libc::PR_SET_SECUREBITS, locked, 0).map(drop)
}

const fn resource(limit: Limit) -> sys::process::Resource {
    match limit {
        Limit::OpenFiles => libc::RLIMIT_NOFILE,
        Limit::FileSize => libc::RLIMIT_FSIZE,
        Limit::Core => libc::RLIMIT_CORE,
    }
}

/// Sends the listener to the supervisor. Every plan allows sendmsg.
fn hand_over(socket: &OwnedFd, listener: &OwnedFd) -> Result<(), Errno> {
    let fds = [listener.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(b"L")], &rights, MsgFlags::empty(), None).map(drop)
}

/// LISTEN_PID names the process that the descriptors are for, which is the app
/// and not the init that it was set for (sd_listen_fds(3)).
fn environment(command: &Command) -> Vec<CString> {
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

/// Builds the ruleset: every path is opened here, so that one that cannot be is an
/// error with its name, and never silently left out.
fn ruleset(plan: &crate::plan::Landlock) -> Result<OwnedFd, String> {
    let failed = |error: landlock::RulesetError| format!("landlock: {error}");
    let mut builder = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    builder = builder.handle_access(plan.handled).map_err(failed)?;
    if !plan.handled_net.is_empty() {
        builder = builder.handle_access(plan.handled_net).map_err(failed)?;
    }
    let mut scopes = BitFlags::<Scope>::empty();
    if plan.scope_signal {
        scopes |= Scope::Signal;
    }
    if plan.scope_abstract {
        scopes |= Scope::AbstractUnixSocket;
    }
    if !scopes.is_empty() {
        builder = builder.scope(scopes).map_err(failed)?;
    }
    let mut created = builder.create().map_err(failed)?;
    for rule in &plan.rules {
        // Not by the crate's PathFd: with musl, std takes O_PATH out of its flags, and a
        // terminal or a pipe would really be opened.
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let path = match open(&rule.path, flags, Mode::empty()) {
            Ok(path) => path,
            // Somebody's temporary file: what is gone needs no grant.
            Err(Errno::ENOENT) if rule.walked => continue,
            Err(errno) => {
                let path = rule.path.display();
                return Err(format!(
                    "landlock: {path}: cannot be opened: {errno}; let nobody change the image while it starts"
                ));
            }
        };
        created = created
            .add_rule(PathBeneath::new(path, rule.rights))
            .map_err(|error| format!("landlock: {}: {error}", rule.path.display()))?;
    }
    for (port, access) in &plan.ports {
        created = created
            .add_rule(NetPort::new(*port, *access))
            .map_err(|error| format!("landlock: tcp/{port}: {error}"))?;
    }
    let fd: Option<OwnedFd> = created.into();
    fd.ok_or_else(|| "landlock: the kernel made no ruleset".to_owned())
}

/// What the supervisor keeps once the app has been launched: its own capability sets, at `/`, with no umask, and none of the descriptors that it
/// was started with beyond the first three.
///
/// # Errors
/// The call that failed and its errno.
pub fn settle(plan: Option<&Plan>, inherited: &[i32]) -> Result<(), String> {
    let failed = |what: &'static str| move |errno: Errno| format!("{what}: {errno}");
    for reserved in [32, 33] {
        sys::signal::ignore_reserved(reserved).map_err(failed("rt_sigaction"))?;
    }
    if let Some(plan) = plan {
        let bits = plan.capabilities.supervisor.iter().fold(0, |bits, cap| bits | cap.bitmask());
        sys::process::clear_ambient().map_err(failed("ambient set"))?;
        sys::credentials::capset(CapSets { effective: bits, permitted: bits, inheritable: 0 })
            .map_err(failed("capset"))?;
        sys::process::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map_err(failed("no_new_privs"))?;
        nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    }
    nix::unistd::chdir("/").map_err(failed("chdir /"))?;
    for fd in inherited {
        sys::process::close_inherited(*fd);
    }
    Ok(())
}

/// Descriptors above 2 that are open: the list is made before anything else is
/// opened, so all of it was inherited.
pub fn inherited_descriptors() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        // No /proc: ask for each number that a program may sensibly have been given.
        return (3..1024).filter(|fd| sys::process::inherited(*fd).is_some()).collect();
    };
    let fds = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let fds: Vec<i32> = fds.filter(|fd| *fd > 2).collect();
    // The listing itself had a descriptor, which is closed by now.
    fds.into_iter().filter(|fd| sys::process::inherited(*fd).is_some()).collect()
}
