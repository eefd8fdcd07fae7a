//! What the app does with its processes: how many there are, how they end, and which
//! numbers they have.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls on numbers and on locals or leaked memory that outlive them"
)]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::app::{TRUE, become_user, try_both, try_to_become_user};

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

/// A thread changes its user and executes once the first thread of its process has ended, and
/// stays a zombie.
pub fn without_leader(place: &Path) {
    let place = place.to_owned();
    std::thread::spawn(move || {
        let leader = format!("/proc/{}/stat", std::process::id());
        while !std::fs::read_to_string(&leader).is_ok_and(|stat| stat.contains(") Z ")) {
            std::thread::yield_now();
        }
        become_user(33);
        try_both("without a leader", &place);
        unsafe { libc::_exit(0) };
    });
    // The bare call ends this thread alone.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// Threads make others while one changes its user: how often that is refused.
pub fn users_among_new_threads() -> u32 {
    const ROUNDS: u32 = 20;
    let one = || {
        for _ in 0..2 {
            std::thread::spawn(|| {
                loop {
                    drop(std::thread::spawn(|| std::thread::sleep(Duration::from_millis(2))));
                }
            });
        }
        std::thread::sleep(Duration::from_millis(5));
        let code = i32::from(!try_to_become_user(33));
        unsafe { libc::_exit(code) };
    };
    let mut refused = 0;
    for _ in 0..ROUNDS {
        let mut status = 0;
        unsafe {
            match libc::fork() {
                0 => one(),
                child => libc::waitpid(child, &raw mut status, 0),
            };
        }
        refused += u32::from(status != 0);
    }
    refused
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

/// How many processes there are besides the first of all.
fn alive() -> usize {
    let names = std::fs::read_dir("/proc").expect("/proc").flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).filter(|pid| *pid > 1).count()
}

/// A child that waits for its end. The bare call: libc's lets one thread fork at a time.
fn child() -> i32 {
    match unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } {
        0 => loop {
            unsafe { libc::pause() };
        },
        child => child as i32,
    }
}

fn end(child: i32) {
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}

/// Threads that ask at one moment, and get no processor while others compute.
pub fn idle_forks() {
    use std::sync::atomic::{AtomicBool, Ordering};
    const ASK: usize = 42;
    let over = std::sync::Arc::new(AtomicBool::new(false));
    let gate = std::sync::Arc::new(std::sync::Barrier::new(ASK + 1));
    let asks: Vec<_> = (0..ASK)
        .map(|_| {
            let gate = std::sync::Arc::clone(&gate);
            std::thread::spawn(move || {
                let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
                unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
                gate.wait();
                child()
            })
        })
        .collect();
    let hogs: Vec<_> = (0..4)
        .map(|_| {
            let over = std::sync::Arc::clone(&over);
            std::thread::spawn(move || while !over.load(Ordering::Relaxed) {})
        })
        .collect();
    gate.wait();
    std::thread::sleep(Duration::from_millis(1500));
    over.store(true, Ordering::Relaxed);
    hogs.into_iter().for_each(|hog| hog.join().expect("no panic"));
    let children: Vec<i32> = asks.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    println!("most: {}", alive());
    children.into_iter().filter(|child| *child > 0).for_each(end);
}

/// What an app with room for three may do.
pub fn honest_forks() {
    let refused = |count: u32, mut one: Box<dyn FnMut() -> bool>| (0..count).filter(|_| !one()).count();
    let fork = || match unsafe { libc::fork() } {
        0 => unsafe { libc::_exit(0) },
        child => unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) == child },
    };
    println!("one by one: {} refused", refused(1000, Box::new(fork)));
    // posix_spawn: the child has its parent's memory, and this waits, until its exec.
    let spawn = || Command::new(TRUE).status().is_ok_and(|status| status.success());
    let two: Vec<_> =
        (0..2).map(|_| std::thread::spawn(move || (0..300).filter(|_| !fork()).count())).collect();
    let two: usize = two.into_iter().map(|thread| thread.join().expect("no panic")).sum();
    println!("two at a time: {two} refused");
    let busy = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let computes = {
        let busy = std::sync::Arc::clone(&busy);
        std::thread::spawn(move || {
            // Its child waits, and it computes on.
            let one = child();
            busy.store(1, std::sync::atomic::Ordering::Relaxed);
            while busy.load(std::sync::atomic::Ordering::Relaxed) == 1 {
                std::hint::spin_loop();
            }
            one
        })
    };
    while busy.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    let beside = refused(100, Box::new(fork)) + refused(100, Box::new(spawn));
    busy.store(2, std::sync::atomic::Ordering::Relaxed);
    end(computes.join().expect("no panic"));
    println!("beside a busy one: {beside} refused");
}
