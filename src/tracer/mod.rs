//! The tracer: what an exec really started is verified before its first instruction.
//!
//! A supervisor that reads the path of an execve and continues the call has decided about memory
//! that another thread can rewrite meanwhile. So the thread is attached to first
//! (ptrace(2)). The kernel stops it once the new program is in place and before it runs; then
//! its inode, and the kernel's own copy of arguments and environment, are checked
//! ([`started`](crate::policy::started)), and it is detached or killed. No other process can
//! change it: its memory is new, its stack was written by the kernel, and every other thread
//! of it has ended.
//!
//! A pure [table](state) decides what follows from each event; this module and its parts make
//! the calls. The invariants, and where they are:
//!
//! * **One thread decides and traces**; the first one has PID 1's other duties, and passes on
//!   the reports on traced threads that it took ([`wait`]).
//! * **One exec at a time in a process**, changes of user included: to attach takes the process's
//!   exec lock (cred_guard_mutex), which an exec in flight has locked ([`state::TraceTable`]).
//! * **The interrupt before the answer.** With WAIT_KILLABLE_RECV it wakes no thread; after the
//!   call exactly one stop follows, that of the exec or, where this failed, the requested one.
//!   After the answer it could interrupt another call, and show there as EINTR. Below Linux
//!   5.19 it would interrupt the wait for the answer itself: there a thread whose exec fails
//!   stays traced until its next one, and its signals are delivered.
//! * **A tid is not a thread.** The notification is valid before and after the attaching, or
//!   the thread that has the tid by now is detached again ([`attach`]).
//! * **What cannot be traced does not execute**: a process that another traces, or that made
//!   itself undumpable. Where execs are verified, none continues untraced.
//! * **A process that changes its user**, or makes itself undumpable, could not be attached to
//!   afterwards. So it is attached to before, with all its threads and all that they make, until
//!   its next exec; for that the tracer takes on its real ids for a moment. It hands out itself
//!   what cannot be read of it ([`hand_out`]); for that it is traced where no exec is verified too.
//! * **Traced threads are killed with the supervisor** (EXITKILL), so nothing runs unverified.
//!
//! A thread that maps code, where its program's rule says from where it may, stops after the
//! call in the same way, and all that its process has mapped is checked ([`examine`]): another
//! thread can change which file a descriptor is open on between a check of it and the call.
//! But its siblings do not stop. One that knows the address can run what is mapped there, move
//! it while the list is read, or fork with it: an attacker whose code runs in the process
//! already is not stopped by this.

#![forbid(unsafe_code)]

mod attach;
mod call;
pub mod examine;
mod file_facts;
mod hand_out;
mod inspect;
pub mod mailbox;
mod state;
mod wait;

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use nix::errno::Errno;
use nix::sys::eventfd::EventFd;

pub use self::call::{Operation, Report, TracedCall};
use self::examine::ExaminerJob;
use self::file_facts::FileFacts;
pub use self::hand_out::Notified;
use self::mailbox::TracerMailbox;
use self::state::{Config, TraceTable, TracerAction, TracerEvent};
use crate::ids::{Pid, Tid};
use crate::notify::caller::{Caller, Identity, Memory};
use crate::notify::handed::Handed;
use crate::policy::PolicyEngine;
use crate::sys::seccomp::{self, Answer, NotificationId};
use crate::sys::{process, ptrace, signal, threads};

/// The tracer, in the thread that decides about calls.
pub struct Tracer {
    rules: Arc<PolicyEngine>,
    identity: Identity,
    pid1: Pid,
    mailbox: Arc<TracerMailbox>,
    listener: Option<Arc<OwnedFd>>,
    /// Only a kill interrupts the wait for an answer.
    wait_killable: bool,
    table: TraceTable,
    /// Reports that were not taken yet, oldest first.
    reports: Vec<Report>,
    hand_outs: HashMap<Tid, hand_out::HandOut>,
    /// What threads handed out, by the call that they wait in.
    handed: HashMap<Tid, (Notified, Arc<Handed>)>,
    found: Arc<Mutex<FileFacts>>,
    examiner: Option<Sender<ExaminerJob>>,
}

