//! Signals, all 64 of them: libc's sets leave out 32 and 33, which a shell or a
//! runtime may send, so the kernel's own mask is used throughout.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFd;

use super::check;

/// A set of signals, bit n-1 for signal n: the kernel's `sigset_t` on both
/// architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask(pub u64);

impl Mask {
    /// Every signal; the kernel itself leaves KILL and STOP out.
    pub const ALL: Mask = Mask(u64::MAX);
    /// Every signal but SIGCHLD.
    pub const ALL_BUT_CHILD: Mask = Mask(!(1 << (libc::SIGCHLD - 1)));

    /// The set of these signals.
    pub fn of(signals: &[i32]) -> Mask {
        Mask(signals.iter().fold(0, |bits, signal| bits | 1 << (signal - 1)))
    }

    /// Whether the set holds `signal`.
    pub const fn has(self, signal: i32) -> bool {
        self.0 & (1 << (signal - 1)) != 0
    }
}

/// Replaces this thread's signal mask, and returns the old one.
///
/// # Errors
/// rt_sigprocmask(2) fails only where a filter refuses it.
pub fn set_mask(mask: Mask) -> Result<Mask, Errno> {
    let mut old = 0u64;
    // SAFETY: both pointers are to live u64s, and 8 is the size that the kernel
    // expects of its sigset_t.
    check(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &mask.0 as *const u64,
            &mut old as *mut u64,
            8,
        )
    })?;
    Ok(Mask(old))
}

