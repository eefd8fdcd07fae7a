//! The plan of a learning run: nothing is confined, and a filter notifies every call about which a
//! profile would need an entry. It is made from no profile.

use std::collections::BTreeMap;
use std::sync::Arc;

use caps::CapsHashSet;

use super::conditions::{masked, one_of};
use super::mediated::{PROT_BTI, PROT_EXEC, PROT_WRITE, WRITES};
use super::{Capabilities, Host, Plan, Policy};
use crate::filter::{Access, Filter};
use crate::kernel::{Arch, Kernel};
use crate::profile::{Fallback, Mode, OnViolation, RunAs, Watch};
use crate::syscalls::{self, Arg, Handler, Syscall, clone_flags, groups};

/// What a learning run records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Every call that can be notified, those of `@base` among them.
    pub exact: bool,
    /// Every open, also for reading: no other source reports those.
    pub reads: bool,
    /// What `@base` would have for another C library than glibc ([`groups::NOT_OF_GLIBC`]): COMMAND's is
    /// glibc, which does not make these calls.
    pub glibc: bool,
}

impl Plan {
    /// The plan of a learning run: it changes to the requested ids, if any, sets no_new_privs and
    /// loads the filter.
    pub fn learning(kernel: &Kernel, host: &Host, run_as: Option<RunAs>, watched: Watched) -> Plan {
        let run_as = run_as.filter(|ids| (ids.user, ids.group) != (host.ids.user, host.ids.group));
        // A change of user away from root drops the capabilities, as it would without
        // remit.
        let app = match &run_as {
            Some(ids) if !ids.user.is_root() => CapsHashSet::new(),
            _ => host.permitted.clone(),
        };
        Plan {
            name: "learn".to_owned(),
            mode: Mode::Learn,
            kernel: kernel.clone(),
            run_as,
            environment_drop: Vec::new(),
            limits: Vec::new(),
            capabilities: Capabilities {
                app,
                ambient: CapsHashSet::new(),
                drop_bounding: false,
                // With fewer than the app's it could not read its memory.
                supervisor: host.permitted.clone(),
            },
            mdwe: false,
            landlock: None,
            filter: filter(kernel, watched),
            launch: Vec::new(),
            policy: Arc::new(nothing(host.supervisor)),
            derived: Vec::new(),
            program_rules: Vec::new(),
            socket_rules: Vec::new(),
            checks: false,
            widened: Vec::new(),
            missing_features: Vec::new(),
            notes: Vec::new(),
            not_followed: Vec::new(),
            fallback: Fallback::Refuse,
            whys: BTreeMap::new(),
        }
    }
}

/// The filter of a learning run on this kernel.
///
/// Calls of `@base` are allowed without a notification, as far as that has them, except those that a
/// section of the profile decides (an open for writing, a send to an address). Every other call is
/// notified, since a profile has to list it.
///
/// A fork is not: a signal ends a notified call that is not received, and the SIGCHLD of an earlier
/// child often comes in that moment (dash: `Cannot fork`). The process that it made is seen instead, at
/// its first call that is notified: [`FIRST_CALLS`], or an exec.
pub fn filter(kernel: &Kernel, watched: Watched) -> Filter {
    let arch = kernel.arch;
    let forks = syscalls::all().filter(|syscall| syscall.handler == Handler::Fork);
    let forks = forks.filter_map(|syscall| Some((syscall.name, decided(syscall, kernel, watched)?)));
    if watched.exact {
        let unnotified = syscalls::all().filter(|syscall| syscall.unnotified);
        let calls = unnotified.map(|syscall| (syscall.name, Access::Allow)).chain(forks).collect();
        return Filter { arch, calls };
    }
    let base = groups::BASE.calls().into_iter().filter(|(call, _)| !groups::is_superseded(call, arch));
    let mut calls: BTreeMap<_, _> =
        base.map(|(call, alternatives)| (call, Access::when(alternatives))).collect();
    if !watched.glibc {
        calls.extend(groups::NOT_OF_GLIBC.map(|call| (call, Access::Allow)));
    }
    for (call, access) in &mut calls {
        if let Some(decided) = syscalls::find(call).and_then(|call| decided(call, kernel, watched)) {
            *access = decided;
        }
    }
    calls.extend(forks);
    let first_calls = if watched.glibc { &FIRST_CALLS[..1] } else { &FIRST_CALLS };
    calls.extend(first_calls.iter().map(|call| (*call, Access::Notify)));
    // Its process is traced from then on.
    super::dumpable::notify(&mut calls);
    calls.retain(|call, _| syscalls::number(arch, call).is_some());
    Filter { arch, calls }
}

