//! Classes of calls: each gives no power beyond the others of its class, so that a
//! profile which needs one has them all. A new C library, or another architecture,
//! changes which of them a program makes, and not what it does.

/// A class.
#[derive(Debug)]
pub struct Class {
    /// What its calls do.
    pub about: &'static str,
    /// The calls, sorted.
    pub calls: &'static [&'static str],
}

/// Every class; printed in docs/learning.md.
#[rustfmt::skip]
pub const CLASSES: &[Class] = &[
    Class { about: "wait for a connection and take it", calls: &["accept", "accept4"] },
    Class { about: "look whether a path may be used", calls: &["access", "faccessat", "faccessat2"] },
    Class { about: "change a file's mode", calls: &["chmod", "fchmod", "fchmodat", "fchmodat2"] },
    Class { about: "change a file's owner", calls: &["chown", "fchown", "fchownat", "lchown"] },
    Class { about: "change the working directory", calls: &["chdir", "fchdir"] },
    Class { about: "duplicate a descriptor", calls: &["dup", "dup2", "dup3"] },
    Class { about: "make an event queue", calls: &["epoll_create", "epoll_create1"] },
    Class { about: "wait on an event queue", calls: &["epoll_pwait", "epoll_pwait2", "epoll_wait"] },
    Class { about: "make a counter of events", calls: &["eventfd", "eventfd2"] },
    Class { about: "wait for descriptors", calls: &["poll", "ppoll", "pselect6", "select"] },
    Class { about: "list a directory", calls: &["getdents", "getdents64"] },
    Class { about: "read an extended attribute", calls: &["fgetxattr", "getxattr", "getxattrat", "lgetxattr"] },
    Class { about: "list extended attributes", calls: &["flistxattr", "listxattr", "listxattrat", "llistxattr"] },
    Class { about: "remove an extended attribute", calls: &["fremovexattr", "lremovexattr", "removexattr", "removexattrat"] },
    Class { about: "write an extended attribute", calls: &["fsetxattr", "lsetxattr", "setxattr", "setxattrat"] },
    Class { about: "make a file's name for another name", calls: &["link", "linkat"] },
    Class { about: "make a symbolic link", calls: &["symlink", "symlinkat"] },
    Class { about: "make a directory", calls: &["mkdir", "mkdirat"] },
    Class { about: "rename", calls: &["rename", "renameat", "renameat2"] },
    Class { about: "remove a name", calls: &["rmdir", "unlink", "unlinkat"] },
    Class { about: "read a link", calls: &["readlink", "readlinkat"] },
    Class { about: "look at a file", calls: &["fstat", "lstat", "newfstatat", "stat", "statx"] },
    Class { about: "look at a file system", calls: &["fstatfs", "statfs"] },
    Class { about: "shorten a file", calls: &["ftruncate", "truncate"] },
    Class { about: "set a file's times", calls: &["futimesat", "utime", "utimensat", "utimes"] },
    Class { about: "write back to the disk", calls: &["fdatasync", "fsync", "msync", "sync_file_range"] },
    Class { about: "read at an offset or into several places", calls: &["pread64", "preadv", "preadv2", "read", "readv"] },
    Class { about: "write at an offset or from several places", calls: &["pwrite64", "pwritev", "pwritev2", "write", "writev"] },
    Class { about: "move bytes between descriptors", calls: &["copy_file_range", "sendfile", "splice", "tee", "vmsplice"] },
    Class { about: "make a pipe", calls: &["pipe", "pipe2"] },
    Class { about: "watch files for changes", calls: &["inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch"] },
    Class { about: "take signals from a descriptor", calls: &["signalfd", "signalfd4"] },
    Class { about: "asynchronous input and output of the kernel's first kind", calls: &["io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit"] },
    Class { about: "keep memory from being paged out", calls: &["mlockall", "munlockall"] },
    Class { about: "choose memory nodes for oneself", calls: &["mbind", "set_mempolicy", "set_mempolicy_home_node"] },
    Class { about: "shared memory of System V", calls: &["shmat", "shmctl", "shmdt", "shmget"] },
    Class { about: "semaphores of System V", calls: &["semctl", "semget", "semop", "semtimedop"] },
    Class { about: "message queues of System V", calls: &["msgctl", "msgget", "msgrcv", "msgsnd"] },
    Class { about: "message queues of POSIX", calls: &["mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink"] },
    Class { about: "take on another user", calls: &["setresuid", "setreuid", "setuid"] },
    Class { about: "take on another group", calls: &["setgid", "setregid", "setresgid"] },
];

/// The class of a call.
pub fn class(call: &str) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.calls.contains(&call))
}

/// The table as docs/learning.md has it.
pub fn table() -> String {
    let rows = CLASSES.iter().map(|class| {
        let calls: Vec<String> = class.calls.iter().map(|call| format!("`{call}`")).collect();
        format!("| {} | {} |\n", class.about, calls.join(", "))
    });
    format!("| to … | calls |\n|---|---|\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::syscalls;

    #[test]
    fn every_call_is_one_and_in_one_class_and_in_order() {
        let mut seen = BTreeSet::new();
        for class in CLASSES {
            assert!(class.calls.is_sorted() && class.calls.len() > 1, "{class:?}");
            for call in class.calls {
                assert!(syscalls::known(call).is_some(), "{call} is no call");
                assert!(seen.insert(call), "{call} is in two classes");
            }
        }
    }

    #[test]
    fn calls_of_one_class_need_the_same_capability() {
        for class in CLASSES {
            let needs: Vec<_> = class.calls.iter().map(|call| syscalls::privileged(call)).collect();
            assert!(needs.windows(2).all(|pair| pair[0] == pair[1]), "{class:?}: {needs:?}");
        }
    }

    #[test]
    fn the_documentation_has_the_table() {
        assert!(
            include_str!("../../docs/learning.md").contains(&table()),
            "put into docs/learning.md:\n{}",
            table()
        );
    }
}
