//! What a thread hands out itself: its memory, its descriptors, its directories.
//!
//! Without CAP_SYS_PTRACE the kernel shows these of a process that is not dumpable to the
//! process alone. Where such a process is traced, its thread is stopped in the call that is
//! to be decided and makes a few calls more ([`trace`](crate::tracer)), by which it sends
//! what is wanted. What was sent stays here until the call is decided.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::notify::unreadable::UNREADABLE;
use crate::procfs::path_of;

/// What is sent at a time of its memory, at a multiple of this: no more than a page, which
/// is mapped as a whole or not at all.
pub const CHUNK: u64 = 4096;
/// So much a call needs at most: a path takes two chunks, and a rename two paths. Arguments
/// of an exec may be many.
const MOST: usize = 64;

/// What a thread is to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// A chunk of its memory, by its address.
    Memory(u64),
    /// A descriptor, by its number.
    Descriptor(i32),
    /// Its working directory.
    Working,
    /// Its root directory.
    Root,
}

/// What it has handed out.
#[derive(Debug)]
pub enum Given {
    /// Of [`Wanted::Memory`].
    Memory(Vec<u8>),
    /// Of all others.
    Descriptor(OwnedFd),
    /// Or its name, as /proc has it: a path, or `socket:[1]`.
    Name(PathBuf),
}

/// What a thread has handed out for a call, and what is still wanted.
#[derive(Debug, Default)]
pub struct Handed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    given: HashMap<Wanted, Result<Given, Errno>>,
    wanted: Option<Wanted>,
}

impl Handed {
    /// Keeps what was handed out, or why it was not: EFAULT and EBADF are what the kernel
    /// answers the thread itself.
    pub fn give(&self, wanted: Wanted, given: Result<Given, Errno>) {
        self.state().given.insert(wanted, given);
    }

    /// What was missing first, once.
    pub fn take_wanted(&self) -> Option<Wanted> {
        self.state().wanted.take()
    }

    /// Memory from this address on, up to `length` bytes; fewer where mapped memory ends.
    ///
    /// # Errors
    /// EFAULT where nothing is mapped; UNREADABLE where it was not handed out.
    pub fn bytes(&self, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let at = address.wrapping_add(bytes.len() as u64);
            let within = (at % CHUNK) as usize;
            let part = self.get(Wanted::Memory(at - within as u64), |given| match given {
                Given::Memory(chunk) => Ok(chunk.get(within..).unwrap_or_default().to_vec()),
                _ => Err(UNREADABLE),
            });
            match part {
                Ok(part) if part.is_empty() => break,
                Ok(part) => bytes.extend(part.into_iter().take(length - bytes.len())),
                Err(Errno::EFAULT) => break,
                Err(errno) => return Err(errno),
            }
        }
        if bytes.is_empty() && length > 0 { Err(Errno::EFAULT) } else { Ok(bytes) }
    }

    /// A descriptor of the thread's, as one of ours. Where its name alone was handed out
    /// that is opened (O_PATH): to be called with the thread's rights, since it may be a lie.
    ///
    /// # Errors
    /// EBADF where it has none of this number; UNREADABLE where it was not handed out.
    pub fn descriptor(&self, wanted: Wanted) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        self.get(wanted, |given| match given {
            Given::Descriptor(fd) => fd.try_clone().map_err(|error| crate::sys::errno(&error)),
            Given::Name(path) if path.is_absolute() => {
                open(path, flags, Mode::empty()).map_err(|_| UNREADABLE)
            }
            Given::Name(_) | Given::Memory(_) => Err(UNREADABLE),
        })
    }

    /// The name of a descriptor of the thread's, as /proc has it.
    ///
    /// # Errors
    /// As [`Handed::descriptor`].
    pub fn name(&self, wanted: Wanted) -> Result<PathBuf, Errno> {
        self.get(wanted, |given| match given {
            Given::Descriptor(fd) => path_of(fd),
            Given::Name(path) => Ok(path.clone()),
            Given::Memory(_) => Err(UNREADABLE),
        })
    }

    fn get<T>(&self, wanted: Wanted, read: impl Fn(&Given) -> Result<T, Errno>) -> Result<T, Errno> {
        let mut state = self.state();
        match state.given.get(&wanted) {
            Some(Ok(given)) => read(given),
            Some(Err(errno)) => Err(*errno),
            None => {
                if state.given.len() < MOST {
                    state.wanted.get_or_insert(wanted);
                }
                Err(UNREADABLE)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Handed {
    fn eq(&self, other: &Handed) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Handed {}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(byte: u8) -> Result<Given, Errno> {
        Ok(Given::Memory(vec![byte; CHUNK as usize]))
    }

    #[test]
    fn what_is_missing_is_wanted_and_found_once_it_was_given() {
        let handed = Handed::default();
        assert_eq!(handed.bytes(0x1ff8, 16), Err(UNREADABLE));
        assert_eq!(handed.take_wanted(), Some(Wanted::Memory(0x1000)));
        assert_eq!(handed.take_wanted(), None);
        handed.give(Wanted::Memory(0x1000), memory(1));
        assert_eq!(handed.bytes(0x1ff8, 8), Ok(vec![1; 8]));
        assert_eq!(handed.bytes(0x1ff8, 16), Err(UNREADABLE));
        assert_eq!(handed.take_wanted(), Some(Wanted::Memory(0x2000)));
        handed.give(Wanted::Memory(0x2000), Err(Errno::EFAULT));
        assert_eq!(handed.bytes(0x1ff8, 16), Ok(vec![1; 8]), "as far as it is mapped");
        assert_eq!(handed.bytes(0x2000, 16), Err(Errno::EFAULT));
    }

    #[test]
    fn a_descriptor_that_is_none_is_not_one_that_was_not_handed_out() {
        let handed = Handed::default();
        handed.give(Wanted::Descriptor(7), Err(Errno::EBADF));
        handed.give(Wanted::Working, Err(UNREADABLE));
        assert_eq!(handed.descriptor(Wanted::Descriptor(7)).err(), Some(Errno::EBADF));
        assert_eq!(handed.descriptor(Wanted::Working).err(), Some(UNREADABLE));
        assert_eq!(handed.take_wanted(), None);
        assert_eq!(handed.descriptor(Wanted::Root).err(), Some(UNREADABLE));
        assert_eq!(handed.take_wanted(), Some(Wanted::Root));
    }

    #[test]
    fn a_name_is_opened_where_it_is_a_path() {
        let handed = Handed::default();
        handed.give(Wanted::Working, Ok(Given::Name("/proc".into())));
        let fd = handed.descriptor(Wanted::Working).expect("a directory");
        assert_eq!(path_of(&fd), Ok("/proc".into()));
        handed.give(Wanted::Descriptor(3), Ok(Given::Name("socket:[1]".into())));
        assert_eq!(handed.descriptor(Wanted::Descriptor(3)).err(), Some(UNREADABLE));
        assert_eq!(handed.name(Wanted::Descriptor(3)), Ok("socket:[1]".into()));
    }

    #[test]
    fn a_call_that_wants_without_end_gets_no_more() {
        let handed = Handed::default();
        for number in 0..MOST as u64 {
            handed.give(Wanted::Memory(number * CHUNK), memory(0));
        }
        assert_eq!(handed.bytes(MOST as u64 * CHUNK, 1), Err(UNREADABLE));
        assert_eq!(handed.take_wanted(), None);
    }
}
