//! The app: what it does is named by a variable, and said on stdout.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls on numbers and on locals or leaked memory that outlive them"
)]

use std::ffi::{CStr, CString};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::processes;

/// What the app does, and where; set for the app alone.
pub const ACT: &str = "REMIT_TEST_ACT";
pub const PLACE: &str = "REMIT_TEST_PLACE";

const LOADER: &str =
    if cfg!(target_arch = "aarch64") { "/lib/ld-linux-aarch64.so.1" } else { "/lib64/ld-linux-x86-64.so.2" };
pub const TRUE: &str = "/usr/bin/true";
const TOUCH: &str = "/usr/bin/touch";

pub fn main() {
    let Some(act) = std::env::var_os(ACT) else { return };
    let place = PathBuf::from(std::env::var_os(PLACE).expect("its place"));
    let evil = place.join("out/evil");
    match act.to_str().expect("text") {
        "nothing" => {}
        "bits" => println!("bits: {:#x}", unsafe { libc::prctl(libc::PR_GET_SECUREBITS) } & 0xf00),
        "race-loader" => race_path(TRUE, LOADER, &[place.join("evil"), evil.clone()]),
        "race-loader-as-user" => {
            become_user(33);
            race_path(TRUE, LOADER, &[place.join("evil"), evil.clone()]);
        }
        "set-mm" => {
            // PR_SET_MM_MAP_SIZE, which needs no privilege, as PR_SET_MM_MAP needs none.
            let mut size = 0u32;
            let answer = unsafe { libc::prctl(libc::PR_SET_MM, 15, &raw mut size, 0, 0) };
            println!("set-mm: {answer} {}", size > 0);
        }
        "reused-numbers" => {
            processes::kill_many_at_birth();
            race_path(TRUE, LOADER, &[place.join("evil"), evil.clone()]);
        }
        "race-edge" => race_path(TRUE, TOUCH, std::slice::from_ref(&evil)),
        "race-arguments" => race_argument(&place.join("out/good"), &evil),
        "race-applet" => race_applet(&evil),
        "race-script" => race_script(&place, &evil),
        "script" => script(&place, &evil),
        "untraceable" => processes::untraceable(),
        "ends" => processes::ends(),
        "forks" => processes::forks(),
        "idle-forks" => processes::idle_forks(),
        "honest-forks" => processes::honest_forks(),
        "headless" => processes::headless(),
        "stops" => {
            become_user(33);
            unsafe { libc::raise(libc::SIGTSTP) };
            println!("went on");
        }
        "interpreter" => interpreter(&place, &evil),
        "digest" => digest(&evil),
        "instances" => instances(),
        "variables" => variables(),
        "memfd" => memfd(),
        "orphans" => orphans(&place),
        "users" => users(&place),
        "user" => user(),
        "large" => super::large::all(&place),
        "harm" => super::harm::all(&place),
        "games" => games(&evil),
        other => panic!("no act is called {other:?}"),
    }
    if evil.exists() {
        println!("evil ran");
    }
}

/// How many tries a race has.
fn tries() -> u32 {
    std::env::var("REMIT_TEST_TRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

pub fn c(path: impl AsRef<Path>) -> CString {
    CString::new(path.as_ref().as_os_str().as_bytes()).expect("no NUL")
}

/// Memory that forks share, as long as the longer of two texts, in which a thread writes
/// now the one and now the other.
pub fn flipping(one: &CStr, other: &CStr) -> *const libc::c_char {
    let length = one.to_bytes_with_nul().len().max(other.to_bytes_with_nul().len());
    let (read, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    let shared = unsafe { libc::mmap(std::ptr::null_mut(), 4096, read, kind, -1, 0) } as usize;
    let texts = [one.to_owned(), other.to_owned()].map(|text| {
        let mut bytes = text.into_bytes_with_nul();
        bytes.resize(length, 0);
        bytes
    });
    std::thread::spawn(move || {
        let mut spins = 0u32;
        loop {
            for text in &texts {
                unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), shared as *mut u8, text.len()) };
                spins = (spins + 37) % 700;
                for _ in 0..spins {
                    std::hint::spin_loop();
                }
            }
        }
    });
    shared as *const libc::c_char
}

