//! `remit --version`: the version, the commit, and what the kernel here can do.

use std::fmt::Write as _;

use crate::enforce::probe;
use crate::kernel::{Kernel, LandlockAbi};

/// The text of `--version`.
pub(super) fn version() -> String {
    let kernel = match probe::kernel() {
        Ok(kernel) => features(&kernel),
        Err(error) => format!("kernel: cannot be examined: {error}"),
    };
    format!("remit {}\ncommit {}\n{kernel}\n", env!("CARGO_PKG_VERSION"), env!("REMIT_COMMIT"))
}

/// What a kernel can do, in a line.
fn features(kernel: &Kernel) -> String {
    let mut text = format!("Linux {} {}: ", kernel.release, kernel.arch);
    // Writing to a String cannot fail.
    write(kernel, &mut text).unwrap_or_default();
    text
}

fn write(kernel: &Kernel, text: &mut String) -> std::fmt::Result {
    match kernel.landlock {
        LandlockAbi::NONE => text.push_str("no Landlock"),
        LandlockAbi(abi) => write!(text, "Landlock ABI {abi}")?,
    }
    match &kernel.notify {
        Ok(notify) => {
            text.push_str(", seccomp user notification");
            let flags = [
                (notify.addfd_send, "ADDFD_FLAG_SEND"),
                (notify.wait_killable, "WAIT_KILLABLE_RECV"),
                (notify.sync_wake_up, "FD_SYNC_WAKE_UP"),
            ];
            let flags: Vec<&str> = flags.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
            if !flags.is_empty() {
                write!(text, " ({})", flags.join(", "))?;
            }
        }
        Err(why) => write!(text, ", no seccomp user notification ({why})")?,
    }
    for (is, name) in
        [(kernel.mdwe, "MDWE"), (kernel.noexec_seal, "MFD_NOEXEC_SEAL"), (kernel.exec_bits, "SECBIT_EXEC_*")]
    {
        if is {
            write!(text, ", {name}")?;
        }
    }
    match &kernel.trace {
        Ok(()) => text.push_str(", ptrace"),
        Err(why) => write!(text, ", no ptrace ({why})")?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    use crate::kernel::{Arch, NoListener, NoTrace, Release};

    #[test]
    fn the_features_are_those_of_the_kernel() {
        let kernel = Kernel::stock(Release::new(6, 12), Arch::X86_64);
        assert_eq!(
            features(&kernel),
            "Linux 6.12 x86_64: Landlock ABI 6, seccomp user notification (ADDFD_FLAG_SEND, WAIT_KILLABLE_RECV, \
             FD_SYNC_WAKE_UP), MDWE, MFD_NOEXEC_SEAL, ptrace"
        );
        let poor = Kernel {
            notify: Err(NoListener::Filter(Errno::EPERM)),
            trace: Err(NoTrace::Yama(3)),
            ..Kernel::stock(Release::new(5, 10), Arch::Aarch64)
        };
        assert_eq!(
            features(&poor),
            "Linux 5.10 aarch64: no Landlock, no seccomp user notification (loading a filter is answered EPERM), no \
             ptrace (Yama's ptrace_scope is 3)"
        );
    }
}
