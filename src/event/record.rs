//! An event as it is read back: a line of JSON whose parts are read only where they are needed, and
//! whose texts are those of the line wherever it has them as they are.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use memchr::memmem;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_json::value::RawValue;

use super::lines::BEGINNING;
use super::model::VERSION;

/// A text of an event. It may hold anything, escapes of terminals included.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventText<'a>(pub Cow<'a, str>);

impl Deref for EventText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for EventText<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<EventText<'a>, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = EventText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<EventText<'de>, E> {
                Ok(EventText(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<EventText<'de>, E> {
                Ok(EventText(Cow::Owned(text.to_owned())))
            }
        }

        from.deserialize_str(Text)
    }
}

/// An event: the keys that are read in each line, and the text, of which the others are read where
/// they are needed. A key that the line has not is empty.
#[derive(Clone, Debug, Deserialize)]
pub struct EventRecord<'a> {
    #[serde(default, borrow)]
    remit: Option<&'a RawValue>,
    /// The number of the event in its start, from 1.
    #[serde(default)]
    pub seq: u64,
    /// The nonce of its start.
    #[serde(default, borrow)]
    pub nonce: EventText<'a>,
    /// RFC 3339, in UTC.
    #[serde(default, borrow)]
    pub time: EventText<'a>,
    /// The event's name.
    #[serde(default, borrow)]
    pub event: EventText<'a>,
    /// The kind of a violation.
    #[serde(default, borrow)]
    pub kind: EventText<'a>,
    /// What was done: `allowed`, `denied`, …
    #[serde(default, borrow)]
    pub action: EventText<'a>,
    /// JSON Pointer of the rule that a violation missed.
    #[serde(default, borrow)]
    pub rule: EventText<'a>,
    /// How many violations the line stands for, or how many events were dropped.
    #[serde(default)]
    pub count: Option<u64>,
    #[serde(default, borrow)]
    process: Option<&'a RawValue>,
    /// All of it.
    #[serde(skip)]
    text: &'a str,
}

/// What only some events have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EventDetails<'a> {
    /// The errno of a violation.
    #[serde(borrow)]
    pub errno: EventText<'a>,
    /// The time in which the violations came that the line stands for, as `1s`.
    #[serde(borrow)]
    pub over: EventText<'a>,
    /// Why events were dropped, or the container ended.
    #[serde(borrow)]
    pub why: EventText<'a>,
    /// The signal that was forwarded.
    #[serde(borrow)]
    pub signal: EventText<'a>,
    /// Where it was sent.
    #[serde(borrow)]
    pub to: EventText<'a>,
    /// The time until ready.
    #[serde(borrow)]
    pub after: EventText<'a>,
    /// What made it ready.
    #[serde(borrow)]
    pub by: EventText<'a>,
    /// The kernel's release.
    #[serde(borrow)]
    pub kernel: EventText<'a>,
    /// The architecture.
    #[serde(borrow)]
    pub arch: EventText<'a>,
    /// The processes that ended while the container was stopping.
    pub ended: u64,
    /// Those that were killed at the end.
    pub killed: u64,
    #[serde(borrow)]
    policy: Option<&'a RawValue>,
    #[serde(borrow)]
    mode: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    ancestors: Option<&'a RawValue>,
    #[serde(borrow)]
    exit: Option<&'a RawValue>,
    #[serde(borrow)]
    layers: Option<&'a RawValue>,
    #[serde(borrow)]
    hint: Option<&'a RawValue>,
}

/// The profile in force.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PolicyRecord<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: EventText<'a>,
    /// `sha256:` and hex.
    #[serde(borrow)]
    pub digest: EventText<'a>,
}

/// The process of an event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProcessRecord<'a> {
    /// Its pid in the supervisor's pid namespace; 0 where the line has none.
    pub pid: u32,
    /// Its parent's.
    pub parent_pid: Option<u32>,
    /// Its effective uid.
    pub uid: Option<u32>,
    #[serde(borrow)]
    executable: Option<ExecutableRecord<'a>>,
    /// Its arguments, argv\[0\] first.
    #[serde(borrow)]
    pub args: Vec<EventText<'a>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ExecutableRecord<'a> {
    #[serde(borrow)]
    path: EventText<'a>,
}

impl ProcessRecord<'_> {
    /// The path of its program; empty where it is not known.
    pub fn program(&self) -> &str {
        self.executable.as_ref().map_or("", |executable| &executable.path)
    }
}

