//! The app of the tests of PID 1 and of modes: prints what it finds and what comes
//! of what it tries. Without std's `main`, which ignores SIGPIPE and opens closed
//! descriptors: what the shim handed over is seen as it is.
//!
//! ```text
//! status                    one line each: mask, ignored, cwd, descriptors, ids, environment
//! signals SIGNAL CODE       print every signal with its value; end with CODE on SIGNAL
//! exit CODE | die SIGNAL
//! orphans N                 leave N orphans, and say how many PID 1 left unreaped
//! leave polite|stubborn|quick CODE   leave a grandchild in a session of its own, and end
//! detached                  a child in a session of its own, and both say which signals
//!                           came; the child's TERM is passed on to the app by HUP, which ends it
//! group                     a child in the same group that says which signal came
//! stopped CODE              stop, and end with CODE on the TERM that comes afterwards
//! violate DIRECTORY PORT    try what the profile does not list
//! call NAME                 one unlisted call; print what came of it, then end with 7
//! zombie                    a dead child that is not reaped; then every signal, until TERM
//! stuck                     be where no signal reaches, until the child that is named ends
//! brood N                   N children that sleep until TERM
//! bomb N                    N processes that fork another and end, for ever, deaf to TERM
//! count                     how many arguments there are, and bytes of the environment
//! hammer THREADS SECONDS    that many threads make a refused call for so long, and the
//!                           count of refusals is printed; every signal too; TERM ends it
//! refuse … PROGRAM          become PROGRAM with one call refused, see `faults`
//! attack …                  try what every layer is to refuse, see `faults`
//! ```
#![no_main]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "one thread, and libc calls alone: on numbers, or on locals that outlive them"
)]

mod faults;

use std::ffi::c_int;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, _: *const *const u8) -> c_int {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let number = |text: &str| text.parse::<i32>().expect("a number");
    match arguments[..] {
        ["status"] => status(),
        ["signals", last, code] => return signals(number(last), number(code)),
        ["exit", code] => return number(code),
        ["hammer", threads, seconds] => hammer(number(threads), number(seconds)),
        ["refuse", ref rest @ ..] => return faults::refuse(rest),
        ["attack", ref rest @ ..] => return faults::attack(rest),
        ["die", signal] => die(number(signal)),
        ["zombie"] => return zombie(),
        ["stuck"] => stuck(),
        ["brood", count] => return brood(number(count)),
        ["bomb", count] => return bomb(number(count)),
        ["count", ..] => {
            let environment = std::env::vars_os().map(|(name, value)| name.len() + value.len());
            say(&format!("arguments {} environment {}", arguments.len(), environment.sum::<usize>()));
        }
        ["orphans", count] => orphans(number(count)),
        ["leave", manners, code] => {
            leave(manners);
            return number(code);
        }
        ["group"] => return group(),
        ["detached"] => return detached(),
        ["stopped", code] => return stopped(number(code)),
        ["violate", directory, port] => violate(Path::new(directory), port),
        ["call", name] => {
            println!("{name} {}", outcome(unlisted(name)));
            return 7;
        }
        _ => {
            println!("the probe does not know {arguments:?}");
            return 64;
        }
    }
    0
}

fn say(text: &str) {
    println!("{text}");
    std::io::stdout().flush().expect("stdout");
}

fn status() {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    for line in status.lines() {
        let wanted = ["SigBlk", "SigIgn", "NoNewPrivs", "Uid", "Gid", "Groups", "CapEff"];
        if let Some((key, value)) = line.split_once(':').filter(|(key, _)| wanted.contains(key)) {
            println!("{key} {}", value.trim());
        }
    }
    let open = |fd: &i32| unsafe { libc::fcntl(*fd, libc::F_GETFD) } != -1;
    println!("fds {:?}", (0..256).filter(open).collect::<Vec<_>>());
    println!("cwd {}", std::env::current_dir().expect("cwd").display());
    let (pid, group) = (std::process::id(), unsafe { libc::getpgrp() } as u32);
    println!("pid {pid} leader {} parent {}", pid == group, unsafe { libc::getppid() });
    for (key, value) in std::env::vars()
        .filter(|(key, _)| ["LD_PRELOAD", "HOME"].contains(&&**key) || key.starts_with("LISTEN_"))
    {
        println!("{key}={value}");
    }
}

/// Blocks every signal, those that libc keeps for itself too.
fn block_all() {
    let all = u64::MAX;
    let done = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, 0, 8) };
    assert_eq!(done, 0);
}