/// A descriptor from which the blocked signals of `mask` are read.
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM as in signalfd(2).
pub fn descriptor(mask: Mask) -> Result<OwnedFd, Errno> {
    // SAFETY: the pointer is to a live u64 of the kernel's size; the kernel
    // answers with a descriptor that is ours alone.
    unsafe {
        let fd = check(libc::syscall(
            libc::SYS_signalfd4,
            -1,
            &mask.0 as *const u64,
            8,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        ))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// A signal that was received, from signalfd(2) or rt_sigtimedwait(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number, 1–64.
    pub signal: i32,
    /// `si_code`: SI_QUEUE carries a value.
    pub code: i32,
    /// The sender's pid; 0 for one outside our pid namespace.
    pub sender: u32,
    /// `si_value`, for SI_QUEUE.
    pub value: u64,
}

/// Reads the next pending signal from a signalfd, if there is one.
///
/// # Errors
/// Every errno of read(2) but EAGAIN.
pub fn next(fd: &OwnedFd) -> Result<Option<Received>, Errno> {
    // SAFETY: signalfd_siginfo is made of integers, for which zero is a value.
    let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    let size = size_of_val(&info);
    // SAFETY: the buffer is `info`, as large as said.
    let answer = unsafe { libc::read(fd.as_raw_fd(), (&raw mut info).cast(), size) };
    match check(answer as libc::c_long) {
        Ok(n) if n as usize == size => Ok(Some(Received {
            signal: info.ssi_signo as i32,
            code: info.ssi_code,
            sender: info.ssi_pid,
            value: info.ssi_ptr,
        })),
        Ok(_) => Err(Errno::EIO),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Waits for the next signal of a blocked set, for at most `timeout`, or for ever without
/// one. `None`: none came.
///
/// # Errors
/// Every errno of rt_sigtimedwait(2) but EAGAIN and EINTR.
pub fn wait(mask: Mask, timeout: Option<Duration>) -> Result<Option<Received>, Errno> {
    // The kernel's siginfo_t for kill(2) and sigqueue(3), in words of 4 bytes: number,
    // errno, code, padding, pid, uid, and a value of two words.
    let mut info = [0u32; 32];
    let time = timeout.map(timespec);
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: pointers to a live u64 of the kernel's size, to 128 live bytes, which is
    // the size of siginfo_t, and to a live timespec or none.
    let answer = unsafe {
        libc::syscall(libc::SYS_rt_sigtimedwait, &raw const mask.0, info.as_mut_ptr(), time, size_of::<u64>())
    };
    match check(answer) {
        Ok(signal) => Ok(Some(Received {
            signal: signal as i32,
            code: info[2] as i32,
            sender: info[4],
            value: u64::from(info[6]) | u64::from(info[7]) << 32,
        })),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether rt_sigtimedwait(2) works here, tried before the app runs. It takes no signal.
///
/// # Errors
/// Every errno of rt_sigtimedwait(2) but EAGAIN and EINTR.
pub fn can_wait() -> Result<(), Errno> {
    wait(Mask(0), Some(Duration::ZERO)).map(drop)
}

/// Waits for descriptors with this signal mask instead of the thread's (ppoll(2)): a signal
/// outside of the mask interrupts the wait. Returns how many are ready, 0 at the timeout;
/// without a timeout it waits for ever.
///
/// # Errors
/// EINTR for a signal; the others of ppoll(2).
pub fn poll(fds: &mut [PollFd], timeout: Option<Duration>, mask: Mask) -> Result<i32, Errno> {
    let time = timeout.map(timespec);
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: a PollFd is a pollfd (repr(transparent)), of which there are as many as said;
    // the time is null or live, and the mask a live u64 of the size that the kernel expects.
    check(unsafe {
        libc::syscall(libc::SYS_ppoll, fds.as_mut_ptr(), fds.len(), time, &raw const mask.0, size_of::<u64>())
    })
    .map(|ready| ready as i32)
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// Installs an empty handler for SIGCHLD, so that it interrupts the wait of a thread that does
/// not block it; by default it would be discarded. Executed programs do not inherit a handler.
///
/// # Errors
/// sigaction(2) fails only where a filter refuses it.
pub fn interrupt_by_children() -> Result<(), Errno> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: zero is a value of sigaction; the handler touches nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as libc::sighandler_t;
        check(libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut()).into()).map(drop)
    }
}

/// Sets SIGCHLD to its default, since children of a process that ignores it leave no status,
/// and returns whether it was ignored.
///
/// # Errors
/// sigaction(2) fails only where a filter refuses it.
pub fn default_sigchld() -> Result<bool, Errno> {
    set_ignored(libc::SIGCHLD, false)
}

/// Ignores a signal or sets it to its default, and returns whether it was ignored.
///
/// # Errors
/// EINVAL for a signal that has no disposition.
pub fn set_ignored(signal: i32, ignored: bool) -> Result<bool, Errno> {
    // SAFETY: an all-zero sigaction is SIG_DFL with an empty mask; SIG_IGN is not
    // a function that could run; both pointers are to live structures.
    unsafe {
        let mut new: libc::sigaction = std::mem::zeroed();
        let mut old: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
        check(libc::sigaction(signal, &new, &mut old).into())?;
        Ok(old.sa_sigaction == libc::SIG_IGN)
    }
}

/// Blocks every signal. Call it at the start of each thread, and after the first
/// pthread_create(3): there the C library unblocks the signals that it reserves (32, 33), and
/// one sent from outside would kill the process.
///
/// # Errors
/// As [`set_mask`].
pub fn block_all() -> Result<(), Errno> {
    set_mask(Mask::ALL).map(drop)
}

/// Ignores a signal that the C library reserves (32, 33), until a new thread has called
/// [`block_all`]. Call it after the fork of the app, which would inherit it.
///
/// # Errors
/// As [`set_ignored`].
pub fn ignore_reserved(signal: i32) -> Result<(), Errno> {
    // The kernel's own structure: handler, flags, restorer, mask, a word each.
    let action: [u64; 4] = [libc::SIG_IGN as u64, 0, 0, 0];
    let none = std::ptr::null::<u64>();
    // SAFETY: the pointer is to a live structure of the kernel's size; SIG_IGN is no
    // function that could run.
    check(unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), none, 8) }).map(drop)
}

/// Whether SIGPIPE was inherited as ignored. It is read before `main`, since Rust's runtime
/// ignores it there.
pub fn sigpipe_was_ignored() -> bool {
    SIGPIPE_IGNORED.load(Ordering::Relaxed)
}

static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);

// SAFETY: the C library calls the functions of this section before `main`, with one thread and
// with arguments that a function may ignore.
#[unsafe(link_section = ".init_array")]
#[used]
static BEFORE_MAIN: extern "C" fn() = note_sigpipe;

extern "C" fn note_sigpipe() {
    // SAFETY: zero is a value of sigaction; the call only reads the disposition.
    let ignored = unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), &mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
    };
    SIGPIPE_IGNORED.store(ignored, Ordering::Relaxed);
}

/// Sends a signal to a process, or to a group when `pid` is negative.
///
/// # Errors
/// ESRCH, EPERM as in kill(2).
pub fn send(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: kill takes two integers.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Sends a signal to one thread of a process (tgkill(2)).
///
/// # Errors
/// ESRCH, EPERM as in kill(2).
pub fn send_thread(pid: i32, tid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: three integers.
    check(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) }).map(drop)
}

