//! The check after the exec: what was really started is looked at before its first
//! instruction.
//!
//! A supervisor that reads the path of an execve and lets the call go on has decided
//! about memory that another thread rewrites meanwhile. So a thread whose exec is let go
//! on is seized first (ptrace(2)). The kernel stops it once the new program is in place
//! and before it runs; then its inode, and the kernel's own copy of arguments and
//! environment, are judged ([`started`](crate::policy::started)), and it is let go or
//! killed. Nobody else can reach that process: its memory is new, its stack was written
//! by the kernel, and every other thread of it is gone.
//!
//! What has to be heeded, and where it is:
//!
//! * **One thread decides, seizes and follows**; the first one does PID 1's other duties,
//!   and what it sees of the seized it passes on ([`follow`]).
//! * **One exec at a time in a process.** To seize takes the process's exec lock
//!   (cred_guard_mutex), which an exec in flight holds while it waits for the other
//!   threads to end, those too that only their tracer can bury. So the rest of the
//!   process queues, changes of user too ([`Tracer::ask`]).
//! * **The interrupt before the answer.** With WAIT_KILLABLE_RECV it wakes nobody; after
//!   the call exactly one stop follows, that of the exec or, where this failed, the one
//!   asked for. After the answer it would break into another call, and show as EINTR.
//!   Below Linux 5.19 it would break the wait for the answer itself: there a thread
//!   whose exec fails stays seized until its next one, and its signals are handed on.
//! * **A number is not a thread.** The notification is still valid before and after the
//!   seizing, or whoever has the number by now is let go again.
//! * **Whoever cannot be seized does not execute**: a process that another traces, or
//!   that made itself undumpable. With the check armed no exec goes on unseized.
//! * **A process that changes its user**, or makes itself undumpable, could not be seized any
//!   more. It is while it still can be, with all its threads and whatever they fork, until
//!   its next exec; to seize it again then takes its real ids for a moment. What of it cannot
//!   be read it hands out itself ([`hand`]); for that it is seized where no exec is checked
//!   too.
//! * **The seized die with us** (EXITKILL), so nothing runs unjudged.
//!
//! What a thread maps as code, where its program says from where it may, is looked at in
//! the same way ([`mapped`]): it stops after the call. But its siblings do not, so that
//! this narrows what an exec's check guarantees.

#![forbid(unsafe_code)]

mod ask;
pub mod desk;
pub mod examine;
mod follow;
mod hand;
mod look;
mod mapped;
mod refused;
mod script;
mod seize;

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use nix::errno::Errno;
use nix::sys::eventfd::EventFd;

pub use self::ask::{Ask, Outcome, What};
use self::desk::Desk;
use self::examine::{Found, Job, Remembered, Work};
pub use self::hand::Notified;
use crate::event::{Action, Object};
use crate::ids::{Pid, Tid};
use crate::notify::caller::{Caller, Identity, Memory};
use crate::notify::handed::Handed;
use crate::policy::started::{Started, Verdict};
use crate::policy::{Denial, PolicyEngine};
use crate::procfs::processes;
use crate::sys::ptrace;
use crate::sys::seccomp::{self, Answer, NotificationId};
use crate::sys::threads;

/// Why a thread is seized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// For one exec, or one mapping.
    Exec,
    /// Until its next successful exec.
    Kept,
    /// The same, and it waits for its parent's stop, which says whose child it is.
    Born,
    /// It is to be killed, and runs no more.
    Condemned,
}

/// The execs of a process, and what it maps.
#[derive(Debug, Default)]
struct Group {
    flight: Option<Flight>,
    queue: VecDeque<Ask>,
}

/// A call that was let go on.
#[derive(Debug)]
struct Flight {
    tid: i32,
    ask: Ask,
    /// A stop was asked for, and is still to come.
    interrupted: bool,
    /// What was started, while it is judged.
    started: Option<Arc<Started>>,
    /// It has mapped something and is stopped, with this signal, while that is judged.
    stopped: Option<i32>,
}

