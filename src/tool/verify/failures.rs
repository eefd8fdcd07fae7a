//! The calls that the kernel itself refused in a run. They have no event, so the threads of the
//! run are traced, and the return value of each call is read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::drops::ObservedError;
use crate::kernel::Arch;
use crate::learn::volatile;
use crate::sys::process::{StateChange, wait_any};
use crate::sys::ptrace::{self, AtCall};
use crate::sys::signal;
use crate::syscalls::{self, Arg, Handler, Limit, Syscall};
use crate::tool::error::ToolError;
use crate::tool::session::StopHandler;

/// The ptrace options of a tracee.
const OPTIONS: u64 = ptrace::FILTERED | ptrace::CALLS | ptrace::EXECS | ptrace::CHILDREN | ptrace::EXIT_KILL;

/// The longest path that the kernel takes (linux/limits.h, PATH_MAX).
const LONGEST: usize = 4096;

/// A call that has begun and not returned.
struct UnfinishedCall {
    syscall: &'static Syscall,
    arguments: [u64; 6],
    /// The path of an exec.
    executes: Option<String>,
}

/// Collects the errors of a traced run.
pub(super) struct ObservedErrors {
    /// The program of each tracee.
    programs: HashMap<i32, Rc<str>>,
    /// The pending call of each tracee.
    calls: HashMap<i32, UnfinishedCall>,
    /// New tracees that wait for the stop of their creator, which shows their program.
    new_tracees: HashSet<i32>,
    /// The errors, and how often each came.
    pub found: BTreeMap<ObservedError, u64>,
    /// COMMAND was executed.
    pub started: bool,
}

impl ObservedErrors {
    /// Attaches to a child that has not executed COMMAND yet (PTRACE_SEIZE).
    ///
    /// # Errors
    /// The child cannot be traced here.
    pub fn attach(app: i32) -> Result<ObservedErrors, ToolError> {
        ptrace::attach(app, OPTIONS).map_err(ToolError::NotTraced)?;
        let mut programs = HashMap::new();
        programs.insert(app, Rc::from("remit"));
        Ok(ObservedErrors {
            programs,
            calls: HashMap::new(),
            new_tracees: HashSet::new(),
            found: BTreeMap::new(),
            started: false,
        })
    }

    /// A tracee is about to make a call.
    fn begins(&mut self, tid: i32) {
        let Ok(Some(AtCall::Begins(number, arguments))) = ptrace::syscall_info(tid) else { return };
        let Some(syscall) = syscalls::name(Arch::THIS, number).and_then(syscalls::find) else { return };
        // After the exec the memory with the path is gone.
        let path = syscall.paths().next().filter(|_| syscall.handler == Handler::Exec);
        let executes = path.map(|(_, at)| text(tid, arguments[at]));
        self.calls.insert(tid, UnfinishedCall { syscall, arguments, executes });
    }

    /// A call of a tracee has returned.
    fn ended(&mut self, tid: i32) {
        let Some(UnfinishedCall { syscall, arguments, .. }) = self.calls.remove(&tid) else { return };
        let Ok(Some(AtCall::Ended(Err(errno)))) = ptrace::syscall_info(tid) else { return };
        if !refused(syscall, errno) {
            return;
        }
        let program = self.programs.get(&tid).map_or("", |program| &**program).to_owned();
        let object = object(tid, syscall, arguments);
        let failure =
            ObservedError { program, call: syscall.name.to_owned(), errno: format!("{errno:?}"), object };
        *self.found.entry(failure).or_default() += 1;
    }

    /// A tracee has executed a program.
    fn executed(&mut self, tid: i32) {
        // A thread other than the first takes on the first's tid (ptrace(2)).
        let before = ptrace::event_message(tid).unwrap_or(tid);
        let called = self.calls.remove(&before).and_then(|call| call.executes);
        if before != tid
            && let Some(program) = self.programs.remove(&before)
        {
            self.programs.insert(tid, program);
        }
        // Of another user's process only CAP_SYS_PTRACE may read this link.
        let file = std::fs::read_link(format!("/proc/{tid}/exe")).ok();
        if let Some(program) = file.map(|path| path.to_string_lossy().into_owned()).or(called) {
            self.programs.insert(tid, program.into());
        }
        self.started = true;
    }

    /// A tracee has forked or cloned.
    fn made(&mut self, tid: i32) {
        let Ok(child) = ptrace::event_message(tid) else { return };
        let program = self.programs.get(&tid).cloned().unwrap_or_else(|| Rc::from(""));
        self.programs.insert(child, program);
        if self.new_tracees.remove(&child) {
            cont(child, 0);
        }
    }

