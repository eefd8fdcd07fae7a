//! `@base` and `@failure`: what an exact profile has without its having been observed.

use super::{Check, Cluster, Group, MSG_FASTOPEN};
use crate::kernel::Arch;
use crate::syscalls;
use crate::syscalls::clone_flags::{NAMESPACES_UNTRACED, THREAD};

/// Whatever its arguments are.
const ANY: &[&[Check]] = &[&[]];

/// `@base`: calls that give no power beyond the memory, the threads and the descriptors that a
/// process has. A learning run does not notify them: programs make them too often.
#[rustfmt::skip]
pub static BASE: Group = Group {
    name: "@base",
    about: "no power beyond the memory, threads and descriptors that a process has; \
            a learning run does not watch these",
    clusters: &[
        Cluster {
            purpose: None,
            why: "memory of its own: malloc, thread stacks, the loader's mappings; what would be both written and \
                  executed is decided by `memory`, and no advice changes a file or takes pages from others",
            when: &[
                ("brk", ANY),
                ("madvise", &[&[Check::In(2, ADVICE)]]),
                ("mmap", ANY),
                ("mprotect", ANY),
                // MREMAP_MAYMOVE and MREMAP_FIXED; not MREMAP_DONTUNMAP.
                ("mremap", &[&[Check::Masked(3, !3, 0)]]),
                ("munmap", ANY),
            ],
        },
        Cluster {
            purpose: None,
            why: "threads and locks: a thread and no process, a futex without priority inheritance",
            when: &[
                ("clone", &[&[Check::Masked(0, NAMESPACES_UNTRACED | THREAD, THREAD)]]),
                ("futex", &[&[Check::In(1, FUTEX)]]),
                ("getpid", ANY),
                ("gettid", ANY),
                ("prctl", &[&[Check::In(0, NAMES_OF_ITS_OWN)]]),
                ("rseq", ANY),
                ("sched_yield", ANY),
                ("set_robust_list", ANY),
            ],
        },
        Cluster {
            purpose: None,
            why: "the end of a thread or process, and what the kernel has a process call",
            when: &[
                ("exit", ANY),
                ("exit_group", ANY),
                ("restart_syscall", ANY),
                ("rt_sigreturn", ANY),
                ("uprobe", ANY),
                ("uretprobe", ANY),
            ],
        },
        Cluster {
            purpose: None,
            why: "its own handlers and masks of signals; it sends none",
            when: &[("rt_sigaction", ANY), ("rt_sigprocmask", ANY)],
        },
        Cluster {
            purpose: None,
            why: "clocks to read, sleeping, random numbers",
            when: &[
                ("clock_gettime", ANY),
                ("clock_nanosleep", ANY),
                ("getrandom", ANY),
                ("gettimeofday", ANY),
            ],
        },
        Cluster {
            purpose: None,
            why: "descriptors that are open: reading, writing, seeking, duplicating, closing, locks, blocking or not; \
                  and pipes, which lead to no other process until a descriptor is inherited, and which a shell must \
                  not be interrupted in (EINTR) as a notified call may be",
            when: &[
                ("close", ANY),
                ("dup2", ANY),
                ("dup3", ANY),
                ("fcntl", &[&[Check::In(1, FCNTL)]]),
                ("fstat", ANY),
                ("ioctl", &[&[Check::In(1, IOCTL)]]),
                ("lseek", ANY),
                ("pipe", ANY),
                ("pipe2", ANY),
                ("pread64", ANY),
                ("pwrite64", ANY),
                // Instead of pwrite64, by how many buffers there are.
                ("pwritev", ANY),
                ("read", ANY),
                ("readv", ANY),
                ("sendfile", ANY),
                ("write", ANY),
                ("writev", ANY),
            ],
        },
        Cluster {
            purpose: None,
            why: "waiting for descriptors that are open: event loops",
            when: &[
                ("epoll_ctl", ANY),
                ("epoll_pwait", ANY),
                ("epoll_wait", ANY),
                ("poll", ANY),
                ("ppoll", ANY),
            ],
        },
        Cluster {
            purpose: None,
            why: "sockets that are open: what comes in on them, data, options of buffers, times and ends; \
                  never a fast open, which connects",
            when: &[
                ("accept4", ANY),
                ("getsockopt", &[&[Check::In(1, &[1, 6])]]),
                ("recvfrom", ANY),
                ("recvmsg", ANY),
                ("sendmsg", &[&[Check::Masked(2, MSG_FASTOPEN, 0)]]),
                ("sendto", &[&[Check::Masked(3, MSG_FASTOPEN, 0)]]),
                ("setsockopt", OPTIONS),
            ],
        },
        Cluster {
            purpose: None,
            why: "opening what `files` lets it open, and looking whether a path is there and what it is",
            when: &[("newfstatat", ANY), ("openat", ANY)],
        },
    ],
};

