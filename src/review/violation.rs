//! A violation explained: what happened, which rule was missing, whether it looks like a new feature of
//! the app or like an intrusion, and the exact line that would allow it.
//!
//! Every text of an event can be an attacker's: what is printed has to be escaped.

mod signals;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::calls;
use super::input::ReviewInput;
use super::line::{AllowingLine, of_patch};
use super::places::{TextPlace, TextPlaces};
use crate::event::{PatchOp, RefusedUse, VERSION, Want};
use crate::profile::Document;

pub use signals::{IntrusionSignal, Points};

/// The keys of a violation that are explained; an event may have others.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ViolationEvent {
    /// The version of the event.
    #[serde(default)]
    pub remit: Option<u64>,
    /// The kind of the event; only `violation` is explained.
    #[serde(default)]
    pub event: String,
    /// Its number in the start.
    #[serde(default)]
    pub seq: u64,
    /// The nonce of the start.
    #[serde(default)]
    pub nonce: String,
    /// When it happened.
    #[serde(default)]
    pub time: String,
    /// The profile in force.
    #[serde(default)]
    pub policy: EventPolicy,
    /// The section that was violated.
    #[serde(default)]
    pub kind: String,
    /// What followed.
    #[serde(default)]
    pub action: String,
    /// The errno of the call.
    #[serde(default)]
    pub errno: String,
    /// The file, call, address or name.
    #[serde(default)]
    pub object: EventObject,
    /// JSON Pointer of the section or entry that does not allow it.
    #[serde(default)]
    pub rule: String,
    /// How many violations the line stands for.
    #[serde(default)]
    pub count: Option<u64>,
    /// The process.
    #[serde(default)]
    pub process: EventProcess,
    /// Programs of its parent and of those above, nearest first.
    #[serde(default)]
    pub ancestors: Vec<String>,
    /// The JSON Patch that would allow it.
    #[serde(default)]
    pub hint: Value,
}

/// The profile that an event names.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EventPolicy {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// `sha256:` and hex.
    #[serde(default)]
    pub digest: String,
}

/// What a violation is about.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct EventObject {
    /// A file or program.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// Rights, or `listen` and `connect`.
    #[serde(default)]
    pub access: Value,
    /// A call.
    #[serde(default)]
    pub syscall: Option<String>,
    /// Its registers, in hex.
    #[serde(default)]
    pub args: Vec<String>,
    /// An endpoint.
    #[serde(default)]
    pub address: Option<String>,
    /// A capability, a limit, a variable.
    #[serde(default)]
    pub name: Option<String>,
    /// The part of a variable's value.
    #[serde(default)]
    pub value: Option<String>,
    /// Why it is refused.
    #[serde(default)]
    pub why: Option<String>,
}

/// The process of an event.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EventProcess {
    /// Its pid.
    #[serde(default)]
    pub pid: u32,
    /// Its effective uid.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Its program.
    #[serde(default)]
    pub executable: EventExecutable,
    /// Its arguments, redacted.
    #[serde(default)]
    pub args: Vec<String>,
}

/// The program of a process.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EventExecutable {
    /// Its path.
    #[serde(default)]
    pub path: PathBuf,
}

/// What was known of the start when it happened.
#[derive(Clone, Debug, Default)]
pub struct StartContext {
    /// How the environment differs from those in which the profile was learned.
    pub unlike: Vec<String>,
    /// Whether start-up was over; `None`: not known.
    pub is_ready: Option<bool>,
}

/// What a violation looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LooksLike {
    /// An attacker's doing.
    Intrusion,
    /// Something that the app does, and no run has shown.
    NewFeature,
    /// The signals do not decide it.
    Unclear,
}

impl LooksLike {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            LooksLike::Intrusion => "intrusion",
            LooksLike::NewFeature => "new feature",
            LooksLike::Unclear => "unclear",
        }
    }
}

/// A violation explained.
#[derive(Clone, Debug)]
pub struct ViolationExplanation {
    /// What happened, in one sentence.
    pub happened: String,
    /// Which rule was missing, and why it does not allow it.
    pub missing: String,
    /// Where the rule is in the profile's text, if it is this profile's.
    pub place: Option<TextPlace>,
    /// What it looks like.
    pub looks_like: LooksLike,
    /// The signals for and against, each with its points.
    pub signals: Vec<IntrusionSignal>,
    /// What would allow it.
    pub allowing: Option<AllowingLine>,
    /// What limits all of this.
    pub notes: Vec<String>,
}

/// The line is no violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoViolation {
    /// The line is no JSON, or a value has another type: the message of serde_json.
    Malformed(String),
    /// The line has no `event`.
    NoEvent,
    /// The line is an event of this version.
    OtherVersion(u64),
    /// The line is an event of this kind.
    OtherKind(String),
}

