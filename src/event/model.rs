//! The events, as values whose serde form is exactly the documented line.
//!
//! An [`Event`] has its own fields; seq, nonce, time and policy are added when it is written
//! ([`Event::tail`], [`line()`]). Keys come in the order of the fields here.

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

/// The version of the events. New keys and names keep it; a changed meaning needs a new one.
pub const VERSION: u64 = 1;

/// The names of the events, as [`Event::tail`] writes them.
#[cfg(feature = "tool")]
pub(super) const NAMES: [&str; 8] =
    ["start", "exec", "exit", "violation", "signal", "ready", "dropped", "stop"];

/// An event, as docs/usage.md lists them.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The app is confined and about to run; it lists what is really enforced.
    Start(StartEvent),
    /// A program was executed.
    Exec(ExecEvent),
    /// A process ended.
    Exit(ExitEvent),
    /// A use was refused, or in audit would have been. Boxed, since it is the largest by far.
    Violation(Box<Violation>),
    /// A signal was forwarded.
    Signal(SignalEvent),
    /// Start-up is over.
    Ready(ReadyEvent),
    /// Events were lost. The writer makes it.
    Dropped(DroppedEvent),
    /// The container ends.
    Stop(StopEvent),
}

/// The identity of the profile in force, on every event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyId {
    /// The profile's name.
    pub name: String,
    /// `sha256:` and lower-case hex, of the profile's bytes.
    pub digest: String,
}

/// The body of `start`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StartEvent {
    /// The source of the profile: a path, or `embedded`. It is written inside `policy`.
    #[serde(skip)]
    pub profile: String,
    /// The mode, and what set it.
    pub mode: ModeInForce,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The processor architecture.
    #[serde(serialize_with = "arch")]
    pub arch: Arch,
    /// The state of every layer.
    pub layers: Vec<LayerReport>,
    /// The app's first process.
    pub process: Process,
    /// How this environment differs from those in which the profile was learned, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlike: Vec<String>,
    /// Variables of the loader that the app did not get; in audit, those that it would not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<VariableFault>,
    /// Less than the profile requires is enforced. It is not written, since the layers say it, but
    /// such a start is written at every level.
    #[serde(skip)]
    pub degraded: bool,
}

/// A variable by which the loader would run code that a process inside may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VariableFault {
    /// Its name.
    pub name: String,
    /// The part of its value: a path, an option, or all of it.
    pub value: String,
    /// Why.
    pub why: String,
}

/// A mode and what set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ModeInForce {
    /// The mode.
    #[serde(serialize_with = "mode")]
    pub value: Mode,
    /// The profile, the environment, a flag or the name that set it.
    pub source: ModeSource,
}

/// The report of one layer of the confinement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerReport {
    /// The layer's name.
    pub layer: LayerName,
    /// Whether it is in force.
    pub state: LayerReportState,
    /// Its content, or why it is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A process. A field that could not be read is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its pid in the supervisor's pid namespace.
    pub pid: u32,
    /// Its parent's pid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_pid: Option<u32>,
    /// Its effective uid in the supervisor's user namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The program that it executes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<ExecutablePath>,
    /// Its arguments, argv\[0\] first; the writer redacts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
}

/// The path of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExecutablePath {
    /// The path of its `programs` entry, otherwise the path of the file.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
}

/// The body of `exec`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExecEvent {
    /// Whether the exec was allowed or observed.
    pub action: ActionTaken,
    /// The process, running the new program.
    pub process: Process,
    /// The programs of its parent and of those above, nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "paths")]
    pub ancestors: Vec<PathBuf>,
    /// Privileges of the file that no_new_privs voided: `set-user-id`, `set-group-id`,
    /// `capabilities`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub voided: Vec<&'static str>,
}

/// The body of `exit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExitEvent {
    /// The process that ended.
    pub process: Process,
    /// Its status; `None` where another process reaped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Status>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It called _exit(2) with this code.
    Code(i32),
    /// A signal killed it.
    Signal(SignalName),
}

