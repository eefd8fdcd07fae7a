//! What the app does with its processes: how many there are, how they end, and which
//! numbers they have.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls on numbers and on locals or leaked memory that outlive them"
)]

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use super::app::{TRUE, become_user};

/// Another user's process forks, and each child is killed by one that knows its number
/// beforehand, until all numbers have had their turn.
pub fn kill_many_at_birth() {
    use std::sync::atomic::{AtomicI32, Ordering};
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    let next = unsafe {
        let shared = libc::mmap(std::ptr::null_mut(), 4096, access, kind, -1, 0);
        &*shared.cast::<AtomicI32>()
    };
    if unsafe { libc::fork() } == 0 {
        become_user(33);
        loop {
            match next.load(Ordering::Relaxed) {
                0 => {}
                -1 => unsafe { libc::_exit(0) },
                pid => {
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
            }
        }
    }
    if unsafe { libc::fork() } == 0 {
        become_user(33);
        for _ in 0..3000 {
            match unsafe { libc::fork() } {
                0 => loop {
                    std::thread::sleep(Duration::from_secs(1));
                },
                child => {
                    next.store(child, Ordering::Relaxed);
                    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
                    next.store(child + 1, Ordering::Relaxed);
                }
            }
        }
        next.store(-1, Ordering::Relaxed);
        unsafe { libc::_exit(0) };
    }
    for _ in 0..2 {
        unsafe { libc::wait(std::ptr::null_mut()) };
    }
}

pub fn untraceable() {
    let mut status = 0;
    unsafe {
        if libc::fork() == 0 {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            drop(Command::new(TRUE).exec());
            libc::_exit(3);
        }
        libc::waitpid(-1, &mut status, libc::__WALL);
    }
    println!("untraceable: {:?}", (libc::WIFSIGNALED(status), libc::WTERMSIG(status)));
}

/// One of another user ends as its parent's child, and one as an orphan.
pub fn ends() {
    let parent = unsafe { libc::fork() };
    if parent == 0 {
        become_user(33);
        if unsafe { libc::fork() } == 0 {
            std::thread::sleep(Duration::from_millis(500));
            println!("orphan: {}", std::process::id());
            unsafe { libc::_exit(7) };
        }
        unsafe { libc::_exit(6) };
    }
    let mut status = 0;
    unsafe { libc::waitpid(parent, &mut status, 0) };
    println!("parent: {parent} {}", libc::WEXITSTATUS(status));
    std::thread::sleep(Duration::from_millis(1000));
}

/// Children whose first thread has ended live on in another.
pub fn headless() {
    let mut children = Vec::new();
    for _ in 0..4 {
        let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } as i32;
        if child == 0 {
            std::thread::spawn(|| std::thread::sleep(Duration::from_secs(60)));
            // The bare call, of this thread alone.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
        children.extend((child > 0).then_some(child));
        std::thread::sleep(Duration::from_millis(300));
    }
    println!("headless: {}", children.len());
    for child in children {
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
    }
}

/// Many threads fork at the same moment, again and again: how many live at once.
pub fn forks() {
    const BALLAST: usize = 128 << 20;
    // So that a fork takes its time.
    unsafe {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let at = libc::mmap(std::ptr::null_mut(), BALLAST, access, kind, -1, 0);
        libc::madvise(at, BALLAST, libc::MADV_NOHUGEPAGE);
        libc::memset(at, 1, BALLAST);
    }
    let mut most = 0;
    for _ in 0..8 {
        let gate = std::sync::Arc::new(std::sync::Barrier::new(6));
        let fork = move || {
            gate.wait();
            // The bare call: libc's lets one thread fork at a time.
            match unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } {
                0 => loop {
                    unsafe { libc::pause() };
                },
                child => child as i32,
            }
        };
        let threads: Vec<_> = (0..6).map(|_| std::thread::spawn(fork.clone())).collect();
        let children: Vec<i32> = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .filter(|pid| *pid > 0)
            .collect();
        most = most.max(children.len());
        for child in children {
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, std::ptr::null_mut(), 0);
            }
        }
        std::thread::sleep(Duration::from_millis(220));
    }
    println!("forks: {most}");
    // One after the other there is always room.
    let mut refused = 0;
    for _ in 0..200 {
        match unsafe { libc::fork() } {
            0 => unsafe { libc::_exit(0) },
            child => refused += u32::from(unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) } != child),
        }
    }
    println!("one by one: {refused} refused");
}
