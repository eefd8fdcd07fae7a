//! The parts of a call's registers that matter for a profile. Pure.

use crate::journal::observation::{FirstProgram, Observation, Value, What};
use crate::notify::syscall_args::MappingArgs;
use crate::plan::learn::FIRST_CALLS;
use crate::policy::call::Call;
use crate::syscalls::{Arg, Handler, Privilege, Width, constants, width};

/// What must be read of a call before it continues.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: its registers say all.
    Plain,
    /// The program that it executes.
    Exec,
    /// The file that it opens.
    Open,
    /// The change of the file tree.
    Change,
    /// The owner of the file.
    Owner,
    /// The socket address.
    Address,
    /// The inode of the socket.
    Listen,
    /// The process: a C library calls it first in one that it forked.
    First,
    /// The caller's program.
    Memory,
    /// The caller's program and ids; its memory is opened too.
    User,
    /// The process that the signal goes to.
    Kill,
    /// The device that the ioctl is made on.
    Ioctl,
    /// The resource limit.
    Limit,
    /// The caller's capabilities.
    Privileged,
}

impl Kind {
    /// The kind of this call.
    pub fn of(call: &Call) -> Kind {
        let Some(syscall) = call.syscall() else { return Kind::Plain };
        match syscall.handler {
            Handler::Exec => Kind::Exec,
            Handler::Open => Kind::Open,
            Handler::Change(_) => Kind::Change,
            Handler::Attribute(_) => Kind::Owner,
            Handler::Bind | Handler::Connect => Kind::Address,
            Handler::Send if call.argument(Arg::Sockaddr).is_some_and(|address| address != 0) => {
                Kind::Address
            }
            Handler::Listen => Kind::Listen,
            Handler::Map | Handler::Protect | Handler::Attach
                if MappingArgs::decode(call).is_some_and(|mapping| mapping.writes_and_executes()) =>
            {
                Kind::Memory
            }
            Handler::SetUid | Handler::SetGid | Handler::SetGroups => Kind::User,
            Handler::Signal | Handler::SignalPidfd => Kind::Kill,
            Handler::Ioctl => Kind::Ioctl,
            Handler::Limit(_) => Kind::Limit,
            Handler::Schedule | Handler::Socket | Handler::Prctl | Handler::Capset => Kind::Privileged,
            // Their registers say all but the capability.
            Handler::Send
            | Handler::Fork
            | Handler::Map
            | Handler::Protect
            | Handler::Attach
            | Handler::SignalThread
            | Handler::PidfdOpen
            | Handler::Socketpair
            | Handler::SocketOption
            | Handler::Memfd
            | Handler::Root
            | Handler::Personality
            | Handler::NotImplemented
            | Handler::Plain => match syscall.privilege {
                _ if FIRST_CALLS.contains(&syscall.name) => Kind::First,
                Privilege::Needed(_) | Privilege::Mostly(_) | Privilege::Sometimes(_) => Kind::Privileged,
                Privilege::None => Kind::Plain,
            },
        }
    }

    /// Whether a call with the same registers is recorded only once in a phase.
    pub const fn is_recorded_once(self) -> bool {
        matches!(self, Kind::Plain | Kind::Memory | Kind::Privileged)
    }

    /// Whether such a call is read from the caller's memory, descriptors or directories.
    pub const fn reads_caller(self) -> bool {
        matches!(
            self,
            Kind::Exec | Kind::Open | Kind::Change | Kind::Owner | Kind::Address | Kind::Ioctl | Kind::Limit
        )
    }

    /// Whether this call stands for the next of the same identity. Where a capability matters, only
    /// a call that succeeded and whose capability was recorded does: another caller may have it, and
    /// other registers may need it. For two calls the identity has all that decides.
    pub fn settles(self, call: &Call, went_well: bool, capability_recorded: bool) -> bool {
        let whole = matches!(call.handler(), Handler::Socket | Handler::Prctl);
        self.is_recorded_once() && went_well && (self != Kind::Privileged || capability_recorded || whole)
    }
}

