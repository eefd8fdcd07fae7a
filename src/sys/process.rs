//! Processes: fork, exec, wait, and the attributes that a child takes on before
//! its exec.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;

use super::check;

/// Which side of a fork this is.
pub enum Side {
    /// The new process.
    Child,
    /// The old one, and the new one's pid.
    Parent(i32),
}

/// Forks, if this thread is the only one of the process: then no other can have been in the
/// middle of an allocation, or have a lock, and the child may do what it likes.
///
/// # Errors
/// EDEADLK where there are other threads, EPERM or ENOSYS where that cannot be known: without
/// /proc, under a filter that refuses unshare(2); EAGAIN, ENOMEM as in fork(2).
pub fn fork() -> Result<Side, Errno> {
    if !is_only_thread()? {
        return Err(Errno::EDEADLK);
    }
    // SAFETY: there is one thread, which is this one, so the child finds everything as it was.
    unsafe { fork_among_threads() }
}

/// fork(2).
///
/// # Safety
/// Where the process has other threads, the child makes none but async-signal-safe calls
/// (signal-safety(7)): it does not allocate.
pub(super) unsafe fn fork_among_threads() -> Result<Side, Errno> {
    // SAFETY: the caller answers for what the child does.
    match check(unsafe { libc::fork() }.into())? {
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid as i32)),
    }
}

