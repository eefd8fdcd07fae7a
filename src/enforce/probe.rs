//! What this kernel can do, found by trying it. A release number alone does not show back-ports,
//! calls that the runtime's filter refuses, or gVisor.

use nix::errno::Errno;

use super::error::Error;
use crate::kernel::{Arch, Kernel, LandlockAbi, NoListener, NoTrace, Notify, Release};
use crate::sys::signal::Mask;
use crate::sys::{self, CallError};

/// Probes this kernel. Nothing is changed by that.
///
/// # Errors
/// The release of uname(2) cannot be parsed; a thread cannot be started.
pub fn kernel() -> Result<Kernel, Error> {
    let name = nix::sys::utsname::uname().map_err(CallError::of("uname"))?;
    let release: Release = name.release().to_string_lossy().parse()?;
    let stock = Kernel::stock(release, Arch::THIS);
    let notify = match sys::seccomp::notification_available() {
        Ok(()) if !sys::prctl::is_filtered() => Ok(()),
        Ok(()) => tried(true)?,
        Err(errno) => tried(false)?.and(Err(NoListener::Unavailable(errno))),
    };
    // Only the callers of notified calls are traced.
    let notifies = notify.is_ok();
    let known =
        stock.notify.unwrap_or(Notify { addfd_send: false, wait_killable: false, sync_wake_up: false });
    Ok(Kernel {
        release,
        arch: Arch::THIS,
        landlock: LandlockAbi(sys::landlock::abi()),
        notify: notify.map(|()| known),
        mdwe: mdwe(),
        trace: if notifies { trace() } else { Ok(()) },
        noexec_seal: stock.noexec_seal,
        exec_bits: stock.exec_bits,
    })
}

/// Whether a descendant can be traced: no filter refuses ptrace(2), and Yama requires nothing
/// that the supervisor lacks, which has no more capabilities than its app
/// (Documentation/admin-guide/LSM/Yama.rst). A scope that forbids its descendants to an
/// ancestor without CAP_SYS_PTRACE forbids all.
fn trace() -> Result<(), NoTrace> {
    // Without a filter ptrace(2) is not refused.
    if sys::prctl::is_filtered() && sys::syscall_probe::ptrace_is_refused() {
        return Err(NoTrace::Filter);
    }
    match yama() {
        None | Some(0 | 1) => Ok(()),
        Some(scope) => Err(NoTrace::Yama(scope)),
    }
}

/// Whether a filter can be loaded, with a listener. A chain of filters has at most one, which a
/// process outside may have. Only trying shows that, so a thread loads a filter, which ends with
/// the thread. Where no filter is in force there is no other listener.
///
/// # Errors
/// The thread could not be started.
fn tried(listener: bool) -> Result<Result<(), NoListener>, Error> {
    let mask = sys::signal::set_mask(Mask::ALL).map_err(CallError::of("sigprocmask"))?;
    let thread = std::thread::Builder::new().spawn(move || {
        sys::prctl::set_no_new_privileges().map_err(NoListener::NoNewPrivileges)?;
        let alone =
            || sys::seccomp::load_without_listener(&sys::seccomp::ALLOW_ALL).map_err(NoListener::Filter);
        let why = match listener.then(|| sys::seccomp::load(&sys::seccomp::ALLOW_ALL, false)) {
            Some(Ok(_)) => return Ok(()),
            Some(Err(Errno::EBUSY)) => NoListener::Busy,
            Some(Err(errno)) => NoListener::Refused(errno),
            None => return alone(),
        };
        // Not even without one: then it is the filter that is refused.
        alone().and(Err(why))
    });
    let ended = thread.map(std::thread::JoinHandle::join);
    // A first thread makes the C library unblock signals of its own.
    sys::signal::set_mask(mask).map_err(CallError::of("sigprocmask"))?;
    let ended = ended.map_err(|error| Error::Thread(sys::errno(&error)))?;
    Ok(ended.unwrap_or(Err(NoListener::Killed)))
}

/// Whether PR_SET_MDWE is known: the present setting can be read where it is.
fn mdwe() -> bool {
    !matches!(sys::prctl::refused_exec_gain(), Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM))
}

/// Yama's ptrace scope; `None` where Yama is not in force.
pub fn yama() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?.trim().parse().ok()
}
