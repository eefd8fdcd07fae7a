//! Descriptors that the machinery around a test leaves open, and that are no part of it.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Starts a command with the first three descriptors alone, and those that are opened for it
/// after this.
pub fn only_standard(command: &mut Command) -> &mut Command {
    const CLOSE_ON_EXEC: libc::c_uint = 4;
    let mark = || {
        // SAFETY: async-signal-safe, integers only. Before Linux 5.11 there is no such call, and
        // nothing is marked.
        unsafe { libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, CLOSE_ON_EXEC) };
        Ok(())
    };
    // SAFETY: only that call is made between fork and exec.
    unsafe { command.pre_exec(mark) }
}
