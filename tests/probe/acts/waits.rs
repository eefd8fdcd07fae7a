//! What an app may make slow or large for the supervisor that decides its calls: a file with a
//! lease, a caller that hardly ever runs, sockets that are made and closed without end.
//! Nothing here is forbidden; what is tried is whether other calls go on meanwhile.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::network::{inet, socket};
use super::{Result, argument, number};
use crate::syscall::{self, Ended, Forked, Refused, call, errno_name, open, path};

/// `lease PATH [open|truncate|exec]`, `run-last PATH`, `sockets-unread TIMES`,
/// `listen-often TIMES`.
pub const ACTS: &[(&str, super::Act)] = &[
    ("lease", lease),
    ("run-last", run_last),
    ("sockets-unread", sockets_unread),
    ("listen-often", listen_often),
];

/// Longer than any of it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
const MEANWHILE: &str = "others are served meanwhile";

/// A call that the supervisor decides: nothing is at its path.
fn other_call() {
    drop(open("openat", "/app/none/x", libc::O_WRONLY | libc::O_CREAT, 0o600));
}

fn word<T>(result: std::result::Result<T, Refused>) -> String {
    result.map_or_else(|refused| errno_name(refused.errno), |_| "ok".to_owned())
}

fn until(what: &'static str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > deadline {
            return Err(Refused { step: what, errno: libc::EBUSY });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// This process has a lease on a file that another thread opens, truncates or executes, and
/// gives it up only once a call of its own has come back.
fn lease(arguments: &[String]) -> Result {
    const F_SETLEASE: usize = 1024;
    const F_GETLEASE: usize = 1025;
    // SIGIO, which says that the lease is to be given up, would end this process.
    let ignore: [u64; 4] = [libc::SIG_IGN as u64, 0, 0, 0];
    let words = [libc::SIGIO as usize, ignore.as_ptr() as usize, 0, 8];
    call("rt_sigaction", libc::SYS_rt_sigaction, &words)?;
    let at = argument(arguments, 0, "/app/new").to_owned();
    let how = argument(arguments, 1, "open").to_owned();
    drop(open("openat", &at, libc::O_WRONLY | libc::O_CREAT, 0o755)?);
    let file = open("openat", &at, libc::O_RDONLY, 0)?;
    let fd = file.as_raw_fd() as usize;
    // The supervisor that made the file may still have it open.
    until("F_SETLEASE", || {
        call("fcntl", libc::SYS_fcntl, &[fd, F_SETLEASE, libc::F_WRLCK as usize]).is_ok()
    })?;
    let is_over = Arc::new(AtomicBool::new(false));
    let breaks = {
        let is_over = Arc::clone(&is_over);
        std::thread::spawn(move || {
            let came = broken(&how, &at);
            is_over.store(true, SeqCst);
            came
        })
    };
    until("F_GETLEASE", || {
        let lease = call("fcntl", libc::SYS_fcntl, &[fd, F_GETLEASE]);
        lease.is_ok_and(|lease| lease != libc::F_WRLCK as usize) || is_over.load(SeqCst)
    })?;
    other_call();
    let meanwhile = if is_over.load(SeqCst) { "no call waits" } else { MEANWHILE };
    call("fcntl", libc::SYS_fcntl, &[fd, F_SETLEASE, libc::F_UNLCK as usize])?;
    drop(file);
    let came = breaks.join().unwrap_or_else(|_| "a panic".to_owned());
    Ok(format!("{meanwhile}, then {came}"))
}

fn broken(how: &str, at: &str) -> String {
    let name = path(at);
    match how {
        "truncate" => word(call("truncate", libc::SYS_truncate, &[name.as_ptr() as usize, 0])),
        "exec" => match syscall::fork("fork") {
            Ok(Forked::Child) => {
                let list = [name.as_ptr() as usize, 0];
                let refused = call("execve", libc::SYS_execve, &[list[0], list.as_ptr() as usize, 0]);
                syscall::leave(refused.map_or_else(|refused| refused.errno, |_| 0))
            }
            Ok(Forked::Parent(child)) => match syscall::wait(child) {
                Ended::Code(code) => errno_name(code),
                Ended::Signal(signal) => format!("signal {signal}"),
            },
            Err(refused) => errno_name(refused.errno),
        },
        _ => word(open("openat", at, libc::O_WRONLY, 0)),
    }
}

/// A thread that runs only when nothing else wants its processor, where something always
/// does, makes a file: once that is there it has to be given its descriptor.
fn run_last(arguments: &[String]) -> Result {
    const ROUNDS: usize = 200;
    const SCHED_IDLE: usize = 5;
    let at = argument(arguments, 0, "/app/new").to_owned();
    let (round, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let processor = first_processor()?;
    let alone = move || {
        let words = [0, size_of_val(&processor), processor.as_ptr() as usize];
        drop(call("sched_setaffinity", libc::SYS_sched_setaffinity, &words));
    };
    for _ in 0..4 {
        let done = Arc::clone(&done);
        std::thread::spawn(move || {
            alone();
            while done.load(SeqCst) < usize::MAX {
                std::hint::spin_loop();
            }
        });
    }
    let last = {
        let (at, round, done) = (at.clone(), Arc::clone(&round), Arc::clone(&done));
        std::thread::spawn(move || {
            alone();
            let none = [0u32];
            let words = [0, SCHED_IDLE, none.as_ptr() as usize];
            call("sched_setscheduler", libc::SYS_sched_setscheduler, &words)?;
            loop {
                let now = round.load(SeqCst);
                if now == usize::MAX {
                    return Ok(());
                }
                if now > done.load(SeqCst) {
                    let opened = open("openat", &at, libc::O_WRONLY | libc::O_CREAT, 0o600);
                    done.store(now, SeqCst);
                    drop(opened?);
                }
                std::thread::yield_now();
            }
        })
    };
    let mut found = "never";
    let deadline = Instant::now() + PATIENCE;
    for now in 1..ROUNDS {
        drop(call(
            "unlinkat",
            libc::SYS_unlinkat,
            &[libc::AT_FDCWD as usize, path(&at).as_ptr() as usize, 0],
        ));
        let before = descriptors();
        round.store(now, SeqCst);
        until("the file", || std::fs::exists(&at).unwrap_or(false) || last.is_finished())?;
        other_call();
        // What comes back before the descriptor is there did not wait for it.
        if descriptors() == before && done.load(SeqCst) < now {
            found = MEANWHILE;
            break;
        }
        if last.is_finished() || Instant::now() > deadline {
            break;
        }
        until("the thread", || done.load(SeqCst) >= now || last.is_finished())?;
    }
    round.store(usize::MAX, SeqCst);
    let came = last.join().unwrap_or(Ok(()));
    done.store(usize::MAX, SeqCst);
    came?;
    Ok(found.to_owned())
}

/// A mask of the first processor that this process may use.
fn first_processor() -> Result<[u64; 16]> {
    let mut mask = [0u64; 16];
    let words = [0, size_of_val(&mask), mask.as_mut_ptr() as usize];
    call("sched_getaffinity", libc::SYS_sched_getaffinity, &words)?;
    let first = mask.iter().position(|word| *word != 0).unwrap_or(0);
    let lowest = mask[first] & mask[first].wrapping_neg();
    mask = [0; 16];
    mask[first] = lowest;
    Ok(mask)
}

/// How many descriptors are open.
fn descriptors() -> usize {
    (0..256).filter(|fd| call("fcntl", libc::SYS_fcntl, &[*fd, libc::F_GETFD as usize]).is_ok()).count()
}

/// A process that no other one may read makes and closes sockets, and uses the one that it
/// made before all of them.
fn sockets_unread(arguments: &[String]) -> Result {
    let dumpable = |yes: bool| {
        call("prctl", libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, usize::from(yes), 0, 0, 0])
    };
    dumpable(false)?;
    let first = socket("the first socket", libc::AF_INET, libc::SOCK_STREAM, 0)?;
    for _ in 0..number(arguments, 0, 3000) {
        drop(socket("socket", libc::AF_INET, libc::SOCK_STREAM, 0)?);
        // One with another number, which is not the lowest.
        let high = socket("socket", libc::AF_INET, libc::SOCK_STREAM, 0)?;
        let low = socket("socket", libc::AF_INET, libc::SOCK_STREAM, 0)?;
        drop(high);
        drop(low);
    }
    dumpable(true)?;
    let address = inet(Ipv4Addr::LOCALHOST, number(arguments, 1, 8080));
    let words = [first.as_raw_fd() as usize, address.as_ptr() as usize, address.len()];
    call("connect", libc::SYS_connect, &words)?;
    Ok("all were made".to_owned())
}

/// A socket listens while others do so and are closed, and is then let listen once more.
fn listen_often(arguments: &[String]) -> Result {
    let listening = |port| -> Result<OwnedFd> {
        let socket = socket("socket", libc::AF_INET, libc::SOCK_STREAM, 0)?;
        let address = inet(Ipv4Addr::LOCALHOST, port);
        let fd = socket.as_raw_fd() as usize;
        call("bind", libc::SYS_bind, &[fd, address.as_ptr() as usize, address.len()])?;
        call("listen", libc::SYS_listen, &[fd, 1])?;
        Ok(socket)
    };
    let first = listening(number(arguments, 1, 7070))?;
    for _ in 0..number(arguments, 0, 2500) {
        drop(listening(number(arguments, 2, 7071))?);
    }
    call("listen once more", libc::SYS_listen, &[first.as_raw_fd() as usize, 2])?;
    Ok("all listened".to_owned())
}
