//! The groups of calls that a profile names: `@core`, `@files`, `@network`.
//!
//! One table, versioned with the profile's format: a golden file in the tests
//! shows every change. Each cluster says what needs it.

use std::collections::BTreeMap;

use super::{Condition, Test};

/// A named set of calls.
#[derive(Debug)]
pub struct Group {
    /// The name, `@` and all.
    pub name: &'static str,
    /// What it is for, in one line.
    pub about: &'static str,
    /// Its calls, by what needs them.
    pub clusters: &'static [Cluster],
}

/// Calls that are there for one reason.
#[derive(Debug)]
pub struct Cluster {
    /// What needs them.
    pub why: &'static str,
    /// Calls whose arguments do not matter.
    pub calls: &'static [&'static str],
    /// Calls with conditions: alternatives, each a conjunction.
    when: &'static [(&'static str, &'static [&'static [Check]])],
}

/// A [`Condition`] as a constant.
#[derive(Clone, Copy, Debug)]
enum Check {
    In(u8, &'static [u64]),
    NotIn(u8, &'static [u64]),
    Masked(u8, u64, u64),
}

/// The names that a profile may write.
pub const NAMES: [&str; 3] = ["@core", "@files", "@network"];

/// The group of this name; `@network` is its connecting side,
/// [`NETWORK_LISTEN`] the other.
pub fn named(name: &str) -> Option<&'static Group> {
    match name {
        "@core" => Some(&CORE),
        "@files" => Some(&FILES),
        "@network" => Some(&NETWORK),
        _ => None,
    }
}

impl Group {
    /// Every call by name with its alternatives, each a conjunction of conditions;
    /// one empty conjunction: allowed whatever the arguments.
    pub fn calls(&self) -> BTreeMap<&'static str, Vec<Vec<Condition>>> {
        let mut calls = BTreeMap::new();
        for cluster in self.clusters {
            calls.extend(cluster.calls.iter().map(|call| (*call, vec![Vec::new()])));
            calls.extend(cluster.when.iter().map(|(call, alternatives)| {
                let conditions = |checks: &&[Check]| checks.iter().map(|check| check.condition()).collect();
                (*call, alternatives.iter().map(conditions).collect())
            }));
        }
        calls
    }
}

impl Check {
    fn condition(self) -> Condition {
        match self {
            Check::In(arg, values) => Condition { arg, test: Test::In(values.to_vec()) },
            Check::NotIn(arg, values) => Condition { arg, test: Test::NotIn(values.to_vec()) },
            Check::Masked(arg, mask, equals) => Condition { arg, test: Test::Masked { mask, equals } },
        }
    }
}

/// Fast open makes a send a connect, and no Landlock rule sees it.
const MSG_FASTOPEN: u64 = 0x2000_0000;
/// Every CLONE_NEW* flag that clone takes (CLONE_NEWTIME is in its signal bits,
/// and only clone3 and unshare know it), and CLONE_UNTRACED, which no program
/// needs and which would hide a child from whoever traces its parent.
const CLONE_NAMESPACES_UNTRACED: u64 = 0x7e82_0000;
/// The supervisor in a container. Its other threads are not worth a list: all that
/// can be taken from them so is time.
const SUPERVISOR: &[u64] = &[1];
/// Type bits of a file mode, and of a socket's type without its flags.
const S_IFMT: u64 = 0o170_000;
const SOCK_TYPE: u64 = 0xf;

