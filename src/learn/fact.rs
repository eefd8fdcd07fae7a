//! Facts: each action of a run, once, however often the run did it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::runs::Runs;

/// An action or a result of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// A program was executed.
    Program(Name),
    /// A program was executed as COMMAND.
    Entry(Name),
    /// A script and the interpreter that ran it.
    Interpreter {
        /// The script.
        path: String,
        /// What its `#!` line names.
        interpreter: String,
    },
    /// A dynamic program and the loader that ran it.
    Loader {
        /// The program.
        path: String,
        /// The ELF interpreter.
        loader: String,
    },
    /// The digest of a program's file, or of a library's.
    Digest {
        /// The path of the file.
        path: String,
        /// Lower-case hex.
        sha256: String,
    },
    /// One program executed another.
    #[serde(rename = "edge")]
    Transition {
        /// The program that executed.
        from: Name,
        /// The program that was executed.
        to: Name,
    },
    /// A program was given a variable that the profile has to keep.
    Variable {
        /// Its name.
        name: String,
    },
    /// A file or directory was used. A volatile name, which no other run will have, is written `*`,
    /// and a name that really is `*` is written `\*`.
    File {
        /// The path that the app used.
        path: String,
        /// The action.
        did: Did,
        /// The mount that it is on.
        mount: Mount,
    },
    /// A file was renamed, or linked under another name.
    Moved {
        /// The old path.
        from: String,
        /// The new path.
        to: String,
    },
    /// A port or socket was bound; the address is an example.
    Listen {
        /// The address, as `tcp/80` or `unix:/run/app.sock`.
        address: String,
    },
    /// A socket was connected.
    Connect {
        /// The address, as `tcp/5432`.
        address: String,
    },
    /// A system call that no group always covers.
    Call {
        /// Its name.
        call: String,
        /// The argument that matters, and its value: a number or a constant's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        when: Option<(u8, String)>,
    },
    /// An action that the environment refused, so it was not learned.
    Refused {
        /// The action and its errno, as `keyctl: EPERM`.
        what: String,
    },
    /// Reads that may not have been observed.
    #[serde(rename = "blind")]
    Gap {
        /// The path, and the reason.
        what: String,
    },
    /// A call whose arguments could not be read, so that it was not learned.
    Unread {
        /// The call, its program and the reason.
        what: String,
    },
    /// A name had a number of the process that used it. The literals are the examples.
    Numbered {
        /// The name, with the number as `{pid}`, `{uid}`, `{host}` or `{port}`.
        what: String,
    },
    /// A call needed a capability, as observed.
    Capability {
        /// The capability as a profile names it.
        capability: String,
        /// The call that needed it.
        call: String,
    },
    /// Memory was writable and executable.
    WriteExecute,
    /// A process changed its user or group ids.
    Credential {
        /// The call and the id, as `setuid 33`.
        what: String,
    },
    /// A resource, and its highest use or request.
    Limit {
        /// The resource: `processes` or `open_files`.
        limit: String,
        /// The highest number.
        value: u64,
    },
    /// Start-up was over.
    Ready {
        /// The condition: `listening` or `notify`.
        by: String,
    },
    /// A signal was forwarded to the app.
    Signal {
        /// The name of the signal, without `SIG`.
        signal: String,
    },
}

/// A program by its path and, for a multi-call binary, the applet.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name {
    /// The path of its file.
    pub path: String,
    /// The applet; empty for any other program.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub applet: String,
}

/// An action on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Did {
    /// Opened for reading.
    Read,
    /// A directory was opened.
    List,
    /// Opened for writing, without being created.
    Write,
    /// Creating a name for anything but a directory.
    Create,
    /// Creating a directory.
    MakeDirectory,
    /// Removing a name.
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
    /// A volume, with its mount point where that is known.
    Volume(Option<String>),
    /// A tmpfs.
    Tmpfs,
    /// A kernel file system, such as /proc and /sys.
    Proc,
}

/// The runs in which a fact was seen, with example literals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The runs that showed it before ready.
    pub startup: Runs,
    /// The runs that showed it after ready.
    pub serving: Runs,
    /// The first [`EXAMPLES`] in sorted order, so the order of reading makes no difference.
    pub examples: BTreeSet<String>,
}

/// The number of literals stored for each fact and rule.
pub const EXAMPLES: usize = 3;

impl Seen {
    /// All runs, of both phases.
    pub fn runs(&self) -> Runs {
        let mut all = self.startup.clone();
        all.join(&self.serving);
        all
    }

    /// Adds a literal, if it is among the first in order.
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

    /// Adds all of `other`.
    pub fn join(&mut self, other: &Seen) {
        self.startup.join(&other.startup);
        self.serving.join(&other.serving);
        for example in &other.examples {
            self.example(example);
        }
    }
}
