//! `@core`: what every program needs, whatever it is for.

use super::{Check, Cluster, Group, MSG_FASTOPEN, Purpose};
use crate::syscalls::clone_flags;

/// `@core`: the calls of every program.
#[rustfmt::skip]
pub static CORE: Group = Group {
    name: "@core",
    about: "start, memory, threads, children, time, signals, polling, pipes, open descriptors and sockets; \
            it opens, connects and executes nothing",
    clusters: &[
        Cluster {
            purpose: Some(Purpose::Memory),
            why: "memory: malloc, thread stacks, the loader's mappings",
            when: &[],
        },
        Cluster {
            purpose: Some(Purpose::Threads),
            why: "threads and locks: pthread, futexes, restartable sequences",
            when: &[],
        },
        Cluster {
            purpose: Some(Purpose::StartAndEnd),
            why: "start and end of a process; a static glibc reads the link /proc/self/exe",
            when: &[("arch_prctl", &[&[Check::In(0, ARCH_PRCTL)]]), ("prctl", &[&[Check::In(0, PRCTL)]])],
        },
        Cluster {
            purpose: Some(Purpose::Children),
            why: "children: fork, posix_spawn, wait; no new namespace",
            when: &[("clone", &[&[Check::Masked(0, clone_flags::NAMESPACES_UNTRACED, 0)]])],
        },
        Cluster { purpose: Some(Purpose::Signals), why: "signals: handlers, masks, sending", when: &[] },
        Cluster { purpose: Some(Purpose::Time), why: "time: clocks to read, sleeping, timers; setting one takes a capability", when: &[] },
        Cluster { purpose: Some(Purpose::Waiting), why: "waiting for descriptors: event loops", when: &[] },
        Cluster {
            purpose: Some(Purpose::Pipes),
            why: "pipes and pairs between one's own processes; a pair of datagram sockets could send to any path",
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
            purpose: Some(Purpose::OpenSockets),
            why: "sockets that are open: a pair's, inherited ones, and what comes in on those",
            when: &[("setsockopt", OPTIONS)],
        },
        Cluster {
            purpose: Some(Purpose::Probes),
            why: "what the kernel has a process call where the host watches one of its functions; \
                  a call from elsewhere it refuses itself",
            when: &[],
        },
        Cluster {
            purpose: Some(Purpose::Descriptors),
            why: "open descriptors: reading, writing, seeking, duplicating, closing",
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
            purpose: Some(Purpose::Identity),
            why: "identity: ids, sessions, the machine",
            when: &[],
        },
        Cluster {
            purpose: Some(Purpose::Scheduling),
            why: "scheduling and limits of oneself",
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

/// prctl options that affect the caller alone and remove no restriction.
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
    65, // PR_SET_MDWE: for good
    66, // PR_GET_MDWE
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

/// Options of an open socket that concern its buffers, times and ends alone: none attaches a
/// program, and none changes where its packets go.
#[rustfmt::skip]
const OPTIONS: &[&[Check]] = &[
    // Of SOL_SOCKET the first 32, but for SO_BINDTODEVICE, SO_ATTACH_FILTER, SO_DETACH_FILTER.
    &[Check::In(1, &[1]), Check::Masked(2, 0xffff_ffe0, 0), Check::NotIn(2, &[25, 26, 27])],
    // Of IPPROTO_TCP the first 16 (TCP_NODELAY, TCP_KEEPIDLE), but for TCP_CONGESTION and TCP_MD5SIG.
    &[Check::In(1, &[6]), Check::Masked(2, 0xffff_fff0, 0), Check::NotIn(2, &[13, 14])],
    &[Check::In(1, &[6]), Check::In(2, &[18])], // TCP_USER_TIMEOUT
];

/// ioctls on open descriptors that configure nothing beyond the descriptor.
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

/// The pid of the supervisor in a container. Its other threads need no rule here: the scheduling
/// calls can only slow them down.
const SUPERVISOR: &[u64] = &[1];
/// AT_EMPTY_PATH: the path is empty and the call acts on the descriptor.
const AT_EMPTY_PATH: u64 = 0x1000;
/// The type of a socket without its flags.
const SOCK_TYPE: u64 = 0xf;
