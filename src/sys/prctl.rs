//! prctl(2): one function for each option that is used, with the types of its arguments.

use std::ffi::{CStr, c_ulong};

use nix::errno::Errno;

use super::check;

/// The call, with up to two arguments; the rest is zero, as the newer options demand.
///
/// # Safety
/// Each argument that the option takes for an address is that of a live object of the type
/// which the option reads or writes.
unsafe fn prctl(option: i32, first: c_ulong, second: c_ulong) -> Result<i32, Errno> {
    const NONE: c_ulong = 0;
    // SAFETY: the caller answers for the arguments.
    let answer = unsafe { libc::prctl(option, first, second, NONE, NONE) };
    check(answer.into()).map(|answer| answer as i32)
}

/// Whether the process may be traced, read in /proc and dumped by others of its user
/// (PR_SET_DUMPABLE).
///
/// # Errors
/// The errno of a filter that refuses prctl(2).
pub fn set_dumpable(dumpable: bool) -> Result<(), Errno> {
    // SAFETY: a number.
    unsafe { prctl(libc::PR_SET_DUMPABLE, dumpable.into(), 0) }.map(drop)
}

/// The signal that the process gets when the thread that made it ends (PR_SET_PDEATHSIG).
///
/// # Errors
/// EINVAL for a number that is no signal.
pub fn set_parent_death_signal(signal: i32) -> Result<(), Errno> {
    // SAFETY: a number.
    unsafe { prctl(libc::PR_SET_PDEATHSIG, signal as c_ulong, 0) }.map(drop)
}

/// Keeps the permitted capabilities over a change of the uid (PR_SET_KEEPCAPS); the exec
/// ends that.
///
/// # Errors
/// EPERM where SECBIT_KEEP_CAPS_LOCKED is set.
pub fn keep_capabilities() -> Result<(), Errno> {
    // SAFETY: a number.
    unsafe { prctl(libc::PR_SET_KEEPCAPS, 1, 0) }.map(drop)
}

/// From now on no exec gains privileges (PR_SET_NO_NEW_PRIVS).
///
/// # Errors
/// The errno of a filter that refuses prctl(2).
pub fn set_no_new_privileges() -> Result<(), Errno> {
    // SAFETY: a number.
    unsafe { prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0) }.map(drop)
}

/// Whether no exec gains privileges (PR_GET_NO_NEW_PRIVS).
///
/// # Errors
/// The errno of a filter that refuses prctl(2).
pub fn no_new_privileges() -> Result<bool, Errno> {
    // SAFETY: no argument.
    unsafe { prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0) }.map(|set| set == 1)
}

/// Whether a seccomp filter is in force for this thread (PR_GET_SECCOMP). One that refuses
/// the question is.
pub fn is_filtered() -> bool {
    // SAFETY: no argument.
    unsafe { prctl(libc::PR_GET_SECCOMP, 0, 0) != Ok(0) }
}

/// The secure bits of this thread, SECBIT_* (PR_GET_SECUREBITS).
///
/// # Errors
/// The errno of a filter that refuses prctl(2).
pub fn secure_bits() -> Result<u32, Errno> {
    // SAFETY: no argument.
    unsafe { prctl(libc::PR_GET_SECUREBITS, 0, 0) }.map(|bits| bits as u32)
}

/// Sets the secure bits of this thread, SECBIT_* (PR_SET_SECUREBITS).
///
/// # Errors
/// EPERM without CAP_SETPCAP where one is needed, or for a bit that is locked.
pub fn set_secure_bits(bits: u32) -> Result<(), Errno> {
    // SAFETY: a number.
    unsafe { prctl(libc::PR_SET_SECUREBITS, bits.into(), 0) }.map(drop)
}

/// Refuses this process and its descendants memory that is or was writable and becomes
/// executable (PR_SET_MDWE, Linux 6.3).
///
/// # Errors
/// EINVAL on an older kernel.
pub fn refuse_exec_gain() -> Result<(), Errno> {
    const PR_SET_MDWE: i32 = 65;
    const PR_MDWE_REFUSE_EXEC_GAIN: c_ulong = 1;
    // SAFETY: a number.
    unsafe { prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0) }.map(drop)
}

/// Which memory is refused, PR_MDWE_* (PR_GET_MDWE, Linux 6.3).
///
/// # Errors
/// EINVAL on an older kernel; what a filter answers.
pub fn refused_exec_gain() -> Result<i32, Errno> {
    const PR_GET_MDWE: i32 = 66;
    // SAFETY: no argument.
    unsafe { prctl(PR_GET_MDWE, 0, 0) }
}

/// Orphans among the descendants come to this process from now on (PR_SET_CHILD_SUBREAPER).
///
/// # Errors
/// EINVAL before Linux 3.4; what a filter answers.
pub fn set_subreaper() -> Result<(), Errno> {
    // SAFETY: a number.
    unsafe { prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0) }.map(drop)
}

/// Whether orphans among the descendants come to this process (PR_GET_CHILD_SUBREAPER).
///
/// # Errors
/// EINVAL before Linux 3.4; what a filter answers.
pub fn is_subreaper() -> Result<bool, Errno> {
    let mut set = 0i32;
    // SAFETY: the address of a live int, which is what the option writes.
    unsafe { prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut set as c_ulong, 0) }?;
    Ok(set == 1)
}

/// Names this thread; the kernel takes 15 bytes (PR_SET_NAME).
///
/// # Errors
/// The errno of a filter that refuses prctl(2).
pub fn set_name(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the address of a string that ends with NUL, at which the kernel stops to read.
    unsafe { prctl(libc::PR_SET_NAME, name.as_ptr() as c_ulong, 0) }.map(drop)
}

/// Drops a capability from the bounding set (PR_CAPBSET_DROP). Where the kernel is too old to
/// know it, nothing is there to be dropped.
///
/// # Errors
/// EPERM without CAP_SETPCAP; whatever else leaves it there.
pub fn drop_bounding(capability: u8) -> Result<(), Errno> {
    let number = capability.into();
    // SAFETY: a number.
    match unsafe { prctl(libc::PR_CAPBSET_DROP, number, 0) } {
        Ok(_) => Ok(()),
        // SAFETY: a number.
        Err(Errno::EINVAL) if unsafe { prctl(libc::PR_CAPBSET_READ, number, 0) } == Err(Errno::EINVAL) => {
            Ok(())
        }
        Err(errno) => Err(errno),
    }
}

/// Raises a capability in the ambient set (PR_CAP_AMBIENT_RAISE).
///
/// # Errors
/// EPERM when it is not permitted and inheritable.
pub fn raise_ambient(capability: u8) -> Result<(), Errno> {
    // SAFETY: numbers.
    unsafe { prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as c_ulong, capability.into()) }.map(drop)
}

/// Empties the ambient set (PR_CAP_AMBIENT_CLEAR_ALL).
///
/// # Errors
/// EINVAL on a kernel without ambient capabilities (before 4.3).
pub fn clear_ambient() -> Result<(), Errno> {
    // SAFETY: numbers.
    unsafe { prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong, 0) }.map(drop)
}
