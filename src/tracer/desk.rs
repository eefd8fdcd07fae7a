//! Where the thread of the check is told what others have seen or found. Nobody waits here:
//! it lies in a list, and a bell says that something does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::init::tracees::Tracees;
use crate::policy::started::Verdict;
use crate::sys::seccomp::NotificationId;

/// What it is told.
#[derive(Debug)]
pub enum Word {
    /// A process's files were looked into, for this notification.
    Examined(i32, NotificationId, Verdict),
    /// A child of PID 1's that is traced has stopped: the signal, and the event or 0.
    Stopped(i32, i32, i32),
    /// A child of PID 1's has ended. Said before it is buried, so that nobody else has its
    /// number yet.
    Ended(i32),
}

/// The list, and the bell.
#[derive(Debug)]
pub struct Desk {
    words: Mutex<Vec<Word>>,
    bell: EventFd,
}

impl Desk {
    /// An empty one.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM as in eventfd(2).
    pub fn new() -> Result<Desk, Errno> {
        let bell = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Desk { words: Mutex::default(), bell })
    }

    /// Says something.
    pub fn say(&self, word: Word) {
        self.words().push(word);
        self.ring();
    }

    /// Says that somebody who is seized may have changed.
    pub fn ring(&self) {
        if let Err(errno) = self.bell.write(1) {
            tracing::error!(%errno, "a thread could not be told");
        }
    }

    /// All that has been said by now.
    pub fn take(&self) -> Vec<Word> {
        std::mem::take(&mut self.words())
    }

    /// What rings.
    pub fn bell(&self) -> &EventFd {
        &self.bell
    }

    fn words(&self) -> MutexGuard<'_, Vec<Word>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tracees for Desk {
    fn ended(&self, pid: i32) {
        self.say(Word::Ended(pid));
    }

    fn stopped(&self, pid: i32, signal: i32, event: i32) {
        self.say(Word::Stopped(pid, signal, event));
    }

    fn changed(&self) {
        self.ring();
    }
}
