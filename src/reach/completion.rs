//! Classes of reachable calls that `remit build --complete` adds to an exact profile: harmless ones
//! alone, each with its reason. None gives power over files, processes or sockets that the profile does
//! not grant elsewhere, none needs a capability, and none is decided by another section.

use std::collections::BTreeMap;

use super::report::Reach;

/// A class of calls.
#[derive(Debug)]
pub struct CompletionClass {
    /// Its name, as `--complete` has it.
    pub name: &'static str,
    /// What it is for, in one line.
    pub about: &'static str,
    /// Its calls, by what they are for: the reason, and the calls.
    pub clusters: &'static [(&'static str, &'static [&'static str])],
}

/// All of them.
pub const CLASSES: [CompletionClass; 3] = [
    CompletionClass {
        name: "reachable:error-paths",
        about: "what programs call once another call has failed: to say why, to decide what to do, to fall back",
        clusters: &[
            (
                "how full a disk is, and which file system it is: what follows on ENOSPC, EDQUOT and ESTALE",
                &["fstatfs", "statfs"],
            ),
            (
                "fallbacks that look at a path, as newfstatat of `@base` does: on ENOSYS of a newer call, on ENOENT",
                &["access", "faccessat", "faccessat2", "lstat", "readlink", "readlinkat", "stat", "statx"],
            ),
            (
                "fallbacks for open descriptors, which do no more than calls of `@base`: on ENOSYS, EINVAL, EMFILE",
                &[
                    "accept",
                    "dup",
                    "epoll_pwait",
                    "epoll_pwait2",
                    "ppoll",
                    "preadv",
                    "preadv2",
                    "pselect6",
                    "pwritev2",
                    "select",
                ],
            ),
            (
                "what a message about a failure has: ids, times and priorities of its own, and its directory",
                &[
                    "clock_getres",
                    "getcpu",
                    "getcwd",
                    "getegid",
                    "geteuid",
                    "getgid",
                    "getgroups",
                    "getpgid",
                    "getpgrp",
                    "getppid",
                    "getpriority",
                    "getresgid",
                    "getresuid",
                    "getrlimit",
                    "getsid",
                    "getuid",
                    "time",
                    "times",
                ],
            ),
            ("the end of a child that failed is received", &["wait4", "waitid"]),
        ],
    },
    CompletionClass {
        name: "reachable:signals",
        about: "signals that no run received: waiting for them, and timers that send them to the process itself",
        clusters: &[
            (
                "which signals wait, and waiting for one: of the process's own",
                &["pause", "rt_sigpending", "rt_sigsuspend", "rt_sigtimedwait"],
            ),
            ("a timer that sends SIGALRM to the process itself", &["alarm", "getitimer", "setitimer"]),
        ],
    },
    CompletionClass {
        name: "reachable:threads",
        about: "threads that no run started: of the process itself",
        clusters: &[
            (
                "the start of a thread, and barriers between threads of the process",
                &["membarrier", "set_tid_address"],
            ),
            (
                "how a thread is scheduled, to read: pthread_create(3) with attributes, pthread_getschedparam(3)",
                &[
                    "sched_get_priority_max",
                    "sched_get_priority_min",
                    "sched_getparam",
                    "sched_getscheduler",
                    "sched_rr_get_interval",
                ],
            ),
        ],
    },
];

/// The class of this name.
pub fn class(name: &str) -> Option<&'static CompletionClass> {
    CLASSES.iter().find(|class| class.name == name)
}

/// A call that a class adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedCall {
    /// The class.
    pub class: &'static str,
    /// Why the class has the call.
    pub why: &'static str,
    /// The path of functions to the call.
    pub path: Vec<String>,
}

impl CompletionClass {
    /// The calls of the class that are reachable.
    pub fn reachable(&self, reach: &Reach) -> BTreeMap<&'static str, CompletedCall> {
        let all = self.clusters.iter().flat_map(|(why, calls)| calls.iter().map(|call| (*call, *why)));
        let found = all.filter_map(|(call, why)| {
            let path = reach.calls.get(call)?.path.clone();
            Some((call, CompletedCall { class: self.name, why, path }))
        });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::dangerous::danger;
    use super::*;
    use crate::kernel::Arch;
    use crate::syscalls::{self, Handler, Privilege, groups};

    fn calls(class: &CompletionClass) -> impl Iterator<Item = &'static str> + use<> {
        class.clusters.iter().flat_map(|(_, calls)| calls.iter().copied())
    }

    #[test]
    fn no_class_adds_a_call_that_gives_power() {
        let mut known = BTreeSet::new();
        let whole: BTreeSet<&str> = [&groups::BASE, &groups::FAILURE, &groups::FAILURE_FILES]
            .into_iter()
            .flat_map(groups::Group::calls)
            .filter(|(_, alternatives)| alternatives.iter().any(Vec::is_empty))
            .map(|(call, _)| call)
            .filter(|call| !groups::is_superseded(call, Arch::X86_64))
            .collect();
        for call in CLASSES.iter().flat_map(calls) {
            let syscall = syscalls::find(call).unwrap_or_else(|| panic!("{call} is no call"));
            assert_eq!(syscall.handler, Handler::Plain, "{call} is decided by more than its name");
            assert_eq!(syscall.privilege, Privilege::None, "{call} may need a capability");
            assert!(syscall.group.is_some(), "{call} is in no group, since it has power of its own");
            assert!(danger(call).is_none(), "{call} is dangerous");
            assert!(!whole.contains(call), "{call} is granted already");
            assert!(known.insert(call), "{call} is in two classes");
        }
    }

    #[test]
    fn the_documentation_has_the_tables() {
        for class in &CLASSES {
            let rows = class.clusters.iter().map(|(why, calls)| {
                let calls: Vec<String> = calls.iter().map(|call| format!("`{call}`")).collect();
                format!("| {why} | {} |\n", calls.join(", "))
            });
            let table = format!("| of `{}` | calls |\n|---|---|\n{}", class.name, rows.collect::<String>());
            let documented = include_str!("../../docs/reach.md").contains(&table);
            assert!(documented, "put into docs/reach.md:\n{table}");
        }
    }
}
