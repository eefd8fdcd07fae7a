//! Code from where a program's libraries are not: mapped, made executable afterwards, and
//! in a race with the check of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use super::execs::refused;
use super::inject::{PAGE, ran, work_file, write_function};
use super::{Result, argument, number};
use crate::syscall::{self, Ended, Forked, call, errno_name, open, path};

/// `map PATH`, `race-map TRIES [MODE]`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("map", |arguments| map(argument(arguments, 0, "/app/harmless"), 0)),
    ("map-high", |arguments| map(argument(arguments, 0, "/app/harmless"), 1 << 32)),
    ("map-undumpable", |_| {
        call("prctl", libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 0])?;
        map(GOOD, 0)
    }),
    ("map-protect", |arguments| protect(argument(arguments, 0, "/app/harmless"), "mprotect")),
    ("map-protect-key", |arguments| protect(argument(arguments, 0, "/app/harmless"), "pkey_mprotect")),
    ("memory-file-protect", |_| {
        let page = mapped(&work_file(libc::O_RDONLY)?, libc::PROT_READ, libc::MAP_PRIVATE)?;
        make_code(page, "mprotect")?;
        ran(page)
    }),
    ("memory-shared-dual", |_| shared_dual()),
    ("race-map", race),
    ("map-crowd", crowd),
];

fn mapped(file: &OwnedFd, protection: i32, flags: i32) -> Result<usize> {
    let words = [0, PAGE, protection as usize, flags as usize, file.as_raw_fd() as usize, 0];
    call("mmap", libc::SYS_mmap, &words)
}

/// As code, and by a descriptor of which the kernel looks at the lower half alone.
fn map(name: &str, more: usize) -> Result {
    let file = open("open", name, libc::O_RDONLY, 0)?;
    let protection = (libc::PROT_READ | libc::PROT_EXEC) as usize;
    let words = [0, PAGE, protection, libc::MAP_PRIVATE as usize, file.as_raw_fd() as usize | more, 0];
    call("mmap", libc::SYS_mmap, &words)?;
    Ok("mapped".to_owned())
}

/// As data first.
fn protect(name: &str, by: &'static str) -> Result {
    let file = open("open", name, libc::O_RDONLY, 0)?;
    make_code(mapped(&file, libc::PROT_READ, libc::MAP_PRIVATE)?, by)?;
    Ok("mapped".to_owned())
}

fn make_code(page: usize, by: &'static str) -> Result<()> {
    let protection = (libc::PROT_READ | libc::PROT_EXEC) as usize;
    let (number, words) = match by {
        "mprotect" => (libc::SYS_mprotect, [page, PAGE, protection, 0]),
        _ => (libc::SYS_pkey_mprotect, [page, PAGE, protection, usize::MAX]),
    };
    call(by, number, &words).map(drop)
}

/// Shared memory of no file, executable, that mremap shows at a second address, which is
/// made writable instead.
fn shared_dual() -> Result {
    let protection = (libc::PROT_READ | libc::PROT_EXEC) as usize;
    let flags = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as usize;
    let code = call("mmap", libc::SYS_mmap, &[0, PAGE, protection, flags, usize::MAX, 0])?;
    let twice = [code, 0, PAGE, libc::MREMAP_MAYMOVE as usize];
    let data = call("mremap", libc::SYS_mremap, &twice)?;
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    call("mprotect", libc::SYS_mprotect, &[data, PAGE, protection])?;
    write_function(data);
    ran(code)
}

/// What the racers share across forks.
#[repr(C)]
struct Counts {
    tries: AtomicU32,
    /// So often the attacker's file was there once the call had returned.
    evil: AtomicU32,
    good: AtomicU32,
    /// So often the descriptor was exchanged.
    flips: AtomicU32,
    over: AtomicBool,
    refused: [AtomicU32; 134],
}

/// A library, and a file of the attacker's that has its length.
const GOOD: &str = "/srv/lib/libspare.so";

/// So many times a file is mapped as code by a descriptor that somebody else makes stand
/// for a library and for the attacker's file by turns: what was there when the call came
/// back. `threads`: a thread of the same group exchanges it; `processes`: a process that
/// has the same descriptors.
fn race(arguments: &[String]) -> Result {
    let (wanted, mode) = (number(arguments, 0, 100) as u32, argument(arguments, 1, "threads"));
    let flags = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as usize;
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let at = call("mmap", libc::SYS_mmap, &[0, size_of::<Counts>(), protection, flags, usize::MAX, 0])?;
    // SAFETY: the mapping is new, as large as the type, zero as its atomics may be, and is
    // never unmapped.
    let counts = unsafe { &*(at as *const Counts) };
    let good = open("open the library", GOOD, libc::O_RDONLY, 0)?;
    let evil = work_file(libc::O_RDONLY)?;
    let mut killed = 0;
    while counts.tries.load(Relaxed) < wanted {
        match syscall::fork("fork")? {
            Forked::Child => {
                let over = keep_mapping(counts, wanted, mode, [&good, &evil]).is_ok();
                syscall::leave(i32::from(!over))
            }
            Forked::Parent(child) => match syscall::wait(child) {
                Ended::Signal(libc::SIGKILL) => killed += 1,
                Ended::Code(0) => {}
                ended => return Err(syscall::Refused { step: unexpected(ended), errno: libc::EIO }),
            },
        }
    }
    counts.over.store(true, Relaxed);
    let mut came = BTreeMap::from([("signal 9".to_owned(), killed)]);
    came.insert("evil".to_owned(), counts.evil.load(Relaxed));
    came.insert("good".to_owned(), counts.good.load(Relaxed));
    for (errno, count) in counts.refused.iter().enumerate() {
        came.insert(errno_name(errno as i32), count.load(Relaxed));
    }
    came.retain(|_, times| *times > 0);
    Ok(came.iter().map(|(what, times)| format!("{what}: {times}")).collect::<Vec<_>>().join(", "))
}

