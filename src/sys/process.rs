//! Processes: fork, exec, wait, and the attributes that a child takes on before
//! its exec.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::check;

/// Which side of a fork this is.
pub enum Side {
    /// The new process.
    Child,
    /// The old one, and the new one's pid.
    Parent(i32),
}

/// Forks. To be called with one thread only, so that the child may allocate.
///
/// # Errors
/// EAGAIN, ENOMEM as in fork(2).
pub fn fork() -> Result<Side, Errno> {
    // SAFETY: the caller has no other thread (the launch comes before workers are
    // started), so that the child inherits no lock that is held.
    match check(unsafe { libc::fork() }.into())? {
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid as i32)),
    }
}

/// Replaces the program. Unlike libc's execvp it searches no PATH and hands no
/// file to a shell.
///
/// # Errors
/// Every errno of execve(2); on success it does not return.
pub fn execve(program: &CStr, argv: &[CString], envp: &[CString]) -> Result<Infallible, Errno> {
    let pointers = |strings: &[CString]| {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (argv, envp) = (pointers(argv), pointers(envp));
    // SAFETY: both lists are of NUL-terminated strings that live on, and end in null.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Err(Errno::last())
}

/// Ends the process at once, with no destructor and no handler.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit never returns and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// How a child ended or changed, as wait4(2) tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It called exit.
    Exited(i32),
    /// A signal killed it.
    Signalled(i32),
    /// A traced child stopped: the signal and the ptrace event, which is no death.
    Stopped(i32, i32),
}

/// The next child that changed, if any, traced ones too. `Err(ECHILD)`: none left.
///
/// # Errors
/// ECHILD when there is no child at all.
pub fn wait_any() -> Result<Option<(i32, Change)>, Errno> {
    let mut status = 0;
    // SAFETY: the pointer is to a live int.
    let pid = check(unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG | libc::__WALL) }.into())?;
    if pid == 0 {
        return Ok(None);
    }
    let change = if libc::WIFEXITED(status) {
        Change::Exited(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Change::Signalled(libc::WTERMSIG(status))
    } else {
        Change::Stopped(libc::WSTOPSIG(status), status >> 16)
    };
    Ok(Some((pid as i32, change)))
}

/// Keeps one heap for all threads, where the C library would reserve 128 MiB of
/// addresses for each: ours have little to do (mallopt(3)).
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number that later allocations look at. It cannot fail for this one.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Asks for short turns on the processor for this thread, so that one that is woken
/// for a moment's work is neither kept waiting nor cut off in it (sched_setattr(2);
/// honoured by Linux 6.12 on, ignored before).
///
/// # Errors
/// EPERM or ENOSYS where a filter refuses it.
pub fn take_short_turns() -> Result<(), Errno> {
    /// Nanoseconds; the least that the kernel grants.
    const SLICE: u64 = 100_000;
    /// struct sched_attr (linux/sched/types.h), its first version.
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    const SIZE: usize = size_of::<Attributes>();
    let mut attributes = Attributes::default();
    // SAFETY: the kernel fills at most SIZE bytes of a live structure of integers.
    check(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, SIZE, 0) })?;
    // Of other policies the field means something else.
    if attributes.policy != libc::SCHED_OTHER as u32 {
        return Ok(());
    }
    attributes.runtime = SLICE;
    // SAFETY: the kernel reads as many bytes as the first field says, SIZE.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) }).map(drop)
}

/// A prctl with up to two numbers, the rest zero as the newer ones demand.
///
/// # Errors
/// EINVAL where the kernel does not know it; the others of prctl(2).
pub fn prctl(option: i32, first: u64, second: u64) -> Result<i32, Errno> {
    // SAFETY: only called with options whose arguments are numbers.
    check(unsafe { libc::prctl(option, first, second, 0u64, 0u64) }.into()).map(|answer| answer as i32)
}

/// Makes this process the leader of a group of its own.
///
/// # Errors
/// EPERM for a session leader.
pub fn own_group() -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::setpgid(0, 0) }.into()).map(drop)
}

/// Gives the terminal on `fd` to this process's group.
///
/// # Errors
/// ENOTTY where it is no terminal, ENXIO or EBADF where there is none.
pub fn take_terminal(fd: i32) -> Result<(), Errno> {
    // SAFETY: integers only; a descriptor that is not open is answered EBADF.
    check(unsafe { libc::tcsetpgrp(fd, libc::getpgrp()) }.into()).map(drop)
}

/// The type of RLIMIT_*: unsigned in glibc's headers.
#[cfg(not(target_env = "musl"))]
pub type Resource = std::ffi::c_uint;
/// The type of RLIMIT_*: signed in musl's headers.
#[cfg(target_env = "musl")]
pub type Resource = std::ffi::c_int;

/// Sets soft and hard limit of a resource alike.
///
/// # Errors
/// EPERM above the hard limit.
pub fn set_limit(resource: Resource, value: u64) -> Result<(), Errno> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: the pointer is to a live rlimit, and no old one is asked for.
    check(unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, std::ptr::null::<u8>())
    })
    .map(drop)
}

