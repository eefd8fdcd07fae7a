//! Other processes, PID 1 above all; namespaces, identities, numbers of processes.

use std::os::fd::AsRawFd;

use super::{Result, argument, done, number};
use crate::syscall::{self, Forked, call, open, path};

/// `kill PID SIGNAL`, `unshare FLAGS`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("kill", kill),
    ("tgkill", tgkill),
    ("ptrace", ptrace_child),
    ("ptrace-me", ptrace_me),
    ("ptrace-pid", ptrace_pid),
    ("open-memory", open_memory),
    ("read-environment", read_environment),
    ("write-memory", write_memory),
    ("read-memory", read_memory),
    ("steal-descriptor", steal_descriptor),
    ("unshare", unshare),
    ("clone", clone),
    ("clone-high", |_| clone_with(super::first::HIGH | libc::CLONE_NEWUSER as usize)),
    ("clone3", clone3),
    ("setns", setns),
    ("chroot", chroot),
    ("mount", mount),
    ("fsopen", fsopen),
    ("pivot-root", pivot_root),
    ("open-tree", open_tree),
    ("move-mount", move_mount),
    ("mount-attributes", mount_attributes),
    ("umount", |_| {
        let target = path("/proc");
        call("umount2", libc::SYS_umount2, &[target.as_ptr() as usize, libc::MNT_DETACH as usize])
            .and_then(|_| done())
    }),
    ("setuid", |arguments| {
        call("setuid", libc::SYS_setuid, &[number(arguments, 0, 1234) as usize]).and_then(|_| done())
    }),
    ("forks", forks),
    ("fork-crowd", fork_crowd),
    ("threads", threads),
];

fn pid(arguments: &[String]) -> usize {
    number(arguments, 0, 1) as usize
}

fn kill(arguments: &[String]) -> Result {
    call("kill", libc::SYS_kill, &[pid(arguments), number(arguments, 1, 0) as usize])?;
    done()
}

fn tgkill(arguments: &[String]) -> Result {
    let pid = pid(arguments);
    call("tgkill", libc::SYS_tgkill, &[pid, pid, number(arguments, 1, 0) as usize])?;
    done()
}

fn ptrace_child(_: &[String]) -> Result {
    match syscall::fork("fork")? {
        Forked::Child => loop {
            // SAFETY: pause takes nothing.
            unsafe { libc::pause() };
        },
        Forked::Parent(child) => {
            let result =
                call("ptrace", libc::SYS_ptrace, &[libc::PTRACE_SEIZE as usize, child as usize, 0, 0]);
            syscall::end(child);
            result?;
            done()
        }
    }
}

fn ptrace_me(_: &[String]) -> Result {
    call("ptrace", libc::SYS_ptrace, &[libc::PTRACE_TRACEME as usize])?;
    done()
}

fn ptrace_pid(arguments: &[String]) -> Result {
    call("ptrace", libc::SYS_ptrace, &[libc::PTRACE_SEIZE as usize, pid(arguments), 0, 0])?;
    done()
}

fn open_memory(arguments: &[String]) -> Result {
    open("openat", &format!("/proc/{}/mem", pid(arguments)), libc::O_RDWR, 0)?;
    done()
}

fn read_environment(arguments: &[String]) -> Result {
    open("openat", &format!("/proc/{}/environ", pid(arguments)), libc::O_RDONLY, 0)?;
    done()
}

/// One byte between this process and an address that the other surely has not:
/// EFAULT says that the right to do it was there.
fn other_memory(step: &'static str, number: libc::c_long, pid: usize) -> Result {
    let byte = [0u8];
    let local = [byte.as_ptr() as usize, 1usize];
    let remote = [8usize, 1usize];
    match call(step, number, &[pid, local.as_ptr() as usize, 1, remote.as_ptr() as usize, 1, 0]) {
        Err(refused) if refused.errno == libc::EFAULT => Ok("reached".to_owned()),
        other => other.and_then(|_| done()),
    }
}

