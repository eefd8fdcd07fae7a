//! Calls that name another process, thread or group by its id. For most of them the kernel only
//! requires the same user, which the app and the supervisor may share; so whatever section allows
//! such a call, it is never allowed with an id of the supervisor.
//!
//! The id is in a register, which no other thread can change during the decision. The filter has
//! the supervisor's pid from the plan. Of its other threads:
//!
//! - The tids of those that are created before the app's first instruction are in the filter
//!   ([`Template`](crate::filter::Template)): all of them, or only the one that decides where a Landlock domain
//!   scopes signals (Linux 6.12).
//! - From the others that domain blocks every call except those that change scheduling or limits
//!   ([`Arg::Task`]), without an event. The filter allows these calls for the caller itself alone
//!   (0); with any other id they are notified, and decided once all threads exist.
//!
//! What is for the caller itself, by its own number or by its own group (in which the supervisor
//! is not), the supervisor lets continue: a number in a register is not changed meanwhile, and no
//! process joins the supervisor's group.
//!
//! A call by pidfd (pidfd_send_signal, process_madvise, pidfd_getfd) needs pidfd_open, but for a
//! signal by a directory of /proc: see
//! [`FilterInput::filter`](super::filter_input::FilterInput::filter). Calls that only read a
//! property of a process are allowed.

use super::conditions::{Alternatives, one_of};
use super::filter_input::FilterInput;
use crate::filter::Access;
use crate::kernel::LandlockAbi;
use crate::syscalls::{self, Arg, Condition, Test};

/// An argument that is the id of a process or thread, with its conditions.
struct Numbered {
    arg: u8,
    /// The value of argument 0 with which the id is a process's, and not a group's or a user's, which
    /// may be the supervisor's as well.
    of_process: Option<u64>,
    /// No Landlock domain covers it: the call neither signals nor accesses the process
    /// (ptrace(2), access mode checking).
    unscoped: bool,
}

/// The ids of threads among a call's arguments. A signal to one thread (tgkill, rt_tgsigqueueinfo)
/// has its process's id too, and the kernel checks both together: the process's id is enough. The
/// thread's only adds the event.
fn numbered(call: &str) -> impl Iterator<Item = Numbered> {
    let args = syscalls::find(call).map_or([Arg::Unknown; 6], |syscall| syscall.args);
    (0..).zip(args).filter_map(|(arg, kind)| {
        let (of_process, unscoped) = match kind {
            // F_SETOWN: see `owners`.
            Arg::Pid | Arg::Owner => (None, false),
            Arg::Task => (None, true),
            Arg::PriorityTarget => (Some(PRIO_PROCESS), true),
            Arg::IopriorityTarget => (Some(IOPRIO_PROCESS), true),
            _ => return None,
        };
        Some(Numbered { arg, of_process, unscoped })
    })
}

/// The process and its thread, where a call has both.
fn threads_of_process(call: &str) -> impl Iterator<Item = [u8; 2]> {
    let syscall = syscalls::find(call);
    syscall.and_then(|syscall| Some([syscall.position(Arg::Tgid)?, syscall.position(Arg::Tid)?])).into_iter()
}

/// Whether this argument of a call may be the id of any thread.
pub fn names_thread(call: &str, arg: u8) -> bool {
    numbered(call).any(|one| one.arg == arg)
}

/// Whether any argument of a call may be the id of a thread.
pub fn may_reach(call: &str) -> bool {
    numbered(call).next().is_some() || threads_of_process(call).next().is_some()
}

/// The access of a call by a filter without the ids of all threads: see above.
pub fn of_the_caller_alone(call: &str, access: Access) -> Access {
    let unscoped = numbered(call).filter(|one| one.unscoped);
    unscoped.fold(access, |access, one| both(call, access, &vec![vec![one_of(one.arg, &[0])]]))
}

/// What a change of scheduling or limits is for, by its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedProcess {
    /// One process or thread; 0 is the caller.
    Process(u32),
    /// A process group; 0 is the caller's.
    Group(u32),
}

/// The process or group that a change of scheduling or limits is for, and the registers with which
/// the same call is for its caller alone. `None` for another call, and for one that is for a user's
/// processes.
pub fn of_itself(call: &str, args: &[u64; 6]) -> Option<(NamedProcess, [u64; 6])> {
    let one = numbered(call).find(|one| one.unscoped)?;
    let number = args[usize::from(one.arg)] as u32;
    let mut own = *args;
    own[usize::from(one.arg)] = 0;
    let Some(of_process) = one.of_process else { return Some((NamedProcess::Process(number), own)) };
    own[0] = of_process;
    match u64::from(args[0] as u32) {
        which if which == of_process => Some((NamedProcess::Process(number), own)),
        // PRIO_PGRP and IOPRIO_WHO_PGRP are the next.
        which if which == of_process + 1 => Some((NamedProcess::Group(number), own)),
        _ => None,
    }
}

/// Whether a call with these registers would reach a process with one of these ids, or an unknown
/// set of processes; no profile allows that for the supervisor.
pub fn reaches(call: &str, args: &[u64; 6], numbers: &[u32]) -> bool {
    let is_one = |arg: usize| numbers.contains(&(args[arg] as u32));
    match call {
        "fcntl" => matches!(args[1] as u32 as u64, F_SETOWN | F_SETOWN_EX),
        "ioctl" => OWNER_IOCTLS.contains(&u64::from(args[1] as u32)),
        "setpgid" => true,
        _ => {
            threads_of_process(call).flatten().any(|arg| is_one(usize::from(arg)))
                || numbered(call).any(|one| {
                    let is_more = one.of_process.is_some_and(|which| args[0] as u32 as u64 != which);
                    is_one(usize::from(one.arg)) || is_more
                })
        }
    }
}

