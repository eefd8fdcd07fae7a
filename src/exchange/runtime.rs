//! The calls that a container runtime itself makes between loading the filter and the exec of
//! COMMAND: without them no container starts under the filter.
//!
//! From runc's `linuxStandardInit.Init` (1.1 to 1.4) and crun's `container_init` (1.8 to 1.26), and from
//! the base profiles that the Security Profiles Operator publishes for both. What they do before they
//! load the filter, such as mounts and namespaces, is not here. A filter cannot take calls away
//! again, so the app has them too: each is listed with its reason, and limited by arguments where the
//! runtime's use is.

use crate::syscalls::{Condition, Test, clone_flags};

/// Calls of the runtime with one reason.
#[derive(Debug)]
pub struct RuntimeCalls {
    /// What the runtime does with them.
    pub why: &'static str,
    /// Their names.
    pub names: &'static [&'static str],
    /// The one condition on their arguments; none: any.
    pub only: Option<Only>,
}

/// A condition on one argument, as a constant.
#[derive(Clone, Copy, Debug)]
pub enum Only {
    /// The argument is one of these.
    In(u8, &'static [u64]),
    /// The bits of the mask are 0.
    Clear(u8, u64),
}

impl Only {
    /// The same as the filter has it.
    pub fn condition(self) -> Condition {
        match self {
            Only::In(arg, values) => Condition { arg, test: Test::In(values.to_vec()) },
            Only::Clear(arg, mask) => Condition { arg, test: Test::Masked { mask, equals: 0 } },
        }
    }
}

const fn any(why: &'static str, names: &'static [&'static str]) -> RuntimeCalls {
    RuntimeCalls { why, names, only: None }
}

/// The calls, by what they are for.
pub const CALLS: [RuntimeCalls; 16] = [
    any("starts COMMAND", &["execve"]),
    any("sets the container's capabilities", &["capget", "capset"]),
    RuntimeCalls {
        why: "drops the bounding set, keeps capabilities over the change of user, sets the ambient set, \
              no_new_privs, the parent-death signal and dumpable; names threads and memory",
        names: &["prctl"],
        only: Some(Only::In(0, PRCTL)),
    },
    any(
        "changes to the container's user and groups",
        &["setgid", "setgroups", "setresgid", "setresuid", "setuid", "umask"],
    ),
    any(
        "changes to the working directory, and verifies that it is in the container",
        &["chdir", "fchdir", "getcwd"],
    ),
    any(
        "looks COMMAND up, opens the FIFO by which `start` lets it go, lists its own descriptors",
        &[
            "access",
            "faccessat",
            "faccessat2",
            "fstat",
            "fstatfs",
            "getdents64",
            "lseek",
            "lstat",
            "newfstatat",
            "openat",
            "openat2",
            "readlink",
            "readlinkat",
            "stat",
            "statx",
        ],
    ),
    any("marks or closes every descriptor but 0 to 2", &["close", "close_range", "dup2", "dup3", "fcntl"]),
    any(
        "synchronises with the runtime outside by pipes and sockets",
        &["poll", "ppoll", "pselect6", "read", "recvfrom", "write"],
    ),
    any(
        "verifies that its parent still runs",
        &["getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid"],
    ),
    RuntimeCalls {
        why: "memory of the Go runtime and of the C library, never executable",
        names: &["mmap", "mprotect"],
        only: Some(Only::Clear(2, PROT_EXEC)),
    },
    any("memory of the Go runtime and of the C library", &["brk", "madvise", "munmap"]),
    RuntimeCalls {
        why: "a thread of the Go runtime",
        names: &["clone"],
        only: Some(Only::Clear(0, clone_flags::NAMESPACES)),
    },
    any(
        "threads of the Go runtime: locks, sleep, preemption by signals",
        &[
            "clock_gettime",
            "clock_nanosleep",
            "futex",
            "getrandom",
            "nanosleep",
            "rseq",
            "rt_sigaction",
            "rt_sigprocmask",
            "rt_sigreturn",
            "sched_getaffinity",
            "sched_yield",
            "set_robust_list",
            "set_tid_address",
            "sigaltstack",
            "tgkill",
        ],
    ),
    any("the poller of the Go runtime", &["epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "pipe2"]),
    any("thread-local memory of a process that starts", &["arch_prctl"]),
    any("ends, where COMMAND cannot be started", &["exit", "exit_group"]),
];

/// The options of prctl(2): PR_SET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_KEEPCAPS,
/// PR_SET_NAME, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_SET_VMA.
const PRCTL: &[u64] = &[1, 3, 4, 8, 15, 23, 24, 38, 47, 0x5356_4d41];
const PROT_EXEC: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls;

    #[test]
    fn every_name_is_a_call_and_stands_once() {
        let mut names: Vec<_> = CALLS.iter().flat_map(|calls| calls.names).collect();
        assert!(names.iter().all(|name| syscalls::known(name).is_some()), "{names:?}");
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(
            !names.iter().any(|name| ["mount", "setns", "unshare", "pivot_root", "ptrace"].contains(name))
        );
    }
}