/// Whether the process has no thread but this. One that has been joined is counted until the
/// kernel has let go of it, so another one is given a moment to end.
fn is_only_thread() -> Result<bool, Errno> {
    const MOMENTS: u32 = 100;
    for _ in 0..MOMENTS {
        if has_one_thread()? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(false)
}

/// Whether the process has one thread (proc(5), /proc/PID/task). Without /proc unshare(2) says
/// so: it has nothing to do then, and answers EINVAL otherwise.
fn has_one_thread() -> Result<bool, Errno> {
    match std::fs::read_dir("/proc/self/task") {
        Ok(threads) => Ok(threads.count() == 1),
        // SAFETY: integers only.
        Err(_) => match check(unsafe { libc::unshare(libc::CLONE_THREAD) }.into()) {
            Ok(_) => Ok(true),
            Err(Errno::EINVAL) => Ok(false),
            Err(errno) => Err(errno),
        },
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

/// A state change of a child or tracee, as wait4(2) reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChange {
    /// It called _exit(2) with this code.
    Exited(i32),
    /// This signal killed it.
    Signalled(i32),
    /// It stopped and lives on: the signal, and the PTRACE_EVENT of a tracee or 0.
    Stopped(i32, i32),
}

/// Waits, without blocking, for the next child or tracee that has changed state, and reaps
/// it if it has ended. `None`: none has changed.
///
/// # Errors
/// ECHILD when there is no child at all.
pub fn wait_any() -> Result<Option<(i32, StateChange)>, Errno> {
    wait(-1, 0)
}

fn wait(pid: i32, more_flags: i32) -> Result<Option<(i32, StateChange)>, Errno> {
    let mut status = 0;
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::__WALL | more_flags;
    // SAFETY: the pointer is to a live int.
    let pid = check(unsafe { libc::waitpid(pid, &mut status, flags) }.into())?;
    if pid == 0 {
        return Ok(None);
    }
    let change = if libc::WIFEXITED(status) {
        StateChange::Exited(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        StateChange::Signalled(libc::WTERMSIG(status))
    } else {
        StateChange::Stopped(libc::WSTOPSIG(status), status >> 16)
    };
    Ok(Some((pid as i32, change)))
}

/// Peeks at the next waitable process (waitid(2), WNOWAIT): its pid, and whether it has
/// ended rather than stopped. It covers this thread's children (in the first thread, all of
/// the process's) and the tracees of this thread.
///
/// # Errors
/// ECHILD where there is neither a child nor a tracee.
pub fn peek_waitable() -> Result<Option<(i32, bool)>, Errno> {
    peek(libc::__WNOTHREAD)
}

/// Whether a child or tracee of any thread has changed state and was not waited for yet.
pub fn has_waitable() -> bool {
    matches!(peek(0), Ok(Some(_)))
}

fn peek(more_flags: i32) -> Result<Option<(i32, bool)>, Errno> {
    let info = wait_id(libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT | more_flags)?;
    let ended = [libc::CLD_EXITED, libc::CLD_KILLED, libc::CLD_DUMPED].contains(&info.si_code);
    // SAFETY: waitid has filled in the fields of SIGCHLD, or left the zeros.
    let pid = unsafe { info.si_pid() };
    Ok((pid != 0).then_some((pid, ended)))
}

/// waitid(2) for any child or tracee, without blocking; all zeros where none has changed.
fn wait_id(states: i32) -> Result<libc::siginfo_t, Errno> {
    // SAFETY: a siginfo_t is made of integers and pointers, for which zeros are values.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = states | libc::WNOHANG | libc::__WALL;
    // SAFETY: the pointer is to a live siginfo_t, which the kernel fills.
    check(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) }.into())?;
    Ok(info)
}

/// Waits, without blocking, for the next stop: the pid, the signal, and the PTRACE_EVENT of a
/// tracee or 0. It never reaps, unlike [`wait_any`]: a process that is killed meanwhile stays
/// waitable. It covers the same processes as [`peek_waitable`].
///
/// # Errors
/// ECHILD where there is neither a child nor a tracee.
pub fn take_stop() -> Result<Option<(i32, i32, i32)>, Errno> {
    let info = wait_id(libc::WSTOPPED | libc::__WNOTHREAD)?;
    // SAFETY: waitid has filled in the fields of SIGCHLD, or left the zeros.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok((pid != 0).then_some((pid, status & 0xff, status >> 8)))
}

/// Reaps a process that [`peek_waitable`] reports as ended. `None` where another thread has
/// reaped it, or where it is neither a child nor a tracee of this thread.
pub fn reap(pid: i32) -> Option<StateChange> {
    wait(pid, libc::__WNOTHREAD).ok().flatten().map(|(_, change)| change)
}

/// Whether a process is a child of this thread's, and has not ended (waitid(2), WNOWAIT). In the first
/// thread of a process these are all of its children.
pub fn is_living_child(pid: i32) -> bool {
    // SAFETY: a siginfo_t is made of integers and pointers, for which zeros are values.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: the pointer is to a live siginfo_t, which the kernel fills, or leaves as it is.
    let answer = check(unsafe { libc::waitid(libc::P_PID, pid as u32, &raw mut info, flags) }.into());
    // SAFETY: zeros, or the fields of SIGCHLD.
    answer.is_ok() && unsafe { info.si_pid() } == 0
}

/// Whether wait4(2) and waitid(2) work here: under a filter that refuses them no container
/// could end. It reaps nothing.
///
/// # Errors
/// Every errno of wait4(2) and waitid(2) but ECHILD.
pub fn can_wait() -> Result<(), Errno> {
    // No child has this pid, so nothing is reaped.
    let by_pid = wait(i32::MAX, 0).map(drop);
    let of_all = peek(0).map(drop);
    [by_pid, of_all]
        .into_iter()
        .find(|answer| !matches!(answer, Ok(()) | Err(Errno::ECHILD)))
        .unwrap_or(Ok(()))
}

/// Sets the umask to 0, so that new files get exactly the modes that a program requests.
///
/// # Errors
/// umask(2) fails only where a filter refuses it.
pub fn clear_umask() -> Result<(), Errno> {
    // SAFETY: one integer.
    check(unsafe { libc::syscall(libc::SYS_umask, 0) }).map(drop)
}

/// Gives this thread a scheduling slice of 0.1 ms, the shortest that the kernel grants, so that
/// it runs soon after it is woken (sched_setattr(2), `sched_runtime` of SCHED_OTHER; Linux 6.12
/// and later, ignored before). Beside four busy threads on two processors a decided open takes
/// 0.26 ms instead of 0.39 (median of 125 runs of 60); on a free processor it makes no
/// difference.
///
/// # Errors
/// EPERM or ENOSYS where a filter refuses it.
pub fn set_sched_slice() -> Result<(), Errno> {
    /// Nanoseconds.
    const SLICE: u64 = 100_000;
    let mut attributes = SchedAttributes::of(0)?;
    // In other policies the field means something else.
    if attributes.policy != libc::SCHED_OTHER as u32 {
        return Ok(());
    }
    attributes.runtime = SLICE;
    // SAFETY: the kernel reads as many bytes as the first field says, the structure's.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) }).map(drop)
}

/// struct sched_attr (linux/sched/types.h), its first version.
#[repr(C)]
#[derive(Default)]
struct SchedAttributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

impl SchedAttributes {
    /// Reads those of a thread, 0 for this one (sched_getattr(2)).
    fn of(tid: i32) -> Result<SchedAttributes, Errno> {
        const SIZE: usize = size_of::<SchedAttributes>();
        let mut attributes = SchedAttributes::default();
        // SAFETY: the kernel fills at most SIZE bytes of a live structure of integers.
        check(unsafe { libc::syscall(libc::SYS_sched_getattr, tid, &raw mut attributes, SIZE, 0) })?;
        Ok(attributes)
    }
}

/// The rank of a thread among those that are ready to run, lowest first (sched(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SchedRank {
    /// SCHED_IDLE, and policies that may be throttled: it runs when no other thread is ready.
    Idle,
    /// SCHED_OTHER and SCHED_BATCH, with the nice value negated.
    Normal(i32),
    /// SCHED_FIFO and SCHED_RR: it runs before all others.
    Realtime,
}