/// `@core`.
pub static CORE: Group = Group {
    name: "@core",
    about: "start, memory, threads, children, time, signals, polling, pipes, open descriptors; \
            it opens, connects and executes nothing",
    clusters: &[
        Cluster {
            why: "memory: malloc, thread stacks, the loader's mappings",
            calls: &[
                "brk",
                "get_mempolicy",
                "madvise",
                "map_shadow_stack",
                "mincore",
                "mlock",
                "mlock2",
                "mmap",
                "mprotect",
                "mremap",
                "mseal",
                "msync",
                "munlock",
                "munmap",
                "pkey_alloc",
                "pkey_free",
                "pkey_mprotect",
            ],
            when: &[],
        },
        Cluster {
            why: "threads and locks: pthread, futexes, restartable sequences",
            calls: &[
                "futex",
                "futex_requeue",
                "futex_wait",
                "futex_waitv",
                "futex_wake",
                "get_robust_list",
                "gettid",
                "membarrier",
                "rseq",
                "rseq_slice_yield",
                "set_robust_list",
                "set_tid_address",
            ],
            when: &[],
        },
        Cluster {
            why: "start and end of a process",
            calls: &["exit", "exit_group", "getrandom", "restart_syscall"],
            when: &[("arch_prctl", &[&[Check::In(0, ARCH_PRCTL)]]), ("prctl", &[&[Check::In(0, PRCTL)]])],
        },
        Cluster {
            why: "children: fork, posix_spawn, wait; no new namespace",
            calls: &["fork", "vfork", "wait4", "waitid"],
            when: &[("clone", &[&[Check::Masked(0, CLONE_NAMESPACES_UNTRACED, 0)]])],
        },
        Cluster {
            why: "signals: handlers, masks, sending",
            calls: &[
                "kill",
                "pause",
                "pidfd_open",
                "pidfd_send_signal",
                "rt_sigaction",
                "rt_sigpending",
                "rt_sigprocmask",
                "rt_sigqueueinfo",
                "rt_sigreturn",
                "rt_sigsuspend",
                "rt_sigtimedwait",
                "rt_tgsigqueueinfo",
                "sigaltstack",
                "signalfd",
                "signalfd4",
                "tgkill",
                "tkill",
            ],
            when: &[],
        },
        Cluster {
            why: "time: clocks to read, sleeping, timers",
            calls: &[
                "alarm",
                "clock_getres",
                "clock_gettime",
                "clock_nanosleep",
                "getitimer",
                "gettimeofday",
                "nanosleep",
                "setitimer",
                "time",
                "timer_create",
                "timer_delete",
                "timer_getoverrun",
                "timer_gettime",
                "timer_settime",
                "timerfd_create",
                "timerfd_gettime",
                "timerfd_settime",
                "times",
            ],
            when: &[],
        },
        Cluster {
            why: "waiting for descriptors: event loops",
            calls: &[
                "epoll_create",
                "epoll_create1",
                "epoll_ctl",
                "epoll_pwait",
                "epoll_pwait2",
                "epoll_wait",
                "eventfd",
                "eventfd2",
                "poll",
                "ppoll",
                "pselect6",
                "select",
            ],
            when: &[],
        },
        Cluster {
            why: "pipes and pairs between one's own processes; a pair of datagram sockets could send to any path",
            calls: &["pipe", "pipe2", "splice", "tee"],
            // AF_UNIX; SOCK_STREAM or SOCK_SEQPACKET, with or without SOCK_CLOEXEC and SOCK_NONBLOCK.
            when: &[(
                "socketpair",
                &[
                    &[Check::In(0, &[1]), Check::Masked(1, SOCK_TYPE, 1)],
                    &[Check::In(0, &[1]), Check::Masked(1, SOCK_TYPE, 5)],
                ],
            )],
        },
        Cluster {
            why: "open descriptors: reading, writing, seeking, duplicating, closing",
            calls: &[
                "close",
                "close_range",
                "copy_file_range",
                "dup",
                "dup2",
                "dup3",
                "fallocate",
                "fadvise64",
                "fcntl",
                "fdatasync",
                "flock",
                "fstat",
                "fstatfs",
                "fsync",
                "ftruncate",
                "lseek",
                "pread64",
                "preadv",
                "preadv2",
                "pwrite64",
                "pwritev",
                "pwritev2",
                "read",
                "readahead",
                "readv",
                "recvfrom",
                "recvmsg",
                "sendfile",
                "sync_file_range",
                "write",
                "writev",
            ],
            when: &[
                ("ioctl", &[&[Check::In(1, IOCTL)]]),
                ("sendmsg", &[&[Check::Masked(2, MSG_FASTOPEN, 0)]]),
                ("sendto", &[&[Check::Masked(3, MSG_FASTOPEN, 0)]]),
            ],
        },
        Cluster {
            why: "who and where am I: ids, sessions, the machine",
            calls: &[
                "capget",
                "getcpu",
                "getcwd",
                "getegid",
                "geteuid",
                "getgid",
                "getgroups",
                "getpgid",
                "getpgrp",
                "getpid",
                "getppid",
                "getresgid",
                "getresuid",
                "getsid",
                "getuid",
                "setpgid",
                "setsid",
                "sysinfo",
                "umask",
                "uname",
            ],
            when: &[],
        },
        Cluster {
            why: "scheduling and limits of oneself",
            calls: &[
                "getpriority",
                "getrlimit",
                "getrusage",
                "ioprio_get",
                "sched_get_priority_max",
                "sched_get_priority_min",
                "sched_getaffinity",
                "sched_getattr",
                "sched_getparam",
                "sched_getscheduler",
                "sched_rr_get_interval",
                "sched_yield",
                "setrlimit",
            ],
            // Pid 0 is the caller; libraries that pass getpid() fall back or ask for more.
            when: &[
                ("prlimit64", &[&[Check::In(0, &[0])]]),
                // Threads set each other's by tid.
                ("sched_setaffinity", &[&[Check::NotIn(0, SUPERVISOR)]]),
                ("sched_setattr", &[&[Check::NotIn(0, SUPERVISOR)]]),
                ("sched_setparam", &[&[Check::NotIn(0, SUPERVISOR)]]),
                ("sched_setscheduler", &[&[Check::NotIn(0, SUPERVISOR)]]),
                // PRIO_PROCESS: not a whole group's, not a whole user's.
                ("setpriority", &[&[Check::In(0, &[0]), Check::NotIn(1, SUPERVISOR)]]),
            ],
        },
    ],
};

