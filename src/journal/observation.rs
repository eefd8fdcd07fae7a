//! The observations of a journal's lines (docs/learning.md).

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::event::ErrnoName;

/// The phase of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Before ready.
    Startup,
    /// After ready.
    Serving,
}

impl Phase {
    /// The phase of this name; `None` for any other.
    pub fn of(word: &str) -> Option<Phase> {
        match word {
            "startup" => Some(Phase::Startup),
            "serving" => Some(Phase::Serving),
            _ => None,
        }
    }
}

/// A name of a fixed list in docs/learning.md, or one that a newer version added.
pub type Word = Cow<'static, str>;

/// One observation: an action, its program and its result.
#[derive(Clone, Debug, Hash, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// The action, with its arguments.
    #[serde(flatten)]
    pub what: What,
    /// `ok`, or the errno that is predicted; empty where the line does not say.
    pub result: String,
}

/// The canonical path of the acting program; empty where it is not known.
pub type ProgramPath = String;

/// The arguments of a program, for the reader: they are not part of an execution's identity, since
/// there may be any number of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordedArgs(pub Vec<String>);

impl PartialEq for RecordedArgs {
    fn eq(&self, _: &RecordedArgs) -> bool {
        true
    }
}

impl Eq for RecordedArgs {}

impl Hash for RecordedArgs {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// The program that made a call first, for the reader: what a profile allows, it allows to all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FirstProgram(pub ProgramPath);

impl FirstProgram {
    fn is_unknown(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for FirstProgram {
    fn eq(&self, _: &FirstProgram) -> bool {
        true
    }
}

impl Eq for FirstProgram {}

impl Hash for FirstProgram {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// An observed action.
#[derive(Clone, Debug, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum What {
    /// A program was executed.
    Exec {
        /// The canonical path of its file.
        #[serde(default)]
        program: String,
        /// The applet of a multi-call binary.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        applet: String,
        /// The program that executed it; empty for COMMAND.
        #[serde(default)]
        parent: String,
        /// The applet of that program.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        parent_applet: String,
        /// Its arguments, secrets redacted.
        #[serde(default)]
        args: RecordedArgs,
        /// The ELF loader that its file names.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        loader: String,
        /// The interpreter that its `#!` line names.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        interpreter: String,
        /// The names of variables that it was given and that a profile has to keep, which the
        /// container was not started with.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        variables: Vec<String>,
    },
    /// A file was opened.
    Open {
        /// The program that opened it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        program: ProgramPath,
        /// The path of the file.
        #[serde(default)]
        path: String,
        /// The access: `read`, `write`, `create`, `list`, `ioctl`.
        #[serde(default)]
        access: Vec<Word>,
        /// The mount that the file is on.
        #[serde(flatten)]
        of: Of,
        /// Whether it is a directory.
        #[serde(default, skip_serializing_if = "is_false")]
        directory: bool,
    },
    /// The file tree or a file's attributes were changed.
    Change {
        /// The program that changed it.
        #[serde(default)]
        program: ProgramPath,
        /// The operation: `create`, `mkdir`, `remove`, `rename`, `link`, `chmod` and others.
        #[serde(default)]
        op: Word,
        /// The path that was changed; of a rename or a link the old one.
        #[serde(default)]
        path: String,
        /// The new path of a rename or a link.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        to: String,
        /// The mount that the file is on.
        #[serde(flatten)]
        of: Of,
        /// Whether it is a directory.
        #[serde(default, skip_serializing_if = "is_false")]
        directory: bool,
    },
    /// A socket was bound.
    Listen {
        /// The program that bound it.
        #[serde(default)]
        program: ProgramPath,
        /// The address, as `tcp/0.0.0.0:80`.
        #[serde(default)]
        address: String,
    },
    /// A socket was connected, or sent to an address.
    Connect {
        /// The program that connected it.
        #[serde(default)]
        program: ProgramPath,
        /// The address, as `tcp/10.0.0.2:5432`.
        #[serde(default)]
        address: String,
    },
    /// A system call was made.
    Syscall {
        /// The program that made it first in this phase.
        #[serde(default, skip_serializing_if = "FirstProgram::is_unknown")]
        program: FirstProgram,
        /// Its name, or its number where it has none.
        #[serde(default)]
        call: String,
        /// The number of the argument that matters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arg: Option<u8>,
        /// The value of that argument.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
    },
    /// A call needed a capability.
    Capability {
        /// The program that made the call.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        program: ProgramPath,
        /// The capability in lower case without `CAP_`.
        #[serde(default)]
        capability: String,
        /// The call's name.
        #[serde(default)]
        call: String,
    },
    /// Memory was mapped writable and executable, or made executable.
    Memory {
        /// The program that mapped it.
        #[serde(default)]
        program: ProgramPath,
        /// True in every line.
        #[serde(default)]
        write_execute: bool,
        /// The call's name.
        #[serde(default)]
        call: String,
    },
    /// A process changed its ids.
    Credential {
        /// The program that changed them.
        #[serde(default)]
        program: ProgramPath,
        /// The call's name.
        #[serde(default)]
        call: String,
        /// The ids that the call names.
        #[serde(default)]
        value: Vec<u32>,
    },
    /// The highest use of a resource so far.
    Limit {
        /// The resource, as `processes`.
        #[serde(default)]
        limit: Word,
        /// The highest value.
        #[serde(default)]
        value: u64,
    },
    /// Opens below a path are not observed; with `call`, the arguments of this call were not.
    #[serde(rename = "blind")]
    Gap {
        /// The path, or the program that made the call.
        #[serde(default)]
        path: String,
        /// The call whose arguments could not be read.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        call: String,
        /// The reason.
        #[serde(default)]
        why: String,
    },
    /// A name has a number of the process that used it, or the host's name: another container
    /// has another.
    Numbered {
        /// The path or the address, as the lines of its uses have it.
        #[serde(default)]
        name: String,
        /// The part of its last component.
        #[serde(default)]
        part: String,
        /// What the part was: `pid`, `uid`, `host`, `port`.
        #[serde(default)]
        was: Word,
    },
    /// Start-up is over.
    Ready {
        /// The condition that was met: `listening`, `notify`.
        #[serde(default)]
        by: Word,
    },
    /// A signal was forwarded to the app.
    Signal {
        /// The signal's name without SIG.
        #[serde(default)]
        signal: String,
    },
    /// A kind of a newer version: read, and never written.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// The value of an argument.
#[derive(Clone, Debug, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "value is neither a constant's name nor a number")]
pub enum Value {
    /// The name of a constant.
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
    /// The mount point of a volume.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mount_point: String,
}

/// The observation for a path that is not UTF-8, which the journal cannot have: opens in the
/// directory above are not observed. Empty for a path that does not resolve.
pub fn unnamed(path: &Path) -> Vec<Observation> {
    if !path.is_absolute() || path.to_str().is_some() {
        return Vec::new();
    }
    let above = path.ancestors().find_map(Path::to_str).unwrap_or("/").to_owned();
    vec![Observation::ok(What::Gap {
        path: above,
        call: String::new(),
        why: "a name that is not UTF-8".to_owned(),
    })]
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Observation {
    /// An observation whose result is `ok` as far as it can be predicted.
    pub fn ok(what: What) -> Observation {
        Observation { what, result: "ok".to_owned() }
    }

    /// Whether the result is `ok`, empty, or the name of an errno.
    pub fn has_known_result(&self) -> bool {
        matches!(&*self.result, "" | "ok") || ErrnoName::is_one(&self.result)
    }
}

impl What {
    /// The path of an observation whose paths may be any number.
    pub fn path(&self) -> Option<&str> {
        match self {
            What::Open { path, .. } => Some(path),
            What::Change { path, to, .. } => Some(if to.is_empty() { path } else { to }),
            _ => None,
        }
    }

    /// The same action for a directory instead of its file.
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

    /// The action for a directory that has too many names to distinguish.
    pub fn in_general(&self) -> Option<What> {
        let (directory, _) = self.path()?.rsplit_once('/')?;
        Some(self.of_all(directory))
    }
}
