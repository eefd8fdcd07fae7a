//! What the kernel itself refused in a run: no event tells it, so the run's threads are
//! traced and the end of each call is looked at.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::drops::Failure;
use crate::kernel::Arch;
use crate::learn::volatile;
use crate::sys::process::{Change, wait_any};
use crate::sys::ptrace::{self, AtCall};
use crate::sys::signal;
use crate::syscalls;
use crate::tool::session::Witness;

/// What a seized thread stops for.
const OPTIONS: u64 =
    ptrace::FILTERED | ptrace::CALLS | ptrace::EXECS | ptrace::CHILDREN | ptrace::DIE_WITH_US;

/// The longest path that the kernel takes (linux/limits.h, PATH_MAX).
const LONGEST: usize = 4096;

/// A call that is being made.
struct Call {
    name: &'static str,
    arguments: [u64; 6],
    /// The path that it executes.
    executes: Option<String>,
}

/// The calls of a run that failed, as they are seen.
pub(super) struct Failures {
    /// What each seized thread runs.
    programs: HashMap<i32, Rc<str>>,
    /// Calls that are being made.
    calls: HashMap<i32, Call>,
    /// New threads that wait for their parent's stop, which says whose they are.
    born: HashSet<i32>,
    /// What failed, and how often.
    pub found: BTreeMap<Failure, u64>,
    /// COMMAND was executed.
    pub started: bool,
}

impl Failures {
    /// Seizes a child that has not executed COMMAND yet.
    ///
    /// # Errors
    /// One line: tracing is not possible here.
    pub fn seize(app: i32) -> Result<Failures, String> {
        ptrace::attach(app, OPTIONS).map_err(|errno| {
            format!("--drop-test: COMMAND cannot be traced here: {errno}; where ptrace(2) is refused, nothing sees what the kernel refuses")
        })?;
        let mut programs = HashMap::new();
        programs.insert(app, Rc::from("remit"));
        Ok(Failures {
            programs,
            calls: HashMap::new(),
            born: HashSet::new(),
            found: BTreeMap::new(),
            started: false,
        })
    }

    /// A call is about to be made.
    fn begins(&mut self, tid: i32) {
        let Ok(Some(AtCall::Begins(number, arguments))) = ptrace::syscall_info(tid) else { return };
        let Some(name) = syscalls::name(Arch::THIS, number) else { return };
        // After an exec the memory that has the path is gone.
        let executes = match name {
            "execve" => Some(text(tid, arguments[0])),
            "execveat" => Some(text(tid, arguments[1])),
            _ => None,
        };
        self.calls.insert(tid, Call { name, arguments, executes });
    }

    /// A call has been made.
    fn ended(&mut self, tid: i32) {
        let Some(Call { name, arguments, .. }) = self.calls.remove(&tid) else { return };
        let Ok(Some(AtCall::Ended(Err(errno)))) = ptrace::syscall_info(tid) else { return };
        if !refused(name, errno) {
            return;
        }
        let program = self.programs.get(&tid).map_or("", |program| &**program).to_owned();
        let object = object(tid, name, arguments);
        let failure = Failure { program, call: name.to_owned(), errno: format!("{errno:?}"), object };
        *self.found.entry(failure).or_default() += 1;
    }

    /// A new program is in place.
    fn executed(&mut self, tid: i32) {
        // A thread that is not the first takes the first's number.
        let before = ptrace::event_message(tid).unwrap_or(tid);
        let called = self.calls.remove(&before).and_then(|call| call.executes);
        if before != tid
            && let Some(program) = self.programs.remove(&before)
        {
            self.programs.insert(tid, program);
        }
        // Another user's process may be looked into by root with CAP_SYS_PTRACE alone.
        let file = std::fs::read_link(format!("/proc/{tid}/exe")).ok();
        if let Some(program) = file.map(|path| path.to_string_lossy().into_owned()).or(called) {
            self.programs.insert(tid, program.into());
        }
        self.started = true;
    }

    /// A thread has made another.
    fn made(&mut self, tid: i32) {
        let Ok(child) = ptrace::event_message(tid) else { return };
        let program = self.programs.get(&tid).cloned().unwrap_or_else(|| Rc::from(""));
        self.programs.insert(child, program);
        if self.born.remove(&child) {
            go_on(child, 0);
        }
    }

    fn on(&self, tid: i32, signal: i32) {
        if self.calls.contains_key(&tid) && signal == 0 {
            // Who has died meanwhile is told of by its end.
            ptrace::cont_to_syscall(tid, 0).unwrap_or_default();
        } else {
            go_on(tid, signal);
        }
    }
}

/// Who has died meanwhile is told of by its end.
fn go_on(tid: i32, signal: i32) {
    ptrace::cont(tid, signal).unwrap_or_default();
}

impl Witness for Failures {
    fn stopped(&mut self, tid: i32, signal: i32, event: i32) {
        match event {
            ptrace::EVENT_FILTERED => {
                self.begins(tid);
                self.on(tid, 0);
            }
            ptrace::EVENT_EXEC => {
                self.executed(tid);
                go_on(tid, 0);
            }
            event if ptrace::EVENTS_CHILD.contains(&event) => {
                self.made(tid);
                self.on(tid, 0);
            }
            ptrace::EVENT_STOP if signal != libc::SIGTRAP => ptrace::listen(tid).unwrap_or_default(),
            ptrace::EVENT_STOP if !self.programs.contains_key(&tid) => drop(self.born.insert(tid)),
            ptrace::EVENT_STOP => self.on(tid, 0),
            _ if signal == ptrace::CALL_ENDED => {
                self.ended(tid);
                go_on(tid, 0);
            }
            _ => self.on(tid, signal),
        }
    }

    fn started(&self) -> bool {
        self.started
    }