/// prctl options that say something about the caller alone and take nothing from
/// the domain's guards.
#[rustfmt::skip]
const PRCTL: &[u64] = &[
    1,  // PR_SET_PDEATHSIG
    2,  // PR_GET_PDEATHSIG
    3,  // PR_GET_DUMPABLE
    4,  // PR_SET_DUMPABLE
    7,  // PR_GET_KEEPCAPS
    15, // PR_SET_NAME
    16, // PR_GET_NAME
    21, // PR_GET_SECCOMP
    23, // PR_CAPBSET_READ
    27, // PR_GET_SECUREBITS
    29, // PR_SET_TIMERSLACK
    30, // PR_GET_TIMERSLACK
    36, // PR_SET_CHILD_SUBREAPER
    37, // PR_GET_CHILD_SUBREAPER
    38, // PR_SET_NO_NEW_PRIVS
    39, // PR_GET_NO_NEW_PRIVS
    40, // PR_GET_TID_ADDRESS
    41, // PR_SET_THP_DISABLE
    42, // PR_GET_THP_DISABLE
    51, // PR_SVE_GET_VL: Java on ARM
    0x5356_4d41, // PR_SET_VMA: names of anonymous memory
];

/// What x86_64's libc asks for: thread-local storage, shadow stacks, wide registers.
#[rustfmt::skip]
const ARCH_PRCTL: &[u64] = &[
    0x1001, // ARCH_SET_GS
    0x1002, // ARCH_SET_FS
    0x1003, // ARCH_GET_FS
    0x1004, // ARCH_GET_GS
    0x1021, // ARCH_GET_XCOMP_SUPP
    0x1022, // ARCH_GET_XCOMP_PERM
    0x1023, // ARCH_REQ_XCOMP_PERM
    0x3001, // ARCH_CET_STATUS
    0x5001, // ARCH_SHSTK_ENABLE
    0x5002, // ARCH_SHSTK_DISABLE
    0x5003, // ARCH_SHSTK_LOCK
    0x5005, // ARCH_SHSTK_STATUS
];

/// ioctls on open descriptors that configure nothing outside of them.
#[rustfmt::skip]
const IOCTL: &[u64] = &[
    0x5401, // TCGETS: isatty
    0x540f, // TIOCGPGRP
    0x5413, // TIOCGWINSZ
    0x541b, // FIONREAD
    0x5421, // FIONBIO
    0x5450, // FIONCLEX
    0x5451, // FIOCLEX
    0x5452, // FIOASYNC
];

