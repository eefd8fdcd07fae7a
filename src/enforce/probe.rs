//! What this kernel can do, by asking it: a release number alone says nothing of
//! back-ports, of what the runtime's own filter refuses, or of gVisor.

use nix::errno::Errno;

use crate::kernel::{Arch, Kernel, LandlockAbi, Notify, Release};
use crate::sys;

/// Measures this kernel. Nothing is changed by asking.
///
/// # Errors
/// uname(2) answers a release that is none.
pub fn kernel() -> Result<Kernel, String> {
    let name = nix::sys::utsname::uname().map_err(|errno| format!("uname: {errno}"))?;
    let release: Release = name.release().to_string_lossy().parse()?;
    let stock = Kernel::stock(release, Arch::THIS);
    let notify = match sys::seccomp::notification_available() {
        Ok(()) => Ok(stock.notify.unwrap_or(Notify {
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

/// Whether PR_SET_MDWE is known: the present setting can be read where it is.
fn mdwe() -> bool {
    const PR_GET_MDWE: i32 = 66;
    !matches!(sys::process::prctl(PR_GET_MDWE, 0, 0), Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM))
}

/// Yama's ptrace scope; `None` where Yama is not in force.
pub fn yama() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?.trim().parse().ok()
}
