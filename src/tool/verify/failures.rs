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
use crate::syscalls::{self, Arg, Handler, Limit, Syscall};
use crate::tool::error::Error;
use crate::tool::session::Witness;

/// What a seized thread stops for.
const OPTIONS: u64 =
    ptrace::FILTERED | ptrace::CALLS | ptrace::EXECS | ptrace::CHILDREN | ptrace::DIE_WITH_US;

/// The longest path that the kernel takes (linux/limits.h, PATH_MAX).
const LONGEST: usize = 4096;

/// A call that is being made.
struct Call {
    syscall: &'static Syscall,
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
    /// Tracing is not possible here.
    pub fn seize(app: i32) -> Result<Failures, Error> {
        ptrace::seize(app, OPTIONS).map_err(Error::NotTraced)?;
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
        let Ok(Some(AtCall::Begins(number, arguments))) = ptrace::at_call(tid) else { return };
        let Some(syscall) = syscalls::name(Arch::THIS, number).and_then(syscalls::find) else { return };
        // After an exec the memory that has the path is gone.
        let path = syscall.paths().next().filter(|_| syscall.handler == Handler::Exec);
        let executes = path.map(|(_, at)| text(tid, arguments[at]));
        self.calls.insert(tid, Call { syscall, arguments, executes });
    }

    /// A call has been made.
    fn ended(&mut self, tid: i32) {
        let Some(Call { syscall, arguments, .. }) = self.calls.remove(&tid) else { return };
        let Ok(Some(AtCall::Ended(Err(errno)))) = ptrace::at_call(tid) else { return };
        if !refused(syscall, errno) {
            return;
        }
        let program = self.programs.get(&tid).map_or("", |program| &**program).to_owned();
        let object = object(tid, syscall, arguments);
        let failure = Failure { program, call: syscall.name.to_owned(), errno: format!("{errno:?}"), object };
        *self.found.entry(failure).or_default() += 1;
    }

    /// A new program is in place.
    fn executed(&mut self, tid: i32) {
        // A thread that is not the first takes the first's number.
        let before = ptrace::message(tid).unwrap_or(tid);
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
        let Ok(child) = ptrace::message(tid) else { return };
        let program = self.programs.get(&tid).cloned().unwrap_or_else(|| Rc::from(""));
        self.programs.insert(child, program);
        if self.born.remove(&child) {
            go_on(child, 0);
        }
    }

    fn on(&self, tid: i32, signal: i32) {
        if self.calls.contains_key(&tid) && signal == 0 {
            // Who has died meanwhile is told of by its end.
            ptrace::go_on_to_the_end(tid).unwrap_or_default();
        } else {
            go_on(tid, signal);
        }
    }
}

/// Who has died meanwhile is told of by its end.
fn go_on(tid: i32, signal: i32) {
    ptrace::go_on(tid, signal).unwrap_or_default();
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
            ptrace::EVENT_STOP if signal != libc::SIGTRAP => ptrace::stay_stopped(tid).unwrap_or_default(),
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
fn refused(syscall: &Syscall, errno: Errno) -> bool {
    match errno {
        Errno::EPERM | Errno::EACCES => true,
        Errno::ENOMEM | Errno::EAGAIN => syscall.handler == Handler::Limit(Limit::Lock),
        _ => false,
    }
}

/// What the call was about, so that it reads the same in another run: no address, no
/// number of a descriptor or process.
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
    // A change of owner is named by its path.
    let mut paths = each(Arg::Path, path).peekable();
    if paths.peek().is_some() {
        return paths.collect::<Vec<_>>().join(" ");
    }
    if syscall.name == "setpriority" {
        return format!("{}", arguments[2] as i32);
    }
    each(Arg::Id, id).chain(each(Arg::Signal, signal_name)).collect::<Vec<_>>().join(" ")
}

/// An id of a user or group; -1 leaves it as it is.
fn id(_: i32, id: u64) -> String {
    match id as i32 {
        -1 => "-1".to_owned(),
        _ => (id as u32).to_string(),
    }
}

fn signal_name(_: i32, number: u64) -> String {
    format!("signal {}", signal::name(number as i32))
}

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
