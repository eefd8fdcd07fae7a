//! The lines of a journal (docs/learning.md): the supervisor writes and `remit build` reads them
//! with the same types.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::observation::{Observation, Phase, What};
use crate::event::Status;
use crate::image::fingerprint::Fingerprint;
use crate::image::packages::Packages;

/// The version of the format.
pub const VERSION: u64 = 1;

/// The first line: the command and its environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// The version of the format: [`VERSION`].
    pub journal: u64,
    /// The run's name, which [`Journal::create`](super::Journal::create) gives it.
    pub run: String,
    /// COMMAND and its arguments, secrets redacted.
    #[serde(default)]
    pub command: Vec<String>,
    /// The label of the workload, which the user chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether every call is notified.
    #[serde(default)]
    pub exact: bool,
    /// The calls that are not notified, or only with some arguments: all others are, and recorded with
    /// the argument that decides. `None` in a journal of an older version, which does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwatched: Option<Vec<String>>,
    /// The environment: architecture, kernel, C library and programs.
    #[serde(default)]
    pub fingerprint: Fingerprint,
    /// The restrictions that the runtime set.
    #[serde(default)]
    pub outer: Outer,
}

/// The restrictions that the runtime set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outer {
    /// Whether the runtime installed a seccomp filter.
    pub seccomp: bool,
    /// The capabilities that the app can use, as profiles name them.
    pub capabilities: Vec<String>,
    /// Calls that this filter refuses, so they are not observed: only those that can be probed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<String>,
}

/// A line after the first.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// A line between the first and the last.
    Observed(Observed),
    /// The last line.
    End(End),
}

/// An observation and its time.
#[derive(Clone, Debug, Serialize)]
pub struct Observed {
    /// Milliseconds since the launch.
    pub t: u64,
    /// The phase, before or after ready.
    pub phase: Phase,
    /// What was observed.
    #[serde(flatten)]
    pub observation: Observation,
    /// `sha256:` and the digest of an executed program's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// The last line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct End {
    /// Milliseconds since the launch.
    #[serde(default)]
    pub t: u64,
    /// The summary of the run.
    pub end: RunSummary,
}

/// How a run ended, and what its journal contains.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunSummary {
    /// The app's exit, for the reader: a profile does not depend on it.
    #[serde(skip_deserializing)]
    pub exit: Option<Status>,
    /// Whether it ended cleanly, so the journal shows what the app does.
    pub clean: bool,
    /// False where the run was stopped before it was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// The number of lines between the first and the last.
    #[serde(default)]
    pub lines: Option<u64>,
    /// The number of lost observations.
    #[serde(default)]
    pub dropped: u64,
    /// The packages of the executed files.
    #[serde(default, skip_serializing_if = "Packages::is_empty")]
    pub packages: Packages,
}

impl Observed {
    /// The line for an observation that was made `at` after the launch.
    pub fn new(at: Duration, phase: Phase, observation: Observation) -> Observed {
        Observed { t: at.as_millis() as u64, phase, observation, sha256: None }
    }
}

impl Line {
    /// The text, without a newline.
    pub fn text(&self) -> String {
        // Strings, numbers and booleans alone: serialization cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a line.
    ///
    /// # Errors
    /// The text is neither an observation nor the end.
    pub fn read(text: &[u8]) -> Result<Line, LineError> {
        /// The keys of [`Observed`] that every kind has. They are read apart from those of the kind:
        /// serde copies flattened content once for each level.
        #[derive(Deserialize)]
        struct Common<'l> {
            #[serde(default)]
            t: u64,
            #[serde(borrow, default)]
            phase: Cow<'l, str>,
            #[serde(borrow, default)]
            kind: Cow<'l, str>,
            #[serde(default)]
            result: String,
            #[serde(default)]
            sha256: Option<String>,
            #[serde(default)]
            end: Option<IgnoredAny>,
        }
        let malformed = |error: serde_json::Error| LineError::Malformed(plain(&error));
        let common: Common = serde_json::from_slice(text).map_err(malformed)?;
        if common.end.is_some() {
            return serde_json::from_slice(text).map(Line::End).map_err(malformed);
        }
        if common.kind.is_empty() {
            return Err(LineError::Unrecognized);
        }
        let phase = Phase::of(&common.phase).ok_or_else(|| LineError::Phase(common.phase.into_owned()))?;
        let what: What = serde_json::from_slice(text).map_err(malformed)?;
        let observation = Observation { what, result: common.result };
        Ok(Line::Observed(Observed { t: common.t, phase, observation, sha256: common.sha256 }))
    }
}

