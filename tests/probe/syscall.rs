//! System calls by number, so that no library stands between act and kernel.

use std::ffi::CString;
use std::os::fd::{FromRawFd, OwnedFd};

use libc::c_long;

/// A call that the kernel, or something in its name, refused.
#[derive(Debug)]
pub struct Refused {
    /// Which step of the act it was.
    pub step: &'static str,
    /// Its errno.
    pub errno: i32,
}

/// Makes system call `number`; pointers go in as addresses of live buffers.
pub fn call(step: &'static str, number: c_long, arguments: &[usize]) -> Result<usize, Refused> {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: every caller passes addresses of buffers that outlive the call
    // and are as large as the call takes them to be, or the null pointer.
    let result = unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4), at(5)) };
    if result < 0 {
        return Err(Refused { step, errno: std::io::Error::last_os_error().raw_os_error().unwrap_or(0) });
    }
    Ok(usize::try_from(result).unwrap_or(0))
}

/// A path as the kernel takes it.
pub fn path(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// `openat(2)` of `name` from the working directory.
pub fn open(step: &'static str, name: &str, flags: i32, mode: u32) -> Result<OwnedFd, Refused> {
    let name = path(name);
    let fd = call(
        step,
        libc::SYS_openat,
        &[libc::AT_FDCWD as usize, name.as_ptr() as usize, (flags | libc::O_CLOEXEC) as usize, mode as usize],
    )?;
    Ok(own(fd))
}

/// Takes a descriptor that a call has just returned.
pub fn own(fd: usize) -> OwnedFd {
    // SAFETY: the descriptor was returned by the caller's last call and belongs
    // to nothing else.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// What `fork` returned: in the child, or the child's pid.
pub enum Forked {
    /// This is the child.
    Child,
    /// This is the parent of that pid.
    Parent(i32),
}

/// Forks.
pub fn fork(step: &'static str) -> Result<Forked, Refused> {
    // SAFETY: glibc's fork leaves the child's allocator usable, and the child
    // shares nothing but what the caller makes it share.
    match unsafe { libc::fork() } {
        -1 => Err(Refused { step, errno: std::io::Error::last_os_error().raw_os_error().unwrap_or(0) }),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// Leaves a forked child without running what the parent registered.
pub fn leave(code: i32) -> ! {
    // SAFETY: `_exit` does not return.
    unsafe { libc::_exit(code) }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Waits for a child.
pub fn wait(pid: i32) -> Ended {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a live int.
        let result = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if result == pid {
            break;
        }
        if std::io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return Ended::Code(-1);
        }
    }
    if libc::WIFSIGNALED(status) {
        Ended::Signal(libc::WTERMSIG(status))
    } else {
        Ended::Code(libc::WEXITSTATUS(status))
    }
}

/// Kills and reaps a child.
pub fn end(pid: i32) {
    // SAFETY: kill takes no memory.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    wait(pid);
}

/// A pipe that does not survive an exec.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), Refused> {
    let mut ends = [0i32; 2];
    call("pipe2", libc::SYS_pipe2, &[ends.as_mut_ptr() as usize, libc::O_CLOEXEC as usize])?;
    Ok((own(ends[0] as usize), own(ends[1] as usize)))
}

/// The kernel's name of an errno.
pub fn errno_name(errno: i32) -> String {
    let name = match errno {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::ESRCH => "ESRCH",
        libc::EINTR => "EINTR",
        libc::EIO => "EIO",
        libc::E2BIG => "E2BIG",
        libc::ENOEXEC => "ENOEXEC",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::EEXIST => "EEXIST",
        libc::EXDEV => "EXDEV",
        libc::ENODEV => "ENODEV",
        libc::ENOTDIR => "ENOTDIR",
        libc::EISDIR => "EISDIR",
        libc::EINVAL => "EINVAL",
        libc::ENOTTY => "ENOTTY",
        libc::ETXTBSY => "ETXTBSY",
        libc::EROFS => "EROFS",
        libc::EFBIG => "EFBIG",
        libc::ENOSYS => "ENOSYS",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
        libc::EADDRINUSE => "EADDRINUSE",
        libc::EADDRNOTAVAIL => "EADDRNOTAVAIL",
        libc::ENETUNREACH => "ENETUNREACH",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::EISCONN => "EISCONN",
        libc::EALREADY => "EALREADY",
        libc::EINPROGRESS => "EINPROGRESS",
        libc::ESTALE => "ESTALE",
        libc::ENOKEY => "ENOKEY",
        _ => return format!("errno {errno}"),
    };
    name.to_owned()
}
