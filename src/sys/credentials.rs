//! Ids and capabilities of the calling thread alone. libc's wrappers change every
//! thread of the process, so these are the bare calls.

use nix::errno::Errno;
use nix::unistd::{Gid, Uid};

use super::check;

/// Capability sets of a thread, bit n for capability n (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapSets {
    /// The effective set.
    pub effective: u64,
    /// The permitted set.
    pub permitted: u64,
    /// The inheritable set.
    pub inheritable: u64,
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: 64 bits in two halves.
const VERSION_3: u32 = 0x2008_0522;

/// This thread's capability sets.
///
/// # Errors
/// capget(2) fails only where a filter refuses it.
pub fn capget() -> Result<CapSets, Errno> {
    let header = CapHeader { version: VERSION_3, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: the structures have the layout of version 3: one header, two halves.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(CapSets {
        effective: join(data[0].effective, data[1].effective),
        permitted: join(data[0].permitted, data[1].permitted),
        inheritable: join(data[0].inheritable, data[1].inheritable),
    })
}

/// Sets this thread's capability sets.
///
/// # Errors
/// EPERM for a capability that is not permitted.
pub fn capset(sets: CapSets) -> Result<(), Errno> {
    let header = CapHeader { version: VERSION_3, pid: 0 };
    let half = |shift: u32| CapData {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: as in `capget`; the kernel only reads.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// Sets real, effective and saved gid of this thread.
///
/// # Errors
/// EPERM without CAP_SETGID, EINVAL for a gid that has no mapping here.
pub fn setresgid(gid: Gid) -> Result<(), Errno> {
    let gid = gid.as_raw();
    // SAFETY: three integers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// Sets real, effective and saved uid of this thread.
///
/// # Errors
/// EPERM without CAP_SETUID, EINVAL for a uid that has no mapping here, EAGAIN
/// over RLIMIT_NPROC.
pub fn setresuid(uid: Uid) -> Result<(), Errno> {
    let uid = uid.as_raw();
    // SAFETY: three integers.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Sets the real gid and uid of this thread, which the kernel checks a tracer by (ptrace(2)).
/// Effective and saved ids stay, and with them every capability.
///
/// # Errors
/// EPERM without CAP_SETGID and CAP_SETUID.
pub fn set_real_ids(uid: Uid, gid: Gid) -> Result<(), Errno> {
    const SAME: u32 = u32::MAX;
    // SAFETY: three integers each.
    unsafe {
        check(libc::syscall(libc::SYS_setresgid, gid.as_raw(), SAME, SAME))?;
        check(libc::syscall(libc::SYS_setresuid, uid.as_raw(), SAME, SAME)).map(drop)
    }
}

/// Sets the effective gid and uid of this thread, which a peer gets by SO_PEERCRED (unix(7)).
/// Real and saved ids stay.
///
/// # Errors
/// EPERM without CAP_SETGID and CAP_SETUID.
pub fn set_effective_ids(uid: Uid, gid: Gid) -> Result<(), Errno> {
    const SAME: u32 = u32::MAX;
    // SAFETY: three integers each.
    unsafe {
        check(libc::syscall(libc::SYS_setresgid, SAME, gid.as_raw(), SAME))?;
        check(libc::syscall(libc::SYS_setresuid, SAME, uid.as_raw(), SAME)).map(drop)
    }
}

/// The supplementary groups of this thread.
///
/// # Errors
/// EINVAL where another thread changes them meanwhile; otherwise only a filter's errno.
pub fn groups() -> Result<Vec<Gid>, Errno> {
    // SAFETY: with a size of 0 the kernel writes nothing, and returns the number of groups.
    let count = check(i64::from(unsafe { libc::getgroups(0, std::ptr::null_mut()) }))?;
    let mut groups = vec![0; count as usize];
    // SAFETY: the buffer has room for `count` groups.
    let read = check(i64::from(unsafe { libc::getgroups(count as i32, groups.as_mut_ptr()) }))?;
    groups.truncate(read as usize);
    Ok(groups.into_iter().map(Gid::from_raw).collect())
}

// A slice of `Gid` is one of `gid_t`: a structure of one member, of the member's size.
const _: () = assert!(size_of::<Gid>() == size_of::<libc::gid_t>());

/// Sets the supplementary groups of this thread.
///
/// # Errors
/// EPERM without CAP_SETGID, or where a user namespace denies setgroups.
pub fn setgroups(groups: &[Gid]) -> Result<(), Errno> {
    // SAFETY: pointer and length are of one live slice, whose items have gid_t's layout.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// Sets the file-system uid and gid of this thread (credentials(7)), the uid last, so that the
/// gid can still be changed. Neither call reports a failure, so each is made again to read the
/// id back.
///
/// # Errors
/// EPERM when the ids could not be taken on; what a filter answers that refuses it.
pub fn set_filesystem_ids(uid: Uid, gid: Gid) -> Result<(), Errno> {
    let (uid, gid) = (uid.as_raw(), gid.as_raw());
    // SAFETY: integers only; -1 is no id and only asks for the present one.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, gid);
        libc::syscall(libc::SYS_setfsuid, uid);
        // No id is -1, so a return value of -1 is a filter's.
        let now_gid = check(libc::syscall(libc::SYS_setfsgid, -1))?;
        let now_uid = check(libc::syscall(libc::SYS_setfsuid, -1))?;
        if now_gid as u32 == gid && now_uid as u32 == uid { Ok(()) } else { Err(Errno::EPERM) }
    }
}
