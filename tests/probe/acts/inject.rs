//! Code that is not in any listed program: mapped from a file or from memory that was
//! written, and written into another process.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};

use super::execs::{place, refused, remove};
use super::{Result, argument, done, execs};
use crate::elf::FUNCTION;
use crate::syscall::{self, Ended, Forked, call, open, own, path};

/// `memory-file`, `sibling-memory`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("memory-file", memory_file),
    ("memory-file-shared", |_| memory_of(&work_file(libc::O_RDWR)?, libc::MAP_SHARED)),
    ("memory-dual", memory_dual),
    ("memory-shared-run", memory_shared_run),
    ("memory-key", memory_key),
    ("memory-personality", memory_personality),
    ("own-memory-write", |_| patch_through("/proc/self/mem")),
    ("own-thread-memory-write", |_| patch_through("/proc/thread-self/mem")),
    ("sibling-memory", |arguments| {
        beside_a_sibling(arguments, |pid| {
            open("openat", &format!("/proc/{pid}/mem"), libc::O_RDWR, 0).and_then(|_| done())
        })
    }),
    ("sibling-write", |arguments| {
        beside_a_sibling(arguments, |pid| super::processes::write_memory(&[pid.to_string()]))
    }),
    ("sibling-trace", |arguments| {
        beside_a_sibling(arguments, |pid| {
            call("ptrace", libc::SYS_ptrace, &[libc::PTRACE_SEIZE as usize, pid as usize, 0, 0])?;
            done()
        })
    }),
];

pub(super) const PAGE: usize = 4096;
const WORK: &str = "/app/loot/code";

/// A file of the attacker's own, with code in it.
pub(super) fn work_file(flags: i32) -> Result<OwnedFd> {
    let mut code = FUNCTION.to_vec();
    code.resize(PAGE, 0);
    place(WORK, &code)?;
    let file = open("open", WORK, flags, 0);
    remove(WORK);
    file
}

fn memory_file(_: &[String]) -> Result {
    memory_of(&work_file(libc::O_RDONLY)?, libc::MAP_PRIVATE)
}

/// Maps the file as code and runs it.
fn memory_of(file: &OwnedFd, flags: i32) -> Result {
    let protection = (libc::PROT_READ | libc::PROT_EXEC) as usize;
    let words = [0, PAGE, protection, flags as usize, file.as_raw_fd() as usize, 0];
    ran(call("mmap", libc::SYS_mmap, &words)?)
}

/// Memory that is written at one address and executed at another.
fn memory_dual(_: &[String]) -> Result {
    let name = path("dual");
    let fd = call("memfd_create", libc::SYS_memfd_create, &[name.as_ptr() as usize, 0])?;
    let file = own(fd);
    let mut code = FUNCTION.to_vec();
    code.resize(PAGE, 0);
    let mut to = File::from(file.try_clone().map_err(|error| refused("dup", &error))?);
    to.write_all(&code).map_err(|error| refused("write", &error))?;
    memory_of(&file, libc::MAP_SHARED)
}

/// A segment of System V's that is attached as code.
fn memory_shared_run(_: &[String]) -> Result {
    let id = call("shmget", libc::SYS_shmget, &[0, PAGE, 0o1700])?;
    let result = call("shmat", libc::SYS_shmat, &[id, 0, libc::SHM_EXEC as usize]);
    call("shmctl", libc::SYS_shmctl, &[id, libc::IPC_RMID as usize, 0])?;
    run_written(result?)
}

/// By way of a protection key, which is another call.
fn memory_key(_: &[String]) -> Result {
    let page = writable_page()?;
    write_function(page);
    let protection = (libc::PROT_READ | libc::PROT_EXEC) as usize;
    call("pkey_mprotect", libc::SYS_pkey_mprotect, &[page, PAGE, protection, usize::MAX])?;
    ran(page)
}

/// READ_IMPLIES_EXEC makes code of all that is readable.
fn memory_personality(_: &[String]) -> Result {
    const READ_IMPLIES_EXEC: usize = 0x40_0000;
    call("personality", libc::SYS_personality, &[READ_IMPLIES_EXEC])?;
    run_written(writable_page()?)
}

fn writable_page() -> Result<usize> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    call("mmap", libc::SYS_mmap, &[0, PAGE, protection as usize, flags as usize, usize::MAX, 0])
}

pub(super) fn write_function(page: usize) {
    // SAFETY: the caller has just mapped a page there, writable and its own.
    unsafe { std::ptr::copy_nonoverlapping(FUNCTION.as_ptr(), page as *mut u8, FUNCTION.len()) };
}

fn run_written(page: usize) -> Result {
    write_function(page);
    ran(page)
}

/// What the function at this address returns.
pub(super) fn ran(page: usize) -> Result {
    // SAFETY: the page holds FUNCTION, which takes nothing and touches no memory; where
    // it may not be executed the signal is the result of this act, in a child of its own.
    let function = unsafe { std::mem::transmute::<usize, extern "C" fn() -> i32>(page) };
    Ok(format!("returned {}", function()))
}

/// Writes to code that is mapped without the right to be written.
fn patch_through(memory: &str) -> Result {
    let file = open("openat", memory, libc::O_RDWR, 0)?;
    let victim: extern "C" fn() -> i32 = victim;
    let at = victim as usize;
    let words = [file.as_raw_fd() as usize, FUNCTION.as_ptr() as usize, FUNCTION.len(), at];
    call("pwrite64", libc::SYS_pwrite64, &words)?;
    Ok(format!("returned {}", std::hint::black_box(victim)()))
}

#[inline(never)]
extern "C" fn victim() -> i32 {
    std::hint::black_box(std::process::id() as i32)
}

/// Starts a listed program that waits, and does something to it.
fn beside_a_sibling(arguments: &[String], act: impl FnOnce(i32) -> Result) -> Result {
    let program = path(argument(arguments, 0, "/app/waits"));
    let argv = [program.as_ptr() as usize, 0];
    let words = [program.as_ptr() as usize, argv.as_ptr() as usize, 0];
    let (begun, to) = syscall::pipe()?;
    match syscall::fork("fork")? {
        Forked::Child => {
            // The pipe is closed by the exec, and only then does the parent go on.
            let made = call("execve", libc::SYS_execve, &words);
            drop(made);
            syscall::leave(127)
        }
        Forked::Parent(child) => {
            drop(to);
            let mut end = Vec::new();
            std::io::Read::read_to_end(&mut File::from(begun), &mut end)
                .map_err(|error| refused("read", &error))?;
            let result = act(child);
            let there = call("kill", libc::SYS_kill, &[child as usize, libc::SIGKILL as usize]);
            if syscall::wait(child) != Ended::Signal(libc::SIGKILL) || there.is_err() {
                return Err(execs::refused("the sibling did not run", &std::io::Error::from_raw_os_error(0)));
            }
            result
        }
    }
}
