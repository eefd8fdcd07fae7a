//! Calls that are judged by their registers alone, which nobody can change while
//! they are looked at.

use std::borrow::Cow;

use nix::errno::Errno;
use serde_json::json;

use super::{Denial, PolicyEngine};
use crate::event::{ViolationKind, ViolationObject, Want};
use crate::filter::{Access, Action};
use crate::ids::{Gid, Uid};
use crate::profile::{Capability, Endpoint};
use crate::syscalls::{self, Arg, Handler, Syscall, Test};

/// Flags of clone(2) that make a namespace, and CLONE_UNTRACED, which hides a child
/// from a tracer.
const FORBIDDEN: u64 = 0x7E82_0000;

/// A call as it was notified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name; none for a number that no table has.
    pub name: Option<&'static str>,
    /// Its number.
    pub number: u32,
    /// Its six registers.
    pub args: [u64; 6],
}

impl Call {
    /// Its row in the table.
    pub fn syscall(&self) -> Option<&'static Syscall> {
        syscalls::find(self.name?)
    }

    /// What decides it.
    pub fn handler(&self) -> Handler {
        self.syscall().map_or(Handler::Plain, |syscall| syscall.handler)
    }

    /// Every argument of a kind.
    pub fn arguments(&self, kind: Arg) -> impl Iterator<Item = u64> {
        let positions = self.syscall().into_iter().flat_map(move |syscall| syscall.positions(kind));
        positions.map(|at| self.args[usize::from(at)])
    }

    /// The first argument of a kind, where the call has one.
    pub fn argument(&self, kind: Arg) -> Option<u64> {
        self.arguments(kind).next()
    }

    /// Every path: the descriptor of the directory in which it begins, or AT_FDCWD, and the
    /// address of its text.
    pub fn paths(&self) -> impl Iterator<Item = (i32, u64)> {
        let paths = self.syscall().into_iter().flat_map(Syscall::paths);
        paths.map(|(dirfd, at)| (dirfd.map_or(libc::AT_FDCWD, |at| self.args[at] as i32), self.args[at]))
    }

    /// The ids of users or groups that it names.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.arguments(Arg::Id).map(|id| id as u32)
    }

    /// The object of an event about it.
    pub fn object(&self) -> ViolationObject {
        let name = self.name.map_or_else(|| Cow::Owned(format!("number {}", self.number)), Cow::Borrowed);
        ViolationObject::Syscall { syscall: name, args: self.args.to_vec() }
    }

    fn refusal(
        &self,
        kind: ViolationKind,
        errno: Errno,
        rule: &'static str,
        want: Option<Want>,
    ) -> Box<Denial> {
        Box::new(Denial { kind, errno, object: self.object(), rule: rule.into(), want })
    }
}

impl PolicyEngine {
    /// How the filter treats a call; `None` for one that is not allowed at all.
    pub fn access(&self, name: &str) -> Option<&Access> {
        self.filter.calls.get(name)
    }

    /// Whether the conditions of a listed call hold. Most such calls do not come here then;
    /// those that change the user do all the same.
    pub fn lists(&self, call: &Call) -> bool {
        self.filter.verdict(call.number, &call.args) == Action::Allow
    }

    /// A call that is not listed, refused with [`Syscall::unlisted`]; with ENOSYS where no
    /// table has its number.
    pub fn unlisted(&self, call: &Call) -> Box<Denial> {
        let errno = call.name.and_then(syscalls::find).map_or(Errno::ENOSYS, Syscall::unlisted);
        let want = call.name.map(|name| Want::Syscall(name.to_owned()));
        call.refusal(ViolationKind::Syscall, errno, "/syscalls", want)
    }

    /// A listed call whose arguments the filter did not let through. The hint names
    /// the value where one argument decides.
    pub fn argument(&self, call: &Call) -> Box<Denial> {
        let name = call.name.unwrap_or_default();
        let handler = call.handler();
        if handler == Handler::SocketOption && self.names_addresses() {
            return call.refusal(ViolationKind::Network, Errno::EPERM, "/network", None);
        }
        let decides = match self.access(name) {
            Some(Access::When(alternatives)) => single_argument(alternatives),
            _ => None,
        };
        let want = match decides {
            // A send that connects goes past every rule on ports: `network` cannot
            // grant it, and nothing else should.
            _ if handler == Handler::Send => None,
            Some(arg) => Some(Want::SyscallWhen {
                call: name.to_owned(),
                arg,
                value: json!(self.narrow(name, arg, call.args[usize::from(arg)])),
            }),
            None => Some(Want::Syscall(name.to_owned())),
        };
        call.refusal(ViolationKind::Syscall, Errno::EPERM, "/syscalls", want)
    }

    /// Whether some entry of `network` names an address: then options that carry packets
    /// elsewhere are refused.
    fn names_addresses(&self) -> bool {
        let entries = self.policy.listen.iter().chain(&self.policy.connect);
        entries.into_iter().any(|entry| matches!(entry, Endpoint::Tcp(tcp) if tcp.network.is_some()))
    }

    /// The value as the kernel takes it: 32 bits of an int.
    fn narrow(&self, name: &str, arg: u8, value: u64) -> u64 {
        match crate::syscalls::width(name, arg) {
            Some(crate::syscalls::Width::Bits32) => value & 0xffff_ffff,
            _ => value,
        }
    }

