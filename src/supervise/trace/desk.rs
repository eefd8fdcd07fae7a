//! Between the threads of the check: the worker asks the first thread to let a call go
//! on under its eyes, and is told what came of it. Nobody waits here: what is for the
//! other lies in a list, and a bell says that something does.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::event::{Action, Object};
use crate::supervise::caller::Caller;
use crate::supervise::verdict::Refusal;
use crate::supervise::verdict::started::{Started, Verdict};

/// A notified call that is to go on under the first thread's eyes.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The notification.
    pub id: u64,
    /// Who calls, as the kernel told.
    pub caller: Caller,
    /// What for.
    pub what: What,
}

impl Ask {
    /// The entry that the caller is.
    pub fn entry(&self) -> Option<usize> {
        match self.what {
            What::Exec { entry, .. } => entry,
            What::Map { entry, .. } => Some(entry),
            What::User => None,
        }
    }
}

/// What a call is that goes on under the first thread's eyes.
#[derive(Clone, Debug)]
pub enum What {
    /// An exec.
    Exec {
        /// The entry that the caller is.
        entry: Option<usize>,
        /// The entry that it would become by what its memory says.
        expected: Option<usize>,
        /// What it wants to execute, for people.
        object: Object,
        /// What it is itself, where its entry does not tell.
        program: Option<PathBuf>,
    },
    /// A mapping of code.
    Map {
        /// The entry that the caller is.
        entry: usize,
        /// What it wants to map, for people.
        object: Object,
    },
    /// A change of its user or group, after which nobody could look into it any more.
    User,
}

/// What the first thread is told.
#[derive(Debug)]
pub enum Word {
    /// A call is to go on.
    Ask(Box<Ask>),
    /// A process's files were looked into, for this notification.
    Examined(i32, u64, Verdict),
    /// What a process did has been told of: it is killed, or its call fails now.
    Told(i32),
}

/// What the worker is told.
#[derive(Debug)]
pub enum Outcome {
    /// A process runs another program.
    Runs {
        /// Who executed it.
        caller: Caller,
        /// The entry that it is.
        entry: usize,
        /// What was started.
        started: Arc<Started>,
    },
    /// A process that cannot be looked into made another.
    Forked {
        /// The new one.
        child: i32,
        /// The thread that made it.
        parent: i32,
    },
    /// A call was refused, or what it started has to be killed.
    Refused {
        /// Who called.
        caller: Caller,
        /// What it was then.
        program: Option<PathBuf>,
        /// Why.
        refusal: Box<Refusal>,
        /// What was done, or is done once it has been told.
        action: Action,
    },
}

/// The lists, and the bells.
#[derive(Debug)]
pub struct Desk {
    words: Mutex<Vec<Word>>,
    outcomes: Mutex<Vec<Outcome>>,
    bell: OnceLock<Arc<EventFd>>,
    /// Rung where the worker has to act before the next call comes.
    pub wake: EventFd,
}

fn open<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ring(bell: &EventFd) {
    if let Err(errno) = bell.write(1) {
        tracing::error!(%errno, "a thread could not be told");
    }
}

impl Desk {
    /// An empty one.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM as in eventfd(2).
    pub fn new() -> Result<Desk, Errno> {
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Desk { words: Mutex::default(), outcomes: Mutex::default(), bell: OnceLock::new(), wake })
    }

    /// The first thread hears this bell.
    pub fn hears(&self, bell: Arc<EventFd>) {
        drop(self.bell.set(bell));
    }

    /// Something for the first thread.
    pub fn say(&self, word: Word) {
        open(&self.words).push(word);
        if let Some(bell) = self.bell.get() {
            ring(bell);
        }
    }

    /// All that is there for the first thread.
    pub fn words(&self) -> Vec<Word> {
        std::mem::take(&mut open(&self.words))
    }

    /// Something for the worker, which looks before it decides anything; at once where
    /// `now`, and before there is much of it.
    pub fn tell(&self, outcome: Outcome, now: bool) {
        const MUCH: usize = 64;
        let mut outcomes = open(&self.outcomes);
        outcomes.push(outcome);
        if now || outcomes.len().is_multiple_of(MUCH) {
            ring(&self.wake);
        }
    }

    /// All that is there for the worker.
    pub fn outcomes(&self) -> Vec<Outcome> {
        std::mem::take(&mut open(&self.outcomes))
    }
}