/// The check, in the thread that decides about calls.
pub struct Tracer {
    rules: Arc<PolicyEngine>,
    identity: Identity,
    /// The launched process, which is PID 1's own child.
    app: i32,
    /// PID 1.
    me: i32,
    desk: Arc<Desk>,
    listener: Option<Arc<OwnedFd>>,
    /// The wait for an answer is not broken by an interrupt.
    killable: bool,
    /// What is still to be told.
    outcomes: Vec<Outcome>,
    seized: HashMap<i32, Hold>,
    handings: HashMap<i32, hand::Handing>,
    /// What threads hand out, by the call that they wait in.
    handed: HashMap<i32, (Notified, Arc<Handed>)>,
    groups: HashMap<i32, Group>,
    /// Calls that are answered once it has been told why.
    refused: Vec<(Ask, Errno, Action)>,
    found: Arc<Mutex<Found>>,
    examiner: Option<Sender<Work>>,
}

impl Tracer {
    /// One that waits for a listener; `killable` says whether the filter was loaded so
    /// that only a kill breaks a wait for an answer.
    ///
    /// # Errors
    /// There is no descriptor left, or eventfd(2) is refused.
    pub fn new(rules: Arc<PolicyEngine>, killable: bool) -> Result<Tracer, Errno> {
        Ok(Tracer {
            rules,
            identity: Identity::own()?,
            app: 0,
            me: nix::unistd::getpid().as_raw(),
            desk: Arc::new(Desk::new()?),
            listener: None,
            killable,
            outcomes: Vec::new(),
            seized: HashMap::new(),
            handings: HashMap::new(),
            handed: HashMap::new(),
            groups: HashMap::new(),
            refused: Vec::new(),
            found: Arc::default(),
            examiner: None,
        })
    }

    /// Where others tell it something.
    pub fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// What rings when they have.
    pub fn bell(&self) -> &EventFd {
        self.desk.bell()
    }

    /// The filter is in force.
    pub fn begin(&mut self, app: i32, listener: Arc<OwnedFd>) {
        self.app = app;
        self.listener = Some(listener);
    }

    /// What is to be told by now.
    pub fn outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// A notified call: at once, or once the exec in flight of its process is over.
    pub fn ask(&mut self, ask: Ask) {
        // Of a thread that an exec of its process has ended meanwhile, whose number the
        // new program has: nothing of that is over.
        if !self.still_waits(ask.id) {
            return;
        }
        let group = self.groups.entry(ask.caller.tgid.as_raw()).or_default();
        match &mut group.flight {
            None => self.begin_one(ask),
            // It calls, so its exec is over, and nobody saw a stop for it.
            Some(flight) if flight.tid == ask.caller.tid.as_raw() => {
                group.flight = None;
                self.begin_one(ask);
            }
            Some(flight) => {
                if !flight.interrupted {
                    // Below 5.19: whether it is over, a stop will tell.
                    flight.interrupted = true;
                    gone_or(ptrace::interrupt(flight.tid), "interrupted");
                }
                group.queue.push_back(ask);
            }
        }
    }

    /// Lets a call go on under our eyes.
    fn begin_one(&mut self, ask: Ask) {
        let (tid, tgid) = (ask.caller.tid.as_raw(), ask.caller.tgid.as_raw());
        if matches!(ask.what, What::Map { .. }) && !self.killable {
            // Nothing can be asked for in advance: what it maps was looked at before.
            self.answer(ask.id, Answer::Continue);
            return self.forget_if_idle(tgid);
        }
        let begun = match ask.what {
            _ if !self.still_waits(ask.id) => Err(Errno::ESRCH),
            What::Exec { .. } | What::Map { .. } if self.is_seized(tid) => Ok(()),
            What::Exec { .. } | What::Map { .. } => self.seize(tid, &ask.caller),
            What::User => self.seize_all(&ask.caller),
            What::Readable => Ok(()),
        };
        match begun {
            Ok(()) => {}
            // What it asks for later and cannot be read is refused then.
            Err(errno) if errno != Errno::ESRCH && ask.what.is_of_the_caller() && !self.rules.checks() => {
                tracing::debug!(tid, %errno, "cannot be traced");
            }
            // Who has the number now waits for nothing of ours.
            Err(Errno::ESRCH) => return self.forget_if_idle(tgid),
            Err(errno) => {
                self.refuse(&ask, errno);
                return self.forget_if_idle(tgid);
            }
        }
        // Another may have taken the number between the question and the seizing.
        if !self.still_waits(ask.id) {
            if self.seized.get(&tid) == Some(&Hold::Exec) {
                gone_or(ptrace::interrupt(tid), "interrupted");
            }
            return self.forget_if_idle(tgid);
        }
        let id = ask.id;
        if matches!(ask.what, What::Readable) {
            self.let_go(tid, &ask.caller);
        } else if !ask.what.is_of_the_caller() {
            let interrupted = self.killable;
            if interrupted {
                gone_or(ptrace::interrupt(tid), "interrupted");
            }
            let flight = Flight { tid, ask, interrupted, started: None, stopped: None };
            self.groups.entry(tgid).or_default().flight = Some(flight);
        }
        self.answer(id, Answer::Continue);
        self.forget_if_idle(tgid);
    }

