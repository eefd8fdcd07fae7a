//! ptrace(2), as far as the post-exec verification and the tool's report of failed calls need
//! it: a thread is attached to by PTRACE_SEIZE, which does not stop it.
//!
//! Every call but [`attach`] acts on a thread that the calling thread traces; the kernel
//! answers ESRCH for all others, so a stale tid cannot reach another process.

use nix::errno::Errno;

use super::check;

/// A traced thread that executed a program stops with it in place, before its first
/// instruction.
pub const EXECS: u64 = libc::PTRACE_O_TRACEEXEC as u64;
/// What a traced thread forks, clones or vforks is traced as well, from its beginning.
pub const CHILDREN: u64 =
    (libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK | libc::PTRACE_O_TRACECLONE) as u64;
/// Traced threads are killed when their tracer ends.
pub const EXIT_KILL: u64 = libc::PTRACE_O_EXITKILL as u64;

/// A traced thread stops at each call that its filter answers with SECCOMP_RET_TRACE.
pub const FILTERED: u64 = libc::PTRACE_O_TRACESECCOMP as u64;
/// A stop at the beginning or end of a call differs from a SIGTRAP: see [`CALL_ENDED`].
pub const CALLS: u64 = libc::PTRACE_O_TRACESYSGOOD as u64;
/// The signal of a stop at the beginning or end of a call.
pub const CALL_ENDED: i32 = libc::SIGTRAP | 0x80;

/// The event of a stop: a program was executed.
pub const EVENT_EXEC: i32 = libc::PTRACE_EVENT_EXEC;
/// The events of a stop: a child or a thread was made.
pub const EVENTS_CHILD: [i32; 3] =
    [libc::PTRACE_EVENT_FORK, libc::PTRACE_EVENT_VFORK, libc::PTRACE_EVENT_CLONE];
/// The event of a stop: the filter wants the call to be looked at.
pub const EVENT_FILTERED: i32 = libc::PTRACE_EVENT_SECCOMP;
/// The event of a stop that was asked for, that begins a child, or that is a group's.
pub const EVENT_STOP: i32 = libc::PTRACE_EVENT_STOP;

/// A request whose arguments are numbers.
#[derive(Clone, Copy)]
enum Order {
    Seize,
    Interrupt,
    Detach,
    Cont,
    Listen,
    Syscall,
}

/// Has the kernel do something with a thread; what `data` means, the request says.
fn order(order: Order, tid: i32, data: u64) -> Result<(), Errno> {
    // libc's numbers are signed for one C library and unsigned for the other.
    let request = match order {
        Order::Seize => libc::PTRACE_SEIZE as u64,
        Order::Interrupt => libc::PTRACE_INTERRUPT as u64,
        Order::Detach => libc::PTRACE_DETACH as u64,
        Order::Cont => libc::PTRACE_CONT as u64,
        Order::Listen => libc::PTRACE_LISTEN as u64,
        Order::Syscall => libc::PTRACE_SYSCALL as u64,
    };
    // SAFETY: all of these take numbers.
    unsafe { ptrace(request, tid, 0, data) }
}

// Requests that read or write an object of ours.
const GETEVENTMSG: u64 = libc::PTRACE_GETEVENTMSG as u64;
const GETREGSET: u64 = libc::PTRACE_GETREGSET as u64;
const SETREGSET: u64 = libc::PTRACE_SETREGSET as u64;
const PEEKDATA: u64 = libc::PTRACE_PEEKDATA as u64;
// musl's headers do not have these (linux/ptrace.h).
const GET_SYSCALL_INFO: u64 = 0x420e;
const GETSIGMASK: u64 = 0x420a;
const SETSIGMASK: u64 = 0x420b;

/// ptrace(2) as the kernel has it.
///
/// # Safety
/// For a request that reads or writes an object of ours, `data` is the address of a live one
/// of its type, and of the size that `address` says where that is its size.
unsafe fn ptrace(request: u64, tid: i32, address: u64, data: u64) -> Result<(), Errno> {
    // SAFETY: the caller answers for `data`.
    check(unsafe { libc::syscall(libc::SYS_ptrace, request, i64::from(tid), address, data) }).map(drop)
}

