//! Descriptors that the program was started with, and which of its own outlive an exec.
//!
//! Whatever this program opens is close-on-exec. A descriptor above 2 that is not was open
//! before its exec, for execve(2) closes all others: so no value of this program owns it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::check;
use super::process::hard_limit;

/// Standard input, output and error are the first three.
const STANDARD: RawFd = 3;

/// The descriptors above 2 that the program was started with.
#[derive(Debug, Default)]
pub struct Inherited(Vec<RawFd>);

impl Inherited {
    /// Lists them.
    pub fn list() -> Inherited {
        let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
            // No /proc: every number that a program is likely to have been given.
            return Inherited((STANDARD..1024).filter(|fd| is_inherited(*fd)).collect());
        };
        let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Inherited(numbers.filter(|fd| is_inherited(*fd)).collect())
    }

    /// How many there are from 3 on without a gap.
    pub fn in_a_row(&self) -> u32 {
        (STANDARD..).take_while(|fd| self.0.contains(fd)).count() as u32
    }

    /// Whether this one is among them.
    pub fn has(&self, fd: RawFd) -> bool {
        self.0.contains(&fd)
    }

    /// The numbers, in order, of those that are still open.
    pub fn open(&self) -> Vec<RawFd> {
        let mut open = BTreeSet::new();
        open.extend(self.0.iter().copied().filter(|fd| is_inherited(*fd)));
        open.into_iter().collect()
    }

    /// Closes those that are still open.
    pub fn close(&self) {
        for fd in self.0.iter().filter(|fd| is_inherited(**fd)) {
            // SAFETY: it is one of those that no value owns.
            drop(unsafe { OwnedFd::from_raw_fd(*fd) });
        }
    }
}

/// Whether a descriptor above 2 is open that the program was started with.
fn is_inherited(fd: RawFd) -> bool {
    // SAFETY: F_GETFD asks for the flags of a number; of one that is not open it says EBADF.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    fd >= STANDARD && flags != -1 && flags & libc::FD_CLOEXEC == 0
}

/// One of the first three descriptors, which [`begin`](super::entry::begin) and Rust's own start-up
/// leave open, and no value owns.
pub fn standard(fd: RawFd) -> Option<BorrowedFd<'static>> {
    // SAFETY: nothing closes them before the process ends.
    (0..STANDARD).contains(&fd).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// A close-on-exec copy of a descriptor that the program was started with, the first three
/// among them.
///
/// # Errors
/// EBADF when it is not open, or was opened by the program itself; EMFILE.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    if !is_inherited(fd) && !(0..STANDARD).contains(&fd) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: F_DUPFD_CLOEXEC makes a new descriptor, which is ours, and leaves the old one as
    // it is; of one that is not open it says EBADF.
    unsafe {
        let copy = check(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0).into())?;
        Ok(OwnedFd::from_raw_fd(copy as RawFd))
    }
}

/// Marks every descriptor from `first` on close-on-exec. Below Linux 5.11, which has no such
/// call, one by one up to the limit on open files.
///
/// # Errors
/// None that a kernel is known to answer but those of getrlimit(2) and fcntl(2).
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: integers only; nothing is closed before the exec.
    match check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) }) {
        Ok(_) => Ok(()),
        Err(_) => {
            let limit = hard_limit(libc::RLIMIT_NOFILE)?.unwrap_or(1 << 20).min(1 << 20);
            (first as RawFd..limit as RawFd).try_for_each(|fd| match set_flags(fd, libc::FD_CLOEXEC) {
                // It is not open, so there is nothing to mark.
                Ok(()) | Err(Errno::EBADF) => Ok(()),
                Err(errno) => Err(errno),
            })
        }
    }
}

/// Leaves a descriptor open over the exec. For a child that is about to execute: see the
/// module.
///
/// # Errors
/// fcntl(2) fails only where a filter refuses it.
pub fn keep_over_exec(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    set_flags(fd.as_raw_fd(), 0)
}

/// The same of one that the program was started with, by its number.
///
/// # Errors
/// EBADF where it is not open.
pub fn keep_inherited_over_exec(fd: RawFd) -> Result<(), Errno> {
    set_flags(fd, 0)
}

fn set_flags(fd: RawFd, flags: i32) -> Result<(), Errno> {
    // SAFETY: integers only; F_SETFD changes whether the exec closes it.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, flags) }.into()).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_the_program_opened_itself_is_neither_listed_nor_copied() {
        let file = std::fs::File::open("/dev/null").expect("it is there");
        let number = file.as_raw_fd();
        assert!(!Inherited::list().0.contains(&number));
        assert_eq!(duplicate(number).map_err(|error| error.raw_os_error()).err(), Some(Some(libc::EBADF)));
        duplicate(1).expect("standard output");
        assert!(duplicate(-1).is_err());
    }

    #[test]
    fn what_an_exec_leaves_open_is_listed_and_closed_once() {
        let file = std::fs::File::open("/dev/null").expect("it is there");
        // No value owns the copy from here on, as it is with what was open before the exec.
        let number = std::os::fd::IntoRawFd::into_raw_fd(file.as_fd().try_clone_to_owned().expect("a copy"));
        set_flags(number, 0).expect("it is open");
        let listed = Inherited(Inherited::list().0.into_iter().filter(|fd| *fd == number).collect());
        assert_eq!(listed.0, [number]);
        duplicate(number).expect("it is as if inherited");
        listed.close();
        assert!(!is_inherited(number));
    }
}