/// Forks, executes with these pointers, and waits.
fn run_raw(path: *const libc::c_char, argv: &[*const libc::c_char]) -> i32 {
    let nothing = [std::ptr::null::<libc::c_char>()];
    let mut status = 0;
    unsafe {
        match libc::fork() {
            0 => {
                libc::execve(path, argv.as_ptr(), nothing.as_ptr());
                libc::_exit(120);
            }
            child => libc::waitpid(child, &mut status, 0),
        };
    }
    status
}

fn race(path: *const libc::c_char, argv: &[*const libc::c_char], evil: &Path) {
    // At least so often, and until one was lost after the exec.
    let end = Instant::now() + Duration::from_secs(40);
    let mut codes = std::collections::BTreeMap::<i32, u32>::new();
    let mut tried = 0;
    while (tried < tries() || !codes.contains_key(&libc::SIGKILL)) && Instant::now() < end && !evil.exists() {
        *codes.entry(run_raw(path, argv)).or_default() += 1;
        tried += 1;
    }
    println!("raced: {codes:?}");
}

fn race_path(good: &str, bad: &str, arguments: &[PathBuf]) {
    let (name, arguments) = (c("x"), arguments.iter().map(c).collect::<Vec<_>>());
    let path = flipping(&c(good), &c(bad));
    let mut argv = vec![name.as_ptr()];
    argv.extend(arguments.iter().map(|text| text.as_ptr()));
    argv.push(std::ptr::null());
    race(path, &argv, Path::new(arguments.last().expect("one").to_str().expect("text")));
}

fn race_argument(good: &Path, evil: &Path) {
    let (path, name) = (c(TOUCH), c("touch"));
    let argument = flipping(&c(good), &c(evil));
    race(path.as_ptr(), &[name.as_ptr(), argument, std::ptr::null()], evil);
}

fn race_applet(evil: &Path) {
    let (path, argument) = (c("/bin/busybox"), c(evil));
    let name = flipping(c"true", c"touch");
    race(path.as_ptr(), &[name, argument.as_ptr(), std::ptr::null()], evil);
}

/// A link that leads to the script while the kernel looks, and to another when the
/// interpreter does.
fn race_script(place: &Path, evil: &Path) {
    let script = place.join("script");
    if !script.exists() {
        write_script(&script, "#!/bin/sh\nexit 0\n");
    }
    let other = place.join("out/other");
    write_script(&other, &format!("#!/bin/sh\n: > {}\n", evil.display()));
    let (link, next) = (place.join("out/link"), place.join("out/next"));
    std::os::unix::fs::symlink(&script, &link).expect("a link");
    let (one, two) = (link.clone(), next.clone());
    std::thread::spawn(move || {
        loop {
            for target in [&other, &script] {
                drop(std::os::unix::fs::symlink(target, &two));
                drop(std::fs::rename(&two, &one));
            }
        }
    });
    let (path, name) = (c(&link), c("script"));
    race(path.as_ptr(), &[name.as_ptr(), std::ptr::null()], evil);
}

fn write_script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("chmod");
}

/// How a command ended, in a word.
pub fn ended(command: &mut Command) -> String {
    match command.status() {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("code {code}"),
            (_, signal) => format!("signal {}", signal.unwrap_or(0)),
        },
        Err(error) => format!("Err({:?})", error.kind()),
    }
}

fn script(place: &Path, evil: &Path) {
    let run = |command: &mut Command| ended(command.env_remove(ACT));
    println!("itself: {}", run(Command::new(place.join("script")).arg("one")));
    std::os::unix::fs::symlink(place.join("script"), place.join("out/link")).expect("a link");
    println!("by a link: {}", killed(run(&mut Command::new(place.join("out/link")))));
    let evil = format!(": > {}", evil.display());
    println!("sh -c: {}", run(Command::new("/bin/sh").args(["-c", &evil])));
    println!("other script: {}", run(&mut Command::new(place.join("other"))));
    println!("as the kernel does: {}", run(Command::new("/bin/sh").arg(place.join("other"))));
}

