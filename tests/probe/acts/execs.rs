//! Running what is not listed, by every way there is.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use super::{Result, argument};
use crate::elf;
use crate::syscall::{self, Ended, Forked, Refused, call, open, path};

/// `exec PATH [ARG…]`, `exec-copy PROGRAM DIRECTORY`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("exec", exec),
    ("execveat", exec_at),
    ("exec-copy", exec_copy),
    ("exec-drop", exec_drop),
    ("exec-memfd", exec_memfd),
    ("exec-proc-fd", exec_proc_fd),
    ("exec-deleted", exec_deleted),
    ("exec-loader", exec_loader),
];

/// The ELF loader, whose name is fixed for an architecture.
pub(super) const LOADER: &str =
    if cfg!(target_arch = "aarch64") { "/lib/ld-linux-aarch64.so.1" } else { "/lib64/ld-linux-x86-64.so.2" };

fn exec(arguments: &[String]) -> Result {
    let program = argument(arguments, 0, "/bin/sh");
    run("execve", program, &arguments[arguments.len().min(1)..])
}

fn exec_at(arguments: &[String]) -> Result {
    let program = argument(arguments, 0, "/bin/sh");
    let file = open("open", program, libc::O_PATH, 0)?;
    run_descriptor("execveat", &file)
}

fn exec_copy(arguments: &[String]) -> Result {
    let program = argument(arguments, 0, "/proc/self/exe");
    let copy = format!("{}/copied", argument(arguments, 1, "/tmp"));
    let mut content = Vec::new();
    let read = File::from(open("read the program", program, libc::O_RDONLY, 0)?).read_to_end(&mut content);
    read.map_err(|error| refused("read the program", &error))?;
    place(&copy, &content)?;
    // The copy of this very program ends at once when asked to.
    let result = run("execve", &copy, &["exit".to_owned(), "42".to_owned()]);
    remove(&copy);
    result
}

fn exec_drop(arguments: &[String]) -> Result {
    let file = format!("{}/dropped", argument(arguments, 0, "/tmp"));
    place(&file, &elf::exits())?;
    let result = run("execve", &file, &[]);
    remove(&file);
    result
}

fn exec_memfd(_: &[String]) -> Result {
    run_descriptor("execveat", &memory_file()?)
}

fn exec_proc_fd(_: &[String]) -> Result {
    let file = memory_file()?;
    run("execve", &format!("/proc/self/fd/{}", file.as_raw_fd()), &[])
}

/// A program that has no name any more.
fn exec_deleted(arguments: &[String]) -> Result {
    let name = format!("{}/deleted", argument(arguments, 0, "/tmp"));
    place(&name, &elf::exits())?;
    let file = open("open", &name, libc::O_RDONLY, 0)?;
    remove(&name);
    run_descriptor("execveat", &file)
}

/// The ELF loader is executable for others' sake: run directly, it runs anything.
fn exec_loader(arguments: &[String]) -> Result {
    let dropped = format!("{}/loaded", argument(arguments, 0, "/tmp"));
    place(&dropped, &elf::exits())?;
    let result = run("execve", LOADER, std::slice::from_ref(&dropped));
    remove(&dropped);
    result
}

pub(super) fn memory_file() -> Result<OwnedFd> {
    let name = path("dropped");
    // Open across the exec, as the magic link needs it.
    let fd = call("memfd_create", libc::SYS_memfd_create, &[name.as_ptr() as usize, 0])?;
    let mut file = File::from(syscall::own(fd));
    file.write_all(&elf::exits()).map_err(|error| refused("write", &error))?;
    Ok(file.into())
}

pub(super) fn place(name: &str, content: &[u8]) -> Result<()> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;
    let mut file = File::from(open("create", name, flags, 0o755)?);
    file.write_all(content).map_err(|error| refused("write", &error))
}

