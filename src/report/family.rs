//! System calls by family: calls that serve one purpose. Those of the groups `@core`, `@files` and `@network` belong
//! to the family of their purpose there; the others are listed here.

use crate::syscalls::groups::Purpose;
use crate::syscalls::{Handler, Syscall};

macro_rules! call_family_table {
    ($($name:ident $title:literal, $about:literal;)*) => {
        /// A family of system calls.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum CallFamily {
            $(#[doc = $title] $name,)*
        }

        impl CallFamily {
            /// Every family, in the order of the report.
            pub const ALL: &[CallFamily] = &[$(CallFamily::$name,)*];

            /// The heading.
            pub const fn title(self) -> &'static str {
                match self { $(CallFamily::$name => $title,)* }
            }

            /// What its calls do.
            pub const fn about(self) -> &'static str {
                match self { $(CallFamily::$name => $about,)* }
            }
        }
    };
}

call_family_table! {
    Memory "Memory", "allocate, map and protect memory";
    Processes "Processes", "start programs and children, end, wait";
    Threads "Threads and locks", "threads, futexes, thread-local storage";
    Signals "Signals", "handle, mask and send signals";
    Time "Time", "read clocks, sleep, timers";
    Waiting "Event loops", "wait for descriptors";
    Descriptors "Descriptors and pipes", "read, write and duplicate what is open";
    FilesRead "Files: open and look at", "open, list, attributes, the working directory";
    FilesChange "Files: change", "make, rename, remove; modes, owners, extended attributes";
    FilesWatch "Files: watch and flush", "watch for changes, write back to the disk";
    Sockets "Sockets", "make, connect, listen, send, receive";
    Identity "Users and capabilities", "ids, groups, sessions, capabilities";
    Scheduling "Scheduling and limits", "priorities, processors, resource limits";
    Ipc "System V and POSIX IPC", "shared memory, semaphores, message queues";
    AsyncIo "Asynchronous I/O", "io_uring and the older aio";
    Sandbox "Sandboxes of the app's own", "seccomp, Landlock and other security modules";
    Tracing "Other processes", "trace them, read their memory, take their descriptors";
    Mounts "Mounts and namespaces", "file systems, roots, namespaces";
    Keys "Kernel keyrings", "keys that the kernel stores";
    Machine "The machine and its kernel", "modules, kexec, BPF, clocks to set, swap, I/O ports, quotas";
    Obsolete "Obsolete", "never implemented, or removed from Linux";
}

/// The family of a call.
pub fn call_family(syscall: &Syscall) -> CallFamily {
    let listed = LISTED.iter().find(|(_, calls)| calls.contains(&syscall.name));
    let by_purpose = || syscall.group.map(of_purpose);
    listed.map(|(family, _)| *family).or_else(by_purpose).unwrap_or(match syscall.handler {
        Handler::SetUid | Handler::SetGid | Handler::SetGroups | Handler::Capset => CallFamily::Identity,
        Handler::Change(_) | Handler::Attribute(_) => CallFamily::FilesChange,
        _ => CallFamily::Machine,
    })
}

fn of_purpose(purpose: Purpose) -> CallFamily {
    match purpose {
        Purpose::Memory => CallFamily::Memory,
        Purpose::Threads => CallFamily::Threads,
        Purpose::StartAndEnd | Purpose::Children | Purpose::Probes => CallFamily::Processes,
        Purpose::Signals => CallFamily::Signals,
        Purpose::Time => CallFamily::Time,
        Purpose::Waiting => CallFamily::Waiting,
        Purpose::Pipes | Purpose::Descriptors => CallFamily::Descriptors,
        Purpose::Identity => CallFamily::Identity,
        Purpose::Scheduling => CallFamily::Scheduling,
        Purpose::Opening | Purpose::Looking | Purpose::WorkingDirectory | Purpose::ReadingXattrs => {
            CallFamily::FilesRead
        }
        Purpose::Names | Purpose::Attributes => CallFamily::FilesChange,
        Purpose::Watching | Purpose::Disk => CallFamily::FilesWatch,
        Purpose::Connecting
        | Purpose::OpenSockets
        | Purpose::SocketOptions
        | Purpose::Messages
        | Purpose::Listening => CallFamily::Sockets,
    }
}