/// What a C library calls first in a process that it forked: glibc the first, musl the second, which
/// glibc's programs make too often.
pub const FIRST_CALLS: [&str; 2] = ["set_robust_list", "gettid"];

/// The access of a call whose file, address or program a section of the profile decides, and of a
/// fork.
fn decided(syscall: &Syscall, kernel: &Kernel, watched: Watched) -> Option<Access> {
    let unless = |arg, mask, equals| Access::When(vec![vec![masked(arg, mask, equals)]]);
    Some(match syscall.handler {
        Handler::Open => match syscall.position(Arg::Flags) {
            Some(flags) if !watched.reads => unless(flags, WRITES, 0),
            _ => Access::Notify,
        },
        Handler::Exec | Handler::Change(_) => Access::Notify,
        Handler::Bind | Handler::Connect | Handler::Socket | Handler::Listen => Access::Notify,
        Handler::Fork => match syscall.position(Arg::LongFlags) {
            Some(flags) => unless(flags, clone_flags::NAMESPACES_UNTRACED, 0),
            // glibc makes clone(2) instead; musl blocks all signals while it makes this.
            None if syscall.name == "fork" && watched.glibc => Access::Notify,
            None => Access::Allow,
        },
        // With an address it may connect.
        Handler::Send => {
            let address = syscall.position(Arg::Sockaddr)?;
            let flags = syscall.position(Arg::Flags)?;
            Access::When(vec![vec![masked(flags, MSG_FASTOPEN, 0), one_of(address, &[0])]])
        }
        Handler::Map => Access::When(vec![vec![masked(2, PROT_WRITE, 0)], vec![masked(2, PROT_EXEC, 0)]]),
        Handler::Protect => {
            let mut protections = vec![vec![masked(2, PROT_EXEC, 0)]];
            if kernel.arch == Arch::Aarch64 && kernel.mdwe {
                // The loader marks memory that is executable already.
                protections.push(vec![masked(2, PROT_BTI | PROT_WRITE, PROT_BTI)]);
            }
            Access::When(protections)
        }
        // As in `@base`, or notified where that has none.
        Handler::Attribute(_) | Handler::Attach | Handler::Memfd | Handler::Socketpair => return None,
        Handler::SocketOption | Handler::Ioctl | Handler::Prctl | Handler::Personality => return None,
        Handler::Signal | Handler::SignalThread | Handler::SignalPidfd | Handler::PidfdOpen => return None,
        Handler::SetUid | Handler::SetGid | Handler::SetGroups | Handler::Capset => return None,
        Handler::Schedule | Handler::Limit(_) | Handler::Root => return None,
        Handler::NotImplemented | Handler::Plain => return None,
    })
}

/// The calls of which a run that is not exact notifies none, or only those with some arguments, in
/// the journal's words. A profile can be exact where it grants them all.
pub fn unwatched(kernel: &Kernel, watched: Watched) -> Vec<&'static str> {
    let unnotified =
        filter(kernel, watched).calls.into_iter().filter(|(_, access)| *access != Access::Notify);
    // Forks are watched by the processes that they make.
    unnotified.map(|(call, _)| call).filter(|call| !matches!(*call, "fork" | "vfork")).collect()
}