/// The hard limit of a resource; `None` is unlimited.
///
/// # Errors
/// getrlimit fails only where a filter refuses it.
pub fn hard_limit(resource: Resource) -> Result<Option<u64>, Errno> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit, and no new one is given.
    check(unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, resource, std::ptr::null::<u8>(), &raw mut limit)
    })?;
    Ok((limit.rlim_max != libc::RLIM_INFINITY).then_some(limit.rlim_max))
}

/// Marks every descriptor from `first` on close-on-exec. Below Linux 5.11, which
/// has no such call, one by one up to the limit on open files.
///
/// # Errors
/// None that a kernel is known to answer but those of getrlimit(2).
pub fn mark_close_on_exec(first: u32) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: integers only.
    match check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) }) {
        Ok(_) => Ok(()),
        Err(_) => {
            let limit = hard_limit(libc::RLIMIT_NOFILE)?.unwrap_or(1 << 20).min(1 << 20);
            for fd in first..limit as u32 {
                // SAFETY: a descriptor that is not open is answered EBADF, which
                // means that there is nothing to mark.
                unsafe { libc::fcntl(fd as i32, libc::F_SETFD, libc::FD_CLOEXEC) };
            }
            Ok(())
        }
    }
}

/// Sets or clears close-on-exec on a descriptor by number.
///
/// # Errors
/// EBADF when it is not open.
pub fn set_close_on_exec(fd: i32, close: bool) -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, if close { libc::FD_CLOEXEC } else { 0 }) }.into())
        .map(drop)
}

/// Closes an inherited descriptor by number. Only for numbers that were open
/// before this program opened anything, so that no value of ours owns them.
pub fn close_inherited(fd: i32) {
    // SAFETY: the caller took the number from the list made at start.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

/// Descriptor 0–2 or another that the program was started with, borrowed.
pub fn inherited(fd: i32) -> Option<BorrowedFd<'static>> {
    // SAFETY: F_GETFD only asks whether the number is open.
    let open = unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1;
    // SAFETY: it is open, and whoever started us meant it to stay open.
    open.then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// A descriptor for a process, which its number's reuse does not move.
///
/// # Errors
/// ESRCH when it is gone.
pub fn pidfd(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: integers only; the kernel answers with a descriptor that is ours.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Drops a capability from the bounding set.
///
/// # Errors
/// EPERM without CAP_SETPCAP; EINVAL for one that the kernel does not know.
pub fn drop_bounding(capability: u8) -> Result<(), Errno> {
    prctl(libc::PR_CAPBSET_DROP, capability.into(), 0).map(drop)
}

/// Raises a capability in the ambient set.
///
/// # Errors
/// EPERM when it is not permitted and inheritable.
pub fn raise_ambient(capability: u8) -> Result<(), Errno> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, capability.into()).map(drop)
}

/// Empties the ambient set.
///
/// # Errors
/// EINVAL on a kernel without ambient capabilities (before 4.3).
pub fn clear_ambient() -> Result<(), Errno> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0).map(drop)
}

/// A descriptor that a message brought (SCM_RIGHTS): it is ours alone.
pub fn received(fd: i32) -> OwnedFd {
    // SAFETY: the caller took the number from a received control message, so the
    // kernel has just made it in our table and nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The protocol of the socket behind `/proc/PID/fd/N`: sockfs tells it as an
/// extended attribute, so no descriptor of ours is needed.
///
/// # Errors
/// EOPNOTSUPP or ENODATA for what is no socket; EACCES as for any look at a process.
pub fn socket_protocol(path: &std::path::Path) -> Result<Vec<u8>, Errno> {
    use std::os::unix::ffi::OsStrExt;
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let mut name = [0u8; 32];
    // SAFETY: two NUL-terminated strings, and a buffer of the size that is said.
    let length = check(unsafe {
        libc::getxattr(path.as_ptr(), c"system.sockprotoname".as_ptr(), name.as_mut_ptr().cast(), name.len())
    } as libc::c_long)?;
    Ok(name[..length as usize].iter().copied().take_while(|byte| *byte != 0).collect())
}

/// A close-on-exec copy of a descriptor that the program was started with.
///
/// # Errors
/// EBADF when it is not open, EMFILE.
pub fn duplicate(fd: i32) -> std::io::Result<OwnedFd> {
    let fd = inherited(fd).ok_or_else(|| std::io::Error::from_raw_os_error(libc::EBADF))?;
    fd.try_clone_to_owned()
}

/// Reads another process's memory (process_vm_readv(2)) and says how much of it was
/// there.
///
/// # Errors
/// EPERM where the caller may not trace it or a filter refuses the call, EFAULT where
/// nothing is mapped, ESRCH.
pub fn read_memory(pid: i32, address: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: the kernel writes into `bytes` alone, as much as it is long; the other
    // address is the other process's, and is only read.
    check(unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) } as libc::c_long)
        .map(|read| read as usize)
}