/// Killed after the exec or refused before it: both are refusals.
fn killed(word: String) -> String {
    if word == "signal 9" { format!("Err({:?})", ErrorKind::PermissionDenied) } else { word }
}

fn digest(evil: &Path) {
    println!("pinned: {}, {}", ended(&mut Command::new(TRUE)), ended(&mut Command::new(TRUE)));
    println!("other content: {}", ended(Command::new(TOUCH).arg(evil)));
}

fn instances() {
    let start = || Command::new("/usr/bin/sleep").arg("60").spawn();
    let word = |result: &std::io::Result<std::process::Child>| match result {
        Ok(_) => "Ok".to_owned(),
        Err(error) => format!("Err({:?})", error.kind()),
    };
    let mut all: Vec<_> = (0..3).map(|_| start()).collect();
    println!("started: {}", all.iter().map(word).collect::<Vec<_>>().join(" "));
    if let Ok(first) = &mut all[0] {
        first.kill().and_then(|()| first.wait()).expect("a child of ours");
    }
    let again = start();
    println!("after one ended: {}", word(&again));
    for mut child in all.into_iter().chain([again]).flatten() {
        child.kill().and_then(|()| child.wait()).expect("a child of ours");
    }
}

fn variables() {
    for (name, value) in [
        ("LD_PRELOAD", ""),
        ("HARMLESS", "x"),
        ("LD_PRELOAD", "x"),
        ("LD_AUDIT", "x"),
        ("LD_LIBRARY_PATH", "x"),
        ("GCONV_PATH", "x"),
    ] {
        println!("{name}={value}: {}", ended(Command::new(TRUE).env(name, value)));
    }
}

/// What a shell does before its script, where it is asked to by a variable.
fn interpreter(place: &Path, evil: &Path) {
    let code = place.join("out/code");
    std::fs::write(&code, format!(": > {}\n", evil.display())).expect("a file");
    let script = place.join("script");
    for (name, value) in
        [("HARMLESS", code.as_path()), ("PYTHONPATH", Path::new("/here")), ("BASH_ENV", &code)]
    {
        println!("{name}: {}", ended(Command::new(&script).env(name, value).env_remove(ACT)));
    }
    let function = format!("() {{ : > {}; }}", evil.display());
    println!("function: {}", ended(Command::new(&script).env("BASH_FUNC_greet%%", function)));
    println!("other value: {}", ended(Command::new(&script).env("PYTHONPATH", "there")));
}

fn memfd() {
    use std::io::{Seek, Write};
    use std::os::fd::{AsRawFd, FromRawFd};
    let make = |name: &CStr, flags: u32| unsafe {
        let fd = libc::syscall(libc::SYS_memfd_create, name.as_ptr(), flags) as i32;
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        std::fs::File::from_raw_fd(fd)
    };
    let mut plain = make(c"named", libc::MFD_CLOEXEC);
    plain.write_all(&[7; 4096]).and_then(|()| plain.rewind()).expect("written");
    let mapped = unsafe {
        let at =
            libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, plain.as_raw_fd(), 0);
        *at.cast::<u8>()
    };
    println!("written and mapped: {mapped}");
    let open = make(c"open", 0);
    let closes = |file: &std::fs::File| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) } & libc::FD_CLOEXEC != 0;
    println!("close on exec: {} {}", closes(&plain), closes(&open));
    let name = std::fs::read_link(format!("/proc/self/fd/{}", plain.as_raw_fd())).expect("a link");
    println!("a name: {}", name.display());
    // This very program: static, and it ends at once without an act.
    let content = std::fs::read("/proc/self/exe").expect("readable");
    for flags in [0, 16] {
        let mut file = make(c"evil", flags);
        file.write_all(&content).expect("written");
        let fd = file.as_raw_fd();
        // What is open for writing cannot be executed.
        let file = std::fs::File::open(format!("/proc/self/fd/{fd}")).expect("again");
        unsafe { libc::close(fd) };
        let fd = file.as_raw_fd();
        unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
        let link = format!("/proc/self/fd/{fd}");
        println!("by its link: {}", ended(Command::new(&link).env_remove(ACT).arg("--list")));
        let (name, list) = (c("evil"), c("--list"));
        let mut status = 0;
        unsafe {
            if libc::fork() == 0 {
                let argv = [name.as_ptr(), list.as_ptr(), std::ptr::null()];
                let none = [std::ptr::null::<libc::c_char>()];
                libc::syscall(
                    libc::SYS_execveat,
                    fd,
                    c"".as_ptr(),
                    argv.as_ptr(),
                    none.as_ptr(),
                    libc::AT_EMPTY_PATH,
                );
                libc::_exit(120);
            }
            libc::wait(&mut status);
        }
        let word = if libc::WEXITSTATUS(status) == 120 {
            "Err".to_owned()
        } else {
            format!("code {}", libc::WEXITSTATUS(status))
        };
        println!("executed: {word}");
    }
}

