//! Files, where nix wraps a call for one C library only.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::check;

/// Makes a memfd, close-on-exec, that nobody can execute, nor make executable (Linux 6.3).
///
/// # Errors
/// EINVAL for a flag that the kernel does not know, this one included; EMFILE, ENFILE,
/// ENOMEM.
pub fn sealed_memfd(name: &CStr, flags: u32) -> Result<OwnedFd, Errno> {
    /// Nobody executes it (linux/memfd.h).
    const MFD_NOEXEC_SEAL: u32 = 8;
    // SAFETY: the name ends with NUL and is only read; the kernel answers with a
    // descriptor that is ours.
    unsafe {
        let flags = flags | libc::MFD_CLOEXEC | MFD_NOEXEC_SEAL;
        let fd = check(libc::syscall(libc::SYS_memfd_create, name.as_ptr(), flags))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// What is known of a file without asking whoever serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Known {
    /// st_dev.
    pub device: u64,
    /// st_ino.
    pub inode: u64,
    /// st_mode.
    pub mode: u32,
    /// How many names it has.
    pub links: u32,
    /// Bytes.
    pub size: u64,
    /// When it was last changed, seconds and nanoseconds.
    pub changed: (i64, u32),
}

/// What the kernel knows of the file that `path` leads to, links followed (statx(2),
/// AT_STATX_DONT_SYNC): no file system keeps the caller waiting.
///
/// # Errors
/// Every errno of statx(2); EINVAL for a path that holds a NUL.
pub fn known(path: &str) -> Result<Known, Errno> {
    /// struct statx (linux/stat.h), as far as the ids of the device.
    #[repr(C)]
    #[derive(Default)]
    struct Statx {
        mask: u32,
        block_size: u32,
        attributes: u64,
        links: u32,
        ids: [u32; 2],
        mode: u16,
        spare: u16,
        inode: u64,
        size: u64,
        blocks: u64,
        attributes_mask: u64,
        accessed: [u64; 2],
        born: [u64; 2],
        changed: (i64, u32, i32),
        modified: [u64; 2],
        special: [u32; 2],
        device: [u32; 2],
        rest: [u64; 14],
    }
    const { assert!(size_of::<Statx>() == 256) };
    const BASIC: u32 = 0x7ff;
    const DONT_SYNC: i32 = 0x4000;
    let name = CString::new(path).map_err(|_| Errno::EINVAL)?;
    let mut found = Statx::default();
    // SAFETY: the path ends with NUL; the kernel fills a live structure of its size.
    let answer = check(unsafe {
        libc::syscall(libc::SYS_statx, libc::AT_FDCWD, name.as_ptr(), DONT_SYNC, BASIC, &raw mut found)
    });
    match answer {
        Ok(_) => {}
        Err(Errno::ENOSYS | Errno::EPERM) => return known_to_stat(path),
        Err(errno) => return Err(errno),
    }
    let [major, minor] = found.device;
    Ok(Known {
        device: libc::makedev(major, minor),
        inode: found.inode,
        mode: found.mode.into(),
        links: found.links,
        size: found.size,
        changed: (found.changed.0, found.changed.1),
    })
}

/// The same where a filter of an older runtime does not know statx(2).
fn known_to_stat(path: &str) -> Result<Known, Errno> {
    let stat = nix::sys::stat::stat(path)?;
    Ok(Known {
        device: stat.st_dev,
        inode: stat.st_ino,
        mode: stat.st_mode,
        links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        size: stat.st_size as u64,
        changed: (stat.st_ctime, stat.st_ctime_nsec as u32),
    })
}

/// Whether a directory says itself which rights new files in it have (acl(5)): then the
/// umask of who makes one does not count.
///
/// Where getxattr(2) fails, no such rights are known of.
pub fn has_default_acl(directory: BorrowedFd<'_>) -> bool {
    let Ok(path) = CString::new(format!("/proc/self/fd/{}", directory.as_raw_fd())) else { return false };
    // SAFETY: both names end with NUL; no byte is written to a value of length 0.
    let answer = check(unsafe {
        let name = c"system.posix_acl_default";
        libc::syscall(libc::SYS_getxattr, path.as_ptr(), name.as_ptr(), std::ptr::null::<u8>(), 0)
    });
    answer.is_ok_and(|length| length > 0)
}

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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_is_known_is_what_stat_says() {
        let known = super::known("/proc/self/exe").expect("statx");
        let stat = std::fs::metadata("/proc/self/exe").expect("stat");
        assert_eq!((known.device, known.inode), (stat.dev(), stat.ino()));
        assert_eq!(
            (known.mode, u64::from(known.links), known.size),
            (stat.mode(), stat.nlink(), stat.size())
        );
        assert_eq!(known.changed, (stat.ctime(), stat.ctime_nsec() as u32));
        assert_eq!(super::known_to_stat("/proc/self/exe"), Ok(known));
    }
}