/// The object of a violation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ObjectRecord<'a> {
    /// A file or program.
    #[serde(borrow)]
    pub path: EventText<'a>,
    /// The rights on a file, or `listen` or `connect`.
    #[serde(borrow)]
    pub access: AccessRecord<'a>,
    /// The name of a system call.
    #[serde(borrow)]
    pub syscall: EventText<'a>,
    /// Its arguments, in hexadecimal.
    #[serde(borrow)]
    pub args: Vec<EventText<'a>>,
    /// An endpoint in the profile's notation.
    #[serde(borrow)]
    pub address: EventText<'a>,
    /// A capability, a limit, a variable.
    #[serde(borrow)]
    pub name: EventText<'a>,
}

/// One access, or several.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(untagged)]
pub enum AccessRecord<'a> {
    /// None is named.
    #[default]
    None,
    /// `listen` or `connect`.
    One(#[serde(borrow)] EventText<'a>),
    /// Rights on a file.
    Several(#[serde(borrow)] Vec<EventText<'a>>),
}

impl AccessRecord<'_> {
    /// The words, in their order.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let (one, several) = match self {
            AccessRecord::None => (None, &[][..]),
            AccessRecord::One(one) => (Some(&**one), &[][..]),
            AccessRecord::Several(several) => (None, several.as_slice()),
        };
        one.into_iter().chain(several.iter().map(|text| &**text))
    }

    /// Whether it is one of them.
    pub fn has(&self, word: &str) -> bool {
        self.words().any(|one| one == word)
    }
}

impl ObjectRecord<'_> {
    /// What the object is called, in one word or path.
    pub fn label(&self) -> &str {
        let names = [&self.path, &self.syscall, &self.address, &self.name];
        names.into_iter().find(|name| !name.is_empty()).map_or("", |name| name)
    }
}

/// How a process ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ExitRecord<'a> {
    /// The code of _exit(2).
    pub code: Option<i64>,
    /// The signal that killed it, without SIG.
    #[serde(borrow)]
    pub signal: EventText<'a>,
}

/// The mode in force.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ModeRecord<'a> {
    #[serde(borrow)]
    value: EventText<'a>,
}

/// The report of a layer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LayerRecord<'a> {
    /// Its name.
    #[serde(borrow)]
    pub layer: EventText<'a>,
    /// `active`, `degraded` or `unavailable`.
    #[serde(borrow)]
    pub state: EventText<'a>,
}

impl<'a> EventRecord<'a> {
    /// Reads an event. Where the line is none from its first `{"remit":` on, it may be one from the
    /// last on: an app that wrote before it wrote what looks like the beginning of one.
    pub fn read(line: &'a [u8]) -> Option<EventRecord<'a>> {
        let whole = |line: &'a [u8]| {
            let text = str::from_utf8(line).ok()?;
            let record: EventRecord<'a> = serde_json::from_str(text).ok()?;
            Some(EventRecord { text, ..record })
        };
        whole(line).or_else(|| {
            let last = memmem::rfind(line, BEGINNING).filter(|at| *at > 0)?;
            whole(&line[last..])
        })
    }

    /// Whether it is of the version that is read here.
    pub fn is_of_this_version(&self) -> bool {
        self.remit.is_none_or(|version| version.get().parse() == Ok(VERSION))
    }

    /// Its text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// What only some events have.
    pub fn details(&self) -> EventDetails<'a> {
        serde_json::from_str(self.text).unwrap_or_default()
    }

    /// Whether the event names a process.
    pub fn has_process(&self) -> bool {
        self.process.is_some()
    }

    /// The process.
    pub fn process(&self) -> ProcessRecord<'a> {
        part(self.process)
    }

    /// How many violations it stands for, 1 where it is not a flood's.
    pub fn violations(&self) -> u64 {
        self.count.unwrap_or(1)
    }
}

