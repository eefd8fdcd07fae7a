//! seccomp filters and their notifications (seccomp_unotify(2)).

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::check;

/// The id of a notified call, unique within its filter (`id` of struct seccomp_notif).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationId(u64);

impl NotificationId {
    /// From the number as the kernel gives it.
    pub const fn from_raw(raw: u64) -> NotificationId {
        NotificationId(raw)
    }

    /// The number as the kernel gives it.
    pub const fn as_raw(self) -> u64 {
        self.0
    }
}

/// A notified call (struct seccomp_notif).
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The id by which it is answered.
    pub id: NotificationId,
    /// The tid of the calling thread; 0 where it is outside of our pid namespace.
    pub pid: u32,
    /// The call's number, architecture and arguments.
    pub data: libc::seccomp_data,
}
/// A BPF instruction, as the kernel takes it.
pub use libc::sock_filter as Instruction;

/// A filter that allows every call.
pub const ALLOW_ALL: [Instruction; 1] =
    [Instruction { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }];

const NOTIF_RECV: u64 = 0xc050_2100;
const NOTIF_SEND: u64 = 0xc018_2101;
const NOTIF_ID_VALID: u64 = 0x4008_2102;
const NOTIF_ADDFD: u64 = 0x4018_2103;
const NOTIF_SET_FLAGS: u64 = 0x4008_2104;

const FILTER_FLAG_NEW_LISTENER: u64 = 1 << 3;
const FILTER_FLAG_WAIT_KILLABLE_RECV: u64 = 1 << 5;
const ADDFD_FLAG_SEND: u32 = 1 << 1;
const FD_SYNC_WAKE_UP: u64 = 1;

/// Loads a filter for this thread and its descendants, irrevocably, and returns its listener
/// (seccomp(2), SECCOMP_FILTER_FLAG_NEW_LISTENER). It does not allocate, since it runs between
/// fork and exec.
///
/// # Errors
/// EBUSY when a filter in force has a listener already; EINVAL for a flag or a program that
/// the kernel rejects; EACCES without no_new_privs.
pub fn load(program: &[Instruction], wait_killable: bool) -> Result<OwnedFd, Errno> {
    let mut flags = FILTER_FLAG_NEW_LISTENER;
    if wait_killable {
        flags |= FILTER_FLAG_WAIT_KILLABLE_RECV;
    }
    let fd = set_filter(program, flags)?;
    // SAFETY: with NEW_LISTENER the kernel answers with a descriptor that is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Loads a filter without a listener: a call that it would notify fails with ENOSYS.
///
/// # Errors
/// EINVAL for a program that the kernel rejects; EACCES without no_new_privs.
pub fn load_without_listener(program: &[Instruction]) -> Result<(), Errno> {
    set_filter(program, 0).map(drop)
}

fn set_filter(program: &[Instruction], flags: u64) -> Result<libc::c_long, Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions from a live slice and writes none.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    })
}

/// Whether the kernel supports user notification (SECCOMP_GET_ACTION_AVAIL). gVisor does not,
/// and kills threads for actions that it does not know, so call this before a filter uses one.
///
/// # Errors
/// EOPNOTSUPP, EINVAL or ENOSYS where it does not; EPERM where a filter refuses.
pub fn notification_available() -> Result<(), Errno> {
    let action: u32 = libc::SECCOMP_RET_USER_NOTIF;
    // SAFETY: the pointer is to a live u32.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) })
        .map(drop)
}

/// A request of the listener (seccomp_unotify(2)).
///
/// # Safety
/// `T` is the structure that belongs to the request, of the size that its number encodes.
unsafe fn ioctl<T>(listener: &OwnedFd, request: u64, argument: &mut T) -> Result<i32, Errno> {
    // SAFETY: the structure is live, and by the caller's word the request's.
    let answer =
        unsafe { libc::ioctl(listener.as_raw_fd(), request as libc::Ioctl, std::ptr::from_mut(argument)) };
    check(answer.into()).map(|answer| answer as i32)
}

/// Receives the next notified call. Call it once poll(2) reports one: on Linux 5.10 it blocks
/// for ever when no process has the filter any more.
///
/// # Errors
/// ENOENT when the caller has died; EINTR.
pub fn receive(listener: &OwnedFd) -> Result<Request, Errno> {
    // SAFETY: the structure is made of integers, and the kernel demands that it be
    // zero.
    let mut request: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: it fills a struct seccomp_notif.
    unsafe { ioctl(listener, NOTIF_RECV, &mut request) }?;
    Ok(Request { id: NotificationId(request.id), pid: request.pid, data: request.data })
}

