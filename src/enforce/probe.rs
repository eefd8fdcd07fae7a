//! What this kernel can do, by asking it: a release number alone says nothing of
//! back-ports, of what the runtime's own filter refuses, or of gVisor.

use nix::errno::Errno;

use crate::kernel::{Arch, Kernel, LandlockAbi, Notify, Release};
use crate::sys;
use crate::sys::signal::Mask;

/// Measures this kernel. Nothing is changed by asking.
///
/// # Errors
/// uname(2) answers a release that is none.
pub fn kernel() -> Result<Kernel, String> {
    let name = nix::sys::utsname::uname().map_err(|errno| format!("uname: {errno}"))?;
    let release: Release = name.release().to_string_lossy().parse()?;
    let stock = Kernel::stock(release, Arch::THIS);
    let notify = match sys::seccomp::notification_available().map(|()| listener()) {
        Ok(Err(why)) => Err(why),
        Ok(Ok(())) => Ok(stock.notify.unwrap_or(Notify {
            addfd_send: false,
            wait_killable: false,
            sync_wake_up: false,
        })),
        Err(errno) => Err(format!("seccomp answers {errno:?} when asked for user notification")),
    };
    Ok(Kernel {
        release,
        arch: Arch::THIS,
        landlock: LandlockAbi(sys::landlock::abi()),
        notify,
        mdwe: mdwe(),
    })
}

/// Whether a filter with a listener can be loaded: there is only one in a chain of
/// filters, and somebody outside may have it. Known only by trying, so a thread tries,
/// and its filter ends with it. Without any filter in force nobody can have one.
fn listener() -> Result<(), String> {
    if sys::process::prctl(libc::PR_GET_SECCOMP, 0, 0) == Ok(0) {
        return Ok(());
    }
    let mask = sys::signal::set_mask(Mask::ALL).map_err(|errno| format!("sigprocmask: {errno}"))?;
    let tried = std::thread::spawn(|| {
        sys::process::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)?;
        sys::seccomp::load(&sys::seccomp::ALLOW_ALL, false).map(drop)
    });
    let tried = tried.join();
    // A first thread makes the C library unblock signals of its own.
    sys::signal::set_mask(mask).map_err(|errno| format!("sigprocmask: {errno}"))?;
    match tried {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Errno::EBUSY)) => Err("EBUSY: something outside listens already".to_owned()),
        Ok(Err(errno)) => Err(format!("loading one is answered {errno:?}")),
        Err(_) => Err("the thread that tried to load one ended early".to_owned()),
    }
}

/// Whether PR_SET_MDWE is known: the present setting can be read where it is.
fn mdwe() -> bool {
    const PR_GET_MDWE: i32 = 66;
    !matches!(sys::process::prctl(PR_GET_MDWE, 0, 0), Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM))
}

/// Yama's ptrace scope; `None` where Yama is not in force.
pub fn yama() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?.trim().parse().ok()
}
