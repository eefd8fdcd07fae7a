//! The errno for a caller that the kernel does not show to the supervisor.

use nix::errno::Errno;

/// The caller cannot be read: not what the kernel would answer it, but what it answers the
/// supervisor. No call of the kernel's answers this number.
pub const UNREADABLE: Errno = Errno::ENOANO;

/// The errno of an attempt to read a caller: [`UNREADABLE`] where the kernel refused the
/// access (EACCES or EPERM), any other as it is.
pub fn unreadable(errno: Errno) -> Errno {
    if matches!(errno, Errno::EACCES | Errno::EPERM) { UNREADABLE } else { errno }
}
