//! Facts: what a run did, once each, however often it did it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::runs::Runs;

/// Something that a run did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// A program was executed.
    Program(Name),
    /// It was COMMAND.
    Entry(Name),
    /// It is a script, and this ran it.
    Interpreter {
        /// The script.
        path: String,
        /// What its `#!` line names.
        interpreter: String,
    },
    /// It is dynamic, and this loaded it.
    Loader {
        /// The program.
        path: String,
        /// The ELF interpreter.
        loader: String,
    },
    /// Its content.
    Digest {
        /// The program.
        path: String,
        /// Lower-case hex.
        sha256: String,
    },
    /// One program executed another.
    Edge {
        /// Who.
        from: Name,
        /// Whom.
        to: Name,
    },
    /// A file or directory was used. A name that no other run will have stands as `*`,
    /// and one that is really so as `\*`.
    File {
        /// As the app sees it.
        path: String,
        /// What was done.
        did: Did,
        /// The mount that it is on.
        mount: Mount,
    },
    /// A file was given another name, in place of its own or beside it.
    Moved {
        /// Its own.
        from: String,
        /// The other.
        to: String,
    },
    /// A port or socket was bound; the address is an example of it.
    Listen {
        /// `tcp/80`, `unix:/run/app.sock`.
        address: String,
    },
    /// A connection was made.
    Connect {
        /// `tcp/5432`.
        address: String,
    },
    /// A system call that no group covers as a matter of course.
    Call {
        /// Its name.
        call: String,
        /// The argument that matters, and its value: a number or a constant's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        when: Option<(u8, String)>,
    },
    /// Something that the place itself refused, and which therefore was not learned.
    Refused {
        /// `keyctl: EPERM`.
        what: String,
    },
    /// Files that were read and may not have been seen.
    Blind {
        /// Where, and why.
        what: String,
    },
    /// A capability was needed, by evidence.
    Capability {
        /// In the profile's word.
        capability: String,
        /// The call that needed it.
        call: String,
    },
    /// Memory that is writable and executable.
    WriteExecute,
    /// A change of the user.
    Credential {
        /// `setuid 33`.
        what: String,
    },
    /// A resource, and the most that was used or asked for.
    Limit {
        /// `processes`, `open_files`.
        limit: String,
        /// How many.
        value: u64,
    },
    /// Start-up was over.
    Ready {
        /// `listening`, `notify`, `delay`.
        by: String,
    },
    /// A signal came for the app.
    Signal {
        /// Without `SIG`.
        signal: String,
    },
}

/// A program by its path and, for a multi-call binary, the applet.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name {
    /// The file.
    pub path: String,
    /// The applet, or nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub applet: String,
}

/// What was done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Did {
    /// Opened for reading.
    Read,
    /// A directory was opened.
    List,
    /// Opened for writing, without being created.
    Write,
    /// A new name for something that is no directory.
    Create,
    /// A new directory.
    MakeDirectory,
    /// A name taken away.
    Remove,
    /// ioctl on a device.
    Ioctl,
}

/// The mount that a file is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mount {
    /// The image's own file system.
    Image,
    /// A volume, and where it is mounted where that is known.
    Volume(Option<String>),
    /// Memory.
    Tmpfs,
    /// /proc, /sys and their kin.
    Proc,
}

/// In which runs something was seen, and the literals that led to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Before ready.
    pub startup: Runs,
    /// After it.
    pub serving: Runs,
    /// The first [`EXAMPLES`] in their order: the same whatever was read first.
    pub examples: BTreeSet<String>,
}

/// Literals kept for each fact and rule.
pub const EXAMPLES: usize = 3;

impl Seen {
    /// All runs, whatever the phase.
    pub fn runs(&self) -> Runs {
        let mut all = self.startup.clone();
        all.join(&self.serving);
        all
    }

    /// Keeps a literal, if it is among the first.
    pub fn example(&mut self, text: &str) {
        let beyond =
            self.examples.len() >= EXAMPLES && self.examples.last().is_some_and(|last| text >= last.as_str());
        if !beyond && !self.examples.contains(text) {
            self.examples.insert(text.to_owned());
            if self.examples.len() > EXAMPLES {
                self.examples.pop_last();
            }
        }
    }

    /// Both together.
    pub fn join(&mut self, other: &Seen) {
        self.startup.join(&other.startup);
        self.serving.join(&other.serving);
        for example in &other.examples {
            self.example(example);
        }
    }
}
