//! What an honest app does around an exec, and what it finds.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls on numbers and on locals or leaked memory that outlive them"
)]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::app::{c, ended};

const TRUE: &str = "/usr/bin/true";

pub fn all(place: &Path) {
    errnos(place);
    // With one thread alone: others would take some of them at the same time.
    in_a_fork(signals_in_order);
    waits_are_not_broken();
    stopped_and_continued();
    by_a_thread();
    after_the_first_thread();
    println!("harm vfork: {}", vfork());
    println!("harm spawn: {}", ended(&mut Command::new(TRUE)));
    println!("harm script: {}", ended(&mut Command::new(place.join("script"))));
    println!("harm argv0: {}", ended(Command::new(TRUE).arg0("another")));
    killed_in_mid_exec();
    storm();
    many();
}

/// The errno of an exec in this process, which it survives.
fn errno_of(path: &Path, arguments: &[&str]) -> String {
    let path = c(path);
    let owned: Vec<_> = std::iter::once("x").chain(arguments.iter().copied()).map(c).collect();
    let mut argv: Vec<_> = owned.iter().map(|text| text.as_ptr()).collect();
    argv.push(std::ptr::null());
    let none = [std::ptr::null::<libc::c_char>()];
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), none.as_ptr()) };
    format!("{:?}", nix::errno::Errno::last())
}

fn errnos(place: &Path) {
    let out = place.join("out");
    drop(std::os::unix::fs::symlink("loop", out.join("loop")));
    let busy = out.join("busy");
    drop(std::fs::copy(TRUE, &busy));
    let long = "x".repeat(300);
    for (what, path) in [
        ("missing", Path::new("/usr/bin/nothing").to_owned()),
        ("through a file", Path::new("/usr/bin/true/x").to_owned()),
        ("a loop", out.join("loop")),
        ("a directory", Path::new("/usr/bin").to_owned()),
        ("too long", Path::new("/usr/bin").join(&long)),
        ("nothing", Path::new("").to_owned()),
    ] {
        println!("harm {what}: {}", errno_of(&path, &[]));
    }
    let huge = "y".repeat(200_000);
    println!("harm too much: {}", errno_of(Path::new(TRUE), &[&huge]));
    let bad = unsafe {
        libc::execve(8 as *const _, std::ptr::null(), std::ptr::null());
        nix::errno::Errno::last()
    };
    println!("harm bad memory: {bad:?}");
}

static COUNT: AtomicU32 = AtomicU32::new(0);
static LAST: AtomicU32 = AtomicU32::new(0);
static DISORDER: AtomicU32 = AtomicU32::new(0);

