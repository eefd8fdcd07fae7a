//! Which calls ask for a capability.

use caps::Capability;

/// The capability that a call asks for, or may ask for (a setuid to one's own
/// saved id needs none); none where it depends on more than the call, as with
/// files and sockets (capabilities(7)).
pub fn privileged(call: &str) -> Option<Capability> {
    Some(match call {
        "setuid" | "setreuid" | "setresuid" | "setfsuid" => Capability::CAP_SETUID,
        "setgid" | "setregid" | "setresgid" | "setfsgid" | "setgroups" => Capability::CAP_SETGID,
        "chown" | "fchown" | "fchownat" | "lchown" => Capability::CAP_CHOWN,
        "chroot" | "fchroot" => Capability::CAP_SYS_CHROOT,
        "fanotify_init" | "fsconfig" | "fsmount" | "fsopen" | "fspick" | "lookup_dcookie" | "mount"
        | "mount_setattr" | "move_mount" | "open_tree" | "open_tree_attr" | "pivot_root" | "quotactl"
        | "quotactl_fd" | "setdomainname" | "sethostname" | "setns" | "swapoff" | "swapon" | "umount"
        | "umount2" | "unshare" => Capability::CAP_SYS_ADMIN,
        "reboot" | "kexec_load" | "kexec_file_load" => Capability::CAP_SYS_BOOT,
        "create_module" | "delete_module" | "finit_module" | "init_module" => Capability::CAP_SYS_MODULE,
        "iopl" | "ioperm" => Capability::CAP_SYS_RAWIO,
        "clock_settime" | "settimeofday" | "adjtimex" | "clock_adjtime" => Capability::CAP_SYS_TIME,
        "open_by_handle_at" => Capability::CAP_DAC_READ_SEARCH,
        "acct" => Capability::CAP_SYS_PACCT,
        "syslog" => Capability::CAP_SYSLOG,
        "vhangup" => Capability::CAP_SYS_TTY_CONFIG,
        "bpf" => Capability::CAP_BPF,
        "perf_event_open" => Capability::CAP_PERFMON,
        "kcmp" | "pidfd_getfd" | "process_madvise" | "process_vm_readv" | "process_vm_writev" | "ptrace" => {
            Capability::CAP_SYS_PTRACE
        }
        "mlock" | "mlock2" | "mlockall" => Capability::CAP_IPC_LOCK,
        "capset" => Capability::CAP_SETPCAP,
        "migrate_pages" | "move_pages" | "sched_setattr" | "sched_setparam" | "sched_setscheduler"
        | "setpriority" => Capability::CAP_SYS_NICE,
        _ => return None,
    })
}
