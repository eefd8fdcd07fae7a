//! Which calls ask for a capability.

use caps::Capability;

/// Whether a call gives its caller other ids, after which nobody without
/// CAP_SYS_PTRACE may look into it until its next exec (ptrace(2), dumpable).
pub fn changes_user(call: &str) -> bool {
    let sets = call.starts_with("set") && call != "setgroups";
    sets && matches!(privileged(call), Some(Capability::CAP_SETUID | Capability::CAP_SETGID))
}

/// The capability without which a call can do nothing, or next to nothing (a setuid
/// to one's own saved id, a chown to one's own group); none where that hangs on the
/// arguments, on limits or on the other process (capabilities(7)).
pub fn privileged(call: &str) -> Option<Capability> {
    Some(match call {
        "setuid" | "setreuid" | "setresuid" | "setfsuid" => Capability::CAP_SETUID,
        "setgid" | "setregid" | "setresgid" | "setfsgid" | "setgroups" => Capability::CAP_SETGID,
        "chown" | "fchown" | "fchownat" | "lchown" => Capability::CAP_CHOWN,
        "chroot" | "fchroot" => Capability::CAP_SYS_CHROOT,
        "fsconfig" | "fsmount" | "fsopen" | "fspick" | "mount" | "mount_setattr" | "move_mount"
        | "open_tree_attr" | "pivot_root" | "quotactl" | "quotactl_fd" | "setdomainname" | "sethostname"
        | "setns" | "swapoff" | "swapon" | "umount2" | "unshare" => Capability::CAP_SYS_ADMIN,
        "kexec_file_load" | "kexec_load" | "reboot" => Capability::CAP_SYS_BOOT,
        "delete_module" | "finit_module" | "init_module" => Capability::CAP_SYS_MODULE,
        "ioperm" | "iopl" => Capability::CAP_SYS_RAWIO,
        "clock_settime" | "settimeofday" => Capability::CAP_SYS_TIME,
        "open_by_handle_at" => Capability::CAP_DAC_READ_SEARCH,
        "acct" => Capability::CAP_SYS_PACCT,
        "syslog" => Capability::CAP_SYSLOG,
        "vhangup" => Capability::CAP_SYS_TTY_CONFIG,
        "bpf" => Capability::CAP_BPF,
        "perf_event_open" => Capability::CAP_PERFMON,
        _ => return None,
    })
}