/// The next signal, the value that was queued with it, and how it was sent.
fn next() -> (i32, i32, u64) {
    let all = u64::MAX;
    let mut info = [0u8; 128];
    loop {
        let signal =
            unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const all, info.as_mut_ptr(), 0, 8) };
        if signal > 0 {
            let code = i32::from_ne_bytes(info[8..12].try_into().expect("four"));
            let value = u64::from_ne_bytes(info[24..32].try_into().expect("eight"));
            return (signal as i32, code, value);
        }
    }
}

fn signals(last: i32, end: i32) -> i32 {
    block_all();
    say("ready");
    loop {
        let (signal, code, value) = next();
        let value = if code == libc::SI_QUEUE { value } else { 0 };
        say(&format!("signal {signal} {value}"));
        if signal == last {
            return end;
        }
    }
}

/// Says `begun` when every thread was refused once, and `denied COUNT` when all are done.
fn hammer(threads: i32, seconds: i32) {
    block_all();
    let begun = std::sync::Arc::new(std::sync::Barrier::new(threads as usize));
    let thread = |_| {
        let begun = std::sync::Arc::clone(&begun);
        std::thread::spawn(move || {
            let mut denied = u64::from(unlisted("personality").is_err());
            if begun.wait().is_leader() {
                say("begun");
            }
            let end = Instant::now() + Duration::from_secs(seconds as u64);
            while Instant::now() < end {
                denied += u64::from(unlisted("personality").is_err());
            }
            denied
        })
    };
    let threads: Vec<_> = (0..threads).map(thread).collect();
    let sum = std::thread::spawn(move || {
        let counts = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        say(&format!("denied {}", counts.sum::<u64>()));
    });
    loop {
        let signal = next().0;
        say(&format!("signal {signal}"));
        if signal == libc::SIGTERM {
            sum.join().expect("no panic");
            return;
        }
    }
}

/// The next that is not of a child's end.
fn next_but_sigchld() -> i32 {
    loop {
        let signal = next().0;
        if signal != libc::SIGCHLD {
            return signal;
        }
    }
}

fn die(signal: i32) {
    // No core file: the test leaves nothing behind.
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &none);
        libc::kill(libc::getpid(), signal);
    }
}

/// Runs `child` in a forked process that ends when it returns.
fn fork(child: impl FnOnce()) -> i32 {
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            child();
            unsafe { libc::_exit(0) }
        }
        pid => pid,
    }
}

fn wait(pid: i32) {
    let mut status = 0;
    unsafe { libc::waitpid(pid, &mut status, 0) };
}

fn pipe() -> [i32; 2] {
    let mut ends = [0; 2];
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    ends
}

fn orphans(count: i32) {
    let [from, to] = pipe();
    for _ in 0..count {
        wait(fork(|| {
            let pid = fork(|| {}).to_ne_bytes();
            unsafe { libc::write(to, pid.as_ptr().cast(), 4) };
        }));
    }
    let mut pids = Vec::new();
    for _ in 0..count {
        let mut pid = [0u8; 4];
        assert_eq!(unsafe { libc::read(from, pid.as_mut_ptr().cast(), 4) }, 4);
        pids.push(i32::from_ne_bytes(pid));
    }
    // A zombie can still be signalled. No signal reports a reaping to another process.
    let there = |pid: &i32| unsafe { libc::kill(*pid, 0) } == 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    while pids.iter().any(there) && Instant::now() < deadline {
        std::thread::yield_now();
    }
    println!("orphans {count} unreaped {}", pids.iter().filter(|pid| there(pid)).count());
}

/// A grandchild that no process group and no session reaches; it is ready when
/// this returns.
fn leave(manners: &str) {
    let [from, to] = pipe();
    wait(fork(|| {
        unsafe { libc::setsid() };
        fork(|| {
            block_all();
            unsafe {
                libc::close(from);
                libc::close(to);
            }
            match manners {
                "polite" => {
                    while next().0 != libc::SIGTERM {}
                    say("terminated");
                    std::thread::sleep(Duration::from_millis(100));
                    say("done");
                }
                "stubborn" => loop {
                    if next().0 == libc::SIGTERM {
                        say("terminated");
                    }
                },
                _ => {}
            }
        });
    }));
    unsafe { libc::close(to) };
    let mut byte = 0u8;
    unsafe { libc::read(from, (&raw mut byte).cast(), 1) };
}