/// The arguments that decide whether a profile allows a call, by their number; and the prefixes of
/// their constants.
const MATTERS: [(&str, u8, &[&str]); 26] = [
    ("arch_prctl", 0, &["ARCH_"]),
    ("bpf", 0, &[]),
    ("clock_adjtime", 0, &["CLOCK_"]),
    ("clock_settime", 0, &["CLOCK_"]),
    ("clone", 0, &[]),
    ("fcntl", 1, &["F_"]),
    ("futex", 1, &[]),
    ("getsockopt", 1, &[]),
    ("ioctl", 1, &["TC", "TIO", "FIO", "SIOC", "BLK", "FS_IOC"]),
    ("keyctl", 0, &["KEYCTL_"]),
    ("kill", 1, &[]),
    ("madvise", 2, &["MADV_"]),
    ("mmap", 2, &[]),
    ("mprotect", 2, &[]),
    ("mremap", 3, &[]),
    ("personality", 0, &[]),
    ("prctl", 0, &["PR_"]),
    ("ptrace", 0, &[]),
    ("sched_setscheduler", 1, &["SCHED_"]),
    ("seccomp", 0, &[]),
    ("setrlimit", 0, &["RLIMIT_"]),
    ("socket", 0, &["AF_"]),
    ("socketpair", 1, &[]),
    ("tgkill", 2, &[]),
    ("tkill", 1, &[]),
    ("unshare", 0, &[]),
];

/// The argument of a call that matters, in the width that the kernel reads.
pub fn argument(call: &Call) -> Option<(u8, u64)> {
    let name = call.name?;
    let arg = match name {
        // A new limit, or another process's, by its resource; else that nothing is set.
        "prlimit64" if call.args[2] != 0 || call.args[0] as u32 != 0 => 1,
        "prlimit64" => 2,
        // The option where its name says the level; else the level.
        "setsockopt" if option_names(call).is_empty() => 1,
        "setsockopt" => 2,
        _ => MATTERS.iter().find(|(known, ..)| *known == name)?.1,
    };
    let value = call.args[usize::from(arg)];
    let value = match width(name, arg) {
        Some(Width::Bits16) => value & 0xffff,
        Some(Width::Bits32) => value & 0xffff_ffff,
        _ => value,
    };
    Some((arg, value))
}

/// The prefixes of the names that socket options of the call's level have.
fn option_names(call: &Call) -> &'static [&'static str] {
    match call.args[1] as i32 {
        libc::SOL_SOCKET => &["SO_"],
        libc::IPPROTO_TCP => &["TCP_"],
        _ => &[],
    }
}

/// The registers that distinguish calls of one kind, for those that are
/// [recorded once](Kind::is_recorded_once).
pub fn identity(call: &Call, kind: Kind) -> u64 {
    let a = call.args;
    match kind {
        // The type and the protocol decide too.
        Kind::Privileged if call.handler() == Handler::Socket => {
            (a[0] & 0xffff) << 48 | (a[1] & 0xffff_ffff) << 16 | (a[2] & 0xffff)
        }
        _ => match (argument(call), call.handler()) {
            // The same number is another option in another level.
            (Some((2, option)), Handler::SocketOption) => (a[1] & 0xffff_ffff) << 32 | option,
            (Some((arg, value)), _) => value ^ u64::from(arg) << 56,
            (None, _) => 0,
        },
    }
}

/// The observation that this program forked, by whichever call; how is not seen.
pub fn fork(program: String) -> Observation {
    let value = Some(Value::Number(libc::SIGCHLD as u64));
    Observation::ok(What::Syscall {
        program: FirstProgram(program),
        call: "clone".into(),
        arg: Some(0),
        value,
    })
}

/// The observation that this program made this call.
pub fn observation(call: &Call, program: String) -> Observation {
    let (arg, value) = argument(call).map_or((None, None), |(arg, value)| (Some(arg), Some(value)));
    let text = call.name.map_or_else(|| call.number.to_string(), str::to_owned);
    let value = value.map(|value| named(call, arg, value));
    Observation::ok(What::Syscall { program: FirstProgram(program), call: text, arg, value })
}