impl FilterInput<'_> {
    /// The access of a call, but never with an id of the supervisor.
    pub(super) fn spare_supervisor(&self, call: &str, access: Access) -> Access {
        let mut spared = access;
        for arg in threads_of_process(call) {
            spared = both(call, spared, &vec![arg.map(|arg| self.not_the_supervisor(arg)).into()]);
        }
        for one in numbered(call).filter(|_| call != "fcntl") {
            let mut with = vec![Condition { arg: one.arg, test: Test::NotIn(self.numbers(call)) }];
            with.extend(one.of_process.map(|which| one_of(0, &[which])));
            spared = both(call, spared, &vec![with]);
        }
        match call {
            // The caller would join the supervisor's group, and then signal it and change its priority
            // as its own.
            "setpgid" if self.group > 0 => {
                let not = Test::NotIn(vec![u64::from(self.group)]);
                both(call, spared, &vec![vec![Condition { arg: 1, test: not }]])
            }
            "fcntl" | "ioctl" if !self.scoped() => both(call, spared, &self.owners(call)),
            _ => spared,
        }
    }

    /// Whether Landlock protects the supervisor from signals of every kind.
    fn scoped(&self) -> bool {
        self.kernel.landlock >= LandlockAbi::SCOPE
    }

    /// F_SETOWN sets the process that receives a descriptor's signals: the kernel checks for the same
    /// user then, and sends later. F_SETOWN_EX has the id in memory, so without a scope it is denied,
    /// as are the ioctls with the effect of F_SETOWN.
    fn owners(&self, call: &str) -> Alternatives {
        let not = |arg, values: &[u64]| Condition { arg, test: Test::NotIn(values.to_vec()) };
        match call {
            "fcntl" => vec![
                vec![not(1, &[F_SETOWN, F_SETOWN_EX])],
                vec![one_of(1, &[F_SETOWN]), not(2, &self.owned())],
            ],
            _ => vec![vec![not(1, &OWNER_IOCTLS)]],
        }
    }

    /// The supervisor and its group as arguments of F_SETOWN: a group's id is negative, and 0 is no
    /// process.
    fn owned(&self) -> Vec<u64> {
        let group = (self.group > 0).then(|| u64::from(self.group.wrapping_neg()));
        [u64::from(self.supervisor)].into_iter().chain(group).collect()
    }

    fn not_the_supervisor(&self, arg: u8) -> Condition {
        Condition { arg, test: Test::NotIn(vec![u64::from(self.supervisor)]) }
    }

    /// The supervisor, as an argument of this call; the filter has its other threads beside it.
    /// Negative numbers are groups. Without a scope the signal to every process (-1) reaches the
    /// supervisor too, unless it is the first process of its namespace, and one to the caller's own
    /// group (0) may: that one the supervisor decides.
    fn numbers(&self, call: &str) -> Vec<u64> {
        let mut numbers = vec![u64::from(self.supervisor)];
        if call == "kill" {
            if self.group > 1 {
                numbers.push(u64::from(self.group.wrapping_neg()));
            }
            if !self.scoped() {
                numbers.push(0);
                if self.supervisor > 1 {
                    numbers.push(EVERY_PROCESS);
                }
            }
        }
        numbers
    }
}

/// The conjunction of an access and one of these alternatives.
fn both(call: &str, access: Access, with: &Alternatives) -> Access {
    let alternatives = match access {
        Access::Notify => return Access::Notify,
        Access::Allow => return Access::When(with.clone()),
        Access::When(alternatives) => alternatives,
    };
    let join = |one: &Vec<Condition>, more: &Vec<Condition>| {
        let new = more.iter().filter(|condition| !holds_by(call, one, condition));
        one.iter().chain(new).cloned().collect::<Vec<_>>()
    };
    Access::When(
        alternatives.iter().flat_map(|one| with.iter().map(|more| join(one, more))).collect::<Vec<_>>(),
    )
}

/// Whether a condition adds nothing to these. Any id but 0, which is the caller, may become a
/// thread's.
fn holds_by(call: &str, known: &[Condition], new: &Condition) -> bool {
    let excludes = |known: &Condition| match (&known.test, &new.test) {
        (Test::In(values), Test::NotIn(refused)) if known.arg == new.arg => {
            let is_lasting = !names_thread(call, new.arg) || *values == [0];
            is_lasting && !values.iter().any(|value| refused.contains(value))
        }
        _ => false,
    };
    known.contains(new) || known.iter().any(excludes)
}

/// setpriority(2): a process, and not a group or a user.
const PRIO_PROCESS: u64 = 0;
/// IOPRIO_WHO_PROCESS of ioprio_set(2): a process, and not a group or a user.
const IOPRIO_PROCESS: u64 = 1;
const F_SETOWN: u64 = 8;
const F_SETOWN_EX: u64 = 15;
/// FIOSETOWN and SIOCSPGRP, for sockets (asm/sockios.h).
const OWNER_IOCTLS: [u64; 2] = [0x8901, 0x8902];
/// The pid of kill(2) that means every process that may be signalled: -1.
const EVERY_PROCESS: u64 = 0xffff_ffff;
