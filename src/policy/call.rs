//! Calls that are decided by their registers alone, which no other thread can change meanwhile.

use std::borrow::Cow;

use nix::errno::Errno;
use serde_json::json;

use super::{Denial, PolicyEngine};
use crate::event::{ViolationKind, ViolationObject, Want};
use crate::filter::{Access, Action};
use crate::ids::{Gid, Uid};
use crate::profile::{Capability, capabilities, capability_word};
use crate::syscalls::{self, Arg, Handler, Syscall, Test, clone_flags};

/// A system call, as the notification has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The call's name; `None` for a number that the table does not have.
    pub name: Option<&'static str>,
    /// The call's number on this architecture.
    pub number: u32,
    /// The six argument registers.
    pub args: [u64; 6],
}

impl Call {
    /// The call's row in the table.
    pub fn syscall(&self) -> Option<&'static Syscall> {
        syscalls::find(self.name?)
    }

    /// How the call is decided.
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

    /// Every path: the descriptor of the directory that it is relative to, or AT_FDCWD, and the
    /// address of its text.
    pub fn paths(&self) -> impl Iterator<Item = (i32, u64)> {
        let paths = self.syscall().into_iter().flat_map(Syscall::paths);
        paths.map(|(dirfd, at)| (dirfd.map_or(libc::AT_FDCWD, |at| self.args[at] as i32), self.args[at]))
    }

    /// The user or group ids among the arguments.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.arguments(Arg::Id).map(|id| id as u32)
    }

    /// The object of an event about this call.
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
    /// How the filter treats a call; `None` for one that the profile does not list.
    pub fn access(&self, name: &str) -> Option<&Access> {
        self.filter.calls.get(name)
    }

    /// Whether the conditions of a listed call are satisfied. The filter allows most such calls
    /// itself; calls that change the user are notified all the same.
    pub fn lists(&self, call: &Call) -> bool {
        self.filter.verdict(call.number, &call.args) == Action::Allow
    }

    /// Denies a call that is not listed, with [`Syscall::unlisted`]; with ENOSYS where the table does
    /// not have its number.
    pub fn unlisted(&self, call: &Call) -> Box<Denial> {
        let errno = call.name.and_then(syscalls::find).map_or(Errno::ENOSYS, Syscall::unlisted);
        let want = call.name.map(|name| Want::Syscall(name.to_owned()));
        call.refusal(ViolationKind::Syscall, errno, "/syscalls", want)
    }

    /// Denies a listed call whose arguments the filter did not allow. The hint has the value where
    /// one argument decides.
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
            // A send that connects bypasses every rule on ports: `network` cannot
            // grant it, and no other section should.
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

    /// The value as the kernel reads it: 32 bits of an int.
    fn narrow(&self, name: &str, arg: u8, value: u64) -> u64 {
        match crate::syscalls::width(name, arg) {
            Some(crate::syscalls::Width::Bits32) => value & 0xffff_ffff,
            _ => value,
        }
    }

    /// Denies memory that would be writable and executable, or become executable.
    pub fn memory(&self, call: &Call) -> Box<Denial> {
        call.refusal(
            ViolationKind::Memory,
            Handler::Map.denied(),
            "/memory/write_execute",
            Some(Want::WriteExecute),
        )
    }

    /// Denies a signal to the supervisor, which no profile allows.
    pub fn signal(&self, call: &Call) -> Box<Denial> {
        call.refusal(ViolationKind::Syscall, Errno::EPERM, "/syscalls", None)
    }

    /// Whether a clone creates a namespace, shares its working directory with another process where
    /// scripts are recognized by path, or hides from a tracer, where the profile does not list clone
    /// itself.
    pub fn is_forbidden_clone(&self, call: &Call) -> bool {
        let scripts = self.policy.scripts || !self.beneath.is_empty();
        let shares_place = scripts && call.args[0] & libc::CLONE_FS as u64 != 0 && !self.makes_thread(call);
        call.name == Some("clone") && (call.args[0] & clone_flags::NAMESPACES_UNTRACED != 0 || shares_place)
    }

    /// Whether a clone creates a thread and no process.
    pub fn makes_thread(&self, call: &Call) -> bool {
        call.name == Some("clone") && call.args[0] & clone_flags::THREAD != 0
    }

    /// Denies a process beyond `limits.processes`; `now` is the number of live ones.
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

    /// Denies a privileged call that the kernel would refuse for want of a capability.
    pub fn capability(&self, call: &Call, capability: Capability, caller: &Ids) -> Option<Box<Denial>> {
        let needed = match call.handler() {
            Handler::SetUid => takes_another_id(call, caller.uids.map(Uid::as_raw)),
            Handler::SetGid => takes_another_id(call, caller.gids.map(Gid::as_raw)),
            _ => true,
        };
        (needed && !self.policy.capabilities.contains(&capability)).then(|| lacks(capability))
    }

    /// Denies a program whose file has these capabilities, as bits, effective: the kernel does not execute it
    /// (EPERM) where one of them is not in the bounding set, whatever no_new_privs says
    /// (bprm_caps_from_vfs_caps, security/commoncap.c).
    pub fn file_capabilities(&self, effective: u64) -> Option<Box<Denial>> {
        let missing = effective & self.dropped;
        if missing == 0 {
            return None;
        }
        capabilities().into_iter().find(|one| missing & one.bitmask() != 0).map(lacks)
    }
}

