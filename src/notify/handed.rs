//! What a traced thread sends of itself: its memory, its descriptors, its directories.
//!
//! Without CAP_SYS_PTRACE the kernel shows these of a process that is not dumpable only to the
//! process itself. Where such a process is traced, its thread is stopped in the call that is to be
//! decided, and the [`tracer`](crate::tracer) makes it send what is wanted by a few more calls.
//! What was sent stays here until the call is decided.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::notify::unreadable::UNREADABLE;
use crate::procfs::path_of;

/// The size of a piece of memory, at a multiple of this address: no more than a page, which is
/// mapped as a whole or not at all.
pub const CHUNK: u64 = 4096;
/// The most pieces for a call: a path takes two, and a rename two paths. The arguments of an exec
/// may take many.
const MOST: usize = 64;

/// What a thread is to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandedItem {
    /// A piece of its memory, by its address.
    Memory(u64),
    /// A descriptor, by its number.
    Descriptor(i32),
    /// Its working directory.
    Working,
    /// Its root directory.
    Root,
}

/// What a thread has sent.
#[derive(Debug)]
pub enum Given {
    /// The bytes, for [`HandedItem::Memory`].
    Memory(Vec<u8>),
    /// The descriptor, for all others.
    Descriptor(OwnedFd),
    /// The descriptor's name where it could not be sent, as /proc has it: a path, or `socket:[1]`.
    Name(PathBuf),
}

/// What a thread has sent for a call, and what is still wanted.
#[derive(Debug, Default)]
pub struct Handed(Mutex<HandedState>);

#[derive(Debug, Default)]
struct HandedState {
    given: HashMap<HandedItem, Result<Given, Errno>>,
    wanted: Option<HandedItem>,
}

impl Handed {
    /// Stores what was sent, or the errno: EFAULT and EBADF are what the kernel answers the thread
    /// itself.
    pub fn give(&self, wanted: HandedItem, given: Result<Given, Errno>) {
        self.state().given.insert(wanted, given);
    }

    /// Takes the first item that was missing.
    pub fn take_wanted(&self) -> Option<HandedItem> {
        self.state().wanted.take()
    }

    /// Whether something that was asked for was not sent, and will not be.
    pub fn is_incomplete(&self) -> bool {
        let state = self.state();
        state.given.len() >= MOST || state.given.values().any(|given| matches!(given, Err(UNREADABLE)))
    }

    /// Memory from this address on, up to `length` bytes; fewer where mapped memory ends.
    ///
    /// # Errors
    /// EFAULT where nothing is mapped; UNREADABLE where it was not sent.
    pub fn bytes(&self, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let at = address.wrapping_add(bytes.len() as u64);
            let within = (at % CHUNK) as usize;
            let part = self.get(HandedItem::Memory(at - within as u64), |given| match given {
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

    /// A duplicate of the thread's descriptor. Where only its name was sent, that is opened
    /// (O_PATH): to be called with the thread's rights, since the name may be false.
    ///
    /// # Errors
    /// EBADF where the thread has no such descriptor; UNREADABLE where it was not sent.
    pub fn descriptor(&self, wanted: HandedItem) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        self.get(wanted, |given| match given {
            Given::Descriptor(fd) => fd.try_clone().map_err(|error| crate::sys::errno(&error)),
            Given::Name(path) if path.is_absolute() => {
                open(path, flags, Mode::empty()).map_err(|_| UNREADABLE)
            }
            Given::Name(_) | Given::Memory(_) => Err(UNREADABLE),
        })
    }

    /// The name of the thread's descriptor, as /proc has it.
    ///
    /// # Errors
    /// As [`Handed::descriptor`].
    pub fn name(&self, wanted: HandedItem) -> Result<PathBuf, Errno> {
        self.get(wanted, |given| match given {
            Given::Descriptor(fd) => path_of(fd),
            Given::Name(path) => Ok(path.clone()),
            Given::Memory(_) => Err(UNREADABLE),
        })
    }

    fn get<T>(&self, wanted: HandedItem, read: impl Fn(&Given) -> Result<T, Errno>) -> Result<T, Errno> {
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

    fn state(&self) -> MutexGuard<'_, HandedState> {
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
        assert_eq!(handed.take_wanted(), Some(HandedItem::Memory(0x1000)));
        assert_eq!(handed.take_wanted(), None);
        handed.give(HandedItem::Memory(0x1000), memory(1));
        assert_eq!(handed.bytes(0x1ff8, 8), Ok(vec![1; 8]));
        assert_eq!(handed.bytes(0x1ff8, 16), Err(UNREADABLE));
        assert_eq!(handed.take_wanted(), Some(HandedItem::Memory(0x2000)));
        handed.give(HandedItem::Memory(0x2000), Err(Errno::EFAULT));
        assert_eq!(handed.bytes(0x1ff8, 16), Ok(vec![1; 8]), "as far as it is mapped");
        assert_eq!(handed.bytes(0x2000, 16), Err(Errno::EFAULT));
    }

    #[test]
    fn a_descriptor_that_is_none_is_not_one_that_was_not_handed_out() {
        let handed = Handed::default();
        handed.give(HandedItem::Descriptor(7), Err(Errno::EBADF));
        handed.give(HandedItem::Working, Err(UNREADABLE));
        assert_eq!(handed.descriptor(HandedItem::Descriptor(7)).err(), Some(Errno::EBADF));
        assert_eq!(handed.descriptor(HandedItem::Working).err(), Some(UNREADABLE));
        assert_eq!(handed.take_wanted(), None);
        assert_eq!(handed.descriptor(HandedItem::Root).err(), Some(UNREADABLE));
        assert_eq!(handed.take_wanted(), Some(HandedItem::Root));
    }

    #[test]
    fn a_name_is_opened_where_it_is_a_path() {
        let handed = Handed::default();
        handed.give(HandedItem::Working, Ok(Given::Name("/proc".into())));
        let fd = handed.descriptor(HandedItem::Working).expect("a directory");
        assert_eq!(path_of(&fd), Ok("/proc".into()));
        handed.give(HandedItem::Descriptor(3), Ok(Given::Name("socket:[1]".into())));
        assert_eq!(handed.descriptor(HandedItem::Descriptor(3)).err(), Some(UNREADABLE));
        assert_eq!(handed.name(HandedItem::Descriptor(3)), Ok("socket:[1]".into()));
    }

    #[test]
    fn a_call_that_wants_without_end_gets_no_more() {
        let handed = Handed::default();
        for number in 0..MOST as u64 {
            handed.give(HandedItem::Memory(number * CHUNK), memory(0));
        }
        assert_eq!(handed.bytes(MOST as u64 * CHUNK, 1), Err(UNREADABLE));
        assert_eq!(handed.take_wanted(), None);
    }
}