/// An empty policy: a learning run enforces none. It records which variables a profile has to keep.
fn nothing(supervisor: u32) -> Policy {
    Policy {
        never_run: Vec::new(),
        reserved: Vec::new(),
        looks_for_data: false,
        provenance: super::FileProvenance::default(),
        programs: Vec::new(),
        derived: BTreeMap::new(),
        files: Vec::new(),
        protected: Vec::new(),
        listen_tcp: Vec::new(),
        connect_tcp: Vec::new(),
        udp: true,
        icmp: true,
        netlink: true,
        unix: true,
        unix_named: false,
        makes_sockets: false,
        event_socket: None,
        listen: Vec::new(),
        connect: Vec::new(),
        names: false,
        processes: None,
        supervisor,
        capabilities: CapsHashSet::new(),
        on_violation: OnViolation::Deny,
        write_execute: true,
        landlock: false,
        performs: false,
        truncates: false,
        watch: Watch::Nothing,
        environment: Vec::new(),
        environment_keep: Vec::new(),
        scripts: false,
        seals_memfd: false,
        startup: None,
        dumpable: Vec::new(),
        forks: true,
    }
}

const MSG_FASTOPEN: u64 = 0x2000_0000;

#[cfg(test)]
mod tests {
    use caps::Capability;

    use super::*;
    use crate::filter::{Action, FilterError, SeccompData, compile, interpret};
    use crate::ids::{Gid, Uid};
    use crate::kernel::Release;
    use crate::syscalls::Privilege;

    const RELEASES: [(u16, u16); 14] = [
        (5, 10),
        (5, 13),
        (5, 14),
        (5, 15),
        (5, 19),
        (6, 1),
        (6, 3),
        (6, 6),
        (6, 7),
        (6, 12),
        (6, 14),
        (6, 18),
        (7, 0),
        (7, 3),
    ];

    fn kernels() -> impl Iterator<Item = Kernel> {
        RELEASES
            .into_iter()
            .flat_map(|(major, minor)| Arch::ALL.map(|arch| Kernel::stock(Release::new(major, minor), arch)))
    }

    const DEFAULT: Watched = Watched { exact: false, reads: false, glibc: false };

    /// The action of the compiled program.
    fn answer(filter: &Filter, name: &str, args: &[u64]) -> Action {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        let nr = syscalls::number(filter.arch, name).unwrap_or_else(|| panic!("{name}"));
        let program: Result<_, FilterError> = compile(filter);
        let data = SeccompData { nr, arch: filter.arch.audit(), instruction_pointer: 0, args: all };
        let outcome = interpret(&program.expect("it compiles"), &data);
        assert_eq!(outcome, filter.verdict(nr, &all), "{name} {args:?}");
        outcome
    }

    #[test]
    fn what_programs_make_all_the_time_is_on_the_fast_path_on_every_kernel() {
        for kernel in kernels() {
            let filter = filter(&kernel, DEFAULT);
            for call in [
                "read",
                "write",
                "readv",
                "writev",
                "epoll_wait",
                "epoll_pwait",
                "recvfrom",
                "recvmsg",
                "sendfile",
                "accept4",
                "close",
                "fstat",
                "clock_gettime",
                "nanosleep",
                "munmap",
                "newfstatat",
            ] {
                let Some(access) = filter.calls.get(call) else {
                    assert!(syscalls::number(kernel.arch, call).is_none(), "{call} on {:?}", kernel.arch);
                    continue;
                };
                assert_eq!(*access, Access::Allow, "{call} on {:?}", kernel.arch);
            }
        }
    }