/// Attaches to a thread without stopping it (PTRACE_SEIZE).
///
/// # Errors
/// EPERM for one that is traced already, that may not be looked into (another user's,
/// not dumpable, forbidden by Yama), ESRCH for one that is gone.
pub fn attach(tid: i32, options: u64) -> Result<(), Errno> {
    order(Order::Seize, tid, options)
}

/// Requests a stop of a traced thread (PTRACE_INTERRUPT), and does not wait for it.
///
/// # Errors
/// ESRCH for one that is gone.
pub fn interrupt(tid: i32) -> Result<(), Errno> {
    order(Order::Interrupt, tid, 0)
}

/// Ends the tracing of a stopped thread, which continues (PTRACE_DETACH).
///
/// # Errors
/// ESRCH for one that is gone or not stopped.
pub fn detach(tid: i32) -> Result<(), Errno> {
    order(Order::Detach, tid, 0)
}

/// Continues a stopped thread, and delivers the signal that it stopped for; 0 is none
/// (PTRACE_CONT).
///
/// # Errors
/// As [`detach`].
pub fn cont(tid: i32, signal: i32) -> Result<(), Errno> {
    order(Order::Cont, tid, signal as u64)
}

/// Leaves a thread in its group stop until SIGCONT ends that (PTRACE_LISTEN).
///
/// # Errors
/// As [`detach`].
pub fn listen(tid: i32) -> Result<(), Errno> {
    order(Order::Listen, tid, 0)
}

/// The message of a ptrace event: after an exec the former tid of the thread that called it,
/// after a fork the child (PTRACE_GETEVENTMSG).
///
/// # Errors
/// As [`detach`].
pub fn event_message(tid: i32) -> Result<i32, Errno> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: it writes an unsigned long.
    unsafe { ptrace(GETEVENTMSG, tid, 0, &raw mut message as u64) }?;
    Ok(message as i32)
}

/// The general registers of a 64-bit thread, a word each: struct user_regs_struct
/// (asm/user_64.h), struct user_pt_regs (asm/ptrace.h of arm64).
pub type Registers = [u64; REGISTERS];
#[cfg(target_arch = "x86_64")]
const REGISTERS: usize = 27;
#[cfg(target_arch = "aarch64")]
const REGISTERS: usize = 34;
const NT_PRSTATUS: u64 = 1;

/// The registers of a stopped thread.
///
/// # Errors
/// As [`detach`]; EIO for a process of 32 bits, whose registers are others.
pub fn registers(tid: i32) -> Result<Registers, Errno> {
    let mut registers = [0u64; REGISTERS];
    let mut part = libc::iovec { iov_base: registers.as_mut_ptr().cast(), iov_len: size_of_val(&registers) };
    // SAFETY: it fills the array that the vector leads to, and corrects the vector's length.
    unsafe { ptrace(GETREGSET, tid, NT_PRSTATUS, &raw mut part as u64) }?;
    if part.iov_len == size_of_val(&registers) { Ok(registers) } else { Err(Errno::EIO) }
}

/// Sets the registers of a stopped thread.
///
/// # Errors
/// As [`detach`].
pub fn set_registers(tid: i32, registers: &Registers) -> Result<(), Errno> {
    let mut copy = *registers;
    let mut part = libc::iovec { iov_base: copy.as_mut_ptr().cast(), iov_len: size_of_val(&copy) };
    // SAFETY: it reads the array that the vector leads to.
    unsafe { ptrace(SETREGSET, tid, NT_PRSTATUS, &raw mut part as u64) }
}

/// The stack pointer of a stopped thread.
///
/// # Errors
/// As [`registers`].
pub fn stack_pointer(tid: i32) -> Result<u64, Errno> {
    const STACK_POINTER: usize = if cfg!(target_arch = "aarch64") { 31 } else { 19 };
    Ok(registers(tid)?[STACK_POINTER])
}

/// The signals that a stopped thread blocks, a bit each (PTRACE_GETSIGMASK).
///
/// # Errors
/// As [`detach`].
pub fn signal_mask(tid: i32) -> Result<u64, Errno> {
    let mut mask = 0u64;
    // SAFETY: it writes a set of signals of the kernel's size.
    unsafe { ptrace(GETSIGMASK, tid, size_of_val(&mask) as u64, &raw mut mask as u64) }?;
    Ok(mask)
}

