//! The worker that answers notified calls: receive, find out, ask the rulebook,
//! answer. It never waits for the main thread, and the main thread never for it.
//!
//! Whatever was read of the caller is worth something only while the caller still
//! waits, so the id is checked before every answer that rests on it. An answer of
//! "continue" guards nothing by itself: the kernel decides again (see
//! [`verdict`](super::verdict)).

mod exec;
mod files;
mod perform;
mod report;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::caller::{Caller, Identity, Memory};
use super::families::Families;
use super::verdict::call::{Call, Ids};
use super::verdict::network::{Address, Direction, Protocol};
use super::verdict::{Refusal, Rulebook};
use crate::event::Scribe;
use crate::filter::Access;
use crate::image::FileId;
use crate::kernel::Arch;
use crate::profile::OnViolation;
use crate::sys::seccomp::{self, Answer};
use crate::syscalls;

/// What becomes of a call.
enum Outcome {
    /// The kernel goes on with it.
    Continue,
    /// It fails as the kernel would have let it fail: no violation.
    Fail(Errno),
    /// The supervisor did it, and this is its value.
    Done(i64),
    /// The supervisor opened it; and whether it closes at an exec.
    Opened(OwnedFd, bool),
    /// It is refused.
    Refuse(Box<Refusal>),
    /// The kernel will refuse it by itself; it is only told.
    Tell(Box<Refusal>),
}

/// What the main thread is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A violation ends the container.
    Stop,
}

/// How the worker asks the main thread.
pub type Bell = Box<dyn Fn(Request) + Send>;

/// The worker's state.
pub struct Judge {
    /// The filter's listener.
    pub listener: OwnedFd,
    /// What is decided by.
    pub rules: Rulebook,
    /// The profile in force, for hints.
    pub document: serde_json::Value,
    /// Where events go.
    pub scribe: Arc<Scribe>,
    /// Violations are only observed.
    pub audit: bool,
    /// The launched process, whose first exec is the supervisor's own.
    pub app: i32,
    /// The entry that COMMAND is.
    pub entry: usize,
    /// Where the main thread is asked.
    pub requests: Bell,
    /// The supervisor's ids, for looking and acting as the caller and back.
    pub identity: Identity,
    /// What is remembered between calls.
    pub memory: Remembered,
}

/// What is remembered between calls.
#[derive(Default)]
pub struct Remembered {
    families: Families,
    launched: bool,
    loaders: HashMap<FileId, bool>,
    processes: u32,
    /// The notified call that is being decided.
    waiting: u64,
}