    /// An exact profile is built of what was notified and `@base`.
    #[test]
    fn every_call_that_base_does_not_have_is_notified() {
        for kernel in kernels() {
            let filter = filter(&kernel, DEFAULT);
            for syscall in syscalls::all().filter(|syscall| syscall.number(kernel.arch).is_some()) {
                let is_base = (groups::BASE.calls().contains_key(syscall.name)
                    && !groups::is_superseded(syscall.name, kernel.arch))
                    || groups::NOT_OF_GLIBC.contains(&syscall.name)
                    || syscall.handler == Handler::Fork;
                if !is_base && syscall.name != "clone3" {
                    assert_eq!(answer(&filter, syscall.name, &[]), Action::Notify, "{}", syscall.name);
                }
            }
            for call in unwatched(&kernel, Watched { glibc: true, ..DEFAULT }) {
                assert!(groups::BASE.calls().contains_key(call), "{call}");
            }
            let filter = super::filter(&kernel, Watched { glibc: true, ..DEFAULT });
            let is_base = |call: &str| {
                groups::BASE.calls().contains_key(call) && !groups::is_superseded(call, kernel.arch)
            };
            let others = groups::NOT_OF_GLIBC.iter().filter(|call| !is_base(call));
            for call in others.filter(|call| syscalls::number(kernel.arch, call).is_some()) {
                assert!(unwatched(&kernel, DEFAULT).contains(call), "{call}");
                assert_eq!(answer(&filter, call, &[0, 0]), Action::Notify, "{call}");
            }
        }
    }

    #[test]
    fn what_a_section_decides_is_notified_and_the_rest_of_its_call_is_not() {
        const O_RDONLY: u64 = 0;
        const O_WRONLY: u64 = 1;
        for kernel in kernels() {
            let outcome = |name: &str, args: &[u64]| answer(&filter(&kernel, DEFAULT), name, args);
            for call in [
                "execve",
                "execveat",
                "bind",
                "connect",
                "listen",
                "socket",
                "mkdirat",
                "unlinkat",
                "renameat2",
                "openat2",
            ] {
                assert_eq!(outcome(call, &[]), Action::Notify, "{call}");
            }
            // In no group: a profile would have to list it.
            for call in ["keyctl", "setuid", "chroot", "fchown", "memfd_create", "personality", "mlockall"] {
                assert_eq!(outcome(call, &[]), Action::Notify, "{call}");
            }
            assert_eq!(outcome("openat", &[0, 0, O_RDONLY]), Action::Allow);
            assert_eq!(outcome("openat", &[0, 0, O_WRONLY]), Action::Notify);
            assert_eq!(outcome("openat", &[0, 0, 0o1000]), Action::Notify, "O_TRUNC");
            assert_eq!(outcome("clone", &[clone_flags::THREAD]), Action::Allow);
            assert_eq!(outcome("clone", &[17]), Action::Allow, "a process");
            assert_eq!(outcome("clone", &[17 | 0x1000_0000]), Action::Notify, "a namespace");
            assert_eq!(outcome("clone", &[clone_flags::THREAD | 0x1000_0000]), Action::Notify, "a namespace");
            let glibc = Watched { glibc: true, ..DEFAULT };
            for (call, of_glibc) in [("set_robust_list", Action::Notify), ("gettid", Action::Allow)] {
                assert_eq!(outcome(call, &[]), Action::Notify, "{call}");
                assert_eq!(answer(&super::filter(&kernel, glibc), call, &[]), of_glibc, "{call}");
            }
            if kernel.arch == Arch::X86_64 {
                assert_eq!(outcome("fork", &[]), Action::Allow);
                assert_eq!(outcome("vfork", &[]), Action::Allow);
            }
            assert_eq!(outcome("mmap", &[0, 0, PROT_EXEC | 1]), Action::Allow);
            assert_eq!(outcome("mmap", &[0, 0, PROT_EXEC | PROT_WRITE]), Action::Notify);
            assert_eq!(outcome("mprotect", &[0, 0, PROT_WRITE | 1]), Action::Allow);
            assert_eq!(outcome("mprotect", &[0, 0, PROT_EXEC | 1]), Action::Notify);
            let bti = outcome("mprotect", &[0, 0, PROT_EXEC | PROT_BTI | 1]);
            assert_eq!(bti == Action::Allow, kernel.arch == Arch::Aarch64 && kernel.mdwe);
            assert_eq!(outcome("sendto", &[3, 0, 0, 0, 0]), Action::Allow);
            assert_eq!(outcome("sendto", &[3, 0, 0, 0, 0x7fff]), Action::Notify, "an address");
            assert_eq!(outcome("ioctl", &[0, 0x5421]), Action::Allow);
            assert_eq!(outcome("ioctl", &[0, 0x5402]), Action::Notify);
            assert_eq!(outcome("prctl", &[15]), Action::Allow);
            assert_eq!(outcome("prctl", &[38]), Action::Notify);
            assert_eq!(outcome("fcntl", &[3, 4]), Action::Allow);
            assert_eq!(outcome("fcntl", &[3, 1031]), Action::Notify, "F_SETPIPE_SZ");
            assert_eq!(outcome("futex", &[0, 0x80]), Action::Allow);
            assert_eq!(outcome("futex", &[0, 0x86]), Action::Notify, "FUTEX_LOCK_PI");
            assert_eq!(outcome("madvise", &[0, 0, 4]), Action::Allow);
            assert_eq!(outcome("madvise", &[0, 0, 9]), Action::Notify, "MADV_REMOVE");
            assert_eq!(outcome("setsockopt", &[3, 6, 1]), Action::Allow);
            assert_eq!(outcome("setsockopt", &[3, 1, 26]), Action::Notify, "SO_ATTACH_FILTER");
            assert_eq!(outcome("prctl", &[24]), Action::Notify);
            assert_eq!(outcome("prctl", &[4]), Action::Notify, "PR_SET_DUMPABLE: it is traced before");
            assert_eq!(outcome("clone3", &[]), Action::Errno(38), "libraries fall back to clone");
        }
    }