/// Whether the caller still waits for this answer (SECCOMP_IOCTL_NOTIF_ID_VALID). Check it after
/// each read of the caller's memory or of `/proc/PID`: another process may have its pid by now.
///
/// # Errors
/// A filter outside refuses the ioctl, so that nothing is known.
pub fn still_valid(listener: &OwnedFd, id: NotificationId) -> Result<bool, Errno> {
    let mut id = id.0;
    // SAFETY: it reads a u64.
    match unsafe { ioctl(listener, NOTIF_ID_VALID, &mut id) } {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The answer to a notified call (struct seccomp_notif_resp).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel continues the call, and reads the caller's memory anew.
    Continue,
    /// The call fails with this errno.
    Fail(Errno),
    /// The call returns this value.
    Value(i64),
}

/// Answers a notified call.
///
/// # Errors
/// ENOENT when the caller is gone.
pub fn answer(listener: &OwnedFd, id: NotificationId, answer: Answer) -> Result<(), Errno> {
    let mut response = libc::seccomp_notif_resp { id: id.0, val: 0, error: 0, flags: 0 };
    match answer {
        Answer::Continue => response.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
        Answer::Fail(errno) => response.error = -(errno as i32),
        Answer::Value(value) => response.val = value,
    }
    // SAFETY: it reads a struct seccomp_notif_resp.
    unsafe { ioctl(listener, NOTIF_SEND, &mut response) }.map(drop)
}

/// Answers a notified call with a descriptor of ours: the kernel installs it in the caller's
/// table and returns its number to the caller, and here, in one step (SECCOMP_ADDFD_FLAG_SEND,
/// Linux 5.14).
///
/// The caller itself installs it (receive_fd in seccomp_handle_addfd, kernel/seccomp.c), so
/// this waits until the caller has run. A signal must not interrupt that wait: the call would
/// return 0, without a descriptor.
///
/// # Errors
/// ENOENT when the caller is gone; EMFILE when its table is full.
pub fn answer_with_descriptor(
    listener: &OwnedFd,
    id: NotificationId,
    fd: impl AsFd,
    close_on_exec: bool,
) -> Result<i32, Errno> {
    add_descriptor(listener, id, fd, close_on_exec, ADDFD_FLAG_SEND)
}

/// Installs a descriptor of ours in the table of a caller that goes on waiting, and returns its
/// number there. It waits as [`answer_with_descriptor`] does. Use it only where no signal
/// interrupts the caller's own wait (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV): a restarted call
/// would get the descriptor twice.
///
/// # Errors
/// As [`answer_with_descriptor`].
pub fn put_descriptor(
    listener: &OwnedFd,
    id: NotificationId,
    fd: impl AsFd,
    close_on_exec: bool,
) -> Result<i32, Errno> {
    add_descriptor(listener, id, fd, close_on_exec, 0)
}

fn add_descriptor(
    listener: &OwnedFd,
    id: NotificationId,
    fd: impl AsFd,
    close_on_exec: bool,
    flags: u32,
) -> Result<i32, Errno> {
    let mut addfd = libc::seccomp_notif_addfd {
        id: id.0,
        flags,
        srcfd: fd.as_fd().as_raw_fd() as u32,
        newfd: 0,
        newfd_flags: if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 },
    };
    // SAFETY: it reads a struct seccomp_notif_addfd.
    unsafe { ioctl(listener, NOTIF_ADDFD, &mut addfd) }
}

/// Continues an exec, and wakes its caller on another processor than this one. Woken here,
/// beside this thread, it would be migrated in the middle of the exec (sched_exec in
/// kernel/sched/core.c).
///
/// # Errors
/// As [`answer`].
pub fn continue_exec(listener: &OwnedFd, id: NotificationId) -> Result<(), Errno> {
    // A kernel without the flag wakes on another processor anyway.
    let _ = set_sync_wakeup(listener, false);
    let answered = answer(listener, id, Answer::Continue);
    let _ = set_sync_wakeup(listener, true);
    answered
}

/// Sets or clears SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (Linux 6.6): a call and its answer then
/// wake the other thread on the same processor, and a round trip takes 5 µs instead of 40.
///
/// # Errors
/// EINVAL on older kernels.
pub fn set_sync_wakeup(listener: &OwnedFd, on: bool) -> Result<(), Errno> {
    let flags = if on { FD_SYNC_WAKE_UP } else { 0 };
    // SAFETY: this request takes its argument as a number.
    let answer = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SET_FLAGS as libc::Ioctl, flags) };
    check(answer.into()).map(drop)
}
