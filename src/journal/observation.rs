//! What can be observed, as the journal's lines have it (docs/learning.md).

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// When something was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Before ready.
    Startup,
    /// After.
    Serving,
}

impl Phase {
    /// By its word.
    pub fn of(word: &str) -> Option<Phase> {
        match word {
            "startup" => Some(Phase::Startup),
            "serving" => Some(Phase::Serving),
            _ => None,
        }
    }
}

/// A word of a list: one of those that the documentation has, or a newer one.
pub type Word = Cow<'static, str>;

/// One observation: what was done by which program, and its result.
#[derive(Clone, Debug, Hash, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// What.
    #[serde(flatten)]
    pub what: What,
    /// `ok`, or the errno that is known beforehand; empty in a line that does not say it.
    pub result: String,
}

/// The program that did it, by its file; empty where it is not known.
pub type Program = String;

/// Arguments of a program: they tell a reader what it did, and never make an execution
/// another one, of which there could be any number.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Args(pub Vec<String>);

impl PartialEq for Args {
    fn eq(&self, _: &Args) -> bool {
        true
    }
}

impl Eq for Args {}

impl Hash for Args {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What was observed.
#[derive(Clone, Debug, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum What {
    /// A program was executed.
    Exec {
        /// Its file, without links.
        #[serde(default)]
        program: String,
        /// By which name of several that it has it was called.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        applet: String,
        /// The program that executed it; empty for COMMAND.
        #[serde(default)]
        parent: String,
        /// The applet that this was.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        parent_applet: String,
        /// Its arguments, secrets cut.
        #[serde(default)]
        args: Args,
        /// The ELF loader that its file names.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        loader: String,
        /// The interpreter that its `#!` line names.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        interpreter: String,
    },
    /// A file was opened.
    Open {
        /// The program.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        program: Program,
        /// Which.
        #[serde(default)]
        path: String,
        /// How: `read`, `write`, `create`, `list`, `ioctl`.
        #[serde(default)]
        access: Vec<Word>,
        /// Of which mount.
        #[serde(flatten)]
        of: Of,
        /// It is a directory.
        #[serde(default, skip_serializing_if = "is_false")]
        directory: bool,
    },
    /// The tree of files was changed.
    Change {
        /// The program.
        #[serde(default)]
        program: Program,
        /// How.
        #[serde(default)]
        op: Word,
        /// What.
        #[serde(default)]
        path: String,
        /// The new name, of a rename or a link.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        to: String,
        /// Of which mount.
        #[serde(flatten)]
        of: Of,
        /// It is a directory.
        #[serde(default, skip_serializing_if = "is_false")]
        directory: bool,
    },
    /// A socket was bound.
    Listen {
        /// The program.
        #[serde(default)]
        program: Program,
        /// To what.
        #[serde(default)]
        address: String,
    },
    /// A socket was connected, or sent to an address.
    Connect {
        /// The program.
        #[serde(default)]
        program: Program,
        /// To what.
        #[serde(default)]
        address: String,
    },
    /// A call was made.
    Syscall {
        /// Its name, or its number where it has none.
        #[serde(default)]
        call: String,
        /// The argument that matters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arg: Option<u8>,
        /// Its value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
    },
    /// A call needed a capability.
    Capability {
        /// The program.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        program: Program,
        /// Which.
        #[serde(default)]
        capability: String,
        /// Which call.
        #[serde(default)]
        call: String,
    },
    /// Memory was to be writable and executable, or to become executable.
    Memory {
        /// The program.
        #[serde(default)]
        program: Program,
        /// Always.
        #[serde(default)]
        write_execute: bool,
        /// Which call.
        #[serde(default)]
        call: String,
    },
    /// A process took on other ids.
    Credential {
        /// The program.
        #[serde(default)]
        program: Program,
        /// Which call.
        #[serde(default)]
        call: String,
        /// The ids.
        #[serde(default)]
        value: Vec<u32>,
    },
    /// So much of something was in use at the same time.
    Limit {
        /// Of what.
        #[serde(default)]
        limit: Word,
        /// How much.
        #[serde(default)]
        value: u64,
    },
    /// Files that are read there are not seen.
    Blind {
        /// Where.
        #[serde(default)]
        path: String,
        /// Why.
        #[serde(default)]
        why: String,
    },
    /// Start-up is over.
    Ready {
        /// By what.
        #[serde(default)]
        by: Word,
    },
    /// A signal was forwarded to the app.
    Signal {
        /// Which, without SIG.
        #[serde(default)]
        signal: String,
    },
    /// A kind of a newer version: read, and never written.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// A value of an argument.
#[derive(Clone, Debug, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "value is neither a constant's name nor a number")]
pub enum Value {
    /// A constant's name.
    Name(Word),
    /// A number.
    Number(u64),
}

/// The mount that a file is of.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Of {
    /// `image`, `volume`, `tmpfs` or `proc`.
    pub mount: Word,
    /// Where a volume is mounted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mount_point: String,
}

/// A path that the journal, which is text, cannot have: that something was not told of the
/// directory above it. Nothing of a path that leads nowhere.
pub fn unnamed(path: &Path) -> Vec<Observation> {
    if !path.is_absolute() || path.to_str().is_some() {
        return Vec::new();
    }
    let above = path.ancestors().find_map(Path::to_str).unwrap_or("/").to_owned();
    vec![Observation::ok(What::Blind { path: above, why: "a name that is not UTF-8".to_owned() })]
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Observation {
    /// What succeeded, as far as it can be told.
    pub fn ok(what: What) -> Observation {
        Observation { what, result: "ok".to_owned() }
    }
}

impl What {
    /// The path that it is about, where there may be any number of them.
    pub fn path(&self) -> Option<&str> {
        match self {
            What::Open { path, .. } => Some(path),
            What::Change { path, to, .. } => Some(if to.is_empty() { path } else { to }),
            _ => None,
        }
    }

    /// The same of another path: what was done in a directory.
    fn of_all(&self, directory: &str) -> What {
        let all = format!("{directory}/*");
        match self.clone() {
            What::Open { program, access, of, directory, .. } => {
                What::Open { program, path: all, access, of, directory }
            }
            What::Change { program, op, of, directory, to, .. } => {
                let to = if to.is_empty() { to } else { all.clone() };
                What::Change { program, op, path: all, to, of, directory }
            }
            other => other,
        }
    }

    /// What names a directory with too many of them to be told apart.
    pub fn in_general(&self) -> Option<What> {
        let (directory, _) = self.path()?.rsplit_once('/')?;
        Some(self.of_all(directory))
    }
}