/// Sets the signals that a stopped thread blocks; KILL and STOP never are.
///
/// # Errors
/// As [`detach`].
pub fn set_signal_mask(tid: i32, mask: u64) -> Result<(), Errno> {
    let mut mask = mask;
    // SAFETY: it reads a set of signals of the kernel's size.
    unsafe { ptrace(SETSIGMASK, tid, size_of_val(&mask) as u64, &raw mut mask as u64) }
}

/// Continues a stopped thread to the entry or exit of its next call, and delivers the signal
/// that it stopped for; 0 is none (PTRACE_SYSCALL).
///
/// # Errors
/// As [`detach`].
pub fn cont_to_syscall(tid: i32, signal: i32) -> Result<(), Errno> {
    order(Order::Syscall, tid, signal as u64)
}

/// A call at which a thread is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtCall {
    /// Before it: its number and its registers.
    Begins(u32, [u64; 6]),
    /// After it: what it answered.
    Ended(Result<i64, Errno>),
    /// After it: something broke it, and the kernel would have it made again.
    Broken,
}

/// Which call a thread is stopped at (PTRACE_GET_SYSCALL_INFO, Linux 5.3). None: it
/// stopped for something else.
///
/// # Errors
/// As [`detach`]; EIO or EINVAL on an older kernel.
pub fn syscall_info(tid: i32) -> Result<Option<AtCall>, Errno> {
    /// struct ptrace_syscall_info (linux/ptrace.h) in words: the kind and the
    /// architecture, two pointers, then what the kind has.
    const WORDS: usize = 11;
    /// ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK (linux/errno.h).
    const AGAIN: [i64; 4] = [-512, -513, -514, -516];
    let mut info = [0u64; WORDS];
    let size = size_of_val(&info) as u64;
    // SAFETY: it writes at most as many bytes as are said.
    unsafe { ptrace(GET_SYSCALL_INFO, tid, size, &raw mut info as u64) }?;
    let [what, _, _, first, second, rest @ ..] = info;
    Ok(match what & 0xff {
        // An entry, or a filter's wish.
        1 | 3 => Some(AtCall::Begins(first as u32, [second, rest[0], rest[1], rest[2], rest[3], rest[4]])),
        2 if second & 0xff != 0 && AGAIN.contains(&(first as i64)) => Some(AtCall::Broken),
        2 if second & 0xff != 0 => Some(AtCall::Ended(Err(Errno::from_raw(-(first as i64) as i32)))),
        2 => Some(AtCall::Ended(Ok(first as i64))),
        _ => None,
    })
}

/// A word of a stopped thread's memory. Unlike [`read_memory`](super::process::read_memory)
/// it needs no right but to trace it, whatever user the thread has become.
///
/// # Errors
/// As [`detach`]; EIO where nothing is mapped.
pub fn peek(tid: i32, address: u64) -> Result<u64, Errno> {
    let mut word = 0u64;
    // The bare call, unlike the C library's, writes the word to the given address.
    // SAFETY: the address is the other process's; a word is written here.
    unsafe { ptrace(PEEKDATA, tid, address, &raw mut word as u64) }?;
    Ok(word)
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::Pid;

    use super::*;

    /// A traced child that is interrupted stops once, shows where its stack is, and continues
    /// when it is detached.
    #[test]
    fn a_child_is_attached_to_stopped_and_detached() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a child");
        let tid = child.id() as i32;
        attach(tid, EXIT_KILL).expect("it is ours");
        assert_eq!(attach(tid, EXIT_KILL), Err(Errno::EPERM), "a thread has one tracer");
        assert_eq!(stack_pointer(tid), Err(Errno::ESRCH), "it runs");
        interrupt(tid).expect("traced");
        let stop = waitpid(Pid::from_raw(tid), Some(WaitPidFlag::__WALL)).expect("it stops");
        assert_eq!(stop, WaitStatus::PtraceEvent(Pid::from_raw(tid), Signal::SIGTRAP, EVENT_STOP));
        let stack = stack_pointer(tid).expect("it is stopped");
        let mut word = [0; 8];
        assert_eq!(crate::sys::process::read_memory(tid, stack, &mut word), Ok(8));
        detach(tid).expect("it is stopped");
        child.kill().and_then(|()| child.wait()).expect("a child of ours");
    }
}
