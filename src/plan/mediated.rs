//! Calls that open, execute, connect, signal or make memory executable: the plan decides their
//! access, whatever section allows them.

use super::conditions::{AF_UNIX, Alternatives, SOCK_DGRAM, masked, one_of};
use super::filter_input::FilterInput;
use super::{check, routes};
use crate::kernel::Arch;
use crate::profile::{Mode, Watch};
use crate::syscalls::{self, Arg, Handler, clone_flags};

/// Calls whose access the plan decides, whatever section allows them: a bare name in `syscalls`
/// allows them, and never widens their access.
pub(super) enum Mediated {
    /// The supervisor decides every one.
    Notify,
    /// The registers decide, and the rest is notified.
    When(Alternatives),
    /// As in the groups.
    AsGrouped,
}

impl FilterInput<'_> {
    /// How the plan decides this call; `None` where the profile alone does.
    pub(super) fn mediated(&self, call: &str) -> Option<Mediated> {
        let every_open = self.watch > Watch::Nothing || self.mode == Mode::Audit;
        let syscall = syscalls::find(call)?;
        Some(match syscall.handler {
            Handler::Open => match syscall.position(Arg::Flags) {
                Some(flags) if !every_open => Mediated::When(vec![vec![masked(flags, WRITES, 0)]]),
                _ => Mediated::Notify,
            },
            Handler::Exec | Handler::Change(_) | Handler::Bind | Handler::Connect => Mediated::Notify,
            Handler::Socket if self.sockets.made => Mediated::When(Vec::new()),
            Handler::Socket => Mediated::When(self.kinds()),
            // A socket that was never bound would get a port of the kernel's choice.
            Handler::Listen if self.sockets.made => Mediated::Notify,
            Handler::Map if self.narrows_code() => Mediated::When(self.mappings()),
            Handler::Map if !self.profile.write_execute => {
                Mediated::When(vec![vec![masked(2, PROT_WRITE, 0)], vec![masked(2, PROT_EXEC, 0)]])
            }
            Handler::Protect if !self.profile.write_execute => Mediated::When(self.protections()),
            Handler::Protect if self.narrows_code() => Mediated::When(vec![vec![masked(2, PROT_EXEC, 0)]]),
            Handler::Attach if !self.profile.write_execute => {
                Mediated::When(vec![vec![masked(2, SHM_EXEC, 0)]])
            }
            // All values except the supervisor's ids.
            Handler::Signal | Handler::SignalThread | Handler::PidfdOpen => Mediated::When(vec![Vec::new()]),
            Handler::SocketOption if self.sockets.addressed => Mediated::When(routes::options()),
            Handler::Fork => match (syscall.position(Arg::LongFlags), self.counts()) {
                (None, true) => Mediated::Notify,
                (Some(flags), true) => {
                    let thread =
                        masked(flags, clone_flags::NAMESPACES | clone_flags::THREAD, clone_flags::THREAD);
                    Mediated::When(vec![vec![thread]])
                }
                (Some(_), false) => Mediated::AsGrouped,
                (None, false) => return None,
            },
            // The supervisor creates it, sealed. Where it cannot, a listed memfd_create is allowed.
            Handler::Memfd if self.mode == Mode::Enforce && check::seals(self.kernel) => Mediated::Notify,
            Handler::Socketpair | Handler::Send => Mediated::AsGrouped,
            Handler::Listen | Handler::Map | Handler::Protect | Handler::Attach | Handler::Memfd => {
                return None;
            }
            Handler::SocketOption | Handler::SignalPidfd | Handler::Prctl | Handler::Personality => {
                return None;
            }
            Handler::SetUid | Handler::SetGid | Handler::SetGroups | Handler::Capset => return None,
            Handler::Schedule | Handler::Limit(_) | Handler::Ioctl | Handler::Attribute(_) => return None,
            // From then on the supervisor resolves paths from each caller's own root.
            Handler::Root if self.kernel.notify.is_ok() => Mediated::Notify,
            Handler::Root | Handler::NotImplemented | Handler::Plain => return None,
        })
    }

    /// Whether some program has `libraries`, and calls can be notified.
    pub(super) fn narrows_code(&self) -> bool {
        self.kernel.notify.is_ok() && self.profile.programs.iter().any(|program| program.libraries.is_some())
    }

    /// Data, and private memory without a file. Shared memory can be written at another address.
    fn mappings(&self) -> Alternatives {
        let mut own = vec![masked(3, MAP_ANONYMOUS | MAP_SHARED, MAP_ANONYMOUS)];
        if !self.profile.write_execute {
            own.push(masked(2, PROT_WRITE, 0));
        }
        vec![vec![masked(2, PROT_EXEC, 0)], own]
    }

    /// Whether processes are counted: all, or those of some program.
    fn counts(&self) -> bool {
        let programs = &self.profile.programs;
        self.profile.limits.processes.is_some() || programs.iter().any(|program| program.instances.is_some())
    }

    /// The kinds of sockets that `network` names.
    fn kinds(&self) -> Alternatives {
        let mut kinds = Vec::new();
        let internet = one_of(0, &[AF_INET, AF_INET6]);
        if self.sockets.tcp() {
            kinds.push(vec![
                internet.clone(),
                masked(1, SOCK_TYPE, SOCK_STREAM),
                one_of(2, &[0, IPPROTO_TCP]),
            ]);
        }
        if self.sockets.udp {
            kinds.push(vec![internet, masked(1, SOCK_TYPE, SOCK_DGRAM), one_of(2, &[0, IPPROTO_UDP])]);
        }
        if self.sockets.icmp {
            for (family, protocol) in [(AF_INET, IPPROTO_ICMP), (AF_INET6, IPPROTO_ICMPV6)] {
                let datagram = masked(1, SOCK_TYPE, SOCK_DGRAM);
                kinds.push(vec![one_of(0, &[family]), datagram, one_of(2, &[protocol])]);
            }
        }
        if self.sockets.unix {
            kinds.push(vec![one_of(0, &[AF_UNIX])]);
        }
        if self.sockets.unix_named {
            for kind in [SOCK_STREAM, SOCK_SEQPACKET] {
                kinds.push(vec![one_of(0, &[AF_UNIX]), masked(1, SOCK_TYPE, kind)]);
            }
        }
        if self.sockets.any {
            let all = [NETLINK_ROUTE, NETLINK_SOCK_DIAG, NETLINK_KOBJECT_UEVENT];
            let protocols = if self.sockets.netlink { &all[..] } else { &all[..1] };
            for kind in [SOCK_RAW, SOCK_DGRAM] {
                kinds.push(vec![one_of(0, &[AF_NETLINK]), masked(1, SOCK_TYPE, kind), one_of(2, protocols)]);
            }
        }
        kinds
    }

    /// Memory never becomes executable; where MDWE enforces the rest, the loader of an ARM machine may
    /// mark executable memory with PROT_BTI.
    fn protections(&self) -> Alternatives {
        let mut alternatives = vec![vec![masked(2, PROT_EXEC, 0)]];
        if self.kernel.arch == Arch::Aarch64 && self.mdwe {
            alternatives.push(vec![masked(2, PROT_BTI | PROT_WRITE, PROT_BTI)]);
        }
        alternatives
    }
}

