//! The two Landlock calls that the crate does not offer alone.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use super::check;

/// The kernel's Landlock ABI; 0 where there is none. EPERM and EOPNOTSUPP (refused
/// by a filter, or not enabled at boot) mean none as much as ENOSYS does.
pub fn abi() -> u8 {
    version().unwrap_or(0)
}

/// The kernel's Landlock ABI.
///
/// # Errors
/// ENOSYS where it has none, EOPNOTSUPP where it is not enabled at boot, EPERM where a
/// filter refuses.
pub fn version() -> Result<u8, Errno> {
    const VERSION: u32 = 1;
    // SAFETY: with a null attribute of size 0 and this flag, the call returns the version.
    let answer =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION) };
    check(answer).map(|abi| u8::try_from(abi).unwrap_or(u8::MAX))
}

/// Enters a Landlock domain, irrevocably (landlock_restrict_self(2)). It does not allocate, since
/// it runs between fork and exec.
///
/// # Errors
/// EPERM without no_new_privs, E2BIG past 16 layers.
pub fn restrict_self(ruleset: impl AsFd) -> Result<(), Errno> {
    // SAFETY: a descriptor and no flags.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_fd().as_raw_fd(), 0) })
        .map(drop)
}
