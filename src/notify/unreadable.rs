//! The errno for a caller that the kernel does not show to the supervisor.

use nix::errno::Errno;

/// The caller cannot be read: the errno is for the supervisor's own read, not for the call. No
/// system call returns this number.
pub const UNREADABLE: Errno = Errno::ENOANO;

/// The errno of an attempt to read a caller: [`UNREADABLE`] for EACCES and EPERM, any other
/// unchanged.
pub fn unreadable(errno: Errno) -> Errno {
    if matches!(errno, Errno::EACCES | Errno::EPERM) { UNREADABLE } else { errno }
}