fn orphans(place: &Path) {
    println!("strong: {}", ended(&mut Command::new(place.join("strong"))));
    println!("weak: {}", ended(&mut Command::new(place.join("weak"))));
    std::thread::sleep(Duration::from_millis(1500));
}

/// A second thread's exec fails past the point of no return, for want of address space: it
/// has the first one's number by then, and never stops with a new program.
fn late_deaths() {
    let (mut rounds, mut killed) = (0, 0);
    for kilobytes in (64..=640).step_by(16) {
        let child = unsafe { libc::fork() };
        if child == 0 {
            let executes = std::thread::spawn(move || {
                let (path, name) = (c(TRUE), c("true"));
                let argv = [name.as_ptr(), std::ptr::null()];
                let none = [std::ptr::null::<libc::c_char>()];
                let space = libc::rlimit { rlim_cur: kilobytes << 10, rlim_max: kilobytes << 10 };
                unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const space) };
                unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), none.as_ptr()) };
                unsafe { libc::_exit(1) };
            });
            drop(executes.join());
        }
        let mut status = 0;
        unsafe { libc::waitpid(child, &raw mut status, libc::__WALL) };
        rounds += 1;
        killed += u32::from(libc::WIFSIGNALED(status));
    }
    println!("late deaths: {} of {rounds} rounds", if killed > 0 { "some" } else { "none" });
}

/// The bare call: libc's would do it for all threads by signals, one after the other.
pub fn become_user(uid: u32) {
    let became = try_to_become_user(uid);
    assert!(became, "{}", std::io::Error::last_os_error());
}

pub fn try_to_become_user(uid: u32) -> bool {
    unsafe {
        let gid = libc::syscall(libc::SYS_setresgid, uid, uid, uid);
        let uid = libc::syscall(libc::SYS_setresuid, uid, uid, uid);
        (gid, uid) == (0, 0)
    }
}

/// What may be executed, and what may not, by the process that calls this.
pub fn try_both(actor: &str, place: &Path) {
    let touch = |name: &str| {
        let (path, name, argument) = (c(TOUCH), c("touch"), c(place.join("out").join(name)));
        run_raw(path.as_ptr(), &[name.as_ptr(), argument.as_ptr(), std::ptr::null()])
    };
    let good = touch("good");
    println!("{actor}: good code {}", libc::WEXITSTATUS(good));
    let evil = touch("evil");
    let refused = libc::WIFSIGNALED(evil) || libc::WEXITSTATUS(evil) == 120;
    println!("{actor}: evil {}", if refused { "refused" } else { "went through" });
}

pub fn in_a_fork(act: impl FnOnce()) {
    unsafe {
        match libc::fork() {
            0 => {
                act();
                libc::_exit(0);
            }
            child => libc::waitpid(child, std::ptr::null_mut(), 0),
        };
    }
}