    fn gone(&mut self, tid: i32) {
        self.programs.remove(&tid);
        self.calls.remove(&tid);
        // It may have been killed before it could say whose child this is.
        for child in std::mem::take(&mut self.born) {
            self.programs.insert(child, Rc::from(""));
            go_on(child, 0);
        }
    }

    fn finish(&mut self) {
        let kill = |tid: i32| signal::send(tid, libc::SIGKILL).unwrap_or_default();
        self.programs.keys().chain(&self.born).copied().for_each(kill);
        while !self.programs.is_empty() {
            // Any: a process' first thread is not told of before its others are buried.
            match waitpid(None, Some(WaitPidFlag::__WALL)) {
                Ok(status) => {
                    let Some(pid) = status.pid().map(Pid::as_raw) else { continue };
                    match status {
                        WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                            self.programs.remove(&pid);
                        }
                        // One that was made in the last moment.
                        _ => {
                            self.programs.insert(pid, Rc::from(""));
                            kill(pid);
                        }
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        while let Ok(Some((_, Change::Exited(_) | Change::Signalled(_)))) = wait_any() {}
    }
}

/// Whether that is a refusal. Memory that may not be locked is told as a lack of it.
fn refused(call: &str, errno: Errno) -> bool {
    match errno {
        Errno::EPERM | Errno::EACCES => true,
        Errno::ENOMEM | Errno::EAGAIN => matches!(call, "mlock" | "mlock2" | "mlockall"),
        _ => false,
    }
}

/// What the call was about, so that it reads the same in another run: no address, no
/// number of a descriptor or process.
fn object(tid: i32, call: &str, arguments: [u64; 6]) -> String {
    let path = |at: usize| path(tid, arguments[at]);
    let id = |at: usize| match arguments[at] as i32 {
        -1 => "-1".to_owned(),
        _ => (arguments[at] as u32).to_string(),
    };
    match call {
        "bind" | "connect" => address(tid, arguments[1], arguments[2]),
        "setuid" | "setgid" | "setfsuid" | "setfsgid" => id(0),
        "setreuid" | "setregid" => format!("{} {}", id(0), id(1)),
        "setresuid" | "setresgid" => format!("{} {} {}", id(0), id(1), id(2)),
        "kill" => format!("signal {}", signal::name(arguments[1] as i32)),
        "tgkill" => format!("signal {}", signal::name(arguments[2] as i32)),
        "socket" => format!("family {} type {}", arguments[0], arguments[1] & 0xf),
        "prctl" => format!("option {}", arguments[0]),
        "ioctl" => format!("{:#x}", arguments[1] as u32),
        "setpriority" => format!("{}", arguments[2] as i32),
        "symlink" | "mount" | "inotify_add_watch" => path(1),
        "symlinkat" => path(2),
        "rename" | "link" => format!("{} {}", path(0), path(1)),
        "renameat" | "renameat2" | "linkat" => format!("{} {}", path(1), path(3)),
        _ if AT_SECOND.contains(&call) => path(1),
        _ if AT_FIRST.contains(&call) => path(0),
        _ => String::new(),
    }
}

/// Calls whose first argument is a path.
const AT_FIRST: [&str; 30] = [
    "access",
    "acct",
    "chdir",
    "chmod",
    "chown",
    "chroot",
    "creat",
    "execve",
    "getxattr",
    "lchown",
    "lgetxattr",
    "listxattr",
    "lsetxattr",
    "lstat",
    "mkdir",
    "mknod",
    "open",
    "pivot_root",
    "readlink",
    "removexattr",
    "rmdir",
    "setxattr",
    "stat",
    "statfs",
    "swapoff",
    "swapon",
    "truncate",
    "umount2",
    "unlink",
    "utimes",
];

/// Calls whose first argument is a directory's descriptor and whose second is a path.
const AT_SECOND: [&str; 16] = [
    "execveat",
    "faccessat",
    "faccessat2",
    "fchmodat",
    "fchmodat2",
    "fchownat",
    "futimesat",
    "mkdirat",
    "mknodat",
    "name_to_handle_at",
    "newfstatat",
    "openat",
    "openat2",
    "readlinkat",
    "statx",
    "unlinkat",
];

/// A path, up to its first name that no other run will have.
fn path(tid: i32, address: u64) -> String {
    let path = text(tid, address);
    let stable = if path.starts_with('/') { volatile::template(&path) } else { None };
    stable.unwrap_or(path)
}

/// A path in a thread's memory.
fn text(tid: i32, address: u64) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < LONGEST {
        let Ok(word) = ptrace::peek(tid, address + bytes.len() as u64) else { break };
        let word = word.to_ne_bytes();
        let end = word.iter().position(|byte| *byte == 0);
        bytes.extend_from_slice(&word[..end.unwrap_or(word.len())]);
        if end.is_some() {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A socket's address: its port, or its path.
fn address(tid: i32, at: u64, length: u64) -> String {
    let mut bytes = Vec::new();
    for offset in (0..length.min(112)).step_by(8) {
        let Ok(word) = ptrace::peek(tid, at + offset) else { break };
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.truncate(length as usize);
    let Some((family, rest)) = bytes.split_first_chunk::<2>() else { return String::new() };
    match (i32::from(u16::from_ne_bytes(*family)), rest) {
        (libc::AF_INET | libc::AF_INET6, [high, low, ..]) => {
            format!("port {}", u16::from_be_bytes([*high, *low]))
        }
        (libc::AF_UNIX, [0, name @ ..]) => format!("unix:@{}", String::from_utf8_lossy(name)),
        (libc::AF_UNIX, name) => {
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            format!("unix:{}", String::from_utf8_lossy(&name[..end]))
        }
        (family, _) => format!("family {family}"),
    }
}