/// The constant's name where the value has one.
fn named(call: &Call, arg: Option<u8>, value: u64) -> Value {
    let starts = match (call.name.unwrap_or_default(), arg) {
        ("setsockopt", Some(2)) => option_names(call),
        ("prlimit64", Some(1)) => &["RLIMIT_"],
        (name, _) => {
            MATTERS.iter().find(|(known, ..)| *known == name).map_or(&[][..], |(_, _, starts)| starts)
        }
    };
    // Two constants have an older name too.
    let is = |name: &&str| {
        !matches!(*name, "AF_LOCAL" | "AF_FILE")
            && starts.iter().any(|start| name.starts_with(start))
            && constants::value(name) == Some(value)
    };
    constants::names().find(is).map_or(Value::Number(value), |name| Value::Name(name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::Privilege;

    fn call(name: &'static str, args: &[u64]) -> Call {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        Call { name: Some(name), number: 1, args: all }
    }

    #[test]
    fn constants_go_by_their_names() {
        let recorded = |call: Call| match observation(&call, String::new()).what {
            What::Syscall { arg, value, .. } => (arg, value),
            other => panic!("{other:?}"),
        };
        assert_eq!(recorded(call("ioctl", &[3, 0x5421])), (Some(1), Some(Value::Name("FIONBIO".into()))));
        // The kernel ignores the upper half of this register.
        assert_eq!(
            recorded(call("ioctl", &[3, 0xffff_ffff_0000_5421])),
            (Some(1), Some(Value::Name("FIONBIO".into())))
        );
        assert_eq!(recorded(call("socket", &[1, 1])), (Some(0), Some(Value::Name("AF_UNIX".into()))));
        assert_eq!(recorded(call("socket", &[2, 1])), (Some(0), Some(Value::Name("AF_INET".into()))));
        assert_eq!(recorded(call("prctl", &[0x7777])), (Some(0), Some(Value::Number(0x7777))));
        assert_eq!(recorded(call("fdatasync", &[3])), (None, None));
        let name = |name: &'static str| Some(Value::Name(name.into()));
        assert_eq!(recorded(call("setsockopt", &[3, 6, 13])), (Some(2), name("TCP_CONGESTION")));
        assert_eq!(recorded(call("setsockopt", &[3, 1, 13])), (Some(2), name("SO_LINGER")));
        assert_eq!(recorded(call("setsockopt", &[3, 41, 13])), (Some(1), Some(Value::Number(41))));
        assert_eq!(recorded(call("prlimit64", &[0, 7, 0])), (Some(2), Some(Value::Number(0))));
        assert_eq!(recorded(call("prlimit64", &[0, 7, 0x7fff])), (Some(1), name("RLIMIT_NOFILE")));
        assert_eq!(recorded(call("prlimit64", &[9, 7, 0])), (Some(1), name("RLIMIT_NOFILE")));
    }

    #[test]
    fn a_call_stands_for_the_next_only_where_the_next_needs_nothing_else() {
        let settles = |call: &Call, well, capability| Kind::of(call).settles(call, well, capability);
        let nice = call("setpriority", &[0, 0, 0]);
        assert!(!settles(&nice, true, false), "a better priority may come");
        assert!(settles(&nice, true, true), "no more to record");
        assert!(!settles(&call("chroot", &[]), false, true), "another caller may");
        assert!(settles(&call("socket", &[2, 1]), true, false));
        assert!(!settles(&call("socket", &[2, 3]), false, true));
        assert!(settles(&call("fsync", &[]), true, false));
        assert!(!settles(&call("kill", &[]), true, true), "to another");
        let attached = [call("shmat", &[1, 0, 0]), call("shmat", &[1, 0, 0o100_000])];
        let [plain, code] = attached.map(|call| (Kind::of(&call), identity(&call, Kind::of(&call))));
        assert_ne!(plain, code);
    }

    #[test]
    fn what_is_notified_for_a_capability_is_looked_at() {
        for syscall in crate::syscalls::all().filter(|syscall| syscall.privilege != Privilege::None) {
            assert_ne!(Kind::of(&call(syscall.name, &[])), Kind::Plain, "{}", syscall.name);
        }
    }

    #[test]
    fn what_has_to_be_read_is_known_by_registers() {
        assert_eq!(Kind::of(&call("mprotect", &[0, 0, 3])), Kind::Plain);
        assert_eq!(Kind::of(&call("mprotect", &[0, 0, 5])), Kind::Memory);
        assert_eq!(Kind::of(&call("mmap", &[0, 0, 5])), Kind::Plain);
        assert_eq!(Kind::of(&call("mmap", &[0, 0, 7])), Kind::Memory);
        assert_eq!(Kind::of(&call("clone", &[0x1_0000])), Kind::Plain);
        assert_eq!(Kind::of(&call("set_robust_list", &[])), Kind::First);
        assert_eq!(Kind::of(&call("sendto", &[3, 1, 1, 0, 0])), Kind::Plain);
        assert_eq!(Kind::of(&call("sendto", &[3, 1, 1, 0, 9])), Kind::Address);
        assert_eq!(Kind::of(&call("chroot", &[])), Kind::Privileged);
        assert_eq!(Kind::of(&call("fsync", &[])), Kind::Plain);
        assert_eq!(Kind::of(&Call { name: None, number: 999, args: [0; 6] }), Kind::Plain);
    }
}
