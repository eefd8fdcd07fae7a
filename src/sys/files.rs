//! Files, where nix wraps a call for one C library only.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::check;

/// Renames the name in one directory to the other in another, with RENAME_* flags.
///
/// # Errors
/// Every errno of renameat2(2); EINVAL for a name that holds a NUL.
pub fn rename(
    from: BorrowedFd<'_>,
    old: &OsStr,
    to: BorrowedFd<'_>,
    new: &OsStr,
    flags: u32,
) -> Result<(), Errno> {
    let text = |name: &OsStr| CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL);
    let (old, new) = (text(old)?, text(new)?);
    // SAFETY: both names end with NUL and live on; the descriptors are borrowed open.
    check(unsafe {
        let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
        libc::syscall(libc::SYS_renameat2, from, old.as_ptr(), to, new.as_ptr(), flags)
    })
    .map(drop)
}