impl Tracer {
    /// A tracer without a listener yet. `wait_killable`: the filter was loaded with
    /// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV.
    ///
    /// # Errors
    /// EMFILE, ENFILE or ENOMEM, as in eventfd(2).
    pub fn new(rules: Arc<PolicyEngine>, wait_killable: bool) -> Result<Tracer, Errno> {
        let (verifies, on_violation) = (rules.checks(), rules.policy().on_violation);
        Ok(Tracer {
            rules,
            identity: Identity::own()?,
            pid1: Pid::own(),
            mailbox: Arc::new(TracerMailbox::new()?),
            listener: None,
            wait_killable,
            table: TraceTable::new(Config { wait_killable, verifies, on_violation }),
            reports: Vec::new(),
            hand_outs: HashMap::new(),
            handed: HashMap::new(),
            found: Arc::default(),
            examiner: None,
        })
    }

    /// The mailbox that other threads send it messages through.
    pub fn mailbox(&self) -> Arc<TracerMailbox> {
        Arc::clone(&self.mailbox)
    }

    /// The mailbox's eventfd, which becomes readable with a message.
    pub fn wake_fd(&self) -> &EventFd {
        self.mailbox.wake_fd()
    }

    /// The filter of the launched app is in force.
    pub fn start(&mut self, app: Pid, listener: Arc<OwnedFd>) {
        self.table.launched(app);
        self.listener = Some(listener);
    }

    /// Takes what came of calls and traced threads, oldest first.
    pub fn take_reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    /// Continues a notified call traced: at once, or once the call in flight in its process is
    /// over.
    pub fn continue_traced(&mut self, call: TracedCall) {
        let valid = self.is_valid(call.id);
        self.handle(TracerEvent::Called { call, valid });
    }

    /// The event of a [`Report::Denied`] is queued: now the call fails or the process is killed.
    pub fn reported(&mut self, id: NotificationId) {
        self.handle(TracerEvent::Reported(id));
    }

    /// Passes an event to the table and performs what follows, in order: what comes of an action
    /// goes before the next one.
    fn handle(&mut self, event: TracerEvent) {
        let mut actions = VecDeque::from(self.table.step(event));
        while let Some(action) = actions.pop_front() {
            if let Some(event) = self.perform(action) {
                self.table.step(event).into_iter().rev().for_each(|action| actions.push_front(action));
            }
        }
    }

    fn perform(&mut self, action: TracerAction) -> Option<TracerEvent> {
        match action {
            TracerAction::Attach(call) => {
                let (pid, id) = (call.pid(), call.id);
                return Some(TracerEvent::Attached { pid, id, attachment: self.attach(&call) });
            }
            TracerAction::Interrupt(tid) => {
                log_unless_gone("PTRACE_INTERRUPT", ptrace::interrupt(tid.as_raw()))
            }
            TracerAction::Cont(tid, signal) => {
                log_unless_gone("PTRACE_CONT", ptrace::cont(tid.as_raw(), signal))
            }
            TracerAction::Listen(tid) => log_unless_gone("PTRACE_LISTEN", ptrace::listen(tid.as_raw())),
            TracerAction::Detach(tid) => log_unless_gone("PTRACE_DETACH", ptrace::detach(tid.as_raw())),
            TracerAction::Continue(id) => self.answer(id, Answer::Continue),
            TracerAction::Fail(id, errno) => self.answer(id, Answer::Fail(errno)),
            TracerAction::KillCaller(call) => self.kill_caller(&call),
            TracerAction::Kill(pid, caller) => self.kill(pid, caller.as_ref()),
            TracerAction::Probe(pid) => {
                return Some(TracerEvent::Probed { pid, readable: self.is_readable(pid) });
            }
            TracerAction::Inspect(pid, call) => {
                let inspection = inspect::inspect(pid, &call, &self.identity, &self.rules, &self.found);
                return Some(TracerEvent::Inspected { pid, id: call.id, inspection });
            }
            TracerAction::ExamineExec { pid, call, started, cut } => {
                let id = call.id;
                return self.examine(ExaminerJob::Exec { pid, call, started, cut }, pid, id);
            }
            TracerAction::ExamineMappings(call, entry) => {
                let (pid, id) = (call.pid(), call.id);
                return self.examine(ExaminerJob::Mappings(call, entry), pid, id);
            }
            TracerAction::Report(report) => self.reports.push(report),
            TracerAction::ReportDenied { call, caller, refusal, action } => {
                let (id, program) = (call.id, self.program(&call));
                self.reports.push(Report::Denied { id, caller, program, refusal, action });
            }
        }
        None
    }

