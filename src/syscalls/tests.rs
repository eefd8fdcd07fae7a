//! The tables, held against libc, against each other and against a golden file.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::*;

#[test]
fn names_are_sorted_and_each_number_has_one() {
    assert!(names().is_sorted_by(|one, next| one < next));
    for arch in Arch::ALL {
        let numbers: Vec<u32> = names().filter_map(|call| number(arch, call)).collect();
        assert_eq!(numbers.len(), numbers.iter().collect::<BTreeSet<_>>().len());
        for call in names() {
            let Some(number) = number(arch, call) else { continue };
            assert_eq!(name(arch, number), Some(call));
        }
    }
    assert_eq!(all().filter_map(|call| call.number(Arch::X86_64)).max(), Some(SIZE as u32 - 1));
}

#[test]
fn what_is_no_call_is_not_found() {
    for none in ["", "reed", "Read", "socketcall", "mmap2"] {
        assert_eq!(known(none), None);
    }
    for arch in Arch::ALL {
        for none in [400, SIZE as u32, 0x4000_0000, u32::MAX] {
            assert_eq!(name(arch, none), None);
        }
    }
    assert_eq!(name(Arch::X86_64, 0), Some("read"));
    assert_eq!(name(Arch::Aarch64, 0), Some("io_setup"));
    assert_eq!((number(Arch::X86_64, "open"), number(Arch::Aarch64, "open")), (Some(2), None));
}

/// From 424 on a call has the same number everywhere, and before 424 it is as old
/// as 4.18 (but for two that x86 has put into its gap).
#[test]
fn new_calls_are_numbered_alike_and_carry_their_release() {
    let old = Release::new(4, 18);
    let mut new = BTreeSet::new();
    for call in all() {
        let [x86_64, aarch64] = Arch::ALL.map(|arch| call.number(arch));
        let numbered = x86_64.filter(|number| *number >= FIRST_NEW.into());
        if let Some(number) = numbered {
            assert_eq!(x86_64, aarch64, "{}", call.name);
            new.insert(number);
        }
        let gap = ["uprobe", "uretprobe"].contains(&call.name);
        assert_eq!(call.since > old, numbered.is_some() || gap, "{}", call.name);
        assert_eq!(call.unlisted() == nix::errno::Errno::ENOSYS, call.is_new(), "{}", call.name);
    }
    assert!(new.iter().copied().eq(FIRST_NEW.into()..SIZE as u32), "a number is missing: {new:?}");
    for (call, major, minor) in [
        ("io_uring_setup", 5, 1),
        ("clone3", 5, 3),
        ("futex_wait", 6, 7),
        ("mseal", 6, 10),
        ("setxattrat", 6, 13),
    ] {
        assert_eq!(since(call), Release::new(major, minor));
    }
    assert_eq!((since("read"), since("no such call")), (old, old));
}