fn lacks(capability: Capability) -> Box<Denial> {
    Box::new(Denial {
        kind: ViolationKind::Capability,
        errno: Errno::EPERM,
        object: ViolationObject::Name { name: capability_word(capability).into() },
        rule: "/capabilities".into(),
        want: Some(Want::Capability(capability)),
    })
}

/// Whether a set*id call takes an id that the caller does not have already; -1 leaves an id
/// unchanged.
pub fn takes_another_id(call: &Call, own: [u32; 4]) -> bool {
    // Only setfsuid and setfsgid may set the file-system id to its own value.
    let own = if call.name.is_some_and(|name| name.starts_with("setfs")) { &own[..] } else { &own[..3] };
    call.ids().any(|id| id != u32::MAX && !own.contains(&id))
}

/// Real, effective, saved and file-system ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The user ids.
    pub uids: [Uid; 4],
    /// The group ids.
    pub gids: [Gid; 4],
}

impl Ids {
    /// The ids after a set*id call, if it is allowed; `None` for another call. Where the result
    /// depends on a capability (setuid, setgid), all ids are assumed to change.
    pub fn after(self, call: &Call) -> Option<Ids> {
        let name = call.name?;
        let is_user = name.contains("uid");
        let own = if is_user { self.uids.map(Uid::as_raw) } else { self.gids.map(Gid::as_raw) };
        let requested = |arg: usize, now: u32| match call.args[arg] as u32 {
            u32::MAX => now,
            id => id,
        };
        let [real, effective, saved, files] = own;
        let next = match name {
            "setuid" | "setgid" => [requested(0, real); 4],
            "setreuid" | "setregid" => {
                let (r, e) = (requested(0, real), requested(1, effective));
                // The saved id follows where the real one is set, or where the effective one is set
                // to another value than the old real one.
                let s = if call.args[0] as u32 != u32::MAX || e != real { e } else { saved };
                [r, e, s, e]
            }
            "setresuid" | "setresgid" => {
                let e = requested(1, effective);
                [requested(0, real), e, requested(2, saved), e]
            }
            "setfsuid" | "setfsgid" => [real, effective, saved, requested(0, files)],
            _ => return None,
        };
        Some(if is_user {
            Ids { uids: next.map(Uid::from_raw), ..self }
        } else {
            Ids { gids: next.map(Gid::from_raw), ..self }
        })
    }
}

/// The argument that alone decides, by a list of values.
fn single_argument(alternatives: &[Vec<crate::syscalls::Condition>]) -> Option<u8> {
    let mut args = alternatives.iter().map(|conditions| match &conditions[..] {
        [one] if matches!(one.test, Test::In(_) | Test::Masked { .. }) => Some(one.arg),
        _ => None,
    });
    let first = args.next()??;
    args.all(|arg| arg == Some(first)).then_some(first)
}