pub(super) fn remove(name: &str) {
    let name = path(name);
    // What is left lies in a throw-away place.
    let _ = call("unlink", libc::SYS_unlinkat, &[libc::AT_FDCWD as usize, name.as_ptr() as usize, 0]);
}

pub(super) fn refused(step: &'static str, error: &std::io::Error) -> Refused {
    Refused { step, errno: error.raw_os_error().unwrap_or(0) }
}

/// Runs a program in a child, with the environment that this one has.
pub(super) fn run(step: &'static str, program: &str, arguments: &[String]) -> Result {
    let named: Vec<String> = std::iter::once(program.to_owned()).chain(arguments.iter().cloned()).collect();
    run_named(step, program, &named, &[])
}

/// The same with an `argv[0]` of one's own, and with more in the environment.
pub(super) fn run_named(step: &'static str, program: &str, argv: &[String], variables: &[String]) -> Result {
    let program = path(program);
    let argv: Vec<CString> = argv.iter().map(|text| path(text)).collect();
    let mut environment = environment();
    environment.extend(variables.iter().map(|text| path(text)));
    let (list, envp) = (pointers(&argv), pointers(&environment));
    let words = [program.as_ptr() as usize, list.as_ptr() as usize, envp.as_ptr() as usize];
    in_grandchild(step, || call(step, libc::SYS_execve, &words))
}

pub(super) fn run_descriptor(step: &'static str, file: &OwnedFd) -> Result {
    let empty = path("");
    // A multi-call binary goes by this; a dropped one does not care.
    let list = [path("true")];
    let argv = pointers(&list);
    let environment = environment();
    let envp = pointers(&environment);
    in_grandchild(step, || {
        call(
            step,
            libc::SYS_execveat,
            &[
                file.as_raw_fd() as usize,
                empty.as_ptr() as usize,
                argv.as_ptr() as usize,
                envp.as_ptr() as usize,
                libc::AT_EMPTY_PATH as usize,
            ],
        )
    })
}

pub(super) fn environment() -> Vec<CString> {
    std::env::vars().map(|(name, value)| path(&format!("{name}={value}"))).collect()
}

pub(super) fn pointers(list: &[CString]) -> Vec<usize> {
    list.iter().map(|text| text.as_ptr() as usize).chain(std::iter::once(0)).collect()
}

/// Forks and execs; a program that was started and then killed for what it is was
/// refused as well.
pub(super) fn in_grandchild(step: &'static str, exec: impl FnOnce() -> Result<usize>) -> Result {
    match ended(step, exec)? {
        Ended::Code(code) => Ok(format!("exit {code}")),
        // The image is gone: the caller dies of the same, so that it shows.
        Ended::Signal(signal) => {
            // SAFETY: kill takes no memory.
            unsafe { libc::kill(libc::getpid(), signal) };
            Ok(format!("signal {signal}"))
        }
    }
}

/// How a program that is executed in a forked child ends; the errno of a refused exec
/// comes through a pipe that a successful one closes.
pub(super) fn ended(step: &'static str, exec: impl FnOnce() -> Result<usize>) -> Result<Ended> {
    let (from, to) = syscall::pipe()?;
    match syscall::fork("fork")? {
        Forked::Child => {
            let errno = exec().err().map_or(0, |refused| refused.errno);
            // The parent reads nothing if this fails, and the code tells it.
            let written = File::from(to).write_all(&errno.to_le_bytes());
            syscall::leave(if written.is_ok() { 127 } else { 126 })
        }
        Forked::Parent(child) => {
            drop(to);
            let mut errno = Vec::new();
            File::from(from).read_to_end(&mut errno).map_err(|error| refused("read", &error))?;
            let ended = syscall::wait(child);
            match <[u8; 4]>::try_from(errno.as_slice()) {
                Ok(errno) => Err(Refused { step, errno: i32::from_le_bytes(errno) }),
                Err(_) => Ok(ended),
            }
        }
    }
}