pub(super) fn write_memory(arguments: &[String]) -> Result {
    other_memory("process_vm_writev", libc::SYS_process_vm_writev, pid(arguments))
}

fn read_memory(arguments: &[String]) -> Result {
    other_memory("process_vm_readv", libc::SYS_process_vm_readv, pid(arguments))
}

fn steal_descriptor(arguments: &[String]) -> Result {
    let process = syscall::own(call("pidfd_open", libc::SYS_pidfd_open, &[pid(arguments), 0])?);
    call("pidfd_getfd", libc::SYS_pidfd_getfd, &[process.as_raw_fd() as usize, 0, 0])?;
    done()
}

fn unshare(arguments: &[String]) -> Result {
    let flags = match argument(arguments, 0, "user") {
        "mount" => libc::CLONE_NEWNS,
        "net" => libc::CLONE_NEWNET,
        "pid" => libc::CLONE_NEWPID,
        _ => libc::CLONE_NEWUSER,
    };
    call("unshare", libc::SYS_unshare, &[flags as usize])?;
    done()
}

/// A fork by the clone of old, whose flags are a register.
fn clone(_: &[String]) -> Result {
    clone_with(libc::CLONE_NEWUSER as usize)
}

fn clone_with(flags: usize) -> Result {
    // No stack is named and no memory is shared: the child runs on its copy.
    match call("clone", libc::SYS_clone, &[flags | libc::SIGCHLD as usize, 0, 0, 0, 0])? {
        0 => syscall::leave(0),
        child => syscall::wait(child as i32),
    };
    done()
}

/// A fork by the clone whose flags are in memory.
fn clone3(_: &[String]) -> Result {
    // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls.
    let arguments: [u64; 8] = [libc::CLONE_NEWUSER as u64, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
    match call("clone3", libc::SYS_clone3, &[arguments.as_ptr() as usize, size_of_val(&arguments)])? {
        0 => syscall::leave(0),
        child => syscall::wait(child as i32),
    };
    done()
}

fn setns(_: &[String]) -> Result {
    let namespace = open("open", "/proc/self/ns/uts", libc::O_RDONLY, 0)?;
    call("setns", libc::SYS_setns, &[namespace.as_raw_fd() as usize, libc::CLONE_NEWUTS as usize])?;
    done()
}

fn chroot(arguments: &[String]) -> Result {
    let name = path(argument(arguments, 0, "/tmp"));
    call("chroot", libc::SYS_chroot, &[name.as_ptr() as usize])?;
    done()
}

fn mount(arguments: &[String]) -> Result {
    let (kind, target) = (path("tmpfs"), path(argument(arguments, 0, "/tmp")));
    let (kind, target) = (kind.as_ptr() as usize, target.as_ptr() as usize);
    call("mount", libc::SYS_mount, &[kind, target, kind, 0, 0])?;
    let target = path(argument(arguments, 0, "/tmp"));
    call("umount2", libc::SYS_umount2, &[target.as_ptr() as usize, libc::MNT_DETACH as usize])?;
    done()
}

fn fsopen(_: &[String]) -> Result {
    let kind = path("tmpfs");
    drop(syscall::own(call("fsopen", libc::SYS_fsopen, &[kind.as_ptr() as usize, 0])?));
    done()
}

fn pivot_root(_: &[String]) -> Result {
    let here = path("/tmp");
    let here = here.as_ptr() as usize;
    call("pivot_root", libc::SYS_pivot_root, &[here, here])?;
    done()
}

/// `OPEN_TREE_CLONE` (linux/mount.h): a copy of a mount that is mounted nowhere.
const OPEN_TREE_CLONE: usize = 1;

fn open_tree(_: &[String]) -> Result {
    tree("/tmp")?;
    done()
}

fn tree(name: &str) -> Result<std::os::fd::OwnedFd> {
    let name = path(name);
    let words = [libc::AT_FDCWD as usize, name.as_ptr() as usize, OPEN_TREE_CLONE];
    call("open_tree", libc::SYS_open_tree, &words).map(syscall::own)
}

/// Without a copy to move, as it is asked for by one that came from elsewhere.
fn move_mount(_: &[String]) -> Result {
    let (from, to) = (path("/tmp"), path("/app/loot"));
    let here = libc::AT_FDCWD as usize;
    call("move_mount", libc::SYS_move_mount, &[here, from.as_ptr() as usize, here, to.as_ptr() as usize, 0])?;
    done()
}

fn mount_attributes(_: &[String]) -> Result {
    let name = path("/tmp");
    // struct mount_attr: to set, to clear, propagation, a namespace; nothing of it.
    let attributes = [0u64; 4];
    let words = [
        libc::AT_FDCWD as usize,
        name.as_ptr() as usize,
        0,
        attributes.as_ptr() as usize,
        size_of_val(&attributes),
    ];
    call("mount_setattr", libc::SYS_mount_setattr, &words)?;
    done()
}

/// Up to N children that live at the same time.
fn forks(arguments: &[String]) -> Result {
    let mut children = Vec::new();
    let mut refused = None;
    for _ in 0..number(arguments, 0, 100) {
        match syscall::fork("fork") {
            Ok(Forked::Child) => loop {
                // SAFETY: pause takes nothing.
                unsafe { libc::pause() };
            },
            Ok(Forked::Parent(child)) => children.push(child),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let count = children.len();
    children.into_iter().for_each(syscall::end);
    refused.map_or_else(|| Ok(format!("{count} children")), Err)
}

/// N threads that live at the same time; they are no processes.
fn threads(arguments: &[String]) -> Result {
    let count = number(arguments, 0, 16);
    let gate = std::sync::Barrier::new(count as usize);
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| gate.wait());
        }
    });
    Ok(format!("{count} threads"))
}