fn unexpected(ended: Ended) -> &'static str {
    format!("a racer: {ended:?}").leak()
}

/// One child, until it is killed or all is tried.
fn keep_mapping(counts: &'static Counts, wanted: u32, mode: &str, files: [&OwnedFd; 2]) -> Result<()> {
    let first = |file: &OwnedFd| {
        let mut bytes = [0; 4];
        let file = File::from(file.try_clone().map_err(|error| refused("dup", &error))?);
        file.read_exact_at(&mut bytes, 0).map_err(|error| refused("read", &error))?;
        Ok(bytes)
    };
    let evil = first(files[1])?;
    let raced = files[0].try_clone().map_err(|error| refused("dup", &error))?;
    let (from, to) = (files.map(AsRawFd::as_raw_fd), raced.as_raw_fd());
    let flip = move |counts: &Counts, tries: u32| {
        let mut turn = 0;
        while !counts.over.load(Relaxed) && counts.tries.load(Relaxed) < tries {
            turn ^= 1;
            // SAFETY: all three are open for as long as this process lives.
            unsafe { libc::dup2(from[turn], to) };
            counts.flips.fetch_add(1, Relaxed);
        }
    };
    let before = counts.flips.load(Relaxed);
    let sibling = if mode == "processes" {
        // No stack is named and no memory is shared: the child runs on its copy.
        let flags = (libc::CLONE_FILES | libc::SIGCHLD) as usize;
        match call("clone", libc::SYS_clone, &[flags, 0, 0, 0, 0])? {
            0 => {
                // It ends with the mapping process.
                // SAFETY: prctl takes numbers.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                flip(counts, wanted);
                syscall::leave(0)
            }
            child => Some(child as i32),
        }
    } else {
        std::thread::spawn(move || flip(counts, wanted));
        None
    };
    while counts.flips.load(Relaxed) == before {
        std::thread::yield_now();
    }
    while counts.tries.fetch_add(1, Relaxed) < wanted {
        match mapped(&raced, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE) {
            Ok(page) => {
                // SAFETY: a page of a file that is longer was just mapped there, to be read.
                let there = unsafe { std::ptr::read_volatile(page as *const [u8; 4]) };
                let count = if there == evil { &counts.evil } else { &counts.good };
                count.fetch_add(1, Relaxed);
                call("munmap", libc::SYS_munmap, &[page, PAGE])?;
            }
            Err(refused) => {
                counts.refused[refused.errno as usize % counts.refused.len()].fetch_add(1, Relaxed);
            }
        }
    }
    sibling.into_iter().for_each(syscall::end);
    Ok(())
}

/// So many processes of which four threads map a library as code without end, while
/// another executes a program, or somebody stops and continues them, or kills them.
fn crowd(arguments: &[String]) -> Result {
    const MAPPERS: usize = 4;
    let (wanted, mode) = (number(arguments, 0, 10), argument(arguments, 1, "execs"));
    let (program, word) = (path("/srv/good"), path("g"));
    let mut came = BTreeMap::<String, u32>::new();
    for _ in 0..wanted {
        // Each has mapped once by the time of what comes then.
        let (begun, to) = syscall::pipe()?;
        let child = match syscall::fork("fork")? {
            Forked::Parent(child) => child,
            Forked::Child => {
                let gate = std::sync::Arc::new(std::sync::Barrier::new(MAPPERS + 1));
                for _ in 0..MAPPERS {
                    let gate = std::sync::Arc::clone(&gate);
                    std::thread::spawn(move || {
                        let Ok(file) = open("open the library", GOOD, libc::O_RDONLY, 0) else {
                            syscall::leave(3)
                        };
                        for tries in 0.. {
                            match mapped(&file, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE) {
                                Ok(page) => drop(call("munmap", libc::SYS_munmap, &[page, PAGE])),
                                Err(refused) => syscall::leave(refused.errno),
                            }
                            if tries == 0 {
                                gate.wait();
                            }
                        }
                    });
                }
                gate.wait();
                drop(to);
                if mode == "execs" {
                    let argv = [program.as_ptr() as usize, word.as_ptr() as usize, 0];
                    let words = [program.as_ptr() as usize, argv.as_ptr() as usize, 0];
                    let made = call("execve", libc::SYS_execve, &words);
                    syscall::leave(made.err().map_or(2, |refused| refused.errno));
                }
                loop {
                    std::thread::park();
                }
            }
        };
        drop(to);
        let mut end = Vec::new();
        std::io::Read::read_to_end(&mut File::from(begun), &mut end)
            .map_err(|error| refused("read", &error))?;
        if mode != "execs" {
            let games: &[i32] = if mode == "stops" { &[libc::SIGSTOP, libc::SIGCONT] } else { &[] };
            for signal in games.iter().cycle().take(games.len() * 10).chain([&libc::SIGKILL]) {
                // SAFETY: kill takes no memory.
                unsafe { libc::kill(child, *signal) };
                std::thread::yield_now();
            }
        }
        let what = match syscall::wait(child) {
            Ended::Code(code) => format!("exit {code}"),
            Ended::Signal(signal) => format!("signal {signal}"),
        };
        *came.entry(what).or_default() += 1;
    }
    Ok(came.iter().map(|(what, times)| format!("{what}: {times}")).collect::<Vec<_>>().join(", "))
}
