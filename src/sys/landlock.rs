//! The Landlock calls; the crate has the names of the rights.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

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

/// struct landlock_ruleset_attr (linux/landlock.h), as of ABI 6. A kernel that knows less of it takes
/// the rest where it is zero.
#[repr(C)]
pub struct RulesetAttr {
    /// LANDLOCK_ACCESS_FS_*.
    pub handled_access_fs: u64,
    /// LANDLOCK_ACCESS_NET_*, from ABI 4 on.
    pub handled_access_net: u64,
    /// LANDLOCK_SCOPE_*, from ABI 6 on.
    pub scoped: u64,
}

/// Creates a ruleset (landlock_create_ruleset(2)). Its descriptor is close-on-exec.
///
/// # Errors
/// EINVAL for a right or scope, and E2BIG for a kind of them, that the kernel does not know; ENOMSG
/// without any right.
pub fn create(attr: &RulesetAttr) -> Result<OwnedFd, Errno> {
    let size = size_of::<RulesetAttr>();
    // SAFETY: the kernel reads one structure of this size, which outlives the call.
    let answer =
        check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const *attr, size, 0) })?;
    // SAFETY: the kernel has just made this descriptor, a small number, and nothing else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(answer as i32) })
}

/// struct landlock_path_beneath_attr (linux/landlock.h).
#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}

/// struct landlock_net_port_attr (linux/landlock.h).
#[repr(C)]
struct NetPortAttr {
    allowed_access: u64,
    port: u64,
}

/// Adds a rule for a file, or a directory and all below it (LANDLOCK_RULE_PATH_BENEATH).
///
/// # Errors
/// As landlock_add_rule(2): EINVAL for rights that the ruleset does not handle, or that only a
/// directory can have.
pub fn add_path(ruleset: BorrowedFd, file: BorrowedFd, rights: u64) -> Result<(), Errno> {
    const PATH_BENEATH: u32 = 1;
    add_rule(ruleset, PATH_BENEATH, &PathBeneathAttr { allowed_access: rights, parent_fd: file.as_raw_fd() })
}

/// Adds a rule for a TCP port (LANDLOCK_RULE_NET_PORT).
///
/// # Errors
/// As landlock_add_rule(2).
pub fn add_port(ruleset: BorrowedFd, port: u16, rights: u64) -> Result<(), Errno> {
    const NET_PORT: u32 = 2;
    add_rule(ruleset, NET_PORT, &NetPortAttr { allowed_access: rights, port: port.into() })
}

/// `T` is the structure of the type of rule `kind`.
fn add_rule<T>(ruleset: BorrowedFd, kind: u32, rule: &T) -> Result<(), Errno> {
    let ruleset = ruleset.as_raw_fd();
    // SAFETY: the kernel reads one structure of this kind, which outlives the call.
    check(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, kind, &raw const *rule, 0) }).map(drop)
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