fn users(place: &Path) {
    in_a_fork(|| {
        become_user(33);
        try_both("itself", place);
        in_a_fork(|| try_both("a fork", place));
        let there = place.to_owned();
        std::thread::spawn(move || {
            become_user(33);
            try_both("a thread", &there);
            in_a_fork(|| try_both("a thread's fork", &there));
        })
        .join()
        .expect("no panic");
    });
    in_a_fork(|| processes::without_leader(place));
    println!("while threads are made: {} refused", processes::users_among_new_threads());
    // After its exec it is another user's, and is refused no more.
    in_a_fork(|| {
        let (good, evil) = (place.join("out/good"), place.join("out/evil"));
        let priv_of = |target: &Path| {
            let mut command = Command::new("/usr/bin/setpriv");
            command.args(["--reuid=33", "--regid=33", "--clear-groups", TOUCH]).arg(target);
            ended(&mut command)
        };
        println!("its exec: good {}", priv_of(&good));
        let evil = priv_of(&evil);
        println!("its exec: evil {}", if evil == "code 0" { "went through" } else { "refused" });
    });
}

fn user() {
    println!("as root: {}", ended(&mut Command::new("/usr/bin/id")));
    in_a_fork(|| {
        unsafe { libc::syscall(libc::SYS_setuid, 33) };
        println!("as another: {}", killed(ended(&mut Command::new("/usr/bin/id"))));
    });
}

fn games(evil: &Path) {
    let (path, name) = (c(TRUE), c("true"));
    let argv = [name.as_ptr(), std::ptr::null()];
    let none = [std::ptr::null::<libc::c_char>()];
    let after = |what: &str, before: &dyn Fn()| unsafe {
        let mut status = 0;
        match libc::fork() {
            0 => {
                before();
                libc::execve(path.as_ptr(), argv.as_ptr(), none.as_ptr());
                libc::_exit(*libc::__errno_location());
            }
            child => {
                libc::waitpid(child, &mut status, libc::__WALL);
                let code = libc::WEXITSTATUS(status);
                match code {
                    0 => println!("{what}: exit 0"),
                    _ => println!("{what}: Err({:?})", std::io::Error::from_raw_os_error(code).kind()),
                }
                if libc::WIFSTOPPED(status) {
                    libc::kill(child, libc::SIGKILL);
                    libc::waitpid(child, std::ptr::null_mut(), libc::__WALL);
                }
            }
        }
    };
    after("traced", &|| unsafe {
        libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
    });
    after("undumpable", &|| unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
    });
    // All threads of a process execute at the same moment: one wins.
    let mut rounds = 0;
    for _ in 0..40 {
        in_a_fork(|| {
            let gate = std::sync::Arc::new(std::sync::Barrier::new(8));
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    let gate = std::sync::Arc::clone(&gate);
                    std::thread::spawn(move || {
                        let (path, name) = (c(TRUE), c("true"));
                        let argv = [name.as_ptr(), std::ptr::null()];
                        let none = [std::ptr::null::<libc::c_char>()];
                        gate.wait();
                        unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), none.as_ptr()) };
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        rounds += 1;
    }
    println!("many threads: {rounds} rounds");
    late_deaths();
    // One that is continued by all its friends while it is looked at.
    let (good, bad) = (c(TRUE), c(TOUCH));
    let (name, argument) = (c("x"), c(evil));
    let path = flipping(&good, &bad);
    let own = unsafe { libc::getpid() };
    for _ in 0..4 {
        std::thread::spawn(move || {
            loop {
                for pid in own + 1..own + 400 {
                    unsafe { libc::kill(pid, libc::SIGCONT) };
                }
            }
        });
    }
    race(path, &[name.as_ptr(), argument.as_ptr(), std::ptr::null()], evil);
    println!("continued: {}", if evil.exists() { "won" } else { "lost" });
    println!("afterwards: {}", ended(&mut Command::new(TRUE)));
    // Not left to the test's own end.
    drop(Command::new(TRUE).exec());
}