impl std::fmt::Display for NoViolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoViolation::Malformed(what) => {
                write!(f, "is no event of remit: {what}; expected a line that begins {{\"remit\":1")
            }
            NoViolation::NoEvent => {
                f.write_str("is no event of remit: it has no \"event\"; expected a violation")
            }
            NoViolation::OtherVersion(version) => {
                write!(
                    f,
                    "is an event of version {version}, and this remit reads {VERSION}; use a newer remit"
                )
            }
            NoViolation::OtherKind(kind) => {
                write!(f, "is an event of the kind {kind:?}; name one of the kind \"violation\"")
            }
        }
    }
}

impl std::error::Error for NoViolation {}

impl ViolationEvent {
    /// Reads one line.
    ///
    /// # Errors
    /// It is no event, or not one of a violation.
    pub fn read(line: &[u8]) -> Result<ViolationEvent, NoViolation> {
        let event: ViolationEvent = serde_json::from_slice(line).map_err(|error| {
            let text = error.to_string();
            NoViolation::Malformed(text.split(" at line ").next().unwrap_or_default().to_owned())
        })?;
        if let Some(version) = event.remit.filter(|version| *version != VERSION) {
            return Err(NoViolation::OtherVersion(version));
        }
        match event.event.as_str() {
            "violation" => Ok(event),
            "" => Err(NoViolation::NoEvent),
            other => Err(NoViolation::OtherKind(other.to_owned())),
        }
    }
}

/// The least points for an intrusion, and for a new feature.
const INTRUSION: u32 = 3;
const FEATURE: u32 = 2;

/// Explains a violation of a profile.
pub fn explain(document: &Document, event: &ViolationEvent, start: &StartContext) -> ViolationExplanation {
    let input = ReviewInput::of(&document.profile);
    let mut notes = Vec::new();
    let is_ours = event.policy.digest == document.digest;
    if !is_ours {
        notes.push(if event.policy.digest.is_empty() {
            "The event does not say for which profile it is.".to_owned()
        } else {
            format!(
                "The event is of the profile {} with the digest {}, and this one has {}: what is said here is about this one.",
                event.policy.name, event.policy.digest, document.digest
            )
        });
    }
    let operations = serde_json::from_value::<Vec<PatchOp>>(event.hint.clone()).unwrap_or_default();
    // Only a hint that remit itself gives for this very profile and use: a line of a log may be the app's.
    let profile = document.value();
    let object = serde_json::to_value(&event.object).unwrap_or_default();
    let refused = RefusedUse { kind: &event.kind, rule: &event.rule, object: &object };
    let want = Want::of(&profile, &operations).filter(|_| is_ours);
    let is_about = want.as_ref().is_some_and(|want| want.is_about(&profile, &refused));
    let allowing = if is_about { of_patch(document, operations.clone()) } else { None };
    if !operations.is_empty() && is_ours && !is_about {
        let why = match want {
            Some(_) => "for something else than what was refused",
            None => "none that remit gives for this profile",
        };
        notes.push(format!("The event's hint is {why}, so it is not shown: the line may not be remit's."));
    }
    if operations.is_empty() {
        notes.push("It has no hint: no profile can allow just this.".into());
    }
    if event.action == "observed" {
        notes.push("It was in audit mode: it was reported, and not refused.".into());
    }
    let signals = signals::find(&input, event, start);
    let points =
        |of: Points| signals.iter().filter(|one| one.points_to == of).map(|one| one.points).sum::<u32>();
    let (intrusion, feature) = (points(Points::Intrusion), points(Points::NewFeature));
    let looks_like = match () {
        () if intrusion >= INTRUSION && intrusion > feature => LooksLike::Intrusion,
        () if feature >= FEATURE && feature > intrusion => LooksLike::NewFeature,
        () => LooksLike::Unclear,
    };
    ViolationExplanation {
        happened: happened(event),
        missing: missing(event),
        place: is_ours.then(|| TextPlaces::of(&document.text).at(&event.rule)),
        looks_like,
        signals,
        allowing,
        notes,
    }
}