    fn is_valid(&self, id: NotificationId) -> bool {
        let listener = self.listener.as_ref();
        listener.is_some_and(|listener| seccomp::still_valid(listener, id) == Ok(true))
    }

    fn answer(&self, id: NotificationId, answer: Answer) {
        let Some(listener) = &self.listener else { return };
        let answered = match answer {
            Answer::Continue => seccomp::continue_exec(listener, id),
            answer => seccomp::answer(listener, id, answer),
        };
        match answered {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => tracing::error!(%errno, "a call could not be answered"),
        }
    }

    fn is_readable(&self, pid: Pid) -> bool {
        let caller = Caller::of(pid.first_thread());
        caller.and_then(|caller| Memory::of(&self.identity, &caller).open()).is_ok()
    }

    /// Kills the caller of a call. Where its call is still valid after the pidfd was made, the
    /// pidfd is of its process. Where it cannot be killed its call fails all the same.
    fn kill_caller(&self, call: &TracedCall) {
        let killed = process::pidfd(call.pid().as_raw()).and_then(|fd| {
            if self.is_valid(call.id) {
                call.caller.with_real_ids(|| signal::send_pidfd(&fd, libc::SIGKILL))
            } else {
                Ok(())
            }
        });
        if let Err(errno) = killed {
            tracing::error!(pid = %call.pid(), %errno, "could not be killed");
        }
    }

    /// Kills a stopped process. Not by PTRACE_KILL: before Linux 5.18 that continued a process
    /// that is stopped at an exec.
    fn kill(&self, pid: Pid, caller: Option<&Caller>) {
        let kill = || signal::send(pid.as_raw(), libc::SIGKILL);
        match caller.map_or_else(kill, |caller| caller.with_real_ids(kill)) {
            Ok(()) | Err(Errno::ESRCH) => {}
            // It stays stopped until the supervisor ends, and is killed then (EXITKILL).
            Err(errno) => tracing::error!(%pid, %errno, "could not be killed"),
        }
    }

    /// Has a file read by the examiner, while the process stays stopped.
    fn examine(&mut self, job: ExaminerJob, pid: Pid, id: NotificationId) -> Option<TracerEvent> {
        let examiner = match self.examiner.take() {
            Some(examiner) => Some(examiner),
            None => self.start_examiner(),
        };
        let sent = examiner.as_ref().is_some_and(|examiner| examiner.send(job).is_ok());
        self.examiner = examiner;
        if sent {
            return None;
        }
        tracing::error!(%pid, "no thread can read its files");
        Some(TracerEvent::ExaminerFailed { pid, id })
    }

    fn start_examiner(&self) -> Option<Sender<ExaminerJob>> {
        let (sender, jobs) = channel();
        let (mailbox, rules, found) = (self.mailbox(), Arc::clone(&self.rules), Arc::clone(&self.found));
        let identity = self.identity.clone();
        let examine = move || examine::run(&jobs, &mailbox, &rules, &found, &identity);
        threads::run("examiner", examine).ok().map(|()| sender)
    }

    /// The program that calls, for the event.
    fn program(&self, call: &TracedCall) -> Option<PathBuf> {
        match &call.operation {
            Operation::Exec { program: Some(program), .. } => Some(program.clone()),
            _ => call.entry().map(|entry| self.rules.program_path(entry).to_owned()),
        }
    }
}

/// A thread may end at any moment; nothing else may fail with one that is traced.
fn log_unless_gone(request: &str, result: Result<(), Errno>) {
    match result {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => tracing::error!(%errno, "{request} failed"),
    }
}
