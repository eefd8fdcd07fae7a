//! The forbidden acts: how each is refused, what is seen of it, and what comes of
//! it where nothing confines it.

use crate::support::Place;
use crate::support::forbidden::{EACCES, EITHER, ENOSYS, EPERM, Forbidden, first, never, seen, unseen};

/// The acts; /srv holds a file `data` that every user may write, and is not in the profile.
pub const ACTS: &[Forbidden] = &[
    // Programs.
    seen("exec?arg=/bin/sh&arg=-c&arg=:", EACCES, "program", "/bin/sh"),
    seen("execveat?arg=/bin/busybox", EACCES, "program", "/bin/busybox"),
    never("exec-copy", EACCES, "program", "/tmp/copied"),
    never("exec-drop", EACCES, "program", "/tmp/dropped"),
    first("exec-memfd", EPERM, "syscall", "memfd_create"),
    first("exec-proc-fd", EPERM, "syscall", "memfd_create"),
    never("exec-deleted", EACCES, "program", ""),
    never("exec-loader", EACCES, "program", "ld-linux"),
    // Files.
    unseen("read?arg=/etc/shadow", EACCES),
    unseen("read?arg=/srv/data", EACCES),
    seen("write?arg=/etc/passwd", EACCES, "file", "/etc/passwd"),
    seen("append?arg=/srv/data", EACCES, "file", "/srv/data"),
    seen("create?arg=/srv/new", EACCES, "file", "/srv/new"),
    seen("open-legacy-create?arg=/srv/new", EACCES, "file", "/srv/new"),
    seen("openat2-write?arg=/srv/data", EACCES, "file", "/srv/data"),
    seen("truncate?arg=/srv/data", EACCES, "file", "/srv/data"),
    seen("mkdir?arg=/srv/made", EACCES, "file", "/srv/made"),
    seen("symlink?arg=/srv/symlinked", EACCES, "file", "/srv/symlinked"),
    seen("unlink?arg=/srv/data", EACCES, "file", "/srv/data"),
    first("rename?arg=/srv/data&arg=/srv/renamed", EACCES, "file", "/srv/"),
    first("link?arg=/srv/data&arg=/srv/linked", EACCES, "file", "/srv/"),
    never("mknod", EPERM, "file", "/tmp/device"),
    never("own-memory", EACCES, "file", "/proc/"),
    seen("open-by-handle", EPERM, "syscall", "open_by_handle_at"),
    // Network.
    seen("bind?arg=4444", EACCES, "network", "tcp/4444"),
    seen("connect?arg=127.0.0.1&arg=8080", EACCES, "network", "tcp/8080"),
    never("connect-fastopen?arg=127.0.0.1&arg=8080", EITHER, "", ""),
    unseen("mptcp?arg=127.0.0.1&arg=8080", &["EPROTONOSUPPORT"]),
    seen("udp?arg=127.0.0.1&arg=8080", EACCES, "network", "udp"),
    seen("unix-connect?arg=/run/missing.sock", EACCES, "network", "unix"),
    first("raw-socket", EITHER, "network", ""),
    first("packet-socket", EITHER, "network", ""),
    seen("netlink", EITHER, "network", "netlink"),
    seen("socket?arg=2&arg=2&arg=1", EITHER, "network", "icmp"),
    // PID 1 and other processes.
    never("kill?arg=1&arg=23", EPERM, "syscall", "kill"),
    never("tgkill?arg=1&arg=28", EPERM, "syscall", "tgkill"),
    seen("ptrace", EPERM, "syscall", "ptrace"),
    seen("ptrace-me", EPERM, "syscall", "ptrace"),
    first("ptrace-pid?arg=1", EPERM, "syscall", "ptrace"),
    never("open-memory?arg=1", EACCES, "file", "/proc/1/mem"),
    unseen("read-environment?arg=1", EACCES),
    first("write-memory?arg=1", EPERM, "syscall", "process_vm_writev"),
    first("read-memory?arg=1", EPERM, "syscall", "process_vm_readv"),
    // Namespaces, the root, identities.
    seen("unshare?arg=user", EPERM, "syscall", "unshare"),
    seen("clone", EPERM, "syscall", "clone"),
    unseen("clone3", ENOSYS),
    first("setns", EPERM, "syscall", "setns"),
    first("chroot", EPERM, "syscall", "chroot"),
    first("mount", EPERM, "syscall", "mount"),
    first("fsopen", ENOSYS, "syscall", "fsopen"),
    first("setuid", EPERM, "syscall", "setuid"),
    never("steal-descriptor?arg=1", EPERM, "syscall", "pidfd_open"),
    // The kernel's corners.
    #[cfg(target_arch = "x86_64")]
    unseen("i386", &["SIGSYS"]),
    #[cfg(target_arch = "x86_64")]
    unseen("x32", &["SIGSYS"]),
    unseen("io-uring", ENOSYS),
    seen("keyctl", EPERM, "syscall", "keyctl"),
    first("bpf", EPERM, "syscall", "bpf"),
    first("perf", EPERM, "syscall", "perf_event_open"),
    seen("userfaultfd", EPERM, "syscall", "userfaultfd"),
    seen("memfd", EPERM, "syscall", "memfd_create"),
    seen("personality", EPERM, "syscall", "personality"),
    seen("terminal-push", EPERM, "syscall", "ioctl"),
    seen("terminal-push-high", EPERM, "syscall", "ioctl"),
    first("syslog", EPERM, "syscall", "syslog"),
    first("quotactl", EPERM, "syscall", "quotactl"),
    // Memory.
    seen("memory-map", EACCES, "memory", ""),
    seen("memory-protect", EACCES, "memory", ""),
    first("memory-shared", EPERM, "syscall", "shmget"),
];