/// Whether this is a mediated call whose alternatives the profile may add to by an object.
pub(super) fn is_open_to_more(call: &str) -> bool {
    match syscalls::handler(call) {
        Handler::Send | Handler::Socket | Handler::Socketpair => true,
        Handler::Fork => syscalls::find(call).and_then(|call| call.position(Arg::LongFlags)).is_some(),
        _ => false,
    }
}

/// O_ACCMODE, O_CREAT and O_TRUNC: with none of them an open changes nothing.
pub(crate) const WRITES: u64 = 0o3 | 0o100 | 0o1000;
pub(super) const PROT_WRITE: u64 = 2;
pub(super) const PROT_EXEC: u64 = 4;
/// PROT_BTI: branch targets are checked (asm/mman.h of arm64).
pub(super) const PROT_BTI: u64 = 0x10;
/// MAP_SHARED; MAP_SHARED_VALIDATE contains its bit too.
const MAP_SHARED: u64 = 1;
const MAP_ANONYMOUS: u64 = 0x20;
const SHM_EXEC: u64 = 0o100_000;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const AF_NETLINK: u64 = 16;
const NETLINK_ROUTE: u64 = 0;
/// sock_diag(7). To destroy a socket by it takes CAP_NET_ADMIN.
const NETLINK_SOCK_DIAG: u64 = 4;
const NETLINK_KOBJECT_UEVENT: u64 = 15;
/// The type of a socket, without SOCK_CLOEXEC and SOCK_NONBLOCK.
const SOCK_TYPE: u64 = 0xf;
const SOCK_STREAM: u64 = 1;
const SOCK_RAW: u64 = 3;
const SOCK_SEQPACKET: u64 = 5;
const IPPROTO_ICMP: u64 = 1;
const IPPROTO_ICMPV6: u64 = 58;
const IPPROTO_TCP: u64 = 6;
const IPPROTO_UDP: u64 = 17;