impl<'a> EventDetails<'a> {
    /// The profile in force.
    pub fn policy(&self) -> PolicyRecord<'a> {
        part(self.policy)
    }

    /// The mode of a start.
    pub fn mode(&self) -> EventText<'a> {
        part::<ModeRecord<'a>>(self.mode).value
    }

    /// The object of a violation.
    pub fn object(&self) -> ObjectRecord<'a> {
        part(self.object)
    }

    /// The programs of its parent and of those above, nearest first.
    pub fn ancestors(&self) -> Vec<EventText<'a>> {
        part(self.ancestors)
    }

    /// How the process, or the app, ended.
    pub fn exit(&self) -> ExitRecord<'a> {
        part(self.exit)
    }

    /// The layers of a start.
    pub fn layers(&self) -> Vec<LayerRecord<'a>> {
        part(self.layers)
    }

    /// The JSON Patch that would allow it, as it is written; empty where there is none.
    pub fn hint(&self) -> &'a str {
        self.hint.map_or("", RawValue::get)
    }
}

/// A part of an event; empty where it is not there or has another form, as of a newer version.
fn part<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"remit":1,"seq":4,"nonce":"00","time":"2026-11-22T10:00:00.000001Z","event":"violation","policy":{"name":"nginx","digest":"sha256:9f"},"kind":"file","action":"denied","errno":"EACCES","object":{"path":"/tmp/\u001bx","access":["write","create"]},"rule":"/files","count":41,"over":"1s","objects":["/tmp/x write"],"process":{"pid":7,"parent_pid":1,"uid":0,"executable":{"path":"/usr/sbin/nginx"},"args":["nginx","-g"]},"ancestors":["/docker-entrypoint.sh"],"hint":[{"op":"add","path":"/files/-","value":{}}],"new":{"deep":[[]]}}"#;

    #[test]
    fn the_parts_of_an_event_are_read() {
        let event = EventRecord::read(LINE.as_bytes()).expect("an event");
        let details = event.details();
        assert_eq!(event.text(), LINE);
        assert_eq!((event.seq, &*event.kind, event.violations()), (4, "file", 41));
        assert!(event.is_of_this_version());
        for other in ["2", "0", "1.5", "\"1\"", "[1]", "18446744073709551617"] {
            let line = LINE.replacen('1', other, 1);
            assert!(!EventRecord::read(line.as_bytes()).expect("an event").is_of_this_version(), "{other}");
        }
        assert!(matches!(event.time.0, Cow::Borrowed(_)), "nothing is copied that has no escape");
        assert_eq!(&*details.policy().name, "nginx");
        let object = details.object();
        assert_eq!((object.label(), object.access.has("create")), ("/tmp/\u{1b}x", true));
        let process = event.process();
        assert_eq!((process.pid, process.parent_pid, process.program()), (7, Some(1), "/usr/sbin/nginx"));
        assert_eq!(process.args.len(), 2);
        assert_eq!(&*details.ancestors()[0], "/docker-entrypoint.sh");
        assert!(details.hint().starts_with("[{\"op\""));
        let connect = r#"{"remit":1,"object":{"address":"tcp/80","access":"connect"}}"#;
        let event = EventRecord::read(connect.as_bytes()).expect("an event");
        let object = event.details().object();
        assert!(object.access.has("connect") && object.label() == "tcp/80");
        assert_eq!(event.process().program(), "");
    }

    #[test]
    fn an_event_behind_the_beginning_of_another_is_read() {
        let hidden = format!("{{\"remit\":1,\"seq\":9,\"event\":\"sto{LINE}");
        assert_eq!(EventRecord::read(hidden.as_bytes()).expect("an event").text(), LINE);
        for bad in
            ["{\"remit\":", "{\"remit\":1}x", "{\"remit\":1,\"seq\":-1}", "{\"remit\":1,\"seq\":1,\"seq\":2}"]
        {
            assert!(EventRecord::read(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(EventRecord::read(b"{\"remit\":1,\"x\":\"\xff\"}").is_none());
    }

    #[test]
    fn deep_nesting_is_no_matter() {
        let deep = 500_000;
        let line = format!("{{\"remit\":1,\"layers\":{}{}}}", "[".repeat(deep), "]".repeat(deep));
        let event = EventRecord::read(line.as_bytes()).expect("JSON");
        assert!(event.details().layers().is_empty());
        let line = line.replace("layers", "unknown");
        assert!(EventRecord::read(line.as_bytes()).is_some());
    }

    #[test]
    fn any_line_is_read() {
        crate::mutation::each(&[LINE.as_bytes()], |bytes| {
            if let Some(event) = EventRecord::read(bytes) {
                let details = event.details();
                let _ = (details.policy(), details.object(), event.process(), details.ancestors());
                let _ = (details.layers(), details.hint(), details.mode(), details.exit());
            }
        });
    }
}