    /// A thread whose process can be read again, by its own call that goes on now, stops
    /// after the call and is let go. Not where an exec is checked, which finds it traced.
    fn let_go(&mut self, tid: i32, caller: &Caller) {
        let is_one_user = caller.uids.iter().all(|uid| *uid == caller.uids[0]);
        let is_one_group = caller.gids.iter().all(|gid| *gid == caller.gids[0]);
        let lasts = self.rules.checks() || !is_one_user || !is_one_group;
        if self.killable && !lasts && self.is_seized(tid) && self.seized.get(&tid) == Some(&Hold::Kept) {
            self.seized.insert(tid, Hold::Exec);
            gone_or(ptrace::interrupt(tid), "interrupted");
        }
    }

    /// Whether a number is a thread's that is seized, and not that of one which had it before:
    /// who traces it the kernel says.
    fn is_seized(&mut self, tid: i32) -> bool {
        let is = self.seized.contains_key(&tid) && processes::tracer(Tid::from_raw(tid)) == Some(Tid::own());
        if !is {
            self.seized.remove(&tid);
        }
        is
    }

    fn still_waits(&self, id: NotificationId) -> bool {
        self.listener.as_ref().is_some_and(|listener| seccomp::still_valid(listener, id) == Ok(true))
    }

    fn answer(&self, id: NotificationId, answer: Answer) {
        let Some(listener) = &self.listener else { return };
        let answered = match answer {
            Answer::Continue => seccomp::let_execute(listener, id),
            answer => seccomp::answer(listener, id, answer),
        };
        match answered {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => tracing::error!(%errno, "a call could not be answered"),
        }
    }

    fn stopped(&mut self, tid: i32, signal: i32, event: i32) {
        // In no stop of ours any more: it was killed, and may be buried already.
        let Ok(message) = ptrace::message(tid) else { return };
        // Before anything else: it may have another number than the thread that was seized.
        if event == ptrace::EVENT_EXEC {
            return self.executed(tid, message);
        }
        if self.goes_on_handing(tid, signal, event) {
            return;
        }
        self.renumber(tid);
        if tid == self.app
            && event == ptrace::EVENT_STOP
            && signal != libc::SIGTRAP
            && self.seized.get(&tid) == Some(&Hold::Kept)
        {
            self.outcomes.push(Outcome::Stopped { pid: tid, signal });
        }
        let hold = *self.seized.entry(tid).or_insert(Hold::Born);
        let done = match event {
            _ if matches!(hold, Hold::Condemned | Hold::Born) => Ok(()),
            event if ptrace::EVENTS_CHILD.contains(&event) => {
                let child = message;
                self.outcomes
                    .push(Outcome::Forked { child: Pid::from_raw(child), parent: Tid::from_raw(tid) });
                match self.seized.get(&child) {
                    Some(Hold::Born) => {
                        self.seized.insert(child, Hold::Kept);
                        gone_or(ptrace::go_on(child, 0), "let go on");
                    }
                    Some(_) => {}
                    // One that was killed at once may be buried already, and its number
                    // anybody's, who would then execute unseized.
                    None if processes::tracer(Tid::from_raw(child)) == Some(Tid::own()) => {
                        self.seized.insert(child, Hold::Kept);
                    }
                    None => {}
                }
                ptrace::go_on(tid, 0)
            }
            ptrace::EVENT_STOP => self.stopped_between(tid, signal, hold),
            // For a signal, which it gets.
            _ => ptrace::go_on(tid, if event == 0 { signal } else { 0 }),
        };
        gone_or(done, "let go on");
    }