impl Start {
    /// The text, without a newline.
    pub fn text(&self) -> String {
        // Strings, numbers and booleans alone: serialization cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the first line.
    ///
    /// # Errors
    /// The text is no first line, or of another version.
    pub fn read(text: &[u8]) -> Result<Start, StartError> {
        #[derive(Deserialize)]
        struct Version {
            journal: u64,
        }
        let version: Version = serde_json::from_slice(text).map_err(|_| StartError::NoJournal)?;
        match version.journal {
            0 => return Err(StartError::Never),
            version if version > VERSION => return Err(StartError::Newer(version)),
            _ => {}
        }
        serde_json::from_slice(text).map_err(|error| StartError::Malformed(plain(&error)))
    }
}

/// Why a text is no line of a journal after the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineError {
    /// The text is no JSON (a cut line), or a value has another type: the message of serde_json.
    Malformed(String),
    /// The line has neither `kind` nor `end`.
    Unrecognized,
    /// The line has this phase, which does not exist.
    Phase(String),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineError::Malformed(what) => write!(f, "is no line of a journal: {what}"),
            LineError::Unrecognized => {
                f.write_str("is no line of a journal: it has neither \"kind\" nor \"end\"")
            }
            LineError::Phase(phase) => {
                write!(f, "phase {phase:?} is none; expected \"startup\" or \"serving\"")
            }
        }
    }
}

impl std::error::Error for LineError {}

/// Why a text is no first line of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The text has no version.
    NoJournal,
    /// The text is of version 0.
    Never,
    /// The text is of this newer version.
    Newer(u64),
    /// A key is missing, or a value has another type: the message of serde_json.
    Malformed(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::NoJournal => {
                f.write_str("is no journal: its first line has to begin {\"journal\":1,\"run\":…")
            }
            StartError::Never => write!(f, "version 0 of the journal never was; expected {VERSION}"),
            StartError::Newer(version) => write!(
                f,
                "version {version} of the journal is newer than this remit, which reads {VERSION}; use a newer remit"
            ),
            StartError::Malformed(what) => write!(f, "is no first line of a journal: {what}"),
        }
    }
}

impl std::error::Error for StartError {}