    fn on(&self, tid: i32, signal: i32) {
        if self.calls.contains_key(&tid) && signal == 0 {
            // An error means that it has died; its end is reported.
            ptrace::cont_to_syscall(tid, 0).unwrap_or_default();
        } else {
            cont(tid, signal);
        }
    }
}

/// Continues a tracee. An error means that it has died; its end is reported.
fn cont(tid: i32, signal: i32) {
    ptrace::cont(tid, signal).unwrap_or_default();
}

impl StopHandler for ObservedErrors {
    fn stopped(&mut self, tid: i32, signal: i32, event: i32) {
        match event {
            ptrace::EVENT_FILTERED => {
                self.begins(tid);
                self.on(tid, 0);
            }
            ptrace::EVENT_EXEC => {
                self.executed(tid);
                cont(tid, 0);
            }
            event if ptrace::EVENTS_CHILD.contains(&event) => {
                self.made(tid);
                self.on(tid, 0);
            }
            ptrace::EVENT_STOP if signal != libc::SIGTRAP => ptrace::listen(tid).unwrap_or_default(),
            ptrace::EVENT_STOP if !self.programs.contains_key(&tid) => drop(self.new_tracees.insert(tid)),
            ptrace::EVENT_STOP => self.on(tid, 0),
            _ if signal == ptrace::CALL_ENDED => {
                self.ended(tid);
                cont(tid, 0);
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
        // It may have been killed before its fork event, for which these wait.
        for child in std::mem::take(&mut self.new_tracees) {
            self.programs.insert(child, Rc::from(""));
            cont(child, 0);
        }
    }

    fn finish(&mut self) {
        let kill = |tid: i32| signal::send(tid, libc::SIGKILL).unwrap_or_default();
        self.programs.keys().chain(&self.new_tracees).copied().for_each(kill);
        while !self.programs.is_empty() {
            // Any tracee: the kernel reports the end of a first thread only after the others are
            // reaped.
            match waitpid(None, Some(WaitPidFlag::__WALL)) {
                Ok(status) => {
                    let Some(pid) = status.pid().map(Pid::as_raw) else { continue };
                    match status {
                        WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                            self.programs.remove(&pid);
                        }
                        // A tracee that was made meanwhile.
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
        while let Ok(Some((_, StateChange::Exited(_) | StateChange::Signalled(_)))) = wait_any() {}
    }
}

/// Whether the error is a refusal. A refused lock of memory is reported as ENOMEM or EAGAIN.
fn refused(syscall: &Syscall, errno: Errno) -> bool {
    match errno {
        Errno::EPERM | Errno::EACCES => true,
        Errno::ENOMEM | Errno::EAGAIN => syscall.handler == Handler::Limit(Limit::Lock),
        _ => false,
    }
}

/// The object of a call, in a form that is equal in another run: without addresses, descriptors
/// and pids.
fn object(tid: i32, syscall: &Syscall, arguments: [u64; 6]) -> String {
    match syscall.handler {
        Handler::Bind | Handler::Connect => return address(tid, arguments[1], arguments[2]),
        Handler::Socket => return format!("family {} type {}", arguments[0], arguments[1] & 0xf),
        Handler::Prctl => return format!("option {}", arguments[0]),
        Handler::Ioctl => return format!("{:#x}", arguments[1] as u32),
        _ => {}
    }
    let each = |kind, text: fn(i32, u64) -> String| {
        syscall.positions(kind).map(move |at| text(tid, arguments[usize::from(at)]))
    };
    // The object of a change of owner is its path.
    let mut paths = each(Arg::Path, path).peekable();
    if paths.peek().is_some() {
        return paths.collect::<Vec<_>>().join(" ");
    }
    if syscall.name == "setpriority" {
        return format!("{}", arguments[2] as i32);
    }
    each(Arg::Id, id).chain(each(Arg::Signal, signal_name)).collect::<Vec<_>>().join(" ")
}

/// A uid or gid; -1 means unchanged.
fn id(_: i32, id: u64) -> String {
    match id as i32 {
        -1 => "-1".to_owned(),
        _ => (id as u32).to_string(),
    }
}

fn signal_name(_: i32, number: u64) -> String {
    format!("signal {}", signal::name(number as i32))
}

/// A path, with `*` for the first name that no other run will have and all below.
fn path(tid: i32, address: u64) -> String {
    let path = text(tid, address);
    let stable = if path.starts_with('/') { volatile::template(&path) } else { None };
    stable.unwrap_or(path)
}

/// Reads a NUL-terminated path from a tracee's memory.
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