/// `@files`.
pub static FILES: Group = Group {
    name: "@files",
    about: "paths: open, look at, list, make, rename and remove; which ones is decided by `files`",
    clusters: &[
        Cluster {
            why: "opening files and listing directories",
            calls: &["creat", "getdents", "getdents64", "open", "openat", "openat2"],
            when: &[],
        },
        Cluster {
            why: "looking at paths",
            calls: &[
                "access",
                "faccessat",
                "faccessat2",
                "file_getattr",
                "lstat",
                "newfstatat",
                "readlink",
                "readlinkat",
                "stat",
                "statfs",
                "statx",
            ],
            when: &[],
        },
        Cluster { why: "the working directory", calls: &["chdir", "fchdir"], when: &[] },
        Cluster {
            why: "extended attributes, to read: ls, cp, capabilities of files",
            calls: &[
                "fgetxattr",
                "flistxattr",
                "getxattr",
                "getxattrat",
                "lgetxattr",
                "listxattr",
                "listxattrat",
                "llistxattr",
            ],
            when: &[],
        },
        Cluster {
            why: "making, renaming and removing names; nodes of devices need more",
            calls: &[
                "link",
                "linkat",
                "mkdir",
                "mkdirat",
                "rename",
                "renameat",
                "renameat2",
                "rmdir",
                "symlink",
                "symlinkat",
                "unlink",
                "unlinkat",
            ],
            when: &[("mknod", MKNOD), ("mknodat", MKNODAT)],
        },
        Cluster {
            why: "length, mode and times of what is there; owners need a capability and are not in it",
            calls: &[
                "chmod",
                "fchmod",
                "fchmodat",
                "fchmodat2",
                "futimesat",
                "truncate",
                "utime",
                "utimensat",
                "utimes",
            ],
            when: &[],
        },
        Cluster {
            why: "watching for changes: reload on a new configuration, tail -f",
            calls: &["inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch"],
            when: &[],
        },
        Cluster { why: "writing back to the disk", calls: &["sync", "syncfs"], when: &[] },
    ],
};

/// A regular file (the type 0 is one too), a pipe, a socket.
const MKNOD: &[&[Check]] = &[
    &[Check::Masked(1, S_IFMT, 0)],
    &[Check::Masked(1, S_IFMT, 0o010_000)],
    &[Check::Masked(1, S_IFMT, 0o100_000)],
    &[Check::Masked(1, S_IFMT, 0o140_000)],
];
/// The same where a directory's descriptor comes first.
const MKNODAT: &[&[Check]] = &[
    &[Check::Masked(2, S_IFMT, 0)],
    &[Check::Masked(2, S_IFMT, 0o010_000)],
    &[Check::Masked(2, S_IFMT, 0o100_000)],
    &[Check::Masked(2, S_IFMT, 0o140_000)],
];

/// `@network`: what every user of sockets needs, and connecting.
pub static NETWORK: Group = Group {
    name: "@network",
    about: "sockets: make, connect, send, receive, ask and set options; \
            which kinds and ports is decided by `network`",
    clusters: &[
        Cluster { why: "making a socket and connecting it", calls: &["connect", "socket"], when: &[] },
        Cluster {
            why: "names and options of sockets",
            calls: &["getpeername", "getsockname", "getsockopt", "setsockopt", "shutdown"],
            when: &[],
        },
        Cluster {
            why: "several messages at once: resolvers, QUIC; never a fast open, which connects",
            calls: &["recvmmsg"],
            when: &[("sendmmsg", &[&[Check::Masked(3, MSG_FASTOPEN, 0)]])],
        },
    ],
};

/// The listening side of `@network`, which comes with `network.listen` only.
pub static NETWORK_LISTEN: Group = Group {
    name: "@network (listen)",
    about: "sockets that wait for others; which ports is decided by `network.listen`",
    clusters: &[Cluster {
        why: "taking a port and what comes in on it",
        calls: &["accept", "accept4", "bind", "listen"],
        when: &[],
    }],
};