/// Sends a queued signal with its value (rt_sigqueueinfo(2)).
///
/// # Errors
/// ESRCH, EPERM, and EAGAIN when the queue is full.
pub fn queue(pid: i32, signal: i32, value: u64) -> Result<(), Errno> {
    /// The part of the kernel's siginfo_t that a queued signal uses, at its size.
    #[repr(C)]
    struct Info {
        signal: i32,
        errno: i32,
        code: i32,
        pad: i32,
        pid: i32,
        uid: u32,
        value: u64,
        rest: [u8; 96],
    }
    const { assert!(size_of::<Info>() == 128) };
    let ours = nix::unistd::getpid().as_raw();
    let uid = nix::unistd::getuid().as_raw();
    let info = Info { signal, errno: 0, code: libc::SI_QUEUE, pad: 0, pid: ours, uid, value, rest: [0; 96] };
    // SAFETY: the pointer is to a live structure of the size of siginfo_t.
    check(unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signal, &raw const info) }).map(drop)
}

/// Sends a signal through a pidfd, so that it never reaches another process with the same pid.
///
/// # Errors
/// ESRCH, EPERM as in pidfd_send_signal(2).
pub fn send_pidfd(fd: impl AsFd, signal: i32) -> Result<(), Errno> {
    // SAFETY: the only pointer is null, which means a signal as by kill(2).
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, fd.as_fd().as_raw_fd(), signal, std::ptr::null::<u8>(), 0)
    })
    .map(drop)
}

/// The C library's description of a signal, such as `Terminated` (strsignal(3)).
pub fn description(signal: i32) -> String {
    /// The C library may have one buffer for all threads.
    static BUFFER: Mutex<()> = Mutex::new(());
    let _buffer = BUFFER.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: it answers with a string that ends with NUL and lasts until it is called again,
    // and no other thread calls it before the copy is made.
    unsafe { std::ffi::CStr::from_ptr(libc::strsignal(signal)) }.to_string_lossy().into_owned()
}

/// SIGRTMIN as programs see it: glibc takes the kernel's 32 and 33 for itself (signal(7)).
const RTMIN: i32 = 34;
/// SIGRTMAX.
const RTMAX: i32 = 64;

/// The signal of this name, with or without `SIG`, or of this number: `TERM`,
/// `SIGRTMIN+3`, `RTMAX-1`, `15`.
pub fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, sign: char| match rest {
        "" => Some(0),
        rest => rest.strip_prefix(sign)?.parse::<u8>().ok().map(i32::from),
    };
    let number = if let Some(rest) = short.strip_prefix("RTMIN") {
        RTMIN + offset(rest, '+')?
    } else if let Some(rest) = short.strip_prefix("RTMAX") {
        RTMAX - offset(rest, '-')?
    } else {
        let alias = match short {
            "CLD" => "CHLD",
            "IOT" => "ABRT",
            "POLL" => "IO",
            other => other,
        };
        return (1..RTMIN).find(|signal| name(*signal) == alias);
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

/// Every name that [`parse`] knows but those of the realtime signals.
pub fn names() -> impl Iterator<Item = String> {
    (1..32).map(name)
}

/// The name of a signal without `SIG`, the same in events, messages and options: `TERM`,
/// `RTMIN+3`. Signals 32 and 33, which the C library reserves, have no name but their number.
pub fn name(signal: i32) -> String {
    match nix::sys::signal::Signal::try_from(signal) {
        Ok(known) => known.as_str().trim_start_matches("SIG").to_owned(),
        Err(_) if signal == RTMIN => "RTMIN".to_owned(),
        Err(_) if (RTMIN..=RTMAX).contains(&signal) => format!("RTMIN+{}", signal - RTMIN),
        Err(_) => signal.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_known_by_its_name_and_by_its_number() {
        for (text, signal) in
            [("TERM", 15), ("SIGTERM", 15), ("sigterm", 15), ("15", 15), ("POLL", 29), ("RTMIN", 34)]
        {
            assert_eq!(parse(text), Some(signal), "{text}");
        }
        assert_eq!((parse("SIGRTMIN+3"), parse("RTMAX-1"), parse("64")), (Some(37), Some(63), Some(64)));
        for text in ["", "0", "-1", "65", "SIGFOO", "RTMIN+31", "RTMAX-31", "RTMIN+", "RTMIN-1", "SIG", "1x"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!((1..=64).all(|signal| parse(&name(signal)) == Some(signal)));
        for (signal, text) in
            [(1, "HUP"), (32, "32"), (34, "RTMIN"), (37, "RTMIN+3"), (64, "RTMIN+30"), (65, "65")]
        {
            assert_eq!(name(signal), text);
        }
    }
}