/// The scheduling rank of a thread, 0 for this one.
///
/// # Errors
/// ESRCH for a thread that is gone; EPERM or ENOSYS where a filter refuses sched_getattr(2).
pub fn sched_rank(tid: i32) -> Result<SchedRank, Errno> {
    let attributes = SchedAttributes::of(tid)?;
    Ok(match attributes.policy as i32 {
        libc::SCHED_OTHER | libc::SCHED_BATCH => SchedRank::Normal(-attributes.nice),
        libc::SCHED_FIFO | libc::SCHED_RR => SchedRank::Realtime,
        _ => SchedRank::Idle,
    })
}

/// The time since boot in clock ticks, as `/proc/PID/stat` has the start of a process
/// (USER_HZ, 100 a second on every architecture of ours; CLOCK_BOOTTIME).
pub fn ticks_since_boot() -> u64 {
    use nix::sys::time::TimeValLike;
    use nix::time::{ClockId, clock_gettime};
    const TICK: i64 = 10;
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| (time.num_milliseconds() / TICK) as u64)
}

/// The C type of RLIMIT_*: unsigned in glibc's headers.
#[cfg(not(target_env = "musl"))]
pub type Resource = std::ffi::c_uint;
/// The C type of RLIMIT_*: signed in musl's headers.
#[cfg(target_env = "musl")]
pub type Resource = std::ffi::c_int;

/// Sets soft and hard limit of a resource alike.
///
/// # Errors
/// EPERM above the hard limit.
pub fn set_limit(resource: Resource, value: u64) -> Result<(), Errno> {
    set(resource, libc::rlimit { rlim_cur: value, rlim_max: value })
}

/// Sets the soft limit of a resource, at most to its hard limit, which stays.
///
/// # Errors
/// As [`hard_limit`].
pub fn set_soft_limit(resource: Resource, value: u64) -> Result<(), Errno> {
    let hard = limit_of(resource)?.rlim_max;
    set(resource, libc::rlimit { rlim_cur: value.min(hard), rlim_max: hard })
}

fn set(resource: Resource, limit: libc::rlimit) -> Result<(), Errno> {
    // SAFETY: the pointer is to a live rlimit; the other one is null.
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
    let hard = limit_of(resource)?.rlim_max;
    Ok((hard != libc::RLIM_INFINITY).then_some(hard))
}

/// The soft limit of a resource, which is the one in force; `None` is unlimited.
///
/// # Errors
/// As [`hard_limit`].
pub fn soft_limit(resource: Resource) -> Result<Option<u64>, Errno> {
    let soft = limit_of(resource)?.rlim_cur;
    Ok((soft != libc::RLIM_INFINITY).then_some(soft))
}

fn limit_of(resource: Resource) -> Result<libc::rlimit, Errno> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit; the other one is null.
    check(unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, resource, std::ptr::null::<u8>(), &raw mut limit)
    })?;
    Ok(limit)
}

/// Raises the soft limit of a resource to the hard one, and returns it.
///
/// # Errors
/// prlimit64(2) fails only where a filter refuses it.
pub fn raise_limit(resource: Resource) -> Result<u64, Errno> {
    let most = hard_limit(resource)?.unwrap_or(libc::RLIM_INFINITY);
    set_limit(resource, most)?;
    Ok(most)
}

/// A pidfd: it refers to the process even after its pid is reused (pidfd_open(2)).
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

/// Three random numbers (getrandom(2)).
///
/// # Errors
/// ENOSYS or EPERM where a filter refuses getrandom(2).
pub fn random() -> Result<[u64; 3], Errno> {
    let mut numbers = [0u64; 3];
    // SAFETY: the buffer is live and of the size that is said; so few bytes come whole.
    let filled =
        unsafe { libc::syscall(libc::SYS_getrandom, numbers.as_mut_ptr(), size_of_val(&numbers), 0) };
    check(filled)?;
    Ok(numbers)
}

/// The protocol of the socket behind `/proc/PID/fd/N`: sockfs has it as an
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

/// Reads another process's memory (process_vm_readv(2)), and returns how many bytes were
/// mapped and read.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_several_threads_is_not_forked() {
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        assert!(matches!(fork(), Err(Errno::EDEADLK)));
        drop(end);
        other.join().expect("no panic").expect_err("nothing is sent");
    }
}
