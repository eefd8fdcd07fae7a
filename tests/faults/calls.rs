//! Every call that the launch makes, and what comes of it where that call is refused.

use libc::{F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_SETFL};
use nix::errno::Errno;

/// What a launch comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The app runs, and everything is enforced: there is another way, or it was a
    /// matter of speed, or of what is reported.
    Confined,
    /// The same, but what only the supervisor can give is not given.
    ConfinedTighter,
    /// It does not start, and the line says this and the errno.
    Refused(&'static str),
    /// It does not start, and the line says this; the call has no errno that anybody
    /// looks at.
    Unsaid(&'static str),
    /// The same as `Refused`, where the app is to have another user; else the call is not made.
    RefusedUser(&'static str),
    /// COMMAND is found and cannot be executed: the exec's own exit code.
    NotExecutable,
    /// It does not start, and says this layer; with `"fallback": "degrade"` the start
    /// event says that the layer is not active.
    Missing(&'static str),
    /// As `Missing`, and whatever the errno is, it is only said that there is none.
    Absent(&'static str),
    /// As `Missing`, and with `"fallback": "degrade"` what still comes is a refusal that
    /// says this: the call is needed for more than the layer.
    MissingThenRefused(&'static str, &'static str),
    /// The C library's or Rust's own runtime needs it and ends the process by itself,
    /// with a word of its own: never later than the app is guarded.
    Runtime,
    /// None is ever refused by a kernel, and there is nothing after them.
    NeverRefused,
}

use Expect::*;

/// A call; of those that do many things, which one, by an argument and its value.
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// The value of the argument that tells such calls apart ([`DISTINGUISHED`]).
    pub value: Option<u32>,
    /// What comes of refusing it.
    pub expect: Expect,
    /// Where one errno is different.
    pub but: &'static [(Errno, Expect)],
}

impl Call {
    /// What comes of this errno.
    pub fn expect(&self, errno: Errno) -> Expect {
        self.but.iter().find(|(other, _)| *other == errno).map_or(self.expect, |(_, expect)| *expect)
    }
}

/// The calls that do many things, and the argument that says which.
pub const DISTINGUISHED: [(&str, u32); 6] = [
    ("prctl", 0),
    ("fcntl", 1),
    ("ioctl", 1),
    ("seccomp", 0),
    ("prlimit64", 1),
    ("landlock_create_ruleset", 2),
];

const fn call(name: &'static str, expect: Expect) -> Call {
    Call { name, value: None, expect, but: &[] }
}

const fn which(name: &'static str, value: i32, expect: Expect) -> Call {
    Call { name, value: Some(value as u32), expect, but: &[] }
}

const fn but(call: Call, but: &'static [(Errno, Expect)]) -> Call {
    Call { but, ..call }
}

/// By its name on x86_64, or by that of the younger call that does its work on
/// architectures that came without the old ones.
const fn old<'n>(x86_64: &'n str, aarch64: &'n str) -> &'n str {
    if cfg!(target_arch = "x86_64") { x86_64 } else { aarch64 }
}

const PR_SET_MDWE: i32 = 65;
const PR_GET_MDWE: i32 = 66;
const NOTIF_RECV: i32 = 0xc050_2100_u32 as i32;
const NOTIF_SEND: i32 = 0xc018_2101_u32 as i32;
const NOTIF_ID_VALID: i32 = 0x4008_2102;
const NOTIF_ADDFD: i32 = 0x4018_2103;
const NOTIF_SET_FLAGS: i32 = 0x4008_2104;
const RULESET_VERSION: i32 = 1;
const SET_MODE_FILTER: i32 = 1;
const GET_ACTION_AVAIL: i32 = 2;

/// All of them. What the launch makes beside these fails the test that looks.
pub const CALLS: &[Call] = &[
    // The C library's start, and Rust's.
    #[cfg(target_arch = "x86_64")]
    call("arch_prctl", Runtime),
    call("brk", Confined),
    call("close", Runtime),
    call("exit", NeverRefused),
    call("exit_group", NeverRefused),
    // A signal handler's end.
    call("rt_sigreturn", NeverRefused),
    call("futex", Runtime),
    call("getrandom", Runtime),
    call("madvise", Confined),
    call("mmap", Runtime),
    call("mprotect", Runtime),
    call("munmap", Confined),
    call(old("poll", "ppoll"), Runtime),
    call("rseq", Confined),
    call("rt_sigaction", Runtime),
    call("sched_getaffinity", Confined),
    call("sched_setaffinity", Confined),
    call("set_robust_list", Confined),
    call("set_tid_address", Confined),
    call("sigaltstack", Confined),
    which("prctl", libc::PR_SET_NAME, Confined),
    which("prlimit64", libc::RLIMIT_STACK as i32, Confined),
    // What is looked at before.
    call("capget", Refused("capabilities")),
    // Where it cannot be known, no program below the working directory runs.
    call("getcwd", Confined),
    call("getdents64", Refused("the supervisor's threads cannot be listed")),
    // What it answers is taken for an id that no thread has; -1 ends the worker, and all.
    but(call("getegid", ConfinedTighter), &[(Errno::EPERM, Runtime)]),
    but(call("geteuid", ConfinedTighter), &[(Errno::EPERM, Runtime)]),
    // Made where another user's caller could not be read at once.
    call("getgid", ConfinedTighter),
    call("getuid", ConfinedTighter),
    call("getgroups", Refused("groups")),
    call("eventfd2", Confined),
    call("getpid", Unsaid("/proc is another pid namespace's")),
    call("gettid", Confined),
    call("newfstatat", Refused("landlock")),
    call("openat", Refused("profile")),
    // Whether it can be had is asked; no rule of this profile needs the check.
    call("ptrace", Confined),
    call("pread64", Refused("/programs/0/path")),
    call("read", Refused("profile")),
    but(call(old("readlink", "readlinkat"), Refused("profile")), &[(Errno::EINVAL, Refused("/proc/self"))]),
    call("statx", Confined),
    call("uname", Refused("uname")),
    which("fcntl", F_DUPFD_CLOEXEC, Refused("stderr")),
    which("fcntl", F_GETFD, Confined),
    which("fcntl", F_SETFL, Refused("events")),
    which("landlock_create_ruleset", RULESET_VERSION, Absent("landlock-files")),
    which("prctl", libc::PR_CAPBSET_READ, Confined),
    which("prctl", libc::PR_GET_SECCOMP, Confined),
    which("prctl", PR_GET_MDWE, Confined),
    which("prlimit64", libc::RLIMIT_CORE as i32, Refused("limit core")),
    which("prlimit64", libc::RLIMIT_FSIZE as i32, Refused("limit file size")),
    which("prlimit64", libc::RLIMIT_NOFILE as i32, Refused("limit open files")),
    which("seccomp", GET_ACTION_AVAIL, Missing("notification")),
    // What is prepared.
    #[cfg(target_arch = "x86_64")]
    call("clone", Refused("fork")),
    #[cfg(target_arch = "x86_64")]
    but(call("clone3", Refused("a thread cannot be started")), &[(Errno::ENOSYS, Confined)]),
    // An older glibc starts aarch64's threads by clone as well, and makes no clone3.
    #[cfg(target_arch = "aarch64")]
    call("clone", Refused("")),
    #[cfg(target_arch = "aarch64")]
    call("clone3", Runtime),
    #[cfg(target_arch = "x86_64")]
    call("ppoll", Refused("supervising")),
    call("rt_sigtimedwait", Refused("rt_sigtimedwait")),
    call("landlock_add_rule", Refused("landlock")),
    which("landlock_create_ruleset", 0, Refused("landlock")),
    call("rt_sigprocmask", Refused("sigprocmask")),
    call("signalfd4", Refused("signalfd")),
    call("socketpair", Refused("socketpair")),
    call("wait4", Refused("wait4")),
    call("waitid", Refused("waitid")),
    which("prctl", libc::PR_SET_CHILD_SUBREAPER, Refused("PR_SET_CHILD_SUBREAPER")),
    which("prctl", libc::PR_SET_DUMPABLE, Refused("PR_SET_DUMPABLE")),
    // The child's steps, and what the supervisor gives up meanwhile.
    call("capset", Refused("capset")),
    call("chdir", Refused("chdir /")),
    call("close_range", Confined),
    call("fchdir", Refused("working directory")),
    call("execve", NotExecutable),
    call(old("getpgrp", "getpgid"), Confined),
    call("getppid", Confined),
    call("landlock_restrict_self", Refused("step `landlock: enter the domain`")),
    call("recvfrom", Refused("step `seccomp")),
    call("recvmsg", Refused("supervising")),
    call("sendmsg", Refused("hand over the listener")),
    call("sendto", Refused("the ids of threads")),
    call("setgroups", RefusedUser("step `groups: [65534]`")),
    call("setpgid", Refused("process group")),
    call("setresgid", RefusedUser("step `gid: 65534`")),
    call("setresuid", RefusedUser("step `uid: 65534`")),
    call("umask", Refused("umask")),
    which("fcntl", F_SETFD, Confined),
    call("getsid", Confined),
    which("ioctl", libc::TIOCGPGRP as i32, Confined),
    which("prctl", libc::PR_CAPBSET_DROP, Refused("step `bounding set: ")),
    which("prctl", libc::PR_CAP_AMBIENT, Refused("ambient")),
    which("prctl", libc::PR_GET_SECUREBITS, Refused("step `securebits: ")),
    which("prctl", libc::PR_SET_KEEPCAPS, RefusedUser("step `keep-caps: ")),
    which("prctl", libc::PR_SET_NO_NEW_PRIVS, MissingThenRefused("notification", "no_new_privs")),
    which("prctl", libc::PR_SET_PDEATHSIG, Refused("step `parent-death signal: ")),
    which("prctl", libc::PR_SET_SECUREBITS, Refused("step `securebits: ")),
    which("prctl", PR_SET_MDWE, Refused("step `mdwe: ")),
    which("seccomp", SET_MODE_FILTER, Refused("seccomp: loading a filter is answered")),
    // What is decided for the app, its own exec the first.
    call("getxattr", Confined),
    call("openat2", Confined),
    call("process_vm_readv", Confined),
    call("sched_getattr", Confined),
    call("sched_setattr", Confined),
    call("setfsgid", RefusedUser("file-system ids")),
    call("setfsuid", RefusedUser("file-system ids")),
    call("write", Confined),
    which("ioctl", NOTIF_ADDFD, ConfinedTighter),
    which("ioctl", NOTIF_ID_VALID, Refused("notification: ")),
    which("ioctl", NOTIF_RECV, Refused("notification: ")),
    which("ioctl", NOTIF_SEND, Refused("notification: ")),
    which("ioctl", NOTIF_SET_FLAGS, Confined),
];
