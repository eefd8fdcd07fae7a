//! `@core`: what every program needs, whatever it is for.

use super::{Check, Cluster, Group, MSG_FASTOPEN};

/// `@core`.
#[rustfmt::skip]
pub static CORE: Group = Group {
    name: "@core",
    about: "start, memory, threads, children, time, signals, polling, pipes, open descriptors; \
            it opens, connects and executes nothing",
    clusters: &[
        Cluster {
            why: "memory: malloc, thread stacks, the loader's mappings",
            calls: &[
                "brk", "get_mempolicy", "madvise", "map_shadow_stack", "mincore", "mlock", "mlock2",
                "mmap", "mprotect", "mremap", "mseal", "msync", "munlock", "munmap", "pkey_alloc",
                "pkey_free", "pkey_mprotect",
            ],
            when: &[],
        },
        Cluster {
            why: "threads and locks: pthread, futexes, restartable sequences",
            calls: &[
                "futex", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake", "get_robust_list",
                "gettid", "membarrier", "rseq", "rseq_slice_yield", "set_robust_list", "set_tid_address",
            ],
            when: &[],
        },
        Cluster {
            why: "start and end of a process; a static glibc reads the link /proc/self/exe",
            calls: &["exit", "exit_group", "getrandom", "readlink", "readlinkat", "restart_syscall"],
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
                "kill", "pause", "pidfd_open", "pidfd_send_signal", "rt_sigaction", "rt_sigpending",
                "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
                "rt_tgsigqueueinfo", "sigaltstack", "signalfd", "signalfd4", "tgkill", "tkill",
            ],
            when: &[],
        },
        Cluster {
            why: "time: clocks to read, sleeping, timers",
            calls: &[
                "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday",
                "nanosleep", "setitimer", "time", "timer_create", "timer_delete", "timer_getoverrun",
                "timer_gettime", "timer_settime", "timerfd_create", "timerfd_gettime", "timerfd_settime",
                "times",
            ],
            when: &[],
        },
        Cluster {
            why: "waiting for descriptors: event loops",
            calls: &[
                "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
                "eventfd", "eventfd2", "poll", "ppoll", "pselect6", "select",
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
                "close", "close_range", "copy_file_range", "dup", "dup2", "dup3", "fadvise64",
                "fallocate", "fcntl", "fdatasync", "flock", "fstat", "fstatfs", "fsync", "ftruncate",
                "lseek", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read",
                "readahead", "readv", "recvfrom", "recvmsg", "sendfile", "sync_file_range", "write",
                "writev",
            ],
            when: &[
                ("ioctl", &[&[Check::In(1, IOCTL)]]),
                // fstat and File::metadata; with a path they look at that, and open nothing.
                ("newfstatat", &[&[Check::Masked(3, AT_EMPTY_PATH, AT_EMPTY_PATH)]]),
                ("sendmsg", &[&[Check::Masked(2, MSG_FASTOPEN, 0)]]),
                ("sendto", &[&[Check::Masked(3, MSG_FASTOPEN, 0)]]),
                ("statx", &[&[Check::Masked(2, AT_EMPTY_PATH, AT_EMPTY_PATH)]]),
            ],
        },
        Cluster {
            why: "who and where am I: ids, sessions, the machine",
            calls: &[
                "capget", "getcpu", "getcwd", "getegid", "geteuid", "getgid", "getgroups", "getpgid",
                "getpgrp", "getpid", "getppid", "getresgid", "getresuid", "getsid", "getuid", "setpgid",
                "setsid", "sysinfo", "umask", "uname",
            ],
            when: &[],
        },
        Cluster {
            why: "scheduling and limits of oneself",
            calls: &[
                "getpriority", "getrlimit", "getrusage", "ioprio_get", "sched_get_priority_max",
                "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
                "sched_getscheduler", "sched_rr_get_interval", "sched_yield", "setrlimit",
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

/// Every CLONE_NEW* flag that clone takes (CLONE_NEWTIME is in its signal bits,
/// and only clone3 and unshare know it), and CLONE_UNTRACED, which no program
/// needs and which would hide a child from whoever traces its parent.
const CLONE_NAMESPACES_UNTRACED: u64 = 0x7e82_0000;
/// The supervisor in a container. Its other threads are not worth a list: all that
/// can be taken from them so is time.
const SUPERVISOR: &[u64] = &[1];
/// The path is empty and the descriptor is meant.
const AT_EMPTY_PATH: u64 = 0x1000;
/// The type of a socket without its flags.
const SOCK_TYPE: u64 = 0xf;