/// Calls of no group, or of another family than their group's purpose.
#[rustfmt::skip]
const LISTED: &[(CallFamily, &[&str])] = &[
    (CallFamily::Memory, &[
        "get_mempolicy", "mbind", "memfd_create", "memfd_secret", "migrate_pages", "mlockall", "move_pages",
        "munlockall", "process_madvise", "process_mrelease", "remap_file_pages", "set_mempolicy",
        "set_mempolicy_home_node", "userfaultfd",
    ]),
    (CallFamily::Processes, &["arch_prctl", "clone", "clone3", "execve", "execveat", "personality", "prctl"]),
    (CallFamily::Threads, &["get_thread_area", "modify_ldt", "set_thread_area"]),
    (CallFamily::Descriptors, &["ioctl", "vmsplice"]),
    (CallFamily::FilesRead, &["cachestat", "fstat", "fstatfs", "name_to_handle_at", "open_by_handle_at", "readlink", "readlinkat"]),
    (CallFamily::FilesChange, &[
        "fallocate", "file_setattr", "fremovexattr", "fsetxattr", "ftruncate", "lremovexattr", "lsetxattr",
        "removexattr", "removexattrat", "setxattr", "setxattrat",
    ]),
    (CallFamily::FilesWatch, &["fanotify_init", "fanotify_mark", "fdatasync", "fsync", "sync_file_range"]),
    (CallFamily::Sockets, &["recvfrom", "recvmsg", "sendmmsg", "sendmsg", "sendto", "socketpair"]),
    (CallFamily::Scheduling, &[
        "ioprio_set", "prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
        "setpriority",
    ]),
    (CallFamily::Ipc, &[
        "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget",
        "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt", "shmget",
    ]),
    (CallFamily::AsyncIo, &[
        "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit", "io_uring_enter",
        "io_uring_register", "io_uring_setup",
    ]),
    (CallFamily::Sandbox, &[
        "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "lsm_get_self_attr",
        "lsm_list_modules", "lsm_set_self_attr", "seccomp",
    ]),
    (CallFamily::Tracing, &[
        "kcmp", "perf_event_open", "pidfd_getfd", "process_vm_readv", "process_vm_writev", "ptrace",
    ]),
    (CallFamily::Mounts, &[
        "chroot", "fchroot", "fsconfig", "fsmount", "fsopen", "fspick", "listmount", "listns", "mount",
        "mount_setattr", "move_mount", "open_tree", "open_tree_attr", "pivot_root", "setns", "statmount", "umount2",
        "unshare",
    ]),
    (CallFamily::Keys, &["add_key", "keyctl", "request_key"]),
    (CallFamily::Machine, &[
        "acct", "bpf", "clock_settime", "delete_module", "finit_module", "init_module", "ioperm", "iopl",
        "kexec_file_load", "kexec_load", "quotactl", "quotactl_fd", "reboot", "setdomainname", "sethostname",
        "settimeofday", "swapoff", "swapon", "syslog", "vhangup",
    ]),
    (CallFamily::Obsolete, &[
        "_sysctl", "afs_syscall", "create_module", "epoll_ctl_old", "epoll_wait_old", "get_kernel_syms", "getpmsg",
        "lookup_dcookie", "nfsservctl", "putpmsg", "query_module", "security", "sysfs", "tuxcall", "uselib", "ustat",
        "vserver",
    ]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::syscalls;

    #[test]
    fn every_call_has_its_family() {
        let listed: Vec<&str> = LISTED.iter().flat_map(|(_, calls)| *calls).copied().collect();
        for call in &listed {
            assert!(syscalls::known(call).is_some(), "{call} is no call");
        }
        let once: BTreeSet<&&str> = listed.iter().collect();
        assert_eq!(once.len(), listed.len(), "a call is listed twice");
        for syscall in syscalls::all() {
            let by_handler = matches!(
                syscall.handler,
                Handler::SetUid
                    | Handler::SetGid
                    | Handler::SetGroups
                    | Handler::Capset
                    | Handler::Change(_)
                    | Handler::Attribute(_)
            );
            assert!(
                syscall.group.is_some() || listed.contains(&syscall.name) || by_handler,
                "{} has no family; enter it into LISTED",
                syscall.name
            );
        }
        for family in CallFamily::ALL {
            assert!(syscalls::all().any(|call| call_family(call) == *family), "{family:?} has no call");
        }
    }

    #[test]
    fn a_call_is_where_a_reader_expects_it() {
        let of = |name: &str| call_family(syscalls::find(name).expect("a call"));
        assert_eq!(of("execve"), CallFamily::Processes);
        assert_eq!(of("chown"), CallFamily::FilesChange);
        assert_eq!(of("setuid"), CallFamily::Identity);
        assert_eq!(of("mount"), CallFamily::Mounts);
        assert_eq!(of("recvfrom"), CallFamily::Sockets);
    }
}