    #[test]
    fn evidence_of_a_capability_is_watched() {
        let filter = filter(&Kernel::stock(Release::new(6, 18), Arch::X86_64), DEFAULT);
        for syscall in syscalls::all().filter(|syscall| syscall.privilege != Privilege::None) {
            if syscall.number(filter.arch).is_some() {
                assert_eq!(answer(&filter, syscall.name, &[9, 9, 9]), Action::Notify, "{}", syscall.name);
            }
        }
    }

    #[test]
    fn exact_watches_all_but_what_nothing_could_answer() {
        for kernel in kernels() {
            let filter = filter(&kernel, Watched { exact: true, reads: true, glibc: false });
            for name in syscalls::names().filter(|name| syscalls::number(kernel.arch, name).is_some()) {
                let expected = match name {
                    "clone3" => Action::Errno(38),
                    "clone" | "fork" | "vfork" => Action::Allow,
                    name if syscalls::find(name).is_some_and(|call| call.unnotified) => Action::Allow,
                    _ => Action::Notify,
                };
                assert_eq!(answer(&filter, name, &[]), expected, "{name}");
            }
        }
    }

    #[test]
    fn every_open_is_watched_where_no_watch_sees_those_for_reading() {
        let kernel = Kernel::stock(Release::new(6, 18), Arch::X86_64);
        let filter = filter(&kernel, Watched { exact: false, reads: true, glibc: false });
        assert_eq!(answer(&filter, "openat", &[0, 0, 0]), Action::Notify);
        assert_eq!(answer(&filter, "open", &[0, 0]), Action::Notify);
    }

    #[test]
    fn nothing_is_confined() {
        let host = Host::container([Capability::CAP_CHOWN].into());
        let kernel = Kernel::stock(Release::new(6, 18), Arch::X86_64);
        let steps = |run_as| {
            let plan = Plan::learning(&kernel, &host, run_as, DEFAULT);
            assert_eq!(plan.refusal(), None);
            plan.steps().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let usual = [
            "no_new_privs",
            "parent-death signal: KILL",
            "descriptors: close from 3 at the exec",
            "seccomp: load the filter, hand over the listener",
            "exec",
        ];
        assert_eq!(steps(None), usual);
        let ids = RunAs { user: Uid::from_raw(33), group: Gid::from_raw(33), groups: Vec::new() };
        let user = ["groups: []", "gid: 33", "uid: 33"];
        assert_eq!(steps(Some(ids)), [&user[..], &usual].concat());
    }
}