fn zombie() -> i32 {
    block_all();
    let child = fork(|| {});
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    unsafe { libc::waitid(libc::P_PID, child as u32, &mut info, libc::WEXITED | libc::WNOWAIT) };
    say(&format!("zombie {child}"));
    while next().0 != libc::SIGTERM {}
    0
}

/// The parent of a vfork(2) waits in the kernel until its child has ended.
#[allow(deprecated, reason = "it is what makes a process wait so")]
fn stuck() {
    let [from, to] = pipe();
    let me = std::process::id();
    if unsafe { libc::vfork() } == 0 {
        unsafe {
            libc::close(from);
            // The memory is the parent's, which waits.
            say(&format!("stuck {me} child {}", libc::getpid()));
            libc::pause();
            libc::_exit(0);
        }
    }
    unsafe { libc::close(to) };
}

fn brood(count: i32) -> i32 {
    for _ in 0..count {
        fork(|| unsafe {
            libc::pause();
        });
    }
    block_all();
    say("ready");
    while next().0 != libc::SIGTERM {}
    0
}

fn bomb(count: i32) -> i32 {
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    for _ in 0..count {
        fork(|| while unsafe { libc::fork() } == 0 {});
    }
    say("ready");
    loop {
        unsafe { libc::pause() };
    }
}

fn detached() -> i32 {
    block_all();
    let app = std::process::id() as i32;
    fork(|| {
        unsafe { libc::setsid() };
        say("ready");
        say(&format!("detached {}", next().0));
        unsafe { libc::kill(app, libc::SIGHUP) };
    });
    loop {
        let signal = next_but_sigchld();
        say(&format!("app {signal}"));
        if signal == libc::SIGHUP {
            return 4;
        }
    }
}

fn group() -> i32 {
    block_all();
    let child = fork(|| say(&format!("child {}", next().0)));
    say("ready");
    say(&format!("app {}", next_but_sigchld()));
    wait(child);
    0
}

fn stopped(code: i32) -> i32 {
    extern "C" fn nothing(_: c_int) {}
    let handler = nothing as extern "C" fn(c_int);
    unsafe { libc::signal(libc::SIGTERM, handler as libc::sighandler_t) };
    say("ready");
    unsafe { libc::raise(libc::SIGSTOP) };
    // The handler has run before this is reached, or TERM is still to come.
    say("continued");
    code
}

fn outcome<T>(result: std::io::Result<T>) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(error) => match error.raw_os_error() {
            Some(libc::EPERM) => "EPERM".to_owned(),
            Some(libc::EACCES) => "EACCES".to_owned(),
            Some(libc::ENOSYS) => "ENOSYS".to_owned(),
            _ => error.to_string(),
        },
    }
}

fn unlisted(name: &str) -> std::io::Result<()> {
    let answer = match name {
        "personality" => unsafe { libc::syscall(libc::SYS_personality, 0xffff_ffff_u64) },
        "sync" => unsafe { libc::syscall(libc::SYS_syncfs, 1) },
        "ptrace" => unsafe { libc::syscall(libc::SYS_ptrace, libc::PTRACE_TRACEME, 0, 0, 0) },
        other => panic!("no such call: {other}"),
    };
    if answer < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// What the profile of the tests does not list, one line each.
fn violate(directory: &Path, port: &str) {
    let try_it = |name: &str, result: std::io::Result<()>| say(&format!("{name} {}", outcome(result)));
    let file = directory.join("made");
    try_it("create", std::fs::write(&file, "x"));
    try_it("write", std::fs::OpenOptions::new().append(true).open(directory.join("there")).map(drop));
    try_it("read", std::fs::read(directory.join("there")).map(drop));
    try_it("mkdir", std::fs::create_dir(directory.join("directory")));
    try_it("rename", std::fs::rename(&file, directory.join("renamed")));
    try_it("remove", std::fs::remove_file(directory.join("renamed")));
    try_it("listen", std::net::TcpListener::bind("127.0.0.1:0").map(drop));
    try_it("connect", std::net::TcpStream::connect(format!("127.0.0.1:{port}")).map(drop));
    try_it("syscall", unlisted("personality"));
    try_it("execute", std::process::Command::new("/bin/true").status().map(drop));
    try_it("memory", executable_memory());
}

fn executable_memory() -> std::io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, rights, flags, -1, 0) };
    if page == libc::MAP_FAILED { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
