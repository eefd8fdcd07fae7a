//! Probes whether a filter refuses a call. Each call is made with arguments that the kernel
//! itself answers with another error, so EPERM or ENOSYS comes from a filter or from a kernel
//! without the call.

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::check;
use super::process::{Side, exit_now, fork_among_threads};

/// The names of the calls below that a filter refuses here. A child makes each of them, since a
/// filter may also kill the process.
pub fn refused() -> Vec<&'static str> {
    const BAD: libc::c_long = -1;
    // By seccomp(2)'s man page a filter sees the call before the kernel looks at any
    // argument. No descriptor is -1, no structure is at NULL or has no size, no range
    // ends before it begins, and no request or process has these numbers.
    let calls: [(&str, libc::c_long, [libc::c_long; 5]); 10] = [
        ("clone3", libc::SYS_clone3, [0, 0, 0, 0, 0]),
        ("close_range", libc::SYS_close_range, [1, 0, 0, 0, 0]),
        ("faccessat2", libc::SYS_faccessat2, [BAD, 0, 0, 0, 0]),
        ("membarrier", libc::SYS_membarrier, [BAD, 0, 0, 0, 0]),
        ("openat2", libc::SYS_openat2, [BAD, 0, 0, 0, 0]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [BAD, BAD, 0, 0, 0]),
        ("process_vm_readv", libc::SYS_process_vm_readv, [BAD, 0, 0, 0, 0]),
        ("ptrace", libc::SYS_ptrace, [BAD, BAD, 0, 0, 0]),
        ("sched_setattr", libc::SYS_sched_setattr, [0, 0, 0, 0, 0]),
        ("statx", libc::SYS_statx, [BAD, 0, 0, 0, 0]),
    ];
    // SAFETY: see above.
    let is_refused = |number, args| unsafe { is_refused(number, args) };
    calls.into_iter().filter(|(_, number, args)| is_refused(*number, *args)).map(|(name, ..)| name).collect()
}

/// The refused ones of the calls that container runtimes' filters are known to refuse. A
/// learning run cannot observe these.
pub fn refused_by_runtime() -> Vec<&'static str> {
    const BAD: libc::c_long = -1;
    // As above; a flag that no kernel knows, a path at NULL. A call that the kernel itself
    // refuses before it checks an argument (bpf, reboot) cannot be probed.
    let calls: [(&str, libc::c_long, [libc::c_long; 5]); 20] = [
        ("add_key", libc::SYS_add_key, [0, 0, 0, 0, 0]),
        ("chroot", libc::SYS_chroot, [0, 0, 0, 0, 0]),
        ("clock_settime", libc::SYS_clock_settime, [BAD, 0, 0, 0, 0]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [0, 0, 0, 0, 0]),
        ("kcmp", libc::SYS_kcmp, [BAD, BAD, BAD, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [BAD, 0, 0, 0, 0]),
        ("mbind", libc::SYS_mbind, [0, 0, BAD, 0, 0]),
        ("mount", libc::SYS_mount, [0, 0, 0, 0, 0]),
        ("move_pages", libc::SYS_move_pages, [BAD, 0, 0, 0, 0]),
        ("name_to_handle_at", libc::SYS_name_to_handle_at, [BAD, 0, 0, 0, BAD]),
        ("open_tree", libc::SYS_open_tree, [BAD, 0, BAD, 0, 0]),
        ("perf_event_open", libc::SYS_perf_event_open, [0, 0, 0, 0, BAD]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [BAD, BAD, 0, 0, 0]),
        ("process_vm_writev", libc::SYS_process_vm_writev, [BAD, 0, 0, 0, 0]),
        ("ptrace", libc::SYS_ptrace, [BAD, BAD, 0, 0, 0]),
        ("request_key", libc::SYS_request_key, [0, 0, 0, 0, 0]),
        ("setns", libc::SYS_setns, [BAD, 0, 0, 0, 0]),
        ("umount2", libc::SYS_umount2, [0, BAD, 0, 0, 0]),
        ("unshare", libc::SYS_unshare, [1, 0, 0, 0, 0]),
        ("userfaultfd", libc::SYS_userfaultfd, [BAD, 0, 0, 0, 0]),
    ];
    // SAFETY: see above.
    let is_refused = |number, args| unsafe { is_refused(number, args) };
    calls.into_iter().filter(|(_, number, args)| is_refused(*number, *args)).map(|(name, ..)| name).collect()
}

/// Whether a filter refuses ptrace(2).
pub fn ptrace_is_refused() -> bool {
    // SAFETY: there is no such request.
    unsafe { is_refused(libc::SYS_ptrace, [-1, -1, 0, 0, 0]) }
}

/// Whether a call with these arguments is refused by something other than the kernel itself:
/// a child makes it.
///
/// # Safety
/// The kernel answers the call with an error other than EPERM and ENOSYS before it looks at
/// what an argument leads to, and the arguments hold no address but NULL.
unsafe fn is_refused(number: libc::c_long, [a, b, c, d, e]: [libc::c_long; 5]) -> bool {
    // SAFETY: the child makes this one call and ends.
    match unsafe { fork_among_threads() } {
        Ok(Side::Child) => {
            // SAFETY: by the caller's word nothing is read or written.
            let answer = check(unsafe { libc::syscall(number, a, b, c, d, e, 0) });
            exit_now(matches!(answer, Err(Errno::EPERM | Errno::ENOSYS)).into())
        }
        Ok(Side::Parent(child)) => match waitpid(Pid::from_raw(child), None) {
            Ok(WaitStatus::Exited(_, code)) => code != 0,
            Ok(WaitStatus::Signaled(..)) => true,
            _ => false,
        },
        Err(_) => false,
    }
}

/// The errno of mlockall(2) without flags: EINVAL from the kernel, which does nothing.
pub fn probe_mlockall() -> Errno {
    // SAFETY: one integer.
    check(unsafe { libc::syscall(libc::SYS_mlockall, 0) }).err().unwrap_or(Errno::UnknownErrno)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_current_kernel_refuses_none_of_them() {
        let filtered =
            std::fs::read_to_string("/proc/self/status").expect("own status").contains("Seccomp:\t2");
        if filtered {
            eprintln!("SKIPPED: a filter is in force here, and may refuse any call");
            assert!(std::env::var_os("CI").is_none(), "CI runs without one");
            return;
        }
        assert_eq!(super::refused(), Vec::<&str>::new());
        assert_eq!(super::refused_by_runtime(), Vec::<&str>::new());
    }
}
