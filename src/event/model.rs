//! The events, as values whose serde form is exactly the documented line.
//!
//! An [`Event`] knows what happened; seq, nonce, time and policy are put around it when
//! it is written ([`Event::tail`], [`line()`]). Keys come in the order of the
//! fields here.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::names::{
    ActionTaken, ErrnoName, LayerName, LayerReportState, ModeSource, SignalName, ViolationKind,
};
use super::time::{seconds, utc};
use crate::kernel::Arch;
use crate::profile::Mode;
use crate::visible;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The app is confined and about to run: what is really enforced.
    Start(StartEvent),
    /// A program was executed.
    Exec(ExecEvent),
    /// A process ended.
    Exit(ExitEvent),
    /// Something was refused, or in audit would have been. Boxed: it is the
    /// largest by far.
    Violation(Box<Violation>),
    /// A signal was forwarded.
    Signal(SignalEvent),
    /// Start-up is over.
    Ready(ReadyEvent),
    /// Events were lost; written by the writer itself.
    Dropped(DroppedEvent),
    /// The end of the container.
    Stop(StopEvent),
}

/// The profile in force, on every event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyId {
    /// The profile's name.
    pub name: String,
    /// `sha256:` and lower-case hex, of the profile's bytes.
    pub digest: String,
}

/// `start`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StartEvent {
    /// Where the profile came from: a path, or `embedded`. It is written inside
    /// `policy`.
    #[serde(skip)]
    pub profile: String,
    /// The mode, and who said so.
    pub mode: ModeInForce,
    /// The kernel's release, whole.
    pub kernel: String,
    /// The architecture.
    #[serde(serialize_with = "arch")]
    pub arch: Arch,
    /// Every layer.
    pub layers: Vec<LayerReport>,
    /// The app's first process.
    pub process: Process,
    /// In what this place differs from those where the profile was learned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlike: Vec<String>,
    /// The profile asked for more than is enforced. Not written (the layers say
    /// it), but such a start is shown to a person.
    #[serde(skip)]
    pub degraded: bool,
}

/// A mode and who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ModeInForce {
    /// The mode.
    #[serde(serialize_with = "mode")]
    pub value: Mode,
    /// Who said so.
    pub source: ModeSource,
}

/// One layer of the confinement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerReport {
    /// Which.
    pub layer: LayerName,
    /// What became of it.
    pub state: LayerReportState,
    /// What is in it, or why it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Who. A part that could not be found out is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its pid as the supervisor sees it.
    pub pid: u32,
    /// Its parent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_pid: Option<u32>,
    /// Its effective uid as the supervisor sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// What it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<ExecutablePath>,
    /// Its arguments, argv\[0\] first; the writer redacts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExecutablePath {
    /// By the profile's path where it is listed.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
}

/// `exec`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExecEvent {
    /// Allowed, or observed.
    pub action: ActionTaken,
    /// The process, running the new program.
    pub process: Process,
    /// The programs of its parent and of those above, nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "paths")]
    pub ancestors: Vec<PathBuf>,
    /// What the file would have given, had no_new_privs not voided it:
    /// `set-user-id`, `set-group-id`, `capabilities`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub voided: Vec<&'static str>,
}

/// `exit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExitEvent {
    /// The process as it was.
    pub process: Process,
    /// Its status; none where it went to its parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Status>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal(SignalName),
}

/// `violation`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// Of which section.
    pub kind: ViolationKind,
    /// What was done about it.
    pub action: ActionTaken,
    /// What the app was answered, or in audit would have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<ErrnoName>,
    /// What it wanted.
    pub object: ViolationObject,
    /// JSON Pointer of the section or entry that does not allow it.
    pub rule: Cow<'static, str>,
    /// How many, when this line stands for several.
    #[serde(flatten)]
    pub summary: Option<Summary>,
    /// Who.
    pub process: Process,
    /// The programs of its parent and of those above, nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "paths")]
    pub ancestors: Vec<PathBuf>,
    /// The change of the profile that would allow it; empty where none can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hint: Vec<PatchOp>,
}

/// One line for many violations of one rule by one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How many since the last line about them.
    pub count: u64,
    /// In what time.
    #[serde(serialize_with = "span")]
    pub over: Duration,
}

/// What a violation was about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ViolationObject {
    /// A file or program.
    Path {
        /// As the app named it, made absolute.
        #[serde(serialize_with = "lossy")]
        path: PathBuf,
        /// The rights that were wanted, by the profile's words.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        access: Vec<&'static str>,
    },
    /// A system call.
    Syscall {
        /// Its name, or `number N` where it has none here.
        syscall: Cow<'static, str>,
        /// Its arguments in registers, as many as matter.
        #[serde(serialize_with = "hex")]
        args: Vec<u64>,
    },
    /// A port or socket.
    Address {
        /// By the profile's notation.
        address: String,
        /// `listen` or `connect`.
        access: &'static str,
    },
    /// A capability, a limit, a variable.
    Name {
        /// By the profile's word.
        name: Cow<'static, str>,
    },
}