    /// A stop that was asked for, that begins a child, or that is the group's: an exec
    /// in flight of this thread has failed.
    fn stopped_between(&mut self, tid: i32, signal: i32, hold: Hold) -> Result<(), Errno> {
        let flies = |group: &Group| group.flight.as_ref().is_some_and(|f| f.tid == tid && f.interrupted);
        let group = self.groups.iter().find(|(_, group)| flies(group)).map(|(tgid, _)| *tgid);
        if let Some(tgid) = group.filter(|tgid| self.maps(*tgid)) {
            self.mapped(tgid, signal);
            return Ok(());
        }
        let done = if hold == Hold::Exec {
            self.seized.remove(&tid);
            ptrace::detach(tid)
        } else if signal == libc::SIGTRAP {
            ptrace::go_on(tid, 0)
        } else {
            ptrace::stay_stopped(tid)
        };
        if let Some(tgid) = group {
            self.over(tgid);
        }
        done
    }

    /// The exec of a process is over: the next of its threads.
    fn over(&mut self, tgid: i32) {
        let Some(group) = self.groups.get_mut(&tgid) else { return };
        group.flight = None;
        while let Some(group) = self.groups.get_mut(&tgid)
            && group.flight.is_none()
            && let Some(next) = group.queue.pop_front()
        {
            self.begin_one(next);
        }
        self.forget_if_idle(tgid);
    }

    fn forget_if_idle(&mut self, tgid: i32) {
        if self.groups.get(&tgid).is_some_and(|group| group.flight.is_none() && group.queue.is_empty()) {
            self.groups.remove(&tgid);
        }
    }

    /// A thread that was not the first takes the first one's number in an exec, and may stop
    /// with it before its program is in place: for a signal by which that fails.
    fn renumber(&mut self, pid: i32) {
        if self.seized.contains_key(&pid) {
            return;
        }
        let flight = self.groups.get_mut(&pid).and_then(|group| group.flight.as_mut());
        let Some(flight) = flight.filter(|flight| matches!(flight.ask.what, What::Exec { .. })) else {
            return;
        };
        if let Some(hold) = self.seized.remove(&flight.tid) {
            flight.tid = pid;
            self.seized.insert(pid, hold);
        }
    }

    /// A new program is in place and has not run; `old` is the number of the thread that
    /// executed it.
    fn executed(&mut self, pid: i32, old: i32) {
        self.seized.remove(&old);
        for tid in [old, pid] {
            self.handings.remove(&tid);
            self.handed.remove(&tid);
        }
        self.seized.insert(pid, Hold::Kept);
        if !self.rules.checks() {
            return self.executed_unchecked(pid);
        }
        let is_exec = |flight: &&mut Flight| matches!(flight.ask.what, What::Exec { .. });
        let flight = self.groups.get_mut(&pid).and_then(|group| group.flight.as_mut());
        let Some(flight) = flight.filter(is_exec) else {
            // No exec goes on unasked.
            tracing::error!(pid, "executed unasked");
            return self.kill(pid);
        };
        flight.tid = pid;
        let (caller, id, entry) = (flight.ask.caller.clone(), flight.ask.id, flight.ask.entry());
        match look::at(pid, &caller, &self.identity, &self.rules) {
            Ok(mut started) => {
                let judged = self.rules.started(entry, &started, &Remembered(&self.found));
                let short = judged.is_err() && started.shorten();
                let started = Arc::new(started);
                flight.started = Some(Arc::clone(&started));
                match judged {
                    Ok(verdict) => self.conclude(pid, id, verdict),
                    Err(_) => {
                        let job = Job { pid, id, caller, entry, started, short };
                        self.examine(pid, Work::Started(Box::new(job)));
                    }
                }
            }
            // Killed meanwhile: its end is told.
            Err(_) if ptrace::message(pid).is_err() => {}
            Err(errno) => {
                tracing::debug!(pid, %errno, "what was started cannot be looked at");
                let object = match &flight.ask.what {
                    What::Exec { object, .. } | What::Map { object, .. } => object.clone(),
                    What::User | What::Readable => Object::Name { name: "unreadable".into() },
                };
                let refusal = Denial { object, ..*self.rules.unreadable_program() };
                self.conclude(pid, id, Verdict::Dies(Box::new(refusal)));
            }
        }
    }