/// The body of `violation`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// The section of the profile that it violates.
    pub kind: ViolationKind,
    /// What the supervisor or the filter did.
    pub action: ActionTaken,
    /// The errno of the call, or in audit the one that it would have had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<ErrnoName>,
    /// The file, call, address or name that the process used.
    pub object: ViolationObject,
    /// JSON Pointer of the section or entry that does not allow it.
    pub rule: Cow<'static, str>,
    /// The count, when this line stands for several violations.
    #[serde(flatten)]
    pub summary: Option<ViolationSummary>,
    /// The process that violated the profile.
    pub process: Process,
    /// The programs of its parent and of those above, nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "paths")]
    pub ancestors: Vec<PathBuf>,
    /// The change of the profile that would allow it; empty where no profile can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hint: Vec<PatchOp>,
}

/// One line for many violations of one rule by one program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViolationSummary {
    /// How many since the last line of this pair.
    pub count: u64,
    /// The time in which they came.
    #[serde(serialize_with = "span")]
    pub over: Duration,
    /// The first of the distinct objects that they were about, each with the access.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<String>,
}

/// The object of a violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ViolationObject {
    /// A file or program.
    Path {
        /// The path as the app passed it, made absolute.
        #[serde(serialize_with = "lossy")]
        path: PathBuf,
        /// The rights that the call needed, in the profile's words.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        access: Vec<&'static str>,
    },
    /// A system call.
    Syscall {
        /// Its name, or `number N` where the tables have none.
        syscall: Cow<'static, str>,
        /// The values of its argument registers, as many as matter.
        #[serde(serialize_with = "hex")]
        args: Vec<u64>,
    },
    /// A port or socket.
    Address {
        /// The endpoint in the profile's notation.
        address: String,
        /// `listen` or `connect`.
        access: &'static str,
    },
    /// A variable, by what its value names.
    Variable(Box<VariableFault>),
    /// A capability, a limit, a variable with any value.
    Name {
        /// The profile's word for it.
        name: Cow<'static, str>,
    },
}

impl ViolationObject {
    /// A program: a path without rights.
    pub fn program(path: impl Into<PathBuf>) -> ViolationObject {
        ViolationObject::Path { path: path.into(), access: Vec::new() }
    }
}

/// One operation of a JSON Patch (RFC 6902).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchOp {
    /// The operation.
    pub op: Op,
    /// The JSON Pointer that it applies to.
    pub path: String,
    /// The value to add, or to replace with.
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

/// The body of `signal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignalEvent {
    /// The signal that was sent.
    pub signal: SignalName,
    /// `app`, or `group` for its process group.
    pub to: &'static str,
}

/// The body of `ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadyEvent {
    /// The time since the exec of COMMAND.
    #[serde(serialize_with = "span")]
    pub after: Duration,
    /// The condition that was met: `listening`, `notify` or `delay`.
    pub by: &'static str,
}

/// The body of `dropped`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DroppedEvent {
    /// How many events were lost just before this line.
    pub count: u64,
    /// Why they were lost.
    pub why: Cow<'static, str>,
}

/// The body of `stop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StopEvent {
    /// How the app ended.
    pub exit: Status,
    /// How many processes ended while the container was stopping.
    pub ended: u64,
    /// How many processes were killed at the end.
    pub killed: u64,
    /// Why the container ends.
    pub why: Cow<'static, str>,
    /// Remit ended the container, or killed processes. It is not written, but such a stop is
    /// written at every level.
    #[serde(skip)]
    pub abnormal: bool,
}

impl Event {
    /// Whether the level `violation` writes it too.
    pub fn matters(&self) -> bool {
        match self {
            Event::Start(start) => {
                start.degraded || !start.unlike.is_empty() || start.mode.source == ModeSource::Environment
            }
            Event::Exec(exec) => !exec.voided.is_empty(),
            // A call of a foreign architecture shows only by the SIGSYS that kills its process.
            Event::Exit(exit) => exit.exit == Some(Status::Signal(SignalName::SYS)),
            Event::Stop(stop) => stop.abnormal,
            Event::Violation(_) | Event::Dropped(_) => true,
            Event::Signal(_) | Event::Ready(_) => false,
        }
    }

    /// The line from `"time"` on, without its end. [`line()`] adds the beginning when it is
    /// written.
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

/// A whole line with its newline: seq, the start's nonce, then an event's tail.
pub fn line(seq: u64, nonce: &str, tail: &str) -> String {
    format!("{{\"remit\":{VERSION},\"seq\":{seq},\"nonce\":\"{nonce}\",{tail}\n")
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

// JSON is UTF-8 and a path need not be: other bytes become U+FFFD.
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
