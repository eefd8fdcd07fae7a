//! What Docker lets a container do by default, for comparison: its seccomp profile as moby/profiles has
//! it (seccomp/default.json of June 2026) for a kernel that has everything and these capabilities.

use crate::profile::Capability;
use crate::syscalls;

/// The capabilities of a container by default (moby, oci/caps/defaults.go).
pub const CAPABILITIES: [Capability; 14] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FSETID,
    Capability::CAP_FOWNER,
    Capability::CAP_MKNOD,
    Capability::CAP_NET_RAW,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETPCAP,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_SYS_CHROOT,
    Capability::CAP_KILL,
    Capability::CAP_AUDIT_WRITE,
];

/// The calls that its profile refuses to a container with these capabilities, sorted.
const REFUSED: &[&str] = &[
    "_sysctl",
    "acct",
    "add_key",
    "afs_syscall",
    "bpf",
    "clock_settime",
    "clone3",
    "create_module",
    "delete_module",
    "fanotify_init",
    "fchroot",
    "file_getattr",
    "file_setattr",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "get_kernel_syms",
    "get_mempolicy",
    "getpmsg",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "listns",
    "lookup_dcookie",
    "lsm_get_self_attr",
    "lsm_list_modules",
    "lsm_set_self_attr",
    "mbind",
    "migrate_pages",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "open_tree_attr",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_madvise",
    "putpmsg",
    "query_module",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "rseq_slice_yield",
    "security",
    "set_mempolicy",
    "set_mempolicy_home_node",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "sysfs",
    "syslog",
    "tuxcall",
    "umount2",
    "unshare",
    "uprobe",
    "uselib",
    "userfaultfd",
    "ustat",
    "vhangup",
    "vserver",
];

/// Whether Docker's default profile allows a call, with whatever arguments.
pub fn allows(call: &str) -> bool {
    syscalls::known(call).is_some() && REFUSED.binary_search(&call).is_err()
}

/// The calls that it allows, sorted.
pub fn calls() -> impl Iterator<Item = &'static str> {
    syscalls::names().filter(|call| allows(call))
}

/// The number of calls that it allows, of those that this remit knows.
pub fn count() -> usize {
    calls().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_of_calls() {
        assert!(REFUSED.is_sorted());
        assert!(REFUSED.iter().all(|call| syscalls::known(call).is_some()));
        assert!(allows("ptrace") && allows("read") && !allows("bpf") && !allows("no such call"));
        assert_eq!(count(), syscalls::COUNT - REFUSED.len());
    }
}