/// Unconfined, what a server inside is free to do. The acts that fail here too
/// fail for want of a capability, or in the runtime's own filter.
pub fn control(place: Place, act: &str) -> &'static str {
    let name = act.split('?').next().unwrap_or(act);
    match (name, place) {
        ("x32", _) => "ENOSYS",
        ("clone3", Place::Docker | Place::Restricted) => "ENOSYS",
        ("unix-connect", _) => "ENOENT",
        // net.ipv4.ping_group_range, which Docker sets and a new network namespace does not.
        ("socket", Place::UserNamespace) => "EACCES",
        ("terminal-push" | "terminal-push-high", _) => "ENOTTY",
        ("open-by-handle" | "bpf" | "syslog", _) => "EPERM",
        ("mknod", Place::Restricted | Place::UserNamespace) => "EPERM",
        (
            "write-memory" | "read-memory" | "steal-descriptor" | "unshare" | "clone" | "setns" | "mount"
            | "fsopen" | "keyctl" | "perf" | "userfaultfd" | "quotactl",
            Place::Docker | Place::Restricted,
        ) => "EPERM",
        ("chroot" | "setuid" | "raw-socket" | "packet-socket", Place::Restricted) => "EPERM",
        ("write" | "read", Place::Restricted) if act.contains("/etc/") => "EACCES",
        _ => "ok",
    }
}

/// What Docker's own filter denies: an errno there comes before any question of
/// ours, so that no event can tell of it.
pub fn is_denied_by_docker(place: Place, act: &str) -> bool {
    const BY_DOCKER: [&str; 15] = [
        "bpf",
        "clone",
        "clone3",
        "fsopen",
        "keyctl",
        "mount",
        "open-by-handle",
        "perf",
        "quotactl",
        "read-memory",
        "setns",
        "syslog",
        "unshare",
        "userfaultfd",
        "write-memory",
    ];
    let name = act.split('?').next().unwrap_or(act);
    match place {
        Place::UserNamespace => false,
        Place::Docker => BY_DOCKER.contains(&name),
        Place::Restricted => BY_DOCKER.contains(&name) || name == "chroot",
    }
}