/// `@failure`: what programs and libraries call when something goes wrong, which a learning run
/// seldom shows. None of it gives power beyond the app's own processes, and what `files` lets it remove.
#[rustfmt::skip]
pub static FAILURE: Group = Group {
    name: "@failure",
    about: "what programs call when something goes wrong: an abort, a crash handler, a full disk, a limit, a \
            connection that fails",
    clusters: &[
        Cluster {
            purpose: None,
            why: "abort(3), raise(3), handlers of crashes on a stack of their own, and a signal to a child that hangs: \
                  to the app's own processes, never to the supervisor",
            when: &[("kill", ANY), ("sigaltstack", ANY), ("tgkill", ANY)],
        },
        Cluster {
            purpose: None,
            why: "what a message about a failure has, and what allocators, pools and sorts are sized by: limits and \
                  use of its own, processors, memory, the kernel's release",
            when: &[
                ("getrusage", ANY),
                // Its own limit, without a new one.
                ("prlimit64", &[&[Check::In(0, &[0]), Check::In(2, &[0])]]),
                ("sched_getaffinity", ANY),
                ("sysinfo", ANY),
                ("uname", ANY),
            ],
        },
        Cluster {
            purpose: None,
            why: "a connection that fails: whose it was, and its end",
            when: &[("getpeername", ANY), ("getsockname", ANY), ("shutdown", ANY)],
        },
    ],
};

/// The part of `@failure` that comes only where `files` lets the app change a file.
#[rustfmt::skip]
pub static FAILURE_FILES: Group = Group {
    name: "@failure (files)",
    about: "what programs call when something goes wrong with a file that they write",
    clusters: &[
        Cluster {
            purpose: None,
            why: "a full disk, work that is broken off and a log that is opened anew: what was written in part is cut, \
                  written back or, where `files` has the right, removed (by `unlinkat` where there is no `unlink`)",
            when: &[
                ("fdatasync", ANY),
                ("fsync", ANY),
                ("ftruncate", ANY),
                ("unlink", ANY),
                ("unlinkat", ANY),
            ],
        },
    ],
};

/// Calls of the same kind as those of `@base`, and made as often, but by other C libraries than glibc and by
/// programs without one: glibc makes `epoll_wait`, `clock_nanosleep`, `openat` and `tgkill` instead. Where COMMAND's
/// library is glibc a learning run watches them; elsewhere it does not, and grants them without having seen them.
pub const NOT_OF_GLIBC: [&str; 4] = ["epoll_pwait", "nanosleep", "open", "tkill"];

/// Calls of these groups that are there only where the architecture lacks the other, which C libraries
/// call where there is one.
const INSTEAD: [(&str, &str); 3] = [("epoll_pwait", "epoll_wait"), ("ppoll", "poll"), ("unlinkat", "unlink")];

/// Whether these groups have a call on other architectures alone: this one has the call that C libraries make.
pub fn is_superseded(call: &str, arch: Arch) -> bool {
    let older = INSTEAD.iter().find(|(newer, _)| *newer == call);
    older.is_some_and(|(_, older)| syscalls::number(arch, older).is_some())
}