/// N threads that fork at one moment, the last argument says with which priority: `idle` gets
/// no processor while others compute. Refused unless more than LIMIT processes live at once.
fn fork_crowd(arguments: &[String]) -> Result {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, Ordering};
    let (count, limit) = (number(arguments, 0, 100) as usize, number(arguments, 1, 12) as usize);
    let idle = argument(arguments, 2, "") == "idle";
    let (gate, over) = (Barrier::new(count + 1), AtomicBool::new(false));
    let ask = || {
        if idle {
            // SAFETY: sched_param is a number.
            let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
            let words = [0, libc::SCHED_IDLE as usize, (&raw const parameters) as usize];
            call("sched_setscheduler", libc::SYS_sched_setscheduler, &words)?;
        }
        gate.wait();
        // libc's lets one thread fork at a time.
        match call("clone", libc::SYS_clone, &[libc::SIGCHLD as usize, 0, 0, 0, 0])? {
            0 => loop {
                // SAFETY: pause takes nothing.
                unsafe { libc::pause() };
            },
            child => Ok(child as i32),
        }
    };
    let results: Vec<std::result::Result<i32, syscall::Refused>> = std::thread::scope(|scope| {
        let asks: Vec<_> = (0..count).map(|_| scope.spawn(ask)).collect();
        let compute = || {
            while !over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        (0..if idle { 4 } else { 0 }).for_each(|_| drop(scope.spawn(compute)));
        gate.wait();
        if idle {
            std::thread::sleep(std::time::Duration::from_millis(1500));
        }
        over.store(true, Ordering::Relaxed);
        let ended = |thread: std::thread::ScopedJoinHandle<_>| match thread.join() {
            Ok(result) => result,
            Err(_) => Err(syscall::Refused { step: "thread", errno: libc::EIO }),
        };
        asks.into_iter().map(ended).collect()
    });
    // All but the first, which none of the app's is.
    let names = std::fs::read_dir("/proc").map_err(|error| super::execs::refused("read /proc", &error))?;
    let pids = names.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let alive = pids.filter(|pid| *pid > 1).count();
    let (children, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(|result| result.is_ok());
    children.into_iter().flatten().for_each(syscall::end);
    match refused.into_iter().find_map(std::result::Result::err) {
        Some(refused) if alive <= limit => Err(refused),
        _ => Ok(format!("{alive} processes")),
    }
}