/// libc's numbers for the architecture that the tests run on.
#[test]
fn numbers_are_those_of_libc() {
    #[cfg(target_arch = "x86_64")]
    #[rustfmt::skip]
    let own: &[(&str, libc::c_long)] = &[
        ("_sysctl", libc::SYS__sysctl), ("access", libc::SYS_access), ("afs_syscall",
        libc::SYS_afs_syscall), ("alarm", libc::SYS_alarm), ("arch_prctl", libc::SYS_arch_prctl),
        ("chmod", libc::SYS_chmod), ("chown", libc::SYS_chown), ("creat", libc::SYS_creat), ("dup2",
        libc::SYS_dup2), ("epoll_create", libc::SYS_epoll_create), ("epoll_ctl_old",
        libc::SYS_epoll_ctl_old), ("epoll_wait", libc::SYS_epoll_wait), ("epoll_wait_old",
        libc::SYS_epoll_wait_old), ("eventfd", libc::SYS_eventfd), ("fchmodat2",
        libc::SYS_fchmodat2), ("fork", libc::SYS_fork), ("futimesat", libc::SYS_futimesat),
        ("get_thread_area", libc::SYS_get_thread_area), ("getdents", libc::SYS_getdents),
        ("getpgrp", libc::SYS_getpgrp), ("getpmsg", libc::SYS_getpmsg), ("getrlimit",
        libc::SYS_getrlimit), ("inotify_init", libc::SYS_inotify_init), ("ioperm",
        libc::SYS_ioperm), ("iopl", libc::SYS_iopl), ("lchown", libc::SYS_lchown), ("link",
        libc::SYS_link), ("lstat", libc::SYS_lstat), ("mkdir", libc::SYS_mkdir), ("mknod",
        libc::SYS_mknod), ("modify_ldt", libc::SYS_modify_ldt), ("open", libc::SYS_open), ("pause",
        libc::SYS_pause), ("pipe", libc::SYS_pipe), ("poll", libc::SYS_poll), ("putpmsg",
        libc::SYS_putpmsg), ("readlink", libc::SYS_readlink), ("rename", libc::SYS_rename),
        ("renameat", libc::SYS_renameat), ("rmdir", libc::SYS_rmdir), ("security",
        libc::SYS_security), ("select", libc::SYS_select), ("set_thread_area",
        libc::SYS_set_thread_area), ("setrlimit", libc::SYS_setrlimit), ("signalfd",
        libc::SYS_signalfd), ("stat", libc::SYS_stat), ("symlink", libc::SYS_symlink),
        ("sync_file_range", libc::SYS_sync_file_range), ("sysfs", libc::SYS_sysfs), ("time",
        libc::SYS_time), ("tuxcall", libc::SYS_tuxcall), ("unlink", libc::SYS_unlink), ("uselib",
        libc::SYS_uselib), ("ustat", libc::SYS_ustat), ("utime", libc::SYS_utime), ("utimes",
        libc::SYS_utimes), ("vfork", libc::SYS_vfork), ("vserver", libc::SYS_vserver),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let own: &[(&str, libc::c_long)] = &[];
    #[rustfmt::skip]
    let both: &[(&str, libc::c_long)] = &[
        ("accept", libc::SYS_accept), ("accept4", libc::SYS_accept4), ("acct", libc::SYS_acct),
        ("add_key", libc::SYS_add_key), ("adjtimex", libc::SYS_adjtimex), ("bind", libc::SYS_bind),
        ("bpf", libc::SYS_bpf), ("brk", libc::SYS_brk), ("capget", libc::SYS_capget), ("capset",
        libc::SYS_capset), ("chdir", libc::SYS_chdir), ("chroot", libc::SYS_chroot),
        ("clock_adjtime", libc::SYS_clock_adjtime), ("clock_getres", libc::SYS_clock_getres),
        ("clock_gettime", libc::SYS_clock_gettime), ("clock_nanosleep", libc::SYS_clock_nanosleep),
        ("clock_settime", libc::SYS_clock_settime), ("clone", libc::SYS_clone), ("clone3",
        libc::SYS_clone3), ("close", libc::SYS_close), ("close_range", libc::SYS_close_range),
        ("connect", libc::SYS_connect), ("copy_file_range", libc::SYS_copy_file_range),
        ("delete_module", libc::SYS_delete_module), ("dup", libc::SYS_dup), ("dup3",
        libc::SYS_dup3), ("epoll_create1", libc::SYS_epoll_create1), ("epoll_ctl",
        libc::SYS_epoll_ctl), ("epoll_pwait", libc::SYS_epoll_pwait), ("epoll_pwait2",
        libc::SYS_epoll_pwait2), ("eventfd2", libc::SYS_eventfd2), ("execve", libc::SYS_execve),
        ("execveat", libc::SYS_execveat), ("exit", libc::SYS_exit), ("exit_group",
        libc::SYS_exit_group), ("faccessat", libc::SYS_faccessat), ("faccessat2",
        libc::SYS_faccessat2), ("fadvise64", libc::SYS_fadvise64), ("fallocate",
        libc::SYS_fallocate), ("fanotify_init", libc::SYS_fanotify_init), ("fanotify_mark",
        libc::SYS_fanotify_mark), ("fchdir", libc::SYS_fchdir), ("fchmod", libc::SYS_fchmod),
        ("fchmodat", libc::SYS_fchmodat), ("fchown", libc::SYS_fchown), ("fchownat",
        libc::SYS_fchownat), ("fcntl", libc::SYS_fcntl), ("fdatasync", libc::SYS_fdatasync),
        ("fgetxattr", libc::SYS_fgetxattr), ("finit_module", libc::SYS_finit_module), ("flistxattr",
        libc::SYS_flistxattr), ("flock", libc::SYS_flock), ("fremovexattr", libc::SYS_fremovexattr),
        ("fsconfig", libc::SYS_fsconfig), ("fsetxattr", libc::SYS_fsetxattr), ("fsmount",
        libc::SYS_fsmount), ("fsopen", libc::SYS_fsopen), ("fspick", libc::SYS_fspick), ("fstat",
        libc::SYS_fstat), ("fstatfs", libc::SYS_fstatfs), ("fsync", libc::SYS_fsync), ("ftruncate",
        libc::SYS_ftruncate), ("futex", libc::SYS_futex), ("futex_waitv", libc::SYS_futex_waitv),
        ("get_mempolicy", libc::SYS_get_mempolicy), ("get_robust_list", libc::SYS_get_robust_list),
        ("getcpu", libc::SYS_getcpu), ("getcwd", libc::SYS_getcwd), ("getdents64",
        libc::SYS_getdents64), ("getegid", libc::SYS_getegid), ("geteuid", libc::SYS_geteuid),
        ("getgid", libc::SYS_getgid), ("getgroups", libc::SYS_getgroups), ("getitimer",
        libc::SYS_getitimer), ("getpeername", libc::SYS_getpeername), ("getpgid",
        libc::SYS_getpgid), ("getpid", libc::SYS_getpid), ("getppid", libc::SYS_getppid),
        ("getpriority", libc::SYS_getpriority), ("getrandom", libc::SYS_getrandom), ("getresgid",
        libc::SYS_getresgid), ("getresuid", libc::SYS_getresuid), ("getrusage",
        libc::SYS_getrusage), ("getsid", libc::SYS_getsid), ("getsockname", libc::SYS_getsockname),
        ("getsockopt", libc::SYS_getsockopt), ("gettid", libc::SYS_gettid), ("gettimeofday",
        libc::SYS_gettimeofday), ("getuid", libc::SYS_getuid), ("getxattr", libc::SYS_getxattr),
        ("init_module", libc::SYS_init_module), ("inotify_add_watch", libc::SYS_inotify_add_watch),
        ("inotify_init1", libc::SYS_inotify_init1), ("inotify_rm_watch",
        libc::SYS_inotify_rm_watch), ("io_cancel", libc::SYS_io_cancel), ("io_destroy",
        libc::SYS_io_destroy), ("io_getevents", libc::SYS_io_getevents), ("io_setup",
        libc::SYS_io_setup), ("io_submit", libc::SYS_io_submit), ("io_uring_enter",
        libc::SYS_io_uring_enter), ("io_uring_register", libc::SYS_io_uring_register),
        ("io_uring_setup", libc::SYS_io_uring_setup), ("ioctl", libc::SYS_ioctl), ("ioprio_get",
        libc::SYS_ioprio_get), ("ioprio_set", libc::SYS_ioprio_set), ("kcmp", libc::SYS_kcmp),
        ("kexec_file_load", libc::SYS_kexec_file_load), ("kexec_load", libc::SYS_kexec_load),
        ("keyctl", libc::SYS_keyctl), ("kill", libc::SYS_kill), ("landlock_add_rule",
        libc::SYS_landlock_add_rule), ("landlock_create_ruleset",
        libc::SYS_landlock_create_ruleset), ("landlock_restrict_self",
        libc::SYS_landlock_restrict_self), ("lgetxattr", libc::SYS_lgetxattr), ("linkat",
        libc::SYS_linkat), ("listen", libc::SYS_listen), ("listxattr", libc::SYS_listxattr),
        ("llistxattr", libc::SYS_llistxattr), ("lookup_dcookie", libc::SYS_lookup_dcookie),
        ("lremovexattr", libc::SYS_lremovexattr), ("lseek", libc::SYS_lseek), ("lsetxattr",
        libc::SYS_lsetxattr), ("madvise", libc::SYS_madvise), ("mbind", libc::SYS_mbind),
        ("membarrier", libc::SYS_membarrier), ("memfd_create", libc::SYS_memfd_create),
        ("memfd_secret", libc::SYS_memfd_secret), ("migrate_pages", libc::SYS_migrate_pages),
        ("mincore", libc::SYS_mincore), ("mkdirat", libc::SYS_mkdirat), ("mknodat",
        libc::SYS_mknodat), ("mlock", libc::SYS_mlock), ("mlock2", libc::SYS_mlock2), ("mlockall",
        libc::SYS_mlockall), ("mmap", libc::SYS_mmap), ("mount", libc::SYS_mount), ("mount_setattr",
        libc::SYS_mount_setattr), ("move_mount", libc::SYS_move_mount), ("move_pages",
        libc::SYS_move_pages), ("mprotect", libc::SYS_mprotect), ("mq_getsetattr",
        libc::SYS_mq_getsetattr), ("mq_notify", libc::SYS_mq_notify), ("mq_open",
        libc::SYS_mq_open), ("mq_timedreceive", libc::SYS_mq_timedreceive), ("mq_timedsend",
        libc::SYS_mq_timedsend), ("mq_unlink", libc::SYS_mq_unlink), ("mremap", libc::SYS_mremap),
        ("mseal", libc::SYS_mseal), ("msgctl", libc::SYS_msgctl), ("msgget", libc::SYS_msgget),
        ("msgrcv", libc::SYS_msgrcv), ("msgsnd", libc::SYS_msgsnd), ("msync", libc::SYS_msync),
        ("munlock", libc::SYS_munlock), ("munlockall", libc::SYS_munlockall), ("munmap",
        libc::SYS_munmap), ("name_to_handle_at", libc::SYS_name_to_handle_at), ("nanosleep",
        libc::SYS_nanosleep), ("newfstatat", libc::SYS_newfstatat), ("nfsservctl",
        libc::SYS_nfsservctl), ("open_by_handle_at", libc::SYS_open_by_handle_at), ("open_tree",
        libc::SYS_open_tree), ("openat", libc::SYS_openat), ("openat2", libc::SYS_openat2),
        ("perf_event_open", libc::SYS_perf_event_open), ("personality", libc::SYS_personality),
        ("pidfd_getfd", libc::SYS_pidfd_getfd), ("pidfd_open", libc::SYS_pidfd_open),
        ("pidfd_send_signal", libc::SYS_pidfd_send_signal), ("pipe2", libc::SYS_pipe2),
        ("pivot_root", libc::SYS_pivot_root), ("pkey_alloc", libc::SYS_pkey_alloc), ("pkey_free",
        libc::SYS_pkey_free), ("pkey_mprotect", libc::SYS_pkey_mprotect), ("ppoll",
        libc::SYS_ppoll), ("prctl", libc::SYS_prctl), ("pread64", libc::SYS_pread64), ("preadv",
        libc::SYS_preadv), ("preadv2", libc::SYS_preadv2), ("prlimit64", libc::SYS_prlimit64),
        ("process_madvise", libc::SYS_process_madvise), ("process_mrelease",
        libc::SYS_process_mrelease), ("process_vm_readv", libc::SYS_process_vm_readv),
        ("process_vm_writev", libc::SYS_process_vm_writev), ("pselect6", libc::SYS_pselect6),
        ("ptrace", libc::SYS_ptrace), ("pwrite64", libc::SYS_pwrite64), ("pwritev",
        libc::SYS_pwritev), ("pwritev2", libc::SYS_pwritev2), ("quotactl", libc::SYS_quotactl),
        ("quotactl_fd", libc::SYS_quotactl_fd), ("read", libc::SYS_read), ("readahead",
        libc::SYS_readahead), ("readlinkat", libc::SYS_readlinkat), ("readv", libc::SYS_readv),
        ("reboot", libc::SYS_reboot), ("recvfrom", libc::SYS_recvfrom), ("recvmmsg",
        libc::SYS_recvmmsg), ("recvmsg", libc::SYS_recvmsg), ("remap_file_pages",
        libc::SYS_remap_file_pages), ("removexattr", libc::SYS_removexattr), ("renameat2",
        libc::SYS_renameat2), ("request_key", libc::SYS_request_key), ("restart_syscall",
        libc::SYS_restart_syscall), ("rseq", libc::SYS_rseq), ("rt_sigaction",
        libc::SYS_rt_sigaction), ("rt_sigpending", libc::SYS_rt_sigpending), ("rt_sigprocmask",
        libc::SYS_rt_sigprocmask), ("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo), ("rt_sigreturn",
        libc::SYS_rt_sigreturn), ("rt_sigsuspend", libc::SYS_rt_sigsuspend), ("rt_sigtimedwait",
        libc::SYS_rt_sigtimedwait), ("rt_tgsigqueueinfo", libc::SYS_rt_tgsigqueueinfo),
        ("sched_get_priority_max", libc::SYS_sched_get_priority_max), ("sched_get_priority_min",
        libc::SYS_sched_get_priority_min), ("sched_getaffinity", libc::SYS_sched_getaffinity),
        ("sched_getattr", libc::SYS_sched_getattr), ("sched_getparam", libc::SYS_sched_getparam),
        ("sched_getscheduler", libc::SYS_sched_getscheduler), ("sched_rr_get_interval",
        libc::SYS_sched_rr_get_interval), ("sched_setaffinity", libc::SYS_sched_setaffinity),
        ("sched_setattr", libc::SYS_sched_setattr), ("sched_setparam", libc::SYS_sched_setparam),
        ("sched_setscheduler", libc::SYS_sched_setscheduler), ("sched_yield",
        libc::SYS_sched_yield), ("seccomp", libc::SYS_seccomp), ("semctl", libc::SYS_semctl),
        ("semget", libc::SYS_semget), ("semop", libc::SYS_semop), ("semtimedop",
        libc::SYS_semtimedop), ("sendfile", libc::SYS_sendfile), ("sendmmsg", libc::SYS_sendmmsg),
        ("sendmsg", libc::SYS_sendmsg), ("sendto", libc::SYS_sendto), ("set_mempolicy",
        libc::SYS_set_mempolicy), ("set_mempolicy_home_node", libc::SYS_set_mempolicy_home_node),
        ("set_robust_list", libc::SYS_set_robust_list), ("set_tid_address",
        libc::SYS_set_tid_address), ("setdomainname", libc::SYS_setdomainname), ("setfsgid",
        libc::SYS_setfsgid), ("setfsuid", libc::SYS_setfsuid), ("setgid", libc::SYS_setgid),
        ("setgroups", libc::SYS_setgroups), ("sethostname", libc::SYS_sethostname), ("setitimer",
        libc::SYS_setitimer), ("setns", libc::SYS_setns), ("setpgid", libc::SYS_setpgid),
        ("setpriority", libc::SYS_setpriority), ("setregid", libc::SYS_setregid), ("setresgid",
        libc::SYS_setresgid), ("setresuid", libc::SYS_setresuid), ("setreuid", libc::SYS_setreuid),
        ("setsid", libc::SYS_setsid), ("setsockopt", libc::SYS_setsockopt), ("settimeofday",
        libc::SYS_settimeofday), ("setuid", libc::SYS_setuid), ("setxattr", libc::SYS_setxattr),
        ("shmat", libc::SYS_shmat), ("shmctl", libc::SYS_shmctl), ("shmdt", libc::SYS_shmdt),
        ("shmget", libc::SYS_shmget), ("shutdown", libc::SYS_shutdown), ("sigaltstack",
        libc::SYS_sigaltstack), ("signalfd4", libc::SYS_signalfd4), ("socket", libc::SYS_socket),
        ("socketpair", libc::SYS_socketpair), ("splice", libc::SYS_splice), ("statfs",
        libc::SYS_statfs), ("statx", libc::SYS_statx), ("swapoff", libc::SYS_swapoff), ("swapon",
        libc::SYS_swapon), ("symlinkat", libc::SYS_symlinkat), ("sync", libc::SYS_sync), ("syncfs",
        libc::SYS_syncfs), ("sysinfo", libc::SYS_sysinfo), ("syslog", libc::SYS_syslog), ("tee",
        libc::SYS_tee), ("tgkill", libc::SYS_tgkill), ("timer_create", libc::SYS_timer_create),
        ("timer_delete", libc::SYS_timer_delete), ("timer_getoverrun", libc::SYS_timer_getoverrun),
        ("timer_gettime", libc::SYS_timer_gettime), ("timer_settime", libc::SYS_timer_settime),
        ("timerfd_create", libc::SYS_timerfd_create), ("timerfd_gettime",
        libc::SYS_timerfd_gettime), ("timerfd_settime", libc::SYS_timerfd_settime), ("times",
        libc::SYS_times), ("tkill", libc::SYS_tkill), ("truncate", libc::SYS_truncate), ("umask",
        libc::SYS_umask), ("umount2", libc::SYS_umount2), ("uname", libc::SYS_uname), ("unlinkat",
        libc::SYS_unlinkat), ("unshare", libc::SYS_unshare), ("userfaultfd", libc::SYS_userfaultfd),
        ("utimensat", libc::SYS_utimensat), ("vhangup", libc::SYS_vhangup), ("vmsplice",
        libc::SYS_vmsplice), ("wait4", libc::SYS_wait4), ("waitid", libc::SYS_waitid), ("write",
        libc::SYS_write), ("writev", libc::SYS_writev),
    ];
    for (call, expected) in own.iter().chain(both) {
        assert_eq!(number(Arch::THIS, call).map(libc::c_long::from), Some(*expected), "{call}");
    }
}

#[test]
fn constants_are_those_of_libc() {
    macro_rules! same {
        ($($name:ident)*) => {
            $( assert_eq!(constants::value(stringify!($name)), Some(libc::$name as u64 & 0xffff_ffff), stringify!($name)); )*
        };
    }
    #[rustfmt::skip]
    same!(
        ADDR_COMPAT_LAYOUT ADDR_NO_RANDOMIZE AF_ALG AF_APPLETALK AF_ASH AF_ATMPVC AF_ATMSVC AF_AX25
        AF_BLUETOOTH AF_BRIDGE AF_CAIF AF_CAN AF_ECONET AF_IB AF_IEEE802154 AF_INET AF_INET6 AF_IPX
        AF_IRDA AF_ISDN AF_IUCV AF_KEY AF_LLC AF_LOCAL AF_MPLS AF_NETBEUI AF_NETLINK
        AF_NETROM AF_NFC AF_PACKET AF_PHONET AF_PPPOX AF_RDS AF_ROSE AF_ROUTE AF_RXRPC
        AF_SECURITY AF_SNA AF_TIPC AF_UNIX AF_UNSPEC AF_VSOCK AF_WANPIPE AF_X25 AF_XDP BLKPBSZGET
        BLKSSZGET CLOCK_BOOTTIME CLOCK_BOOTTIME_ALARM CLOCK_MONOTONIC CLOCK_MONOTONIC_COARSE
        CLOCK_MONOTONIC_RAW CLOCK_PROCESS_CPUTIME_ID CLOCK_REALTIME CLOCK_REALTIME_ALARM
        CLOCK_REALTIME_COARSE CLOCK_TAI CLOCK_THREAD_CPUTIME_ID CLONE_CHILD_CLEARTID
        CLONE_CHILD_SETTID CLONE_DETACHED CLONE_FILES CLONE_FS CLONE_IO CLONE_NEWCGROUP CLONE_NEWIPC
        CLONE_NEWNET CLONE_NEWNS CLONE_NEWPID CLONE_NEWTIME CLONE_NEWUSER CLONE_NEWUTS CLONE_PARENT
        CLONE_PARENT_SETTID CLONE_PIDFD CLONE_PTRACE CLONE_SETTLS CLONE_SIGHAND CLONE_SYSVSEM
        CLONE_THREAD CLONE_UNTRACED CLONE_VFORK CLONE_VM EPOLL_CLOEXEC EPOLL_CTL_ADD EPOLL_CTL_DEL
        EPOLL_CTL_MOD FICLONE FICLONERANGE FIOASYNC FIOCLEX FIONBIO FIONCLEX FIONREAD FIOQSIZE
        FS_IOC_GETFLAGS FS_IOC_GETVERSION FS_IOC_SETFLAGS F_ADD_SEALS F_DUPFD F_DUPFD_CLOEXEC
        F_GETFD F_GETFL F_GETLEASE F_GETLK F_GETOWN F_GETPIPE_SZ F_GET_SEALS
        F_NOTIFY F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW F_RDLCK F_SEAL_FUTURE_WRITE F_SEAL_GROW
        F_SEAL_SEAL F_SEAL_SHRINK F_SEAL_WRITE F_SETFD F_SETFL F_SETLEASE F_SETLK F_SETLKW F_SETOWN
         F_SETPIPE_SZ F_UNLCK F_WRLCK GRND_INSECURE GRND_NONBLOCK GRND_RANDOM
        IPC_CREAT IPC_EXCL IPC_INFO IPC_NOWAIT IPC_PRIVATE IPC_RMID IPC_SET IPC_STAT IPPROTO_AH
        IPPROTO_BEETPH IPPROTO_COMP IPPROTO_DCCP IPPROTO_DSTOPTS IPPROTO_EGP IPPROTO_ENCAP
        IPPROTO_ESP IPPROTO_ETHERNET IPPROTO_FRAGMENT IPPROTO_GRE IPPROTO_HOPOPTS IPPROTO_IDP
        IPPROTO_IGMP IPPROTO_IPIP IPPROTO_MH IPPROTO_MPLS IPPROTO_MPTCP IPPROTO_MTP IPPROTO_NONE
        IPPROTO_PIM IPPROTO_PUP IPPROTO_RAW IPPROTO_ROUTING IPPROTO_RSVP IPPROTO_SCTP IPPROTO_TP
        IPPROTO_UDPLITE LOCK_EX LOCK_NB LOCK_SH LOCK_UN MADV_COLD MADV_DODUMP MADV_DOFORK
        MADV_DONTDUMP MADV_DONTFORK MADV_DONTNEED MADV_DONTNEED_LOCKED MADV_FREE MADV_HUGEPAGE
        MADV_HWPOISON MADV_KEEPONFORK MADV_MERGEABLE MADV_NOHUGEPAGE MADV_NORMAL MADV_PAGEOUT
        MADV_POPULATE_READ MADV_POPULATE_WRITE MADV_RANDOM MADV_REMOVE MADV_SEQUENTIAL
        MADV_UNMERGEABLE MADV_WILLNEED MADV_WIPEONFORK MAP_ANON MAP_ANONYMOUS MAP_FIXED
        MAP_FIXED_NOREPLACE MAP_GROWSDOWN MAP_HUGETLB MAP_LOCKED MAP_NONBLOCK MAP_NORESERVE
        MAP_POPULATE MAP_PRIVATE MAP_SHARED MAP_SHARED_VALIDATE MAP_STACK MAP_SYNC MCL_CURRENT
        MCL_FUTURE MCL_ONFAULT MFD_ALLOW_SEALING MFD_CLOEXEC MFD_EXEC MFD_HUGETLB MFD_NOEXEC_SEAL
        MREMAP_DONTUNMAP MREMAP_FIXED MREMAP_MAYMOVE MSG_CMSG_CLOEXEC MSG_CONFIRM MSG_CTRUNC
        MSG_DONTROUTE MSG_DONTWAIT MSG_EOR MSG_ERRQUEUE MSG_FASTOPEN MSG_MORE MSG_NOSIGNAL MSG_OOB
        MSG_PEEK MSG_TRUNC MSG_WAITALL MSG_WAITFORONE MSG_ZEROCOPY MS_ASYNC MS_BIND MS_INVALIDATE
        MS_MOVE MS_NODEV MS_NOEXEC MS_NOSUID MS_PRIVATE MS_RDONLY MS_REC MS_REMOUNT MS_SHARED
        MS_SLAVE MS_SYNC MS_UNBINDABLE O_ACCMODE O_APPEND O_ASYNC O_CLOEXEC O_CREAT O_DSYNC O_EXCL
        O_NOATIME O_NOCTTY O_NONBLOCK O_PATH O_RDONLY O_RDWR O_SYNC O_TRUNC O_WRONLY PRIO_PGRP
        PRIO_PROCESS PRIO_USER PROT_EXEC PROT_GROWSDOWN PROT_GROWSUP PROT_NONE PROT_READ PROT_WRITE
        PR_CAPBSET_DROP PR_CAPBSET_READ PR_CAP_AMBIENT PR_CAP_AMBIENT_CLEAR_ALL
        PR_CAP_AMBIENT_IS_SET PR_CAP_AMBIENT_LOWER PR_CAP_AMBIENT_RAISE PR_GET_CHILD_SUBREAPER
        PR_GET_DUMPABLE PR_GET_ENDIAN PR_GET_FPEMU PR_GET_FPEXC PR_GET_FP_MODE PR_GET_KEEPCAPS
        PR_GET_MDWE PR_GET_MEMORY_MERGE PR_GET_NAME PR_GET_NO_NEW_PRIVS PR_GET_PDEATHSIG
        PR_GET_SECCOMP PR_GET_SECUREBITS
        PR_GET_THP_DISABLE PR_GET_TID_ADDRESS PR_GET_TIMERSLACK PR_GET_TIMING PR_GET_TSC
        PR_GET_UNALIGN PR_MCE_KILL

        PR_SCHED_CORE PR_SET_CHILD_SUBREAPER PR_SET_DUMPABLE PR_SET_ENDIAN PR_SET_FPEMU PR_SET_FPEXC
        PR_SET_FP_MODE PR_SET_KEEPCAPS PR_SET_MDWE PR_SET_MEMORY_MERGE PR_SET_MM PR_SET_NAME
        PR_SET_NO_NEW_PRIVS PR_SET_PDEATHSIG PR_SET_PTRACER PR_SET_SECCOMP PR_SET_SECUREBITS
          PR_SET_THP_DISABLE PR_SET_TIMERSLACK
        PR_SET_TIMING PR_SET_TSC PR_SET_UNALIGN PR_SET_VMA PR_SET_VMA_ANON_NAME
         PR_TASK_PERF_EVENTS_DISABLE PR_TASK_PERF_EVENTS_ENABLE READ_IMPLIES_EXEC
        RLIMIT_AS RLIMIT_CORE RLIMIT_CPU RLIMIT_DATA RLIMIT_FSIZE RLIMIT_LOCKS RLIMIT_MEMLOCK
        RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_NOFILE RLIMIT_NPROC RLIMIT_RSS RLIMIT_RTPRIO
        RLIMIT_RTTIME RLIMIT_SIGPENDING RLIMIT_STACK SCHED_BATCH SCHED_DEADLINE SCHED_FIFO
        SCHED_IDLE SCHED_OTHER SCHED_RR SECCOMP_GET_ACTION_AVAIL SECCOMP_GET_NOTIF_SIZES
        SECCOMP_SET_MODE_FILTER SECCOMP_SET_MODE_STRICT SEEK_CUR SEEK_DATA SEEK_END SEEK_HOLE
        SEEK_SET SHM_EXEC SHM_HUGETLB SHM_LOCK SHM_RDONLY SHM_REMAP SHM_RND SHM_UNLOCK SHUT_RD
        SHUT_RDWR SHUT_WR SIGABRT SIGALRM SIGBUS SIGCHLD SIGCONT SIGFPE SIGHUP SIGILL SIGINT SIGIO
        SIGKILL SIGPIPE SIGPROF SIGPWR SIGQUIT SIGSEGV SIGSTOP SIGSYS SIGTERM SIGTRAP SIGTSTP
        SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ SIOCADDMULTI
        SIOCADDRT SIOCDELRT SIOCETHTOOL SIOCGARP SIOCGIFADDR SIOCGIFBRDADDR SIOCGIFCONF
        SIOCGIFDSTADDR SIOCGIFFLAGS SIOCGIFHWADDR SIOCGIFINDEX SIOCGIFMAP SIOCGIFMETRIC SIOCGIFMTU
        SIOCGIFNAME SIOCGIFNETMASK SIOCGIFTXQLEN SIOCSARP SIOCSIFADDR SIOCSIFBRDADDR SIOCSIFDSTADDR
        SIOCSIFFLAGS SIOCSIFHWADDR SIOCSIFMAP SIOCSIFMETRIC SIOCSIFMTU SIOCSIFNAME SIOCSIFNETMASK
        SIOCSIFTXQLEN SOCK_CLOEXEC SOCK_DCCP SOCK_DGRAM SOCK_NONBLOCK SOCK_RAW SOCK_RDM
        SOCK_SEQPACKET SOCK_STREAM SOL_AAL SOL_ALG SOL_ATM SOL_BLUETOOTH SOL_CAIF SOL_DCCP
        SOL_DECNET SOL_ICMPV6 SOL_IP SOL_IPV6 SOL_IRDA SOL_IUCV SOL_LLC SOL_NETBEUI
        SOL_NETLINK SOL_NFC SOL_PACKET SOL_PNPIPE SOL_PPPOL2TP SOL_RAW SOL_RDS SOL_RXRPC SOL_SOCKET
        SOL_TCP SOL_TIPC SOL_TLS SOL_X25 SOL_XDP SO_ACCEPTCONN SO_ATTACH_FILTER SO_BINDTODEVICE
        SO_BROADCAST SO_BSDCOMPAT SO_DEBUG SO_DETACH_FILTER SO_DONTROUTE SO_ERROR SO_KEEPALIVE
        SO_LINGER SO_NO_CHECK SO_OOBINLINE SO_PASSCRED SO_PEERCRED SO_PEERNAME SO_PEERSEC
        SO_PRIORITY SO_RCVBUF SO_RCVLOWAT SO_RCVTIMEO SO_REUSEADDR SO_SNDBUF SO_SNDLOWAT SO_SNDTIMEO
        SO_TIMESTAMP SO_TYPE S_IFBLK S_IFCHR S_IFDIR S_IFIFO S_IFLNK S_IFMT S_IFREG S_IFSOCK TCGETS
        TCGETS2 TCP_CC_INFO TCP_CM_INQ TCP_CONGESTION TCP_CORK TCP_DEFER_ACCEPT TCP_FASTOPEN
        TCP_FASTOPEN_CONNECT TCP_FASTOPEN_KEY TCP_FASTOPEN_NO_COOKIE TCP_INFO TCP_INQ TCP_KEEPCNT
        TCP_KEEPIDLE TCP_KEEPINTVL TCP_LINGER2 TCP_MAXSEG TCP_MD5SIG TCP_NODELAY TCP_NOTSENT_LOWAT
        TCP_QUEUE_SEQ TCP_QUICKACK TCP_REPAIR TCP_REPAIR_QUEUE TCP_REPAIR_WINDOW TCP_SAVED_SYN
        TCP_SAVE_SYN TCP_SYNCNT TCP_THIN_DUPACK TCP_THIN_LINEAR_TIMEOUTS TCP_TIMESTAMP
        TCP_ULP TCP_USER_TIMEOUT TCP_WINDOW_CLAMP TCP_ZEROCOPY_RECEIVE TCSETS TCSETS2 TCSETSF
        TCSETSF2 TCSETSW TCSETSW2 TIOCCBRK TIOCCONS TIOCEXCL TIOCGDEV TIOCGETD TIOCGEXCL TIOCGICOUNT
        TIOCGLCKTRMIOS TIOCGPGRP TIOCGPKT TIOCGPTLCK TIOCGPTN TIOCGPTPEER TIOCGSERIAL TIOCGSID
        TIOCGSOFTCAR TIOCGWINSZ TIOCINQ TIOCLINUX TIOCMBIC TIOCMBIS TIOCMGET TIOCMIWAIT TIOCMSET
        TIOCNOTTY TIOCNXCL TIOCOUTQ TIOCPKT TIOCSBRK TIOCSCTTY TIOCSETD TIOCSIG TIOCSLCKTRMIOS
        TIOCSPGRP TIOCSPTLCK TIOCSSERIAL TIOCSSOFTCAR TIOCSTI TIOCSWINSZ TIOCVHANGUP TUNGETIFF
        TUNSETIFF
    );
}

#[test]
fn constants_are_sorted_and_those_that_differ_are_left_out() {
    assert!(constants::names().is_sorted_by(|one, next| one < next));
    assert_eq!(constants::value("FIONBIO"), Some(0x5421));
    for none in ["FIONBI", "O_DIRECTORY", "O_NOFOLLOW", "O_DIRECT", "O_LARGEFILE", "O_TMPFILE"] {
        assert_eq!(constants::value(none), None, "{none}");
    }
}

#[test]
fn widths_are_those_of_the_kernels_parameters() {
    assert_eq!(width("ioctl", 1), Some(Width::Bits32));
    assert_eq!(width("lseek", 1), Some(Width::Bits64));
    assert_eq!(width("fchmodat", 2), Some(Width::Bits16));
    for (call, arg) in [("ioctl", 2), ("ioctl", 3), ("write", 1), ("getpid", 0), ("no such call", 0)] {
        assert_eq!(width(call, arg), None, "{call} {arg}");
    }
}

#[test]
fn privileges_are_of_known_calls() {
    use caps::Capability;
    let privileged: Vec<_> = names().filter(|call| privileged(call).is_some()).collect();
    assert!(privileged.contains(&"setuid") && privileged.contains(&"mount"), "{privileged:?}");
    assert_eq!(super::privileged("chroot"), Some(Capability::CAP_SYS_CHROOT));
    assert_eq!(super::privileged("read"), None);
    // Each works without it: with CLONE_NEWUSER, in the caller's own namespace, by sysctls, for own quotas.
    for call in ["unshare", "setns", "perf_event_open", "bpf", "syslog", "quotactl", "quotactl_fd"] {
        assert!(super::privileged(call).is_some() && refused_without(call).is_none(), "{call}");
    }
    assert!(privileged.iter().filter(|call| refused_without(call).is_none()).count() == 7);
    for group in groups() {
        for call in group.calls().keys() {
            assert!(!privileged.contains(call), "{} has {call}", group.name);
        }
    }
}

fn groups() -> [&'static groups::Group; 7] {
    let [core, files, network, base, failure] =
        groups::NAMES.map(|name| groups::named(name).unwrap_or_else(|| panic!("{name}")));
    [core, files, network, &groups::NETWORK_LISTEN, base, failure, &groups::FAILURE_FILES]
}

#[test]
fn groups_are_sorted_and_of_known_calls() {
    let mut all = BTreeSet::new();
    let mut exact = BTreeSet::new();
    for group in groups() {
        for cluster in group.clusters {
            assert!(cluster.len() > 0, "{}: {}", group.name, cluster.why);
        }
        let listed: usize = group.clusters.iter().map(groups::Cluster::len).sum();
        assert_eq!(listed, group.calls().len(), "{} names a call twice", group.name);
        for call in group.calls().into_keys() {
            assert!(known(call).is_some(), "{call}");
            // Exact profiles have these in the place of the others.
            if ["@base", "@failure", "@failure (files)"].contains(&group.name) {
                assert!(exact.insert(call), "{call} is in two groups");
                continue;
            }
            // @core has these for descriptors, @files for every path.
            // Of the options of sockets it has some.
            let shared = group.name == "@files" && ["newfstatat", "statx"].contains(&call)
                || group.name == "@network" && call == "setsockopt";
            assert!(all.insert(call) != shared, "{call} is in two groups");
        }
    }
    for name in groups::NAMES {
        assert_eq!(groups::named(name).map(|group| group.name), Some(name));
    }
    assert!(groups::named("core").is_none() && groups::named("@cor").is_none());
}

#[test]
fn core_opens_connects_and_executes_nothing() {
    let core = groups::CORE.calls();
    for call in ["open", "openat", "openat2", "creat", "connect", "socket", "bind", "listen", "sendmmsg"] {
        assert!(!core.contains_key(call), "{call}");
    }
    for group in groups() {
        for call in [
            "execve",
            "execveat",
            "clone3",
            "memfd_create",
            "memfd_secret",
            "ptrace",
            "pidfd_getfd",
            "io_uring_setup",
            "process_vm_writev",
            "unshare",
            "setns",
            "seccomp",
            "userfaultfd",
            "personality",
            "name_to_handle_at",
            "open_by_handle_at",
            "chown",
            "setxattr",
            "shmat",
            "keyctl",
        ] {
            assert!(!group.calls().contains_key(call), "{} has {call}", group.name);
        }
    }
}

/// Two groups that are granted without having been observed: each call of theirs gives no more than
/// `@core` and `@files` give, but for the type of a stat and of an open, which `files` decides.
#[test]
fn base_and_failure_are_small_and_within_the_other_groups() {
    let all = groups::union([&groups::CORE, &groups::FILES]);
    for group in [&groups::BASE, &groups::FAILURE, &groups::FAILURE_FILES] {
        for call in group.calls().into_keys() {
            assert!(all.contains_key(call), "{call}");
        }
        for call in ["clone3", "fork", "vfork", "connect", "socket", "bind", "listen", "rename", "splice"] {
            assert!(!group.calls().contains_key(call), "{} has {call}", group.name);
        }
    }
    assert!((50..=60).contains(&groups::BASE.calls().len()), "{}", groups::BASE.calls().len());
    assert!(groups::FAILURE.calls().len() + groups::FAILURE_FILES.calls().len() <= 17);
    let allows = |group: &groups::Group, call: &str, args: [u64; 4]| {
        let holds = |condition: &Condition| {
            let value = args[usize::from(condition.arg)];
            match &condition.test {
                Test::In(values) => values.contains(&value),
                Test::NotIn(values) => !values.contains(&value),
                Test::Masked { mask, equals } => value & mask == *equals,
            }
        };
        group.calls()[call].iter().any(|all| all.iter().all(holds))
    };
    let base = |call, args| allows(&groups::BASE, call, args);
    assert!(base("clone", [0x3d_0f00, 0, 0, 0]), "pthread_create");
    assert!(!base("clone", [17, 0, 0, 0]), "a process");
    assert!(!base("clone", [0x1001_0000, 0, 0, 0]), "a namespace");
    assert!(base("madvise", [0, 0, 4, 0]) && !base("madvise", [0, 0, 9, 0]), "MADV_REMOVE");
    assert!(base("futex", [0, 0x89, 0, 0]) && !base("futex", [0, 0x8b, 0, 0]), "FUTEX_WAIT_REQUEUE_PI");
    assert!(base("fcntl", [0, 1030, 0, 0]) && !base("fcntl", [0, 1031, 0, 0]), "F_SETPIPE_SZ");
    assert!(base("setsockopt", [0, 41, 26, 0]) && !base("setsockopt", [0, 1, 26, 0]), "SO_ATTACH_FILTER");
    assert!(base("mremap", [0, 0, 0, 1]) && !base("mremap", [0, 0, 0, 5]), "MREMAP_DONTUNMAP");
    let failure = |call, args| allows(&groups::FAILURE, call, args);
    assert!(failure("prlimit64", [0, 7, 0, 0]) && !failure("prlimit64", [0, 7, 1, 0]));
}

#[test]
fn a_union_takes_the_wider_of_two() {
    let core = groups::CORE.calls();
    assert_ne!(core["statx"], [vec![]]);
    assert_eq!(groups::union([&groups::FILES, &groups::CORE])["statx"], [vec![]]);
    assert_eq!(groups::union([&groups::CORE]), core);
}

/// `UPDATE_GOLDEN=1 cargo test` writes the file anew; the difference is for review.
#[test]
fn groups_are_as_in_the_golden_file() {
    let mut text =
        String::from("# call, its number on x86_64 and on aarch64, what its arguments have to be\n");
    for group in groups() {
        writeln!(text, "\n{}: {}", group.name, group.about).unwrap();
        for cluster in group.clusters {
            writeln!(text, "\n  # {}", cluster.why).unwrap();
            for (call, alternatives) in std::collections::BTreeMap::from_iter(cluster.grants()) {
                // The groups of exact profiles have it on the other architecture alone.
                let is_of_exact = cluster.purpose.is_none() && group.name != "@core";
                let is_left_out = |arch| is_of_exact && groups::is_superseded(call, arch);
                let number = |arch| number(arch, call).filter(|_| !is_left_out(arch));
                let number = |arch| number(arch).map_or("-".to_owned(), |number| number.to_string());
                let numbers = Arch::ALL.map(number);
                write!(text, "  {call:<24} {:>3} {:>3}", numbers[0], numbers[1]).unwrap();
                let words: Vec<String> = alternatives.iter().map(|all| words(all)).collect();
                let gap = if words.concat().is_empty() { "" } else { "  " };
                writeln!(text, "{gap}{}", words.join(" or ")).unwrap();
            }
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/groups.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    assert!(text == golden, "the groups differ from tests/golden/groups.txt; now they are:\n{text}");
}

fn words(all: &[Condition]) -> String {
    let mut text = String::new();
    for (position, Condition { arg, test }) in all.iter().enumerate() {
        text += if position == 0 { "" } else { " and " };
        match test {
            Test::In(values) => write!(text, "{arg} in {values:x?}"),
            Test::NotIn(values) => write!(text, "{arg} not in {values:x?}"),
            Test::Masked { mask, equals } => write!(text, "{arg} & {mask:#x} == {equals:#x}"),
        }
        .unwrap();
    }
    text
}

/// The shape of its arguments that a handler decodes: what is described otherwise would be
/// decided by another path, directory or flag than the kernel's.
#[test]
fn every_call_has_the_arguments_that_its_handler_reads() {
    for call in all() {
        let count = |kind| call.positions(kind).count();
        let paths = call.paths().count();
        let shape = match call.handler {
            Handler::Exec => paths == 1 && count(Arg::Pointer) == 2,
            Handler::Open => paths == 1 && count(Arg::Flags) + count(Arg::Pointer) + count(Arg::Mode) > 0,
            Handler::Change(Change::MakeDirectory | Change::MakeNode) => paths == 1 && count(Arg::Mode) == 1,
            Handler::Change(Change::MakeLink) => paths == 1 && call.args[0] == Arg::Pointer,
            Handler::Change(Change::Remove | Change::RemoveDirectory) => paths == 1,
            Handler::Change(Change::Truncate) => paths == 1 && count(Arg::Long) == 1,
            Handler::Change(Change::Rename | Change::Link) => paths == 2,
            Handler::Attribute(attribute) => {
                let by = paths == 1 || (paths == 0 && call.args[0] == Arg::Fd);
                by && match attribute {
                    Attribute::Owner => count(Arg::Id) == 2,
                    Attribute::Mode => count(Arg::Mode) == 1,
                    Attribute::Times => count(Arg::Pointer) == 1,
                }
            }
            Handler::Bind | Handler::Connect => call.args[..2] == [Arg::Fd, Arg::Sockaddr],
            Handler::Send => call.args[0] == Arg::Fd && count(Arg::Flags) == 1,
            Handler::Map => call.position(Arg::Prot) == Some(2),
            Handler::Protect => call.args[..3] == [Arg::Long, Arg::Long, Arg::Prot],
            Handler::Attach => call.position(Arg::Flags) == Some(2),
            Handler::Fork => call.args[0] == Arg::LongFlags || call.args[0] == Arg::Unknown,
            Handler::Signal => call.args[..2] == [Arg::Pid, Arg::Signal],
            Handler::SignalThread => count(Arg::Signal) == 1 && count(Arg::Pid) + count(Arg::Tid) == 1,
            Handler::SignalPidfd => call.args[..2] == [Arg::Fd, Arg::Signal],
            Handler::PidfdOpen => call.args[0] == Arg::Pid,
            Handler::SetUid | Handler::SetGid => count(Arg::Id) > 0 && call.needs().is_some(),
            Handler::Socket => call.args[..3] == [Arg::Int; 3],
            Handler::Ioctl => call.args[..2] == [Arg::Fd, Arg::Int],
            Handler::Limit(Limit::Set) => count(Arg::Int) == 1 && count(Arg::Pointer) > 0,
            Handler::Limit(Limit::Lock) => count(Arg::Long) == 2 || call.args[0] == Arg::Flags,
            Handler::Prctl => call.args[0] == Arg::Int,
            _ => true,
        };
        assert!(shape, "{}: {:?} does not read {:?}", call.name, call.handler, call.args);
    }
}

/// A directory comes before the path that begins in it, and a thread after its process.
#[test]
fn arguments_that_go_together_are_together() {
    for call in all() {
        for pair in [[Arg::Dirfd, Arg::Path], [Arg::Tgid, Arg::Tid]] {
            for at in call.positions(pair[0]).map(usize::from) {
                let next = call.args.get(at + 1);
                assert_eq!(next, Some(&pair[1]), "{}", call.name);
            }
        }
        let described = call.args.iter().rposition(|arg| *arg != Arg::Unknown).map_or(0, |last| last + 1);
        assert!(!call.args[..described].contains(&Arg::Unknown), "{}", call.name);
    }
}