/// What happened, in one sentence.
fn happened(event: &ViolationEvent) -> String {
    let caller = match event.process.executable.path.as_os_str().is_empty() {
        true => "A process".to_owned(),
        false => event.process.executable.path.display().to_string(),
    };
    let below = match &event.ancestors[..] {
        [] => String::new(),
        all => format!(", below {},", all.join(", ")),
    };
    let object = &event.object;
    let rights = || {
        let words = object.access.as_array().into_iter().flatten().filter_map(Value::as_str);
        words.collect::<Vec<_>>().join(", ")
    };
    let path = || object.path.as_ref().map_or_else(String::new, |path| path.display().to_string());
    let did = match event.kind.as_str() {
        "program" if object.path.is_some() => format!("wanted to execute {}", path()),
        "file" => match rights() {
            none if none.is_empty() => format!("wanted to use {}", path()),
            rights => format!("wanted to {rights} {}", path()),
        },
        "network" => {
            let side = object.access.as_str().unwrap_or("use");
            let to = if side == "connect" { "connect to" } else { "listen on" };
            match (&object.address, &object.syscall) {
                (Some(address), _) => format!("wanted to {to} {address}"),
                (None, Some(call)) => format!("wanted to call {call}({})", object.args.join(", ")),
                (None, None) => {
                    format!("wanted to use the network ({})", object.name.as_deref().unwrap_or("?"))
                }
            }
        }
        "memory" => "wanted memory that is writable and executable".to_owned(),
        "environment" => format!(
            "was started with the variable {}{}",
            object.name.as_deref().unwrap_or("?"),
            object.value.as_ref().map_or_else(String::new, |value| format!(" naming {value}"))
        ),
        "capability" => format!(
            "wanted what needs the capability {}",
            object.name.as_deref().or(object.syscall.as_deref()).unwrap_or("?")
        ),
        "limit" => format!("came to the limit of {}", object.name.as_deref().unwrap_or("?")),
        _ => match (&object.syscall, &object.path, &object.name) {
            (Some(call), ..) => format!("wanted to call {call}({})", object.args.join(", ")),
            (None, Some(path), _) => format!("wanted to use {}", path.display()),
            (None, None, name) => format!("violated {} ({})", event.kind, name.as_deref().unwrap_or("?")),
        },
    };
    let followed = match event.action.as_str() {
        "denied" if event.errno.is_empty() => "it was refused".to_owned(),
        "denied" => format!("it was refused with {}", event.errno),
        "observed" => "it was let through and reported".to_owned(),
        "killed" => "the process was killed".to_owned(),
        "stopped" => "the container was stopped".to_owned(),
        other => format!("it was {other}"),
    };
    let often = match event.count {
        Some(count) if count > 1 => format!(", {count} times"),
        _ => String::new(),
    };
    let user = event.process.uid.map_or_else(String::new, |uid| format!(" (user {uid})"));
    format!("{caller}{user}{below} {did}{often}; {followed}.")
}

/// Which rule was missing, and why it does not allow it.
fn missing(event: &ViolationEvent) -> String {
    let rule = if event.rule.is_empty() { "the profile" } else { &event.rule };
    let steps: Vec<&str> = event.rule.split('/').skip(1).collect();
    let what = match steps[..] {
        ["programs"] => "no entry lists it".to_owned(),
        ["programs", _, "may_run"] => "it is a program, but not one that this caller may run".to_owned(),
        ["programs", _, "args"] => "it may not be given these arguments".to_owned(),
        ["programs", _, "applet"] => "it is listed under another applet".to_owned(),
        ["programs", _, "sha256"] => "its content is another than the listed one".to_owned(),
        ["programs", _, "user"] => "it may not run as this user".to_owned(),
        ["programs", _, "instances"] => "so many processes of it may not live".to_owned(),
        ["programs", _, "libraries"] => "it may not map code from there".to_owned(),
        ["programs", _, "from_image"] => "it did not come with the image, or was changed since".to_owned(),
        ["files"] | ["files", ..] => "no entry grants these rights there".to_owned(),
        ["network", side] => format!("no entry of `{side}` covers it"),
        ["network", ..] => "no entry covers it".to_owned(),
        ["syscalls", "startup_only", ..] => "it is for the start-up alone".to_owned(),
        ["syscalls", ..] => match event.object.syscall.as_deref().and_then(calls::danger) {
            Some(danger) => format!("no entry lists the call, and attacks begin with it: {danger}"),
            None => "no entry lists the call, or not with these arguments".to_owned(),
        },
        ["capabilities"] | ["capabilities", ..] => "the capability is not listed".to_owned(),
        ["memory", ..] => "write_execute is not set".to_owned(),
        ["environment", ..] => "the variable is not kept, and names what the app may change".to_owned(),
        ["limits", ..] => "the limit is lower".to_owned(),
        _ => "it does not allow it".to_owned(),
    };
    format!("{rule}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_line_is_it_is_explained_or_refused() {
        let profile = br#"{"remit": 1, "name": "x", "programs": [{"path": "/app", "entry": true}]}"#;
        let document = crate::profile::read(profile).expect("a profile");
        let line = format!(
            r#"{{"remit":1,"seq":2,"event":"violation","kind":"program","action":"denied","rule":"/programs","errno":"EACCES","count":3,"policy":{{"name":"x","digest":"{}"}},"process":{{"pid":7,"uid":9,"executable":{{"path":"/app"}}}},"object":{{"path":"/usr/bin/wget"}},"hint":[{{"op":"add","path":"/programs/-","value":{{"path":"/usr/bin/wget"}}}}]}}"#,
            document.digest
        );
        let mut explained = 0;
        crate::mutation::each(&[line.as_bytes()], |bytes| match ViolationEvent::read(bytes) {
            Ok(event) => {
                let explanation = explain(&document, &event, &StartContext::default());
                assert!(explanation.happened.ends_with('.'), "{}", explanation.happened);
                explained += 1;
            }
            Err(error) => assert!(error.to_string().starts_with("is "), "{error}"),
        });
        assert!(explained > 0);
    }
}
