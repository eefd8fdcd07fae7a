//! What the check is asked by whoever decides about calls, and what it has to say.

use std::path::PathBuf;
use std::sync::Arc;

use crate::event::{Action, Object};
use crate::ids::{Pid, Tid};
use crate::notify::caller::Caller;
use crate::plan::ProgramIndex;
use crate::policy::Denial;
use crate::policy::started::Started;
use crate::sys::seccomp::NotificationId;

/// A notified call that goes on under our eyes.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The notification.
    pub id: NotificationId,
    /// Who calls, as the kernel told.
    pub caller: Caller,
    /// What for.
    pub what: What,
}

impl Ask {
    /// The entry that the caller is.
    pub fn entry(&self) -> Option<ProgramIndex> {
        match self.what {
            What::Exec { entry, .. } => entry,
            What::Map { entry, .. } => Some(entry),
            What::User | What::Readable => None,
        }
    }
}

/// What a call is that goes on under our eyes.
#[derive(Clone, Debug)]
pub enum What {
    /// An exec.
    Exec {
        /// The entry that the caller is.
        entry: Option<ProgramIndex>,
        /// The entry that it would become by what its memory says.
        expected: Option<ProgramIndex>,
        /// What it wants to execute, for people.
        object: Object,
        /// What it is itself, where its entry does not tell.
        program: Option<PathBuf>,
    },
    /// A mapping of code.
    Map {
        /// The entry that the caller is.
        entry: ProgramIndex,
        /// What it wants to map, for people.
        object: Object,
    },
    /// A change of its user or group, or PR_SET_DUMPABLE, after which the kernel shows it to
    /// no other process.
    User,
    /// It makes itself dumpable again.
    Readable,
}

impl What {
    /// Whether it changes the caller alone, and brings no code.
    pub(super) fn is_of_the_caller(&self) -> bool {
        matches!(self, What::User | What::Readable)
    }
}

/// What came of calls.
#[derive(Debug)]
pub enum Outcome {
    /// A process runs another program.
    Runs {
        /// Who executed it.
        caller: Caller,
        /// The entry that it is.
        entry: ProgramIndex,
        /// What was started.
        started: Arc<Started>,
    },
    /// A process that cannot be looked into made another.
    Forked {
        /// The new one.
        child: Pid,
        /// The thread that made it.
        parent: Tid,
    },
    /// A call was refused, or what it started has to be killed.
    Refused {
        /// Who called.
        caller: Caller,
        /// What it was then.
        program: Option<PathBuf>,
        /// Why.
        refusal: Box<Denial>,
        /// What was done, or is done once it has been told.
        action: Action,
    },
    /// The app, which is seized, was stopped with its group.
    Stopped {
        /// It.
        pid: i32,
        /// By this signal.
        signal: i32,
    },
}