/// The calls that these groups have on some architectures alone.
pub fn differing() -> impl Iterator<Item = &'static str> {
    INSTEAD.into_iter().map(|(newer, _)| newer)
}

/// Advice about memory of one's own: none removes data of a file (MADV_REMOVE), merges pages with
/// those of other processes (MADV_MERGEABLE) or concerns the machine's memory (MADV_HWPOISON).
#[rustfmt::skip]
const ADVICE: &[u64] = &[
    0, 1, 2, 3, // MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED
    4,          // MADV_DONTNEED
    8,          // MADV_FREE
    10, 11,     // MADV_DONTFORK, MADV_DOFORK
    14, 15,     // MADV_HUGEPAGE, MADV_NOHUGEPAGE
    16, 17,     // MADV_DONTDUMP, MADV_DODUMP
    18, 19,     // MADV_WIPEONFORK, MADV_KEEPONFORK
    20, 21,     // MADV_COLD, MADV_PAGEOUT
    22, 23,     // MADV_POPULATE_READ, MADV_POPULATE_WRITE
    24,         // MADV_DONTNEED_LOCKED
    102, 103,   // MADV_GUARD_INSTALL, MADV_GUARD_REMOVE: thread stacks
];

/// Waiting and waking, with and without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME: not the
/// operations with priority inheritance.
#[rustfmt::skip]
const FUTEX: &[u64] = &[
    0, 1, 3, 4, 5, 9, 10, // WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET
    128, 129, 131, 132, 133, 137, 138,
    256, 265, 384, 393,
];

/// prctl options that name the thread and its memory.
#[rustfmt::skip]
const NAMES_OF_ITS_OWN: &[u64] = &[
    15, // PR_SET_NAME
    16, // PR_GET_NAME
    0x5356_4d41, // PR_SET_VMA
];

/// Duplicates, flags, and locks on files; no owner to signal, no size of a pipe, no lease, no seal.
#[rustfmt::skip]
const FCNTL: &[u64] = &[
    0, 1, 2, 3, 4, // F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL
    5, 6, 7,       // F_GETLK, F_SETLK, F_SETLKW
    36, 37, 38,    // F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW
    1030,          // F_DUPFD_CLOEXEC
];

/// ioctls that configure nothing beyond the descriptor.
#[rustfmt::skip]
const IOCTL: &[u64] = &[
    0x5401, // TCGETS: isatty
    0x802c_542a, // TCGETS2
    0x5413, // TIOCGWINSZ: musl's isatty
    0x541b, // FIONREAD
    0x5421, // FIONBIO
    0x5450, // FIONCLEX
    0x5451, // FIOCLEX
];

/// As in `@core`, and IPV6_V6ONLY, which every server of both protocols sets.
#[rustfmt::skip]
const OPTIONS: &[&[Check]] = &[
    &[Check::In(1, &[1]), Check::Masked(2, 0xffff_ffe0, 0), Check::NotIn(2, &[25, 26, 27])],
    &[Check::In(1, &[6]), Check::Masked(2, 0xffff_fff0, 0), Check::NotIn(2, &[13, 14])],
    &[Check::In(1, &[6]), Check::In(2, &[18])],
    &[Check::In(1, &[41]), Check::In(2, &[26])],
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A row for each cluster; a star is behind a call that is there with some arguments alone.
    #[test]
    fn the_documentation_has_the_tables() {
        for group in [&BASE, &FAILURE, &FAILURE_FILES] {
            let rows = group.clusters.iter().map(|cluster| {
                let calls = cluster.grants().map(|(call, alternatives)| {
                    let some = if alternatives.iter().any(Vec::is_empty) { "" } else { "\\*" };
                    format!("`{call}`{some}")
                });
                format!("| {} | {} |\n", cluster.why, calls.collect::<Vec<_>>().join(", "))
            });
            let table = format!("| of `{}` | calls |\n|---|---|\n{}", group.name, rows.collect::<String>());
            let documented = include_str!("../../../docs/learning.md").contains(&table);
            assert!(documented, "put into docs/learning.md:\n{table}");
        }
    }
}