impl ViolationObject {
    /// A path with no particular right: a program.
    pub fn program(path: impl Into<PathBuf>) -> ViolationObject {
        ViolationObject::Path { path: path.into(), access: Vec::new() }
    }
}

/// One operation of a JSON Patch (RFC 6902).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchOp {
    /// What to do.
    pub op: Op,
    /// JSON Pointer.
    pub path: String,
    /// What to put there.
    pub value: Value,
}

/// The operations that a hint needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Op {
    Add,
    Replace,
}

/// `signal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignalEvent {
    /// Which was sent.
    pub signal: SignalName,
    /// `app`, or `group`.
    pub to: &'static str,
}

/// `ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadyEvent {
    /// Since the start.
    #[serde(serialize_with = "span")]
    pub after: Duration,
    /// `listening`, `notify` or `delay`.
    pub by: &'static str,
}

/// `dropped`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DroppedEvent {
    /// How many events were lost just before this line.
    pub count: u64,
    /// Why.
    pub why: Cow<'static, str>,
}

/// `stop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StopEvent {
    /// How the app ended.
    pub exit: Status,
    /// Processes that ended in all.
    pub ended: u64,
    /// Processes that had to be killed at the end.
    pub killed: u64,
    /// What ended it.
    pub why: Cow<'static, str>,
    /// It was remit's doing or trouble, not the app's own end. Not written, but
    /// such a stop is shown to a person.
    #[serde(skip)]
    pub abnormal: bool,
}

impl Event {
    /// Whether a person has to know, even where only that is written.
    pub fn matters(&self) -> bool {
        match self {
            Event::Start(start) => {
                start.degraded || !start.unlike.is_empty() || start.mode.source == ModeSource::Environment
            }
            Event::Exec(exec) => !exec.voided.is_empty(),
            // Death by SIGSYS is all that is seen of a foreign architecture's call.
            Event::Exit(exit) => exit.exit == Some(Status::Signal(SignalName::SYS)),
            Event::Stop(stop) => stop.abnormal,
            Event::Violation(_) | Event::Dropped(_) => true,
            Event::Signal(_) | Event::Ready(_) => false,
        }
    }

    /// The line from `"time"` on, without its end: [`line()`] puts the rest before
    /// it once its turn has come.
    pub fn tail(&self, time: SystemTime, policy: &PolicyId) -> String {
        let source = if let Event::Start(start) = self { Some(start.profile.as_str()) } else { None };
        let policy = PolicyPart { policy, source };
        match self {
            Event::Start(body) => Tail { time, event: "start", policy, body }.json(),
            Event::Exec(body) => Tail { time, event: "exec", policy, body }.json(),
            Event::Exit(body) => Tail { time, event: "exit", policy, body }.json(),
            Event::Violation(body) => Tail { time, event: "violation", policy, body: &**body }.json(),
            Event::Signal(body) => Tail { time, event: "signal", policy, body }.json(),
            Event::Ready(body) => Tail { time, event: "ready", policy, body }.json(),
            Event::Dropped(body) => Tail { time, event: "dropped", policy, body }.json(),
            Event::Stop(body) => Tail { time, event: "stop", policy, body }.json(),
        }
    }
}

/// A whole line, with its end: the number that it got and the start's nonce, then an
/// event's tail.
pub fn line(seq: u64, nonce: &str, tail: &str) -> String {
    format!("{{\"remit\":1,\"seq\":{seq},\"nonce\":\"{nonce}\",{tail}\n")
}

#[derive(Serialize)]
struct Tail<'a, B: Serialize> {
    #[serde(serialize_with = "when")]
    time: SystemTime,
    event: &'static str,
    policy: PolicyPart<'a>,
    #[serde(flatten)]
    body: &'a B,
}

#[derive(Serialize)]
struct PolicyPart<'a> {
    #[serde(flatten)]
    policy: &'a PolicyId,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
}

impl<B: Serialize> Tail<'_, B> {
    fn json(&self) -> String {
        let mut json =
            serde_json::to_string(self).expect("every key is a string and every path was made text");
        json.remove(0);
        // The line may go to a terminal: serde_json escapes C0 alone.
        if json.is_ascii() && !json.contains('\u{7f}') {
            return json;
        }
        match visible::line(&json) {
            Cow::Borrowed(_) => json,
            Cow::Owned(escaped) => escaped,
        }
    }
}

fn when<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&utc(*time))
}

fn span<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&seconds(*span))
}

fn arch<S: Serializer>(arch: &Arch, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(arch.name())
}

fn mode<S: Serializer>(mode: &Mode, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match mode {
        Mode::Enforce => "enforce",
        Mode::Audit => "audit",
        Mode::Learn => "learn",
        Mode::Off => "off",
    })
}

// A path need not be UTF-8 and JSON has to be: what is not shows as U+FFFD.
fn lossy<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

fn paths<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

fn hex<S: Serializer>(args: &[u64], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(args.iter().map(|arg| format!("{arg:#x}")))
}

#[cfg(test)]
mod tests;