/// An error of serde_json without its position, which is within one line of a file.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::observation::{FirstProgram, Of, RecordedArgs, Value};

    fn observed(what: What) -> Line {
        Line::Observed(Observed::new(Duration::from_millis(7), Phase::Startup, Observation::ok(what)))
    }

    #[test]
    fn the_first_line_says_what_ran_where() {
        let text = r#"{"journal":1,"run":"app-1","command":["app"],"label":"idle","exact":false,"unwatched":["read","write"],"fingerprint":{"arch":"x86_64","kernel":"6.18.44","libc":"glibc 2.36","programs":"sha256:0"},"outer":{"seccomp":true,"capabilities":["chown"],"denied":["keyctl"]}}"#;
        let start = Start::read(text.as_bytes()).expect("a first line");
        assert_eq!(
            (&*start.fingerprint.kernel, &*start.outer.denied),
            ("6.18.44", &["keyctl".to_owned()][..])
        );
        assert_eq!(start.text(), text);
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let exec = What::Exec {
            program: "/bin/app".to_owned(),
            applet: String::new(),
            parent: String::new(),
            parent_applet: String::new(),
            args: RecordedArgs(vec!["app".to_owned()]),
            loader: "/lib/ld.so".to_owned(),
            interpreter: String::new(),
            variables: Vec::new(),
        };
        let of = Of { mount: "volume".into(), mount_point: "/data".to_owned() };
        let change = What::Change {
            program: "/bin/app".to_owned(),
            op: "rename".into(),
            path: "/data/a".to_owned(),
            to: "/data/b".to_owned(),
            of,
            directory: true,
        };
        let call = |value| What::Syscall {
            program: FirstProgram("/bin/app".to_owned()),
            call: "prctl".to_owned(),
            arg: Some(0),
            value: Some(value),
        };
        let ids = What::Credential { program: String::new(), call: "setgid".to_owned(), value: vec![33] };
        let mut with_digest = observed(exec.clone());
        if let Line::Observed(line) = &mut with_digest {
            line.sha256 = Some("sha256:0".to_owned());
        }
        for (line, text) in [
            (
                with_digest,
                r#"{"t":7,"phase":"startup","kind":"exec","program":"/bin/app","parent":"","args":["app"],"loader":"/lib/ld.so","result":"ok","sha256":"sha256:0"}"#,
            ),
            (
                observed(change),
                r#"{"t":7,"phase":"startup","kind":"change","program":"/bin/app","op":"rename","path":"/data/a","to":"/data/b","mount":"volume","mount_point":"/data","directory":true,"result":"ok"}"#,
            ),
            (
                observed(call(Value::Name("PR_SET_NAME".into()))),
                r#"{"t":7,"phase":"startup","kind":"syscall","program":"/bin/app","call":"prctl","arg":0,"value":"PR_SET_NAME","result":"ok"}"#,
            ),
            (
                observed(call(Value::Number(7))),
                r#"{"t":7,"phase":"startup","kind":"syscall","program":"/bin/app","call":"prctl","arg":0,"value":7,"result":"ok"}"#,
            ),
            (
                observed(ids),
                r#"{"t":7,"phase":"startup","kind":"credential","program":"","call":"setgid","value":[33],"result":"ok"}"#,
            ),
        ] {
            assert_eq!(line.text(), text);
            let again = Line::read(text.as_bytes()).expect("an observation");
            assert_eq!(again.text(), text);
        }
    }

    #[test]
    fn keys_and_kinds_of_newer_versions_are_passed_over() {
        let text =
            br#"{"t":1,"phase":"serving","kind":"a-new-one","path":["/x"],"result":"ok","new":{"a":1}}"#;
        let Ok(Line::Observed(line)) = Line::read(text) else { panic!("an observation") };
        assert_eq!(line.observation.what, What::Unknown);
        let text = br#"{"phase":"serving","kind":"open","path":"/x","new":[1]}"#;
        let Ok(Line::Observed(line)) = Line::read(text) else { panic!("an observation") };
        assert_eq!((line.observation.what.path(), &*line.observation.result), (Some("/x"), ""));
    }

    #[test]
    fn what_is_no_line_is_distinguished() {
        let error = |text: &str| Line::read(text.as_bytes()).expect_err(text);
        assert_eq!(error("{}"), LineError::Unrecognized);
        assert_eq!(error(r#"{"kind":"","end":null}"#), LineError::Unrecognized);
        assert_eq!(error(r#"{"kind":"open","phase":"later"}"#), LineError::Phase("later".to_owned()));
        let malformed = |text: &str| match error(text) {
            LineError::Malformed(what) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(malformed(r#"{"kind":"open","#), "EOF while parsing a value");
        assert_eq!(malformed(r#"{"end":{}}"#), "missing field `clean`");
        let open = |key: &str| malformed(&format!(r#"{{"phase":"startup","kind":"open",{key}}}"#));
        assert_eq!(open(r#""path":7"#), "invalid type: integer `7`, expected a string");
        assert_eq!(open(r#""path":"/a","path":"/b""#), "duplicate field `path`");
        let call = r#"{"phase":"startup","kind":"syscall","value":[]}"#;
        assert_eq!(malformed(call), "value is neither a constant's name nor a number");
    }
}