    /// Memory that is to be writable and executable, or to become executable.
    pub fn memory(&self, call: &Call) -> Box<Denial> {
        call.refusal(
            ViolationKind::Memory,
            Handler::Map.denied(),
            "/memory/write_execute",
            Some(Want::WriteExecute),
        )
    }

    /// A signal to the supervisor: no profile allows it.
    pub fn signal(&self, call: &Call) -> Box<Denial> {
        call.refusal(ViolationKind::Syscall, Errno::EPERM, "/syscalls", None)
    }

    /// Whether a clone makes a namespace, shares its working directory with another
    /// process where there are scripts to be told by it, or hides from a tracer, where the profile
    /// does not list clone itself.
    pub fn is_forbidden_clone(&self, call: &Call) -> bool {
        let scripts = self.policy.scripts || !self.beneath.is_empty();
        let shares_place = scripts && call.args[0] & libc::CLONE_FS as u64 != 0 && !self.makes_thread(call);
        call.name == Some("clone") && (call.args[0] & FORBIDDEN != 0 || shares_place)
    }

    /// Whether a clone makes a thread and no process.
    pub fn makes_thread(&self, call: &Call) -> bool {
        call.name == Some("clone") && call.args[0] & libc::CLONE_THREAD as u64 != 0
    }

    /// One process too many: `now` live ones.
    pub fn processes(&self, now: u32) -> Option<Box<Denial>> {
        let most = self.policy.processes?;
        (now >= most).then(|| {
            Box::new(Denial {
                kind: ViolationKind::Limit,
                errno: Handler::Fork.denied(),
                object: ViolationObject::Name { name: "processes".into() },
                rule: "/limits/processes".into(),
                want: Some(Want::Processes(now + 1)),
            })
        })
    }

    /// A privileged call that the kernel will refuse for want of a capability.
    pub fn capability(&self, call: &Call, capability: Capability, caller: &Ids) -> Option<Box<Denial>> {
        let needed = match call.handler() {
            Handler::SetUid => takes_another_id(call, caller.uids.map(Uid::as_raw)),
            Handler::SetGid => takes_another_id(call, caller.gids.map(Gid::as_raw)),
            _ => true,
        };
        (needed && !self.policy.capabilities.contains(&capability)).then(|| {
            let name = capability.to_string().trim_start_matches("CAP_").to_ascii_lowercase();
            Box::new(Denial {
                kind: ViolationKind::Capability,
                errno: Errno::EPERM,
                object: ViolationObject::Name { name: name.into() },
                rule: "/capabilities".into(),
                want: Some(Want::Capability(capability)),
            })
        })
    }
}

/// Whether a set*id call takes on an id that is not the caller's already; -1 leaves one
/// as it is.
pub fn takes_another_id(call: &Call, own: [u32; 4]) -> bool {
    // The file-system id may be set anew by its own call alone.
    let own = if call.name.is_some_and(|name| name.starts_with("setfs")) { &own[..] } else { &own[..3] };
    call.ids().any(|id| id != u32::MAX && !own.contains(&id))
}

/// Real, effective, saved and file-system ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Users.
    pub uids: [Uid; 4],
    /// Groups.
    pub gids: [Gid; 4],
}

impl Ids {
    /// What a set*id call would make of them, if it is allowed; none for another call.
    /// Where what is taken on hangs on a capability (setuid, setgid), all of it is.
    pub fn after(self, call: &Call) -> Option<Ids> {
        let name = call.name?;
        let is_user = name.contains("uid");
        let own = if is_user { self.uids.map(Uid::as_raw) } else { self.gids.map(Gid::as_raw) };
        let asked = |arg: usize, now: u32| match call.args[arg] as u32 {
            u32::MAX => now,
            id => id,
        };
        let [real, effective, saved, files] = own;
        let next = match name {
            "setuid" | "setgid" => [asked(0, real); 4],
            "setreuid" | "setregid" => {
                let (r, e) = (asked(0, real), asked(1, effective));
                // The saved one follows where the real one is set, or the effective one
                // to what the real one was not.
                let s = if call.args[0] as u32 != u32::MAX || e != real { e } else { saved };
                [r, e, s, e]
            }
            "setresuid" | "setresgid" => {
                let e = asked(1, effective);
                [asked(0, real), e, asked(2, saved), e]
            }
            "setfsuid" | "setfsgid" => [real, effective, saved, asked(0, files)],
            _ => return None,
        };
        Some(if is_user {
            Ids { uids: next.map(Uid::from_raw), ..self }
        } else {
            Ids { gids: next.map(Gid::from_raw), ..self }
        })
    }
}

/// The argument on which alone a list of values decides.
fn single_argument(alternatives: &[Vec<crate::syscalls::Condition>]) -> Option<u8> {
    let mut args = alternatives.iter().map(|conditions| match &conditions[..] {
        [one] if matches!(one.test, Test::In(_) | Test::Masked { .. }) => Some(one.arg),
        _ => None,
    });
    let first = args.next()??;
    args.all(|arg| arg == Some(first)).then_some(first)
}
