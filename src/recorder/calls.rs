//! What of a call's registers matters for a profile. Pure.

use crate::journal::observation::{Observation, Value, What};
use crate::notify::syscall_args::MappingArgs;
use crate::policy::call::Call;
use crate::syscalls::{Arg, Handler, Width, constants, width};

/// What has to be found out about a call before it goes on.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it is told by its registers.
    Plain,
    /// The program.
    Exec,
    /// The file.
    Open,
    /// What is changed.
    Change,
    /// Whose the file is.
    Owner,
    /// The address.
    Address,
    /// The socket.
    Listen,
    /// How many processes there are.
    Fork,
    /// Who it is.
    Memory,
    /// Who it is, and its ids.
    User,
    /// To whom it goes.
    Kill,
    /// The device.
    Ioctl,
    /// A limit.
    Limit,
    /// What the caller may do.
    Privileged,
}

impl Kind {
    /// Of this call.
    pub fn of(call: &Call) -> Kind {
        const THREAD: u64 = libc::CLONE_THREAD as u64;
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
            Handler::Fork if call.argument(Arg::LongFlags).is_none_or(|flags| flags & THREAD == 0) => {
                Kind::Fork
            }
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
            // Their registers tell it all, but for a capability.
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
            | Handler::Plain => match syscall.needs() {
                Some(_) => Kind::Privileged,
                None => Kind::Plain,
            },
        }
    }

    /// Whether what was seen once by its registers needs no other look in this phase.
    pub const fn is_told_once(self) -> bool {
        matches!(self, Kind::Plain | Kind::Memory | Kind::Privileged)
    }

    /// Whether this one may stand for the next of the same identity. Where a capability
    /// matters only the one that told it and went well does: another caller may have it,
    /// and other registers may need it. For two calls the identity has all that decides.
    pub fn settles(self, call: &Call, went_well: bool, told: bool) -> bool {
        let whole = matches!(call.handler(), Handler::Socket | Handler::Prctl);
        self.is_told_once() && went_well && (self != Kind::Privileged || told || whole)
    }
}

/// The arguments that decide whether a group brings a call, by their number; and how
/// their constants begin.
const MATTERS: [(&str, u8, &[&str]); 11] = [
    ("arch_prctl", 0, &["ARCH_"]),
    ("clone", 0, &[]),
    ("fcntl", 1, &["F_"]),
    ("ioctl", 1, &["TC", "TIO", "FIO", "SIOC", "BLK", "FS_IOC"]),
    ("kill", 1, &[]),
    ("mmap", 2, &[]),
    ("mprotect", 2, &[]),
    ("personality", 0, &[]),
    ("prctl", 0, &["PR_"]),
    ("socket", 0, &["AF_"]),
    ("socketpair", 1, &[]),
];

/// The argument of a call that matters, as much of it as the kernel looks at.
pub fn argument(call: &Call) -> Option<(u8, u64)> {
    let name = call.name?;
    let (_, arg, _) = MATTERS.iter().find(|(known, ..)| *known == name)?;
    let value = call.args[usize::from(*arg)];
    let value = match width(name, *arg) {
        Some(Width::Bits16) => value & 0xffff,
        Some(Width::Bits32) => value & 0xffff_ffff,
        _ => value,
    };
    Some((*arg, value))
}

/// All of the registers that makes a call another one of its kind, as far as
/// [`Kind::is_told_once`].
pub fn identity(call: &Call, kind: Kind) -> u64 {
    let a = call.args;
    match kind {
        // The type decides too.
        Kind::Privileged if call.handler() == Handler::Socket => a[0] << 32 | (a[1] & 0xffff_ffff),
        _ => argument(call).map_or(0, |(_, value)| value),
    }
}

/// That it was made.
pub fn observation(call: &Call) -> Observation {
    let (arg, value) = argument(call).map_or((None, None), |(arg, value)| (Some(arg), Some(value)));
    let text = call.name.map_or_else(|| call.number.to_string(), str::to_owned);
    let value = value.map(|value| named(call.name.unwrap_or_default(), value));
    Observation::ok(What::Syscall { call: text, arg, value })
}

/// By its name where it has one.
fn named(call: &str, value: u64) -> Value {
    let starts = MATTERS.iter().find(|(known, ..)| *known == call).map_or(&[][..], |(_, _, starts)| starts);
    // Two have an older name besides.
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
        let told = |call: Call| match observation(&call).what {
            What::Syscall { arg, value, .. } => (arg, value),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(call("ioctl", &[3, 0x5421])), (Some(1), Some(Value::Name("FIONBIO".into()))));
        // The upper half of a register that the kernel does not look at is nothing.
        assert_eq!(
            told(call("ioctl", &[3, 0xffff_ffff_0000_5421])),
            (Some(1), Some(Value::Name("FIONBIO".into())))
        );
        assert_eq!(told(call("socket", &[1, 1])), (Some(0), Some(Value::Name("AF_UNIX".into()))));
        assert_eq!(told(call("socket", &[2, 1])), (Some(0), Some(Value::Name("AF_INET".into()))));
        assert_eq!(told(call("prctl", &[0x7777])), (Some(0), Some(Value::Number(0x7777))));
        assert_eq!(told(call("fdatasync", &[3])), (None, None));
    }

    #[test]
    fn a_call_stands_for_the_next_only_where_the_next_needs_nothing_else() {
        let settles = |call: &Call, well, told| Kind::of(call).settles(call, well, told);
        let nice = call("setpriority", &[0, 0, 0]);
        assert!(!settles(&nice, true, false), "a better priority may come");
        assert!(settles(&nice, true, true), "nothing more can be told");
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
    fn what_has_to_be_looked_at_is_told_by_registers() {
        assert_eq!(Kind::of(&call("mprotect", &[0, 0, 3])), Kind::Plain);
        assert_eq!(Kind::of(&call("mprotect", &[0, 0, 5])), Kind::Memory);
        assert_eq!(Kind::of(&call("mmap", &[0, 0, 5])), Kind::Plain);
        assert_eq!(Kind::of(&call("mmap", &[0, 0, 7])), Kind::Memory);
        assert_eq!(Kind::of(&call("clone", &[0x1_0000])), Kind::Plain);
        assert_eq!(Kind::of(&call("clone", &[17])), Kind::Fork);
        assert_eq!(Kind::of(&call("sendto", &[3, 1, 1, 0, 0])), Kind::Plain);
        assert_eq!(Kind::of(&call("sendto", &[3, 1, 1, 0, 9])), Kind::Address);
        assert_eq!(Kind::of(&call("chroot", &[])), Kind::Privileged);
        assert_eq!(Kind::of(&call("fsync", &[])), Kind::Plain);
        assert_eq!(Kind::of(&Call { name: None, number: 999, args: [0; 6] }), Kind::Plain);
    }
}