impl Judge {
    /// Answers until nobody uses the filter any more.
    pub fn run(mut self) {
        while self.wait() {
            match seccomp::receive(&self.listener) {
                Ok(request) => self.handle(&request),
                // The caller died, or a signal came: on to the next.
                Err(Errno::ENOENT | Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => {
                    tracing::error!(%errno, "no notified call can be received any more");
                    return;
                }
            }
        }
    }

    /// Waits for a call; false once there is nobody left who could make one.
    fn wait(&self) -> bool {
        loop {
            let mut fds = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => {
                    tracing::error!(%errno, "poll");
                    return false;
                }
            }
            let events = fds[0].revents().unwrap_or(PollFlags::empty());
            if events.contains(PollFlags::POLLIN) {
                return true;
            }
            if events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) {
                return false;
            }
        }
    }

    fn handle(&mut self, request: &seccomp::Request) {
        let call = Call {
            name: syscalls::name(Arch::THIS, request.data.nr as u32),
            number: request.data.nr as u32,
            args: request.data.args,
        };
        let tid = request.pid as i32;
        self.memory.waiting = request.id;
        let outcome = match Caller::of(tid) {
            Ok(caller) => {
                let outcome = self.judge(&call, &caller);
                if !self.waits() {
                    return;
                }
                self.conclude(outcome, &call, &caller)
            }
            Err(_) if !self.waits() => return,
            // Without /proc, or out of descriptors, nothing is known of the caller.
            Err(errno) => {
                tracing::error!(tid, %errno, "a caller cannot be looked at");
                Conclusion::Answer(if self.audit { Answer::Continue } else { Answer::Fail(Errno::EPERM) })
            }
        };
        let answered = match outcome {
            Conclusion::Answer(answer) => seccomp::answer(&self.listener, request.id, answer),
            Conclusion::Hand(fd, close) => {
                seccomp::answer_with_descriptor(&self.listener, request.id, &fd, close).or_else(|errno| {
                    // The caller's table is full; it waits for an answer all the same.
                    seccomp::answer(&self.listener, request.id, Answer::Fail(errno))
                })
            }
            Conclusion::Nothing => Ok(()),
        };
        match answered {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => tracing::error!(%errno, call = call.name, "a call could not be answered"),
        }
    }

    /// Whether the caller still waits: then what was read of its thread id was
    /// read of it, and of no other that took the number over.
    fn waits(&self) -> bool {
        seccomp::still_valid(&self.listener, self.memory.waiting)
    }

    /// Finds out what has to be known of a call, and asks the rulebook.
    fn judge(&mut self, call: &Call, caller: &Caller) -> Outcome {
        let Some(name) = call.name else { return Outcome::Refuse(self.rules.unlisted(call)) };
        let special = match name {
            "execve" | "execveat" => self.exec(call, caller),
            "open" | "openat" | "openat2" | "creat" => self.open(call, caller),
            "mkdir" | "mkdirat" | "mknod" | "mknodat" | "symlink" | "symlinkat" | "link" | "linkat"
            | "unlink" | "unlinkat" | "rmdir" | "rename" | "renameat" | "renameat2" | "truncate" => {
                self.change(call, caller)
            }
            "bind" => self.address(call, caller, Direction::Listen),
            "connect" => self.address(call, caller, Direction::Connect),
            "socket" => self.socket(call),
            "kill" | "tkill" | "tgkill" | "rt_sigqueueinfo" | "rt_tgsigqueueinfo" | "pidfd_open" => {
                self.signal(call)
            }
            "mmap" | "mprotect" | "pkey_mprotect" | "shmat" if self.rules.access(name).is_some() => {
                Outcome::Refuse(self.rules.memory(call))
            }
            "clone" | "fork" | "vfork" => self.fork(call),
            _ => self.other(call, caller),
        };
        // A section may grant what no call of the profile reaches.
        match special {
            Outcome::Continue | Outcome::Done(_) | Outcome::Opened(..)
                if self.rules.access(name).is_none() && !self.is_launch(caller) =>
            {
                Outcome::Refuse(self.rules.unlisted(call))
            }
            outcome => outcome,
        }
    }

    fn other(&self, call: &Call, caller: &Caller) -> Outcome {
        let name = call.name.unwrap_or_default();
        match self.rules.access(name) {
            None => Outcome::Refuse(self.rules.unlisted(call)),
            Some(Access::When(_)) => Outcome::Refuse(self.rules.argument(call)),
            Some(Access::Allow | Access::Notify) => {
                let ids = Ids { uids: caller.uids, gids: caller.gids };
                let refused = syscalls::privileged(name)
                    .and_then(|capability| self.rules.capability(call, capability, &ids));
                refused.map_or(Outcome::Continue, Outcome::Tell)
            }
        }
    }

    /// The filter lets these through by their registers unless they are for the
    /// supervisor.
    fn signal(&self, call: &Call) -> Outcome {
        match call.name.and_then(|name| self.rules.access(name)) {
            None => Outcome::Refuse(self.rules.unlisted(call)),
            Some(Access::When(_)) => Outcome::Refuse(self.rules.signal(call)),
            Some(_) => Outcome::Continue,
        }
    }

    fn socket(&self, call: &Call) -> Outcome {
        let [family, kind, protocol] = [0, 1, 2].map(|arg: usize| call.args[arg] as i32);
        match self.rules.socket(family, kind, protocol) {
            Some(refusal) => Outcome::Refuse(refusal),
            None => Outcome::Fail(Errno::EAFNOSUPPORT),
        }
    }

    /// A bind or connect. The address is copied once, to be seen and told; a thread
    /// that changes it afterwards meets Landlock's port rules, or a socket of a kind
    /// that the profile allows with any address.
    fn address(&mut self, call: &Call, caller: &Caller, direction: Direction) -> Outcome {
        const LONGEST: u64 = 128;
        let length = call.args[2].min(LONGEST) as usize;
        let read = Memory::of(&self.identity, caller)
            .bytes(call.args[1], length)
            .and_then(|bytes| Address::read(&bytes));
        let address = match read {
            Ok(address) => address,
            Err(errno) => return unknown(errno),
        };
        let protocol = self.protocol(caller, call.args[0] as i32);
        if let Err(refusal) = self.rules.address(direction, protocol, &address) {
            return Outcome::Refuse(refusal);
        }
        match address {
            Address::UnixPath(path) if direction == Direction::Listen => self.bind_path(&path, caller),
            _ => Outcome::Continue,
        }
    }

    /// The protocol of a socket, which sockfs tells as an extended attribute.
    fn protocol(&self, caller: &Caller, fd: i32) -> Protocol {
        let path = PathBuf::from(format!("/proc/{}/fd/{fd}", caller.tid));
        let name = self.identity.look_as_caller(caller, || crate::sys::process::socket_protocol(&path));
        match name.as_deref() {
            Ok([b'T', b'C', b'P', ..]) => Protocol::Tcp,
            Ok([b'U', b'D', b'P', ..]) => Protocol::Udp,
            _ => Protocol::Other,
        }
    }

    fn fork(&mut self, call: &Call) -> Outcome {
        let name = call.name.unwrap_or_default();
        if self.rules.access(name).is_none() {
            return Outcome::Refuse(self.rules.unlisted(call));
        }
        // Without a limit only what the registers refuse comes here.
        let Some(most) = self.rules.policy().processes else {
            return Outcome::Refuse(self.rules.argument(call));
        };
        if self.rules.is_forbidden_clone(call) {
            return Outcome::Refuse(self.rules.argument(call));
        }
        if self.rules.makes_thread(call) {
            return Outcome::Continue;
        }
        // Counted up without looking, and counted anew before anything is refused:
        // processes end without a word to us.
        if self.memory.processes >= most {
            match super::descendants::count(std::process::id() as i32) {
                Ok(now) => self.memory.processes = now,
                Err(errno) => {
                    tracing::error!(%errno, "processes cannot be counted");
                    return Outcome::Fail(Errno::EAGAIN);
                }
            }
        }
        match self.rules.processes(self.memory.processes) {
            Some(refusal) => Outcome::Refuse(refusal),
            None => {
                self.memory.processes += 1;
                Outcome::Continue
            }
        }
    }

    fn is_launch(&self, caller: &Caller) -> bool {
        !self.memory.launched && caller.tgid == self.app
    }

    /// Turns an outcome into an answer, once it is known that the caller waits.
    fn conclude(&mut self, outcome: Outcome, call: &Call, caller: &Caller) -> Conclusion {
        match outcome {
            Outcome::Continue => Conclusion::Answer(Answer::Continue),
            // Audit changes nothing of what the app does.
            Outcome::Fail(_) if self.audit => Conclusion::Answer(Answer::Continue),
            Outcome::Fail(errno) => Conclusion::Answer(Answer::Fail(errno)),
            Outcome::Done(value) => Conclusion::Answer(Answer::Value(value)),
            Outcome::Opened(fd, close) => Conclusion::Hand(fd, close),
            Outcome::Tell(refusal) => {
                self.report(&refusal, caller, self.told_action());
                Conclusion::Answer(Answer::Continue)
            }
            Outcome::Refuse(refusal) => self.refuse(&refusal, call, caller),
        }
    }

    fn refuse(&mut self, refusal: &Refusal, call: &Call, caller: &Caller) -> Conclusion {
        use crate::event::Action;
        if self.audit {
            self.report(refusal, caller, Action::Observed);
            return Conclusion::Answer(Answer::Continue);
        }
        match self.rules.policy().on_violation {
            OnViolation::Deny => {
                self.report(refusal, caller, Action::Denied);
                Conclusion::Answer(Answer::Fail(refusal.errno))
            }
            OnViolation::Kill => {
                self.report(refusal, caller, Action::Killed);
                // Who still waits after its pidfd was made is whom the pidfd names.
                let killed = crate::sys::process::pidfd(caller.tgid).and_then(|fd| {
                    if self.waits() { crate::sys::signal::send_pidfd(&fd, libc::SIGKILL) } else { Ok(()) }
                });
                if let Err(errno) = killed {
                    tracing::error!(pid = caller.tgid, %errno, call = call.name, "could not be killed");
                }
                Conclusion::Answer(Answer::Fail(refusal.errno))
            }
            OnViolation::Stop => {
                self.report(refusal, caller, Action::Stopped);
                (self.requests)(Request::Stop);
                // It waits for an answer until it is killed with all the others.
                Conclusion::Nothing
            }
        }
    }
}

/// What becomes of a call of which something could not be found out. The kernel
/// fails there by itself, or decides without being seen; but where it is the
/// supervisor that lacks something, nobody has looked, and it fails.
fn unknown(errno: Errno) -> Outcome {
    if is_own_shortage(errno) { Outcome::Fail(errno) } else { Outcome::Continue }
}

/// Descriptors or memory of the supervisor's own have run out.
const fn is_own_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)
}

enum Conclusion {
    Answer(Answer),
    Hand(OwnedFd, bool),
    Nothing,
}