extern "C" fn note(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let value = unsafe { (*info).si_value().sival_ptr } as usize as u32;
    if value != LAST.swap(value, Ordering::SeqCst) + 1 {
        DISORDER.fetch_add(1, Ordering::SeqCst);
    }
    COUNT.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn nothing(_: i32) {}

fn handle(signal: i32, handler: usize, flags: i32) {
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

/// Queued realtime signals arrive one by one while execs fail.
fn signals_in_order() {
    const MANY: u32 = 1000;
    let signal = libc::SIGRTMIN() + 1;
    handle(signal, note as *const () as usize, libc::SA_SIGINFO | libc::SA_RESTART);
    let own = unsafe { libc::getpid() };
    let sender = unsafe { libc::fork() };
    if sender == 0 {
        for value in 1..=MANY {
            loop {
                let value = libc::sigval { sival_ptr: value as usize as *mut _ };
                if unsafe { libc::sigqueue(own, signal, value) } == 0 {
                    break;
                }
                std::thread::yield_now();
            }
        }
        unsafe { libc::_exit(0) };
    }
    let end = Instant::now() + Duration::from_secs(20);
    while COUNT.load(Ordering::SeqCst) < MANY && Instant::now() < end {
        errno_of(Path::new("/usr/bin/nothing"), &[]);
    }
    unsafe { libc::waitpid(sender, std::ptr::null_mut(), 0) };
    println!(
        "harm signals: {} in disorder {}",
        COUNT.load(Ordering::SeqCst),
        DISORDER.load(Ordering::SeqCst)
    );
}

/// No call that follows a failed exec is broken by what was asked for in it.
fn waits_are_not_broken() {
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    let mut broken = 0;
    for _ in 0..200 {
        errno_of(Path::new("/usr/bin/nothing"), &[]);
        let mut event: libc::epoll_event = unsafe { std::mem::zeroed() };
        if unsafe { libc::epoll_wait(epoll, &raw mut event, 1, 1) } != 0 {
            broken += 1;
        }
    }
    println!("harm waits: {broken} broken");
}

fn stopped_and_continued() {
    let mut child = Command::new("/usr/bin/sleep").arg("0.3").spawn().expect("it runs");
    let pid = child.id() as i32;
    let mut status = 0;
    unsafe {
        libc::kill(pid, libc::SIGSTOP);
        libc::waitpid(pid, &mut status, libc::WUNTRACED);
    }
    let stopped = libc::WIFSTOPPED(status);
    unsafe { libc::kill(pid, libc::SIGCONT) };
    println!("harm stopped: {stopped}, then {:?}", child.wait().expect("a child of ours").code());
}

fn in_a_fork(act: impl FnOnce()) -> i32 {
    let mut status = 0;
    unsafe {
        match libc::fork() {
            0 => {
                act();
                libc::_exit(99);
            }
            child => libc::waitpid(child, &mut status, 0),
        };
    }
    status
}

fn by_a_thread() {
    let status = in_a_fork(|| {
        drop(std::thread::spawn(|| drop(Command::new(TRUE).exec())).join());
    });
    println!("harm by a thread: {status}");
}

fn after_the_first_thread() {
    let status = in_a_fork(|| {
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            drop(Command::new(TRUE).exec());
        });
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
    println!("harm after the first thread: {status}");
}

#[allow(deprecated)]
fn vfork() -> i32 {
    let (path, name) = (c(TRUE), c("true"));
    let argv = [name.as_ptr(), std::ptr::null()];
    let none = [std::ptr::null::<libc::c_char>()];
    let mut status = 0;
    unsafe {
        match libc::vfork() {
            0 => {
                libc::execve(path.as_ptr(), argv.as_ptr(), none.as_ptr());
                libc::_exit(99);
            }
            child => libc::waitpid(child, &mut status, 0),
        };
    }
    status
}

fn killed_in_mid_exec() {
    let mut odd = 0;
    for round in 0..200u32 {
        let (path, name) = (c(TRUE), c("true"));
        let argv = [name.as_ptr(), std::ptr::null()];
        let none = [std::ptr::null::<libc::c_char>()];
        let mut status = 0;
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::execve(path.as_ptr(), argv.as_ptr(), none.as_ptr());
                libc::_exit(99);
            }
            for _ in 0..round * 100 {
                std::hint::spin_loop();
            }
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, &mut status, 0);
        }
        let killed = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL;
        odd += u32::from(!killed && status != 0);
    }
    println!("harm killed in mid-exec: {odd} odd");
}

/// As Go does to its threads.
fn storm() {
    handle(libc::SIGURG, nothing as *const () as usize, libc::SA_RESTART);
    let mut odd = 0;
    for _ in 0..50 {
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop(Command::new(TRUE).exec());
            unsafe { libc::_exit(99) };
        }
        let mut status = 0;
        while unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == 0 {
            unsafe { libc::kill(child, libc::SIGURG) };
        }
        odd += u32::from(status != 0);
    }
    println!("harm storm: {odd} odd");
}

fn many() {
    let odd = (0..300).filter(|_| vfork() != 0).count();
    println!("harm many: {odd} odd");
}
