//! Files, where nix wraps a call for one C library only.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::check;

/// Makes a close-on-exec memfd that cannot be executed, nor made executable (memfd_create(2),
/// MFD_NOEXEC_SEAL, Linux 6.3). More seals can be set on it only with MFD_ALLOW_SEALING, which
/// MFD_NOEXEC_SEAL implies.
///
/// # Errors
/// EINVAL for a flag that the kernel does not know, this one included; EMFILE, ENFILE,
/// ENOMEM.
pub fn sealed_memfd(name: &CStr, flags: u32) -> Result<OwnedFd, Errno> {
    /// From linux/memfd.h.
    const MFD_NOEXEC_SEAL: u32 = 8;
    // SAFETY: the name ends with NUL and is only read; the kernel answers with a
    // descriptor that is ours.
    let fd = unsafe {
        let flags = flags | libc::MFD_CLOEXEC | MFD_NOEXEC_SEAL;
        let fd = check(libc::syscall(libc::SYS_memfd_create, name.as_ptr(), flags))?;
        OwnedFd::from_raw_fd(fd as i32)
    };
    if flags & libc::MFD_ALLOW_SEALING == 0 {
        // SAFETY: integers only.
        check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SEAL) }.into())?;
    }
    Ok(fd)
}

/// The attributes of a file as the kernel has them cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CachedStat {
    /// st_dev.
    pub device: u64,
    /// st_ino.
    pub inode: u64,
    /// st_mode.
    pub mode: u32,
    /// st_nlink: the number of its hard links.
    pub links: u32,
    /// st_size, in bytes.
    pub size: u64,
    /// st_ctim: seconds and nanoseconds.
    pub changed: (i64, u32),
}

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
    created: (i64, u32, i32),
    changed: (i64, u32, i32),
    modified: [u64; 2],
    special: [u32; 2],
    device: [u32; 2],
    rest: [u64; 14],
}

fn statx(name: &CStr, mask: u32) -> Result<Statx, Errno> {
    const { assert!(size_of::<Statx>() == 256) };
    const DONT_SYNC: i32 = 0x4000;
    let mut found = Statx::default();
    // SAFETY: the path ends with NUL; the kernel fills a live structure of its size.
    check(unsafe {
        libc::syscall(libc::SYS_statx, libc::AT_FDCWD, name.as_ptr(), DONT_SYNC, mask, &raw mut found)
    })?;
    Ok(found)
}

/// The time when the file at `path` was made, links followed: seconds since 1970 and nanoseconds.
/// `None` where the file system does not keep it (or keeps 0), and where there is no file.
pub fn birth(path: &CStr) -> Option<(i64, u32)> {
    const BTIME: u32 = 0x800;
    let found = statx(path, BTIME).ok()?;
    let time = (found.created.0, found.created.1);
    (found.mask & BTIME != 0 && time.0 > 0).then_some(time)
}

/// The capabilities of the file at `path`, links followed, that it gets at once (security.capability,
/// capabilities(7)), as bits; 0 where it has none, or none that are effective.
pub fn effective_file_capabilities(path: &CStr) -> u64 {
    // struct vfs_ns_cap_data, linux/capability.h.
    let mut bytes = [0u8; 24];
    let name = c"security.capability";
    // SAFETY: both names end with NUL; the kernel writes no more than the length that it is given.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) };
    usize::try_from(length).map_or(0, |length| effective(&bytes[..length]))
}

/// The words of the attribute: version and flags, then for each half of the sets permitted and inheritable.
fn effective(attribute: &[u8]) -> u64 {
    const EFFECTIVE: u32 = 1;
    let words: Vec<u32> = attribute
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    let word = |at: usize| words.get(at).copied().unwrap_or(0);
    if word(0) & EFFECTIVE == 0 { 0 } else { u64::from(word(1)) | u64::from(word(3)) << 32 }
}

/// Stats the file at `path`, links followed, from the kernel's cache (statx(2),
/// AT_STATX_DONT_SYNC): the call does not wait for the server of a remote or FUSE file system.
///
/// # Errors
/// Every errno of statx(2); EINVAL for a path that holds a NUL.
pub fn stat_cached(path: &str) -> Result<CachedStat, Errno> {
    const BASIC: u32 = 0x7ff;
    let name = CString::new(path).map_err(|_| Errno::EINVAL)?;
    let found = match statx(&name, BASIC) {
        Ok(found) => found,
        Err(Errno::ENOSYS | Errno::EPERM) => return stat_without_statx(path),
        Err(errno) => return Err(errno),
    };
    let [major, minor] = found.device;
    Ok(CachedStat {
        device: libc::makedev(major, minor),
        inode: found.inode,
        mode: found.mode.into(),
        links: found.links,
        size: found.size,
        changed: (found.changed.0, found.changed.1),
    })
}

/// The same by stat(2), where an older runtime's filter refuses statx(2).
fn stat_without_statx(path: &str) -> Result<CachedStat, Errno> {
    let stat = nix::sys::stat::stat(path)?;
    Ok(CachedStat {
        device: stat.st_dev,
        inode: stat.st_ino,
        mode: stat.st_mode,
        links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        size: stat.st_size as u64,
        changed: (stat.st_ctime, stat.st_ctime_nsec as u32),
    })
}

/// Whether a directory has a default ACL (acl(5)): the umask does not apply to new files in it.
///
/// Where getxattr(2) fails, it counts as having none.
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
    fn file_capabilities_count_where_they_are_effective() {
        // setcap cap_net_raw=ep, =p, cap_net_raw,cap_checkpoint_restore=ep; the first version has one half.
        let of = |words: &[u32]| {
            super::effective(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
        };
        assert_eq!(of(&[0x0200_0001, 1 << 13, 0, 0, 0]), 1 << 13);
        assert_eq!(of(&[0x0200_0000, 1 << 13, 0, 0, 0]), 0);
        assert_eq!(of(&[0x0300_0001, 1 << 13, 0, 1 << 8, 0, 0]), 1 << 13 | 1 << 40);
        assert_eq!(of(&[0x0100_0001, 1 << 13, 0]), 1 << 13);
        assert_eq!((of(&[]), of(&[1])), (0, 0));
        assert_eq!(super::effective_file_capabilities(c"/proc/self/exe"), 0);
    }

    #[test]
    fn statx_and_stat_agree() {
        let cached = super::stat_cached("/proc/self/exe").expect("statx");
        let stat = std::fs::metadata("/proc/self/exe").expect("stat");
        assert_eq!((cached.device, cached.inode), (stat.dev(), stat.ino()));
        assert_eq!(
            (cached.mode, u64::from(cached.links), cached.size),
            (stat.mode(), stat.nlink(), stat.size())
        );
        assert_eq!(cached.changed, (stat.ctime(), stat.ctime_nsec() as u32));
        assert_eq!(super::stat_without_statx("/proc/self/exe"), Ok(cached));
    }
}