    /// A process executed a program, and no rule asks which: it is let go, but where its new
    /// program cannot be read either.
    fn executed_unchecked(&mut self, pid: i32) {
        let readable =
            Caller::of(Tid::from_raw(pid)).and_then(|caller| Memory::of(&self.identity, &caller).open());
        let done = if readable.is_ok() {
            self.seized.remove(&pid);
            ptrace::detach(pid)
        } else {
            ptrace::go_on(pid, 0)
        };
        gone_or(done, "let go on");
    }

    /// A file has to be looked into; it stays stopped for so long.
    fn examine(&mut self, pid: i32, job: Work) {
        let examiner = match self.examiner.take() {
            Some(examiner) => Some(examiner),
            None => self.start_examiner(),
        };
        let sent = examiner.as_ref().is_some_and(|examiner| examiner.send(job).is_ok());
        self.examiner = examiner;
        if !sent {
            tracing::error!(pid, "nobody can look into its file");
            self.kill(pid);
        }
    }

    fn start_examiner(&self) -> Option<Sender<Work>> {
        let (to, jobs) = channel();
        let (desk, rules, found) = (self.desk(), Arc::clone(&self.rules), Arc::clone(&self.found));
        let identity = self.identity.clone();
        let examine = move || examine::run(&jobs, &desk, &rules, &found, &identity);
        threads::run("examiner", examine).ok().map(|()| to)
    }

    /// It runs, or dies once it has been told of: until then it stays stopped, and can
    /// still be looked at.
    fn conclude(&mut self, pid: i32, id: NotificationId, verdict: Verdict) {
        let flight = self.groups.get(&pid).and_then(|group| group.flight.as_ref());
        let Some(flight) = flight.filter(|flight| flight.ask.id == id) else { return };
        if matches!(flight.ask.what, What::Map { .. }) {
            return self.conclude_mapped(pid, verdict);
        }
        if flight.tid != pid {
            return;
        }
        let program = self.program(&flight.ask);
        let caller = look::after_exec(pid, &flight.ask.caller);
        let expected = match flight.ask.what {
            What::Exec { expected, .. } => expected,
            What::User | What::Readable | What::Map { .. } => None,
        };
        let started = self.groups.get_mut(&pid).and_then(|group| group.flight.as_mut()?.started.take());
        let verdict = match (verdict, started) {
            // Live ones were counted for what its memory said.
            (Verdict::Runs(entry), _) if Some(entry) != expected && self.rules.instances(entry).is_some() => {
                self.rules.too_many(entry, u32::MAX - 1).map_or(Verdict::Runs(entry), Verdict::Dies)
            }
            (Verdict::Runs(entry), Some(started)) => {
                self.outcomes.push(Outcome::Runs { caller: caller.clone(), entry, started });
                Verdict::Runs(entry)
            }
            (verdict, _) => verdict,
        };
        match verdict {
            Verdict::Runs(_) => {
                self.seized.remove(&pid);
                gone_or(ptrace::detach(pid), "let go");
                self.over(pid);
            }
            Verdict::Dies(_) if self.listener.is_none() => self.kill(pid),
            Verdict::Dies(refusal) => {
                self.seized.insert(pid, Hold::Condemned);
                self.outcomes.push(Outcome::Refused { caller, program, refusal, action: Action::Killed });
            }
        }
    }

    /// What calls, for people.
    fn program(&self, ask: &Ask) -> Option<PathBuf> {
        match &ask.what {
            What::Exec { program: Some(program), .. } => Some(program.clone()),
            _ => ask.entry().map(|entry| self.rules.program_path(entry).to_owned()),
        }
    }
}

/// A thread may end at any moment; nothing else may go wrong with one that is ours.
fn gone_or(done: Result<(), Errno>, what: &str) {
    match done {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => tracing::error!(%errno, "a seized thread could not be {what}"),
    }
}
